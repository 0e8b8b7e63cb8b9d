"""Largest-remainder apportionment (Hamilton's method): sites to tiles, masses to weights.

Source: docs/spec/s4-allocation.md#largest-remainder
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from segment1b.laws.division import BLOCK, Int64s, check_limit, checked_sum, muldiv

#: Bits of a value counted in one pass of the search for a threshold.
_DIGIT: Final = 16
#: Leading bits by which the remainders of a country in many blocks are counted.
_LEADING: Final = 12
_UNITS_LIMIT: Final = 10**15


@dataclass(frozen=True, eq=False)
class Apportionment:
    """Sites of one `n` by tile.

    Attributes:
        counts: int64[t], sites per tile, summing to n.
        floors: int64[t], `floor(n*w / K)`.
        remainders: int64[t], `n*w mod K`.
        shortfall: units given after the floors, `n - sum(floors)`.
        ties_broken: of these, the units that only the tie rule decided.
    """

    counts: Int64s
    floors: Int64s
    remainders: Int64s
    shortfall: int
    ties_broken: int


class Shares(NamedTuple):
    """Tiles that receive sites for one `n`: positions ascending, counts >= 1, both int64[h]."""

    n: int
    positions: Int64s
    counts: Int64s
    shortfall: int
    ties_broken: int


class Cut(NamedTuple):
    """The k largest values: those above `threshold`, and those equal to it before position `end`.

    `kept` values equal to the threshold are among the k, `left` are not.
    """

    threshold: int
    end: int
    kept: int
    left: int

    def mask(self, values: Int64s) -> npt.NDArray[np.bool_]:
        """Return which of the values are among the k largest, bool[t]."""
        taken: npt.NDArray[np.bool_] = values > self.threshold
        taken[: self.end] |= values[: self.end] == self.threshold
        return taken


def cut_largest(values: Int64s, k: int) -> Cut:
    """Select the k largest of int64[t] values >= 0, equal ones in ascending position, in O(t)."""
    if not 1 <= k <= len(values):
        raise ValueError(f"cannot take {k} of {len(values)} values")
    # The threshold first, then the ties by position: a partition orders equal values arbitrarily.
    find = _threshold_by_partition if len(values) <= BLOCK else _threshold_by_digits
    threshold, kept, left = find(values, k)
    end = _end_of_ties(values, threshold, kept) if left else len(values)
    return Cut(threshold, end, kept, left)


def give_largest(counts: Int64s, remainders: Int64s, k: int) -> Cut | None:
    """Add one, in place, to the counts of the k largest remainders, ties in ascending position."""
    if k == 0:
        return None
    cut = cut_largest(remainders, k) if 0 < k <= len(counts) else None
    if cut is None or cut.threshold == 0:
        raise ValueError(f"{k} units to give, too few tiles with a remainder: wrong weights")
    counts += cut.mask(remainders)
    return cut


def largest_remainder(weights: Int64s, n: int, K: int, beyond: int | None = None) -> Apportionment:
    """Apportion n sites to the given tiles by Hamilton's method.

    Args:
        weights: int64[t], tile weights in units of 1/K, tiles in ascending tile_id: all tiles of
            the country, or any part of them that holds its n heaviest.
        n: sites, 1 <= n < 2^51.
        K: sum of the weights of the whole country, 1 <= K < 2^62.
        beyond: weight of the heaviest tile that is not in `weights`, when these are a part. It
            cannot win a site, but it may tie at the cut and so counts in `ties_broken`.

    Raises:
        ValueError: a negative weight, a sum above K, n < 1, or weights that cannot carry n sites.
        OverflowError: n or K is beyond the exact path.
    """
    if n < 1:
        raise ValueError(f"n = {n}: a pair has at least one site")
    _check_total(weights, K)
    return _apportion(weights, n, K, beyond)


def quantise(masses: Int64s, K: int) -> tuple[Int64s, int]:
    """Turn the masses of one country's tiles into weights that sum to K, by largest remainder.

    Beside the masses, whose memory takes the remainders, it needs one int64 array of length t: the
    largest country has 87 million tiles.

    Args:
        masses: int64[t], integer mass of each tile (micro-persons, 1/1000 m2, or 1), >= 0, tiles
            in ascending tile_id; their sum M in 1..2^62-1. Overwritten with the remainders.
        K: units to hand out, 10^dp, 1 <= K <= 10^15.

    Returns:
        int64[t] weights in units of 1/K, and the shortfall S.

    Raises:
        ValueError: a negative mass, M = 0, or K < 1.
        OverflowError: M >= 2^62 or K > 10^15.

    Source: docs/spec/s2-weights.md#law
    """
    total = checked_sum(masses, "tile masses")
    check_quantisable(total, K)
    weights, remainders = muldiv(masses, K, total, masses)
    shortfall = K - int(weights.sum())
    give_largest(weights, remainders, shortfall)
    return weights, shortfall


class LeadingBits(NamedTuple):
    """The remainders of a country that begin as the last one that gets a unit does.

    Attributes:
        bits: what they begin with.
        shift: how many bits follow these.
        k: how many of these remainders get a unit, the largest ones.

    Source: docs/spec/s2-weights.md#law
    """

    bits: int
    shift: int
    k: int

    def among(self, remainders: Int64s) -> tuple[Int64s, Int64s]:
        """Return those of int64[t] that begin so, distinct and ascending, and how often each."""
        values, counts = np.unique_counts(remainders[remainders >> self.shift == self.bits])
        return values, counts


def leading_counts(remainders: Int64s, total: int) -> Int64s:
    """Count remainders of a division by `total`, int64[t], by their leading bits, int64[2^12]."""
    return np.bincount(remainders >> _leading_shift(total), minlength=1 << _LEADING)


def leading_bits(counts: Int64s, total: int, k: int) -> LeadingBits:
    """Return how the k-th largest remainder begins, from the `leading_counts` of all of them."""
    bits, left = _largest(counts, k)
    return LeadingBits(bits, _leading_shift(total), left)


def shared_ties(found: Sequence[tuple[Int64s, Int64s]], k: int) -> tuple[int, list[int]]:
    """Return the threshold of remainders, and how many equal to it get a unit in each block.

    `found` is what `LeadingBits.among` gives for each block, blocks in ascending tile_id. Equal
    remainders are decided by ascending tile_id.
    """
    values, place = np.unique(np.concatenate([own for own, _ in found]), return_inverse=True)
    counts = np.bincount(place, np.concatenate([own for _, own in found])).astype(np.int64)
    index, k = _largest(counts, k)
    equal = [int(own[some == values[index]].sum()) for some, own in found]
    given = np.diff(np.minimum(np.cumsum([0, *equal]), k))
    return int(values[index]), given.tolist()


def give_above(counts: Int64s, remainders: Int64s, threshold: int, equal: int) -> None:
    """Add one, in place, where a remainder is above the threshold, or among the first equal to it.

    Counts and remainders are int64[t]; `equal` is how many of those equal to it get one.
    """
    counts += remainders > threshold
    counts[np.flatnonzero(remainders == threshold)[:equal]] += 1


def check_quantisable(total: int, K: int) -> None:
    """Raise ValueError or OverflowError, as `quantise`, for a sum of masses beyond its limits."""
    if K < 1:
        raise ValueError(f"K = {K}: there must be at least one unit")
    if K > _UNITS_LIMIT:
        raise OverflowError(f"K = {K} passes 10^15, the limit of the exact path")
    check_limit(total, "tile masses")
    if total == 0:
        raise ValueError("tile masses sum to 0: nothing to weigh by")


def heaviest(weights: Int64s, n: int) -> Int64s:
    """Return positions int64[min(n, t)] of the n heaviest tiles, equal ones by position; O(t)."""
    if n < 0:
        raise ValueError(f"cannot take {n} tiles")
    if n >= len(weights):
        return np.arange(len(weights), dtype=np.int64)
    if n == 0:
        return np.empty(0, np.int64)
    taken = cut_largest(weights, n).mask(weights)
    return np.flatnonzero(taken).astype(np.int64, copy=False)


def largest_remainder_by_n(weights: Int64s, ns: Int64s, K: int) -> list[Shares]:
    """Apportion each of several `n`, touching only the n heaviest tiles for each.

    Equal to `largest_remainder` on all tiles. The max(ns)+1 heaviest tiles are sorted once; each n
    then costs O(n log n).

    Args:
        weights: int64[t], as for `largest_remainder`: all tiles, or any part that holds every tile
            as heavy as the max(ns)-th heaviest.
        ns: int64[k], distinct site counts in ascending order, each in 1..2^51-1.
        K: sum of the weights of the whole country, 1 <= K < 2^62.

    Returns:
        One `Shares` per n, in the order of `ns`.

    Raises:
        ValueError: `ns` not ascending or below 1, or as for `largest_remainder`.
        OverflowError: n or K is beyond the exact path.
    """
    if not len(ns):
        return []
    if int(ns[0]) < 1 or bool((np.diff(ns) < 1).any()):
        raise ValueError("site counts must be distinct, ascending and at least 1")
    _check_total(weights, K)
    ranked = heaviest(weights, int(ns[-1]) + 1)
    # The sort is stable, so equal weights keep the ascending order of their positions.
    ranked = ranked[np.argsort(-weights[ranked], kind="stable")]
    # A tile without weight has remainder 0 for every n and can neither win nor tie.
    ranked = ranked[: int(np.count_nonzero(weights[ranked]))]
    shares = []
    for n in ns.tolist():
        positions = np.sort(ranked[:n])
        beyond = int(weights[ranked[n]]) if n < len(ranked) else None
        solved = _apportion(weights[positions], n, K, beyond)
        won = np.flatnonzero(solved.counts)
        ties = solved.ties_broken
        shares.append(Shares(n, positions[won], solved.counts[won], solved.shortfall, ties))
    return shares


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
    """Do the same by counting digits, highest first: without a copy of a long array."""
    shift = max(0, int(values.max()).bit_length() - _DIGIT)
    prefix, width = 0, _DIGIT
    while True:
        counts = np.zeros(1 << width, np.int64)
        for start in range(0, len(values), BLOCK):
            head = values[start : start + BLOCK] >> shift
            digits = head[head >> width == prefix] - (prefix << width)
            counts += np.bincount(digits, minlength=1 << width)
        digit, k = _largest(counts, k)
        prefix = (prefix << width) + digit
        if not shift:
            return prefix, k, int(counts[digit]) - k
        width = min(_DIGIT, shift)
        shift -= width


def _leading_shift(total: int) -> int:
    return max(0, total.bit_length() - _LEADING)


def _largest(counts: Int64s, k: int) -> tuple[int, int]:
    """Return the index of the k-th largest, of counts by size, and its place among its equals."""
    at_least = np.cumsum(counts[::-1])[::-1]
    index = int(np.flatnonzero(at_least >= k)[-1])
    return index, k - int(at_least[index] - counts[index])


def _end_of_ties(values: Int64s, threshold: int, kept: int) -> int:
    """Find the position behind the kept-th value equal to the threshold, block by block."""
    remaining = kept
    for start in range(0, len(values), BLOCK):
        ties = np.flatnonzero(values[start : start + BLOCK] == threshold)
        if len(ties) >= remaining:
            return start + int(ties[remaining - 1]) + 1
        remaining -= len(ties)
    raise ValueError(f"fewer than {kept} values equal {threshold}")
