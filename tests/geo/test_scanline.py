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


def test_a_box_along_cell_borders_holds_its_cells() -> None:
    assert picture(shape(box(1, 1, 4, 3)), 4, 5) == [
        ".....",
        ".###.",
        ".###.",
        ".....",
    ]


def test_centres_on_every_side_of_a_shell_are_in() -> None:
    assert picture(shape(box(0.5, 0.5, 3.5, 2.5)), 4, 5) == [
        ".....",
        "####.",
        "####.",
        "####.",
    ]


def test_centres_on_every_side_of_a_hole_are_out() -> None:
    ring = Polygon(box(0, 0, 5, 5).exterior, [box(1.5, 1.5, 3.5, 3.5).exterior])
    assert picture(shape(ring), 5, 5) == [
        "#####",
        "#...#",
        "#...#",
        "#...#",
        "#####",
    ]


def test_a_vertex_on_a_centre_line_counts_once() -> None:
    assert picture(shape([(1, 1.5), (3, 0), (5, 1.5), (3, 3)]), 3, 6) == [
        "..##..",
        ".####.",
        "..##..",
    ]


def test_a_tooth_that_ends_on_a_centre_line_leaves_no_trail() -> None:
    tooth = [(0, 0), (6, 0), (6, 1), (4, 1), (3.25, 1.5), (2, 1), (0, 1)]
    assert picture(shape(tooth), 2, 6) == ["......", "######"]


def test_a_tooth_that_ends_in_a_centre_holds_it() -> None:
    tooth = [(0, 0), (6, 0), (6, 1), (4, 1), (3.5, 1.5), (2, 1), (0, 1)]
    assert picture(shape(tooth), 2, 6) == ["...#..", "######"]


def test_a_notch_that_ends_on_a_centre_line_tears_nothing() -> None:
    notch = [(0, 0), (6, 0), (6, 3), (4, 3), (3.25, 1.5), (2, 3), (0, 3)]
    assert picture(shape(notch), 3, 6) == ["##..##", "######", "######"]


def test_a_step_along_a_centre_line_holds_the_centres_on_it() -> None:
    step = [(0, 0), (6, 0), (6, 2), (3, 2), (3, 1.5), (0, 1.5)]
    assert picture(shape(step), 2, 6) == ["######", "######"]
    ditch = [(0, 0), (6, 0), (6, 2), (5, 2), (5, 1.5), (2, 1.5), (2, 2), (0, 2)]
    assert picture(shape(ditch), 2, 6) == ["######", "######"]


def test_a_shallow_edge_leaves_a_centre_line_where_it_crosses_it() -> None:
    tilt = 2.0**-40
    rises = [(0, 0), (6, 0), (6, 1.5 + 3 * tilt), (0, 1.5 - 3 * tilt)]
    assert picture(shape(rises), 2, 6) == ["...###", "######"]
    sinks = [(0, 0), (6, 0), (6, 1.5 - 3 * tilt), (0, 1.5 + 4 * tilt)]
    assert picture(shape(sinks), 2, 6) == ["###...", "######"]


def test_a_shallow_edge_through_a_centre_holds_it() -> None:
    tilt = 2.0**-40
    through = [(0, 0), (7, 0), (7, 1.5 - 3.5 * tilt), (0, 1.5 + 3.5 * tilt)]
    assert picture(shape(through), 2, 7) == ["####...", "#######"]


def test_a_diagonal_through_centres_holds_them() -> None:
    assert picture(shape([(0, 0), (4, 0), (4, 4)]), 4, 4) == ["...#", "..##", ".###", "####"]
    assert picture(shape([(0, 0), (4, 4), (0, 4)]), 4, 4) == ["####", "###.", "##..", "#..."]


def test_a_polygon_smaller_than_a_cell_holds_it_only_around_its_centre() -> None:
    assert picture(shape(box(1.4, 0.4, 1.6, 0.6)), 1, 3) == [".#."]
    assert picture(shape(box(1.6, 0.6, 1.9, 0.9)), 1, 3) == ["..."]


def test_a_polygon_outside_the_grid_holds_nothing() -> None:
    grid = unit_grid(3, 3)
    for bounds in ((5, 0, 9, 3), (-9, 0, -5, 3), (0, 5, 3, 9), (0, -9, 3, -5)):
        assert center_runs(shape(box(*bounds)), grid).count == 0
    assert center_runs(MultiPolygon(), grid).count == 0


def test_a_polygon_larger_than_the_grid_holds_all_of_it() -> None:
    assert picture(shape(box(-9, -9, 9, 9)), 2, 3) == ["###", "###"]


def test_islands_in_lakes_are_land() -> None:
    land = Polygon(box(0, 0, 7, 7).exterior, [box(1, 1, 6, 6).exterior])
    island = Polygon(box(2, 2, 5, 5).exterior, [box(3, 3, 4, 4).exterior])
    assert picture(shape(land, island), 7, 7) == [
        "#######",
        "#.....#",
        "#.###.#",
        "#.#.#.#",
        "#.###.#",
        "#.....#",
        "#######",
    ]


def test_an_island_that_touches_its_lake_in_a_centre_holds_it() -> None:
    land = Polygon(box(0, 0, 5, 3).exterior, [box(0.75, 0.75, 4.5, 2.25).exterior])
    island = Polygon([(4.5, 1.5), (3, 2), (2, 1.5), (3, 1)])
    assert picture(shape(land, island), 3, 5) == ["#####", "#.###", "#####"]
    assert picture(shape(land), 3, 5) == ["#####", "#....", "#####"]


def test_an_island_that_touches_the_south_shore_in_a_centre_holds_that_centre_alone() -> None:
    land = Polygon(box(0, 0, 5, 3).exterior, [box(0.5, 0.5, 4.5, 2.75).exterior])
    island = Polygon([(2.5, 0.5), (3, 1), (2, 1)])
    assert picture(shape(land, island), 3, 5) == [".....", ".....", "..#.."]


def test_a_hole_that_touches_its_shell_in_a_centre_takes_it_out() -> None:
    land = Polygon(box(0.5, 0, 4, 3).exterior, [[(0.5, 1.5), (3, 1), (3, 2)]])
    assert picture(shape(land), 3, 4) == ["####", "...#", "####"]


def test_two_countries_that_share_a_border_both_hold_the_centres_on_it() -> None:
    grid = unit_grid(3, 4)
    border = [(1, 0), (2, 1.5), (1.5, 2.5), (2, 3)]
    west = center_runs(shape([(0, 0), *border, (0, 3)]), grid)
    east = center_runs(shape([*border, (4, 3), (4, 0)]), grid)
    assert drawn(west, grid) == ["##..", "##..", "#..."]
    assert drawn(east, grid) == [".###", "..##", ".###"]


def test_parts_that_touch_in_a_point_stay_two() -> None:
    assert picture(shape(box(0, 0, 2, 2), box(2, 2, 4, 4)), 4, 4) == [
        "..##",
        "..##",
        "##..",
        "##..",
    ]


def test_the_order_and_direction_of_points_do_not_matter() -> None:
    ring = [(0.5, 0.5), (4.5, 1.5), (2.5, 3.5), (1.25, 1.75)]
    expected = picture(shape(ring), 4, 5)
    for turned in (ring[::-1], ring[2:] + ring[:2]):
        assert picture(shape(turned), 4, 5) == expected


def test_a_polygon_across_longitude_0_is_not_torn() -> None:
    grid = Grid(-3.0, 1.0, 1.0, 1.0, 1, 6)
    assert drawn(center_runs(cut(shape(box(-2, 0, 2, 1))), grid), grid) == [".####."]


def test_a_polygon_across_the_date_line_lies_at_both_ends_of_a_grid_from_180_west() -> None:
    grid = Grid(-180.0, 45.0, 45.0, 45.0, 1, 8)
    ring = [(120, 0), (-120, 0), (-120, 45), (120, 45)]
    assert drawn(center_runs(cut(Polygon(ring)), grid), grid) == ["#......#"]


def test_a_polygon_across_the_date_line_lies_in_the_middle_of_a_grid_from_0() -> None:
    grid = Grid(0.0, 45.0, 45.0, 45.0, 1, 8)
    ring = [(120, 0), (-120, 0), (-120, 45), (120, 45)]
    assert drawn(center_runs(cut(Polygon(ring)), grid), grid) == ["...##..."]


def test_a_polygon_across_longitude_0_lies_at_both_ends_of_a_grid_from_0() -> None:
    grid = Grid(0.0, 45.0, 45.0, 45.0, 1, 8)
    assert drawn(center_runs(shape(box(-45, 0, 90, 45)), grid), grid) == ["##.....#"]


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
