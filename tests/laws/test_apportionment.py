"""Largest remainder and quantisation: worked numbers, plain definitions, limits and refusals."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from segment1b.laws.apportionment import (
    cut_largest,
    give_above,
    heaviest,
    largest_remainder,
    largest_remainder_by_n,
    leading_bits,
    leading_counts,
    quantise,
    shared_ties,
)
from segment1b.laws.division import muldiv

USUAL = settings.default.max_examples
FULL = settings(max_examples=20 * USUAL, deadline=None, derandomize=True)
SOME = settings(max_examples=5 * USUAL, deadline=None, derandomize=True)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_ties_at_the_cut_go_by_id_over_many_blocks() -> None:
    """300,000 equal weights: the winners are the lowest ids, all of them decided by the tie."""
    t, n = 300_000, 123_457
    solved = largest_remainder(np.full(t, 1, np.int64), n, t)
    assert np.flatnonzero(solved.counts).tolist() == list(range(n))
    assert (solved.shortfall, solved.ties_broken) == (n, n)


def test_a_tie_with_a_tile_behind_the_heaviest_is_counted() -> None:
    """By n only the n heaviest are looked at, yet the tile behind them has the cut's remainder."""
    weights = whole(100, 300, 300, 300)
    (one,) = largest_remainder_by_n(weights, whole(1), 1000)
    assert one.positions.tolist() == [1]
    assert (one.shortfall, one.ties_broken) == (1, 1)
    part = largest_remainder(weights[1:2], 1, 1000, beyond=300)
    assert (part.counts.tolist(), part.ties_broken) == ([1], 1)
    part = largest_remainder(weights[1:2], 1, 1000, beyond=299)
    assert (part.counts.tolist(), part.ties_broken) == ([1], 0)


def test_the_n_heaviest_by_weight_then_position() -> None:
    """Equal weights: the earlier position; the answer is in ascending position."""
    weights = whole(5, 9, 5, 7, 5)
    assert heaviest(weights, 0).tolist() == []
    assert heaviest(weights, 1).tolist() == [1]
    assert heaviest(weights, 3).tolist() == [0, 1, 3]
    assert heaviest(weights, 4).tolist() == [0, 1, 2, 3]
    assert heaviest(weights, 9).tolist() == [0, 1, 2, 3, 4]


def test_a_cut_says_how_many_ties_are_in_and_out() -> None:
    """Three of four sevens are in, up to position 4."""
    cut = cut_largest(whole(7, 9, 7, 1, 7, 7), 4)
    assert cut == (7, 5, 3, 1)


@pytest.mark.parametrize("bits", [0, 1, 15, 16, 17, 40, 62])
def test_the_cut_of_a_long_array_is_that_of_a_sorted_list(bits: int) -> None:
    """Digit by digit, for values of every width, few of them different or all."""
    words = np.random.Philox(key=bits).random_raw(70_000)
    values = (words >> np.uint64(64 - bits) if bits else words * np.uint64(0)).astype(np.int64)
    ranked = sorted(values.tolist(), reverse=True)
    for k in (1, 2, 35_000, 69_999, 70_000):
        cut = cut_largest(values, k)
        assert cut.threshold == ranked[k - 1]
        assert cut.kept == ranked[:k].count(ranked[k - 1])
        assert cut.left == ranked[k:].count(ranked[k - 1])


def test_masses_become_the_remainders() -> None:
    """The masses' own memory serves twice."""
    masses = np.array([3, 1, 3], np.int64)
    quantise(masses, 100)
    assert masses.tolist() == [300 % 7, 100 % 7, 300 % 7]


def test_memory_is_one_array_beside_the_masses() -> None:
    """The weights; a mask of bytes comes and goes."""
    masses = np.random.default_rng(0).integers(0, 1 << 40, 1 << 20)
    quantise(masses.copy(), 10**12)
    tracemalloc.start()
    quantise(masses, 10**12)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * masses.nbytes


def test_no_site_counts_give_no_shares() -> None:
    """A country nobody has sites in."""
    assert largest_remainder_by_n(whole(1, 9), whole(), 10) == []


def naive(weights: list[int], n: int, K: int) -> tuple[list[int], int, int]:
    """Hamilton's method word for word: counts, shortfall, units decided by the tie rule."""
    counts = [n * w // K for w in weights]
    remainders = [n * w % K for w in weights]
    shortfall = n - sum(counts)
    order = sorted(range(len(weights)), key=lambda i: (-remainders[i], i))
    given_one, not_given = order[:shortfall], order[shortfall:]
    for i in given_one:
        counts[i] += 1
    left = {remainders[i] for i in not_given}
    return counts, shortfall, sum(remainders[i] in left for i in given_one)


@st.composite
def countries(draw: st.DrawFn) -> tuple[list[int], int]:
    """Weights that sum to K = 10^dp: free, tied a lot, or all equal; zeros often."""
    K = 10 ** draw(st.integers(0, 15))
    kind = draw(st.sampled_from(["free", "tied", "equal"]))
    if kind == "free":
        cuts = sorted(draw(st.lists(st.integers(0, K), max_size=15)))
        return [b - a for a, b in zip([0, *cuts], [*cuts, K], strict=True)], K
    if kind == "tied":
        masses = draw(st.lists(st.integers(0, 3), min_size=1, max_size=40))
        assume(any(masses))
    else:
        masses = [1] * draw(st.integers(1, 60))
    return naive(masses, K, sum(masses))[0], K


#: Small n decide by ties, large n by the exactness of the products.
SITES = st.one_of(st.integers(1, 70), st.integers(1, 10**9), st.integers(0, 9).map(lambda e: 10**e))


@FULL
@given(countries(), SITES)
def test_largest_remainder_is_the_plain_definition(country: tuple[list[int], int], n: int) -> None:
    """Counts, floors, remainders, shortfall and ties, tile for tile."""
    weights, K = country
    solved = largest_remainder(np.array(weights, np.int64), n, K)
    counts, shortfall, ties = naive(weights, n, K)
    assert solved.counts.tolist() == counts
    assert solved.floors.tolist() == [n * w // K for w in weights]
    assert solved.remainders.tolist() == [n * w % K for w in weights]
    assert (solved.shortfall, solved.ties_broken) == (shortfall, ties)
    assert sum(counts) == n


@FULL
@given(countries(), st.sets(SITES, min_size=1, max_size=6))
def test_by_n_on_the_heaviest_is_the_plain_definition_on_all_tiles(
    country: tuple[list[int], int], ns: set[int]
) -> None:
    """Facts 1 and 2: each distinct n once, on its n heaviest tiles, changes nothing."""
    weights, K = country
    wanted = np.array(sorted(ns), np.int64)
    shares = largest_remainder_by_n(np.array(weights, np.int64), wanted, K)
    assert [share.n for share in shares] == wanted.tolist()
    for share in shares:
        counts, shortfall, ties = naive(weights, share.n, K)
        won = [i for i, count in enumerate(counts) if count]
        assert share.positions.tolist() == won
        assert share.counts.tolist() == [counts[i] for i in won]
        assert (share.shortfall, share.ties_broken) == (shortfall, ties)
        assert share.positions.dtype == share.counts.dtype == np.int64


@SOME
@given(countries(), st.integers(1, 70))
def test_only_the_n_heaviest_tiles_can_win(country: tuple[list[int], int], n: int) -> None:
    """Fact 2: tiles with a floor are a prefix of that order; behind it r is n*w itself."""
    weights, K = country
    counts, _, _ = naive(weights, n, K)
    order = sorted(range(len(weights)), key=lambda i: (-weights[i], i))
    assert {i for i, count in enumerate(counts) if count} <= set(order[:n])
    with_floor = [n * weights[i] >= K for i in order]
    assert with_floor == sorted(with_floor, reverse=True)
    assert sum(with_floor) <= n
    assert heaviest(np.array(weights, np.int64), n).tolist() == sorted(order[:n])


@SOME
@given(countries(), st.integers(1, 30), st.data())
def test_tiles_lighter_than_the_nth_heaviest_need_not_be_read(
    country: tuple[list[int], int], n: int, data: st.DataObject
) -> None:
    """Fact 3: any part that holds the others gives the same sites and the same tie count."""
    weights = np.array(country[0], np.int64)
    lightest = int(weights[heaviest(weights, n)].min())
    needed = set(np.flatnonzero(weights >= lightest).tolist())
    also = data.draw(st.sets(st.integers(0, len(weights) - 1)))
    read = np.array(sorted(needed | also), np.int64)
    (whole,) = largest_remainder_by_n(weights, np.array([n], np.int64), country[1])
    (part,) = largest_remainder_by_n(weights[read], np.array([n], np.int64), country[1])
    assert read[part.positions].tolist() == whole.positions.tolist()
    assert part.counts.tolist() == whole.counts.tolist()
    assert part[3:] == whole[3:]


MASSES = st.one_of(
    st.lists(st.integers(0, 5), min_size=1, max_size=50),
    st.lists(st.integers(0, 1 << 56), min_size=1, max_size=50),
)


#: M = 2^62 - 1, for K = 10^15.
LARGEST = [(1 << 62) // 2 - 1, (1 << 62) // 3, (1 << 62) - (1 << 62) // 2 - (1 << 62) // 3 - 7, 7]


@FULL
@given(MASSES, st.integers(0, 15))
@example(LARGEST, 15)
def test_quantise_is_the_plain_definition(masses: list[int], dp: int) -> None:
    """Weights and shortfall, tile for tile; they sum to K. The masses become the remainders."""
    assume(any(masses))
    given_masses, K, M = np.array(masses, np.int64), 10**dp, sum(masses)
    weights, shortfall = quantise(given_masses, K)
    want, units, _ = naive(masses, K, M)
    assert weights.tolist() == want
    assert shortfall == units
    assert int(weights.sum()) == K
    assert given_masses.tolist() == [mass * K % M for mass in masses]


@FULL
@given(MASSES, st.integers(0, 15), st.lists(st.integers(0, 50), max_size=4))
@example(LARGEST, 15, [1, 2])
def test_masses_in_blocks_have_the_weights_of_all_together(
    masses: list[int], dp: int, cuts: list[int]
) -> None:
    """Whatever the cuts, blocks without tiles included."""
    assume(any(masses))
    values, K, M = np.array(masses, np.int64), 10**dp, sum(masses)
    divided = [muldiv(block, K, M) for block in np.split(values, sorted(cuts))]
    shortfall = K - sum(int(floors.sum()) for floors, _ in divided)
    if shortfall:
        counts = np.sum([leading_counts(own, M) for _, own in divided], axis=0)
        leading = leading_bits(counts, M, shortfall)
        threshold, equal = shared_ties([leading.among(own) for _, own in divided], leading.k)
        for (floors, remainders), own in zip(divided, equal, strict=True):
            give_above(floors, remainders, threshold, own)
    whole_weights, units = quantise(values, K)
    assert np.concatenate([floors for floors, _ in divided]).tolist() == whole_weights.tolist()
    assert shortfall == units


@SOME
@given(MASSES, st.integers(0, 15))
def test_quantise_keeps_the_order_of_masses(masses: list[int], dp: int) -> None:
    """Heavier never weighs less; equal masses differ by at most 1, the lower id first."""
    assume(any(masses))
    weights = quantise(np.array(masses, np.int64), 10**dp)[0].tolist()
    ranked = sorted(range(len(masses)), key=lambda i: (masses[i], -i))
    along = [weights[i] for i in ranked]
    assert along == sorted(along)
    for mass, times in Counter(masses).items():
        if times > 1:
            same = [w for w, m in zip(weights, masses, strict=True) if m == mass]
            assert same[0] - same[-1] in (0, 1)


@FULL
@given(
    st.integers(1, (1 << 62) - 1),
    st.integers(0, (1 << 63) - 1),
    st.lists(st.tuples(st.integers(0, (1 << 51) - 1), st.integers(-3, 3)), min_size=1, max_size=8),
)
def test_muldiv_is_python_division(m: int, b: int, near: list[tuple[int, int]]) -> None:
    """Operands chosen so that a*b lies beside a multiple of m, where float64 errs."""
    a = [q * m // b + step if b else abs(step) for q, step in near]
    a = [x for x in a if 0 <= x < 1 << 63 and x * b // m < 1 << 51]
    assume(a)
    q, r = muldiv(np.array(a, np.int64), b, m)
    assert list(zip(q.tolist(), r.tolist(), strict=True)) == [divmod(x * b, m) for x in a]
