"""Bounds, centres and areas of tiles are checked bit for bit, in every row."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.audit.grid import Grid
from segment1b.audit.s1.axes import grid_columns, grid_rows
from segment1b.geo.grid import Grid as Produced
from spoil import Rows, World

BOUNDS = (
    *("min_lon_deg", "max_lon_deg", "min_lat_deg", "max_lat_deg"),
    *("centroid_lon_deg", "centroid_lat_deg"),
)


def bits(values: npt.NDArray[np.float64]) -> list[int]:
    return values.view(np.int64).tolist()


def next_digit(area: float) -> float:
    return float(f"{area + 10.0 ** (math.floor(math.log10(area)) - 11):.11e}")


def assert_same_axes(grid: Grid) -> None:
    made = Produced(grid.x0, grid.y0, grid.a, grid.b, grid.nrows, grid.ncols)
    row, col = np.arange(grid.nrows), np.arange(grid.ncols)
    rows, columns = grid_rows(grid), grid_columns(grid)
    assert bits(rows["north"]) == bits(made.north(row))
    assert bits(rows["south"]) == bits(made.south(row))
    assert bits(rows["middle_lat"]) == bits(made.centre_lat(row))
    assert bits(rows["area_m2"]) == bits(made.area_m2(row))
    assert bits(columns["west"]) == bits(made.west(col))
    assert bits(columns["east"]) == bits(made.east(col))
    assert bits(columns["middle_lon"]) == bits(made.centre_lon(col))


@pytest.mark.parametrize(
    "grid",
    [
        Grid(720, 1440, -180.0, 90.0, 0.25, 0.25),
        Grid(360, 720, 0.0, 90.0, 0.5, 0.5),
        Grid(181, 360, -180.5, 90.5, 1.0, 1.0),
        Grid(10, 1200, 179.9, -89.0, 0.3, 0.1),
        # A step written with few digits misses the date line by less than a millionth of a cell.
        Grid(3, 3600, -180.0, 45.0, 0.09999999999, 0.1),
    ],
    ids=["world", "from 0", "past the edges", "Pacific", "short step"],
)
def test_producer_and_validator_give_cells_the_same_bits(grid: Grid) -> None:
    assert_same_axes(grid)


@given(
    step=st.floats(1e-3, 4.0),
    x0=st.floats(-360, 360),
    south=st.floats(-91, 80),
    size=st.integers(1, 40),
)
@settings(deadline=None, max_examples=60)
def test_producer_and_validator_give_cells_of_any_grid_the_same_bits(
    step: float, x0: float, south: float, size: int
) -> None:
    nrows = min(size, int((90.4 - south) / step))
    if nrows > 0:
        assert_same_axes(Grid(nrows, size, x0, south + nrows * step, step, step))


def test_an_area_next_to_a_tie_of_the_last_digit_is_rounded_as_exact_arithmetic_does() -> None:
    # Exactly 79799796.38505007: the error of floats is enough to cross the tie.
    areas = Produced(-180.0, 90.0, 0.25, 0.25, 720, 1440).area_m2([23, 696])
    assert areas.tolist() == [79799796.3851, 79799796.3851]


@pytest.mark.parametrize("at", [0, -1])
def test_an_area_off_by_its_last_digit_is_refused(world: Callable[[str], World], at: int) -> None:
    def change(rows: Rows) -> None:
        rows[at]["pixel_area_m2"] = next_digit(rows[at]["pixel_area_m2"])

    spoiled = world("stable")
    spoiled.forge("tile_index", change)
    assert len(spoiled.failing("s1").rows("E006_AREA_NONPOS")) == 1


@pytest.mark.parametrize(
    ("dataset_id", "column"),
    [
        ("tile_index", "centroid_lon"),
        ("tile_index", "centroid_lat"),
        *(("tile_bounds", column) for column in BOUNDS),
    ],
)
def test_one_bit_of_a_bound_or_centre_is_refused_in_the_first_and_the_last_row(
    dataset_id: str, column: str, world: Callable[[str], World]
) -> None:
    def change(rows: Rows) -> None:
        for row in (rows[0], rows[-1]):
            row[column] = math.nextafter(row[column], 0.0)

    spoiled = world("stable")
    spoiled.forge(dataset_id, change)
    assert len(spoiled.failing("s1").rows("E004_BOUNDS")) == 2


def test_the_sign_of_a_zero_is_a_bit_like_any_other(world: Callable[[str], World]) -> None:
    spoiled = world("stable")
    spoiled.forge(
        "tile_bounds",
        lambda rows: next(r for r in rows if r["min_lat_deg"] == 0).update(min_lat_deg=-0.0),
    )
    assert len(spoiled.failing("s1").rows("E004_BOUNDS")) == 1
