"""Every attempt drawn again: each before the last must fail, the last must be what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segment1b.audit.case import Case
from segment1b.audit.country_areas import Area, Meeting, area_of
from segment1b.audit.logs import JITTER
from segment1b.audit.results import Found, Row
from segment1b.audit.strides import COUNTRY, Arrays, by_country, portions, site_key
from segment1b.audit.words import UInt64s, key_of, uniforms, words

Floats = npt.NDArray[np.float64]
_SURFACE = 2
_BLOCKS_AT_ONCE = 1 << 20
# What passes the policy's limits or has no bounds is reported by checks of its own.
_EVENTS = f"""
SELECT
    j.merchant_id, j.site_order, {COUNTRY.replace("legal", "j.legal")}, j.tile_id,
    e.blocks, e.lane, j.delta_lon_deg, j.delta_lat_deg,
    j.min_lon_deg, j.max_lon_deg, j.min_lat_deg, j.max_lat_deg,
    j.centroid_lon_deg, j.centroid_lat_deg
FROM jittered AS j
JOIN {JITTER.events} AS e
    ON e.merchant_id = j.merchant_id
    AND e.legal_country_iso = j.legal_country_iso
    AND e.site_order = j.site_order
JOIN jitter_policy AS p ON p.lane = e.lane AND e.blocks BETWEEN p.first AND p.last
WHERE j.min_lon_deg IS NOT NULL AND j.delta_lon_deg IS NOT NULL AND j.delta_lat_deg IS NOT NULL
"""  # noqa: S608


@dataclass(frozen=True)
class _Attempts:
    """Attempts of some sites: whose, their number from 1, and the offsets they gave."""

    site: npt.NDArray[np.int64]
    number: npt.NDArray[np.int64]
    d_lon: Floats
    d_lat: Floats


def make_jitter_policy(case: Case) -> None:
    """Make jitter_policy: the attempts that each lane allows; 0 tile, 1 clip, 2 surface."""
    policy = case.policy("jitter")
    tile = int(policy["max_attempts_tile"])
    both = tile + int(policy["max_attempts_clip"])
    limits = [(0, 1, tile), (1, tile + 1, both), (_SURFACE, both, both)]
    names = ("lane", "first", "last")
    case.session.define("jitter_policy", [dict(zip(names, row, strict=True)) for row in limits])


def check_replay(case: Case) -> Found:
    """Drawn again with numpy's Philox, each attempt before the last fails and the last one gives
    the stored offsets bit for bit.
    """
    return Found(_unlike(case), in_order=False)


def _unlike(case: Case) -> Iterator[Row]:
    key = key_of(JITTER.label, int(case.published.tokens["seed"]))
    in_tile = int(case.policy("jitter")["max_attempts_tile"])
    for code, rows in by_country(case, _EVENTS):
        area = area_of(case, code)
        if area is not None:
            for some in portions(rows, "blocks", _BLOCKS_AT_ONCE):
                yield from _differ(some, area, key, in_tile)


def _differ(rows: Arrays, area: Area, key: UInt64s, in_tile: int) -> Iterator[Row]:
    late = np.flatnonzero((rows["blocks"] > in_tile) | (rows["lane"] == _SURFACE))
    try:
        tiles, first = np.unique(rows["tile_id"][late], return_index=True)
        where = zip(tiles.tolist(), late[first].tolist(), strict=True)
        meetings = {tile: _meet(rows, area, at) for tile, at in where}
    except ValueError as error:
        yield {"tile_id": int(rows["tile_id"][late[0]]), "reason": str(error)}
        return
    tries = _attempts(rows, meetings, key, in_tile)
    good = accepted(rows, area, tries.site, tries.d_lon, tries.d_lat)
    last = tries.number == rows["blocks"][tries.site]
    taken = last & (rows["lane"][tries.site] != _SURFACE)
    same = same_bits(tries.d_lon, rows["delta_lon_deg"][tries.site])
    same &= same_bits(tries.d_lat, rows["delta_lat_deg"][tries.site])
    for at in np.flatnonzero((good != taken) | (taken & ~same)).tolist():
        site = int(tries.site[at])
        yield {
            **site_key(rows, site),
            "attempt": int(tries.number[at]),
            "accepted": bool(good[at]),
            "logged_as_accepted": bool(taken[at]),
            **_deltas(rows, site),
            "expected": [float(tries.d_lon[at]), float(tries.d_lat[at])],
        }
    yield from _off_surface(rows, meetings)


def _meet(rows: Arrays, area: Area, at: int) -> Meeting:
    names = ("min_lon_deg", "min_lat_deg", "max_lon_deg", "max_lat_deg", "centroid_lon_deg")
    return area.meet(*(float(rows[name][at]) for name in names))


def _attempts(rows: Arrays, meetings: dict[int, Meeting], key: UInt64s, in_tile: int) -> _Attempts:
    blocks = rows["blocks"].astype(np.int64)
    site = np.repeat(np.arange(len(blocks)), blocks)
    number = np.arange(len(site)) - np.repeat(np.cumsum(blocks) - blocks, blocks) + 1
    order, merchant = rows["site_order"][site], rows["merchant_id"][site]
    raw = words(key, order, merchant, rows["country"][site], number, taken=2)
    u, v = uniforms(raw[:, 0]), uniforms(raw[:, 1])
    width = rows["max_lon_deg"] - rows["min_lon_deg"]
    width = np.where(width < 0, width + 360.0, width)
    height = rows["max_lat_deg"] - rows["min_lat_deg"]
    d_lon, d_lat = (u - 0.5) * width[site], (v - 0.5) * height[site]
    late = np.flatnonzero(number > in_tile)
    if len(late):
        found = [meetings[int(tile)] for tile in rows["tile_id"][site[late]]]
        west, east = np.array([m.west for m in found]), np.array([m.east for m in found])
        south, north = np.array([m.south for m in found]), np.array([m.north for m in found])
        lon, lat = rows["centroid_lon_deg"][site[late]], rows["centroid_lat_deg"][site[late]]
        d_lon[late] = (west + u[late] * (east - west)) - lon
        d_lat[late] = (south + v[late] * (north - south)) - lat
    return _Attempts(site, number, d_lon, d_lat)


def accepted(
    rows: Arrays, area: Area, site: npt.NDArray[np.int64], d_lon: Floats, d_lat: Floats
) -> npt.NDArray[np.bool_]:
    """Return which offsets give a point in the tile (a) and strictly inside the country (b)."""
    lon = rows["centroid_lon_deg"][site] + d_lon
    lon = np.where(lon >= 180, lon - 360, np.where(lon < -180, lon + 360, lon))
    lat = rows["centroid_lat_deg"][site] + d_lat
    west, east = rows["min_lon_deg"][site], rows["max_lon_deg"][site]
    within: npt.NDArray[np.bool_] = np.where(
        west <= east, (lon >= west) & (lon <= east), (lon >= west) | (lon <= east)
    )
    within &= lat >= rows["min_lat_deg"][site]
    within &= lat <= rows["max_lat_deg"][site]
    ask = np.flatnonzero(within)
    good = np.zeros(len(lon), np.bool_)
    good[ask] = area.holds(lon[ask], lat[ask])
    return good


def _off_surface(rows: Arrays, meetings: dict[int, Meeting]) -> Iterator[Row]:
    """Yield the sites of the last lane that are not at the surface point of their tile."""
    for site in np.flatnonzero(rows["lane"] == _SURFACE).tolist():
        lon, lat = rows["centroid_lon_deg"][site], rows["centroid_lat_deg"][site]
        x, y = meetings[int(rows["tile_id"][site])].surface
        expected = [float(x - lon), float(y - lat)]
        found = _deltas(rows, site)
        if found["found"] != expected:
            yield {**site_key(rows, site), **found, "expected": expected}


def _deltas(rows: Arrays, site: int) -> Row:
    return {"found": [float(rows["delta_lon_deg"][site]), float(rows["delta_lat_deg"][site])]}


def same_bits(a: Floats, b: Floats) -> npt.NDArray[np.bool_]:
    """Return which numbers are equal bit for bit."""
    one, other = (np.ascontiguousarray(values).view(np.int64) for values in (a, b))
    return np.equal(one, other)
