"""Points of the curve laws: against Python integers, worked by hand, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.laws.points import (
    balanced_phases,
    balanced_points,
    deal,
    stable_points,
    systematic_points,
)

SOME = settings(max_examples=200, deadline=None, derandomize=True)
GOLDEN = 0x9E3779B97F4A7C15
LENGTHS = st.one_of(st.integers(1, 50), st.integers(0, 15).map(lambda dp: 10**dp))
# Phases of few bits make ranks that are equal, or equal in their first 64 binary digits.
PHASES = st.one_of(
    st.integers(0, (1 << 64) - 1), st.integers(0, 3).map(lambda k: k << 62), st.integers(0, 2)
)
PAIRS = st.lists(st.tuples(PHASES, st.integers(0, 40)), max_size=9)


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def arrays(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return ids(*(u for u, _ in pairs)), np.array([n for _, n in pairs], np.int64)


def test_stable_points_go_pair_by_pair_and_equal_python_integers() -> None:
    """Over several blocks, with empty pairs and every size of K."""
    offsets = [0, (1 << 64) - 1, 12345678901234567890, 7]
    counts = [3, 0, 70_000, 100_001]
    for K in (1, 1000, 10**12, 10**15, (1 << 63) - 1):
        points = stable_points(ids(*offsets), np.array(counts, np.int64), K)
        assert points.tolist() == [
            ((u + j * GOLDEN) % 2**64) * K >> 64
            for u, n in zip(offsets, counts, strict=True)
            for j in range(1, n + 1)
        ]


def test_stable_points_stay_evenly_spread() -> None:
    """No stretch of the line is four sites from its share, for any offset and at any length."""
    K = 10**12
    for offset in (0, 0x0123456789ABCDEF, (1 << 64) - 1):
        sites = stable_points(ids(offset), np.array([2604], np.int64), K)
        for n in (1, 2, 3, 10, 100, 1000, 2604):
            share, rank = np.sort(sites[:n]) * (n / K), np.arange(n)
            behind, ahead = share - rank - 1, share - rank
            assert ahead.max() - behind.min() < 4


@SOME
@given(PAIRS, st.one_of(LENGTHS, st.just((1 << 63) - 1)))
def test_stable_points_are_their_definition(pairs: list[tuple[int, int]], K: int) -> None:
    assert stable_points(*arrays(pairs), K).tolist() == [
        ((u + j * GOLDEN) % 2**64) * K >> 64 for u, n in pairs for j in range(1, n + 1)
    ]


@SOME
@given(PAIRS, st.one_of(LENGTHS, st.just((1 << 62) - 1)))
def test_systematic_points_are_their_definition(pairs: list[tuple[int, int]], K: int) -> None:
    assert systematic_points(*arrays(pairs), K).tolist() == [
        (j * 2**64 + u) * K // (n * 2**64) for u, n in pairs for j in range(n)
    ]


def test_systematic_points_are_exact_over_several_blocks_and_where_128_bits_would_not_do() -> None:
    n, K, U = 3_000_017, 10**15, (1 << 64) - 1
    points = systematic_points(ids(5, U), np.array([2, n], np.int64), K)
    at = [0, 1, 65_535, 65_536, 1_234_567, n - 2, n - 1]
    assert points[2:][at].tolist() == [(j * 2**64 + U) * K // (n * 2**64) for j in at]
    assert (n * 2**64 * K).bit_length() > 128
    assert set(np.diff(points[2:]).tolist()) == {K // n, K // n + 1}


@SOME
@given(st.integers(1, 400), st.integers(1, (1 << 62) - 1), st.data())
def test_balanced_points_are_their_definition(sites: int, K: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, sites))
    last = data.draw(st.integers(first, sites))
    assert balanced_points(first, last, sites, K).tolist() == [
        (2 * k + 1) * K // (2 * sites) for k in range(first, last)
    ]


def test_balanced_points_are_exact_at_the_end_of_the_largest_country() -> None:
    T, K = (1 << 31) - 1, (1 << 62) - 1
    assert balanced_points(T - 3, T, T, K).tolist() == [
        (2 * k + 1) * K // (2 * T) for k in range(T - 3, T)
    ]


@SOME
@given(PAIRS, st.sampled_from([1, 7, 1000]))
def test_sites_are_dealt_by_their_exact_ranks(pairs: list[tuple[int, int]], at_once: int) -> None:
    """Fractions of Python integers, ties by pair and j, whatever is sorted at a time."""
    ranked = sorted(
        (Fraction(j * 2**64 + u, n * 2**64), m, j)
        for m, (u, n) in enumerate(pairs)
        for j in range(n)
    )
    begin = np.cumsum([0, *(n for _, n in pairs)])
    found = [int(at) for part in deal(*arrays(pairs), at_once) for at in part]
    assert found == [begin[m] + j for _, m, j in ranked]


def test_ranks_that_agree_in_64_binary_digits_are_told_apart() -> None:
    """1/n of large n: the ranks of two pairs that differ by less than 2^-64, and two that do not.

    The pairs of n and n+1 sites have ranks of 0 + 1/(n*2^64) and 0 + 1/((n+1)*2^64): the second is
    the smaller, although the first 64 digits of both are 0.
    """
    n = 1_000_003
    dealt = np.concatenate(list(deal(ids(1, 1), np.array([n, n + 1], np.int64), 1 << 22)))
    assert dealt[:2].tolist() == [n, 0]
    dealt = np.concatenate(list(deal(ids(1, 1), np.array([n, n], np.int64), 1 << 22)))
    assert dealt[:4].tolist() == [0, n, 1, n + 1]


def test_a_country_dealt_in_stretches_is_the_country_dealt_at_once() -> None:
    rng = np.random.default_rng(8)
    n = np.minimum((1 / rng.random(20_000)).astype(np.int64) + 1, 30_000)
    phase = balanced_phases(len(n))
    (whole,) = deal(phase, n, int(n.sum()))
    parts = list(deal(phase, n, 9_000))
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert sorted(whole.tolist()) == list(range(int(n.sum())))
    # What bounds memory: no stretch is much longer than asked for.
    assert max(map(len, parts)) < 1.05 * 9_000


def test_phases_are_the_multiples_of_the_golden_ratio_from_one_on() -> None:
    assert balanced_phases(4).tolist() == [(m + 1) * GOLDEN % 2**64 for m in range(4)]
    assert balanced_phases(0).tolist() == []


def test_three_pairs_dealt_by_hand() -> None:
    """Pairs of 1, 2 and 1 sites begin at 0.618, 0.236 and 0.854, multiples of the golden ratio.

    Ranks: 0.618; 0.236/2 = 0.118 and 1.236/2 = 0.618; 0.854. The two of 0.618 are equal to the last
    digit, as the second phase is twice the first less 1: the lower merchant goes first.
    """
    n, phase = np.array([1, 2, 1], np.int64), balanced_phases(3)
    assert Fraction(2**64 + int(phase[1]), 2) == int(phase[0])
    assert [at for part in deal(phase, n, 10) for at in part.tolist()] == [1, 0, 2, 3]
    assert balanced_points(0, 4, 4, 1000).tolist() == [125, 375, 625, 875]


NONE = np.empty(0, np.int64)


def test_no_pairs_have_no_points() -> None:
    assert stable_points(ids(), NONE, 10).tolist() == []
    assert systematic_points(ids(), NONE, 10).tolist() == []
    assert list(deal(ids(), NONE, 10)) == []
