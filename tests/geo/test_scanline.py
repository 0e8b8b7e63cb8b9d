"""Both rules on drawings: centres on borders, interiors that meet; and the counts of cells."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from shapely import MultiPolygon, Polygon, box

from geo.naive import cells, drawn, hollow, shape, unit_grid
from segment1b.geo.antimeridian import cut
from segment1b.geo.grid import Grid
from segment1b.geo.scanline import (
    Runs,
    center_runs,
    overlap_runs,
    union,
)

Rule = Callable[[MultiPolygon, Grid], Runs]
RULES = (center_runs, overlap_runs)


def picture(rule: Rule, country: MultiPolygon, nrows: int, ncols: int) -> list[str]:
    grid = unit_grid(nrows, ncols)
    return drawn(rule(country, grid), grid)


def runs(*triples: tuple[int, int, int]) -> Runs:
    return Runs(*np.array(triples, np.int64).reshape(-1, 3).T)


def beside(value: float, towards: float) -> float:
    return float(np.nextafter(value, towards))


TILT = 2.0**-40  # of a shallow edge
LAND = hollow(box(0, 0, 5, 3), box(0.75, 0.75, 4.5, 2.25))
#: A country and the cells whose centre it holds, from the north: `#` is in.
CENTRES: dict[str, tuple[MultiPolygon, str]] = {
    "a box along cell borders": (shape(box(1, 1, 4, 3)), "..... .###. .###. ....."),
    "centres on every side of a shell are in": (
        shape(box(0.5, 0.5, 3.5, 2.5)),
        "..... ####. ####. ####.",
    ),
    "centres on every side of a hole are out": (
        shape(hollow(box(0, 0, 5, 5), box(1.5, 1.5, 3.5, 3.5))),
        "##### #...# #...# #...# #####",
    ),
    "a vertex on a centre line counts once": (
        shape([(1, 1.5), (3, 0), (5, 1.5), (3, 3)]),
        "..##.. .####. ..##..",
    ),
    "a tooth that ends on a centre line leaves no trail": (
        shape([(0, 0), (6, 0), (6, 1), (4, 1), (3.25, 1.5), (2, 1), (0, 1)]),
        "...... ######",
    ),
    "a tooth that ends in a centre holds it": (
        shape([(0, 0), (6, 0), (6, 1), (4, 1), (3.5, 1.5), (2, 1), (0, 1)]),
        "...#.. ######",
    ),
    "a notch that ends on a centre line tears nothing": (
        shape([(0, 0), (6, 0), (6, 3), (4, 3), (3.25, 1.5), (2, 3), (0, 3)]),
        "##..## ###### ######",
    ),
    "a step along a centre line holds the centres on it": (
        shape([(0, 0), (6, 0), (6, 2), (3, 2), (3, 1.5), (0, 1.5)]),
        "###### ######",
    ),
    "a ditch down to a centre line too": (
        shape([(0, 0), (6, 0), (6, 2), (5, 2), (5, 1.5), (2, 1.5), (2, 2), (0, 2)]),
        "###### ######",
    ),
    "a shallow edge leaves a centre line where it rises through it": (
        shape([(0, 0), (6, 0), (6, 1.5 + 3 * TILT), (0, 1.5 - 3 * TILT)]),
        "...### ######",
    ),
    "a shallow edge leaves a centre line where it sinks through it": (
        shape([(0, 0), (6, 0), (6, 1.5 - 3 * TILT), (0, 1.5 + 4 * TILT)]),
        "###... ######",
    ),
    "a shallow edge through a centre holds it": (
        shape([(0, 0), (7, 0), (7, 1.5 - 3.5 * TILT), (0, 1.5 + 3.5 * TILT)]),
        "####... #######",
    ),
    "a diagonal through centres, land below": (
        shape([(0, 0), (4, 0), (4, 4)]),
        "...# ..## .### ####",
    ),
    "a diagonal through centres, land above": (
        shape([(0, 0), (4, 4), (0, 4)]),
        "#### ###. ##.. #...",
    ),
    "smaller than a cell, around its centre": (shape(box(1.4, 0.4, 1.6, 0.6)), ".#."),
    "smaller than a cell, beside its centre": (shape(box(1.6, 0.6, 1.9, 0.9)), "..."),
    "larger than the grid": (shape(box(-9, -9, 9, 9)), "### ###"),
    "islands in lakes are land": (
        shape(
            hollow(box(0, 0, 7, 7), box(1, 1, 6, 6)),
            hollow(box(2, 2, 5, 5), box(3, 3, 4, 4)),
        ),
        "####### #.....# #.###.# #.#.#.# #.###.# #.....# #######",
    ),
    "an island that touches its lake in a centre holds it": (
        shape(LAND, Polygon([(4.5, 1.5), (3, 2), (2, 1.5), (3, 1)])),
        "##### #.### #####",
    ),
    "without that island the centre is out": (shape(LAND), "##### #.... #####"),
    "an island that touches the south shore in a centre holds it alone": (
        shape(
            hollow(box(0, 0, 5, 3), box(0.5, 0.5, 4.5, 2.75)),
            Polygon([(2.5, 0.5), (3, 1), (2, 1)]),
        ),
        "..... ..... ..#..",
    ),
    "a hole that touches its shell in a centre takes it out": (
        shape(Polygon(box(0.5, 0, 4, 3).exterior, [[(0.5, 1.5), (3, 1), (3, 2)]])),
        "#### ...# ####",
    ),
    "parts that touch in a point stay two": (
        shape(box(0, 0, 2, 2), box(2, 2, 4, 4)),
        "..## ..## ##.. ##..",
    ),
}


#: A country and the cells that its interior meets: a touch, however long, is out.
INTERIORS: dict[str, tuple[MultiPolygon, str]] = {
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


@pytest.mark.parametrize(
    ("rule", "country", "drawing"),
    [
        *(pytest.param(center_runs, *case, id=f"center, {n}") for n, case in CENTRES.items()),
        *(pytest.param(overlap_runs, *case, id=f"overlap, {n}") for n, case in INTERIORS.items()),
    ],
)
def test_a_country_takes_the_cells_of_the_drawing(
    rule: Rule, country: MultiPolygon, drawing: str
) -> None:
    rows = drawing.split()
    assert picture(rule, country, len(rows), len(rows[0])) == rows


@pytest.mark.parametrize("rule", RULES)
def test_a_polygon_outside_or_beside_the_grid_takes_nothing(rule: Rule) -> None:
    for bounds in ((3, 0, 9, 3), (-9, 0, 0, 3), (0, 3, 3, 9), (0, -9, 3, 0), (20, 20, 30, 30)):
        assert picture(rule, shape(box(*bounds)), 3, 3) == ["...", "...", "..."]
    assert picture(rule, MultiPolygon(), 1, 1) == ["."]


@pytest.mark.parametrize(
    ("rule", "border", "west", "east"),
    [
        (center_runs, [(1, 0), (2, 1.5), (1.5, 2.5), (2, 3)], "##.. ##.. #...", ".### ..## .###"),
        (overlap_runs, [(1, 0), (2, 1), (2, 2), (2.5, 3)], "###. ##.. ##..", "..## ..## .###"),
    ],
)
def test_two_countries_share_the_cells_of_their_border(
    rule: Rule, border: list[tuple[float, float]], west: str, east: str
) -> None:
    """Their centres on it, or the cells it runs through."""
    assert picture(rule, shape([(0, 0), *border, (0, 3)]), 3, 4) == west.split()
    assert picture(rule, shape([*border, (4, 3), (4, 0)]), 3, 4) == east.split()


def test_the_order_and_direction_of_points_do_not_matter() -> None:
    ring = [(0.5, 0.5), (4.5, 1.5), (2.5, 3.5), (1.25, 1.75)]
    expected = picture(center_runs, shape(ring), 4, 5)
    for turned in (ring[::-1], ring[2:] + ring[:2]):
        assert picture(center_runs, shape(turned), 4, 5) == expected


def test_a_cell_that_holds_its_centre_on_a_shell_is_always_taken() -> None:
    country = shape(box(0.5, 0.5, 3.5, 2.5))
    grid = unit_grid(4, 5)
    assert cells(center_runs(country, grid)) <= cells(overlap_runs(country, grid))


ACROSS = Polygon([(120, 0), (-120, 0), (-120, 45), (120, 45)])
PAST_THE_DATE_LINE = Polygon([(170, 0), (-130, 0), (-130, 45), (170, 45)])


@pytest.mark.parametrize(
    ("rule", "country", "grid", "drawing"),
    [
        (center_runs, shape(box(-2, 0, 2, 1)), Grid(-3.0, 1.0, 1.0, 1.0, 1, 6), ".####."),
        (center_runs, ACROSS, Grid(-180.0, 45.0, 45.0, 45.0, 1, 8), "#......#"),
        (center_runs, ACROSS, Grid(0.0, 45.0, 45.0, 45.0, 1, 8), "...##..."),
        (center_runs, shape(box(-45, 0, 90, 45)), Grid(0.0, 45.0, 45.0, 45.0, 1, 8), "##.....#"),
        (overlap_runs, PAST_THE_DATE_LINE, Grid(-180.0, 45.0, 45.0, 45.0, 1, 8), "##.....#"),
    ],
)
def test_a_polygon_across_longitude_0_or_180_is_not_torn(
    rule: Rule, country: Polygon | MultiPolygon, grid: Grid, drawing: str
) -> None:
    assert drawn(rule(cut(country), grid), grid) == [drawing]


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


def test_a_centre_on_the_date_line_belongs_to_either_side() -> None:
    grid = Grid(-180.5, 1.0, 1.0, 1.0, 1, 360)
    for bounds in ((-180, 0, -178, 1), (178, 0, 180, 1)):
        assert (0, 0) in cells(center_runs(shape(box(*bounds)), grid))
    assert center_runs(shape(box(178, 0, 180, 1)), grid).count == 3


def test_a_country_around_a_pole_reaches_to_the_last_row() -> None:
    grid = Grid(-180.0, 90.0, 45.0, 15.0, 12, 8)
    cap = cut(Polygon([(lon, -60.0) for lon in (-170, -90, 0, 90, 170)]))
    assert drawn(center_runs(cap, grid), grid) == ["........"] * 10 + ["########"] * 2


def test_centres_on_a_pole_are_on_the_border_of_a_country_around_it() -> None:
    grid = Grid(-180.0, -82.5, 90.0, 5.0, 2, 4)
    assert drawn(center_runs(shape(box(-180, -90, 180, -80)), grid), grid) == ["####", "####"]


def test_runs_are_expanded_in_order_and_in_any_stretch() -> None:
    some = runs((0, 2, 4), (0, 5, 6), (3, 0, 3))
    every = [(0, 2), (0, 3), (0, 5), (3, 0), (3, 1), (3, 2)]
    for low in range(len(every) + 1):
        for high in range(low, len(every) + 2):
            rows, cols = some.expand(low, high)
            assert (rows.dtype, cols.dtype) == (np.uint32, np.uint32)
            got = list(zip(rows.tolist(), cols.tolist(), strict=True))
            assert got == every[low:high]


def test_no_runs_expand_to_no_cells() -> None:
    rows, cols = runs().expand(0, 10)
    assert (len(rows), len(cols), runs().count) == (0, 0, 0)


def test_a_stretch_of_a_long_run_costs_only_its_own_cells() -> None:
    long = runs((0, 0, 10_000_000), (1, 0, 10_000_000))
    tracemalloc.start()
    try:
        rows, cols = long.expand(9_999_998, 10_000_001)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert list(zip(rows, cols, strict=True)) == [(0, 9_999_998), (0, 9_999_999), (1, 0)]
    assert peak < 100_000


def test_union_merges_what_touches_and_drops_what_is_double() -> None:
    one = union([runs((0, 0, 2), (1, 5, 6)), runs((0, 2, 4), (1, 5, 6)), runs((0, 9, 10))], 10)
    assert (one.row.tolist(), one.start.tolist(), one.stop.tolist()) == (
        [0, 0, 1],
        [0, 9, 5],
        [4, 10, 6],
    )


def test_a_run_to_the_last_column_does_not_flow_into_the_next_row() -> None:
    one = union([runs((0, 3, 5), (1, 0, 2))], 5)
    assert list(zip(one.row, one.start, one.stop, strict=True)) == [(0, 3, 5), (1, 0, 2)]
    assert union([], 5).count == 0


@pytest.mark.parametrize("ncols", [4, 5])
def test_runs_are_sorted_disjoint_and_do_not_touch(ncols: int) -> None:
    grid = unit_grid(4, ncols)
    got = center_runs(shape(box(0, 0, 2, 4), box(2.25, 1, 4, 3)), grid)
    key = got.row * (ncols + 1)
    assert (got.start < got.stop).all()
    assert ((key + got.stop)[:-1] < (key + got.start)[1:]).all()
