"""Rounds of attempts of S6 over the sites of one country that have no point yet, lane by lane."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segment1b.config import JitterPolicy
from segment1b.errors import Segment1BError
from segment1b.geo.placement import Clip, Country
from segment1b.laws.jitter import Boxes, Tiles, draws, in_box, in_tile, inside_tile, point
from segment1b.storage.arrays import distinct

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
TILE, CLIP, SURFACE = 0, 1, 2


@dataclass
class Points:
    """The sites of a country and their points.

    Attributes:
        merchant: uint64[n]; order: int64[n]; tile: int64[n], index among `tiles`.
        interior: bool[t], tiles that lie properly inside the country.
        d_lon, d_lat: float64[n], offset from the tile's centroid, degrees.
        blocks: uint16[n], attempts; lane: uint8[n].
    """

    merchant: UInt64s
    order: Ints
    tile: Ints
    tiles: Tiles
    interior: npt.NDArray[np.bool_]
    d_lon: Floats
    d_lat: Floats
    blocks: npt.NDArray[np.uint16]
    lane: npt.NDArray[np.uint8]


def place_sites(
    seed: int,
    code: str,
    country: Country,
    policy: JitterPolicy,
    sites: tuple[UInt64s, Ints, Ints],
    tiles: Tiles,
    tile_ids: UInt64s,
) -> Points:
    """Give every site of a country a point in the part of its tile that lies in the country.

    Args:
        seed: the run's seed.
        code: the country.
        country: its shape, private to this thread.
        policy: how many attempts the lanes have.
        sites: merchant, site_order and index of the tile of each site.
        tiles: the used tiles.
        tile_ids: their ids, for the error's place.

    Raises:
        Segment1BError: E613_RESAMPLE_EXHAUSTED.
    """
    count = len(sites[0])
    interior = country.interior(tiles.west, tiles.south, tiles.east, tiles.north)
    d_lon, d_lat, blocks = np.zeros(count), np.zeros(count), np.zeros(count, np.uint16)
    lane = np.zeros(count, np.uint8)
    points = Points(*sites, tiles, interior, d_lon, d_lat, blocks, lane)
    draw = functools.partial(_rounds, seed, code, country, points)
    last = policy.max_attempts_tile + policy.max_attempts_clip

    def whole(u: tuple[Floats, Floats], at: Ints) -> tuple[Floats, Floats]:
        return in_tile(u, tiles.at(points.tile[at]))

    left = draw(np.arange(count), range(1, policy.max_attempts_tile + 1), whole, TILE)
    if not len(left):
        return points
    used = distinct(points.tile[left])
    clips = [_clip(code, country, tiles, int(t), tile_ids) for t in used]
    box = Boxes(*(np.array([clip[i] for clip in clips]) for i in range(4)))

    def clipped(u: tuple[Floats, Floats], at: Ints) -> tuple[Floats, Floats]:
        tile = points.tile[at]
        return in_box(u, box.at(np.searchsorted(used, tile)), tiles.at(tile))

    left = draw(left, range(policy.max_attempts_tile + 1, last + 1), clipped, CLIP)
    if len(left):
        _on_surface(code, country, points, left, used, clips, tile_ids, last)
    return points


def outside(country: Country, points: Points) -> tuple[int, int]:
    """Count the points that lie outside their tile, and outside their country (no shortcut)."""
    tiles = points.tiles.at(points.tile)
    lon, lat = point(points.d_lon, points.d_lat, tiles)
    return (
        int(np.count_nonzero(~inside_tile(lon, lat, tiles))),
        int(np.count_nonzero(~country.contains(lon, lat))),
    )


def _rounds(
    seed: int,
    code: str,
    country: Country,
    points: Points,
    left: Ints,
    attempts: range,
    law: Callable[[tuple[Floats, Floats], Ints], tuple[Floats, Floats]],
    lane: int,
) -> Ints:
    """Run the attempts of one lane over all sites without a point; return those that remain."""
    for attempt in attempts:
        if not len(left):
            break
        u = draws(seed, code, attempt, points.merchant[left], points.order[left])
        d_lon, d_lat = law(u, left)
        good = _accepted(country, points, left, d_lon, d_lat)
        done = left[good]
        points.d_lon[done], points.d_lat[done] = d_lon[good], d_lat[good]
        points.blocks[done], points.lane[done] = attempt, lane
        left = left[~good]
    return left


def _accepted(
    country: Country, points: Points, at: Ints, d_lon: Floats, d_lat: Floats
) -> npt.NDArray[np.bool_]:
    """Return which offsets give a point in the tile (a) and strictly inside the country (b)."""
    tile = points.tile[at]
    tiles = points.tiles.at(tile)
    lon, lat = point(d_lon, d_lat, tiles)
    good = inside_tile(lon, lat, tiles)
    # An interior tile needs no (b): all of it lies properly inside. (a) is never skipped.
    ask = np.flatnonzero(good & ~points.interior[tile])
    good[ask] = country.contains(lon[ask], lat[ask])
    return good


def _clip(code: str, country: Country, tiles: Tiles, t: int, tile_ids: UInt64s) -> Clip:
    clip = country.clip(
        *(float(v[t]) for v in (tiles.west, tiles.south, tiles.east, tiles.north, tiles.lon))
    )
    if clip is None:
        raise _exhausted(code, int(tile_ids[t]), "tile and country have no area in common")
    return clip


def _on_surface(
    code: str,
    country: Country,
    points: Points,
    left: Ints,
    used: Ints,
    clips: list[Clip],
    tile_ids: UInt64s,
    attempts: int,
) -> None:
    at = np.searchsorted(used, points.tile[left])
    lon = np.array([clip.lon for clip in clips])[at]
    lat = np.array([clip.lat for clip in clips])[at]
    tiles = points.tiles.at(points.tile[left])
    d_lon, d_lat = lon - tiles.lon, lat - tiles.lat
    good = _accepted(country, points, left, d_lon, d_lat)
    if not good.all():
        tile = int(points.tile[left][~good][0])
        raise _exhausted(code, int(tile_ids[tile]), "not even a point on its surface is inside")
    points.d_lon[left], points.d_lat[left] = d_lon, d_lat
    points.blocks[left], points.lane[left] = attempts, SURFACE


def _exhausted(code: str, tile_id: int, why: str) -> Segment1BError:
    what = f"{code}, tile {tile_id}: {why}"
    return Segment1BError("E613_RESAMPLE_EXHAUSTED", what, country_iso=code, tile_id=tile_id)
