"""S6, points: draws a point in the part of each site's tile that is in its country."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from shapely import MultiPolygon

from segment1b.geo.countries import read_countries
from segment1b.geo.placement import Country
from segment1b.laws.jitter import LABEL, Tiles
from segment1b.states.by_country import (
    BOUNDS,
    CountryShard,
    UInt64s,
    check_index,
    country_shards,
    country_tables,
    read_bounds,
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
from segment1b.states.rng_logs import trace
from segment1b.states.s6_points import Points, outside, place_sites
from segment1b.states.seal import sealed_inputs
from segment1b.storage.arrays import distinct
from segment1b.storage.reader import Reader
from segment1b.storage.records import Records

_SUMMED = ("not_in_index", "outside_pixel", "outside_country", "interior", "border")
_SITE = ["merchant_id", "site_order", "tile_id"]
EVENTS, TRACE = "rng_event_in_cell_jitter", "rng_trace_in_cell_jitter"


class S6Jitter(State):
    """Rejection in the tile, in its part, then its surface; see docs/spec/s6-points.md#lanes."""

    id = "s6"

    def shards(self, run: Run, reader: Reader) -> Sequence[CountryShard]:
        """Stage the sites by country; every country must have a shape."""
        sealed_inputs(run, reader, self.stale_input)
        countries = stage_by_country(run, reader, "s5_site_tile_assignment", _SITE)
        shapes = _shapes(reader.whole_file("world_countries"))
        problem, hint = "world_countries has no shape of {}", "restore the sealed world_countries"
        require_countries(countries, shapes, "E606_FK_TILE_INDEX", problem, hint)
        return country_shards(reader, countries)

    def work(self, run: Run, shard: CountryShard) -> ShardResult:
        """Draw the points of a shard's countries; stage offsets and events."""
        reader = run.reader(self)
        shapes = _shapes(reader.file("world_countries"))
        sites = staged_rows(run, "s5_site_tile_assignment", _SITE, shard)
        used = {code: distinct(rows["tile_id"]) for code, rows in sites.items()}
        indexed = check_index(reader, shard, used, "E606_FK_TILE_INDEX")
        bounds = read_bounds(reader, shard, used, "E606_FK_TILE_INDEX")
        tables: dict[str, list[pa.Table]] = {"s6_site_jitter": [], EVENTS: []}
        counters = {}
        for code, rows in sites.items():
            # A copy of the shape for this call alone: threads must not share one.
            country = Country(shapes[code])
            points = _place(run, code, country, rows, used[code], bounds[code])
            counters[code] = _counters(points, outside(country, points))
            counters[code]["not_in_index"] = len(used[code]) - indexed[code]
            for dataset_id, columns in _columns(run, code, rows, points).items():
                tables[dataset_id] += country_tables(run, dataset_id, columns, len(rows))
        return stage_pieces(run, reader, shard, counters, tables)

    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Return the counters by country and the trace of the event log's parts."""
        counters = {code: country for r in results for code, country in r.counters.items()}
        parts = [_part_totals(path) for path in sorted(run.parts(EVENTS).iterdir())]
        events = sum(part[0] for part in parts)
        histogram: Counter[int] = Counter()
        for country in counters.values():
            histogram.update(country["histogram"])
        rows = sum(result.rows for result in results)
        assigned = run.reader(self).partition("s5_site_tile_assignment").report["rows_emitted"]
        check_conserved("sites of s5_site_tile_assignment", rows, assigned, "s5")
        total = {name: sum(country[name] for country in counters.values()) for name in _SUMMED}
        body: dict[str, Any] = {
            **run.heading,
            "sites_total": rows,
            "rows_emitted": rows,
            "rng": {
                "events_total": events,
                "blocks_total": str(sum(part[1] for part in parts)),
                "draws_total": str(sum(part[2] for part in parts)),
                "attempt_histogram": {str(k): histogram[k] for k in sorted(histogram)},
                "resample_sites": rows - histogram[1],
                "lanes": _lane_sums(counters),
            },
            "fk_tile_index_failures": total["not_in_index"],
            "point_outside_pixel": total["outside_pixel"],
            "point_outside_country": total["outside_country"],
            "path_embed_mismatches": _foreign_rows(run),
            "interior_tiles": total["interior"],
            "border_tiles": total["border"],
            "by_country": {
                code: {name: country[name] for name in ("sites", "attempts", "lanes")}
                for code, country in sorted(counters.items())
            },
        }
        return Report(body, logs={TRACE: trace(run.identity, LABEL, parts)})


def _shapes(path: Path) -> dict[str, MultiPolygon]:
    status = path.stat()
    return _read_shapes(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1)
def _read_shapes(path: Path, _mtime: int, _size: int) -> dict[str, MultiPolygon]:
    return read_countries(path)


def _place(
    run: Run, code: str, country: Country, rows: Records, used: UInt64s, bounds: Records
) -> Points:
    tiles = Tiles(*(bounds[name].copy() for name in BOUNDS))
    sites = (
        rows["merchant_id"].copy(),
        rows["site_order"].copy(),
        np.searchsorted(used, rows["tile_id"]),
    )
    return place_sites(run.identity.seed, code, country, run.policy.jitter, sites, tiles, used)


def _counters(points: Points, outside_of: tuple[int, int]) -> dict[str, Any]:
    attempts, often = np.unique(points.blocks, return_counts=True)
    interior = int(np.count_nonzero(points.interior))
    return {
        "sites": len(points.blocks),
        "attempts": int(points.blocks.sum(dtype=np.int64)),
        "lanes": np.bincount(points.lane, minlength=3).tolist(),
        "histogram": dict(zip(attempts.tolist(), often.tolist(), strict=True)),
        "interior": interior,
        "border": len(points.interior) - interior,
        "outside_pixel": outside_of[0],
        "outside_country": outside_of[1],
    }


def _columns(run: Run, code: str, rows: Records, points: Points) -> dict[str, dict[str, Any]]:
    """Return the columns of both datasets for the sites of one country."""
    merchant, order = rows["merchant_id"], rows["site_order"]
    key: dict[str, Any] = {"merchant_id": merchant, "legal_country_iso": code, "site_order": order}
    offsets = {
        "tile_id": rows["tile_id"],
        "delta_lat_deg": points.d_lat,
        "delta_lon_deg": points.d_lon,
        "manifest_fingerprint": run.identity.manifest_fingerprint,
    }
    return {
        "s6_site_jitter": {**key, **offsets},
        EVENTS: {**key, "blocks": points.blocks, "lane": points.lane},
    }


def _part_totals(path: Path) -> tuple[int, int, int]:
    """Return events, blocks and draws of one part: an event an attempt, a block an event."""
    blocks = pq.read_table(path, columns=["blocks"]).column(0).to_numpy()
    total = int(blocks.sum(dtype=np.int64))
    return total, total, 2 * total


def _foreign_rows(run: Run) -> int:
    """Count staged offsets whose manifest_fingerprint is not that of their path."""
    dataset, name = run.contracts["s6_site_jitter"], "manifest_fingerprint"
    token = dict(step.split("=") for step in dataset.partition(run.places))["fingerprint"]
    count = 0
    for path in run.parts(dataset.id).iterdir():
        column = pq.read_table(path, columns=[name], read_dictionary=[name]).column(0)
        count += sum(
            entry["counts"]
            for entry in column.value_counts().to_pylist()
            if entry["values"] != token
        )
    return count


def _lane_sums(counters: Mapping[str, dict[str, Any]]) -> list[int]:
    return [sum(country["lanes"][lane] for country in counters.values()) for lane in range(3)]
