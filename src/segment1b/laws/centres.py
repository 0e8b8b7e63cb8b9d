"""Shared centres: how many a tile has, which one a site draws, and offsets around it.

One binary64 rounding per operation, so that a replay agrees bit for bit.
Source: docs/spec/s6-points.md#shared-centres
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from segment1b.laws.division import BLOCK, Int64s, UInt64s, multiply_high
from segment1b.laws.jitter import Floats, Tiles
from segment1b.laws.philox import country_words, key_of, philox4x64, u01

SITES: Final = "centre_jitter"
CENTRES: Final = "tile_centres"
#: Attempts of a site, and of a centre.
ATTEMPTS: Final = 64
#: Attempts in which a centre with an earlier site of the same merchant is refused.
APART: Final = 8
MOST_CENTRES: Final = 512
METRES_PER_DEGREE: Final = 111_195.0
_MICRO: Final = 1_000_000
#: Running sums of the shares `2^40 div i` of ranks 1..512; [C - 1] is S_C.
_RUNNING: Final = np.cumsum(np.uint64(1 << 40) // np.arange(1, MOST_CENTRES + 1, dtype=np.uint64))


def centres_of(people: Int64s, people_per_centre: int) -> npt.NDArray[np.uint16]:
    """Return the number of centres of tiles, uint16 [t]: one for so many people, 1 to 512.

    Args:
        people: int64[t], micro-people, 0 to 2^62.
        people_per_centre: people, 1 to 10^9.
    """
    each = people_per_centre * _MICRO
    centres = np.empty(len(people), np.uint16)
    for start in range(0, len(people), BLOCK):
        part = people[start : start + BLOCK]
        whole = (part + (each - 1)) // each
        centres[start : start + BLOCK] = np.clip(whole, 1, MOST_CENTRES)
    return centres


def side_metres(tiles: Tiles, area_m2: Floats) -> tuple[Floats, Floats]:
    """Return width and height of tiles, metres, float64 [t] each, from their area."""
    height = (tiles.north - tiles.south) * METRES_PER_DEGREE
    return area_m2 / height, height


def admits(tiles: Tiles, area_m2: Floats, radius_m: int) -> npt.NDArray[np.bool_]:
    """Return which tiles are at least four radii wide and high, bool [t]: those have centres."""
    least = 4.0 * radius_m
    width, height = side_metres(tiles, area_m2)
    return (width >= least) & (height >= least)


def radii_deg(tiles: Tiles, area_m2: Floats, radius_m: int) -> tuple[Floats, Floats]:
    """Return the radius in degrees of longitude and latitude in tiles, float64 [t] each."""
    width, _ = side_metres(tiles, area_m2)
    degrees = tiles.east - tiles.west
    degrees = np.where(degrees < 0, degrees + 360.0, degrees)
    lat = np.full(len(width), radius_m / METRES_PER_DEGREE)
    return radius_m * (degrees / width), lat


def site_words(
    seed: int, country: str | UInt64s, attempt: Int64s, order: Int64s, merchant: UInt64s
) -> tuple[UInt64s, UInt64s, UInt64s, UInt64s]:
    """Return the words of attempts of sites, uint64 [n] each; `country` is a code or words [n]."""
    return philox4x64((attempt, order, merchant, country_words(country)), key_of(SITES, seed))


def centre_uniforms(
    seed: int, country: str | UInt64s, attempt: Int64s, rank: Int64s, tile: UInt64s
) -> tuple[Floats, Floats]:
    """Return u01 of w0 (longitude) and w1 (latitude) of attempts of centres, float64 [n] each.

    `country` is a code or words [n].
    """
    counter = (attempt, rank, tile, country_words(country))
    w0, w1, _, _ = philox4x64(counter, key_of(CENTRES, seed))
    return u01(w0), u01(w1)


def is_tail(w0: UInt64s, permille: int) -> npt.NDArray[np.bool_]:
    """Return which sites, by w0 of their first attempt, stay uniform in their tile, bool [n]."""
    return w0 < np.uint64(permille * (2**64 // 1000))


def ranks(w1: UInt64s, centres: Int64s) -> Int64s:
    """Return the centre that each word draws from 1..centres, rank i with 2^40 div i shares."""
    x = multiply_high(w1, _RUNNING[centres - 1])
    return np.searchsorted(_RUNNING, x, side="right") + 1


def disk(w2: UInt64s, w3: UInt64s) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return X and Y in -1..1, float64 [n] each, and which of them lie in the unit disk."""
    x, y = 2.0 * u01(w2) - 1.0, 2.0 * u01(w3) - 1.0
    return x, y, x * x + y * y <= 1.0
