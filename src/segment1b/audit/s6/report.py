"""S6's run report counted again from the event log, the offsets and the shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from segment1b.audit.areas import area_of
from segment1b.audit.case import Case
from segment1b.audit.logs import JITTER, totals
from segment1b.audit.results import CheckResult, Row, Rule, differences
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


def check_accounting(case: Case, rule: Rule) -> CheckResult:
    """Judge the totals of events, blocks and draws: log, trace and report are one."""
    said, counted = case.report(_REPORT)["rng"], accounting(case)
    names = ("events_total", "blocks_total", "draws_total")
    last = totals(JITTER, case)[-1:] or [{}]
    traced = case.published.lines(JITTER.trace)[-1:] or [{}]

    def unlike() -> Iterator[Row]:
        found = {name: said.get(name) for name in counted}
        yield from differences(found, counted, document=_REPORT)
        yield from differences(
            {name: traced[0].get(name) for name in names},
            {name: last[0].get(name) for name in names},
            document=JITTER.trace,
        )

    return rule.judge(unlike())


def check_countries(case: Case, rule: Rule) -> CheckResult:
    """Judge rows, and sites, attempts and lanes of each country."""
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
    (rows,) = case.session.rows("SELECT count(*) AS n FROM s6_site_jitter")

    def unlike() -> Iterator[Row]:
        yield from differences(
            {name: report[name] for name in ("sites_total", "rows_emitted")},
            dict.fromkeys(("sites_total", "rows_emitted"), rows["n"]),
        )
        for code in sorted(set(counted) | set(report["by_country"])):
            said, own = report["by_country"].get(code, {}), counted.get(code, {})
            yield from differences(said, own, country_iso=code)

    return rule.judge(unlike())


def check_tiles(case: Case, rule: Rule) -> CheckResult:
    """Judge how many used tiles lie wholly inside their country."""
    interior = border = 0
    for code, tiles in by_country(case, _TILES):
        area = area_of(case, code)
        if area is None:
            continue
        sides = ("min_lon_deg", "min_lat_deg", "max_lon_deg", "max_lat_deg")
        inside = int(np.count_nonzero(area.surrounds(*(tiles[side] for side in sides))))
        interior, border = interior + inside, border + len(tiles["country"]) - inside
    report = case.report(_REPORT)
    expected = {"interior_tiles": interior, "border_tiles": border}
    return rule.judge(differences({name: report[name] for name in expected}, expected))
