"""Largest remainder and quantisation against their plain definitions in Python integers."""

from collections import Counter

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from segment1b.laws.apportionment import heaviest, largest_remainder, largest_remainder_by_n
from segment1b.laws.division import muldiv
from segment1b.laws.quantise import quantise

FULL = settings(max_examples=2000, deadline=None, derandomize=True)
SOME = settings(max_examples=500, deadline=None, derandomize=True)


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
    shares = list(largest_remainder_by_n(np.array(weights, np.int64), wanted, K))
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


@FULL
@given(MASSES, st.integers(0, 15))
def test_quantise_is_the_plain_definition(masses: list[int], dp: int) -> None:
    """Weights and shortfall, tile for tile; they sum to K."""
    assume(any(masses))
    weights, shortfall = quantise(np.array(masses, np.int64), 10**dp)
    want, units, _ = naive(masses, 10**dp, sum(masses))
    assert weights.tolist() == want
    assert shortfall == units
    assert int(weights.sum()) == 10**dp


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
