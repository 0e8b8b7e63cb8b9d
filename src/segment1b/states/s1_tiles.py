"""S1, tiles: lists for each ISO country the raster cells that belong to it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from shapely import MultiPolygon

from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.geo.grid import Grid, read_grid
from segment1b.geo.scanline import Runs, bounding_cells, center_runs, hole_cells, overlap_runs
from segment1b.states.protocol import (
    OnWorkers,
    Report,
    Run,
    ShardResult,
    State,
    check_conserved,
    total,
)
from segment1b.storage.durable import make_folder, read_json, replace_json
from segment1b.storage.ingress import iso_codes
from segment1b.storage.parts import TileFile, cut_tiles, groups
from segment1b.storage.proofs import write_proven
from segment1b.storage.reader import Reader
from segment1b.storage.records import read_records, write_records

_PLAN = "s1_plan.json"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TileShard:
    """One file of both datasets: its stretches of countries, their rules and runs, and the grid."""

    file: TileFile
    rules: tuple[str, ...]
    runs: tuple[int, ...]
    grid: Grid


class Listed(NamedTuple):
    """A country's rule, the number of its runs, which are staged, and its counters."""

    rule: str
    runs: int
    counters: dict[str, Any]


class S1Tiles(State):
    """Tiles are runs until a batch is written; see docs/spec/s1-tiles.md#inclusion-rules."""

    id = "s1"

    def shards(self, run: Run, reader: Reader, on_workers: OnWorkers) -> Sequence[TileShard]:
        """Have every country's runs found and staged, and cut the files from their counts."""
        codes = iso_codes(reader)
        grid = read_grid(reader.file("population_raster_2025"))
        _check_grid(run, grid)
        countries = read_countries(reader.whole_file("world_countries"), set(codes))
        found = on_workers(_find_runs, [(*country, grid) for country in countries.items()])
        listed = {code: own for code, own in zip(countries, found, strict=True) if own}
        plan = {
            "grid_dims": {"nrows": grid.nrows, "ncols": grid.ncols},
            "rules": {code: own.rule for code, own in listed.items()},
            "by_country": {code: own.counters for code, own in listed.items()},
            "countries_without_polygon": sorted(set(codes) - set(countries)),
            "countries_without_tiles": sorted(set(countries) - set(listed)),
        }
        replace_json(run.staging / _PLAN, plan, run.staging)
        files = cut_tiles({code: own.counters["cells_included"] for code, own in listed.items()})
        return [
            TileShard(
                file,
                tuple(listed[code].rule for code, _, _ in file.stretches),
                tuple(listed[code].runs for code, _, _ in file.stretches),
                grid,
            )
            for file in files
        ]

    def work(self, run: Run, _reader: Reader, shard: TileShard) -> ShardResult:
        """Turn the runs of one file into rows of tile_index and tile_bounds."""
        tiles = []
        stretches = zip(shard.file.stretches, shard.rules, shard.runs, strict=True)
        for (code, start, stop), rule, count in stretches:
            runs = _staged_runs(run, code, count)
            for low, high in groups(start, stop):
                tiles.append(tile_columns(shard.grid, code, rule, *runs.expand(low, high)))
        proofs = {}
        for dataset_id in self.writes:
            tables = itertools.chain.from_iterable(
                map(functools.partial(run.tables, dataset_id), tiles)
            )
            path = run.staged(dataset_id, shard.file.number)
            proofs[dataset_id] = [write_proven(path, run.contracts[dataset_id], tables)]
        return ShardResult.of_parts(proofs)

    def report(self, run: Run, _reader: Reader, rows: int, _counters: Sequence[Any]) -> Report:
        """Return the counters of the plan."""
        plan = read_json(run.staging / _PLAN)
        rules, rule = plan.pop("rules"), run.policy.prep.inclusion_rule
        countries = plan["by_country"]
        check_conserved("cells of the plan", rows, total(countries, "cells_included"))
        return Report(
            {
                **plan,
                "parameter_hash": run.identity.parameter_hash,
                "predicate": rule,
                "ingress_versions": {d: run.contracts[d].version_tag for d in self.reads[:3]},
                "countries_total": len(countries),
                "rows_emitted": rows,
                "widened_countries": sorted(c for c, chosen in rules.items() if chosen != rule),
            }
        )


def _find_runs(run: Run, _reader: Reader, country: tuple[str, MultiPolygon, Grid]) -> Listed | None:
    """Stage the runs of a country; return what is listed, or None where it has no tiles."""
    code, shape, grid = country
    rule, runs = choose_runs(run, code, shape, grid)
    if not runs.count:
        return None
    counters = _country_counters(shape, grid, runs)
    return Listed(rule, _stage_runs(run, code, runs), counters)


def choose_runs(run: Run, code: str, shape: MultiPolygon, grid: Grid) -> tuple[str, Runs]:
    """Return a country's rule and runs, widened to any_overlap where the policy says so."""
    policy = run.policy.prep
    if policy.inclusion_rule == "any_overlap":
        return "any_overlap", overlap_runs(shape, grid)
    center = center_runs(shape, grid)
    if not center.count and policy.on_empty_country != "any_overlap":
        if policy.on_empty_country == "abort":
            what = f"{code}: no cell has its centre in the country"
            hint = "set prep.on_empty_country to any_overlap or omit"
            raise Segment1BError("E103_ZERO_COUNTRY", what, hint, country_iso=code)
        return "center", center
    if center.count and not policy.widen_below:
        return "center", center
    overlap = overlap_runs(shape, grid, center)
    if not center.count or center.count < policy.widen_below * overlap.count:
        return "any_overlap", overlap
    return "center", center


def tile_columns(
    grid: Grid, code: str, rule: str, rows: npt.NDArray[np.uint32], cols: npt.NDArray[np.uint32]
) -> dict[str, Any]:
    """Return the columns of tile_index and of tile_bounds for cells of one country."""
    by_row, by_col = _axes(grid)
    return {
        "country_iso": code,
        "tile_id": grid.tile_id(rows, cols),
        "raster_row": rows,
        "raster_col": cols,
        "inclusion_rule": rule,
        **{name: values[rows] for name, values in by_row.items()},
        **{name: values[cols] for name, values in by_col.items()},
    }


@functools.lru_cache(maxsize=2)
def _axes(grid: Grid) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return the columns that depend on the raster row and on the raster column alone."""
    rows, cols = np.arange(grid.nrows), np.arange(grid.ncols)
    areas, lat, lon = grid.area_m2(rows), grid.centre_lat(rows), grid.centre_lon(cols)
    if not (areas > 0).all():
        row = int(np.flatnonzero(~(areas > 0))[0])
        problem = f"the cells of raster row {row} have no area"
        raise Segment1BError("E006_AREA_NONPOS", problem, raster_row=row)
    by_row = {
        "centroid_lat": lat,
        "centroid_lat_deg": lat,
        "min_lat_deg": grid.south(rows),
        "max_lat_deg": grid.north(rows),
        "pixel_area_m2": areas,
    }
    by_col = {
        "centroid_lon": lon,
        "centroid_lon_deg": lon,
        "min_lon_deg": grid.west(cols),
        "max_lon_deg": grid.east(cols),
    }
    return by_row, by_col


def _check_grid(run: Run, grid: Grid) -> None:
    size = run.policy.prep.grid
    if size is not None and abs(grid.a - size) > 1e-9 * size:
        what = f"the policy wants a grid of {size} degree, the raster in {run.root} has {grid.a}"
        hint = "use another --data-root for another grid"
        raise Segment1BError("E002_RASTER_MISMATCH", what, hint)


def _country_counters(shape: MultiPolygon, grid: Grid, runs: Runs) -> dict[str, Any]:
    visited, holes = bounding_cells(shape, grid), hole_cells(shape, grid, runs)
    ends = grid.tile_id(runs.row[[0, -1]], np.array([runs.start[0], runs.stop[-1] - 1]))
    return {
        "cells_visited": visited,
        "cells_included": runs.count,
        "cells_excluded_outside": visited - runs.count - holes,
        "cells_excluded_hole": holes,
        "tile_id_min": int(ends[0]),
        "tile_id_max": int(ends[1]),
    }


def _stage_runs(run: Run, code: str, runs: Runs) -> int:
    """Stage the runs of a country; return how many there are."""
    folder = run.staging / "runs"
    make_folder(folder)
    write_records(folder / code, np.concatenate([runs.row, runs.start, runs.stop]))
    return len(runs.row)


def _staged_runs(run: Run, code: str, count: int) -> Runs:
    records = read_records(run.staging / "runs" / code, np.dtype(np.int64), 3 * count)
    return Runs(*records.reshape(3, count))
