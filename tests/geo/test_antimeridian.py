"""The antimeridian: what is cut, what is closed over a pole, and what stays as it is."""

from __future__ import annotations

from typing import Any

import pytest
import shapely
from shapely import MultiPolygon, Polygon, box

from segment1b.geo.antimeridian import cut

Box = tuple[float, float, float, float]
PIECES: list[Box] = [(170, 0, 180, 10), (-180, 0, -170, 10)]


def around(lat: float, *lons: float) -> list[tuple[float, float]]:
    return [(lon, lat) for lon in lons]


def same(geometry: MultiPolygon, *boxes: Box) -> bool:
    """Return whether a valid geometry is the union of boxes."""
    expected = shapely.union_all([box(*b) for b in boxes])
    return bool(geometry.is_valid and shapely.equals(geometry, expected))


@pytest.mark.parametrize(
    ("ring", "boxes"),
    [
        ([(170, 0), (-170, 0), (-170, 10), (170, 10)], PIECES),
        ([(170, 0), (170, 10), (-170, 10), (-170, 0)], PIECES),
        (
            [
                *[(-10, 0), (100, 0), (170, 0), (-170, 0)],
                *[(-170, 10), (170, 10), (100, 10), (-10, 10)],
            ],
            [(-10, 0, 180, 10), (-180, 0, -170, 10)],
        ),
        (box(170, 0, 190, 10).exterior, PIECES),
        (box(-190, 0, -170, 10).exterior, PIECES),
        ([(170, 0), (180, 0), (-180, 5), (180, 10), (170, 10)], PIECES[:1]),
        (
            [(170, 80), (-170, 80), (-170, 90), (170, 90)],
            [(170, 80, 180, 90), (-180, 80, -170, 90)],
        ),
    ],
    ids=[
        *("across", "the other way round", "across 180 and 0", "drawn past 180"),
        *("drawn past -180", "between the names of the date line", "a wedge up to the pole"),
    ],
)
def test_a_ring_is_cut_at_the_date_line(ring: Any, boxes: list[Box]) -> None:
    assert same(cut(Polygon(ring)), *boxes)


def test_a_polygon_across_longitude_0_comes_back_untouched() -> None:
    country = MultiPolygon([box(-5, -5, 5, 5), box(100, 0, 110, 10)])
    assert cut(country) is country


def test_a_polygon_that_is_not_cut_becomes_a_multipolygon_with_the_same_points() -> None:
    polygon = box(-5, -5, 5, 5)
    assert shapely.get_coordinates(cut(polygon)).tolist() == [
        list(point) for point in polygon.exterior.coords
    ]


def test_only_the_part_that_crosses_is_cut() -> None:
    island = Polygon([(1, 1), (2, 1.1), (1.5, 2)])
    country = MultiPolygon([island, Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)])])
    pieces = shapely.get_parts(cut(country))
    assert len(pieces) == 3
    assert pieces[0].equals_exact(island)


SHELL = [(170, 0), (-170, 0), (-170, 10), (170, 10)]


@pytest.mark.parametrize(
    ("shell", "hole", "area", "outside", "inside"),
    [
        (SHELL, [(175, 4), (-175, 4), (-175, 6), (175, 6)], 20, [178, -178], []),
        (SHELL, [(-178, 4), (-176, 4), (-176, 6), (-178, 6)], 4, [-177], [177, -175, -179]),
        (SHELL[1:] + SHELL[:1], [(172, 4), (174, 4), (174, 6), (172, 6)], 4, [173], []),
    ],
    ids=["across", "beyond", "before a shell that starts beyond"],
)
def test_a_hole_is_cut_or_moved_with_its_shell(
    shell: Any, hole: Any, area: float, outside: list[float], inside: list[float]
) -> None:
    got = cut(Polygon(shell, [hole]))
    assert got.is_valid
    assert got.area == pytest.approx(200 - area)
    assert not shapely.intersects_xy(got, outside, 5).any()
    assert shapely.intersects_xy(got, inside, 5).all()


def test_rounding_beyond_180_is_no_land_beyond_the_date_line() -> None:
    country = MultiPolygon([box(170, 0, 180.00000000001, 10)])
    assert cut(country) is country
    ring = [(170, 0), (180.00000000001, 0), (-180, 10), (170, 10)]
    assert len(cut(Polygon(ring)).geoms) == 1


def test_an_edge_along_the_date_line_is_no_crossing() -> None:
    country = MultiPolygon([box(170, 0, 180, 10), box(-180, 0, -170, 10)])
    assert cut(country) is country


def test_seams_along_a_pole_stay() -> None:
    coast = [(180, -70), (90, -65), (0, -70), (-90, -65), (-180, -70)]
    country = MultiPolygon([Polygon([(-180, -90), (180, -90), *coast])])
    assert cut(country) is country


@pytest.mark.parametrize(("lat", "pole"), [(60.0, 90.0), (-60.0, -90.0)])
@pytest.mark.parametrize("start", [0, 1, 4])
@pytest.mark.parametrize("step", [1, -1])
def test_a_ring_that_winds_is_closed_over_its_pole(
    lat: float, pole: float, start: int, step: int
) -> None:
    lons = [-170, -90, 0, 90, 170]
    ring = around(lat, *(lons[start:] + lons[:start])[::step])
    south, north = sorted((lat, pole))
    assert same(cut(Polygon(ring)), (-180, south, 180, north))


@pytest.mark.parametrize("west", [-5.0, 40.0, 175.0, -178.0])
def test_a_cap_keeps_its_hole_wherever_it_was_drawn_from(west: float) -> None:
    east = west + 10 if west + 10 <= 180 else west - 350
    hole = [(west, 70), (east, 70), (east, 75), (west, 75)]
    cap = cut(Polygon(around(60, 0, 90, 170, -170, -90), [hole]))
    assert cap.is_valid
    assert cap.area == pytest.approx(360 * 30 - 50)


def test_a_polygon_that_crosses_itself_once_unwrapped_is_named() -> None:
    bow = [(175, 0), (-175, 10), (-175, 0), (175, 10)]
    with pytest.raises(ValueError, match=r"Self-intersection\[180 5\]"):
        cut(Polygon(bow))
