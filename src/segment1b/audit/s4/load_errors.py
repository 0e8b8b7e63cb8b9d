"""The quality figures of each country, counted again from plan and weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b.audit.case import Case
from segment1b.audit.merchants import EVERYTHING
from segment1b.audit.results import Row
from segment1b.audit.tiles import rows_of
from segment1b.contracts.states import TRADE_WEIGHTS
from segment1b.storage.arrays import distinct
from segment1b.storage.sql import text_literal

UInt64s = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
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


@dataclass(frozen=True)
class _Planned:
    """What the plan gives a country: sites of each trade, and of its tiles, ascending."""

    trades: dict[str, int]
    tiles: UInt64s
    sites: Ints


def _planned(case: Case) -> dict[str, _Planned]:
    """Return what the plan gives each country, counted once."""
    listed = "s4_alloc_plan WHERE legal_country_iso IS NOT NULL AND tile_id IS NOT NULL"
    trades: dict[str, dict[str, int]] = {}
    for row in case.session.rows(
        f"""
        SELECT legal_country_iso AS code, coalesce(trade, {text_literal(EVERYTHING)}) AS trade,
            sum(n_sites_tile) AS sites
        FROM s4_alloc_plan LEFT JOIN merchant_trade USING (merchant_id) GROUP BY ALL
        """  # noqa: S608
    ):
        trades.setdefault(str(row["code"]), {})[str(row["trade"])] = int(row["sites"])
    tiles = case.session.arrays(
        "SELECT tile_id, sum(n_sites_tile)::BIGINT AS sites "  # noqa: S608
        f"FROM {listed} GROUP BY legal_country_iso, tile_id ORDER BY legal_country_iso, tile_id"
    )
    found, start = {}, 0
    for row in case.session.rows(
        "SELECT code, count(*) AS n "  # noqa: S608
        f"FROM (SELECT legal_country_iso AS code, tile_id FROM {listed} GROUP BY ALL) "
        "GROUP BY code ORDER BY code"
    ):
        part = slice(start, start := start + row["n"])
        found[row["code"]] = _Planned(
            trades.get(row["code"], {}), tiles["tile_id"][part], tiles["sites"][part]
        )
    return found


def _weights(case: Case, code: str, trade: str, used: UInt64s) -> tuple[int, UInt64s, Ints]:
    """Return a country's number of tiles, and those with weight or use, ascending, with weights."""
    dataset = "tile_weights" if trade == EVERYTHING else f"{TRADE_WEIGHTS}/{trade}"
    count, ids, weights = 0, [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for table in rows_of(case, dataset, code, ("tile_id", "weight_fp")):
        tile, weight = (table.column(name).to_numpy() for name in ("tile_id", "weight_fp"))
        if not (tile[1:] > tile[:-1]).all():
            order = np.argsort(tile, kind="stable")
            tile, weight = tile[order], weight[order]
        kept = weight > 0
        near = used[np.searchsorted(used, tile[0]) : np.searchsorted(used, tile[-1], "right")]
        at = np.searchsorted(tile, near)
        kept[at[tile[at] == near]] = True
        count += len(tile)
        ids.append(tile[kept])
        weights.append(weight[kept])
    return count, np.concatenate(ids), np.concatenate(weights)


def _country(case: Case, code: str, scale: int) -> dict[str, float]:
    none = _Planned({}, np.empty(0, np.uint64), np.empty(0, np.int64))
    planned = case.published.once("plan by country", lambda: _planned(case)).get(code, none)
    count, ids, weight = _weights(case, code, EVERYTHING, planned.tiles)
    if not count:
        return dict.fromkeys((*_FIGURES, "distinct", "expected"), 0.0)
    of_trade = {EVERYTHING: (ids, weight)}
    for trade in planned.trades.keys() - {EVERYTHING}:
        of_trade[trade] = _weights(case, code, trade, planned.tiles[:0])[1:]
    ids = distinct(np.concatenate([own for own, _ in of_trade.values()]))
    # Other tiles have no site, and none to expect: their errors are 0.
    sites, empty = np.zeros(len(ids), np.int64), count - len(ids)
    at = np.minimum(np.searchsorted(ids, planned.tiles), max(len(ids) - 1, 0))
    known = ids[at] == planned.tiles if len(ids) else at < 0
    sites[at[known]] = planned.sites[known]
    mean, missed = np.zeros(len(ids), np.longdouble), np.zeros(len(ids), np.longdouble)
    for trade, n in sorted(planned.trades.items()):
        own, weight = of_trade[trade]
        share = np.zeros(len(ids), np.longdouble)
        share[np.searchsorted(ids, own)] = weight.astype(np.longdouble) / scale
        mean += n * share
        with np.errstate(divide="ignore"):
            # 1 - (1-p)^T without losing small p; a tile with p = 1 is hit for certain.
            missed += n * np.log1p(-share)
    total, errors = int(sites.sum()), np.abs(sites - mean)
    hits = -np.expm1(missed)
    hit, expected = int((sites > 0).sum()), float(hits.sum())
    # The 99th percentile is the smallest error that 99 of 100 tiles do not pass.
    rank, few = -(-99 * count // 100) - empty, max(len(sites) - 5, 0)
    return {
        "tile_load_error_max": float(errors.max(initial=0)),
        "tile_load_error_p99": float(np.partition(errors, rank - 1)[rank - 1]) if rank > 0 else 0.0,
        "collapse_index": hit / expected if expected else 0.0,
        "top_five_share": int(np.partition(sites, few)[few:].sum()) / total if total else 0.0,
        "distinct": float(hit),
        "expected": expected,
    }
