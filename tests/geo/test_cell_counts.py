"""How many cells a country has, loses to holes, and has in its bounding rectangle."""

from __future__ import annotations

import pytest
from shapely import MultiPolygon, box

from geo.naive import hollow, shape, unit_grid
from segment1b.geo.grid import Grid
from segment1b.geo.scanline import (
    bounding_cells,
    center_runs,
    hole_cells,
    overlap_runs,
)

GRID = unit_grid(7, 7)
LAKE = hollow(box(0, 0, 7, 7), box(1, 1, 6, 6))
ISLAND = box(2, 2, 5, 5)


@pytest.mark.parametrize(
    ("country", "lost"),
    [
        (shape(LAKE), 25),
        (shape(LAKE, ISLAND), 16),
        (shape(ISLAND), 0),
        # Centres on the shore are lost to the lake.
        (shape(hollow(box(0, 0, 7, 7), box(1.5, 1.5, 3.5, 3.5))), 9),
    ],
)
def test_cells_of_a_lake_are_lost_and_those_of_its_island_are_not(
    country: MultiPolygon, lost: int
) -> None:
    assert hole_cells(country, GRID, center_runs(country, GRID)) == lost


def test_cells_that_any_overlap_includes_are_not_lost() -> None:
    country = shape(hollow(box(0, 0, 7, 7), box(1.4, 1.4, 3.6, 3.6)))
    included = overlap_runs(country, GRID)
    assert included.count == 48
    assert hole_cells(country, GRID, included) == 1
    assert hole_cells(country, GRID, center_runs(country, GRID)) == 9


def test_the_bounding_rectangle_holds_at_least_what_is_included_or_lost() -> None:
    country = shape(LAKE)
    included = center_runs(country, GRID)
    assert bounding_cells(country, GRID) == 49
    assert included.count + hole_cells(country, GRID, included) == 49


@pytest.mark.parametrize(
    ("bounds", "count"),
    [((0.2, 0.2, 0.8, 0.8), 1), ((0.5, 0.5, 2.5, 1.5), 6), ((-9, -9, 9, 9), 49), ((8, 8, 9, 9), 0)],
)
def test_cells_of_a_bounding_rectangle(bounds: tuple[float, ...], count: int) -> None:
    assert bounding_cells(shape(box(*bounds)), GRID) == count


def test_the_bounding_rectangle_is_clipped_to_the_grid_and_wrapped() -> None:
    grid = Grid(0.0, 90.0, 90.0, 90.0, 2, 4)
    assert bounding_cells(shape(box(-45, 10, 45, 80)), grid) == 2
    assert bounding_cells(shape(box(-180, -80, 180, 80)), grid) == 8
    assert bounding_cells(MultiPolygon(), grid) == 0
