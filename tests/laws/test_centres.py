"""Shared centres: worked values, and the plain definition in Python integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segment1b.laws import centres
from segment1b.laws.jitter import Tiles, in_tile, point

WORDS = st.integers(0, 2**64 - 1)
#: Tile 1348181 of the embedded world at 0.1 degree.
WEST, CENTROID = -1.8999999999999773, -1.8499999999999943


def test_the_worked_site_of_the_specification() -> None:
    one = np.array([1])
    words = centres.site_words(42, "GB", one, one, np.array([101], np.uint64))
    assert [f"{int(word[0]):016x}" for word in words] == [
        "973842787e500936",
        "9a19d2430d6aedb2",
        "55c1639e6c121768",
        "626ae6fa48cf8064",
    ]
    count = centres.centres_of(np.array([239_098_000_000]), 12_000)
    assert count.tolist() == [20]
    assert centres.ranks(words[1], count.astype(np.int64)).tolist() == [5]
    x, y, inside = centres.disk(words[2], words[3])
    assert (round(float(x[0]), 6), round(float(y[0]), 6)) == (-0.330036, -0.231113)
    assert inside.all()
    u = centres.centre_uniforms(42, "GB", one, np.array([5]), np.array([1348181], np.uint64))
    # South and west from rows and columns of 0.1 degree, as the embedded world stores them.
    columns = (52.5, 52.6, WEST, -1.8, 52.55, CENTROID)
    tile = Tiles(*(np.array([value]) for value in columns))
    lon, lat = in_tile(u, tile)
    assert (round(float(lon[0]), 7), round(float(lat[0]), 7)) == (0.0111418, 0.0274775)


def test_the_shares_of_three_and_of_twenty_centres() -> None:
    running = centres._RUNNING.tolist()
    assert (running[2], running[19]) == (2015771317589, 3955756586734)
    assert running == [sum(2**40 // j for j in range(1, i + 1)) for i in range(1, 513)]


@given(st.lists(st.tuples(WORDS, st.integers(1, 512)), min_size=1))
def test_a_rank_is_the_first_whose_running_sum_exceeds_the_share(
    drawn: list[tuple[int, int]],
) -> None:
    def plain(word: int, count: int) -> int:
        x = word * sum(2**40 // i for i in range(1, count + 1)) // 2**64
        rank = 0
        while x >= 0:
            rank += 1
            x -= 2**40 // rank
        return rank

    words, counts = np.array([w for w, _ in drawn], np.uint64), np.array([c for _, c in drawn])
    assert centres.ranks(words, counts).tolist() == [plain(*one) for one in drawn]


@given(st.lists(st.integers(0, 2**62)), st.integers(1, 10**9))
def test_a_tile_has_a_centre_for_every_so_many_people_or_part_of_them(
    people: list[int], each: int
) -> None:
    found = centres.centres_of(np.array(people, np.int64), each).tolist()
    assert found == [min(512, max(1, -(-one // (each * 10**6)))) for one in people]


@given(WORDS, st.integers(0, 1000))
def test_the_tail_is_a_thousandth_of_the_words_for_each_permille(word: int, permille: int) -> None:
    tail = centres.is_tail(np.array([word], np.uint64), permille)
    assert tail.tolist() == [word < permille * (2**64 // 1000)]


@given(WORDS, WORDS)
def test_the_disk_has_the_points_within_one(w2: int, w3: int) -> None:
    x, y, inside = centres.disk(*(np.array([word], np.uint64) for word in (w2, w3)))
    a, b = (2 * Fraction(2 * (word >> 12) + 1, 2**53) - 1 for word in (w2, w3))
    assert (float(x[0]), float(y[0])) == (float(a), float(b))
    # Two squares and a sum are rounded: only a hair from the edge that could matter.
    if abs(a * a + b * b - 1) > Fraction(1, 2**50):
        assert inside.tolist() == [a * a + b * b <= 1]


@pytest.mark.parametrize(
    ("tile", "admitted"),
    [
        ((0.0, 1 / 120, 0.0, 1 / 120), False),  # 30 arc-seconds
        ((0.0, 0.05, 0.0, 0.05), True),
        ((60.0, 60.05, 179.975, -179.975), True),  # across the date line
        ((80.0, 80.05, 0.0, 0.05), False),  # narrower than 1800 m
        ((0.0, 0.05, 0.0, 0.0161), False),
        ((0.0, 0.0161, 0.0, 0.05), False),
        ((0.0, 0.0163, 0.0, 0.0163), True),
    ],
)
def test_tiles_of_four_radii_have_centres(
    tile: tuple[float, float, float, float], admitted: bool
) -> None:
    south, north, west, east = tile
    width = (east - west) % 360
    tiles = Tiles(*(np.array([v]) for v in (*tile, (south + north) / 2, (west + east) / 2)))
    area = 111_195.0**2 * width * (north - south) * np.cos(np.radians((south + north) / 2))
    areas = np.array([area])
    assert centres.admits(tiles, areas, 450).tolist() == [admitted]
    r_lon, r_lat = centres.radii_deg(tiles, areas, 450)
    # 450 metres, whichever way.
    metres = area / ((north - south) * 111_195.0) / width
    assert float(r_lon[0]) * metres == pytest.approx(450)
    assert float(r_lat[0]) * 111_195 == pytest.approx(450)
    assert point(r_lon, r_lat, tiles)[1][0] > (south + north) / 2
