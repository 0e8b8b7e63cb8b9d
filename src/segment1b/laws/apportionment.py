"""Largest remainder (Hamilton's method): whole sites for tiles, exact to the site.

Source: allocation.md §2. The selection of the largest remainders, with its tie rule, stands here
once and serves quantisation too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from segment1b.laws.division import BLOCK, Int64s, checked_sum, muldiv

#: Bits of a value that the search for a threshold counts in one pass.
_DIGIT: Final = 16


@dataclass(frozen=True, eq=False)
class Apportionment:
    """What one `n` gives each tile.

    Attributes:
        counts: int64[t], sites per tile, summing to n.
        floors: int64[t], `floor(n*w / K)`.
        remainders: int64[t], `n*w mod K`.
        shortfall: units given after the floors, `n - sum(floors)`.
        ties_broken: of these, the units at the cut that only the tie rule decided: those given to
            tiles whose remainder a tile without a unit has too.
    """

    counts: Int64s
    floors: Int64s
    remainders: Int64s
    shortfall: int
    ties_broken: int


class Shares(NamedTuple):
    """The tiles that receive sites for one `n`: positions ascending, counts >= 1, both int64[h]."""

    n: int
    positions: Int64s
    counts: Int64s
    shortfall: int
    ties_broken: int


class Cut(NamedTuple):
    """The k largest values: those above `threshold`, and those equal to it before `end`.

    `kept` values equal to the threshold are among the k, `left` are not.
    """

    threshold: int
    end: int
    kept: int
    left: int


def cut_largest(values: Int64s, k: int) -> Cut:
    """Select the k largest values, equal ones in ascending position.

    The threshold is found first; which ties are in is read off their positions, since the order
    in which a partition leaves equal values is arbitrary. O(t) time, and no copy of a long array.
    Source: allocation.md §2 "Traps", performance.md "Selection, not sorting".

    Args:
        values: int64[t], each >= 0, any unit.
        k: how many, 1 <= k <= t.

    Returns:
        The cut.

    Raises:
        ValueError: k is outside 1..t.
    """
    if not 1 <= k <= len(values):
        raise ValueError(f"cannot take {k} of {len(values)} values")
    find = _threshold_by_partition if len(values) <= BLOCK else _threshold_by_digits
    threshold, kept, left = find(values, k)
    end = _end_of_ties(values, threshold, kept) if left else len(values)
    return Cut(threshold, end, kept, left)


def give_largest(counts: Int64s, remainders: Int64s, k: int) -> Cut | None:
    """Add one, in place, to the counts of the k largest remainders, ties in ascending position.

    Source: allocation.md §2, prepare.md §4 "Law".

    Args:
        counts: int64[t], floors of a division; changed in place.
        remainders: int64[t], its remainders, each >= 0.
        k: units to give, the shortfall of the floors.

    Returns:
        The cut, or None when k is 0.

    Raises:
        ValueError: fewer than k remainders are positive, so the tiles cannot carry the units (the
            weights do not belong to this total).
    """
    if k == 0:
        return None
    cut = cut_largest(remainders, k) if 0 < k <= len(counts) else None
    if cut is None or cut.threshold == 0:
        raise ValueError(f"{k} units to give, too few tiles with a remainder: wrong weights")
    counts += remainders > cut.threshold
    counts[: cut.end] += remainders[: cut.end] == cut.threshold
    return cut


def largest_remainder(weights: Int64s, n: int, K: int, beyond: int | None = None) -> Apportionment:
    """Apportion n sites to the given tiles by Hamilton's method.

    `z = floor(n*w / K)`, `r = n*w mod K`; one more site to the `n - sum(z)` tiles with the largest
    r, equal r in ascending tile_id. Source: allocation.md §2.

    Args:
        weights: int64[t], tile weights in units of 1/K, tiles in ascending tile_id: all tiles of
            the country, or any part of them that holds its n heaviest.
        n: sites, 1 <= n < 2^51.
        K: what the weights of the whole country sum to, 1 <= K < 2^62.
        beyond: weight of the heaviest tile that is not in `weights`, when these are a part. It
            cannot win a site, but it may tie at the cut and so counts in `ties_broken`.

    Returns:
        The apportionment; its counts sum to n.

    Raises:
        ValueError: a negative weight, a sum above K, n < 1, or weights that cannot carry n sites.
        OverflowError: n or K is beyond the exact path.
    """
    if n < 1:
        raise ValueError(f"n = {n}: a pair has at least one site")
    _check_total(weights, K)
    return _apportion(weights, n, K, beyond)


def heaviest(weights: Int64s, n: int) -> Int64s:
    """Find the n heaviest tiles by weight descending, position ascending.

    Source: allocation.md §2, fact 2. O(t).

    Args:
        weights: int64[t], tiles in ascending tile_id.
        n: how many, >= 0; all tiles when n >= t.

    Returns:
        int64[min(n, t)], positions in ascending order.

    Raises:
        ValueError: n is negative.
    """
    if n < 0:
        raise ValueError(f"cannot take {n} tiles")
    if n >= len(weights):
        return np.arange(len(weights), dtype=np.int64)
    if n == 0:
        return np.empty(0, np.int64)
    cut = cut_largest(weights, n)
    taken = weights > cut.threshold
    taken[: cut.end] |= weights[: cut.end] == cut.threshold
    return np.flatnonzero(taken).astype(np.int64, copy=False)


def largest_remainder_by_n(weights: Int64s, ns: Int64s, K: int) -> Iterator[Shares]:
    """Apportion each of several `n`, touching only the n heaviest tiles for each.

    Equal to `largest_remainder` on all tiles (facts 1 and 2 of allocation.md §2). The max(ns)+1
    heaviest tiles are sorted once; each n then costs O(n log n).

    Args:
        weights: int64[t], tile weights in units of 1/K, tiles in ascending tile_id: all tiles of
            the country, or any part that holds every tile as heavy as its max(ns)-th heaviest
            (fact 3: what is lighter can neither win nor tie at the cut).
        ns: int64[k], distinct site counts in ascending order, each in 1..2^51-1.
        K: what the weights of the whole country sum to, 1 <= K < 2^62.

    Returns:
        One `Shares` per n, in the order of `ns`, made as it is asked for.

    Raises:
        ValueError: `ns` not ascending or below 1, a negative weight, a sum above K, or weights that
            cannot carry n sites.
        OverflowError: n or K is beyond the exact path.
    """
    if len(ns) and (int(ns[0]) < 1 or bool((np.diff(ns) < 1).any())):
        raise ValueError("site counts must be distinct, ascending and at least 1")
    _check_total(weights, K)
    return _solve_each(weights, ns, K)


def _solve_each(weights: Int64s, ns: Int64s, K: int) -> Iterator[Shares]:
    if not len(ns):
        return
    ranked = heaviest(weights, int(ns[-1]) + 1)
    # The sort is stable, so equal weights keep the ascending order of their positions.
    ranked = ranked[np.argsort(-weights[ranked], kind="stable")]
    # A tile without weight has remainder 0 for every n and can neither win nor tie.
    ranked = ranked[: int(np.count_nonzero(weights[ranked]))]
    for n in ns.tolist():
        positions = np.sort(ranked[:n])
        beyond = int(weights[ranked[n]]) if n < len(ranked) else None
        solved = _apportion(weights[positions], n, K, beyond)
        won = np.flatnonzero(solved.counts)
        yield Shares(n, positions[won], solved.counts[won], solved.shortfall, solved.ties_broken)


def _apportion(weights: Int64s, n: int, K: int, beyond: int | None) -> Apportionment:
    floors, remainders = muldiv(weights, n, K)
    shortfall = n - int(floors.sum())
    counts = floors.copy()
    cut = give_largest(counts, remainders, shortfall)
    ties = 0
    if cut is not None:
        # A tile behind the n heaviest has n*w < K, so its remainder is n*w itself.
        tied_beyond = beyond is not None and n * beyond == cut.threshold
        ties = cut.kept if cut.left or tied_beyond else 0
    return Apportionment(counts, floors, remainders, shortfall, ties)


def _check_total(weights: Int64s, K: int) -> None:
    total = checked_sum(weights, "tile weights")
    if total > K:
        raise ValueError(f"tile weights sum to {total}, more than K = {K}")


def _threshold_by_partition(values: Int64s, k: int) -> tuple[int, int, int]:
    """Return the k-th largest value, how many of its equals are among the k, how many are not."""
    parted = np.partition(values, len(values) - k)
    threshold = parted[len(values) - k]
    kept = int(np.count_nonzero(parted[len(values) - k :] == threshold))
    left = int(np.count_nonzero(parted[: len(values) - k] == threshold))
    return int(threshold), kept, left


def _threshold_by_digits(values: Int64s, k: int) -> tuple[int, int, int]:
    """Return what `_threshold_by_partition` does, from counts of digits, highest digit first.

    A partition wants a copy of all values, which for a country of 87 million tiles is 0.7 GB.
    """
    shift = max(0, int(values.max()).bit_length() - _DIGIT)
    prefix, width = 0, _DIGIT
    while True:
        counts = np.zeros(1 << width, np.int64)
        for start in range(0, len(values), BLOCK):
            head = values[start : start + BLOCK] >> shift
            digits = head[head >> width == prefix] - (prefix << width)
            counts += np.bincount(digits, minlength=1 << width)
        at_least = np.cumsum(counts[::-1])[::-1]
        digit = int(np.flatnonzero(at_least >= k)[-1])
        k -= int(at_least[digit] - counts[digit])
        prefix = (prefix << width) + digit
        if not shift:
            return prefix, k, int(counts[digit]) - k
        width = min(_DIGIT, shift)
        shift -= width


def _end_of_ties(values: Int64s, threshold: int, kept: int) -> int:
    """Find the position behind the kept-th value equal to the threshold.

    By blocks: with equal weights nearly every tile ties, and a list of all their positions would
    be as long as the country.
    """
    wanted = kept
    for start in range(0, len(values), BLOCK):
        ties = np.flatnonzero(values[start : start + BLOCK] == threshold)
        if len(ties) >= wanted:
            return start + int(ties[wanted - 1]) + 1
        wanted -= len(ties)
    raise ValueError(f"fewer than {kept} values equal {threshold}")
