"""S4, allocation plan: whole sites per pair and tile, n for n, exactly."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.errors import pair_error
from segment1b.states.by_country import (
    CountryShard,
    Int64s,
    UInt64s,
    check_countries,
    check_index,
    country_shards,
    country_tables,
    listed_countries,
    read_weights,
    stage_by_country,
    stage_pieces,
    staged_rows,
)
from segment1b.states.protocol import Report, Run, ShardResult, State, check_conserved
from segment1b.states.quality import country_quality, overall_collapse
from segment1b.states.s4_laws import Plan, allocate
from segment1b.states.seal import sealed_inputs
from segment1b.storage.ingress import iso_codes
from segment1b.storage.reader import Reader

_INLINE_SUMMARIES = 10_000
_PAIR = ["merchant_id", "n_sites"]


class S4AllocPlan(State):
    """Every pair gets exactly the n of s3_requirements; see docs/spec/s4-allocation.md#writes."""

    id = "s4"
    meters: Mapping[str, str] = {
        "s3_requirements": "s3",
        "tile_weights": "weights",
        "tile_index": "index",
    }

    def shards(self, run: Run, reader: Reader) -> Sequence[CountryShard]:
        """Stage the pairs by country and return shards of countries in ASCII order."""
        sealed_inputs(run, reader, self.stale_input)
        countries = stage_by_country(run, reader, "s3_requirements", _PAIR)
        check_countries(reader, countries)
        return country_shards(reader, countries)

    def work(self, run: Run, shard: CountryShard) -> ShardResult:
        """Allocate the pairs of a shard's countries by the policy's method and stage one piece."""
        reader = run.reader(self)
        tiles = read_weights(run, reader, shard)
        counters: list[dict[str, Any]] = []
        used: dict[str, UInt64s] = {}

        def tables() -> Iterator[pa.Table]:
            staged = staged_rows(run, "s3_requirements", _PAIR, shard)
            for (code, rows), tiles_total in zip(staged.items(), shard.tiles, strict=True):
                pairs = rows["merchant_id"].copy(), rows["n_sites"].copy()
                inputs = (pairs, tiles[code], tiles_total)
                yield from _country(run, code, shard.grid, *inputs, counters)
                used[code] = counters[-1].pop("used")

        result = stage_pieces(run, reader, shard, counters, {"s4_alloc_plan": tables()})
        indexed = check_index(reader, shard, used, "E413_TILE_NOT_IN_INDEX")
        for country in counters:
            code = country["country_iso"]
            country["not_in_index"] = len(used[code]) - indexed[code]
        return result

    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Return totals, quality and timings over all countries, in ASCII order."""
        counters = [country for result in results for country in result.counters]
        quality = {
            c["country_iso"]: {"pairs": c["pairs"], "rows": c["rows"], **c["quality"]}
            for c in counters
        }
        merchants, countries, sites = _summaries(counters)
        planned = sum(q["sites"] for q in quality.values())
        required = _required(run.reader(self))
        pairs = sum(country["pairs"] for country in counters)
        check_conserved("pairs of s3_requirements", pairs, required[0], "s3")
        check_conserved("sites of s3_requirements", planned, required[1], "s3")
        body: dict[str, Any] = {
            **run.tokens,
            "law": run.policy.allocation.law,
            "dp": run.policy.prep.dp,
            "rows_emitted": sum(result.rows for result in results),
            "merchants_total": len(merchants),
            "pairs_total": sum(c["pairs"] for c in counters),
            "sites_total": planned,
            "shortfall_total": sum(c["shortfall"] for c in counters),
            "ties_broken_total": sum(c["ties"] for c in counters),
            "alloc_sum_equals_requirements": planned == required[1] == int(sites.sum()),
            **_violations(run.reader(self), counters),
            "ingress_versions": {"iso3166": run.contracts["iso3166_canonical_2024"].version_tag},
            "collapse_index": overall_collapse(quality),
            "quality_by_country": {
                code: {k: v for k, v in country.items() if k != "expected_tiles"}
                for code, country in quality.items()
            },
            "country_timings": [
                {name: c[name] for name in ("country_iso", "pairs", "rows", "wall_seconds")}
                for c in counters
            ],
        }
        if not run.merchant_summaries:
            return Report(body)
        return _with_summaries(run, body, merchants, countries, sites)


def _country(
    run: Run,
    code: str,
    grid: tuple[int, int],
    pairs: tuple[UInt64s, Int64s],
    tiles: tuple[UInt64s, Int64s],
    tiles_total: int,
    counters: list[dict[str, Any]],
) -> Iterator[pa.Table]:
    """Yield the plan of a country's pairs, then append its counters."""
    start, sites = time.perf_counter(), np.zeros(len(tiles[0]), np.int64)
    rows = shortfall = ties = 0
    for plan in allocate(run, code, grid, pairs, tiles):
        np.add.at(sites, plan.tile, plan.sites)
        rows += len(plan.pair)
        shortfall += plan.shortfall
        ties += plan.ties
        _check_sums(code, *pairs, plan)
        columns = {
            "merchant_id": pairs[0][plan.pair],
            "legal_country_iso": code,
            "tile_id": tiles[0][plan.tile],
            "n_sites_tile": plan.sites,
        }
        yield from country_tables(run, "s4_alloc_plan", columns, len(plan.pair))
    counters.append(
        {
            "country_iso": code,
            "rows": rows,
            "shortfall": shortfall,
            "ties": ties,
            "quality": country_quality(sites, tiles[1], 10**run.policy.prep.dp, tiles_total),
            "pairs": len(pairs[0]),
            "merchants": pairs[0],
            "sites": pairs[1],
            "used": tiles[0][sites > 0],
            "wall_seconds": round(time.perf_counter() - start, 6),
        }
    )


def _required(reader: Reader) -> tuple[int, int]:
    """Return the pairs and sites that S3's report names."""
    report = reader.partition("s3_requirements").report
    excluded = sum(country["sites"] for country in report["excluded_by_policy"].values())
    return report["rows_emitted"], report["source_rows_total"] - excluded


def _check_sums(code: str, merchants: UInt64s, n: Int64s, plan: Plan) -> None:
    low, high = int(plan.pair[0]), int(plan.pair[-1]) + 1
    sums = np.zeros(high - low, np.int64)
    np.add.at(sums, plan.pair - low, plan.sites)
    wrong = np.flatnonzero(sums != n[low:high])
    if len(wrong):
        at = low + int(wrong[0])
        problem = f"{n[at]} sites are required, {sums[wrong[0]]} were allocated"
        problem += f"; {len(wrong)} such pairs"
        raise pair_error("E404_ALLOCATION_MISMATCH", merchants[at], code, problem)


def _violations(reader: Reader, counters: list[dict[str, Any]]) -> dict[str, int]:
    """Count countries without code or tiles, and tiles outside the index, over all results."""
    countries = {country["country_iso"] for country in counters}
    covered = listed_countries(reader, "tile_index") & listed_countries(reader, "tile_weights")
    return {
        "fk_country_violations": len(countries - set(iso_codes(reader))),
        "coverage_missing_countries": len(countries - covered),
        "tile_not_in_index": sum(country["not_in_index"] for country in counters),
    }


def _summaries(counters: list[dict[str, Any]]) -> tuple[UInt64s, Int64s, Int64s]:
    """Return distinct merchants, the number of their countries and of their sites."""
    merchants = np.concatenate([c["merchants"] for c in counters] or [np.empty(0, np.uint64)])
    sites = np.concatenate([c["sites"] for c in counters] or [np.empty(0, np.int64)])
    distinct, which, countries = np.unique(merchants, return_inverse=True, return_counts=True)
    totals = np.zeros(len(distinct), np.int64)
    np.add.at(totals, which, sites)
    return distinct, countries, totals


def _with_summaries(
    run: Run, body: dict[str, Any], merchants: UInt64s, countries: Int64s, sites: Int64s
) -> Report:
    dataset = run.contracts["s4_merchant_summaries"]
    table = pa.table(
        {
            "merchant_id": merchants,
            "countries": countries,
            "pairs": countries,
            "n_sites_total": sites,
        }
    ).cast(dataset.arrow_schema)
    if len(table) <= _INLINE_SUMMARIES:
        return Report({**body, "merchant_summaries": table.to_pylist()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    body["merchant_summaries"] = {"path": dataset.locate(run.places), "rows": len(table)}
    return Report(body, side_files={dataset.id: buffer.getvalue()})
