"""Compares the published sites of two data roots: added, removed and moved."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from segment1b.read.gate import locate, proven_paths
from segment1b.storage.sql import open_database, parquet_table

#: Mean radius of WGS84, (2a + b) / 3, in km.
EARTH_KM = 6371.0088
# Distances are counted in steps of 0.15 %, from a millimetre to half around the globe.
_STEPS = 16_384
_SHORTEST_KM = 1e-6
_RATIO = float(np.log(np.pi * EARTH_KM / _SHORTEST_KM)) / _STEPS
_SCALE = {
    "earth_km": EARTH_KM,
    "steps": _STEPS,
    "shortest_km": _SHORTEST_KM,
    "ratio": _RATIO,
}
_KINDS = ("kept", "added", "removed", "moved")
# The sign of zero tells -0.0 from 0.0. Distances are great circles (haversine).
_CHANGES = """
    WITH pair AS (
        SELECT legal_country_iso AS code,
            CASE WHEN old.lon_deg IS NULL THEN 'added'
                 WHEN new.lon_deg IS NULL THEN 'removed'
                 WHEN old.lon_deg = new.lon_deg AND signbit(old.lon_deg) = signbit(new.lon_deg)
                  AND old.lat_deg = new.lat_deg AND signbit(old.lat_deg) = signbit(new.lat_deg)
                 THEN 'kept' ELSE 'moved' END AS change,
            radians(old.lon_deg) AS lon0, radians(old.lat_deg) AS lat0,
            radians(new.lon_deg) AS lon1, radians(new.lat_deg) AS lat1
        FROM {} AS old FULL JOIN {} AS new USING (merchant_id, legal_country_iso, site_order)
    ), distance AS (
        SELECT code, change, CASE WHEN change = 'moved' THEN 2 * $earth_km * asin(sqrt(least(1,
            pow(sin((lat1 - lat0) / 2), 2)
            + cos(lat0) * cos(lat1) * pow(sin((lon1 - lon0) / 2), 2)))) END AS km
        FROM pair
    )
    SELECT code, change, count(*) AS sites, coalesce(max(km), 0) AS km,
        least($steps - 1, floor(ln(greatest(km / $shortest_km, 1)) / $ratio))::INT AS step
    FROM distance GROUP BY code, change, step ORDER BY code
"""


def diff(
    old: str | Path,
    new: str | Path,
    *,
    old_fingerprint: str | None = None,
    new_fingerprint: str | None = None,
    dictionary: Path | None = None,
) -> dict[str, Any]:
    """Count the sites that were added, removed and moved between two roots, by country.

    A site is kept when its coordinates are equal in bits.

    Examples:
        >>> segment1b.diff("segment1b-data", "segment1b-data")["total"]["moved"]
        0

    Returns:
        `old` and `new` (tokens, rows), `total` and `by_country`, each with kept, added, removed,
        moved, moved_p50_km (to 0.1 %) and moved_max_km; both are 0.0 where none moved.

    Raises:
        Segment1BError: as `read_site_locations`, for either root.
    """
    sides = [
        locate(root, manifest_fingerprint=fingerprint, dictionary=dictionary)
        for root, fingerprint in ((old, old_fingerprint), (new, new_fingerprint))
    ]
    tables = [parquet_table(proven_paths(side)) for side in sides]
    with open_database() as database:
        rows = database.execute(_CHANGES.format(*tables), _SCALE).fetchnumpy()
    codes, starts = np.unique(np.asarray(rows["code"], "U2"), return_index=True)
    parts = [slice(*ends) for ends in pairwise([*starts, len(rows["code"])])]
    total = _summary(rows)
    both = total["kept"] + total["moved"]
    ends = {"old": both + total["removed"], "new": both + total["added"]}
    return {
        **{
            side: {k: v for k, v in run.tokens.items() if k != "run_id"} | {"rows": ends[side]}
            for side, run in zip(ends, sides, strict=True)
        },
        "total": total,
        "by_country": {
            str(code): _summary({name: column[part] for name, column in rows.items()})
            for code, part in zip(codes, parts, strict=True)
        },
    }


def _summary(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of some rows of `_CHANGES` together."""
    change, sites, km = (np.asarray(rows[name]) for name in ("change", "sites", "km"))
    counts = {name: int(sites[change == name].sum()) for name in _KINDS}
    furthest, median = float(km.max(initial=0.0)), 0.0
    if counts["moved"]:
        step = rows["step"][change == "moved"]
        order = np.argsort(step)
        until = np.cumsum(sites[change == "moved"][order])
        middle = step[order][np.searchsorted(until, (counts["moved"] + 1) // 2)]
        median = min(furthest, float(_SHORTEST_KM * np.exp((middle + 0.5) * _RATIO)))
    return {**counts, "moved_p50_km": median, "moved_max_km": furthest}
