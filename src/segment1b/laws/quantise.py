"""Integer tile weights that sum to exactly K, from integer masses: largest remainder.

Source: docs/spec/s2-weights.md#law
"""

from __future__ import annotations

from typing import Final

from segment1b.laws.apportionment import give_largest
from segment1b.laws.division import Int64s, checked_sum, muldiv

_UNITS_LIMIT: Final = 10**15


def quantise(masses: Int64s, K: int) -> tuple[Int64s, int]:
    """Turn the masses of one country's tiles into weights that sum to K.

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
    """
    if K < 1:
        raise ValueError(f"K = {K}: there must be at least one unit")
    if K > _UNITS_LIMIT:
        raise OverflowError(f"K = {K} passes 10^15, the limit of the exact path")
    total = checked_sum(masses, "tile masses")
    if total == 0:
        raise ValueError("tile masses sum to 0: nothing to weigh by")
    weights, remainders = muldiv(masses, K, total, masses)
    shortfall = K - int(weights.sum())
    give_largest(weights, remainders, shortfall)
    return weights, shortfall
