"""What one pass over tile_index and tile_bounds, side by side, settles of S1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b.audit.case import COUNTRIES, ISO, POLICY, RASTER, Case
from segment1b.audit.passes import (
    Arrays,
    Doubts,
    Stretch,
    Tally,
    codes_of,
    cut_as_declared,
    each_file,
    fit,
    in_step,
    stretch,
    whole_countries,
)
from segment1b.audit.results import fields_differ
from segment1b.audit.s1.axes import grid_columns, grid_rows

_INDEX, _BOUNDS, _REPORT = "tile_index", "tile_bounds", "s1_run_report"
#: The name under which is kept what the passes over all files have seen.
TALLIES = "tallies of s1"
_NEEDS = {_INDEX, _BOUNDS, _REPORT, COUNTRIES, ISO, POLICY, RASTER}
_RULES = {"center", "any_overlap"}
#: A pass comes to its end only where tiles ascend and both tables have the same.
_CHECKS = {
    *(f"{table}_{rule}" for table in (_INDEX, _BOUNDS) for rule in ("sorted", "unique")),
    *(f"{what}_{table}" for table in (_INDEX, _BOUNDS) for what in ("values", "file_cut")),
    *("bounds_have_the_same_tiles", "tile_id_from_grid", "centroids", "areas"),
    *("bounds_from_grid", "one_rule_a_country", "country_codes", "report_by_country"),
    *("report_totals", "report_lists"),
}


def settle(case: Case) -> set[str]:
    """Return the names of the checks against which a pass sees that nothing offends."""
    if not case.usable >= _NEEDS:
        return set()
    return _CHECKS - _doubts(case)


def tallies(case: Case, number: int = 0, of: int = 1) -> list[Tally]:
    """Return what a pass sees of each file, or of the files of one part."""
    return each_file(case, _Look(case).tally, _INDEX, _BOUNDS, number=number, of=of)


def _doubts(case: Case) -> set[str]:
    found: list[Tally] = case.seen(TALLIES, tallies)
    whole = whole_countries(found)
    rules: dict[str, set[str]] = {}
    for code, rule in (pair for tally in found for pair in tally.figures):
        rules.setdefault(code, set()).add(rule)
    doubts = Doubts(name for tally in found for name in tally.doubts)
    one_each = {code: rule for code, (rule, *more) in rules.items() if not more}
    if len(one_each) < len(rules):
        doubts.update(("one_rule_a_country", "report_lists"))
    doubts.unless(cut_as_declared(found), *(f"file_cut_{table}" for table in (_INDEX, _BOUNDS)))
    return doubts.union(_reports(case, whole, one_each))


class _Look:
    """Row groups of both tables against the grid."""

    def __init__(self, case: Case) -> None:
        assert case.grid is not None
        self.grid, contracts = case.grid, case.published.contracts
        self.index, self.bounds = contracts[_INDEX], contracts[_BOUNDS]
        self.rows, self.columns = grid_rows(case.grid), grid_columns(case.grid)

    def tally(self, paths: Sequence[Path]) -> Tally:
        """Return what a file of each table holds."""
        doubts, stretches, rules = Doubts(), list[Stretch](), set[tuple[str, str]]()
        for index, bounds in in_step((self.index, self.bounds), paths):
            stretches.append(stretch(index))
            rule = index.words["inclusion_rule"]
            rules.add((index.words["country_iso"], rule))
            doubts.unless(rule in _RULES, "one_rule_a_country")
            doubts.unless(fit(self.index, index), "values_tile_index")
            doubts.unless(fit(self.bounds, bounds), "values_tile_bounds")
            doubts |= self._places(index.values, bounds.values)
        return Tally(stretches, doubts, sorted(rules))

    def _places(self, index: Arrays, bounds: Arrays) -> Doubts:
        doubts, grid, tiles = Doubts(), self.grid, index["tile_id"]
        row, col = index["raster_row"], index["raster_col"]
        inside = row.max() < grid.nrows and col.max() < grid.ncols
        if not (inside and np.array_equal(row * np.uint64(grid.ncols) + col, tiles)):
            return Doubts(("tile_id_from_grid", "centroids", "areas", "bounds_from_grid"))
        areas = index["pixel_area_m2"]
        doubts.unless((areas > 0).all() and _same(areas, self.rows["area_m2"], row), "areas")
        doubts.unless(
            _same(index["centroid_lon"], self.columns["middle_lon"], col)
            and _same(index["centroid_lat"], self.rows["middle_lat"], row),
            "centroids",
        )
        doubts.unless(
            (bounds["min_lat_deg"] < bounds["max_lat_deg"]).all()
            and _same(bounds["min_lon_deg"], self.columns["west"], col)
            and _same(bounds["max_lon_deg"], self.columns["east"], col)
            and _same(bounds["centroid_lon_deg"], self.columns["middle_lon"], col)
            and _same(bounds["min_lat_deg"], self.rows["south"], row)
            and _same(bounds["max_lat_deg"], self.rows["north"], row)
            and _same(bounds["centroid_lat_deg"], self.rows["middle_lat"], row),
            "bounds_from_grid",
        )
        return doubts


def _same(
    found: npt.NDArray[np.float64], axis: npt.NDArray[np.float64], at: npt.NDArray[np.uint32]
) -> bool:
    """Return whether numbers are those of an axis at some places, bit for bit."""
    return np.array_equal(found.view(np.int64), axis.view(np.int64)[at])


def _reports(case: Case, whole: Sequence[Stretch], rules: dict[str, str]) -> Doubts:
    report, grid, policy = case.report(_REPORT), case.grid, case.policy("prep")
    assert grid is not None
    doubts, listed = Doubts(), {one.code for one in whole}
    known, polygons = codes_of(case, ISO), codes_of(case, COUNTRIES)
    doubts.unless(listed | polygons <= known, "country_codes")
    by_country = report["by_country"]
    doubts.unless(
        by_country.keys() == listed and not any(_differs(by_country[s.code], s) for s in whole),
        "report_by_country",
    )
    totals = {
        "rows_emitted": sum(one.rows for one in whole),
        "countries_total": len(listed),
        "predicate": policy["inclusion_rule"],
        "grid_dims": {"nrows": grid.nrows, "ncols": grid.ncols},
    }
    doubts.unless(not any(fields_differ(report, totals)), "report_totals")
    lists = {
        "widened_countries": {c for c, rule in rules.items() if rule != policy["inclusion_rule"]},
        "countries_without_polygon": known - polygons,
        "countries_without_tiles": polygons - listed,
    }
    doubts.unless(all(sorted(codes) == report[n] for n, codes in lists.items()), "report_lists")
    return doubts


def _differs(reported: dict[str, Any], tiles: Stretch) -> bool:
    """Return whether a country is reported otherwise than with its tiles."""
    left_out = reported["cells_excluded_outside"] + reported["cells_excluded_hole"]
    counted = {
        "cells_included": tiles.rows,
        "tile_id_min": tiles.first,
        "tile_id_max": tiles.last,
        "cells_visited": tiles.rows + left_out,
    }
    return any(fields_differ(reported, counted))
