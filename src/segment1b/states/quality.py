"""How closely a country's sites follow its weights: load errors, collapse index, top-five share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]


def country_quality(sites: Int64s, weights: Int64s, scale: int, tiles: int) -> dict[str, Any]:
    """Return the figures of docs/spec/s4-allocation.md#quality, with 9 significant digits.

    Args:
        sites: int64[t], sites of all pairs in each tile that has weight.
        weights: int64[t], weights that sum to `scale`.
        scale: K.
        tiles: number of tiles of the country, those without weight (and so without site) too.
    """
    total = int(sites.sum())
    share = weights / scale
    expected = expected_tiles(share, total)
    error = np.abs(sites - share * total)
    held = sites[sites > 0]
    top = np.partition(held, max(0, len(held) - 5))[-5:]
    distinct = len(held)
    return {
        "sites": total,
        "distinct_tiles": distinct,
        "expected_tiles": expected,
        "tile_load_error_max": digits(error.max(initial=0.0)),
        "tile_load_error_p99": digits(_percentile_99(error, tiles)),
        "collapse_index": digits(distinct / expected) if expected else 0.0,
        "top_five_share": digits(int(top.sum()) / total) if total else 0.0,
    }


def _percentile_99(error: npt.NDArray[np.float64], tiles: int) -> float:
    # The tiles that are left out have error 0 and come first.
    place = max(1, int(np.ceil(0.99 * tiles))) - 1 - (tiles - len(error))
    return float(np.partition(error, place)[place]) if place >= 0 else 0.0


def expected_tiles(share: npt.NDArray[np.float64], total: int) -> float:
    """Return the mean number of distinct tiles that `total` independent draws would hit."""
    if not total:
        return 0.0
    with np.errstate(divide="ignore"):
        return float(-np.expm1(total * np.log1p(-share)).sum())


def overall_collapse(quality: dict[str, dict[str, Any]]) -> float:
    """Return the collapse index over all countries: distinct tiles over expected tiles."""
    expected = sum(country["expected_tiles"] for country in quality.values())
    distinct = sum(country["distinct_tiles"] for country in quality.values())
    return digits(distinct / expected) if expected else 0.0


def digits(value: float) -> float:
    """Round to 9 significant digits, so that a report does not depend on the last bits of a sum."""
    return float(f"{value:.9g}")
