"""Edges and crossings: between which lines an edge passes, where floats alone cannot tell."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon, box

from geo.naive import shape
from segment1b.geo.edges import Crossings, Edges, crossings, edges_of, shifts, spread
from segment1b.geo.grid import Grid

GRID = Grid(0.0, 10.0, 1.0, 1.0, 10, 20)


def edge(x1: float, y1: float, x2: float, y2: float) -> Edges:
    ends = (np.array([v], float) for v in (x1, y1, x2, y2))
    return Edges(*ends, np.zeros(1, np.int64), np.zeros(1, bool))


def at(one: tuple[float, float, float, float], lat: float, shift: float = 0.0) -> tuple[int, bool]:
    """Return the first border that is not west of where an edge passes a latitude."""
    got: Crossings = crossings(edge(*one), np.array([lat]), shift, GRID.plain_edge, GRID.a)
    return int(got.line[0]), bool(got.on[0])


def test_shells_run_counter_clockwise_and_holes_clockwise() -> None:
    country = shape(Polygon(box(0, 0, 4, 4).exterior, [box(1, 1, 2, 2).exterior]), box(5, 5, 6, 6))
    edges = edges_of(country)
    area = (edges.x1 * edges.y2 - edges.x2 * edges.y1) / 2
    assert edges.owner.tolist() == [0] * 8 + [1] * 4
    assert edges.hole.tolist() == [False] * 4 + [True] * 4 + [False] * 4
    assert [area[edges.hole].sum(), area.sum()] == [-1.0, 16.0 - 1.0 + 1.0]


def test_no_edge_leads_from_one_ring_to_the_next() -> None:
    edges = edges_of(shape(box(0, 0, 1, 1), box(5, 5, 6, 6)))
    assert np.abs(edges.x2 - edges.x1).max() == 1.0
    assert len(edges_of(MultiPolygon()).x1) == 0


def test_spread_lists_what_lies_between_two_numbers() -> None:
    index, value = spread(np.array([3, 5, 2]), np.array([4, 4, 2]))
    assert index.tolist() == [0, 0, 2]
    assert value.tolist() == [3, 4, 2]


@pytest.mark.parametrize(
    ("one", "lat", "expected"),
    [
        ((0.5, 0, 0.5, 2), 1, (1, False)),
        ((3, 0, 3, 2), 1, (3, True)),
        ((2.5, 0, 3.5, 2), 1, (3, True)),
        ((2.5, 0, 3.5, 2), 0.5, (3, False)),
        ((2.5, 0, 3.5, 2), 1.5, (4, False)),
        ((3, 1, 8, 1), 1, (3, True)),
        ((8, 1, 3, 1), 1, (8, True)),
        ((-5, 0, -4, 1), 0, (-5, True)),
        ((0, 0, 3, 7), 7, (3, True)),
    ],
)
def test_a_crossing_knows_its_line(
    one: tuple[float, float, float, float], lat: float, expected: tuple[int, bool]
) -> None:
    assert at(one, lat) == expected


def test_a_third_of_the_way_is_not_a_third() -> None:
    # 1/3 of 3 is exact as a rational; as floats the share is rounded first.
    assert at((0, 0, 9, 3), 1 / 3) == (1, False)
    assert Fraction(1 / 3) * 3 < 1


@pytest.mark.parametrize("steps", [-2, -1, 0, 1, 2])
def test_one_float_beside_a_line_is_beside_it(steps: int) -> None:
    lon = 3.0
    for _ in range(abs(steps)):
        lon = float(np.nextafter(lon, lon + steps))
    assert at((lon, 0, lon, 2), 1) == (3 + (steps > 0), steps == 0)


def test_a_shift_that_rounds_does_not_move_a_point_onto_a_line() -> None:
    just_west, just_east = -357.0 - 1e-13, float(np.nextafter(-1e-20 - 357.0, 0.0))
    assert at((just_west, 0, just_west, 2), 1, 360.0) == (3, False)
    assert at((just_east, 0, just_east, 2), 1, 360.0) == (4, False)
    # 1e-20 - 360 + 360 is lost by rounding, and yet the point lies east of 0.
    assert at((1e-20, 0, 1e-20, 2), 1, 0.0) == (1, False)
    assert at((1e-20, 0, 1e-20, 2), 1, 5.0) == (6, False)
    assert at((-1e-20, 0, -1e-20, 2), 1, 5.0) == (5, False)


def test_an_edge_that_hardly_rises_is_placed_exactly() -> None:
    rise = 2.0**-50
    assert at((0, 1, 8, 1 + 8 * rise), 1 + 3 * rise) == (3, True)
    assert at((0, 1, 7, 1 + 8 * rise), 1 + 3 * rise) == (3, False)


@settings(deadline=None, derandomize=True)
@given(
    st.tuples(*[st.integers(-40, 40)] * 4),
    st.fractions(0, 1, max_denominator=8),
    st.sampled_from([0.0, 360.0, -360.0]),
    st.sampled_from([0.1, 1 / 3, 0.25]),
)
def test_crossings_agree_with_rationals(
    ends: tuple[int, int, int, int], share: Fraction, shift: float, step: float
) -> None:
    grid = Grid(-4.0, 10.0, step, step, 10, 400)
    x1, y1, x2, y2 = (v * step / 2 for v in ends)
    lat = min(max(float(y1 + float(share) * (y2 - y1)), min(y1, y2)), max(y1, y2))
    got = crossings(
        edge(x1 - shift, y1, x2 - shift, y2), np.array([lat]), shift, grid.plain_edge, step
    )
    start, end = Fraction(x1 - shift), Fraction(x2 - shift)
    way = (
        Fraction(0) if y1 == y2 else (Fraction(lat) - Fraction(y1)) / (Fraction(y2) - Fraction(y1))
    )
    exact = start + way * (end - start) + Fraction(shift)
    line = int(got.line[0])
    before, here = (Fraction(float(v)) for v in grid.plain_edge([line - 1, line]))
    assert before < exact <= here
    assert bool(got.on[0]) is (exact == here)


@pytest.mark.parametrize(
    ("x0", "ncols", "bounds", "expected"),
    [
        (-180.0, 360, (-10, 0, 10, 10), [0.0]),
        (0.0, 360, (-10, 0, 10, 10), [0.0, 360.0]),
        (-180.5, 360, (170, 0, 180, 10), [-360.0, 0.0]),
        (-180.0, 360, (-180, 0, -170, 10), [0.0]),
        (-180.0, 360, (170, 0, 180, 10), [0.0]),
        (-540.0, 360, (170, 0, 180, 10), [-360.0]),
        (-180.0, 10, (0, 0, 10, 10), []),
    ],
)
def test_copies_are_made_only_where_they_meet_the_grid(
    x0: float, ncols: int, bounds: tuple[float, ...], expected: list[float]
) -> None:
    assert shifts(shape(box(*bounds)), Grid(x0, 90.0, 1.0, 1.0, 180, ncols)) == expected


def test_a_copy_that_reaches_in_by_rounding_is_not_made() -> None:
    grid = Grid(-180.0, 90.0, 1.0, 1.0, 180, 360)
    assert shifts(shape(box(170, 0, 180.00000000001, 10)), grid) == [0.0]
    assert shifts(shape(box(-180.00000000001, 0, -170, 10)), grid) == [0.0]
    assert shifts(shape(box(170, 0, 180.1, 10)), grid) == [-360.0, 0.0]
    assert shifts(shapely.MultiPolygon(), grid) == []
