"""Rule `center` on drawings: which cells a country holds when their centres lie on its border."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from shapely import MultiPolygon, Polygon, box

from geo.naive import cells, drawn, shape, unit_grid
from segment1b.geo.antimeridian import cut
from segment1b.geo.grid import Grid
from segment1b.geo.scanline import Runs, center_runs, union


def picture(country: MultiPolygon, nrows: int, ncols: int) -> list[str]:
    grid = unit_grid(nrows, ncols)
    return drawn(center_runs(country, grid), grid)


def runs(*triples: tuple[int, int, int]) -> Runs:
    return Runs(*np.array(triples, np.int64).reshape(-1, 3).T)


def hollow(shell: Polygon, *holes: Polygon) -> Polygon:
    return Polygon(shell.exterior, [hole.exterior for hole in holes])


TILT = 2.0**-40  # of a shallow edge
LAND = hollow(box(0, 0, 5, 3), box(0.75, 0.75, 4.5, 2.25))
#: A country and the cells it holds, from the north: `#` is in.
DRAWINGS: dict[str, tuple[MultiPolygon, str]] = {
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


@pytest.mark.parametrize(("country", "drawing"), DRAWINGS.values(), ids=list(DRAWINGS))
def test_a_country_holds_the_centres_in_it_or_on_its_shell(
    country: MultiPolygon, drawing: str
) -> None:
    rows = drawing.split()
    assert picture(country, len(rows), len(rows[0])) == rows


def test_a_polygon_outside_the_grid_holds_nothing() -> None:
    grid = unit_grid(3, 3)
    for bounds in ((5, 0, 9, 3), (-9, 0, -5, 3), (0, 5, 3, 9), (0, -9, 3, -5)):
        assert center_runs(shape(box(*bounds)), grid).count == 0
    assert center_runs(MultiPolygon(), grid).count == 0


def test_two_countries_that_share_a_border_both_hold_the_centres_on_it() -> None:
    grid = unit_grid(3, 4)
    border = [(1, 0), (2, 1.5), (1.5, 2.5), (2, 3)]
    west = center_runs(shape([(0, 0), *border, (0, 3)]), grid)
    east = center_runs(shape([*border, (4, 3), (4, 0)]), grid)
    assert drawn(west, grid) == ["##..", "##..", "#..."]
    assert drawn(east, grid) == [".###", "..##", ".###"]


def test_the_order_and_direction_of_points_do_not_matter() -> None:
    ring = [(0.5, 0.5), (4.5, 1.5), (2.5, 3.5), (1.25, 1.75)]
    expected = picture(shape(ring), 4, 5)
    for turned in (ring[::-1], ring[2:] + ring[:2]):
        assert picture(shape(turned), 4, 5) == expected


ACROSS = Polygon([(120, 0), (-120, 0), (-120, 45), (120, 45)])


@pytest.mark.parametrize(
    ("country", "grid", "drawing"),
    [
        (shape(box(-2, 0, 2, 1)), Grid(-3.0, 1.0, 1.0, 1.0, 1, 6), ".####."),
        (ACROSS, Grid(-180.0, 45.0, 45.0, 45.0, 1, 8), "#......#"),
        (ACROSS, Grid(0.0, 45.0, 45.0, 45.0, 1, 8), "...##..."),
        (shape(box(-45, 0, 90, 45)), Grid(0.0, 45.0, 45.0, 45.0, 1, 8), "##.....#"),
    ],
    ids=["0 from west", "180 from -180", "180 from 0", "0 from 0"],
)
def test_a_polygon_across_longitude_0_or_180_is_not_torn(
    country: Polygon | MultiPolygon, grid: Grid, drawing: str
) -> None:
    assert drawn(center_runs(cut(country), grid), grid) == [drawing]


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
