"""S6's run report counted again from the event log, the offsets and the shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from segment1b.audit.areas import area_of
from segment1b.audit.case import Case
from segment1b.audit.logs import JITTER, totals
from segment1b.audit.results import Row, differences, fields_differ
from segment1b.audit.strides import COUNTRY, by_country

_REPORT = "s6_run_report"
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
    return {
        "events_total": blocks,
        "blocks_total": str(blocks),
        "draws_total": str(JITTER.draws * blocks),
        "attempt_histogram": histogram,
        "resample_sites": sum(row["n"] for row in rows if row["blocks"] > 1),
        "lanes": lanes,
    }


def check_accounting(case: Case) -> Iterator[Row]:
    """Events, blocks and draws of log, trace and report are the same, and so are attempts and
    lanes.
    """
    reported, counted = case.report(_REPORT)["rng"], accounting(case)
    found = {name: reported.get(name) for name in counted}
    yield from differences(found, counted, document=_REPORT)
    last = totals(JITTER, case)[-1:] or [{}]
    traced = case.published.lines(JITTER.trace)[-1:] or [{}]
    names = ("events_total", "blocks_total", "draws_total")
    yield from differences(
        {name: traced[0].get(name) for name in names},
        {name: last[0].get(name) for name in names},
        document=JITTER.trace,
    )


def check_countries(case: Case) -> Iterator[Row]:
    """Rows, and sites, attempts and lanes of each country are as reported."""
    report = case.report(_REPORT)
    counted = {
        row["code"]: {"sites": row["sites"], "attempts": int(row["attempts"]), "lanes": row["l"]}
        for row in case.session.rows(
            "SELECT legal_country_iso AS code, count(*) AS sites, "  # noqa: S608
            "sum(blocks)::HUGEINT AS attempts, "
            "[count(*) FILTER (lane = 0), count(*) FILTER (lane = 1), count(*) FILTER (lane = 2)] "
            f"AS l FROM {JITTER.events} GROUP BY code"
        )
    }
    rows = case.count("SELECT count(*) AS n FROM s6_site_jitter")
    yield from fields_differ(report, dict.fromkeys(("sites_total", "rows_emitted"), rows))
    by_code = report["by_country"]
    for code in sorted(set(counted) | set(by_code)):
        yield from differences(by_code.get(code, {}), counted.get(code, {}), country_iso=code)


def check_tiles(case: Case) -> Iterator[Row]:
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
