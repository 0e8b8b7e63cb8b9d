"""How well a country's sites follow its weights: load errors, collapse index, top-five share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]


def country_quality(sites: Int64s, weights: Int64s, scale: int) -> dict[str, Any]:
    """Return the quality of one country's plan (allocation.md, section 5).

    Args:
        sites: int64[t], sites of all pairs in each tile.
        weights: int64[t], weights that sum to `scale`.
        scale: K.

    Returns:
        sites, distinct_tiles, expected_tiles (what independent draws would reach),
        tile_load_error_max and _p99 of |sites_t - T*w_t/K|, collapse_index (distinct over
        expected tiles), top_five_share. Figures carry 9 significant digits.
    """
    total = int(sites.sum())
    share = weights / scale
    expected = expected_tiles(share, total)
    error = np.abs(sites - share * total)
    place = min(len(error) - 1, int(np.ceil(0.99 * len(error))) - 1)
    top = np.partition(sites, max(0, len(sites) - 5))[-5:]
    distinct = int(np.count_nonzero(sites))
    return {
        "sites": total,
        "distinct_tiles": distinct,
        "expected_tiles": expected,
        "tile_load_error_max": digits(error.max(initial=0.0)),
        "tile_load_error_p99": digits(np.partition(error, place)[place]),
        "collapse_index": digits(distinct / expected) if expected else 0.0,
        "top_five_share": digits(int(top.sum()) / total) if total else 0.0,
    }


def expected_tiles(share: npt.NDArray[np.float64], total: int) -> float:
    """Return the mean number of distinct tiles that `total` independent draws would hit."""
    if not total:
        return 0.0
    with np.errstate(divide="ignore"):
        return float(-np.expm1(total * np.log1p(-share)).sum())


def overall_collapse(quality: dict[str, dict[str, Any]]) -> float:
    """Return the collapse index over all countries: distinct tiles over expected tiles."""
    expected = sum(own["expected_tiles"] for own in quality.values())
    distinct = sum(own["distinct_tiles"] for own in quality.values())
    return digits(distinct / expected) if expected else 0.0


def digits(value: float) -> float:
    """Round to 9 significant digits, so that a report does not depend on the last bits of a sum."""
    return float(f"{value:.9g}")
