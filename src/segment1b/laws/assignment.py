"""Random assignment of the sites of a pair to its tiles, with the counts per tile fixed by S4.

Source: docs/spec/s5-assignment.md#permutation
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from segment1b.laws.philox import country_word, key_of, philox4x64

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

LABEL: Final = "site_tile_assign"


class Sites(NamedTuple):
    """The sites of a country's pairs, pair by pair.

    Attributes:
        pair: int64[n], index of the pair.
        merchant: uint64[n].
        order: int64[n], site_order, 1..N within a pair.
        tile: uint64[n], the pair's tiles repeated by quota, ascending.
        quota: int64[pairs], N of each pair.
    """

    pair: Int64s
    merchant: UInt64s
    order: Int64s
    tile: UInt64s
    quota: Int64s


def sites_of(merchant: UInt64s, tile: UInt64s, n: Int64s) -> Sites:
    """Expand rows of the plan (one country, sorted by merchant and tile) into sites."""
    first = np.ones(len(merchant), bool)
    first[1:] = merchant[1:] != merchant[:-1]
    pair_of_row = np.cumsum(first) - 1
    quota = np.bincount(pair_of_row, n, int(first.sum())).astype(np.int64)
    pair = np.repeat(pair_of_row, n)
    order = np.arange(len(pair)) - np.repeat(np.cumsum(quota) - quota, quota) + 1
    return Sites(pair, np.repeat(merchant, n), order, np.repeat(tile, n), quota)


def words(seed: int, country: str, sites: Sites) -> UInt64s:
    """Return each site's word w0, uint64[n], a function of (seed, site key) alone."""
    counter = (1, sites.order.astype(np.uint64), sites.merchant, country_word(country))
    return philox4x64(counter, key_of(LABEL, seed))[0]


def permuted(sites: Sites, word: UInt64s) -> tuple[UInt64s, int]:
    """Return each site's tile, uint64[n], dealt by (word, site_order), and the tied words."""
    order = np.lexsort((sites.order, word, sites.pair))
    tile = np.empty_like(sites.tile)
    tile[order] = sites.tile
    ranked, pair = word[order], sites.pair[order]
    ties = np.count_nonzero((ranked[1:] == ranked[:-1]) & (pair[1:] == pair[:-1]))
    return tile, int(ties)
