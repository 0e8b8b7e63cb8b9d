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


def test_a_box_along_cell_borders_takes_none_of_its_neighbours() -> None:
    assert picture(shape(box(1, 1, 4, 3)), 4, 5) == [
        ".....",
        ".###.",
        ".###.",
        ".....",
    ]


def test_a_hair_over_a_border_takes_the_next_cell() -> None:
    over = float(np.nextafter(4.0, 5.0))
    assert picture(shape(box(1, 1, over, 3)), 4, 6)[1] == ".####."
    under = float(np.nextafter(4.0, 3.0))
    assert picture(shape(box(1, 1, under, 3)), 4, 6)[1] == ".###.."
    assert picture(shape(box(1, 1, 4, float(np.nextafter(3.0, 4.0)))), 4, 5)[0] == ".###."


def test_a_polygon_smaller_than_a_cell_takes_it() -> None:
    assert picture(shape(box(1.6, 0.6, 1.9, 0.9)), 1, 3) == [".#."]


def test_a_sliver_without_a_centre_takes_all_its_cells() -> None:
    assert picture(shape([(0.1, 0.1), (4.9, 0.1), (4.9, 0.2)]), 2, 5) == [".....", "#####"]


def test_a_vertex_on_a_corner_takes_only_the_cells_it_points_into() -> None:
    assert picture(shape([(2, 2), (1, 0), (3, 0)]), 4, 4) == ["....", "....", ".##.", ".##."]


def test_a_diagonal_through_corners_takes_the_cells_on_it() -> None:
    assert picture(shape([(0, 0), (4, 4), (4, 0)]), 4, 4) == ["...#", "..##", ".###", "####"]


def test_a_steep_edge_through_a_corner_takes_the_cells_beside_it() -> None:
    assert picture(shape([(1, 0), (2, 3), (4, 3), (4, 0)]), 3, 4) == [".###", ".###", ".###"]
    assert picture(shape([(1, 0), (3, 4), (4, 4), (4, 0)]), 4, 4) == [
        "..##",
        "..##",
        ".###",
        ".###",
    ]


def test_a_shallow_edge_takes_the_row_above_where_it_has_risen() -> None:
    tilt = 2.0**-40
    rises = [(0, 0), (6, 0), (6, 1 + 3 * tilt), (0, 1 - 3 * tilt)]
    assert picture(shape(rises), 2, 6) == ["...###", "######"]
    just_before = [(0, 0), (6, 0), (6, 1 + 3 * tilt), (0, 1 - 2.9 * tilt)]
    assert picture(shape(just_before), 2, 6) == ["..####", "######"]


def test_a_hole_along_cell_borders_takes_its_cells_out() -> None:
    ring = Polygon(box(0, 0, 4, 4).exterior, [box(1, 1, 3, 3).exterior])
    assert picture(shape(ring), 4, 4) == ["####", "#..#", "#..#", "####"]


def test_a_hole_within_a_cell_leaves_it_in() -> None:
    ring = Polygon(box(0, 0, 3, 3).exterior, [box(1.1, 1.1, 1.9, 1.9).exterior])
    assert picture(shape(ring), 3, 3) == ["###", "###", "###"]


def test_a_hole_a_hair_smaller_than_its_cell_leaves_it_in() -> None:
    side = float(np.nextafter(2.0, 1.0))
    ring = Polygon(box(0, 0, 3, 3).exterior, [box(1, 1, side, 2).exterior])
    assert picture(shape(ring), 3, 3) == ["###", "###", "###"]


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


def test_a_polygon_larger_than_the_grid_takes_all_of_it() -> None:
    assert picture(shape([(-9, -9), (30, -9), (-9, 30)]), 2, 3) == ["###", "###"]


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
