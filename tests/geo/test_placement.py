"""A country as S6 needs it: points strictly inside, interior tiles, tiles cut by the border."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon, box

from segment1b.geo.countries import read_countries
from segment1b.geo.placement import Clip, Country
from segment1b.reference import embedded

derandomized = settings(deadline=None, derandomize=True)

#: A square with a hole.
RING = MultiPolygon([Polygon(box(0, 0, 10, 10).exterior, [box(4, 4, 6, 6).exterior])])
#: Both sides of the date line, cut at it.
SEAM = MultiPolygon([box(178, -19, 180, -16), box(-180, -19, -178, -16)])
#: Round the south pole.
CAP = MultiPolygon([box(-180, -90, 180, -70)])
#: All countries, in full detail.
WORLD = read_countries(Path(embedded.surface("world_countries.parquet")))


def contains(country: Country, lon: float, lat: float) -> bool:
    return bool(country.contains(np.array([lon]), np.array([lat]))[0])


def interior(country: Country, *tile: float) -> bool:
    """Ask for one tile: west, south, east, north."""
    return bool(country.interior(*(np.array([float(side)]) for side in tile))[0])


@pytest.mark.parametrize(
    ("lon", "lat", "holds"),
    [
        (1.0, 1.0, True),
        (0.0, 5.0, False),
        (10.0, 10.0, False),
        (5.0, 5.0, False),
        (4.0, 5.0, False),
        (3.999999, 5.0, True),
        (11.0, 5.0, False),
    ],
)
def test_points_are_strictly_inside(lon: float, lat: float, holds: bool) -> None:
    """Borders have no area: neither the shell's nor the hole's belongs to the country."""
    assert contains(Country(RING), lon, lat) is holds


def test_the_seam_at_180_is_a_border() -> None:
    country = Country(SEAM)
    assert contains(country, 179.999, -17.0)
    assert contains(country, -179.999, -17.0)
    assert not contains(country, -180.0, -17.0)


@pytest.mark.parametrize(
    ("tile", "holds"),
    [
        ((1, 1, 2, 2), True),
        ((0, 1, 1, 2), False),  # touches the shell along a side
        ((1, 9, 2, 10), False),
        ((3, 3, 4, 4), False),  # touches the hole in one corner
        ((3, 3, 3.5, 3.5), True),
        ((3.5, 3.5, 6.5, 6.5), False),  # holds the hole
        ((4.5, 4.5, 5.5, 5.5), False),  # in the hole
        ((-1, -1, 11, 11), False),
    ],
)
def test_interior_tiles_never_touch_the_border(tile: tuple[float, ...], holds: bool) -> None:
    assert interior(Country(RING), *tile) is holds


def test_no_tile_at_the_date_line_or_the_pole_is_interior() -> None:
    country = Country(SEAM)
    assert interior(country, 179, -18, 179.5, -17)
    assert not interior(country, 179.5, -18, 180, -17)
    assert not interior(country, 179.75, -18, -179.75, -17)
    # Its plain rectangle would span the globe the other way round: still none.
    assert not interior(Country(CAP), 179.75, -80, -179.75, -79)
    assert not interior(Country(CAP), 10, -90, 10.5, -89.5)
    assert interior(Country(CAP), 10, -89.5, 10.5, -89)


@derandomized
@given(
    st.integers(-4, 44),
    st.integers(-4, 44),
    st.integers(1, 8),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5),
)
def test_all_points_of_an_interior_tile_are_inside(
    west: int, south: int, size: int, shares: list[tuple[float, float]]
) -> None:
    """So an interior tile needs no test (b); and those that are not interior leave the country."""
    tile = (west / 4, south / 4, (west + size) / 4, (south + size) / 4)
    country, square = Country(RING), box(*tile)
    if interior(country, *tile):
        for a, b in [*shares, (0.0, 0.0), (1.0, 1.0)]:
            lon = tile[0] + a * (tile[2] - tile[0])
            assert contains(country, lon, tile[1] + b * (tile[3] - tile[1]))
    else:
        assert not square.within(RING) or shapely.intersects(square, RING.boundary)


def test_a_clip_is_the_envelope_of_tile_and_country() -> None:
    clip = Country(RING).clip(9.5, 9.0, 10.5, 11.0, 10.0)
    assert clip == Clip(9.5, 10.0, 9.0, 10.0, 9.75, 9.5)


def test_the_surface_point_lies_in_the_largest_part() -> None:
    parts = MultiPolygon([box(0, 0, 0.1, 1), box(0.5, 0, 0.9, 1)])
    clip = Country(parts).clip(0.0, 0.0, 1.0, 1.0, 0.5)
    assert clip is not None
    assert clip[:4] == (0.0, 0.9, 0.0, 1.0)
    assert 0.5 < clip.lon < 0.9


@pytest.mark.parametrize("lon", [179.875, -180.0, -179.9])
def test_a_clip_across_the_date_line_lies_on_the_centroids_side(lon: float) -> None:
    clip = Country(SEAM).clip(179.75, -18.0, -179.75, -17.5, lon)
    side = 0.0 if lon > 0 else -360.0
    assert clip is not None
    assert clip[:4] == (179.75 + side, 180.25 + side, -18.0, -17.5)
    assert abs(clip.lon - lon) < 1


@pytest.mark.parametrize(
    ("part", "lon", "west", "east"),
    [
        (box(178, -19, 180, -16), -180.0, -180.25, -180.0),
        (box(178, -19, 180, -16), 179.9, 179.75, 180.0),
        (box(-180, -19, -178, -16), -180.0, -180.0, -179.75),
        (box(-180, -19, -178, -16), 179.9, 180.0, 180.25),
    ],
)
def test_a_country_on_one_side_of_the_date_line_is_clipped_there(
    part: Polygon, lon: float, west: float, east: float
) -> None:
    clip = Country(MultiPolygon([part])).clip(179.75, -18.0, -179.75, -17.5, lon)
    assert clip is not None
    assert (clip.west, clip.east) == (west, east)
    assert west < clip.lon < east


@pytest.mark.parametrize(
    "tile",
    [
        (11, 0, 12, 1),  # apart
        (10, 0, 11, 1),  # a side in common
        (10, 10, 11, 11),  # a corner in common
        (4.2, 4.2, 5.8, 5.8),  # in the hole
        (4, 4, 6, 6),  # the hole
    ],
)
def test_where_tile_and_country_share_no_area_there_is_no_clip(tile: tuple[float, ...]) -> None:
    assert Country(RING).clip(*tile, 0.0) is None


def test_a_meeting_in_a_line_and_an_area_clips_the_area() -> None:
    """The intersection is a collection; only its polygons count."""
    parts = MultiPolygon([box(0, 0, 1, 3), box(1.5, 2, 3, 3)])
    clip = Country(parts).clip(0.5, 1.0, 2.0, 2.0, 1.25)
    assert clip is not None
    assert clip[:4] == (0.5, 1.0, 1.0, 2.0)


def test_a_sliver_of_a_metre_has_a_clip_and_a_point_inside() -> None:
    country = Country(MultiPolygon([box(0.2, 0.1, 0.2 + 9e-6, 0.4)]))
    clip = country.clip(0.0, 0.0, 0.5, 0.5, 0.25)
    assert clip is not None
    assert clip[:4] == (0.2, 0.2 + 9e-6, 0.1, 0.4)
    assert contains(country, clip.lon, clip.lat)


def test_countries_made_from_one_shape_share_nothing_among_threads() -> None:
    shapely.prepare(RING)
    lon = np.linspace(-1, 11, 20_001)

    def count(_: int) -> int:
        return int(Country(RING).contains(lon, np.full_like(lon, 5.0)).sum())

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(count, range(16)))) == 1


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.floats(0.05, 0.9),
    st.floats(0.05, 0.9),
    st.floats(-1, 1),
    st.sampled_from(["CH", "ZA", "NO", "NZ", "AQ"]),
)
def test_interior_tiles_of_a_grid_are_those_that_geos_finds(
    width: float, height: float, offset: float, code: str
) -> None:
    """Countries with lakes, fjords, an enclave, islands on both sides of 180 and a pole."""
    shape = WORLD[code]
    west, south, east, north = max(shape.geoms, key=lambda part: part.area).bounds
    at_x, at_y = np.meshgrid(
        np.arange(west - 1 + offset * width, min(east + 1, west + 40 * width), width),
        np.arange(south - 1 + offset * height, min(north + 1, south + 40 * height), height),
    )
    x, y = at_x.ravel(), at_y.ravel()
    boxes = shapely.box(x, y, x + width, y + height)
    found = Country(shape).interior(x, y, x + width, y + height)
    assert found.tolist() == shapely.contains_properly(shape, boxes).tolist()
