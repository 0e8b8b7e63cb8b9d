"""S5, assignment: decides which sites of a pair are in which of its tiles, in S4's counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.errors import Segment1BError, pair_error, redo
from segment1b.identity import sha256_hex
from segment1b.laws.assignment import LABEL, Sites, permuted, sites_of, words
from segment1b.laws.curves import locate
from segment1b.laws.philox import alloc_offsets
from segment1b.laws.points import stable_points
from segment1b.states.by_country import (
    CountryShard,
    UInt64s,
    check_index,
    country_shards,
    country_tables,
    read_weights,
    stage_by_country,
    stage_pieces,
    staged_rows,
)
from segment1b.states.protocol import (
    Report,
    Run,
    ShardResult,
    State,
    check_conserved,
    require_countries,
)
from segment1b.states.rng_logs import trace, write_audit
from segment1b.states.seal import sealed_inputs
from segment1b.storage.arrays import distinct
from segment1b.storage.ingress import iso_codes
from segment1b.storage.reader import Reader
from segment1b.storage.records import Records

_RESTORE = f"restore s4_alloc_plan, or {redo('s4')}"
_PLAN = ["merchant_id", "tile_id", "n_sites_tile"]
EVENTS, TRACE = "rng_event_site_tile_assign", "rng_trace_site_tile_assign"


class S5Assignment(State):
    """Permutation, or each site's own point; see docs/spec/s5-assignment.md#permutation."""

    id = "s5"

    def shards(self, run: Run, reader: Reader) -> Sequence[CountryShard]:
        """Stage the plan by country, write the audit row, return shards of countries."""
        sealed_inputs(run, reader, self.stale_input)
        countries = stage_by_country(run, reader, "s4_alloc_plan", _PLAN)
        if not countries:
            raise Segment1BError("E501_NO_S4_ALLOC_PLAN", "s4_alloc_plan has no row")
        problem = "countries of s4_alloc_plan are not in the ISO table: {}"
        require_countries(countries, iso_codes(reader), "E302_FK_COUNTRY", problem, _RESTORE)
        write_audit(run.root, run.contracts, run.identity, run.staging)
        return country_shards(reader, countries)

    def work(self, run: Run, shard: CountryShard) -> ShardResult:
        """Match the sites of a shard's countries to their tiles; stage assignment and events."""
        reader = run.reader(self)
        own_point = match_of(run) == "own_point"
        tiles = read_weights(run, reader, shard) if own_point else {}
        tables: dict[str, list[pa.Table]] = {"s5_site_tile_assignment": [], EVENTS: []}
        used: dict[str, UInt64s] = {}
        counters = Counter[str]()
        for code, plan in staged_rows(run, "s4_alloc_plan", _PLAN, shard).items():
            sites = _sites(code, plan)
            used[code] = distinct(sites.tile)
            if own_point:
                tile = _own_points(run, code, shard.grid, sites, tiles[code])
            else:
                word = words(run.identity.seed, code, sites)
                tile, ties = permuted(sites, word)
                counters["ties"] += ties
                counters["events"] += len(word)
                tables[EVENTS] += _tables(run, EVENTS, code, sites, {"word": word})
            dealt = tile[np.lexsort((tile, sites.pair))]
            counters["pairs"] += len(sites.quota)
            counters["mismatches"] += int(np.count_nonzero(dealt != sites.tile))
            counters["duplicates"] += _repeated_keys(sites)
            rows = _tables(run, "s5_site_tile_assignment", code, sites, {"tile_id": tile})
            tables["s5_site_tile_assignment"] += rows
        indexed = check_index(reader, shard, used, "E505_TILE_NOT_IN_INDEX")
        counters["not_in_index"] = sum(len(used[code]) - indexed[code] for code in used)
        return stage_pieces(run, reader, shard, (shard.countries, counters), tables)

    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Return the counters and the trace of the event log's parts."""
        rows = sum(result.rows for result in results)
        total = Counter[str]()
        for result in results:
            total.update(result.counters[1])
        countries = {code for result in results for code in result.counters[0]}
        plan = run.reader(self).partition("s4_alloc_plan").report
        check_conserved("pairs of s4_alloc_plan", total["pairs"], plan["pairs_total"], "s4")
        check_conserved("sites of s4_alloc_plan", rows, plan["sites_total"], "s4")
        parts = []
        for path in sorted(run.parts(EVENTS).iterdir()):
            events = pq.read_metadata(path).num_rows
            parts.append((events, events, events))
        audit = write_audit(run.root, run.contracts, run.identity, run.staging)
        body = {
            **run.heading,
            "match": match_of(run),
            "rows_emitted": rows,
            "pairs_total": total["pairs"],
            "rng_events_emitted": total["events"],
            "ties_broken_total": total["ties"],
            "quota_mismatches": total["mismatches"],
            "dup_sites": total["duplicates"],
            "tile_not_in_index": total["not_in_index"],
            "fk_country_violations": len(countries - set(iso_codes(run.reader(self)))),
            "audit_sha256_hex": sha256_hex(audit.read_bytes()),
        }
        return Report(body, logs={TRACE: trace(run.identity, LABEL, parts)})


def match_of(run: Run) -> str:
    """Return how sites are matched to tiles: by own points under `stable`, else by permutation."""
    return "own_point" if run.policy.allocation.law == "stable" else "permuted"


def _sites(code: str, plan: Records) -> Sites:
    merchant, tile, n = (plan[name].copy() for name in _PLAN)
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


def _own_points(
    run: Run,
    code: str,
    grid: tuple[int, int],
    sites: Sites,
    tiles: tuple[UInt64s, np.ndarray[Any, np.dtype[np.int64]]],
) -> UInt64s:
    """Return the tile of each site's own point, whose counts must be S4's."""
    first = np.cumsum(sites.quota) - sites.quota
    offsets = alloc_offsets(run.identity.seed, sites.merchant[first], code)
    points = stable_points(offsets, sites.quota, 10**run.policy.prep.dp)
    tile: UInt64s = tiles[0][locate(*tiles, grid[1], grid[0], points)]
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


def _tables(
    run: Run, dataset_id: str, code: str, sites: Sites, column: Mapping[str, UInt64s]
) -> Iterator[pa.Table]:
    key: dict[str, Any] = {
        "merchant_id": sites.merchant,
        "legal_country_iso": code,
        "site_order": sites.order,
    }
    return country_tables(run, dataset_id, {**key, **column}, len(sites.pair))
