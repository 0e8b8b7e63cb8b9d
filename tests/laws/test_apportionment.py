"""Largest remainder: worked numbers, traps and refusals."""

import numpy as np
import pytest

from segment1b.laws.apportionment import (
    cut_largest,
    give_largest,
    heaviest,
    largest_remainder,
    largest_remainder_by_n,
)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_worked_example_equal_remainders_go_to_the_lower_id() -> None:
    """docs/spec/s4-allocation.md#worked-numbers: weights 700 and 300, n = 5."""
    solved = largest_remainder(whole(700, 300), 5, 1000)
    assert solved.floors.tolist() == [3, 1]
    assert solved.remainders.tolist() == [500, 500]
    assert (solved.shortfall, solved.ties_broken) == (1, 1)
    assert solved.counts.tolist() == [4, 1]
    (shares,) = largest_remainder_by_n(whole(700, 300), whole(5), 1000)
    assert shares.positions.tolist() == [0, 1]
    assert shares.counts.tolist() == [4, 1]
    assert shares[3:] == (1, 1)


def test_ties_at_the_cut_go_by_id_over_many_blocks() -> None:
    """300,000 equal weights: the winners are the lowest ids, all of them decided by the tie."""
    t, n = 300_000, 123_457
    solved = largest_remainder(np.full(t, 1, np.int64), n, t)
    assert np.flatnonzero(solved.counts).tolist() == list(range(n))
    assert (solved.shortfall, solved.ties_broken) == (n, n)


def test_everything_above_the_cut_wins_and_only_the_cut_is_tied() -> None:
    """One tile above the cut, two of three at the cut: two units were decided by the tie."""
    weights = whole(20, 40, 20, 20)
    solved = largest_remainder(weights, 3, 100)
    assert solved.remainders.tolist() == [60, 20, 60, 60]
    assert solved.counts.tolist() == [1, 1, 1, 0]
    assert solved.ties_broken == 2


def test_no_tie_is_counted_when_all_equal_remainders_win() -> None:
    """The rule decides nothing when there is enough for all."""
    solved = largest_remainder(whole(350, 350, 300), 2, 1000)
    assert solved.counts.tolist() == [1, 1, 0]
    assert solved.ties_broken == 0


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


def test_products_beyond_2_to_the_63_do_not_wrap() -> None:
    """dp = 15 and a million sites: n*w passes 2^63; wrapped sums would agree with themselves."""
    K, n = 10**15, 10**6
    weights = whole(K - 3, 1, 1, 1)
    solved = largest_remainder(weights, n, K)
    assert solved.floors.tolist() == [n * (K - 3) // K, 0, 0, 0]
    assert solved.remainders.tolist() == [n * (K - 3) % K, n, n, n]
    assert solved.counts.tolist() == [n, 0, 0, 0]


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


def test_no_site_counts_give_no_shares() -> None:
    """A country nobody has sites in."""
    assert list(largest_remainder_by_n(whole(1, 9), whole(), 10)) == []


def test_solving_begins_only_when_asked_but_refuses_at_once() -> None:
    """A bad request fails where it is made, not where the first answer is taken."""
    with pytest.raises(ValueError, match="ascending"):
        largest_remainder_by_n(whole(10), whole(2, 2), 10)
    with pytest.raises(ValueError, match="ascending"):
        largest_remainder_by_n(whole(10), whole(0), 10)


def test_weights_that_cannot_be_of_this_country_are_refused() -> None:
    """Above K, negative, or too little weight to carry the sites."""
    with pytest.raises(ValueError, match="more than K"):
        largest_remainder(whole(6, 5), 1, 10)
    with pytest.raises(ValueError, match="negative"):
        largest_remainder(whole(-1, 11), 1, 10)
    with pytest.raises(ValueError, match="wrong weights"):
        largest_remainder(whole(1, 0), 5, 10)
    with pytest.raises(ValueError, match="wrong weights"):
        largest_remainder(whole(1, 0), 2, 10)
    with pytest.raises(ValueError, match="wrong weights"):
        largest_remainder(whole(), 5, 10)
    with pytest.raises(ValueError, match="wrong weights"):
        give_largest(whole(0), whole(1), -1)


def test_impossible_requests_are_refused() -> None:
    """No sites, more sites than the exact path can hold, or a cut of nothing."""
    with pytest.raises(ValueError, match="at least one site"):
        largest_remainder(whole(10), 0, 10)
    with pytest.raises(OverflowError, match="2\\^51"):
        largest_remainder(whole(10), 1 << 51, 10)
    with pytest.raises(ValueError, match="cannot take"):
        cut_largest(whole(1, 2), 3)
    with pytest.raises(ValueError, match="cannot take"):
        heaviest(whole(1, 2), -1)
