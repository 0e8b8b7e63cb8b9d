"""The validators' own words, areas and meetings of tile and country, against worked values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon

from segment1b.audit.country_areas import Area
from segment1b.audit.s1.polygons import Country
from segment1b.audit.words import country_word, key_of, products, uniforms, words

KEYS = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))


def area(*parts: Polygon) -> Area:
    return Area(Country("QQ", MultiPolygon(list(parts))))


def one_site(label: str, attempts: int = 1) -> Any:
    site = (np.full(attempts, n) for n in (1, 101, country_word("GB")))
    return words(key_of(label, 42), *site, np.arange(attempts) + 1, taken=2)


def test_keys_and_words_are_those_of_the_design() -> None:
    assert [f"{int(k):016x}" for k in key_of("site_tile_assign", 42)] == [
        "97b373b73186a9e6",
        "764539bf91958f65",
    ]
    assert country_word("GB") == 18242
    assert f"{int(one_site('site_tile_assign')[0, 0]):x}" == "d17a07fbbc321b2f"
    drawn = one_site("in_cell_jitter", 2)
    assert [f"{int(w):x}" for w in drawn[0]] == ["cabc9cd9b25a852a", "c139f82e844630e8"]
    assert uniforms(drawn).round(7).tolist() == [
        [0.7919405, 0.7547908],
        [0.9306463, 0.6856066],
    ]


@pytest.mark.parametrize("taken", [1, 2, 4])
def test_each_attempt_of_each_site_has_a_block_of_its_own(taken: int) -> None:
    key, attempts = key_of("in_cell_jitter", 7), np.array([1, 2, 1, 7], np.uint16)
    orders, merchants = np.array([1, 1, 2, 1]), np.array([5, 5, 5, 2**63 - 1], np.uint64)
    country = np.full(4, country_word("NO"))
    found = words(key, orders, merchants, country, attempts, taken).tolist()
    expected = [
        np.random.Philox(key=key, counter=[k - 1, int(o), int(m), 0x4E4F]).random_raw(4)[:taken]
        for o, m, k in zip(orders, merchants, attempts.tolist(), strict=True)
    ]
    assert found == [block.tolist() for block in expected]
    assert words(key, orders[:0], merchants[:0], country[:0], taken=taken).shape == (0, taken)


@given(
    st.lists(
        st.tuples(st.integers(1, 2**64 - 1), *[st.integers(0, 2**64 - 1)] * 3),
        min_size=1,
        max_size=5,
    ),
    KEYS,
)
def test_blocks_of_any_counter_and_key_are_those_of_numpy(
    counters: list[tuple[int, ...]], key: tuple[int, int]
) -> None:
    attempt, order, merchant, country = (
        np.array(c, np.uint64) for c in zip(*counters, strict=True)
    )
    own = np.array(key, np.uint64)
    found = words(own, order, merchant, country, attempt, 4).tolist()
    before = np.array(counters, np.uint64)
    before[:, 0] -= np.uint64(1)
    assert found == [np.random.Philox(key=own, counter=c).random_raw(4).tolist() for c in before]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_the_upper_half_of_a_product_is_exact(one: int, other: int) -> None:
    assert products(np.array([one], np.uint64), np.uint64(other)).tolist() == [one * other >> 64]


def test_uniforms_never_reach_their_ends() -> None:
    ends = uniforms(np.array([0, 2**64 - 1], np.uint64))
    assert ends.tolist() == [2.0**-53, 1 - 2.0**-53]


def test_a_country_across_the_date_line_is_two_pieces_and_its_border_is_outside() -> None:
    fiji = area(shapely.box(177, -20, 183, -15))
    assert fiji.shape.bounds == (-180, -20, 180, -15)
    lon, lat = np.array([179.0, -178.0, -176.0, 177.0]), np.array([-16.0, -16.0, -16.0, -16.0])
    assert fiji.holds(lon, lat).tolist() == [True, True, False, False]


@pytest.mark.parametrize(("centroid", "turn"), [(179.75, 0.0), (-179.75, -360.0)])
def test_a_tile_across_the_date_line_meets_its_country_on_the_centroids_side(
    centroid: float, turn: float
) -> None:
    fiji = area(shapely.box(179.6, -20, 180.25, -15))
    met = fiji.meet(179.5, -16.5, -179.5, -15.5, centroid)
    assert (met.west, met.east) == pytest.approx((179.6 + turn, 180.25 + turn))
    assert (met.south, met.north) == (-16.5, -15.5)
    lon, lat = met.surface
    assert met.west < lon < met.east
    assert met.south < lat < met.north


def test_the_surface_point_is_that_of_the_largest_piece() -> None:
    # The widest section of the whole is that of the flat piece, which is the smaller one.
    flat, high = shapely.box(0.0, 0.4, 0.6, 0.5), shapely.box(0.7, 0.0, 0.9, 0.9)
    met = area(flat, high).meet(0, 0, 1, 1, 0.5)
    assert shapely.box(0.7, 0.0, 0.9, 0.9).contains(shapely.Point(met.surface))
    assert flat.contains(shapely.point_on_surface(MultiPolygon([flat, high])))


def test_a_tile_that_only_touches_its_country_meets_it_nowhere() -> None:
    with pytest.raises(ValueError, match="do not meet"):
        area(shapely.box(0, 0, 1, 1)).meet(1, 0, 2, 1, 1.5)


def test_tiles_are_interior_only_when_their_edges_are() -> None:
    land = area(shapely.box(0, 0, 3, 3))
    sides = np.array([[1, 1, 2, 2], [0, 1, 1, 2], [2, 2, 4, 3], [179, 1, -179, 2]], float).T
    assert land.surrounds(*sides).tolist() == [True, False, False, False]
