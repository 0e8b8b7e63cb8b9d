"""Recomputes the draws of a site at the shared centres of its tile, attempt by attempt.

It shares no arithmetic with the states. Source: docs/spec/s6-points.md#shared-centres.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Final, NamedTuple

from segment1b.read.redraw import Jitter, Site, Stream, Tile, u01

ATTEMPTS: Final = 64
APART: Final = 8
_METRES: Final = 111_195.0
#: [C] is the sum of the shares of the ranks 1 to C.
_SHARES: Final = [0, *accumulate(2**40 // rank for rank in range(1, 513))]


class CentreTile(NamedTuple):
    """A tile with its id, its area and the number of its centres."""

    tile: Tile
    tile_id: int
    area_m2: float
    centres: int


class CentreAttempt(NamedTuple):
    """One attempt of a site: its words and what they give; None where a step before has failed.

    Attributes:
        tail: the first attempt leaves the site uniform in its tile.
        rank: the centre, from 1.
        disk: X and Y.
        centre, offset: of the centre and of the point, degrees from the tile's centroid.
        verdict: "the tail", why it fails by itself, or "accepted".
    """

    number: int
    words: tuple[int, ...]
    tail: bool
    rank: int
    disk: tuple[float, float]
    centre: tuple[float, float] | None
    offset: tuple[float, float] | None
    verdict: str


class CentreDraws:
    """The draws at centres of a published run under a policy with centres."""

    def __init__(self, jitter: Jitter, policy: dict[str, Any], seed: int) -> None:
        self._jitter, self._radius = jitter, int(policy["radius_m"])
        self._tail = int(policy["tail_permille"]) * (2**64 // 1000)
        self._sites, self._centres = Stream("centre_jitter", seed), Stream("tile_centres", seed)
        self.centre = functools.lru_cache(65_536)(self._centre)

    def admits(self, place: CentreTile) -> bool:
        """Return whether a tile is four radii wide and high."""
        _, width, height = _sides(place)
        return width >= 4 * self._radius and height >= 4 * self._radius

    def attempts(self, site: Site, place: CentreTile, count: int) -> Iterator[CentreAttempt]:
        """Yield the first `count` attempts of a site in its tile."""
        degrees, width, _ = _sides(place)
        for number, words in enumerate(self._sites.words(site, count).tolist(), 1):
            w0, w1, w2, w3 = words
            rank = bisect_right(_SHARES, w1 * _SHARES[place.centres] >> 64)
            x, y = 2 * u01(w2) - 1, 2 * u01(w3) - 1
            tail = number == 1 and w0 < self._tail
            centre = offset = None
            verdict = "the tail" if tail else "outside the disk"
            if not tail and x * x + y * y <= 1:
                centre, verdict = self.centre(site[1], place, rank), "no centre in the country"
            if centre is not None:
                lon = centre[0] + x * (self._radius * (degrees / width))
                offset = lon, centre[1] + y * (self._radius / _METRES)
                verdict = self._jitter.judge(site[1], place.tile, *offset)
            disk = (x, y)
            yield CentreAttempt(number, tuple(words), tail, rank, disk, centre, offset, verdict)

    def _centre(self, country: str, place: CentreTile, rank: int) -> tuple[float, float] | None:
        """Return the offset of a centre from the centroid; None where 64 attempts find no place."""
        for w0, w1, *_ in self._centres.words((place.tile_id, country, rank), ATTEMPTS).tolist():
            offset = place.tile.offset(u01(w0), u01(w1), None)
            if self._jitter.judge(country, place.tile, *offset) == "accepted":
                return offset
        return None


def _sides(place: CentreTile) -> tuple[float, float, float]:
    """Return the width in degrees, and width and height in metres."""
    tile = place.tile
    degrees = tile.east - tile.west
    height = (tile.north - tile.south) * _METRES
    return degrees + 360.0 if degrees < 0 else degrees, place.area_m2 / height, height
