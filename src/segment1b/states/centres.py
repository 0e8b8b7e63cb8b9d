"""Sites of some countries at the shared centres of their tiles: draws, refusals and retries.

Source: docs/spec/s6-points.md#shared-centres
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b.contracts.policy import CentresPolicy
from segment1b.laws import centres as law
from segment1b.laws.jitter import Tiles, in_tile
from segment1b.states.by_country import Int64s, UInt64s
from segment1b.storage.arrays import distinct

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
#: Tile indices and offsets from the centroid to whether the point is in tile and country.
Accepted = Callable[[Int64s, Floats, Floats], Bools]
# Attempts that are drawn at a time: what they need stays in the second-level cache.
_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Ground:
    """The tiles of some countries that have sites.

    Attributes:
        seed: of the run.
        policy: the centres in force.
        country, ids, tiles: country words and tile ids, uint64[t] each, and bounds.
        area_m2, centres: float64[t] and int64[t].
        accepted: whether points pass tests (a) and (b).
    """

    seed: int
    policy: CentresPolicy
    country: UInt64s
    ids: UInt64s
    tiles: Tiles
    area_m2: Floats
    centres: Int64s
    accepted: Accepted

    @property
    def admitted(self) -> Bools:
        """Return which tiles are large enough to have centres, bool [t]."""
        return law.admits(self.tiles, self.area_m2, self.policy.radius_m)


class _Attempts(ABC):
    """Items that are drawn in attempts 1..64 until one is good.

    Attributes:
        attempt: int64[n], the last good attempt; 0 where none is known.
        values: arrays [n] of what the good attempt gave.
    """

    def __init__(self, *values: npt.NDArray[Any]) -> None:
        self.attempt = np.zeros(len(values[0]), np.int64)
        self.values = values

    @abstractmethod
    def draw(self, items: Int64s, attempt: Int64s) -> tuple[Bools, tuple[npt.NDArray[Any], ...]]:
        """Return which attempts of which items are good, and what they give."""

    def advance(self, left: Int64s) -> None:
        """Give items their next good attempt, or 0 and zeros."""
        tried = self.attempt[left]
        for values in (self.attempt, *self.values):
            values[left] = 0
        width = 1
        while len(left):
            step = _AT_ONCE // width
            for start in range(0, len(left), step):
                self._try(left[start : start + step], tried[start : start + step], width)
            tried += width
            again = (self.attempt[left] == 0) & (tried < law.ATTEMPTS)
            left, tried = left[again], tried[again]
            # Few items are left soon, and array calls cost more than wasted attempts.
            width = min(2 * width, max(1, _AT_ONCE // max(1, len(left))), law.ATTEMPTS)

    def _try(self, left: Int64s, tried: Int64s, width: int) -> None:
        """Draw the next `width` attempts of items and keep the first good one of each."""
        attempt = (tried[:, None] + np.arange(1, width + 1)).ravel()
        items = np.repeat(left, width)
        allowed = np.flatnonzero(attempt <= law.ATTEMPTS)
        good, values = self.draw(items[allowed], attempt[allowed])
        # Backwards, because of several values for one place numpy keeps the last.
        hit = np.flatnonzero(good)[::-1]
        place = items[allowed[hit]]
        self.attempt[place] = attempt[allowed[hit]]
        for into, given in zip(self.values, values, strict=True):
            into[place] = given[hit]


class _Centres(_Attempts):
    """The centres of all tiles, each drawn when a site first needs it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.start = np.cumsum(ground.centres) - ground.centres
        count = int(ground.centres.sum())
        self._known = np.zeros(count, bool)
        self.d_lon, self.d_lat = np.zeros(count), np.zeros(count)
        super().__init__(self.d_lon, self.d_lat)

    def at(self, tile: Int64s, rank: Int64s) -> tuple[Floats, Floats, Bools]:
        """Return offsets of centres from the centroid, and which of them there are."""
        item = self.start[tile] + (rank - 1)
        new = distinct(item[~self._known[item]])
        self._known[new] = True
        self.advance(new)
        return self.d_lon[item], self.d_lat[item], self.attempt[item] > 0

    def draw(self, items: Int64s, attempt: Int64s) -> tuple[Bools, tuple[npt.NDArray[Any], ...]]:
        """Return which candidates lie in tile and country, and their offsets."""
        ground = self._ground
        tile = np.searchsorted(self.start, items, side="right") - 1
        rank = items - self.start[tile] + 1
        country, tile_id = ground.country[tile], ground.ids[tile]
        u = law.centre_uniforms(ground.seed, country, attempt, rank, tile_id)
        offset = in_tile(u, ground.tiles.at(tile))
        return ground.accepted(tile, *offset), offset


class CentredSites(_Attempts):
    """The sites in tiles with centres; `place` decides all of them.

    Attributes:
        attempt: int64[n], the attempt that was good or chose the tail; 0 when 64 have failed.
        centre: int64[n], 0 for a site that is not at a centre.
        d_lon, d_lat: float64[n], offset from the tile's centroid, degrees.
    """

    def __init__(self, ground: Ground, tile: Int64s, merchant: UInt64s, order: Int64s) -> None:
        self._ground, self._tile, self._merchant, self._order = ground, tile, merchant, order
        self._centres = _Centres(ground)
        self._radii = law.radii_deg(ground.tiles, ground.area_m2, ground.policy.radius_m)
        self.centre = np.zeros(len(tile), np.int64)
        self.d_lon, self.d_lat = np.zeros(len(tile)), np.zeros(len(tile))
        super().__init__(self.centre, self.d_lon, self.d_lat)

    @property
    def blocks(self) -> npt.NDArray[np.uint8]:
        """Return the attempts of each site."""
        return np.where(self.attempt > 0, self.attempt, law.ATTEMPTS).astype(np.uint8)

    def place(self) -> None:
        """Draw every site, then again those at a centre that an earlier one has."""
        self.advance(np.arange(len(self._tile)))
        left, group = self._neighbours()
        taken, start = self._free_centres(left, group)
        while len(left):
            held = start[group] + np.maximum(self.centre[left] - 1, 0)
            clash = self._refusable(left) & (taken[held] | self._repeated(held, left))
            # What precedes every clash in its group is final: it depends on nothing behind it.
            final = _counted(clash, group) == 0
            taken[held[final & (self.centre[left] > 0)]] = True
            left, group, held = left[~final], group[~final], held[~final]
            self.advance(left[self._refusable(left) & taken[held]])

    def counters(self, span: slice) -> dict[str, int]:
        """Return the report's counters of a stretch of the sites."""
        centre = self.centre[span]
        sites, placed = len(centre), int(np.count_nonzero(centre))
        exhausted = int(np.count_nonzero(self.attempt[span] == 0))
        tail = sites - placed - exhausted
        return {"sites": sites, "placed": placed, "tail": tail, "exhausted": exhausted}

    def draw(self, items: Int64s, attempt: Int64s) -> tuple[Bools, tuple[npt.NDArray[Any], ...]]:
        """Return which attempts end a site's draws: its centre (0: the tail) and its offset."""
        ground, count = self._ground, len(items)
        country = ground.country[self._tile[items]]
        w0, w1, w2, w3 = law.site_words(
            ground.seed, country, attempt, self._order[items], self._merchant[items]
        )
        tail = (attempt == 1) & law.is_tail(w0, ground.policy.tail_permille)
        x, y, inside = law.disk(w2, w3)
        at = np.flatnonzero(inside & ~tail)
        tile = self._tile[items[at]]
        rank = law.ranks(w1[at], ground.centres[tile])
        lon, lat, there = self._centres.at(tile, rank)
        lon = lon + x[at] * self._radii[0][tile]
        lat = lat + y[at] * self._radii[1][tile]
        centre, d_lon, d_lat = np.zeros(count, np.int64), np.zeros(count), np.zeros(count)
        good = tail.copy()
        good[at] = there & ground.accepted(tile, lon, lat)
        centre[at], d_lon[at], d_lat[at] = rank, lon, lat
        return good, (centre, d_lon, d_lat)

    def _neighbours(self) -> tuple[Int64s, Int64s]:
        """Return the sites that share merchant and tile with another, by group in site order."""
        order = np.lexsort((self._order, self._tile, self._merchant))
        merchant, tile = self._merchant[order], self._tile[order]
        same = (merchant[1:] == merchant[:-1]) & (tile[1:] == tile[:-1])
        shared = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
        # The first of a group is not like the one before it.
        return order[shared], np.cumsum(~np.insert(same, 0, False)[shared]) - 1

    def _free_centres(self, left: Int64s, group: Int64s) -> tuple[Bools, Int64s]:
        """Return a flag for each centre of each group's tile, and where those of a group start."""
        first = np.flatnonzero(np.diff(group, prepend=-1))
        centres = self._ground.centres[self._tile[left[first]]]
        return np.zeros(int(centres.sum()), bool), np.cumsum(centres) - centres

    def _refusable(self, sites: Int64s) -> Bools:
        return (self.centre[sites] > 0) & (self.attempt[sites] <= law.APART)

    def _repeated(self, held: Int64s, left: Int64s) -> Bools:
        """Return which sites hold the same centre as one before them in their group."""
        holders = np.flatnonzero(self.centre[left] > 0)
        repeated = np.zeros(len(left), bool)
        repeated[holders] = True
        repeated[holders[np.unique(held[holders], return_index=True)[1]]] = False
        return repeated


def _counted(flags: Bools, group: Int64s) -> Int64s:
    """Return how many flags of its group are set up to each place, itself included."""
    running: Int64s = np.cumsum(flags)
    first = np.flatnonzero(np.diff(group, prepend=-1))
    before = running[first] - flags[first]
    return running - np.repeat(before, np.diff(first, append=len(group)))
