"""Recomputes the random words of a site and the points they give, with numpy's own Philox.

It shares no arithmetic with the states, so a match is a second derivation. Source:
docs/spec/random-numbers.md#counter-of-a-draw.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from segment1b.errors import Segment1BError
from segment1b.geo.countries import checked_countries
from segment1b.geo.placement import Clip, Country
from segment1b.storage.durable import read_object
from segment1b.storage.reader import Reader

#: Columns of tile_bounds in the order of `Tile`.
BOUNDS: Final = (
    "min_lon_deg",
    "max_lon_deg",
    "min_lat_deg",
    "max_lat_deg",
    "centroid_lon_deg",
    "centroid_lat_deg",
)
#: merchant_id, legal_country_iso, site_order.
Site: TypeAlias = tuple[int, str, int]


def columns_of(site: Site) -> dict[str, Any]:
    """Return the key of a site by column."""
    return dict(zip(("merchant_id", "legal_country_iso", "site_order"), site, strict=True))


class Stream:
    """A random stream: four 64-bit words for each attempt of each site."""

    def __init__(self, label: str, seed: int) -> None:
        text = b"segment1b\0" + label.encode("ascii") + b"\0" + seed.to_bytes(8, "little")
        self._key = np.frombuffer(hashlib.sha256(text).digest()[:16], "<u8").astype(np.uint64)
        self._philox = np.random.Philox(key=self._key)
        self._state = self._philox.state

    def words(self, site: Site, attempts: int = 1) -> npt.NDArray[np.uint64]:
        """Return the words of a site's first attempts, uint64 [attempts, 4]."""
        merchant, country, order = site
        # numpy adds 1 to word 0 before each block; a list of numbers would pass through floats.
        counter = np.array([0, order, merchant, country_word(country)], np.uint64)
        self._state["state"] = {"counter": counter, "key": self._key}
        self._philox.state = self._state
        return np.asarray(self._philox.random_raw(4 * attempts), np.uint64).reshape(-1, 4)


def country_word(country: str) -> int:
    """Return a country code as the counter word 256*A + B."""
    return int.from_bytes(country.encode("ascii"), "big")


def u01(word: int) -> float:
    """Return ((x >> 12) + 0.5) * 2^-52: exact in binary64, strictly between 0 and 1."""
    return ((word >> 12) + 0.5) * 2.0**-52


def pair_offset(seed: int, merchant: int, country: str) -> int:
    """Return the offset U of a pair on its country's line of weights, 0..2^64-1."""
    return int(Stream("alloc_offset", seed).words((merchant, country, 0))[0, 0])


def assignment_words(seed: int, merchant: int, country: str, sites: int) -> list[int]:
    """Return S5's word of each site 1..n of a pair."""
    stream = Stream("site_tile_assign", seed)
    return [int(stream.words((merchant, country, j))[0, 0]) for j in range(1, sites + 1)]


class Tile(NamedTuple):
    """A tile in degrees; west > east marks one across the date line."""

    west: float
    east: float
    south: float
    north: float
    lon: float
    lat: float

    def offset(self, u_lon: float, u_lat: float, clip: Clip | None) -> tuple[float, float]:
        """Return the offset of an attempt from the centroid: in the tile, or in its part."""
        if clip is not None:
            lon = (clip.west + u_lon * (clip.east - clip.west)) - self.lon
            return lon, (clip.south + u_lat * (clip.north - clip.south)) - self.lat
        width = self.east - self.west
        width = width + 360.0 if width < 0 else width
        return (u_lon - 0.5) * width, (u_lat - 0.5) * (self.north - self.south)

    def point(self, d_lon: float, d_lat: float) -> tuple[float, float]:
        """Return longitude in [-180, 180) and latitude of the centroid plus an offset."""
        lon = self.lon + d_lon
        lon = lon - 360.0 if lon >= 180.0 else lon + 360.0 if lon < -180.0 else lon
        return lon, self.lat + d_lat

    def contains(self, lon: float, lat: float) -> bool:
        """Return whether a point lies in the closed tile, without tolerance."""
        after, before = lon >= self.west, lon <= self.east
        across = self.west > self.east
        within = (after or before) if across else (after and before)
        return within and self.south <= lat <= self.north


class Attempt(NamedTuple):
    """One attempt of S6: its words, their uniforms, and the offset from the tile's centroid."""

    number: int
    words: tuple[int, int]
    u: tuple[float, float]
    offset: tuple[float, float]


class Jitter:
    """S6's attempts of a published run; countries and clipped tiles are read when needed."""

    def __init__(self, reader: Reader, seed: int) -> None:
        policy = read_object(reader.file("parameter_policy_1B"))["policy"]["jitter"]
        self.tile_attempts = int(policy["max_attempts_tile"])
        self.most_attempts = self.tile_attempts + int(policy["max_attempts_clip"])
        self._stream = Stream("in_cell_jitter", seed)
        shapes = functools.cache(lambda: reader.file("world_countries"))
        self.country = functools.lru_cache(8)(
            lambda code: Country(checked_countries(shapes(), [code])[code])
        )
        self.clip = functools.lru_cache(4096)(self._clip)

    def attempts(self, site: Site, tile: Tile, count: int) -> Iterator[Attempt]:
        """Yield the first `count` attempts of a site in its tile."""
        for number, (w0, w1, *_) in enumerate(self._stream.words(site, count).tolist(), 1):
            clip = self.clip(site[1], tile) if number > self.tile_attempts else None
            u = u01(w0), u01(w1)
            yield Attempt(number, (w0, w1), u, tile.offset(*u, clip))

    def judge(self, country: str, tile: Tile, d_lon: float, d_lat: float) -> str:
        """Return "accepted", or which test an offset from the centroid fails."""
        lon, lat = tile.point(d_lon, d_lat)
        if not tile.contains(lon, lat):
            return "outside its tile"
        inside = self.country(country).contains(np.array([lon]), np.array([lat]))[0]
        return "accepted" if inside else "outside the country"

    def surface(self, country: str, tile: Tile) -> tuple[float, float]:
        """Return the offset of the point on the surface of tile and country (lane 2)."""
        clip = self.clip(country, tile)
        return clip.lon - tile.lon, clip.lat - tile.lat

    def _clip(self, country: str, tile: Tile) -> Clip:
        clip = self.country(country).clip(tile.west, tile.south, tile.east, tile.north, tile.lon)
        if clip is None:
            what = f"a tile at {tile.lon} of {country} has no area inside the country"
            hint = "world_countries is not the sealed one"
            raise Segment1BError("E914_DRAW_REPLAY_MISMATCH", what, hint, country_iso=country)
        return clip
