"""S5, assignment: decides which sites of a pair are in which of its tiles, in S4's counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from segment1b.errors import Segment1BError, pair_error, redo
from segment1b.identity import sha256_hex
from segment1b.laws.assignment import LABEL, Sites, permuted, sites_of, words
from segment1b.laws.curves import locate
from segment1b.laws.points import stable_points
from segment1b.states.by_country import CountryShard, CountryState, Int64s, Job, UInt64s, Weights
from segment1b.states.protocol import (
    Countries,
    OnWorkers,
    Report,
    Run,
    check_conserved,
    check_known,
    total,
)
from segment1b.states.rng_logs import event_totals, trace, write_audit
from segment1b.storage.arrays import distinct
from segment1b.storage.ingress import iso_codes
from segment1b.storage.reader import Reader
from segment1b.storage.records import Records

_RESTORE = f"restore s4_alloc_plan, or {redo('s4')}"


class S5Assignment(CountryState):
    """Permutation, or each site's own point; see docs/spec/s5-assignment.md#permutation."""

    id = "s5"
    source = "s4_alloc_plan"
    columns = ("merchant_id", "tile_id", "n_sites_tile")
    unlisted = "E505_TILE_NOT_IN_INDEX"

    def shards(self, run: Run, reader: Reader, on_workers: OnWorkers) -> Sequence[CountryShard]:
        """Write the audit row before the first draw; return shards of countries."""
        shards = super().shards(run, reader, on_workers)
        write_audit(run)
        return shards

    def check(self, reader: Reader, rows: Mapping[str, int]) -> None:
        """Refuse an empty plan and countries without code."""
        if not rows:
            raise Segment1BError("E501_NO_S4_ALLOC_PLAN", "s4_alloc_plan has no row")
        problem = "countries of s4_alloc_plan are not in the ISO table: {}"
        check_known(rows, iso_codes(reader), "E302_FK_COUNTRY", problem, _RESTORE)

    def law(self, job: Job, rows: Mapping[str, Records]) -> Iterator[dict[str, Any]]:
        """Match the sites of each country to their tiles."""
        own_point = match_of(job.run) == "own_point"
        weights = job.weights_of()
        expanded = {code: _sites(code, plan) for code, plan in rows.items()}
        if own_point:
            offsets = job.offsets({c: s.merchant[_first(s)] for c, s in expanded.items()})
        for code, sites in expanded.items():
            columns: dict[str, Any] = {
                "merchant_id": sites.merchant,
                "legal_country_iso": code,
                "site_order": sites.order,
            }
            ties = 0
            if own_point:
                tile = _by_trade(job, code, sites, offsets[code], weights)
            else:
                columns["word"] = words(job.run.identity.seed, code, sites)
                tile, ties = permuted(sites, columns["word"])
            dealt = tile[np.lexsort((tile, sites.pair))]
            job.counters[code] = {
                "used": distinct(sites.tile),
                "pairs": len(sites.quota),
                "ties": ties,
                "mismatches": int(np.count_nonzero(dealt != sites.tile)),
                "duplicates": _repeated_keys(sites),
            }
            yield {**columns, "tile_id": tile}

    def summary(self, run: Run, reader: Reader, rows: int, countries: Countries) -> Report:
        """Return the counters and the trace of the event log's parts."""
        pairs = total(countries, "pairs")
        plan = reader.partition("s4_alloc_plan").report
        check_conserved("pairs of s4_alloc_plan", pairs, plan["pairs_total"], "s4")
        check_conserved("sites of s4_alloc_plan", rows, plan["sites_total"], "s4")
        events = event_totals(run, LABEL)
        body = {
            **run.heading,
            "match": match_of(run),
            "rows_emitted": rows,
            "pairs_total": pairs,
            "rng_events_emitted": sum(events),
            "ties_broken_total": total(countries, "ties"),
            "quota_mismatches": total(countries, "mismatches"),
            "dup_sites": total(countries, "duplicates"),
            "tile_not_in_index": total(countries, "not_in_index"),
            "fk_country_violations": len(countries.keys() - set(iso_codes(reader))),
            "audit_sha256_hex": sha256_hex(write_audit(run).read_bytes()),
        }
        return Report(body, logs=trace(run, LABEL, events))


def match_of(run: Run) -> str:
    """Return how sites are matched to tiles: by own points under `stable`, else by permutation."""
    return "own_point" if run.policy.allocation.law == "stable" else "permuted"


def _sites(code: str, plan: Records) -> Sites:
    merchant, tile, n = (plan[name].copy() for name in S5Assignment.columns)
    if (n < 1).any():
        at = int(np.flatnonzero(n < 1)[0])
        problem = f"{n[at]} sites in tile {tile[at]}"
        raise pair_error("E414_WEIGHT_TAMPER", merchant[at], code, problem, _RESTORE)
    rises = (merchant[1:] > merchant[:-1]) | (
        (merchant[1:] == merchant[:-1]) & (tile[1:] > tile[:-1])
    )
    if not rises.all():
        at = int(np.flatnonzero(~rises)[0]) + 1
        problem = f"tile {tile[at]} is out of order in s4_alloc_plan"
        raise pair_error("E509_UNSORTED", merchant[at], code, problem)
    return sites_of(merchant, tile, n)


def _repeated_keys(sites: Sites) -> int:
    """Count sites of one country whose key does not come after that of the site before."""
    same = sites.merchant[1:] == sites.merchant[:-1]
    return int(np.count_nonzero(same & (sites.order[1:] <= sites.order[:-1])))


def _first(sites: Sites) -> Int64s:
    """Return where the sites of each pair begin."""
    return np.cumsum(sites.quota) - sites.quota


def _by_trade(
    job: Job,
    code: str,
    sites: Sites,
    offsets: UInt64s,
    weights: Callable[[str], dict[str, Weights]],
) -> UInt64s:
    """Return the tile of each site's own point on the line of weights of its merchant's trade."""
    groups = job.by_trade(sites.merchant[_first(sites)])
    tile = np.empty(len(sites.tile), np.uint64)
    for trade, pairs in groups:
        of_trade = np.zeros(len(sites.quota), np.bool_)
        of_trade[pairs] = True
        own = of_trade[sites.pair]
        mine = Sites(
            sites.pair[own],
            sites.merchant[own],
            sites.order[own],
            sites.tile[own],
            sites.quota[pairs],
        )
        tile[own] = _own_points(job, code, mine, offsets[pairs], weights(trade)[code])
    return tile


def _own_points(job: Job, code: str, sites: Sites, offsets: UInt64s, weights: Weights) -> UInt64s:
    """Return the tile of each site's own point, whose counts must be S4's."""
    points = stable_points(offsets, sites.quota, 10**job.run.policy.prep.dp)
    nrows, ncols = job.shard.grid
    tile: UInt64s = weights[0][locate(*weights, ncols, nrows, points)]
    counted = tile[np.lexsort((tile, sites.pair))]
    wrong = np.flatnonzero(counted != sites.tile)
    if len(wrong):
        at = int(wrong[0])
        raise pair_error(
            "E503_TILE_QUOTA_MISMATCH",
            sites.merchant[at],
            code,
            f"the points of its sites are in tile {counted[at]} where s4_alloc_plan has "
            f"{sites.tile[at]}; {len(wrong)} such sites",
            f"s4_alloc_plan was changed or made under another policy: {redo('s4')}",
            tile_id=int(sites.tile[at]),
        )
    return tile
