"""Compares the published sites of two outlet lists: by site, and by outlet_id where both have it.

By site: added, removed and moved; by outlet_id: opened, closed and moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection

from segment1b.contracts.urls import split_list
from segment1b.errors import Segment1BError, visible
from segment1b.outlets.directories import KEY, directory
from segment1b.read.gate import Which, locate, proven_paths
from segment1b.storage.snapshot import Snapshot
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
#: What a change is called in the result, by site and by key.
_BY_SITE = {"kept": "kept", "added": "added", "removed": "removed", "moved": "moved"}
_BY_KEY = _BY_SITE | {"added": "opened", "removed": "closed"}
_KEYED = "(SELECT * FROM {} JOIN {} USING (merchant_id, legal_country_iso, site_order))"
_NAMES = ["merchant_id", "legal_country_iso", "site_order", "outlet_id"]
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
        FROM {} AS old FULL JOIN {} AS new USING (merchant_id, legal_country_iso, {})
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
    """Count the sites that were added, removed and moved between two lists, by country.

    A site is identified by merchant, country and site_order, and kept when its coordinates are
    equal in bits. Where both lists have outlet_id, outlets are counted by it too.

    Examples:
        >>> segment1b.diff("segment1b-data", "segment1b-data")["total"]["moved"]
        0

    Args:
        old: a data root, or ROOT:LIST for one of several lists in it.
        new: the same or another data root.
        old_fingerprint: which list of `old`, by name, fingerprint or its first digits, if not LIST.
        new_fingerprint: which list of `new`.
        dictionary: another dataset dictionary than the packaged one.

    Returns:
        `old` and `new` (tokens, rows), `total` and `by_country`, each with kept, added, removed,
        moved, moved_p50_km (to 0.1 %) and moved_max_km; both are 0.0 where none moved. `by_key`
        has `total` and `by_country` with kept, opened, closed, moved and the distances; it is None
        where a list has no outlet_id.

    Raises:
        Segment1BError: E_USAGE for a list that is named twice; as `read_site_locations` and
            `directory`, for either list.
    """
    sides = [
        _located(place, fingerprint, dictionary)
        for place, fingerprint in ((old, old_fingerprint), (new, new_fingerprint))
    ]
    tables = [parquet_table(proven_paths(side)) for side in sides]
    keys = [_keys(side) for side in sides]
    by_key = None
    with open_database() as database:
        by_site = _changes(database, tables, "site_order", _BY_SITE)
        if all(outlets is not None for outlets in keys):
            for number, outlets in enumerate(keys):
                database.register(f"keys_{number}", outlets)
                tables[number] = _KEYED.format(tables[number], f"keys_{number}")
            by_key = _changes(database, tables, "outlet_id", _BY_KEY)
    total = by_site["total"]
    both = total["kept"] + total["moved"]
    ends = {"old": both + total["removed"], "new": both + total["added"]}
    return {
        **{
            side: {k: v for k, v in run.tokens.items() if k != "run_id"} | {"rows": ends[side]}
            for side, run in zip(ends, sides, strict=True)
        },
        **by_site,
        "by_key": by_key,
    }


def _located(place: str | Path, fingerprint: str | None, dictionary: Path | None) -> Snapshot:
    root, name = split_list(place)
    if name is not None and fingerprint is not None:
        what = f"{place} names the list {name}, and the fingerprint {visible(fingerprint)} is given"
        raise Segment1BError("E_USAGE", what, "name the list in one way")
    which: Which = {"manifest_fingerprint": fingerprint or name, "dictionary": dictionary}
    return locate(root, choice="ROOT:LIST", **which)


def _keys(side: Snapshot) -> pa.Table | None:
    """Return the outlet_id of each site; None where the list has none."""
    found = directory(side.root, side.contracts, str(side.tokens["manifest_fingerprint"]))
    if found is None or found.outlets is None or "outlet_id" not in found.outlets.column_names:
        return None
    return found.outlets.select([*KEY, "outlet_id"]).rename_columns(_NAMES)


def _changes(
    database: DuckDBPyConnection, tables: list[str], key: str, names: Mapping[str, str]
) -> dict[str, Any]:
    """Return the figures of all countries together, and of each."""
    rows = database.execute(_CHANGES.format(*tables, key), _SCALE).fetchnumpy()
    codes, starts = np.unique(np.asarray(rows["code"], "U2"), return_index=True)
    parts = [slice(*ends) for ends in pairwise([*starts, len(rows["code"])])]
    return {
        "total": _summary(rows, names),
        "by_country": {
            str(code): _summary({name: column[part] for name, column in rows.items()}, names)
            for code, part in zip(codes, parts, strict=True)
        },
    }


def _summary(rows: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the figures of some rows of `_CHANGES` together."""
    change, sites, km = (np.asarray(rows[name]) for name in ("change", "sites", "km"))
    counts = {name: int(sites[change == kind].sum()) for kind, name in names.items()}
    furthest, median = float(km.max(initial=0.0)), 0.0
    if counts["moved"]:
        step = rows["step"][change == "moved"]
        order = np.argsort(step)
        until = np.cumsum(sites[change == "moved"][order])
        middle = step[order][np.searchsorted(until, (counts["moved"] + 1) // 2)]
        median = min(furthest, float(_SHORTEST_KM * np.exp((middle + 0.5) * _RATIO)))
    return {**counts, "moved_p50_km": median, "moved_max_km": furthest}
