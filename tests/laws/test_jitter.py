"""S6's law of an attempt: worked values, the plain definition, and what a draw depends on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.laws.jitter import (
    LABEL,
    Tiles,
    draws,
    in_box,
    in_tile,
    inside_tile,
    point,
    wrap,
)
from segment1b.laws.philox import country_word, key_of

derandomized = settings(deadline=None, derandomize=True)
U = st.floats(2.0**-53, 1 - 2.0**-53)


def tiles(west: float, south: float, east: float, north: float, lon: float, lat: float) -> Tiles:
    return Tiles(*(np.array([v]) for v in (south, north, west, east, lat, lon)))


def numbers(*values: float) -> tuple[np.ndarray, ...]:
    return tuple(np.array([value]) for value in values)


def site(merchant: int = 101, order: int = 1) -> tuple[np.ndarray, np.ndarray]:
    return np.array([merchant], np.uint64), np.array([order])


WORKED = tiles(-0.25, 51.50, -0.20, 51.55, -0.225, 51.525)
#: The date line of docs/spec/s6-points.md#worked-numbers, in thirds of a minute of arc.
ACROSS = tiles(179.99875, 10.0, -179.99291667, 10.01, -179.99708333, 10.005)


def test_a_tile_across_the_date_line_holds_both_sides_and_nothing_between() -> None:
    for lon, holds in (
        (179.99875, True),
        (179.9987, False),
        (-180.0, True),
        (-179.99291667, True),
        (-179.9929, False),
        (0.0, False),
    ):
        assert inside_tile(*numbers(lon, 10.0), ACROSS).tolist() == [holds], lon
    assert not inside_tile(*numbers(-180.0, 9.999), ACROSS).any()


@pytest.mark.parametrize(
    ("west", "south", "east", "north"), [(1, 2, 3, 4), (-180, -90, -179.5, -89.5)]
)
def test_a_tile_is_closed_and_has_no_tolerance(
    west: float, south: float, east: float, north: float
) -> None:
    tile = tiles(west, south, east, north, (west + east) / 2, (south + north) / 2)
    for lon in (west, east):
        for lat in (south, north):
            assert inside_tile(*numbers(lon, lat), tile).all()
            outward = np.nextafter(lon, np.inf if lon == east else -np.inf)
            assert not inside_tile(*numbers(outward, lat), tile).any()
            outward = np.nextafter(lat, np.inf if lat == north else -np.inf)
            assert not inside_tile(*numbers(lon, outward), tile).any()


@pytest.mark.parametrize(
    ("lon", "wrapped"),
    [
        (180.0, -180.0),
        (-180.0, -180.0),
        (180.25, -179.75),
        (-180.25, 179.75),
        (179.5, 179.5),
        (0.0, 0.0),
    ],
)
def test_longitudes_are_in_minus_180_to_180(lon: float, wrapped: float) -> None:
    assert wrap(np.array([lon])).tolist() == [wrapped]


@derandomized
@given(st.floats(180.0, 181.0))
def test_wrapping_loses_nothing_near_the_date_line(lon: float) -> None:
    """Floats have one spacing from 128 to 256 degrees, so the step round the globe is exact."""
    (west,), (east,) = (wrap(np.array([x])).tolist() for x in (lon, -lon))
    assert -180.0 <= west < 180.0
    assert west + 360.0 == lon
    assert -180.0 <= east < 180.0
    assert east == -lon if lon == 180.0 else east - 360.0 == -lon


@derandomized
@given(st.integers(0, 359), st.integers(-90, 89), st.sampled_from([0.5, 0.1, 1 / 120]), U, U)
def test_offsets_and_points_are_the_definition_bit_for_bit(
    column: int, south: int, step: float, u0: float, u1: float
) -> None:
    """One rounding for each operation, as plain Python floats have it."""
    west = column - 180.25
    east, north = west + step, south + step
    c_lon, c_lat = west + step / 2, south + step / 2
    west, east, c_lon = (x + 360.0 if x < -180 else x for x in (west, east, c_lon))
    tile = tiles(west, south, east, north, c_lon, c_lat)
    width = east - west
    if width < 0:
        width = width + 360.0
    d_lon, d_lat = (u0 - 0.5) * width, (u1 - 0.5) * (north - south)
    lon, lat = c_lon + d_lon, c_lat + d_lat
    if lon >= 180:
        lon = lon - 360.0
    elif lon < -180:
        lon = lon + 360.0
    across = west > east
    in_lon = (lon >= west or lon <= east) if across else west <= lon <= east
    found = in_tile(numbers(u0, u1), tile)
    assert [float(v[0]) for v in found] == [d_lon, d_lat]
    at = point(*found, tile)
    assert [float(v[0]) for v in at] == [lon, lat]
    assert inside_tile(*at, tile).tolist() == [in_lon and south <= lat <= north]


@derandomized
@given(U, U)
def test_a_point_in_an_envelope_lies_in_it(u0: float, u1: float) -> None:
    """Longitudes of the envelope run past 180 on the centroid's side."""
    box = numbers(-180.001, -179.999, 10.001, 10.002)
    d_lon, d_lat = in_box(numbers(u0, u1), box, ACROSS)
    west, east = -180.001, -179.999
    assert float(d_lon[0]) == (west + u0 * (east - west)) - -179.99708333
    lon, lat = point(d_lon, d_lat, ACROSS)
    # Subtracting and adding the centroid rounds twice: half an ulp of 256 each.
    slack = 2.0**-44
    assert 179.999 - slack <= lon[0] < 180 or -180 <= lon[0] <= -179.999 + slack
    assert 10.001 - slack <= lat[0] <= 10.002 + slack


@derandomized
@given(
    st.integers(0, 2**64 - 1),
    st.sampled_from(["AA", "GB", "ZZ"]),
    st.integers(1, 1024),
    st.lists(st.tuples(st.integers(1, 2**63 - 1), st.integers(1, 999_999)), min_size=1, max_size=6),
)
def test_a_draw_depends_on_seed_site_key_and_attempt_alone(
    seed: int, country: str, attempt: int, keys: list[tuple[int, int]]
) -> None:
    """Each equals numpy's own for its counter, whoever stands beside it."""
    merchant, order = (np.array(v) for v in zip(*keys, strict=True))
    u = draws(seed, country, attempt, merchant.astype(np.uint64), order)
    key = np.array(key_of(LABEL, seed), np.uint64)
    for at, (m, j) in enumerate(keys):
        counter = np.array([attempt - 1, j, m, country_word(country)], np.uint64)
        raw = np.random.Philox(key=key, counter=counter).random_raw(2)
        assert [float(v[at]) for v in u] == [((int(w) >> 12) + 0.5) * 2.0**-52 for w in raw]


def test_tiles_are_picked_by_index() -> None:
    both = Tiles(*(np.concatenate(pair) for pair in zip(WORKED, ACROSS, strict=True)))
    assert both.at(np.array([1, 0, 1])).west.tolist() == [179.99875, -0.25, 179.99875]
