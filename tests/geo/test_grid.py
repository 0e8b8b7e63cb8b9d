"""The grid: worked numbers of the design, the date line, the poles, and rasters it refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio import Affine

import bring
from segment1b.errors import Segment1BError
from segment1b.geo.grid import Grid, read_grid

HALF_MINUTE = Grid(-180.0, 90.0, 1 / 120, 1 / 120, 21600, 43200)
NORTH_UP = Affine(1, 0, -180, 0, -1, 90)


def raster(path: Path, transform: Affine = NORTH_UP, **profile: Any) -> Path:
    """Write a tiny raster of zeros."""
    base = {"height": 4, "width": 4, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    shape = {"driver": "GTiff", "transform": transform, **base, **profile}
    with rasterio.open(path, "w", **shape):
        pass
    return path


def refusal(path: Path) -> Segment1BError:
    with pytest.raises(Segment1BError) as caught:
        read_grid(path)
    assert caught.value.scope["path"] == str(path)
    return caught.value


def test_tile_ids_count_cells_row_by_row() -> None:
    ids = Grid(0.0, 2.0, 1.0, 1.0, 2, 4).tile_id([0, 1, 1], [0, 0, 2])
    assert ids.tolist() == [0, 4, 6]
    assert ids.dtype == np.uint64


def test_tile_ids_reach_the_largest_grid_without_wrapping() -> None:
    grid = Grid(-180.0, 90.0, 360 / 2**27, 180 / 2**26, 2**26, 2**27)
    last = grid.tile_id([2**26 - 1], [2**27 - 1])
    assert int(last[0]) == 2**53 - 1


def test_areas_are_the_same_on_both_sides_of_the_equator() -> None:
    rows = np.arange(0, 10800, 97)
    north, south = HALF_MINUTE.area_m2(rows), HALF_MINUTE.area_m2(21599 - rows)
    assert np.allclose(north, south, rtol=1e-11, atol=0.0)


@pytest.mark.parametrize("degrees", [30.0, 1.0, 0.1])
def test_cells_of_a_global_grid_add_up_to_the_ellipsoid(degrees: float) -> None:
    nrows, ncols = round(180 / degrees), round(360 / degrees)
    grid = Grid(-180.0, 90.0, degrees, degrees, nrows, ncols)
    total = math.fsum(grid.area_m2(np.arange(nrows))) * ncols
    assert math.isclose(total, 510065621724088, rel_tol=1e-12)


def test_areas_have_twelve_significant_digits_and_repeat_with_their_rows() -> None:
    areas = HALF_MINUTE.area_m2([3599, 10799, 3599])
    assert areas[0] == areas[2]
    assert all(float(f"{area:.11e}") == area for area in areas)
    assert HALF_MINUTE.area_m2(np.empty(0, np.int64)).tolist() == []


def test_a_row_cut_by_the_pole_has_the_area_of_what_is_left() -> None:
    over = Grid(0.0, 90.5, 1.0, 1.0, 3, 4)
    exact = Grid(0.0, 90.0, 1.0, 0.5, 1, 4)
    assert math.isclose(over.area_m2([0])[0], exact.area_m2([0])[0], rel_tol=1e-11)


def test_latitudes_of_edges_stop_at_the_poles() -> None:
    grid = Grid(0.0, 90.25, 1.0, 0.5, 361, 4)
    assert grid.north([0, 1]).tolist() == [90.0, 89.75]
    assert grid.south([359, 360]).tolist() == [-89.75, -90.0]


def test_longitudes_past_the_date_line_are_wrapped() -> None:
    grid = Grid(0.0, 90.0, 90.0, 90.0, 2, 4)
    assert grid.centre_lon([0, 1, 2, 3]).tolist() == [45.0, 135.0, -135.0, -45.0]
    assert grid.west([0, 1, 2, 3]).tolist() == [0.0, 90.0, -180.0, -90.0]
    assert grid.east([0, 1, 2, 3]).tolist() == [90.0, 180.0, -90.0, 0.0]


def test_a_cell_across_the_date_line_has_its_west_edge_east_of_its_east_edge() -> None:
    grid = Grid(-180.5, 90.0, 1.0, 1.0, 180, 360)
    assert (grid.west([0])[0], grid.east([0])[0]) == (179.5, -179.5)
    assert grid.centre_lon([0])[0] == -180.0
    assert (grid.west([1])[0], grid.east([1])[0]) == (-179.5, -178.5)


def test_a_global_grid_has_no_cell_across_the_date_line() -> None:
    for ncols in (3600, 7200, 43200):
        grid = Grid(-180.0, 90.0, 360 / ncols, 360 / ncols, ncols // 2, ncols)
        cols = np.arange(ncols)
        assert (grid.west(cols) < grid.east(cols)).all()
        assert grid.west([0])[0] == -180.0
        assert grid.east([ncols - 1])[0] == 180.0


@pytest.mark.parametrize("x0", [-180.00000000001, -179.99999999999, -180.0])
def test_an_edge_a_hair_off_the_date_line_stands_on_it(x0: float) -> None:
    grid = Grid(x0, 90.0, 0.1, 0.1, 1800, 3600)
    assert grid.west([0])[0] == -180.0
    assert grid.east([3599])[0] == 180.0


@pytest.mark.parametrize("x0", [-540.0, -360.0, 180.0, 359.5])
def test_grids_drawn_one_turn_off_still_wrap(x0: float) -> None:
    grid = Grid(x0, 90.0, 0.5, 0.5, 360, 720)
    cols = np.arange(720)
    assert sorted(grid.centre_lon(cols).tolist()) == (np.arange(720) / 2 - 179.75).tolist()
    assert grid.west(cols).min() == -180.0
    assert grid.east(cols).max() == 180.0


def test_centres_come_from_the_integer_not_from_a_running_sum() -> None:
    grid = Grid(-180.0, 90.0, 0.1, 0.1, 1800, 3600)
    assert grid.centre_lon([3599])[0] == -180.0 + 0.1 * 3599.5
    assert grid.centre_lat([1799])[0] == 90.0 - 0.1 * 1799.5


@pytest.mark.parametrize("crs", ["EPSG:4326", "OGC:CRS84"])
def test_a_north_up_raster_in_degrees_is_read(tmp_path: Path, crs: str) -> None:
    path = raster(tmp_path / "r.tif", Affine(0.5, 0, -180, 0, -0.25, 90), crs=crs, width=8)
    assert read_grid(path) == Grid(-180.0, 90.0, 0.5, 0.25, 4, 8)


@pytest.mark.parametrize(
    ("transform", "what"),
    [
        (Affine(1, 0.1, -180, 0, -1, 90), "is rotated"),
        (Affine(1, 0, -180, 0.1, -1, 90), "is rotated"),
        (Affine(1, 0, -180, 0, 1, -90), "is not north-up"),
        (Affine(-1, 0, 180, 0, -1, 90), "is not north-up"),
        (Affine(91, 0, -180, 0, -1, 90), "is 364.0 degrees wide"),
    ],
)
def test_a_grid_of_another_build_is_refused_with_the_line_that_mends_it(
    tmp_path: Path, transform: Affine, what: str
) -> None:
    error = refusal(raster(tmp_path / "my raster.tif", transform))
    assert error.code == "E002_RASTER_MISMATCH"
    assert what in error.message
    assert "gdalwarp -t_srs EPSG:4326" in error.hint
    assert f"'{tmp_path / 'my raster.tif'}'" in error.hint


def test_a_width_that_rounding_takes_past_360_is_accepted(tmp_path: Path) -> None:
    path = raster(tmp_path / "r.tif", Affine(90.0000000001, 0, -180, 0, -1, 90))
    assert read_grid(path).ncols == 4


@pytest.mark.parametrize("crs", ["ESRI:54009", "EPSG:3857", "EPSG:4269", None])
def test_a_raster_in_another_crs_is_refused_with_the_line_that_mends_it(
    tmp_path: Path, crs: str | None
) -> None:
    error = refusal(raster(tmp_path / "r.tif", crs=crs))
    assert error.code == "E007_CRS_MISMATCH"
    assert (crs or "no CRS") in error.message
    assert "-t_srs EPSG:4326 -te " in error.hint
    assert " -r sum " in error.hint
    assert ("-s_srs" in error.hint) is (crs is None)


def test_a_raster_that_says_nothing_of_its_place_is_refused_without_a_warning(
    tmp_path: Path,
) -> None:
    path = bring.tiff_header(tmp_path / "bare.tif", 2, 2)
    assert refusal(path).code == "E007_CRS_MISMATCH"


@pytest.mark.parametrize("top", [91.0, -87.0])
def test_a_row_with_its_centre_beyond_a_pole_is_refused(tmp_path: Path, top: float) -> None:
    error = refusal(raster(tmp_path / "r.tif", Affine(1, 0, 0, 0, -1, top)))
    assert error.code == "E004_BOUNDS"


def test_a_row_that_reaches_over_a_pole_with_its_centre_on_the_globe_is_read(
    tmp_path: Path,
) -> None:
    assert read_grid(raster(tmp_path / "r.tif", Affine(1, 0, 0, 0, -1, 90.5))).y0 == 90.5


@pytest.mark.parametrize("keep", [20, 0])
@pytest.mark.code("E_INPUT_UNREADABLE")
def test_a_truncated_raster_or_a_file_that_is_none_is_unreadable(tmp_path: Path, keep: int) -> None:
    path = raster(tmp_path / "r.tif")
    path.write_bytes(path.read_bytes()[:keep] or b"people,per,cell\n")
    assert refusal(path).code == "E_INPUT_UNREADABLE"
