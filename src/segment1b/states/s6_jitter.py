"""S6, a point in the tile: uniform in the part of each site's tile that lies in its country."""

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

from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.geo.placement import Country
from segment1b.laws.jitter import LABEL, Tiles
from segment1b.states.by_country import (
    BOUNDS,
    CountryShard,
    UInt64s,
    check_index,
    country_shards,
    read_bounds,
    stage_by_country,
    staged_rows,
)
from segment1b.states.protocol import Report, Run, ShardResult, State, check_conserved
from segment1b.states.rng_logs import trace
from segment1b.states.s6_points import Points, outside, place_sites
from segment1b.states.seal import sealed_inputs
from segment1b.storage.arrays import distinct
from segment1b.storage.gather import write_piece
from segment1b.storage.parts import GROUP_ROWS, constant
from segment1b.storage.reader import Reader
from segment1b.storage.records import Records
from segment1b.storage.versions import versions

_SITE = ["merchant_id", "site_order", "tile_id"]
EVENTS, TRACE = "rng_event_in_cell_jitter", "rng_trace_in_cell_jitter"


class S6Jitter(State):
    """The law of place.md, section 3: rejection in the tile, then in its part, then its surface."""

    id = "s6"

    def shards(self, run: Run, reader: Reader) -> Sequence[CountryShard]:
        """Stage the sites by country; every country must have a shape."""
        sealed_inputs(run, reader, self.stale_input)
        countries = stage_by_country(run, reader, "s5_site_tile_assignment", _SITE)
        missing = sorted(set(countries) - set(_shapes(reader.whole_file("world_countries"))))
        if missing:
            raise Segment1BError(
                "E606_FK_TILE_INDEX",
                f"world_countries has no shape for {', '.join(missing)}",
                "restore the sealed world_countries",
                country_iso=missing[0],
            )
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
            _add_tables(run, code, rows, points, tables)
        staged = {
            dataset_id: write_piece(
                run.staged(dataset_id, shard.number),
                run.contracts[dataset_id],
                own,
                len(shard.countries),
            )
            for dataset_id, own in tables.items()
        }
        rows_made = sum(table.num_rows for table in tables["s6_site_jitter"])
        return ShardResult(rows_made, counters, reader.bytes_read, staged)

    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Return the counters by country and the trace of the event log's parts."""
        counters = {code: own for r in results for code, own in r.counters.items()}
        parts = [_part_totals(path) for path in sorted(run.parts(EVENTS).iterdir())]
        events = sum(part[0] for part in parts)
        histogram: Counter[int] = Counter()
        for own in counters.values():
            histogram.update(own["histogram"])
        rows = sum(result.rows for result in results)
        assigned = run.reader(self).partition("s5_site_tile_assignment").report["rows_emitted"]
        check_conserved("sites of s5_site_tile_assignment", rows, assigned, "s5")
        body: dict[str, Any] = {
            **run.identity.tokens,
            "run_id": run.identity.run_id,
            "versions": versions(),
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
            "fk_tile_index_failures": sum(own["not_in_index"] for own in counters.values()),
            "point_outside_pixel": sum(own["outside_pixel"] for own in counters.values()),
            "point_outside_country": sum(own["outside_country"] for own in counters.values()),
            "path_embed_mismatches": _foreign_rows(run),
            "interior_tiles": sum(own["interior"] for own in counters.values()),
            "border_tiles": sum(own["border"] for own in counters.values()),
            "by_country": {
                code: {name: own[name] for name in ("sites", "attempts", "lanes")}
                for code, own in sorted(counters.items())
            },
        }
        return Report(body, logs={TRACE: trace(run.identity, LABEL, parts)})


def _shapes(path: Path) -> dict[str, MultiPolygon]:
    found = path.stat()
    return _read_shapes(path, found.st_mtime_ns, found.st_size)


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


def _add_tables(
    run: Run, code: str, rows: Records, points: Points, tables: dict[str, list[pa.Table]]
) -> None:
    for at in range(0, len(rows), GROUP_ROWS):
        part = slice(at, at + GROUP_ROWS)
        count = len(rows[part])
        key = {
            "merchant_id": rows["merchant_id"][part].copy(),
            "legal_country_iso": constant(code, count),
            "site_order": rows["site_order"][part].copy(),
        }
        columns: dict[str, dict[str, Any]] = {
            "s6_site_jitter": {
                "tile_id": rows["tile_id"][part].copy(),
                "delta_lat_deg": points.d_lat[part],
                "delta_lon_deg": points.d_lon[part],
                "manifest_fingerprint": constant(run.identity.manifest_fingerprint, count),
            },
            EVENTS: {"blocks": points.blocks[part], "lane": points.lane[part]},
        }
        for dataset_id, own in columns.items():
            schema = run.contracts[dataset_id].words_schema
            tables[dataset_id].append(pa.table(key | own).cast(schema))


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
    return [sum(own["lanes"][lane] for own in counters.values()) for lane in range(3)]
