"""Compares the published sites of two data roots: added, removed and moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b import contracts as contract_files
from segment1b.read.gate import find_places, proven_paths
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
    SELECT code, change,
        least($steps - 1, floor(ln(greatest(km / $shortest_km, 1)) / $ratio))::INT AS step,
        count(*), max(km)
    FROM distance GROUP BY ALL
"""


def diff(
    old_root: Path,
    new_root: Path,
    *,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    dictionary: Path | None = None,
) -> dict[str, Any]:
    """Compare the proven sites of two roots; one is kept when its coordinates are equal in bits.

    Returns:
        `old` and `new` (tokens, rows), `total` and `by_country`, each with kept, added, removed,
        moved, moved_p50_km (to 0.1 %) and moved_max_km (0.0 where none moved).
    """
    known = contract_files.load(str(dictionary) if dictionary else None)
    places = [find_places(old_root, known, old), find_places(new_root, known, new)]
    tables = [
        parquet_table(proven_paths(root, known, tokens))
        for root, tokens in zip((old_root, new_root), places, strict=True)
    ]
    by_country: dict[str, _Tally] = {}
    with open_database() as database:
        rows = database.execute(_CHANGES.format(*tables), _SCALE)
        for code, change, step, count, km in iter(rows.fetchone, None):
            by_country.setdefault(code, _Tally()).add(change, step, count, km)
    total = _summary(by_country.values())
    both = total["kept"] + total["moved"]
    ends = {"old": both + total["removed"], "new": both + total["added"]}
    return {
        **{
            side: {k: v for k, v in tokens.items() if k != "run_id"} | {"rows": ends[side]}
            for side, tokens in zip(ends, places, strict=True)
        },
        "total": total,
        "by_country": {code: _summary([by_country[code]]) for code in sorted(by_country)},
    }


@dataclass
class _Tally:
    """Changes of one country: counts, and the distances of moved sites as a histogram."""

    counts: Counter[str] = field(default_factory=Counter)
    steps: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_STEPS, np.int64))
    furthest: float = 0.0

    def add(self, change: str, step: int | None, count: int, km: float | None) -> None:
        self.counts[change] += count
        if step is not None and km is not None:
            self.steps[step] += count
            self.furthest = max(self.furthest, km)


def _summary(tallies: Iterable[_Tally]) -> dict[str, Any]:
    """Return the figures of some countries together."""
    tallies = list(tallies)
    steps = sum((tally.steps for tally in tallies), np.zeros(_STEPS, np.int64))
    furthest = max((tally.furthest for tally in tallies), default=0.0)
    median = 0.0
    if steps.any():
        step = int(np.searchsorted(np.cumsum(steps), (int(steps.sum()) + 1) // 2))
        median = min(furthest, float(_SHORTEST_KM * np.exp((step + 0.5) * _RATIO)))
    return {
        **{
            name: sum(tally.counts[name] for tally in tallies)
            for name in ("kept", "added", "removed", "moved")
        },
        "moved_p50_km": median,
        "moved_max_km": furthest,
    }


def lines(comparison: Mapping[str, Any]) -> Iterator[str]:
    """Yield a comparison as text: a line for each country with changes, then the total."""
    for code, country in comparison["by_country"].items():
        if any(country[name] for name in ("added", "removed", "moved")):
            yield f"{code:<5} {_line(country)}"
    yield f"total {_line(comparison['total'])}"


def _line(row: Mapping[str, Any]) -> str:
    text = ", ".join(f"{row[name]:,} {name}" for name in ("kept", "added", "removed", "moved"))
    if row["moved"]:
        text += f" by {row['moved_p50_km']:.3g} km (median), {row['moved_max_km']:.3f} km at most"
    return text
