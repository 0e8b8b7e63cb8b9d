"""The allocation methods of S4 on one country: stretches of pairs in, rows of the plan out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from segment1b.errors import Segment1BError
from segment1b.laws.apportionment import largest_remainder_by_n
from segment1b.laws.curves import locate
from segment1b.laws.philox import alloc_offsets
from segment1b.laws.points import (
    balanced_phases,
    balanced_points,
    deal,
    stable_points,
    systematic_points,
)
from segment1b.states.protocol import Run

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
# Laws whose points depend on the pair alone.
_POINTS_OF_A_PAIR: Final = {"systematic": systematic_points, "stable": stable_points}
# Sites that a curve law sorts and locates at one time.
_CHUNK_SITES = 1 << 22


@dataclass(frozen=True)
class Plan:
    """The plan of one stretch of pairs.

    Attributes:
        pair: int64[r], index of the pair among the country's pairs, ascending.
        tile: int64[r], position of the tile among the country's tiles, ascending within a pair.
        sites: int64[r], sites of that pair in that tile, at least 1.
        shortfall: units given after the floors, 0 for the curve methods.
        ties: units that the tie rule decided.
    """

    pair: Int64s
    tile: Int64s
    sites: Int64s
    shortfall: int
    ties: int


def allocate(
    run: Run,
    code: str,
    grid: tuple[int, int],
    pairs: tuple[UInt64s, Int64s],
    tiles: tuple[UInt64s, Int64s],
) -> Iterator[Plan]:
    """Yield the plan of a country's pairs, stretch by stretch, or raise E416_NUMERIC_OVERFLOW.

    Args:
        run: gives the method, K and the seed.
        code: the country.
        grid: rows and columns of the raster.
        pairs: merchants uint64[p] ascending, and their sites int64[p].
        tiles: tile ids uint64[t] ascending, and their weights int64[t] that sum to K.
    """
    scale, law = 10**run.policy.prep.dp, run.policy.allocation.law
    try:
        if law == "largest_remainder":
            yield from _by_largest_remainder(pairs[1], tiles[1], scale)
        elif law == "balanced":
            yield from _by_points_of_the_country(pairs[1], tiles, scale, grid)
        else:
            offsets = alloc_offsets(run.identity.seed, pairs[0], code)
            points_of = _POINTS_OF_A_PAIR[law]
            yield from _by_points_of_a_pair(points_of, offsets, pairs[1], tiles, scale, grid)
    except OverflowError as error:
        problem = f"{code}: {error}"
        raise Segment1BError("E416_NUMERIC_OVERFLOW", problem, country_iso=code) from None


def _by_largest_remainder(n: Int64s, weights: Int64s, scale: int) -> Iterator[Plan]:
    # The result depends on (country, n) alone: solve once per distinct n, then replicate.
    distinct, which, often = np.unique(n, return_inverse=True, return_counts=True)
    solved = list(largest_remainder_by_n(weights, distinct, scale))
    lengths = np.array([len(share.positions) for share in solved], np.int64)
    starts = np.cumsum(lengths) - lengths
    tiles = np.concatenate([share.positions for share in solved])
    counts = np.concatenate([share.counts for share in solved])
    shortfall = sum(s.shortfall * int(k) for s, k in zip(solved, often, strict=True))
    ties = sum(s.ties_broken * int(k) for s, k in zip(solved, often, strict=True))
    for low, high in _stretches(lengths[which]):
        mine = which[low:high]
        size = lengths[mine]
        inside = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size, size)
        at = np.repeat(starts[mine], size) + inside
        yield Plan(np.repeat(np.arange(low, high), size), tiles[at], counts[at], shortfall, ties)
        shortfall = ties = 0


def _by_points_of_a_pair(
    points_of: Callable[[UInt64s, Int64s, int], Int64s],
    offsets: UInt64s,
    n: Int64s,
    tiles: tuple[UInt64s, Int64s],
    scale: int,
    grid: tuple[int, int],
) -> Iterator[Plan]:
    for low, high in _stretches(n):
        points = points_of(offsets[low:high], n[low:high], scale)
        yield _counted(low, n[low:high], locate(*tiles, grid[1], grid[0], points))


def _by_points_of_the_country(
    n: Int64s, tiles: tuple[UInt64s, Int64s], scale: int, grid: tuple[int, int]
) -> Iterator[Plan]:
    total = int(n.sum())
    stretches = deal(balanced_phases(len(n)), n, _CHUNK_SITES)
    # The one array of a word for each site of the country: all else goes by stretches.
    tile = np.empty(total, np.int64)
    first = 0
    for dealt in stretches:
        points = balanced_points(first, first + len(dealt), total, scale)
        tile[dealt] = locate(*tiles, grid[1], grid[0], points)
        first += len(dealt)
    ends = np.cumsum(n)
    for low, high in _stretches(n):
        yield _counted(low, n[low:high], tile[ends[low] - n[low] : ends[high - 1]])


def _counted(low: int, n: Int64s, tile: Int64s) -> Plan:
    """Count the sites, listed pair by pair with n each, by pair and tile; low is the first pair."""
    pair = np.repeat(np.arange(low, low + len(n)), n)
    order = np.lexsort((tile, pair))
    tile = tile[order]
    first = np.ones(len(tile), bool)
    first[1:] = (tile[1:] != tile[:-1]) | (pair[1:] != pair[:-1])
    starts = np.flatnonzero(first)
    return Plan(pair[starts], tile[starts], np.diff(np.append(starts, len(tile))), 0, 0)


def _stretches(sizes: Int64s) -> Iterator[tuple[int, int]]:
    """Cut pairs into stretches of about _CHUNK_SITES rows; a larger pair has its own."""
    running, low = np.cumsum(sizes), 0
    while low < len(sizes):
        before = int(running[low - 1]) if low else 0
        high = int(np.searchsorted(running, before + _CHUNK_SITES, "right"))
        high = max(high, low + 1)
        yield low, high
        low = high
