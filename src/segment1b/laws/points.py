"""Points on the line of a country's weights: where each curve method puts a pair's sites.

Every division is exact. Three identities keep it within 64 bits, for pairs and countries of fewer
than 2^31 sites:

- `floor((a + f) / n) = floor(a / n)` for whole a, whole n >= 1 and 0 <= f < 1, so a fraction of a
  unit may be dropped before the division by the number of sites;
- with `K = q*n + r`, `j*K + h` divided by n is `j*q` plus `j*r + h` divided by n, and j and r are
  both below n, so that `j*r` is below 2^62;
- two fractions `a/n` and `b/m` that differ do so by at least 1/(n*m) > 2^-62, so that their first
  64 binary digits differ too.

Source: docs/spec/s4-allocation.md#line-of-weights
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from segment1b.laws.curves import ranges
from segment1b.laws.division import BLOCK, Int64s, UInt64s, checked_sum, multiply_high

_ONE: Final = np.uint64(1)
_WORD: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
#: 2^64 over the golden ratio: its multiples modulo 2^64 stay evenly spread at every length.
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_SITES_LIMIT: Final = 1 << 31
_UNITS_LIMIT: Final = 1 << 62


def stable_points(offset: UInt64s, n: Int64s, K: int) -> Int64s:
    """Compute the points of the method `stable`, a function of the pair's offset and j alone.

    Args:
        offset: uint64[pairs], the pairs' offsets U.
        n: int64[pairs], their site counts, >= 0.
        K: length of the line, 1 <= K < 2^63.

    Returns:
        int64[sum(n)], points in [0, K), pair by pair, j = 1..n ascending.

    Raises:
        ValueError: arrays of different lengths, a negative count, or K out of range.
        OverflowError: the counts sum to 2^62 or more.
    """
    if offset.shape != n.shape:
        raise ValueError(f"{len(offset)} offsets for {len(n)} site counts")
    if not 1 <= K < 1 << 63:
        raise ValueError(f"K = {K} is outside 1..2^63-1")
    total = checked_sum(n, "site counts")
    # The i-th point of all is the (i - first + 1)-th of its pair; folding first into the offset
    # leaves one multiple of G per point, the same for every pair.
    first = (np.cumsum(n) - n).view(np.uint64)
    points = np.repeat(offset + (_ONE - first) * _GOLDEN, n)
    for start in range(0, total, BLOCK):
        part = slice(start, min(start + BLOCK, total))
        points[part] += np.arange(part.start, part.stop, dtype=np.uint64) * _GOLDEN
        points[part] = multiply_high(points[part], K)
    return points.view(np.int64)


def systematic_points(offset: UInt64s, n: Int64s, K: int) -> Int64s:
    """Compute the points of the method `systematic`: the sites of a pair are K/n apart.

    Args:
        offset: uint64[pairs], the pairs' offsets U.
        n: int64[pairs], their site counts, 0 <= n < 2^31.
        K: length of the line, 1 <= K < 2^62.

    Returns:
        int64[sum(n)], points in [0, K), pair by pair, ascending within a pair.

    Raises:
        ValueError: arrays of different lengths, a negative count, or K < 1.
        OverflowError: a count is 2^31 or more, the counts sum to 2^62 or more, or K >= 2^62.
    """
    _check_pairs(offset, n)
    _check_units(K)
    sites = np.maximum(n, 1).view(np.uint64)
    whole, rest = np.uint64(K) // sites, np.uint64(K) % sites
    begin = multiply_high(offset, K)
    points = ranges(np.zeros_like(n), n).view(np.uint64)
    pair = np.repeat(np.arange(len(n)), n)
    for start in range(0, len(points), BLOCK):
        part = slice(start, start + BLOCK)
        mine, j = pair[part], points[part]
        points[part] = j * whole[mine] + (j * rest[mine] + begin[mine]) // sites[mine]
    return points.view(np.int64)


def balanced_points(first: int, last: int, sites: int, K: int) -> Int64s:
    """Compute points first..last-1 of the method `balanced`: those of a country, K/sites apart.

    Args:
        first: index of the first point wanted, >= 0.
        last: index behind the last one, <= sites.
        sites: sites of the country, 1 <= sites < 2^31.
        K: length of the line, 1 <= K < 2^62.

    Returns:
        int64[last-first], points in [0, K), ascending.

    Raises:
        ValueError: first or last is out of range, or K < 1.
        OverflowError: the country has 2^31 sites or more, or K >= 2^62.
    """
    _check_units(K)
    _check_country(sites)
    if not 0 <= first <= last <= sites:
        raise ValueError(f"points {first} to {last} of a country of {sites} sites")
    double = 2 * max(sites, 1)
    odd = np.arange(2 * first + 1, 2 * last + 1, 2, dtype=np.uint64)
    points = odd * np.uint64(K // double) + odd * np.uint64(K % double) // np.uint64(double)
    return points.view(np.int64)


def balanced_phases(pairs: int) -> UInt64s:
    """Return the phases of pairs in ascending merchant_id, uint64[pairs], in units of 2^-64."""
    return np.arange(1, pairs + 1, dtype=np.uint64) * _GOLDEN


def deal(phase: UInt64s, n: Int64s, at_once: int) -> Iterator[Int64s]:
    """Sort the sites of a country's pairs by rank: the k-th of them takes the country's k-th point.

    The line of ranks is cut into even stretches, and within each a pair's sites are a run of j, so
    no more than about `at_once` sites are sorted at a time.

    Args:
        phase: uint64[pairs].
        n: int64[pairs], site counts, >= 0, their sum below 2^31.
        at_once: sites sorted at a time, about, >= 1; changes nothing but time and memory.

    Returns:
        int64 arrays that joined are a permutation of 0..sum(n)-1: positions among all sites, pair
        by pair and j ascending within a pair, in the order of rank.

    Raises:
        ValueError: arrays of different lengths, or a negative count.
        OverflowError: the counts sum to 2^31 or more.
    """
    total = _check_pairs(phase, n)
    _check_country(total)
    return _stretches_of_rank(phase, n, -(-total // at_once))


class _Steps(NamedTuple):
    """The divisions that ranks of pairs consist of, uint64[pairs] each: 2^64 and the phase by n."""

    n: UInt64s
    whole: UInt64s
    rest: UInt64s
    phase_whole: UInt64s
    phase_rest: UInt64s


def _steps(phase: UInt64s, n: Int64s) -> _Steps:
    sites = np.maximum(n, 1).view(np.uint64)
    # 2^64 = (2^64 - 1) + 1. For n = 1 the whole part wraps to 0; it is only multiplied by j = 0.
    whole, rest = _WORD // sites, _WORD % sites + _ONE
    full = rest == sites
    whole, rest = whole + full, np.where(full, np.uint64(0), rest)
    return _Steps(sites, whole, rest, phase // sites, phase % sites)


def _stretches_of_rank(phase: UInt64s, n: Int64s, stretches: int) -> Iterator[Int64s]:
    steps, begin, low = _steps(phase, n), np.cumsum(n) - n, np.zeros_like(n)
    for stretch in range(1, stretches + 1):
        high = n if stretch == stretches else _below(phase, n, (stretch << 64) // stretches)
        pair = np.repeat(np.arange(len(n)), high - low)
        j = ranges(low, high - low)
        order = _by_rank(steps, pair, j)
        yield begin[pair[order]] + j[order]
        low = high


def _below(phase: UInt64s, n: Int64s, bound: int) -> Int64s:
    """Count each pair's sites whose rank is below bound/2^64: j*2^64 + phase < bound*n."""
    sites = n.view(np.uint64)
    # The product is H*2^64 + L: j < H, and j = H when the phase is below L.
    low = sites * np.uint64(bound)
    return multiply_high(sites, bound).view(np.int64) + (phase < low)


def _by_rank(steps: _Steps, pair: Int64s, j: Int64s) -> Int64s:
    """Order sites by rank; int64[s] of pair and j, ascending by both."""
    rank = np.empty(len(pair), np.uint64)
    for start in range(0, len(pair), BLOCK):
        part = slice(start, start + BLOCK)
        rank[part] = _rank(steps, pair[part], j[part])[0]
    order = np.argsort(rank)
    rank = rank[order]
    same = rank[1:] == rank[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if len(tied):
        mine = order[tied]
        finer = _finer(steps, pair[mine], j[mine])
        order[tied] = mine[np.lexsort((mine, finer, rank[tied]))]
    return order


def _rank(steps: _Steps, pair: Int64s, j: Int64s) -> tuple[UInt64s, UInt64s]:
    """Divide j*2^64 + phase by n: the first 64 binary digits of a rank, and the remainder."""
    n, number = steps.n[pair], j.view(np.uint64)
    rest = number * steps.rest[pair] + steps.phase_rest[pair]
    more = rest // n
    return number * steps.whole[pair] + steps.phase_whole[pair] + more, rest - more * n


def _finer(steps: _Steps, pair: Int64s, j: Int64s) -> UInt64s:
    """Return the next 64 binary digits: no two different ranks share these as well."""
    remainder = _rank(steps, pair, j)[1]
    return remainder * steps.whole[pair] + remainder * steps.rest[pair] // steps.n[pair]


def _check_pairs(words: UInt64s, n: Int64s) -> int:
    if words.shape != n.shape:
        raise ValueError(f"{len(words)} offsets for {len(n)} site counts")
    total = checked_sum(n, "site counts")
    if len(n) and int(n.max()) >= _SITES_LIMIT:
        raise OverflowError(f"a pair of {int(n.max())} sites: below 2^31 its points are exact")
    return total


def _check_country(sites: int) -> None:
    if sites >= _SITES_LIMIT:
        raise OverflowError(f"{sites} sites in a country: below 2^31 its points are exact")


def _check_units(K: int) -> None:
    if K < 1:
        raise ValueError(f"K = {K}: the line has no length")
    if K >= _UNITS_LIMIT:
        raise OverflowError(f"K = {K} passes 2^62 - 1")
