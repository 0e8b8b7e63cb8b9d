"""Rule `any_overlap` on drawings: interiors must meet; a touch, however long, is out."""

from __future__ import annotations

import numpy as np
import pytest
from shapely import MultiPolygon, Polygon, box

from geo.naive import cells, drawn, shape, unit_grid
from segment1b.geo.antimeridian import cut
from segment1b.geo.grid import Grid
from segment1b.geo.overlap import overlap_runs
from segment1b.geo.scanline import center_runs


def picture(country: MultiPolygon, nrows: int, ncols: int) -> list[str]:
    grid = unit_grid(nrows, ncols)
    return drawn(overlap_runs(country, grid), grid)


def hollow(shell: Polygon, hole: Polygon) -> Polygon:
    return Polygon(shell.exterior, [hole.exterior])


def beside(value: float, towards: float) -> float:
    return float(np.nextafter(value, towards))


TILT = 2.0**-40  # of a shallow edge
#: A country and the cells it takes, from the north: `#` is in.
DRAWINGS: dict[str, tuple[MultiPolygon, str]] = {
    "a box along cell borders": (shape(box(1, 1, 4, 3)), "..... .###. .###. ....."),
    "a hair over a border takes the next column": (
        shape(box(1, 1, beside(4, 5), 3)),
        "...... .####. .####. ......",
    ),
    "a hair short of a border takes no more": (
        shape(box(1, 1, beside(4, 3), 3)),
        "...... .###.. .###.. ......",
    ),
    "a hair over a border takes the next row": (
        shape(box(1, 1, 4, beside(3, 4))),
        ".###. .###. .###. .....",
    ),
    "smaller than a cell": (shape(box(1.6, 0.6, 1.9, 0.9)), ".#."),
    "a sliver without a centre takes all its cells": (
        shape([(0.1, 0.1), (4.9, 0.1), (4.9, 0.2)]),
        "..... #####",
    ),
    "a vertex on a corner takes the cells it points into": (
        shape([(2, 2), (1, 0), (3, 0)]),
        ".... .... .##. .##.",
    ),
    "a diagonal through corners takes the cells on it": (
        shape([(0, 0), (4, 4), (4, 0)]),
        "...# ..## .### ####",
    ),
    "a steep edge from corner to corner": (
        shape([(1, 0), (2, 3), (4, 3), (4, 0)]),
        ".### .### .###",
    ),
    "a steep edge through a corner": (
        shape([(1, 0), (3, 4), (4, 4), (4, 0)]),
        "..## ..## .### .###",
    ),
    "a shallow edge takes the row above where it has risen": (
        shape([(0, 0), (6, 0), (6, 1 + 3 * TILT), (0, 1 - 3 * TILT)]),
        "...### ######",
    ),
    "a shallow edge that rises just before a border": (
        shape([(0, 0), (6, 0), (6, 1 + 3 * TILT), (0, 1 - 2.9 * TILT)]),
        "..#### ######",
    ),
    "a hole along cell borders takes its cells out": (
        shape(hollow(box(0, 0, 4, 4), box(1, 1, 3, 3))),
        "#### #..# #..# ####",
    ),
    "a hole within a cell leaves it in": (
        shape(hollow(box(0, 0, 3, 3), box(1.1, 1.1, 1.9, 1.9))),
        "### ### ###",
    ),
    "a hole a hair smaller than its cell leaves it in": (
        shape(hollow(box(0, 0, 3, 3), box(1, 1, beside(2, 1), 2))),
        "### ### ###",
    ),
    "larger than the grid": (shape([(-9, -9), (30, -9), (-9, 30)]), "### ###"),
}


@pytest.mark.parametrize(("country", "drawing"), DRAWINGS.values(), ids=list(DRAWINGS))
def test_a_country_takes_the_cells_that_its_interior_meets(
    country: MultiPolygon, drawing: str
) -> None:
    rows = drawing.split()
    assert picture(country, len(rows), len(rows[0])) == rows


def test_two_countries_that_share_a_border_share_the_cells_it_runs_through() -> None:
    grid = unit_grid(3, 4)
    border = [(1, 0), (2, 1), (2, 2), (2.5, 3)]
    west = overlap_runs(shape([(0, 0), *border, (0, 3)]), grid)
    east = overlap_runs(shape([*border, (4, 3), (4, 0)]), grid)
    assert drawn(west, grid) == ["###.", "##..", "##.."]
    assert drawn(east, grid) == ["..##", "..##", ".###"]


def test_a_cell_that_holds_its_centre_on_a_shell_is_always_taken() -> None:
    country = shape(box(0.5, 0.5, 3.5, 2.5))
    grid = unit_grid(4, 5)
    assert cells(center_runs(country, grid)) <= cells(overlap_runs(country, grid))


def test_a_polygon_outside_or_beside_the_grid_takes_nothing() -> None:
    for bounds in ((3, 0, 9, 3), (-9, 0, 0, 3), (0, 3, 3, 9), (0, -9, 3, 0), (20, 20, 30, 30)):
        assert picture(shape(box(*bounds)), 3, 3) == ["...", "...", "..."]
    assert picture(MultiPolygon(), 1, 1) == ["."]


def test_a_polygon_across_the_date_line_lies_at_both_ends_of_a_grid_from_180_west() -> None:
    grid = Grid(-180.0, 45.0, 45.0, 45.0, 1, 8)
    ring = [(170, 0), (-130, 0), (-130, 45), (170, 45)]
    assert drawn(overlap_runs(cut(Polygon(ring)), grid), grid) == ["##.....#"]


def test_a_cell_across_the_date_line_is_met_from_both_sides() -> None:
    grid = Grid(-180.05, 0.1, 0.1, 0.1, 1, 3600)
    for bounds in ((179.97, 0, 180, 0.1), (-180, 0, -179.97, 0.1)):
        assert cells(overlap_runs(shape(box(*bounds)), grid)) == {(0, 0)}


@pytest.mark.parametrize("step", [0.1, 1 / 120, 0.0083333333])
def test_land_that_ends_at_the_date_line_does_not_touch_the_other_side(step: float) -> None:
    ncols = round(180 / step)
    grid = Grid(0.0, step, step, step, 1, 2 * ncols)
    east = overlap_runs(shape(box(-180, 0, -180 + 2.5 * step, step)), grid)
    west = overlap_runs(shape(box(180 - 2.5 * step, 0, 180, step)), grid)
    # Only a step written with too few digits moves the date line into a cell.
    first = ncols if abs(step * ncols - 180) < 1e-6 * step else ncols - 1
    assert min(col for _, col in cells(east)) >= first
    assert max(col for _, col in cells(west)) <= ncols


@pytest.mark.parametrize("x0", [-180.00000000001, -179.99999999999])
def test_a_grid_a_hair_off_the_date_line_takes_no_column_at_its_other_end(x0: float) -> None:
    grid = Grid(x0, 0.1, 0.1, 0.1, 1, 3600)
    assert cells(overlap_runs(shape(box(-180, 0, -179.95, 0.1)), grid)) == {(0, 0)}
    west = cells(overlap_runs(shape(box(179.95, 0, 180, 0.1)), grid))
    assert west == {(0, 3599)}
