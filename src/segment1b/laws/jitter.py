"""Uniform points in rectangles, and whether a point is in its tile: the arithmetic of S6.

One binary64 rounding per operation, so that a replay agrees bit for bit.
Source: docs/spec/s6-points.md#law-of-an-attempt
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from segment1b.laws.philox import country_words, key_of, philox4x64, u01

Floats = npt.NDArray[np.float64]
UInt64s = npt.NDArray[np.uint64]

LABEL: Final = "in_cell_jitter"


class Tiles(NamedTuple):
    """Tiles in degrees, float64 [t] each; west > east marks a tile across the date line."""

    south: Floats
    north: Floats
    west: Floats
    east: Floats
    lat: Floats
    lon: Floats

    def at(self, index: npt.NDArray[np.int64]) -> Tiles:
        """Return the tiles of these indices."""
        return Tiles(*(column[index] for column in self))


def draws(
    seed: int,
    country: str | UInt64s,
    attempt: int,
    merchant: UInt64s,
    order: npt.NDArray[np.int64],
) -> tuple[Floats, Floats]:
    """Return u01 of words w0 (longitude) and w1 (latitude) of an attempt, float64 [n] each.

    `country` is a code or words [n].
    """
    counter = (attempt, order.astype(np.uint64), merchant, country_words(country))
    w0, w1, _, _ = philox4x64(counter, key_of(LABEL, seed))
    return u01(w0), u01(w1)


def in_tile(u: tuple[Floats, Floats], tiles: Tiles) -> tuple[Floats, Floats]:
    """Return (d_lon, d_lat) from the centroid for a point in the whole tile (lane 0)."""
    width = tiles.east - tiles.west
    width = np.where(width < 0, width + 360.0, width)
    return (u[0] - 0.5) * width, (u[1] - 0.5) * (tiles.north - tiles.south)


def in_box(u: tuple[Floats, Floats], box: Iterable[Floats], tiles: Tiles) -> tuple[Floats, Floats]:
    """Return (d_lon, d_lat) from the centroid for a point in an envelope (lane 1).

    `box` is west, east, south and north in degrees; longitudes unwrapped to the centroid's side.
    """
    west, east, south, north = box
    lon = (west + u[0] * (east - west)) - tiles.lon
    return lon, (south + u[1] * (north - south)) - tiles.lat


def point(d_lon: Floats, d_lat: Floats, tiles: Tiles) -> tuple[Floats, Floats]:
    """Return longitude [-180, 180) and latitude of centroid plus offset, degrees."""
    return wrap(tiles.lon + d_lon), tiles.lat + d_lat


def wrap(lon: Floats) -> Floats:
    """Return x - 360 where x >= 180, x + 360 where x < -180."""
    return np.where(lon >= 180.0, lon - 360.0, np.where(lon < -180.0, lon + 360.0, lon))


def inside_tile(lon: Floats, lat: Floats, tiles: Tiles) -> npt.NDArray[np.bool_]:
    """Return which points lie in their closed tile, without tolerance (test (a))."""
    after, before = lon >= tiles.west, lon <= tiles.east
    across = tiles.west > tiles.east
    within: npt.NDArray[np.bool_] = np.where(across, after | before, after & before)
    return within & (tiles.south <= lat) & (lat <= tiles.north)
