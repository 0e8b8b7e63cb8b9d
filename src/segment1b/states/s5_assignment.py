"""S5, site to tile: fill S4's quotas with particular sites, changing no count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.errors import Segment1BError, redo
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
    read_weights,
    stage_by_country,
    staged_rows,
)
from segment1b.states.protocol import Report, Run, ShardResult, State, check_conserved
from segment1b.states.rng_logs import trace, write_audit
from segment1b.states.seal import sealed_inputs
from segment1b.storage.arrays import distinct
from segment1b.storage.gather import write_piece
from segment1b.storage.ingress import iso_codes
from segment1b.storage.parts import GROUP_ROWS, constant
from segment1b.storage.reader import Reader
from segment1b.storage.records import Records
from segment1b.storage.versions import versions

_PLAN = ["merchant_id", "tile_id", "n_sites_tile"]
EVENTS, TRACE = "rng_event_site_tile_assign", "rng_trace_site_tile_assign"


class S5Assignment(State):
    """The law of place.md, section 2, and its match `own_point` for the law `stable`."""

    id = "s5"

    def shards(self, run: Run, reader: Reader) -> Sequence[CountryShard]:
        """Stage the plan by country, write the audit row, return shards of countries."""
        sealed_inputs(run, reader, self.stale_input)
        countries = stage_by_country(run, reader, "s4_alloc_plan", _PLAN)
        if not countries:
            raise Segment1BError("E501_NO_S4_ALLOC_PLAN", "s4_alloc_plan has no row", redo("s3"))
        unknown = sorted(set(countries) - set(iso_codes(reader)))
        if unknown:
            raise Segment1BError(
                "E302_FK_COUNTRY",
                f"s4_alloc_plan has {', '.join(unknown)}, which are not in the ISO table",
                f"restore s4_alloc_plan, or {redo('s4')}",
                country_iso=unknown[0],
            )
        write_audit(run.root, run.contracts, run.identity, run.staging)
        return country_shards(reader, countries)

    def work(self, run: Run, shard: CountryShard) -> ShardResult:
        """Match the sites of a shard's countries to their tiles; stage assignment and events."""
        reader = run.reader(self)
        own_point = match_of(run) == "own_point"
        tiles = read_weights(run, reader, shard) if own_point else {}
        rows: list[pa.Table] = []
        events: list[pa.Table] = []
        used: dict[str, UInt64s] = {}
        ties = pairs = mismatches = duplicates = 0
        for code, plan in staged_rows(run, "s4_alloc_plan", _PLAN, shard).items():
            sites = _sites(code, plan)
            pairs += len(sites.quota)
            used[code] = distinct(sites.tile)
            if own_point:
                tile = _own_points(run, code, shard.grid, sites, tiles[code])
            else:
                word = words(run.identity.seed, code, sites)
                tile, tied = permuted(sites, word)
                ties += tied
                events += _tables(run, EVENTS, code, sites, {"word": word})
            dealt = tile[np.lexsort((tile, sites.pair))]
            mismatches += int(np.count_nonzero(dealt != sites.tile))
            duplicates += _repeated_keys(sites)
            rows += _tables(run, "s5_site_tile_assignment", code, sites, {"tile_id": tile})
        indexed = check_index(reader, shard, used, "E505_TILE_NOT_IN_INDEX")
        staged = {
            dataset_id: write_piece(
                run.staged(dataset_id, shard.number),
                run.contracts[dataset_id],
                tables,
                len(shard.countries),
            )
            for dataset_id, tables in (("s5_site_tile_assignment", rows), (EVENTS, events))
        }
        counters = {
            "countries": shard.countries,
            "pairs": pairs,
            "ties": ties,
            "mismatches": mismatches,
            "duplicates": duplicates,
            "not_in_index": sum(len(used[code]) - indexed[code] for code in used),
            "events": sum(t.num_rows for t in events),
        }
        return ShardResult(sum(t.num_rows for t in rows), counters, reader.bytes_read, staged)

    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Return the counters and the trace of the event log's parts."""
        rows = sum(result.rows for result in results)
        pairs = sum(result.counters["pairs"] for result in results)
        plan = run.reader(self).partition("s4_alloc_plan").report
        check_conserved("pairs of s4_alloc_plan", pairs, plan["pairs_total"], "s4")
        check_conserved("sites of s4_alloc_plan", rows, plan["sites_total"], "s4")
        parts = []
        for path in sorted(run.parts(EVENTS).iterdir()):
            events = pq.read_metadata(path).num_rows
            parts.append((events, events, events))
        audit = write_audit(run.root, run.contracts, run.identity, run.staging)
        countries = {code for result in results for code in result.counters["countries"]}
        body = {
            **run.identity.tokens,
            "run_id": run.identity.run_id,
            "versions": versions(),
            "match": match_of(run),
            "rows_emitted": rows,
            "pairs_total": pairs,
            "rng_events_emitted": sum(result.counters["events"] for result in results),
            "ties_broken_total": sum(result.counters["ties"] for result in results),
            "quota_mismatches": sum(result.counters["mismatches"] for result in results),
            "dup_sites": sum(result.counters["duplicates"] for result in results),
            "tile_not_in_index": sum(result.counters["not_in_index"] for result in results),
            "fk_country_violations": len(countries - set(iso_codes(run.reader(self)))),
            "audit_sha256_hex": sha256_hex(audit.read_bytes()),
        }
        return Report(body, logs={TRACE: trace(run.identity, LABEL, parts)})


def match_of(run: Run) -> str:
    """Return how sites meet tiles: each by its own point under `stable`, else by permutation."""
    return "own_point" if run.policy.allocation.law == "stable" else "permuted"


def _sites(code: str, plan: Records) -> Sites:
    merchant, tile, n = (plan[name].copy() for name in _PLAN)
    if (n < 1).any():
        at = int(np.flatnonzero(n < 1)[0])
        raise Segment1BError(
            "E414_WEIGHT_TAMPER",
            f"merchant {merchant[at]} in {code}: {n[at]} sites in tile {tile[at]}",
            f"restore s4_alloc_plan, or {redo('s4')}",
            merchant_id=int(merchant[at]),
            country_iso=code,
        )
    rises = (merchant[1:] > merchant[:-1]) | (
        (merchant[1:] == merchant[:-1]) & (tile[1:] > tile[:-1])
    )
    if not rises.all():
        at = int(np.flatnonzero(~rises)[0]) + 1
        raise Segment1BError(
            "E509_UNSORTED",
            f"s4_alloc_plan: merchant {merchant[at]}, {code}, tile {tile[at]} is out of order",
            f"restore s4_alloc_plan, or {redo('s4')}",
            merchant_id=int(merchant[at]),
            country_iso=code,
        )
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
        raise Segment1BError(
            "E503_TILE_QUOTA_MISMATCH",
            f"merchant {sites.merchant[at]} in {code}: the points of its sites fall into tile "
            f"{counted[at]} where s4_alloc_plan has {sites.tile[at]}; {len(wrong)} such sites",
            f"s4_alloc_plan was changed or made under another policy: {redo('s4')}",
            merchant_id=int(sites.merchant[at]),
            country_iso=code,
            tile_id=int(sites.tile[at]),
        )
    return tile


def _tables(
    run: Run, dataset_id: str, code: str, sites: Sites, columns: Mapping[str, Any]
) -> list[pa.Table]:
    schema = run.contracts[dataset_id].words_schema
    found = []
    for at in range(0, len(sites.pair), GROUP_ROWS):
        part = slice(at, at + GROUP_ROWS)
        found.append(
            pa.table(
                {
                    "merchant_id": sites.merchant[part],
                    "legal_country_iso": constant(code, len(sites.pair[part])),
                    "site_order": sites.order[part],
                    **{name: values[part] for name, values in columns.items()},
                }
            ).cast(schema)
        )
    return found
