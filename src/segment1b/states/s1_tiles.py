"""S1, tiles: lists for each ISO country the raster cells that belong to it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from shapely import MultiPolygon

from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.geo.coverage import bounding_cells, hole_cells
from segment1b.geo.grid import Grid, read_grid
from segment1b.geo.overlap import overlap_runs
from segment1b.geo.scanline import Runs, center_runs
from segment1b.states.protocol import Report, Run, ShardResult, State, check_conserved
from segment1b.storage.durable import make_folder, read_json, replace_json
from segment1b.storage.ingress import iso_codes
from segment1b.storage.parts import TileFile, constant, cut_tiles, groups, write_part
from segment1b.storage.reader import Reader
from segment1b.storage.records import read_records, write_records

_PLAN = "s1_plan.json"
_RUN = np.dtype([("row", np.int64), ("start", np.int64), ("stop", np.int64)])
SURFACES = ("iso3166_canonical_2024", "world_countries", "population_raster_2025")


@dataclass(frozen=True)
class TileShard:
    """One file of both datasets: its stretches of countries, their rules and runs, and the grid."""

    file: TileFile
    rules: tuple[str, ...]
    runs: tuple[int, ...]
    grid: Grid


class S1Tiles(State):
    """Tiles are runs until a batch is written; see docs/spec/s1-tiles.md#inclusion-rules."""

    id = "s1"

    def shards(self, run: Run, reader: Reader) -> Sequence[TileShard]:
        """Find every country's runs, stage them, and cut the files from their counts."""
        codes = iso_codes(reader)
        grid = read_grid(reader.file("population_raster_2025"))
        _check_grid(run, grid)
        countries = read_countries(reader.whole_file("world_countries"), set(codes))
        chosen, counters, staged = {}, {}, {}
        for code, shape in countries.items():
            rule, runs = choose_runs(run, code, shape, grid)
            if runs.count:
                chosen[code] = rule
                counters[code] = _country_counters(shape, grid, runs)
                staged[code] = _stage_runs(run, code, runs)
        plan = {
            "grid_dims": {"nrows": grid.nrows, "ncols": grid.ncols},
            "rules": chosen,
            "by_country": counters,
            "countries_without_polygon": sorted(set(codes) - set(countries)),
            "countries_without_tiles": sorted(set(countries) - set(chosen)),
        }
        replace_json(run.staging / _PLAN, plan, run.staging)
        files = cut_tiles({code: c["cells_included"] for code, c in counters.items()})
        return [
            TileShard(
                file,
                tuple(chosen[code] for code, _, _ in file.stretches),
                tuple(staged[code] for code, _, _ in file.stretches),
                grid,
            )
            for file in files
        ]

    def work(self, run: Run, shard: TileShard) -> ShardResult:
        """Turn the runs of one file into rows of tile_index and tile_bounds."""
        index, bounds = [], []
        stretches = zip(shard.file.stretches, shard.rules, shard.runs, strict=True)
        for (code, start, stop), rule, count in stretches:
            runs = _staged_runs(run, code, count)
            for low, high in groups(start, stop):
                rows, cols = runs.expand(low, high)
                index.append(index_table(shard.grid, code, rule, rows, cols))
                bounds.append(bounds_table(shard.grid, code, rows, cols))
        staged = {
            dataset_id: write_part(
                run.staged(dataset_id, shard.file.number), run.contracts[dataset_id], tables
            )
            for dataset_id, tables in (("tile_index", index), ("tile_bounds", bounds))
        }
        return ShardResult(shard.file.rows, staged=staged)

    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Return the counters of the plan."""
        plan = read_json(run.staging / _PLAN)
        rule = run.policy.prep.inclusion_rule
        rows = sum(result.rows for result in results)
        cells = sum(country["cells_included"] for country in plan["by_country"].values())
        check_conserved("cells of the plan", rows, cells)
        return Report(
            {
                "parameter_hash": run.identity.parameter_hash,
                "predicate": rule,
                "ingress_versions": {d: run.contracts[d].version_tag for d in SURFACES},
                "grid_dims": plan["grid_dims"],
                "countries_total": len(plan["by_country"]),
                "rows_emitted": rows,
                "widened_countries": [
                    c for c, chosen in sorted(plan["rules"].items()) if chosen != rule
                ],
                "countries_without_polygon": plan["countries_without_polygon"],
                "countries_without_tiles": plan["countries_without_tiles"],
                "by_country": plan["by_country"],
            }
        )


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
    overlap = overlap_runs(shape, grid)
    if not center.count or center.count < policy.widen_below * overlap.count:
        return "any_overlap", overlap
    return "center", center


def index_table(
    grid: Grid, code: str, rule: str, rows: npt.NDArray[np.uint32], cols: npt.NDArray[np.uint32]
) -> pa.Table:
    """Return rows of tile_index for cells of one country."""
    axes = _axes(grid)
    return pa.table(
        {
            "country_iso": constant(code, len(rows)),
            "tile_id": grid.tile_id(rows, cols),
            "raster_row": rows,
            "raster_col": cols,
            "centroid_lon": axes.centre_lon[cols],
            "centroid_lat": axes.centre_lat[rows],
            "pixel_area_m2": axes.area_m2[rows],
            "inclusion_rule": constant(rule, len(rows)),
        }
    )


def bounds_table(
    grid: Grid, code: str, rows: npt.NDArray[np.uint32], cols: npt.NDArray[np.uint32]
) -> pa.Table:
    """Return rows of tile_bounds for cells of one country."""
    axes = _axes(grid)
    return pa.table(
        {
            "country_iso": constant(code, len(rows)),
            "tile_id": grid.tile_id(rows, cols),
            "min_lat_deg": axes.south[rows],
            "max_lat_deg": axes.north[rows],
            "min_lon_deg": axes.west[cols],
            "max_lon_deg": axes.east[cols],
            "centroid_lat_deg": axes.centre_lat[rows],
            "centroid_lon_deg": axes.centre_lon[cols],
        }
    )


class _Axes(NamedTuple):
    """Values that depend on the raster row or column alone, float64[nrows] or [ncols]."""

    centre_lat: npt.NDArray[np.float64]
    north: npt.NDArray[np.float64]
    south: npt.NDArray[np.float64]
    area_m2: npt.NDArray[np.float64]
    centre_lon: npt.NDArray[np.float64]
    west: npt.NDArray[np.float64]
    east: npt.NDArray[np.float64]


@functools.lru_cache(maxsize=2)
def _axes(grid: Grid) -> _Axes:
    rows, cols = np.arange(grid.nrows), np.arange(grid.ncols)
    areas = grid.area_m2(rows)
    if not (areas > 0).all():
        row = int(np.flatnonzero(~(areas > 0))[0])
        problem = f"the cells of raster row {row} have no area"
        raise Segment1BError("E006_AREA_NONPOS", problem, raster_row=row)
    return _Axes(
        grid.centre_lat(rows),
        grid.north(rows),
        grid.south(rows),
        areas,
        grid.centre_lon(cols),
        grid.west(cols),
        grid.east(cols),
    )


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
    records = np.empty(len(runs.row), _RUN)
    for name in _RUN.names or ():
        records[name] = getattr(runs, name)
    folder = run.staging / "runs"
    make_folder(folder)
    write_records(folder / code, records)
    return len(records)


def _staged_runs(run: Run, code: str, count: int) -> Runs:
    records = read_records(run.staging / "runs" / code, _RUN, count)
    return Runs(records["row"].copy(), records["start"].copy(), records["stop"].copy())
