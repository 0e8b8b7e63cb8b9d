"""S6: the offsets against S5, tiles, countries, the replayed draws and their logs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from segment1b.audit.case import (
    COUNTRIES,
    POLICY,
    Case,
    Checks,
    Preparation,
    script_preparation,
    state_checks,
)
from segment1b.audit.country_areas import area_of
from segment1b.audit.logs import (
    CENTRES,
    JITTER,
    Stream,
    add_dictionary_check,
    add_log_checks,
    add_run_id_check,
    totals,
)
from segment1b.audit.results import Found, Row, differences, fields_differ
from segment1b.audit.s6.centres import check_centres
from segment1b.audit.s6.redraw import check_replay, make_jitter_policy
from segment1b.audit.strides import COUNTRY, by_country, site_key
from segment1b.audit.tiles import BOUNDS, INDEX, keep_used

CHECKS = Checks("s6")
_SITES, _REPORT = "s6_site_jitter", JITTER.report
_LOST = "E515_RUN_REPORT_MISSING_FIELDS"
_JITTERED = f"""
SELECT merchant_id, site_order, {COUNTRY}, lon, lat
FROM jittered
WHERE lon IS NOT NULL AND lat IS NOT NULL
"""  # noqa: S608
_LOCATIONS = f"""
SELECT merchant_id, site_order, {COUNTRY}, lon_deg AS lon, lat_deg AS lat
FROM site_locations
"""  # noqa: S608


@CHECKS.add("inside", "E608_POINT_OUTSIDE_COUNTRY", "jittered", COUNTRIES, scope="S")
def _inside(case: Case) -> Found:
    """Every reconstructed point is strictly inside its country."""
    return Found(_points_outside(case, _JITTERED), in_order=False)


def check_locations_inside(case: Case) -> Found:
    """Every location is inside its country."""
    return Found(_points_outside(case, _LOCATIONS), in_order=False)


def _points_outside(case: Case, query: str) -> Iterator[Row]:
    for code, points in by_country(case, query):
        area = area_of(case, code)
        lon, lat = points["lon"], points["lat"]
        inside = np.zeros(len(lon), np.bool_) if area is None else area.holds(lon, lat)
        for at in np.flatnonzero(~inside).tolist():
            yield {**site_key(points, at), "lon": float(lon[at]), "lat": float(lat[at])}


_LANES = 3
_TILES = f"""
SELECT {COUNTRY}, min_lon_deg, min_lat_deg, max_lon_deg, max_lat_deg
FROM (SELECT *, country_iso AS legal_country_iso FROM used_tile_bounds)
"""  # noqa: S608


def accounting(case: Case) -> dict[str, Any]:
    """Return what the event log of S6 adds up to, as the run report puts it."""
    rows = list(
        case.session.rows(
            f"SELECT blocks, lane, count(*) AS n FROM {JITTER.events} "  # noqa: S608
            "GROUP BY blocks, lane ORDER BY blocks, lane"
        )
    )
    histogram: dict[str, int] = {}
    lanes = [0] * _LANES
    for row in rows:
        histogram[str(row["blocks"])] = histogram.get(str(row["blocks"]), 0) + row["n"]
        lanes[min(row["lane"], _LANES - 1)] += row["n"]
    blocks = sum(row["blocks"] * row["n"] for row in rows)
    if case.published.is_used(CENTRES.events):
        lanes.append(case.count(f"SELECT count(*) AS n FROM {CENTRES.events} WHERE centre > 0"))  # noqa: S608
    return {
        "events_total": blocks,
        "blocks_total": str(blocks),
        "draws_total": str(JITTER.draws * blocks),
        "attempt_histogram": histogram,
        "resample_sites": sum(row["n"] for row in rows if row["blocks"] > 1),
        "lanes": lanes,
    }


def centre_accounting(case: Case) -> dict[str, Any]:
    """Return what the event log of centres adds up to, as the run report puts it."""
    (row,) = case.session.rows(
        "SELECT count(*) AS sites, count(*) FILTER (centre > 0) AS placed, "  # noqa: S608
        "count(*) FILTER (centre = 0 AND blocks = 1) AS tail, "
        "count(*) FILTER (centre = 0 AND blocks > 1) AS exhausted, "
        f"coalesce(sum(blocks), 0)::HUGEINT AS events_total FROM {CENTRES.events}"
    )
    blocks = row["events_total"]
    totals = {"blocks_total": str(blocks), "draws_total": str(CENTRES.draws * blocks)}
    return {**row, **totals}


CHECKS.add(
    *("replay", JITTER.code, "jittered", COUNTRIES, JITTER.events, "jitter_policy"), scope="S"
)(check_replay)
CHECKS.add(
    *("centre_replay", CENTRES.code, "jittered", COUNTRIES, CENTRES.events, "centre_tiles"),
    *("at_centres", POLICY),
    scope="S",
)(check_centres)


@CHECKS.add("accounting", JITTER.code, JITTER.events, JITTER.trace, _REPORT, scope="S")
def _accounting(case: Case) -> Iterator[Row]:
    """Events, blocks and draws of log, trace and report are the same, and so are attempts and
    lanes.
    """
    reported, counted = case.report(_REPORT)["rng"], accounting(case)
    found = {name: reported.get(name) for name in counted}
    yield from differences(found, counted, document=_REPORT)
    yield from _unlike_trace(case, JITTER)


@CHECKS.add(*("centre_accounting", CENTRES.code, CENTRES.events, CENTRES.trace, _REPORT), scope="S")
def _centre_accounting(case: Case) -> Iterator[Row]:
    """Sites, events, blocks and draws at centres are the same in log, trace and report."""
    reported, counted = case.report(_REPORT).get("centres", {}), centre_accounting(case)
    yield from differences(reported, counted, document=_REPORT)
    yield from _unlike_trace(case, CENTRES)


def _unlike_trace(case: Case, stream: Stream) -> Iterator[Row]:
    last = totals(stream, case)[-1:] or [{}]
    traced = case.published.document(stream.trace)[-1:] or [{}]
    names = ("events_total", "blocks_total", "draws_total")
    return differences(
        {name: traced[0].get(name) for name in names},
        {name: last[0].get(name) for name in names},
        document=stream.trace,
    )


@CHECKS.add("report_by_country", _LOST, _SITES, JITTER.events, _REPORT, scope="S")
def _countries(case: Case) -> Iterator[Row]:
    """Rows, and sites, attempts and lanes of each country are as reported."""
    report = case.report(_REPORT)
    events, lanes = f"SELECT legal_country_iso, blocks, lane FROM {JITTER.events}", range(_LANES)  # noqa: S608
    if case.published.is_used(CENTRES.events):
        placed = f"SELECT legal_country_iso, 0, {_LANES} FROM {CENTRES.events} WHERE centre > 0"  # noqa: S608
        events, lanes = f"{events} UNION ALL {placed}", range(_LANES + 1)
    by_lane = ", ".join(f"count(*) FILTER (lane = {lane})" for lane in lanes)
    counted = {
        row["code"]: {"sites": row["sites"], "attempts": int(row["attempts"]), "lanes": row["l"]}
        for row in case.session.rows(
            "SELECT legal_country_iso AS code, count(*) AS sites, "  # noqa: S608
            f"sum(blocks)::HUGEINT AS attempts, [{by_lane}] AS l FROM ({events}) GROUP BY code"
        )
    }
    rows = case.count("SELECT count(*) AS n FROM s6_site_jitter")
    yield from fields_differ(report, dict.fromkeys(("sites_total", "rows_emitted"), rows))
    by_code = report["by_country"]
    for code in sorted(set(counted) | set(by_code)):
        yield from differences(by_code.get(code, {}), counted.get(code, {}), country_iso=code)


@CHECKS.add("report_tiles", _LOST, "used_tile_bounds", COUNTRIES, _REPORT, scope="S")
def _tiles(case: Case) -> Iterator[Row]:
    """Tiles properly inside their country and tiles at its border are as many as reported."""
    interior = border = 0
    for code, tiles in by_country(case, _TILES):
        area = area_of(case, code)
        if area is not None:
            sides = ("min_lon_deg", "min_lat_deg", "max_lon_deg", "max_lat_deg")
            inside = int(np.count_nonzero(area.surrounds(*(tiles[side] for side in sides))))
            interior, border = interior + inside, border + len(tiles["country"]) - inside
    expected = {"interior_tiles": interior, "border_tiles": border}
    return fields_differ(case.report(_REPORT), expected)


for _stream, _needs in ((JITTER, ()), (CENTRES, (CENTRES.events,))):
    add_log_checks(CHECKS, _stream)
    add_run_id_check(CHECKS, "E611_LOG_PARTITION_LAW", _stream, *_needs)
add_dictionary_check(CHECKS, "E612_DICT_SCHEMA_MISMATCH", _SITES, JITTER.events, CENTRES.events)

_PLAN = state_checks(
    CHECKS,
    keep_used("tile_index", (_SITES,), INDEX),
    keep_used("tile_bounds", (_SITES,), BOUNDS),
    keep_used("tile_centres", (_SITES,), ("centres",)),
    script_preparation("s6", "points"),
    script_preparation("s6", "drawn"),
    script_preparation("s6", "drawn_at_centres"),
    script_preparation("s6", "centre_tiles"),
    Preparation("jitter_policy", (POLICY,), ("jitter_policy",), make_jitter_policy),
    by_country=(
        *("tiles_known", "in_tile", "inside", "attempts", "replay", "centre_events"),
        *("centre_attempts", "centres_apart", "centre_replay"),
    ),
)
# The log of jitter lacks the sites at centres, so these look at both logs where there are two.
PLAN = replace(
    _PLAN,
    also=dict.fromkeys(("events", "accounting", "report_by_country"), (CENTRES.events,)),
)
