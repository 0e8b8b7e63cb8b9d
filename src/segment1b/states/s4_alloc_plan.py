"""S4, the allocation plan: turn weights into whole sites per tile, n for n, exactly."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.errors import Segment1BError
from segment1b.evidence.quality import country_quality, overall_collapse
from segment1b.states.protocol import Report, Run, ShardResult
from segment1b.states.s4_laws import Plan, allocate
from segment1b.states.seal import sealed_inputs
from segment1b.storage.ingress import iso_codes
from segment1b.storage.parts import GROUP_ROWS, constant, cut_tiles, write_part
from segment1b.storage.reader import Partition, Reader

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
_INLINE_SUMMARIES = 10_000


@dataclass(frozen=True)
class CountryShard:
    """The pairs of one country: its place in ASCII order and the tile files that hold it."""

    number: int
    country_iso: str
    files: tuple[int, ...]
    grid: tuple[int, int]


class S4AllocPlan:
    """The laws of allocation.md: every pair receives exactly the n of s3_requirements."""

    id = "s4"
    reads: tuple[str, ...] = (
        "s0_gate_receipt_1B",
        "s3_requirements",
        "tile_weights",
        "tile_index",
        "iso3166_canonical_2024",
        "parameter_policy_1B",
    )
    writes: tuple[str, ...] = ("s4_alloc_plan",)
    disallowed_read = "E409_DISALLOWED_READ"
    stale_input = "E406_TOKEN_MISMATCH"
    missing_input: Mapping[str, str] = {
        "s0_gate_receipt_1B": "E301_NO_PASS_FLAG",
        "s3_requirements": "E401_NO_S3_REQUIREMENTS",
        "tile_weights": "E402_MISSING_TILE_WEIGHTS",
        "tile_index": "E403_ZERO_TILE_UNIVERSE",
    }
    meters: Mapping[str, str] = {
        "s3_requirements": "s3",
        "tile_weights": "weights",
        "tile_index": "index",
    }

    def shards(self, run: Run, reader: Reader) -> Sequence[CountryShard]:
        """Stage each country's pairs on their own and return the countries in ASCII order."""
        sealed_inputs(run, reader, self.stale_input)
        countries = split_by_country(run, reader)
        _check_countries(reader, countries)
        index = reader.partition("tile_index")
        counts = {c: v["cells_included"] for c, v in index.report["by_country"].items()}
        files: dict[str, list[int]] = {}
        for file in cut_tiles(counts):
            for code, _, _ in file.stretches:
                files.setdefault(code, []).append(file.number)
        grid = (index.report["grid_dims"]["nrows"], index.report["grid_dims"]["ncols"])
        return [
            CountryShard(number, code, tuple(files[code]), grid)
            for number, code in enumerate(sorted(countries))
        ]

    def work(self, run: Run, shard: CountryShard) -> ShardResult:
        """Allocate one country's pairs by the policy's law and stage the piece."""
        start = time.perf_counter()
        reader = run.reader(self)
        code = shard.country_iso
        merchants, n = _staged_pairs(run, code)
        tile_ids, weights = read_weights(run, reader, shard)
        total = np.zeros(len(weights), np.int64)
        counters: dict[str, Any] = {"country_iso": code, "pairs": len(n), "shortfall": 0, "ties": 0}

        def tables() -> Iterator[pa.Table]:
            for plan in allocate(run, code, shard.grid, (merchants, n), (tile_ids, weights)):
                np.add.at(total, plan.tile, plan.sites)
                counters["shortfall"] += plan.shortfall
                counters["ties"] += plan.ties
                _check_sums(code, merchants, n, plan)
                yield from _plan_tables(run, code, merchants, tile_ids, plan)

        rows = write_part(
            run.staged("s4_alloc_plan", shard.number), run.contracts["s4_alloc_plan"], tables()
        )
        _check_index(reader, shard, tile_ids[total > 0])
        counters["quality"] = {
            "pairs": len(n),
            "rows": rows,
            **country_quality(total, weights, 10**run.policy.prep.dp),
        }
        counters["merchants"] = merchants
        counters["sites"] = n
        counters["wall_seconds"] = round(time.perf_counter() - start, 6)
        return ShardResult(rows, counters, reader.bytes_read)

    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Return totals, quality and timings over all countries, in ASCII order."""
        counters = [result.counters for result in results]
        quality = {c["country_iso"]: c["quality"] for c in counters}
        merchants, countries, sites = _summaries(counters)
        body: dict[str, Any] = {
            **run.tokens,
            "law": run.policy.allocation.law,
            "dp": run.policy.prep.dp,
            "rows_emitted": sum(result.rows for result in results),
            "merchants_total": len(merchants),
            "pairs_total": sum(c["pairs"] for c in counters),
            "sites_total": int(sites.sum()),
            "shortfall_total": sum(c["shortfall"] for c in counters),
            "ties_broken_total": sum(c["ties"] for c in counters),
            "alloc_sum_equals_requirements": sum(q["sites"] for q in quality.values())
            == int(sites.sum()),
            "fk_country_violations": 0,
            "coverage_missing_countries": 0,
            "tile_not_in_index": 0,
            "ingress_versions": {"iso3166": run.contracts["iso3166_canonical_2024"].version_tag},
            "collapse_index": overall_collapse(quality),
            "quality_by_country": {
                code: {k: v for k, v in own.items() if k != "expected_tiles"}
                for code, own in quality.items()
            },
            "country_timings": [
                {
                    "country_iso": c["country_iso"],
                    "pairs": c["pairs"],
                    "rows": r.rows,
                    "wall_seconds": c["wall_seconds"],
                }
                for c, r in zip(counters, results, strict=True)
            ],
        }
        if not run.merchant_summaries:
            return Report(body)
        return _with_summaries(run, body, merchants, countries, sites)


def split_by_country(run: Run, reader: Reader) -> dict[str, int]:
    """Stage the pairs of each country as two raw files (merchants, sites); return pair counts."""
    counts: dict[str, int] = {}
    (run.staging / "pairs").mkdir(exist_ok=True)
    requirements = reader.partition("s3_requirements")
    for table in reader.row_groups(requirements, ["merchant_id", "legal_country_iso", "n_sites"]):
        countries = table.column("legal_country_iso").combine_chunks()
        codes = countries.indices.to_numpy()
        columns = {
            "merchants": table.column("merchant_id").to_numpy(),
            "sites": table.column("n_sites").to_numpy(),
        }
        for number, code in enumerate(countries.dictionary.to_pylist()):
            mine = codes == number
            counts[code] = counts.get(code, 0) + int(np.count_nonzero(mine))
            for name, values in columns.items():
                with (run.staging / "pairs" / f"{code}.{name}").open("ab") as handle:
                    values[mine].tofile(handle)
    return {code: count for code, count in counts.items() if count}


def read_weights(run: Run, reader: Reader, shard: CountryShard) -> tuple[UInt64s, Int64s]:
    """Return a country's tiles and weights, once they sum to K under the policy's dp.

    Raises:
        Segment1BError: E414_WEIGHT_TAMPER.
    """
    code, dp = shard.country_iso, run.policy.prep.dp
    partition = reader.partition("tile_weights")
    ids, weights, total = [], [], 0
    for table in reader.row_groups(
        partition, ["tile_id", "weight_fp", "dp"], {"country_iso": (code, code)}, shard.files
    ):
        if (table.column("dp").to_numpy() != dp).any():
            raise Segment1BError(
                "E414_WEIGHT_TAMPER",
                f"{code}: weights with another dp than {dp}",
                "run S2 again",
                country_iso=code,
            )
        ids.append(table.column("tile_id").to_numpy())
        weights.append(table.column("weight_fp").to_numpy())
        total += int(weights[-1].sum())
    if total != 10**dp:
        raise Segment1BError(
            "E414_WEIGHT_TAMPER",
            f"{code}: weights sum to {total}, not 10^{dp}",
            "restore tile_weights or run S2 again",
            country_iso=code,
        )
    return np.concatenate(ids), np.concatenate(weights)


def _check_sums(code: str, merchants: UInt64s, n: Int64s, plan: Plan) -> None:
    low, high = int(plan.pair[0]), int(plan.pair[-1]) + 1
    sums = np.zeros(high - low, np.int64)
    np.add.at(sums, plan.pair - low, plan.sites)
    wrong = np.flatnonzero(sums != n[low:high])
    if len(wrong):
        at = low + int(wrong[0])
        raise Segment1BError(
            "E404_ALLOCATION_MISMATCH",
            f"merchant {merchants[at]} in {code}: {n[at]} sites are "
            f"required, {sums[wrong[0]]} were allocated; {len(wrong)} such pairs",
            "this is a fault of the law: report it with the inputs",
            merchant_id=int(merchants[at]),
            country_iso=code,
        )


def _plan_tables(
    run: Run, code: str, merchants: UInt64s, tile_ids: UInt64s, plan: Plan
) -> Iterator[pa.Table]:
    schema = run.contracts["s4_alloc_plan"].arrow_schema
    for at in range(0, len(plan.pair), GROUP_ROWS):
        part = slice(at, at + GROUP_ROWS)
        yield pa.table(
            {
                "merchant_id": merchants[plan.pair[part]],
                "legal_country_iso": constant(code, len(plan.pair[part])),
                "tile_id": tile_ids[plan.tile[part]],
                "n_sites_tile": plan.sites[part],
            }
        ).cast(schema)


def _check_index(reader: Reader, shard: CountryShard, used: UInt64s) -> None:
    code, found = shard.country_iso, 0
    index = reader.partition("tile_index")
    where: dict[str, tuple[Any, Any]] = {"country_iso": (code, code)}
    for table in reader.row_groups(index, ["tile_id"], where, shard.files):
        ids = table.column("tile_id").to_numpy()
        near = used[np.searchsorted(used, ids[0]) : np.searchsorted(used, ids[-1], "right")]
        found += int(np.count_nonzero(ids[np.searchsorted(ids, near)] == near))
    if found != len(used):
        raise Segment1BError(
            "E413_TILE_NOT_IN_INDEX",
            f"{code}: {len(used) - found} used tiles are not in tile_index",
            "tile_weights and tile_index belong to different runs: run S1 and S2",
            country_iso=code,
        )


def _check_countries(reader: Reader, countries: dict[str, int]) -> None:
    """Refuse countries without code, tiles or weights; all such countries are listed."""
    known = {
        "E302_FK_COUNTRY": set(iso_codes(reader)),
        "E403_ZERO_TILE_UNIVERSE": _listed(reader.partition("tile_index")),
        "E402_MISSING_TILE_WEIGHTS": _listed(reader.partition("tile_weights")),
    }
    for code, there in known.items():
        missing = sorted(set(countries) - there)
        if missing:
            raise Segment1BError(
                code,
                f"required countries {', '.join(missing)} are not there",
                "run S1 to S3 again for this identity",
                country_iso=missing[0],
            )


def _listed(partition: Partition) -> set[str]:
    return set(partition.report["by_country"])


def _staged_pairs(run: Run, code: str) -> tuple[UInt64s, Int64s]:
    stem = run.staging / "pairs" / code
    return (np.fromfile(f"{stem}.merchants", np.uint64), np.fromfile(f"{stem}.sites", np.int64))


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
    body["merchant_summaries"] = {"path": dataset.locate(run.tokens), "rows": len(table)}
    return Report(body, side_files={dataset.id: buffer.getvalue()})
