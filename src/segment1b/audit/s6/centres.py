"""Every draw at a centre made again: words, rank, centre, point, and refusal by an earlier site."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from segment1b.audit.case import Case
from segment1b.audit.country_areas import Area, area_of
from segment1b.audit.logs import CENTRES
from segment1b.audit.results import Found, Row
from segment1b.audit.s6.redraw import Floats, accepted, same_bits
from segment1b.audit.strides import COUNTRY, Arrays, by_country, letters_of, portions, site_key
from segment1b.audit.words import UInt64s, key_of, products, uniforms, words

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_ATTEMPTS, _APART, _MOST = 64, 8, 512
_BLOCKS_AT_ONCE, _PORTIONS_AT_ONCE = 1 << 19, 32
# [C] is S_C, the sum of the shares of the ranks 1 to C.
_SHARES = [0, *accumulate(2**40 // rank for rank in range(1, _MOST + 1))]
# Tiles without centres and counts beyond the limits are reported by checks of their own.
_EVENTS = f"""
SELECT
    j.merchant_id, j.site_order, {COUNTRY.replace("legal", "j.legal")}, j.tile_id,
    e.blocks, e.centre, j.delta_lon_deg, j.delta_lat_deg,
    j.min_lon_deg, j.max_lon_deg, j.min_lat_deg, j.max_lat_deg,
    j.centroid_lon_deg, j.centroid_lat_deg, t.centres, t.radius_lon_deg, t.radius_lat_deg
FROM jittered AS j
JOIN {CENTRES.events} AS e USING (merchant_id, legal_country_iso, site_order)
JOIN centre_tiles AS t ON t.country_iso = j.legal_country_iso AND t.tile_id = j.tile_id
WHERE e.blocks BETWEEN 1 AND 64 AND e.centre <= t.centres
    AND j.delta_lon_deg IS NOT NULL AND j.delta_lat_deg IS NOT NULL
"""  # noqa: S608
_CLAIMS = "centre_claims"
_UNFOUNDED = f"""
SELECT merchant_id, c.country, site_order, attempt, centre,
    'no earlier site is at the centre that the attempt gives' AS reason
FROM {_CLAIMS} AS c
ANTI JOIN (
    SELECT merchant_id, {COUNTRY}, tile_id, centre, min(site_order) AS first
    FROM at_centres
    GROUP BY ALL
) AS a ON a.merchant_id = c.merchant_id AND a.country = c.country AND a.tile_id = c.tile_id
    AND a.centre = c.centre AND a.first < c.site_order
"""  # noqa: S608


@dataclass(frozen=True)
class _Attempts:
    """Attempts of some sites: whose, their number, and what each gives.

    Attributes:
        tail: the attempt is a first one that leaves the site to the tail.
        good: it gives a point of its own, whatever other sites are at its centre.
    """

    site: Ints
    number: Ints
    tail: Bools
    rank: Ints
    d_lon: Floats
    d_lat: Floats
    good: Bools


def check_centres(case: Case) -> Found:
    """Drawn again with numpy's Philox, each attempt before the last fails by itself or for an
    earlier site of the merchant, and the last gives tail, centre and offsets as stored.
    """
    return Found(_unlike(case), in_order=False)


def _unlike(case: Case) -> Iterator[Row]:
    seed = int(case.published.tokens["seed"])
    keys = key_of(CENTRES.label, seed), key_of("tile_centres", seed)
    permille = int(case.policy("jitter")["centres"]["tail_permille"])
    case.session.execute(
        f"CREATE OR REPLACE TABLE {_CLAIMS} (merchant_id UBIGINT, country UBIGINT, "
        "tile_id UBIGINT, site_order BIGINT, attempt BIGINT, centre BIGINT)"
    )
    claims: list[Arrays] = []
    for code, rows in by_country(case, _EVENTS):
        area = area_of(case, code)
        if area is not None:
            for some in portions(rows, "blocks", _BLOCKS_AT_ONCE):
                tries = _attempts(some, area, keys, permille * (2**64 // 1000))
                refused, wrong = _judged(some, tries)
                yield from (_offence(some, tries, at) for at in wrong.tolist())
                claims.append(_claims(some, tries, refused))
                if len(claims) == _PORTIONS_AT_ONCE:
                    case.session.append_all(_CLAIMS, claims)
                    claims.clear()
    case.session.append_all(_CLAIMS, claims)
    for row in case.session.rows(_UNFOUNDED):
        yield {**row, "country": letters_of(row["country"])}


def _attempts(rows: Arrays, area: Area, keys: tuple[UInt64s, UInt64s], tail: int) -> _Attempts:
    blocks = rows["blocks"].astype(np.int64)
    site = np.repeat(np.arange(len(blocks)), blocks)
    number = np.arange(len(site)) - np.repeat(np.cumsum(blocks) - blocks, blocks) + 1
    order, merchant = rows["site_order"][site], rows["merchant_id"][site]
    raw = words(keys[0], order, merchant, rows["country"][site], number, taken=4)
    shares = np.array(_SHARES, np.uint64)
    place = products(raw[:, 1], shares[rows["centres"][site]])
    rank = np.searchsorted(shares, place, "right")
    lon, lat, there = _centres(rows, area, keys[1], site, rank)
    x, y = 2 * uniforms(raw[:, 2]) - 1, 2 * uniforms(raw[:, 3]) - 1
    d_lon = lon + x * rows["radius_lon_deg"][site]
    d_lat = lat + y * rows["radius_lat_deg"][site]
    good = there & (x * x + y * y <= 1)
    near = np.flatnonzero(good)
    good[near] = accepted(rows, area, site[near], d_lon[near], d_lat[near])
    first = (number == 1) & (raw[:, 0] < np.uint64(tail))
    return _Attempts(site, number, first, rank, d_lon, d_lat, good)


def _centres(
    rows: Arrays, area: Area, key: UInt64s, site: Ints, rank: Ints
) -> tuple[Floats, Floats, Bools]:
    """Return offsets of the centre of each attempt from the centroid, and which there are."""
    pairs = rows["tile_id"][site] * np.uint64(_MOST) + (rank - 1).astype(np.uint64)
    _, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
    count = len(first)
    own, rank = site[first], rank[first]
    width = rows["max_lon_deg"] - rows["min_lon_deg"]
    width = np.where(width < 0, width + 360, width)
    height = rows["max_lat_deg"] - rows["min_lat_deg"]
    lon, lat, there = np.zeros(count), np.zeros(count), np.zeros(count, np.bool_)
    left, start = np.arange(count), 1
    while len(left) and start <= _ATTEMPTS:
        # Twice as many attempts each time, for ever fewer centres: small arrays cost most by call.
        numbers = np.arange(start, min(2 * start, _ATTEMPTS + 1))
        which, number = np.repeat(left, len(numbers)), np.tile(numbers, len(left))
        at = own[which]
        raw = words(key, rank[which], rows["tile_id"][at], rows["country"][at], number, taken=2)
        x = (uniforms(raw[:, 0]) - 0.5) * width[at]
        y = (uniforms(raw[:, 1]) - 0.5) * height[at]
        good = accepted(rows, area, at, x, y).reshape(len(left), len(numbers))
        found = good.any(axis=1)
        taken = np.where(found, good.argmax(axis=1), len(numbers) - 1)
        taken += np.arange(0, good.size, len(numbers))
        lon[left], lat[left], there[left] = x[taken], y[taken], found
        left, start = left[~found], 2 * start
    return lon[inverse], lat[inverse], there[inverse]


def _judged(rows: Arrays, tries: _Attempts) -> tuple[Ints, Ints]:
    """Return the attempts that only an earlier site can have refused, and those that are wrong."""
    last = tries.number == rows["blocks"][tries.site]
    centre = rows["centre"][tries.site]
    taken = last & (centre > 0)
    # One block without a centre is the tail; 64 without one are all refused.
    tail = last & (centre == 0) & (tries.number == 1)
    same = tries.good & (tries.rank == centre)
    same &= same_bits(tries.d_lon, rows["delta_lon_deg"][tries.site])
    same &= same_bits(tries.d_lat, rows["delta_lat_deg"][tries.site])
    refused = tries.good & ~taken & ~tail & ~tries.tail & (tries.number <= _APART)
    wrong = (tries.tail != tail) | (taken & ~same) | (tries.good & ~taken & ~tail & ~refused)
    return np.flatnonzero(refused), np.flatnonzero(wrong)


def _offence(rows: Arrays, tries: _Attempts, at: int) -> Row:
    site = int(tries.site[at])
    return {
        **site_key(rows, site),
        "attempt": int(tries.number[at]),
        "blocks": int(rows["blocks"][site]),
        "found": [
            int(rows["centre"][site]),
            float(rows["delta_lon_deg"][site]),
            float(rows["delta_lat_deg"][site]),
        ],
        "expected": "the tail"
        if tries.tail[at]
        else [int(tries.rank[at]), float(tries.d_lon[at]), float(tries.d_lat[at])],
        "accepted": bool(tries.good[at]),
    }


def _claims(rows: Arrays, tries: _Attempts, refused: Ints) -> Arrays:
    """Return the attempts that hold only if an earlier site of the merchant is at their centre."""
    site = tries.site[refused]
    names = ("merchant_id", "country", "tile_id", "site_order")
    columns = {name: rows[name][site] for name in names}
    return columns | {"attempt": tries.number[refused], "centre": tries.rank[refused]}
