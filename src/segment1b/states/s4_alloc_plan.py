"""S4, allocation plan: whole sites per pair and tile, n for n, exactly."""

from __future__ import annotations

import io
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.errors import Segment1BError, pair_error, redo
from segment1b.laws.apportionment import largest_remainder_by_n
from segment1b.laws.curves import locate
from segment1b.laws.points import (
    balanced_phases,
    balanced_points,
    deal,
    stable_points,
    systematic_points,
)
from segment1b.states.by_country import CountryState, Int64s, Job, UInt64s, Weights
from segment1b.states.protocol import Countries, Report, Run, check_conserved, check_known, total
from segment1b.states.quality import Load, joined, load_of, load_quality, overall_collapse
from segment1b.storage.ingress import iso_codes
from segment1b.storage.reader import Reader
from segment1b.storage.records import Records

_INLINE_SUMMARIES = 10_000
# Laws whose points depend on the pair alone.
_POINTS_OF_A_PAIR: Final = {"systematic": systematic_points, "stable": stable_points}
# Sites that a curve law sorts and locates at one time.
_CHUNK_SITES = 1 << 22


class S4AllocPlan(CountryState):
    """Every pair gets exactly the n of s3_requirements; see docs/spec/s4-allocation.md#writes."""

    id = "s4"
    source = "s3_requirements"
    columns = ("merchant_id", "n_sites")
    unlisted = "E413_TILE_NOT_IN_INDEX"
    meters: Mapping[str, str] = {
        "s3_requirements": "s3",
        "tile_weights": "weights",
        "tile_index": "index",
    }

    def check(self, reader: Reader, rows: Mapping[str, int]) -> None:
        """Refuse countries without code, tiles or weights; all such countries are listed."""
        for code, known in _known_countries(reader).items():
            problem = "required countries are missing: {}"
            check_known(rows, known, code, problem, redo("s1"))

    def law(self, job: Job, rows: Mapping[str, Records]) -> Iterator[dict[str, Any]]:
        """Allocate the pairs of each country by the policy's method."""
        weights = job.weights_of()
        listed = {code: required["merchant_id"].copy() for code, required in rows.items()}
        offsets = job.offsets(listed)
        for (code, merchants), tiles in zip(listed.items(), job.shard.tiles, strict=True):
            start = time.perf_counter()
            n = rows[code]["n_sites"].copy()
            counters, loads = Counter(rows=0, shortfall=0, ties=0), list[Load]()
            pairs, groups = Pairs(merchants, n, offsets[code]), job.by_trade(merchants)
            planned = itertools.chain.from_iterable(
                _of_trade(job, code, pairs.of(own), weights(trade)[code], counters, loads)
                for trade, own in groups
            )
            yield from planned if len(groups) == 1 else [_in_key_order(code, list(planned))]
            load = joined(loads)
            job.counters[code] = {
                **counters,
                "quality": load_quality(load, tiles),
                "pairs": len(n),
                "merchants": merchants,
                "n_sites": n,
                "used": load.ids[load.sites > 0],
                "wall_seconds": round(time.perf_counter() - start, 6),
            }

    def summary(self, run: Run, reader: Reader, rows: int, countries: Countries) -> Report:
        """Return totals, quality and timings over all countries."""
        quality = {
            code: {"pairs": c["pairs"], "rows": c["rows"], **c["quality"]}
            for code, c in countries.items()
        }
        summaries = _merchant_summaries(countries)
        planned, pairs = total(quality, "sites"), total(countries, "pairs")
        required = _required(reader)
        check_conserved("pairs of s3_requirements", pairs, required[0], "s3")
        check_conserved("sites of s3_requirements", planned, required[1], "s3")
        iso, *covered = _known_countries(reader).values()
        sites = int(summaries["n_sites_total"].sum())
        body: dict[str, Any] = {
            **run.tokens,
            "law": run.policy.allocation.law,
            "dp": run.policy.prep.dp,
            "rows_emitted": rows,
            "merchants_total": len(summaries["merchant_id"]),
            "pairs_total": pairs,
            "sites_total": planned,
            "shortfall_total": total(countries, "shortfall"),
            "ties_broken_total": total(countries, "ties"),
            "alloc_sum_equals_requirements": planned == required[1] == sites,
            "fk_country_violations": len(countries.keys() - iso),
            "coverage_missing_countries": len(countries.keys() - set.intersection(*covered)),
            "tile_not_in_index": total(countries, "not_in_index"),
            "ingress_versions": {"iso3166": run.contracts["iso3166_canonical_2024"].version_tag},
            "collapse_index": overall_collapse(quality),
            "quality_by_country": {
                code: {k: v for k, v in country.items() if k != "expected_tiles"}
                for code, country in quality.items()
            },
            "country_timings": [
                {"country_iso": code, **{k: c[k] for k in ("pairs", "rows", "wall_seconds")}}
                for code, c in countries.items()
            ],
        }
        if not run.merchant_summaries:
            return Report(body)
        return _with_summaries(run, body, summaries)


def _of_trade(
    job: Job,
    code: str,
    pairs: Pairs,
    tiles: Weights,
    counters: Counter[str],
    loads: list[Load],
) -> Iterator[dict[str, Any]]:
    """Yield the plan of a country's pairs of one trade; count it and append its load of tiles."""
    ids, weight = tiles
    sites = np.zeros(len(ids), np.int64)
    for plan in allocate(job.run, code, job.shard.grid, pairs, tiles):
        np.add.at(sites, plan.tile, plan.sites)
        counters.update(rows=len(plan.pair), shortfall=plan.shortfall, ties=plan.ties)
        _check_sums(code, pairs, plan)
        yield {
            "merchant_id": pairs.merchants[plan.pair],
            "legal_country_iso": code,
            "tile_id": ids[plan.tile],
            "n_sites_tile": plan.sites,
        }
    loads.append(load_of(ids, sites, weight, 10**job.run.policy.prep.dp))


def _in_key_order(code: str, plans: list[dict[str, Any]]) -> dict[str, Any]:
    """Join the plans of a country's trades, by merchant and tile."""
    names = ("merchant_id", "tile_id", "n_sites_tile")
    columns = {name: np.concatenate([plan[name] for plan in plans]) for name in names}
    order = np.lexsort((columns["tile_id"], columns["merchant_id"]))
    return {name: column[order] for name, column in columns.items()} | {"legal_country_iso": code}


def _known_countries(reader: Reader) -> dict[str, set[str]]:
    """Return the countries that have a code, tiles and weights, by the code for any other."""
    return {
        "E302_FK_COUNTRY": set(iso_codes(reader)),
        "E403_ZERO_TILE_UNIVERSE": set(reader.partition("tile_index").report["by_country"]),
        "E402_MISSING_TILE_WEIGHTS": set(reader.partition("tile_weights").report["by_country"]),
    }


def _required(reader: Reader) -> tuple[int, int]:
    """Return the pairs and sites that S3's report names."""
    report = reader.partition("s3_requirements").report
    excluded = total(report["excluded_by_policy"], "sites")
    return report["rows_emitted"], report["source_rows_total"] - excluded


def _check_sums(code: str, pairs: Pairs, plan: Plan) -> None:
    n = pairs.n
    low, high = int(plan.pair[0]), int(plan.pair[-1]) + 1
    sums = np.zeros(high - low, np.int64)
    np.add.at(sums, plan.pair - low, plan.sites)
    wrong = np.flatnonzero(sums != n[low:high])
    if len(wrong):
        at = low + int(wrong[0])
        problem = f"{n[at]} sites are required, {sums[wrong[0]]} were allocated"
        problem += f"; {len(wrong)} such pairs"
        raise pair_error("E404_ALLOCATION_MISMATCH", pairs.merchants[at], code, problem)


def _merchant_summaries(countries: Countries) -> dict[str, Any]:
    """Return distinct merchants, the number of their countries and pairs, and of their sites."""
    empty = {"merchants": np.empty(0, np.uint64), "n_sites": np.empty(0, np.int64)}
    listed = (empty, *countries.values())
    merchants, n = (np.concatenate([c[name] for c in listed]) for name in empty)
    distinct, which, pairs = np.unique(merchants, return_inverse=True, return_counts=True)
    totals = np.zeros(len(distinct), np.int64)
    np.add.at(totals, which, n)
    return {
        "merchant_id": distinct,
        "countries": pairs,
        "pairs": pairs,
        "n_sites_total": totals,
    }


def _with_summaries(run: Run, body: dict[str, Any], summaries: dict[str, Any]) -> Report:
    dataset = run.contracts["s4_merchant_summaries"]
    table = pa.table(summaries).cast(dataset.arrow_schema)
    if len(table) <= _INLINE_SUMMARIES:
        return Report({**body, "merchant_summaries": table.to_pylist()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    body["merchant_summaries"] = {"path": dataset.locate(run.places), "rows": len(table)}
    return Report(body, side_files={dataset.id: buffer.getvalue()})


class Pairs(NamedTuple):
    """Pairs of a country.

    Attributes:
        merchants: uint64[p], ascending.
        n: int64[p], sites of each.
        offsets: uint64[p], the offset of each on the line of weights.
    """

    merchants: UInt64s
    n: Int64s
    offsets: UInt64s

    def of(self, own: Int64s) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.merchants[own], self.n[own], self.offsets[own])


@dataclass(frozen=True)
class Plan:
    """The plan of one stretch of pairs.

    Attributes:
        pair: int64[r], index of the pair among the country's pairs, ascending.
        tile: int64[r], position of the tile among the country's tiles, ascending within a pair.
        sites: int64[r], sites of that pair in that tile, at least 1.
        shortfall: units given after the floors, 0 for the curve methods.
        ties: units that the tie rule decided.
    """

    pair: Int64s
    tile: Int64s
    sites: Int64s
    shortfall: int
    ties: int


def allocate(
    run: Run, code: str, grid: tuple[int, int], pairs: Pairs, tiles: Weights
) -> Iterator[Plan]:
    """Yield the plan of a country's pairs, stretch by stretch, or raise E416_NUMERIC_OVERFLOW.

    Args:
        run: gives the method and K.
        code: the country.
        grid: rows and columns of the raster.
        pairs: the country's pairs, or those of one trade.
        tiles: tile ids uint64[t] ascending, and their weights int64[t] that sum to K.
    """
    n = pairs.n
    scale, law = 10**run.policy.prep.dp, run.policy.allocation.law
    located = partial(locate, *tiles, grid[1], grid[0])
    try:
        if law == "largest_remainder":
            yield from _by_largest_remainder(n, tiles[1], scale)
        elif law == "balanced":
            tile, ends = _balanced_tiles(n, scale, located), np.cumsum(n)
            for low, high in _stretches(n):
                yield _counted(low, n[low:high], tile[ends[low] - n[low] : ends[high - 1]])
        else:
            for low, high in _stretches(n):
                points = _POINTS_OF_A_PAIR[law](pairs.offsets[low:high], n[low:high], scale)
                yield _counted(low, n[low:high], located(points))
    except OverflowError as error:
        problem = f"{code}: {error}"
        raise Segment1BError("E416_NUMERIC_OVERFLOW", problem, country_iso=code) from None


def _balanced_tiles(n: Int64s, scale: int, located: Callable[[Int64s], Int64s]) -> Int64s:
    """Return the tile of each site of a country, pair by pair: its one array that long."""
    total_sites = int(n.sum())
    tile, first = np.empty(total_sites, np.int64), 0
    for dealt in deal(balanced_phases(len(n)), n, _CHUNK_SITES):
        points = balanced_points(first, first + len(dealt), total_sites, scale)
        tile[dealt] = located(points)
        first += len(dealt)
    return tile


def _by_largest_remainder(n: Int64s, weights: Int64s, scale: int) -> Iterator[Plan]:
    # The result depends on (country, n) alone: solve once per distinct n, then replicate.
    distinct, which, often = np.unique(n, return_inverse=True, return_counts=True)
    solved = largest_remainder_by_n(weights, distinct, scale)
    lengths = np.array([len(share.positions) for share in solved], np.int64)
    starts = np.cumsum(lengths) - lengths
    tiles = np.concatenate([share.positions for share in solved])
    counts = np.concatenate([share.counts for share in solved])
    shortfall = sum(s.shortfall * int(k) for s, k in zip(solved, often, strict=True))
    ties = sum(s.ties_broken * int(k) for s, k in zip(solved, often, strict=True))
    for low, high in _stretches(lengths[which]):
        mine = which[low:high]
        size = lengths[mine]
        inside = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size, size)
        at = np.repeat(starts[mine], size) + inside
        yield Plan(np.repeat(np.arange(low, high), size), tiles[at], counts[at], shortfall, ties)
        shortfall = ties = 0


def _counted(low: int, n: Int64s, tile: Int64s) -> Plan:
    """Count the sites, listed pair by pair with n each, by pair and tile; low is the first pair."""
    pair = np.repeat(np.arange(low, low + len(n)), n)
    order = np.lexsort((tile, pair))
    tile = tile[order]
    first = np.ones(len(tile), bool)
    first[1:] = (tile[1:] != tile[:-1]) | (pair[1:] != pair[:-1])
    starts = np.flatnonzero(first)
    return Plan(pair[starts], tile[starts], np.diff(np.append(starts, len(tile))), 0, 0)


def _stretches(sizes: Int64s) -> Iterator[tuple[int, int]]:
    """Cut pairs into stretches of about _CHUNK_SITES rows; a larger pair has its own."""
    running, low = np.cumsum(sizes), 0
    while low < len(sizes):
        before = int(running[low - 1]) if low else 0
        high = int(np.searchsorted(running, before + _CHUNK_SITES, "right"))
        high = max(high, low + 1)
        yield low, high
        low = high
