"""Both rules against exact arithmetic, on polygons whose points lie on borders and centres."""

from __future__ import annotations

from typing import NamedTuple

import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon

from geo.naive import cells, center_cells, overlap_cells
from segment1b.geo.antimeridian import cut
from segment1b.geo.grid import Grid
from segment1b.geo.scanline import bounding_cells, center_runs, hole_cells, overlap_runs

NROWS, NCOLS = 4, 5


class World(NamedTuple):
    """A grid and the lattice polygons are drawn on: half cells, so borders and centres."""

    grid: Grid
    west: float
    south: float
    step: float


WORLDS = [
    World(Grid(-2.0, 2.0, 1.0, 1.0, NROWS, NCOLS), -2.5, -2.5, 0.5),
    World(Grid(-0.3, 0.2, 0.1, 0.1, NROWS, NCOLS), -0.35, -0.25, 0.05),
    World(Grid(7.0, 52.0, 1 / 120, 1 / 120, NROWS, NCOLS), 7 - 1 / 240, 52 - 9 / 240, 1 / 240),
    # Across the date line, met by copies from the other side.
    World(Grid(178.0, 2.0, 1.0, 1.0, NROWS, NCOLS), 177.5, -2.5, 0.5),
    World(Grid(-180.25, 0.2, 0.1, 0.1, NROWS, NCOLS), -180.3, -0.25, 0.05),
]

points = st.tuples(st.integers(0, 2 * NCOLS + 2), st.integers(0, 2 * NROWS + 2))
rings = st.lists(points, min_size=3, max_size=6, unique=True)


@st.composite
def drawings(draw: st.DrawFn) -> tuple[Grid, MultiPolygon]:
    """Return a grid and a valid country on its lattice: some rings, less some others."""
    world = draw(st.sampled_from(WORLDS))

    def land(some: list[list[tuple[int, int]]]) -> shapely.Geometry:
        placed = [
            Polygon([(world.west + x * world.step, world.south + y * world.step) for x, y in ring])
            for ring in some
        ]
        return shapely.union_all(shapely.buffer(placed, 0.0))

    whole = land(draw(st.lists(rings, min_size=1, max_size=2)))
    less = land(draw(st.lists(rings, max_size=2)))
    left = shapely.get_parts(shapely.difference(whole, less))
    country = MultiPolygon([part for part in left if part.geom_type == "Polygon"])
    # Overlays round the points they make; what they leave may touch itself by a last bit.
    return world.grid, country if country.is_valid else MultiPolygon()


@settings(deadline=None, derandomize=True, max_examples=150)
@given(drawings())
def test_center_is_exact(drawing: tuple[Grid, MultiPolygon]) -> None:
    grid, country = drawing
    assert cells(center_runs(country, grid)) == center_cells(country, grid)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(drawings())
def test_any_overlap_is_exact(drawing: tuple[Grid, MultiPolygon]) -> None:
    grid, country = drawing
    assert cells(overlap_runs(country, grid)) == overlap_cells(country, grid)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(drawings())
def test_cells_visited_are_enough_for_all_that_is_counted(
    drawing: tuple[Grid, MultiPolygon],
) -> None:
    grid, country = drawing
    for included in (center_runs(country, grid), overlap_runs(country, grid)):
        lost = hole_cells(country, grid, included)
        assert lost >= 0
        assert bounding_cells(country, grid) >= included.count + lost


@settings(deadline=None, derandomize=True, max_examples=100)
@given(drawings())
def test_a_cut_at_the_date_line_moves_no_centre_that_is_off_it(
    drawing: tuple[Grid, MultiPolygon],
) -> None:
    grid, country = drawing
    on_line = {col for col in range(grid.ncols) if abs(grid.centre_lon([col])[0]) == 180.0}
    before, after = (cells(center_runs(c, grid)) for c in (country, cut(country)))
    moved = {(row, col) for row, col in before ^ after if col not in on_line}
    if country.bounds and max(map(abs, country.bounds)) <= 180.0:
        assert before == after
    # A slanted edge is cut at a rounded point, which may pass a centre on the edge by a last bit.
    for row, col in moved:
        lon, lat = float(grid.plain_lon([col])[0]), float(grid.centre_lat([row])[0])
        assert shapely.distance(country.boundary, shapely.Point(lon, lat)) < 1e-12 or any(
            shapely.distance(country.boundary, shapely.Point(lon + turn, lat)) < 1e-12
            for turn in (-360, 360)
        )
