"""The prior at other resolutions: nobody lost or made, nobody pulled to one side."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from segment1b.errors import Segment1BError
from segment1b.pipeline.prepare import build_reference
from segment1b.reference import embedded
from segment1b.reference import raster as rasters
from segment1b.reference.raster import People, build_population, ratio_of, resampled, split
from segment1b.storage.raster_writer import PeopleRaster

WORLD_PEOPLE = 8_231_617_658


@pytest.fixture(scope="module")
def source() -> People:
    with rasterio.open(embedded.surface(embedded.RESOLUTIONS["0.05"])) as raster:
        return raster.read(1)


def built(arcsec: int, folder: Path) -> People:
    build_population(arcsec, folder / "p.tif")
    with rasterio.open(folder / "p.tif") as raster:
        return raster.read(1)


@pytest.mark.slow
@pytest.mark.parametrize("arcsec", [120, 150, 180, 240, 360, 1000, 3600, 108_000])
def test_everybody_is_kept(arcsec: int, tmp_path: Path) -> None:
    people = built(arcsec, tmp_path)
    assert people.shape == (648_000 // arcsec, 1_296_000 // arcsec)
    assert int(people.sum(dtype=np.uint64)) == WORLD_PEOPLE


@pytest.mark.slow
def test_the_file_is_a_plain_world_raster_and_the_same_bytes_again(tmp_path: Path) -> None:
    for name in ("p.tif", "again.tif"):
        build_population(150, tmp_path / name)
    assert (tmp_path / "p.tif").read_bytes() == (tmp_path / "again.tif").read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"p.tif", "again.tif"}
    with rasterio.open(tmp_path / "p.tif") as raster:
        assert (raster.driver, raster.dtypes, raster.count) == ("GTiff", ("uint32",), 1)
        assert raster.crs.to_epsg() == 4326
        assert raster.nodata is None
        assert raster.bounds == pytest.approx((-180, -90, 180, 90), abs=1e-9)
        assert raster.descriptions == ("people per cell, 2025",)
        assert raster.block_shapes == [(256, 256)]
        assert raster.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
    assert (tmp_path / "p.tif").stat().st_size < 10_000_000


def test_the_source_comes_back_at_its_own_resolution(source: People, tmp_path: Path) -> None:
    """Byte for byte, and its cells would be the same if they were written anew."""
    build_population(180, tmp_path / "p.tif")
    shipped = embedded.surface(embedded.RESOLUTIONS["0.05"])
    assert (tmp_path / "p.tif").read_bytes() == shipped.read_bytes()
    assert np.array_equal(resampled(source, ratio_of(180), 700, 956), source[700:956])


def test_coarser_cells_are_sums(source: People, tmp_path: Path) -> None:
    sums = source.reshape(1800, 2, 3600, 2).sum((1, 3))
    assert np.array_equal(built(360, tmp_path), sums)


@pytest.mark.slow
def test_finer_cells_sum_to_their_source_and_differ_by_one(source: People, tmp_path: Path) -> None:
    parts = built(90, tmp_path).reshape(3600, 2, 7200, 2)
    assert np.array_equal(parts.sum((1, 3)), source)
    assert (parts.max((1, 3)) - parts.min((1, 3))).max() == 1


def test_a_ratio_that_is_not_whole_splits_then_sums(source: People, tmp_path: Path) -> None:
    """150 arc-seconds: 5 x 5 of the parts that 30 arc-seconds would have."""
    people = built(150, tmp_path)
    some = slice(700, 800), slice(3500, 3700)  # Europe; 100 x 200 source cells, 120 x 240 here
    parts = split(source[some], 6, 700, 3500)
    sums = parts.reshape(120, 5, 240, 5).sum((1, 3))
    assert sums.sum() > 10_000_000
    assert np.array_equal(people[840:960, 4200:4440], sums)


@pytest.mark.slow
def test_pieces_and_bands_leave_no_trace(
    source: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = built(150, tmp_path)
    monkeypatch.setattr(rasters, "_PARTS", 1 << 20)
    assert np.array_equal(built(150, tmp_path), whole)


@given(
    st.sampled_from([2, 3, 4, 5, 6, 9, 10, 12, 15, 20]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 3599),
    st.integers(0, 7199),
)
def test_any_cell_is_split_evenly(k: int, people: int, row: int, col: int) -> None:
    parts = split(np.array([[people]], np.uint32), k, row, col)
    assert parts.shape == (k, k)
    assert int(parts.sum(dtype=np.uint64)) == people
    assert int(parts.max()) - int(parts.min()) <= 1


@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("people", [1, 3, 7, 35])
def test_no_part_of_the_cells_is_favoured(k: int, people: int) -> None:
    """Over k^2 rows and columns of equal cells, each part gets the same number in all."""
    cells = np.full((k * k, k * k), people, np.uint32)
    parts = split(cells, k, 1000, 2000).reshape(k * k, k, k * k, k).sum((0, 2))
    assert parts.min() == parts.max() == people * k * k


def test_where_a_cells_first_people_go() -> None:
    """Worked by hand for k = 2 (s = t = u = 3) in source cell (0, 0), and one cell east."""
    assert split(np.array([[6]], np.uint32), 2, 0, 0).tolist() == [[2, 1], [1, 2]]
    assert split(np.array([[6]], np.uint32), 2, 0, 1).tolist() == [[1, 1], [2, 2]]


@pytest.mark.parametrize(
    ("arcsec", "near"),
    [
        *((7, "6 or 8"), (110, "108 or 120"), (0, "take 3 "), (-30, "take 3 ")),
        *((1, "take 3 "), (200_000, "take 108000 "), (3601, "3600 or 4000")),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_near_ones(
    arcsec: int, near: str, tmp_path: Path
) -> None:
    with pytest.raises(Segment1BError, match=f"^E_USAGE:.*{near}"):
        build_population(arcsec, tmp_path / "p.tif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arcsec", "ratio"), [(3, (60, 1)), (100, (9, 5)), (108_000, (1, 600))])
def test_cells_are_whole_numbers_of_parts(arcsec: int, ratio: tuple[int, int]) -> None:
    assert ratio_of(arcsec) == ratio


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Segment1BError, match=r"^E_DATA_ROOT_UNUSABLE:.*p\.tif"):
        build_population(3600, tmp_path / "absent" / "p.tif")


def test_a_file_that_was_not_written_whole_is_refused_and_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = PeopleRaster.read

    def cut_short(self: PeopleRaster, window: Window) -> Any:
        with next(tmp_path.glob(".staging/*/*.tif")).open("r+b") as file:
            file.truncate(3000)
        return read(self, window)

    monkeypatch.setattr(PeopleRaster, "read", cut_short)
    with pytest.raises(Segment1BError, match=r"^E_STORAGE_FAILED:"):
        build_reference(tmp_path, 3600, None)
    assert not list(tmp_path.rglob("*.tif"))
