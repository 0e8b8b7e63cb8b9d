"""The quality figures of each country, counted again from plan and weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from segment1b.audit.case import Case
from segment1b.audit.merchants import EVERYTHING
from segment1b.audit.results import Row
from segment1b.storage.sql import text_literal

TOLERANCE = 1e-6
_FIGURES = ("tile_load_error_max", "tile_load_error_p99", "collapse_index", "top_five_share")


def check_quality(case: Case) -> Iterator[Row]:
    """Load errors, collapse index and top-five share are as reported, to 1e-6."""
    report = case.report("s4_run_report")
    distinct = expected = 0.0
    for code, reported in sorted(report["quality_by_country"].items()):
        taken = country_figures(case, code)
        distinct, expected = distinct + taken["distinct"], expected + taken["expected"]
        yield from _unlike({name: reported[name] for name in _FIGURES}, taken, country_iso=code)
    overall = {"collapse_index": distinct / expected if expected else 0.0}
    yield from _unlike({"collapse_index": report["collapse_index"]}, overall, country_iso="all")


def _unlike(reported: dict[str, float], taken: dict[str, float], **place: Any) -> Iterator[Row]:
    for name, value in reported.items():
        if not is_close(value, taken[name]):
            yield {**place, "field": name, "found": value, "expected": taken[name]}


def is_close(found: float, expected: float, allowance: float = 0.0) -> bool:
    """Return whether a figure is the expected one to 1e-6 of its size, beside an allowance."""
    return abs(found - expected) <= TOLERANCE * max(abs(expected), TOLERANCE) + allowance


def country_figures(case: Case, code: str) -> dict[str, float]:
    """Return a country's figures from plan and weights, counted once."""
    figures: dict[str, dict[str, float]] = case.memo.setdefault("quality", {})
    if code not in figures:
        figures[code] = _country(case, code, 10 ** int(case.policy("prep")["dp"]))
    return figures[code]


def _country(case: Case, code: str, scale: int) -> dict[str, float]:
    planned = {
        str(row["trade"]): int(row["sites"])
        for row in case.session.rows(
            f"""
            SELECT coalesce(trade, {text_literal(EVERYTHING)}) AS trade, sum(n_sites_tile) AS sites
            FROM s4_alloc_plan LEFT JOIN merchant_trade USING (merchant_id)
            WHERE legal_country_iso = {text_literal(code)} GROUP BY ALL ORDER BY 1
            """  # noqa: S608
        )
    }
    sites = case.session.arrays(
        """
        SELECT coalesce(p.sites, 0)::BIGINT AS sites
        FROM (SELECT tile_id FROM tile_weights WHERE country_iso = $1) AS w
        LEFT JOIN (
            SELECT tile_id, sum(n_sites_tile)::BIGINT AS sites
            FROM s4_alloc_plan WHERE legal_country_iso = $1 GROUP BY tile_id
        ) AS p USING (tile_id)
        ORDER BY tile_id
        """,
        [code],
    )["sites"]
    if not len(sites):
        return dict.fromkeys((*_FIGURES, "distinct", "expected"), 0.0)
    mean, missed = np.zeros(len(sites), np.longdouble), np.zeros(len(sites), np.longdouble)
    for trade, n in planned.items():
        weight = case.session.arrays(
            "SELECT weight_fp AS weight FROM weights_by_trade "
            "WHERE country_iso = $1 AND trade = $2 "
            "ORDER BY tile_id",
            [code, trade],
        )["weight"]
        share = weight.astype(np.longdouble) / scale
        mean += n * share
        with np.errstate(divide="ignore"):
            # 1 - (1-p)^T without losing small p; a tile with p = 1 is hit for certain.
            missed += n * np.log1p(-share)
    total, errors = int(sites.sum()), np.sort(np.abs(sites - mean))
    hit = -np.expm1(missed)
    distinct, expected = int((sites > 0).sum()), float(hit.sum())
    # The 99th percentile is the smallest error that 99 of 100 tiles do not pass.
    rank = -(-99 * len(errors) // 100)
    return {
        "tile_load_error_max": float(errors[-1]),
        "tile_load_error_p99": float(errors[rank - 1]),
        "collapse_index": distinct / expected if expected else 0.0,
        "top_five_share": int(np.sort(sites)[-5:].sum()) / total if total else 0.0,
        "distinct": float(distinct),
        "expected": expected,
    }
