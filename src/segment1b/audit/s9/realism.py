"""realism.json computed again from locations, polygons, weights and plan, and its bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from shapely import MultiPolygon

from segment1b.audit.case import Case
from segment1b.audit.results import Row
from segment1b.audit.s1.membership import countries
from segment1b.audit.s4.load_errors import country_figures, is_close
from segment1b.audit.s9.bounds import (
    enforced,
    fullest_shares,
    points_by_country,
    policy_of,
    urban_shares,
)
from segment1b.audit.strides import COUNTRY, by_country
from segment1b.audit.words import words
from segment1b.contracts.texts import MAX_JSON_BYTES, parse_json, read_bounded

BUNDLE = "validation_bundle_1B"
Floats = npt.NDArray[np.float64]
_EARTH_RADIUS_KM = 6371.0088
_STREAM = 9
# Distances are written to the metre, other figures to 9 significant digits.
_HALF_METRE_KM = 0.0005
_HALF_DIGIT = 5e-9
_NOISE = 1e-12
_HALF_METRE = 0.5
# Grouped first, then counted: count(DISTINCT ...) keeps every value in memory.
_COUNTRIES = """
WITH places AS (
    SELECT
        legal_country_iso AS code, round_even(lat_deg * 10000, 0)::BIGINT AS latitude,
        round_even(lon_deg * 10000, 0)::BIGINT AS longitude
    FROM site_locations
)
SELECT
    l.code, l.sites, l.south, l.lowest, l.highest, coalesce(t.tiles, 0) AS tiles,
    coalesce(t.fullest, 0) AS fullest, latitudes, longitudes
FROM (
    SELECT
        legal_country_iso AS code, count(*) AS sites, count(*) FILTER (lat_deg < 0) AS south,
        min(lat_deg) AS lowest, max(lat_deg) AS highest
    FROM site_locations
    GROUP BY code
) AS l
JOIN (
    SELECT code, count(latitude) AS latitudes
    FROM (SELECT code, latitude FROM places GROUP BY code, latitude)
    GROUP BY code
) USING (code)
JOIN (
    SELECT code, count(longitude) AS longitudes
    FROM (SELECT code, longitude FROM places GROUP BY code, longitude)
    GROUP BY code
) USING (code)
LEFT JOIN (
    SELECT code, count(*) AS tiles, max(held) AS fullest
    FROM (
        SELECT legal_country_iso AS code, tile_id, count(*) AS held
        FROM s7_site_synthesis
        GROUP BY code, tile_id
    )
    GROUP BY code
) AS t USING (code)
ORDER BY code
"""
_POINTS = f"SELECT {COUNTRY}, lon_deg, lat_deg FROM site_locations"  # noqa: S608


def read(case: Case, name: str) -> Any:
    """Return the value of one of the bundle's JSON files; raises OSError or ValueError."""
    return parse_json(read_bounded(case.published.path(BUNDLE) / name, MAX_JSON_BYTES))


def check_realism(case: Case) -> Iterator[Row]:
    """Every figure of realism.json is what locations, polygons, weights and plan give."""
    # To the digits it is written with; distances and tile loads depend on the last bits of long
    # sums and are judged to 1e-6.
    found, expected = _flat(read(case, "realism.json")), _flat(_figures(case))
    for name in sorted(set(found) | set(expected)):
        pair = {"found": found.get(name), "expected": expected.get(name)}
        if not _is_equal(name, **pair):
            yield {"field": name, **pair}


def check_bounds(case: Case) -> Iterator[Row]:
    """The figures are within the bounds of the policy."""
    policy, figures = policy_of(case), _figures(case)
    worst = max(own["tile_load_error_max"] for own in figures["by_country"].values())
    for name, lower, upper in (
        ("country_gini", "", "max_country_gini"),
        ("top_1_percent_share", "", "max_top_one_percent_share"),
        ("countries_with_sites_share", "min_countries_with_sites_share", ""),
        ("southern_share", "min_southern_share", "max_southern_share"),
        ("tile_load_error_max", "", "max_tile_load_error"),
    ):
        value = worst if name == "tile_load_error_max" else figures[name]
        low, high = policy.get(lower), policy.get(upper)
        if (low is not None and value < low) or (high is not None and value > high):
            yield {"field": name, "found": value, "minimum": low, "maximum": high}
    if policy["enforce"]:
        yield from enforced(case, policy, figures)


def _figures(case: Case) -> dict[str, Any]:
    """Return the figures of docs/spec/s9-proof.md#realism, without rounding."""
    if "realism" in case.memo:
        return dict(case.memo["realism"])
    rows = list(case.session.rows(_COUNTRIES))
    eligible = case.count("SELECT count(DISTINCT country_iso) AS n FROM tile_weights")
    counts = np.array([row["sites"] for row in rows], np.int64)
    total, falling = int(counts.sum()), np.sort(counts)[::-1]
    gaps = np.abs(counts[:, None] - counts[None, :])
    figures: dict[str, Any] = {
        # Half the relative mean absolute difference.
        "country_gini": float(gaps.sum()) / (2 * len(counts) * total),
        "countries_with_sites_share": len(rows) / eligible,
        "southern_share": sum(row["south"] for row in rows) / total,
        "nearest_neighbour_km": _neighbours(case, rows),
        "by_country": {row["code"]: _country(case, row) for row in rows},
    }
    _add_bounded(case, rows, figures)
    for percent in (1, 5, 10):
        share = int(falling[: max(1, round(eligible * percent / 100))].sum()) / total
        figures[f"top_{percent}_percent_share"] = share
    case.memo["realism"] = figures
    return figures


def _add_bounded(case: Case, rows: list[dict[str, Any]], figures: dict[str, Any]) -> None:
    """Add the figures that are taken only where the policy bounds them."""
    policy = policy_of(case)
    if policy["max_fullest_tile_share"] is not None:
        fullest_shares(rows, figures)
    if policy["min_nearest_outlet_m"] is not None:
        points = points_by_country(case)
        for code, own in figures["by_country"].items():
            at = _chosen(case, own["sites"])
            km = _kilometres(*points[code][:, at])
            own["nearest_outlet_m"] = 1000 * float(np.median(km)) if len(km) else 0.0
    if policy["urban_share"]:
        urban_shares(case, policy["urban_share"], figures)


def _country(case: Case, row: Mapping[str, Any]) -> dict[str, Any]:
    sites, code = row["sites"], row["code"]
    shapes = {country.code: country.shape for country in countries(case)}
    _, south, _, north = shapes.get(code, MultiPolygon()).bounds
    latitudes, longitudes = row["latitudes"] / sites, row["longitudes"] / sites
    load = country_figures(case, code)
    return {
        "sites": sites,
        "distinct_tiles_share": row["tiles"] / sites,
        "distinct_latitudes_share": latitudes,
        "distinct_longitudes_share": longitudes,
        "collapsed": min(latitudes, longitudes) < case.policy("realism")["collapse_flag_below"],
        "latitude_span_share": (row["highest"] - row["lowest"]) / (north - south),
        "tile_load_error_max": load["tile_load_error_max"],
        "tile_load_error_p99": load["tile_load_error_p99"],
    }


def _neighbours(case: Case, rows: list[dict[str, Any]]) -> dict[str, float]:
    lon, lat = _sample(case, rows)
    km = _kilometres(lon, lat)
    found = np.percentile(km, [50, 90, 99]) if len(km) else np.zeros(3)
    return dict(zip(("p50", "p90", "p99"), found.tolist(), strict=True))


def _kilometres(lon: Floats, lat: Floats) -> Floats:
    """Return the distance in km from each point to the nearest other one."""
    x, y = np.radians(lon), np.radians(lat)
    chord = _nearest(np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=1))
    return np.asarray(2 * _EARTH_RADIUS_KM * np.arcsin(np.minimum(chord / 2, 1.0)))


def _chosen(case: Case, total: int) -> npt.NDArray[np.int64]:
    """Return the ascending numbers, from 0, of the sites of the sample of `total` sites."""
    size = int(case.policy("realism")["neighbour_sample"])
    if total <= size:
        return np.arange(total)
    key = np.array([case.published.tokens["seed"], _STREAM], np.uint64)
    none, block = np.zeros(-(-size // 4), np.int64), np.arange(1, 1 - (-size // 4))
    drawn = words(key, none, none, none, block, taken=4).reshape(-1)[:size]
    return np.unique((drawn >> np.uint64(11)) % np.uint64(total)).astype(np.int64)


def _sample(case: Case, rows: list[dict[str, Any]]) -> tuple[Floats, Floats]:
    """Return longitudes and latitudes of the sample: sites numbered by country, then by key."""
    numbers = _chosen(case, sum(row["sites"] for row in rows))
    first = dict(
        zip(
            (row["code"] for row in rows),
            np.cumsum([0, *(row["sites"] for row in rows)]).tolist(),
            strict=False,
        )
    )
    taken: list[npt.NDArray[Any]] = []
    for code, points in by_country(case, _POINTS):
        if code not in first:
            continue  # A code of another length, which a check of S8 reports.
        count = len(points["lon_deg"])
        low, high = np.searchsorted(numbers, [first[code], first[code] + count])
        at = numbers[low:high] - first[code]
        taken.append(np.stack([points["lon_deg"][at], points["lat_deg"][at]]))
        first[code] += count
    lon, lat = np.concatenate(taken, axis=1)
    return lon, lat


def _nearest(points: Floats) -> Floats:
    """Return the chord from each unit vector, float64 [n, 3], to the nearest other one.

    The points are swept in the order of their third coordinate: a pair whose third coordinates
    are further apart than what both have found already need not be looked at.
    """
    if len(points) < 2:
        return np.empty(0)
    points = points[np.argsort(points[:, 2], kind="stable")]
    best = np.full(len(points), np.inf)
    for step in range(1, len(points)):
        gap = (points[step:, 2] - points[:-step, 2]) ** 2
        near = np.flatnonzero(gap < np.maximum(best[step:], best[:-step]))
        if not len(near):
            break
        square = ((points[near] - points[near + step]) ** 2).sum(axis=1)
        best[near] = np.minimum(best[near], square)
        best[near + step] = np.minimum(best[near + step], square)
    return np.asarray(np.sqrt(best))


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by their dotted names, an empty mapping as one."""
    if not isinstance(value, dict) or not value:
        return {name: value}
    leaves: dict[str, Any] = {}
    for key, own in value.items():
        leaves |= _flat(own, f"{name}.{key}" if name else key)
    return leaves


def _is_equal(name: str, found: Any, expected: Any) -> bool:
    if not isinstance(expected, float) or type(found) not in (int, float):
        return type(found) is type(expected) and bool(found == expected)
    if name.startswith("nearest_neighbour_km"):
        return is_close(float(found), expected, _HALF_METRE_KM)
    if name.endswith(".nearest_outlet_m"):
        return is_close(float(found), expected, _HALF_METRE)
    if ".tile_load_error_" in name:
        return is_close(float(found), expected)
    return bool(abs(found - expected) <= _HALF_DIGIT * abs(expected) + _NOISE)
