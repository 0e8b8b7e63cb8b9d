"""Opening rasters: GeoTIFF alone, without the files beside it, within limits."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.shutil import copy

import bring
from segment1b.errors import Segment1BError
from segment1b.geo.population import PopulationRaster
from segment1b.storage.rasters import open_raster

NORTH_UP = Affine(1, 0, -180, 0, -1, 90)


def refusal(path: Path) -> Segment1BError:
    with pytest.raises(Segment1BError) as caught:
        open_raster(path)
    assert str(path) in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ({"width": 10**6, "height": 10**6, "tile": 256}, "cells"),
        ({"width": 2_000_000, "height": 10}, "columns"),
        ({"width": 10, "height": 2_000_000, "strip": 1}, "rows"),
        ({"width": 432_000, "height": 216_000, "tile": 16}, "tiles"),
        ({"width": 1000, "height": 1000, "tile": 32_768}, "bytes in a tile"),
        ({"width": 43_200, "height": 21_600, "compression": 8}, "bytes in a tile"),
        ({"width": 8192, "height": 8192, "tile": 8192, "bands": 200, "bits": 8}, "bytes in a tile"),
        ({"width": 100, "height": 100, "bands": 300, "bits": 8}, "bands"),
    ],
)
@pytest.mark.code("E_INPUT_TOO_LARGE")
def test_an_absurd_header_is_refused_before_anything_is_allocated(
    tmp_path: Path, shape: dict[str, Any], what: str
) -> None:
    path = bring.tiff_header(tmp_path / "r.tif", **shape)
    tracemalloc.start()
    error = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.code == "E_INPUT_TOO_LARGE"
    assert f" {what}, more than the limit" in error.message
    assert peak < 32 << 20


@pytest.mark.parametrize("shape", [(43_200, 21_600), (432_000, 216_000)])
def test_the_world_at_30_and_at_3_arc_seconds_is_within_the_limits(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    with open_raster(bring.tiff_header(tmp_path / "r.tif", *shape, tile=256)) as source:
        assert (source.width, source.height) == shape


@pytest.mark.parametrize("kind", [5, 6])
def test_cells_that_are_not_numbers_are_refused(tmp_path: Path, kind: int) -> None:
    error = refusal(bring.tiff_header(tmp_path / "r.tif", 10, 10, kind=kind, bits=64))
    assert error.code == "E_INPUT_SCHEMA_INVALID"


REFERENCES = {
    "VRT": '<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>EPSG:4326</SRS>'
    "<GeoTransform>-180, 1, 0, 90, 0, -1</GeoTransform><VRTRasterBand dataType='Byte' band='1'>"
    '<SimpleSource><SourceFilename relativeToVRT="1">plain.tif</SourceFilename></SimpleSource>'
    "</VRTRasterBand></VRTDataset>",
    "map server": '<GDAL_WMS><Service name="WMS"><ServerUrl>http://127.0.0.1:1/</ServerUrl>'
    "</Service></GDAL_WMS>",
}


@pytest.mark.parametrize("name", REFERENCES)
def test_a_file_that_refers_to_others_is_refused_by_name(tmp_path: Path, name: str) -> None:
    bring.raster(tmp_path / "plain.tif", np.ones((4, 4), "u1"), NORTH_UP)
    (tmp_path / "r.tif").write_text(REFERENCES[name])
    error = refusal(tmp_path / "r.tif")
    assert error.code == "E_INPUT_UNREADABLE"
    assert name in error.message


@pytest.mark.parametrize("driver", ["PNG", "AAIGrid", "HFA", "ENVI"])
def test_rasters_of_other_formats_are_refused(tmp_path: Path, driver: str) -> None:
    plain = bring.raster(tmp_path / "plain.tif", np.ones((4, 4), "u1"), NORTH_UP)
    copy(plain, tmp_path / "r.tif", driver=driver)
    assert refusal(tmp_path / "r.tif").code == "E_INPUT_UNREADABLE"


def test_a_fifo_a_folder_and_a_url_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.tif")
    for path in (tmp_path / "fifo.tif", tmp_path, Path("/vsicurl/http://127.0.0.1:1/r.tif")):
        assert refusal(path).code == "E_INPUT_UNREADABLE"


def add_sidecars(path: Path) -> None:
    """Lay beside a raster of 64 x 64 what GDAL would take for its grid, CRS, nodata and mask."""
    path.with_name(f"{path.name}.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:3857</SRS><GeoTransform>1, 2, 0, 3, 0, -2</GeoTransform>"
        '<PAMRasterBand band="1"><NoDataValue>7</NoDataValue><Scale>3</Scale></PAMRasterBand>'
        "</PAMDataset>"
    )
    path.with_suffix(".tfw").write_text("2\n0\n0\n-2\n5\n5\n")
    for end, side in ((".msk", 64), (".ovr", 32)):
        bring.raster(path.with_name(path.name + end), np.zeros((side, side), "u1"), NORTH_UP)


# GDAL looks for sidecar files in another way where a name is not ASCII.
@pytest.mark.parametrize("folder", ["plain", "Länder"])
@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_files_beside_a_raster_change_nothing(tmp_path: Path, folder: str, placed: bool) -> None:
    (tmp_path / folder).mkdir()
    people = np.arange(64 * 64, dtype="i4").reshape(64, 64)
    path = tmp_path / folder / "p.tif"
    bring.raster(path, people, NORTH_UP if placed else None, "EPSG:4326" if placed else None)

    def read() -> tuple[Any, ...]:
        with open_raster(path) as source:
            about = source.crs, source.transform, source.nodata, source.scales, source.overviews(1)
            values = source.read(1, masked=True)
        return *about, values.data.tolist(), np.ma.getmaskarray(values).sum()

    plain = read()
    add_sidecars(path)
    assert read() == plain


def test_scattered_cells_allocate_no_rectangle_around_them(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    step = 180 / 36_000
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=36_000,
        width=72_000,
        count=1,
        dtype="uint8",
        crs="EPSG:4326",
        transform=Affine(step, 0, -180, 0, -step, 90),
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress="deflate",
        sparse_ok=True,
    ) as target:
        for row in (0, 18_000, 35_999):
            target.write(np.full((1, 3), 9, "u1"), 1, window=((row, row + 1), (row, row + 3)))
    rows = np.array([0, 0, 18_000, 18_000, 35_999, 35_999], np.uint32)
    cols = np.array([0, 71_999, 5, 18_002, 0, 36_001], np.uint32)
    tracemalloc.start()
    masses, _ = PopulationRaster(path).masses("KI", rows, cols)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert masses.tolist() == [9_000_000, 0, 0, 9_000_000, 0, 9_000_000]
    assert peak < 128 << 20
