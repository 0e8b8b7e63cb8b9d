"""What lies as population raster decides nothing that its digest does not cover."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio

import bring
import worlds
from loopback import was_contacted
from segment1b import contracts
from segment1b.audit import CheckResult, validate
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.pipeline.outcome import RunResult
from segment1b.reference.check import Bounds, check
from segment1b.reference.importing import Imported, Request, import_population

KNOWN = contracts.load()


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return worlds.lay_small_world(tmp_path / "root", degrees=1.0)


def run(root: Path) -> RunResult:
    return worlds.run(root, outlets=worlds.outlet_list(root.parent / "outlets.csv", merchants=5))


def import_raster(root: Path) -> Imported:
    raster = worlds.place(root, "population_raster_2025")
    request = Request(raster, "CC0-1.0", "The Testers", root.parent / "imported")
    return import_population(request, band=None, nodata=None)


READERS: dict[str, Callable[[Path], object]] = {
    "run": run,
    "reference check": lambda root: check(root, KNOWN, None, Bounds()),
    "reference import": import_raster,
}


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Give a listening socket; a test asks it whether anybody came."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


def vrt_of(source: str, shape: tuple[int, int] = (180, 360)) -> str:
    return (
        f'<VRTDataset rasterXSize="{shape[1]}" rasterYSize="{shape[0]}"><SRS>EPSG:4326</SRS>'
        f"<GeoTransform>-180, {360 / shape[1]}, 0, 90, 0, {-180 / shape[0]}</GeoTransform>"
        '<VRTRasterBand dataType="UInt32" band="1"><SimpleSource>'
        f"<SourceFilename>{source}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def replaced_by_vrt(root: Path) -> None:
    """Put a VRT in the place of the raster, which now lies outside the root."""
    path, elsewhere = worlds.place(root, "population_raster_2025"), root.parent / "elsewhere.tif"
    shutil.move(path, elsewhere)
    path.write_text(vrt_of(str(elsewhere)))


@pytest.mark.parametrize("reader", READERS)
def test_a_vrt_laid_as_population_is_refused_by_name(world: Path, reader: str) -> None:
    replaced_by_vrt(world)
    with pytest.raises(Segment1BError, match="a VRT, which takes its cells") as caught:
        READERS[reader](world)
    assert caught.value.code == "E_INPUT_UNREADABLE"
    assert str(worlds.place(world, "population_raster_2025")) in caught.value.message


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["vrt", "wms"])
def test_no_raster_makes_a_request(
    world: Path, server: socket.socket, reader: str, kind: str
) -> None:
    url = f"http://127.0.0.1:{server.getsockname()[1]}"
    text = {
        "vrt": vrt_of(f"/vsicurl/{url}/p.tif"),
        "wms": f'<GDAL_WMS><Service name="TMS"><ServerUrl>{url}/${{z}}/${{x}}/${{y}}</ServerUrl>'
        "</Service><DataWindow><UpperLeftX>-180</UpperLeftX><UpperLeftY>90</UpperLeftY>"
        "<LowerRightX>180</LowerRightX><LowerRightY>-90</LowerRightY><SizeX>360</SizeX>"
        "<SizeY>180</SizeY></DataWindow><Projection>EPSG:4326</Projection><BandsCount>1"
        "</BandsCount></GDAL_WMS>",
    }
    worlds.place(world, "population_raster_2025").write_text(text[kind])
    with pytest.raises(Segment1BError, match=r"^E_INPUT_UNREADABLE:"):
        READERS[reader](world)
    assert not was_contacted(server)


@pytest.mark.parametrize("reader", READERS)
def test_a_header_of_a_trillion_cells_is_refused(world: Path, reader: str) -> None:
    bring.tiff_header(worlds.place(world, "population_raster_2025"), 10**6, 10**6, tile=256)
    with pytest.raises(Segment1BError, match=r"^E_INPUT_TOO_LARGE:"):
        READERS[reader](world)


@pytest.mark.parametrize(
    ("reader", "surface"),
    [
        *((reader, "population_raster_2025") for reader in READERS),
        *((reader, "world_countries") for reader in ("run", "reference check")),
    ],
)
def test_a_fifo_as_a_surface_is_refused(world: Path, reader: str, surface: str) -> None:
    path = worlds.place(world, surface)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Segment1BError, match=r"^E_INPUT_UNREADABLE: .*named pipe"):
        READERS[reader](world)


def failing(root: Path, result: RunResult) -> dict[str, CheckResult]:
    tokens = Identity(**result.identity).places  # type: ignore[arg-type]
    return {r.name: r for r in validate(root, KNOWN, tokens, ("s1", "s2")) if not r.ok}


def test_the_validators_read_no_vrt_and_no_absurd_header(world: Path) -> None:
    result = run(world)
    assert not failing(world, result)
    replaced_by_vrt(world)
    found = failing(world, result)["readable_population_raster_2025"]
    assert "a VRT, which takes its cells" in found.rows[0]["reason"]
    bring.tiff_header(worlds.place(world, "population_raster_2025"), 10**6, 10**6, tile=256)
    found = failing(world, result)["readable_population_raster_2025"]
    assert "cells, more than the limit" in found.rows[0]["reason"]
    for surface in ("population_raster_2025", "world_countries"):
        worlds.place(world, surface).unlink()
        os.mkfifo(worlds.place(world, surface))
    assert {"readable_population_raster_2025", "readable_world_countries"} <= set(
        failing(world, result)
    )


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_files_beside_the_raster_change_neither_identity_nor_content(
    world: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "root"
    shutil.copytree(world, other)
    path = worlds.place(other, "population_raster_2025")
    with rasterio.open(path) as source:
        shape, somebody = source.shape, int(source.read(1)[37, 185])
    assert somebody > 0
    path.with_name(f"{path.name}.aux.xml").write_text(
        "<PAMDataset><GeoTransform>0, 1, 0, 90, 0, -1</GeoTransform><PAMRasterBand band='1'>"
        f"<NoDataValue>{somebody}</NoDataValue></PAMRasterBand></PAMDataset>"
    )
    path.with_suffix(".tfw").write_text("2\n0\n0\n-2\n5\n5\n")
    bring.raster(path.with_name(f"{path.name}.msk"), np.zeros(shape, "u1"), None, None)
    bring.raster(path.with_name(f"{path.name}.ovr"), np.zeros((90, 180), "u1"), None, None)
    plain, beside = run(world), run(other)
    assert beside.identity == plain.identity
    assert worlds.digests(beside) == worlds.digests(plain)
    assert not failing(other, beside)
    measured = [check(root, KNOWN, None, Bounds())["population"] for root in (world, other)]
    assert measured[0] == measured[1]
    copies = [import_raster(root).provenance["receipt"]["sha256_hex"] for root in (world, other)]
    assert copies[0] == copies[1]
