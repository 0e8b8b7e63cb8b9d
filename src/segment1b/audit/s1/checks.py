"""S1: the tile index against grid, ellipsoid and polygons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from segment1b.audit.case import (
    COUNTRIES,
    ISO,
    POLICY,
    RASTER,
    Case,
    Checks,
    Preparation,
    state_checks,
)
from segment1b.audit.grid import Grid
from segment1b.audit.results import SHOWN_ROWS, Found, Row, differences
from segment1b.audit.s1.axes import grid_columns, grid_rows
from segment1b.audit.s1.cells import cells_of, windows_of
from segment1b.audit.s1.polygons import Country, crs_fault, read_countries
from segment1b.audit.s1.settled import settle
from segment1b.audit.tiles import rows_of

CHECKS = Checks("s1")
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass
class _Tally:
    """Cells that one rule includes, and where the listed ones differ: a count, the first rows."""

    cells: int = 0
    wrong: int = 0
    rows: list[Row] = field(default_factory=list)


def countries(case: Case) -> list[Country]:
    """Return the polygons, read once; each check has its own copies of no other thread."""
    if "countries" not in case.memo:
        case.memo["countries"] = list(read_countries(case.published.path(COUNTRIES)))
    found: list[Country] = case.memo["countries"]
    return found


@CHECKS.add("crs", "E007_CRS_MISMATCH", COUNTRIES)
def _crs(case: Case) -> Iterator[Row]:
    """Polygons are in longitude and latitude."""
    path = case.published.path(COUNTRIES)
    if fault := crs_fault(path):
        yield {"path": str(path), "reason": fault}


@CHECKS.add("polygons", "E001_GEO_INVALID", COUNTRIES, scope="C")
def _polygons(case: Case) -> Iterator[Row]:
    """Every polygon is valid and has an area, once unwrapped at the antimeridian."""
    for country in countries(case):
        if country.fault:
            yield {"country_iso": country.code, "reason": country.fault}


@CHECKS.add("membership", "E008_INCLUSION_RULE", "tile_index", COUNTRIES, RASTER, POLICY, scope="C")
def _membership(case: Case) -> Found:
    """Exactly the cells that each country's rule includes are listed, and it is the rule that the
    policy asks for.
    """
    assert case.grid is not None
    policy, total = case.policy("prep"), 0
    shown: list[Row] = []
    known = {country.code: country for country in countries(case)}
    for code in sorted(_codes(case) | set(known), key=str):
        ids, claimed_rule = _listed(case, code)
        if code not in known:
            wrong = _Tally(wrong=1, rows=[{"tiles": len(ids), "reason": "has no polygon"}])
        elif not known[code].fault:
            wrong = _judge_country(known[code], case.grid, policy, ids, claimed_rule)
        else:
            continue
        total += wrong.wrong
        shown += [{"country_iso": code, **row} for row in wrong.rows[: SHOWN_ROWS - len(shown)]]
    return Found(shown, count=total)


def _codes(case: Case) -> set[str | None]:
    """Return the countries of tile_index."""
    rows = case.session.rows("SELECT DISTINCT country_iso FROM tile_index")
    return {row["country_iso"] for row in rows}


def _listed(case: Case, code: str | None) -> tuple[Ints, str]:
    """Return the tiles that a country has, ascending, and the rule that it claims."""
    parts, overlap = [np.empty(0, np.int64)], False
    columns = ["tile_id", "inclusion_rule"]
    for table in () if code is None else rows_of(case, "tile_index", code, columns):
        parts.append(table.column("tile_id").to_numpy().astype(np.int64))
        overlap = overlap or bool(pc.any(pc.equal(table.column("inclusion_rule"), "any_overlap")))
    ids = np.concatenate(parts)
    if not (ids[1:] >= ids[:-1]).all():
        ids.sort()
    return ids, "any_overlap" if overlap else "center"


def _judge_country(
    country: Country, grid: Grid, policy: dict[str, Any], ids: Ints, claimed_rule: str
) -> _Tally:
    tallies = _tallies(country, grid, ids, by_overlap=claimed_rule == "any_overlap")
    center, overlap = tallies["center"].cells, tallies["any_overlap"].cells
    expected = expected_rule(policy, center, overlap)
    if expected is None:
        row = {"tiles": len(ids), "reason": "is to be left out: no centre inside"}
        return _Tally(wrong=len(ids), rows=[row] if len(ids) else [])
    tally = tallies[expected]
    if len(ids) and expected != claimed_rule:
        counted = {"center_cells": center, "overlap_cells": overlap}
        tally.wrong += 1
        tally.rows.insert(0, {"found": claimed_rule, "expected": expected, **counted})
    return tally


def expected_rule(policy: dict[str, Any], center: int, overlap: int) -> str | None:
    """Return the rule by which a country with so many cells is listed, or None when it is not."""
    if policy["inclusion_rule"] == "any_overlap":
        return "any_overlap"
    if center == 0:
        return "any_overlap" if policy["on_empty_country"] == "any_overlap" else None
    return "any_overlap" if center < policy["widen_below"] * overlap else "center"


def _tallies(country: Country, grid: Grid, ids: Ints, *, by_overlap: bool) -> dict[str, _Tally]:
    tallies = {"center": _Tally(), "any_overlap": _Tally()}
    far = np.ones(len(ids), np.bool_)
    for window in windows_of(country, grid):
        low, high = np.searchsorted(ids, [window.first * grid.ncols, window.last * grid.ncols])
        rows, cols = np.divmod(ids[low:high], grid.ncols)
        here = window.holds(rows, cols)
        far[low:high] = ~here
        claimed = np.zeros(window.shape, np.bool_)
        claimed[rows[here] - window.first, cols[here] - window.left] = True
        cells = cells_of(country, window, claimed, by_overlap=by_overlap)
        for rule, included in (("center", cells.center), ("any_overlap", cells.overlap)):
            tally, (row, col) = tallies[rule], np.nonzero(included != claimed)
            tiles = (row + window.first) * grid.ncols + col + window.left
            tally.cells += int(np.count_nonzero(included))
            tally.wrong += len(tiles)
            tally.rows += _rows(grid, tiles, included[row, col], rule=rule)
    for tally in tallies.values():
        # What lies outside every window cannot belong to the country.
        tally.wrong += int(np.count_nonzero(far))
        tally.rows += _rows(grid, ids[far], ~far[far], reason="far from the country")
    return tallies


def _rows(grid: Grid, tiles: Ints, included: Bools, **more: str) -> Iterator[Row]:
    """Yield the first tiles that are wrongly listed or not."""
    for tile, inside in zip(tiles[:SHOWN_ROWS].tolist(), included.tolist(), strict=False):
        row, col = divmod(tile, grid.ncols)
        yield {
            "tile_id": tile,
            "raster_row": row,
            "raster_col": col,
            "centre_lon": grid.x0 + grid.a * (col + 0.5),
            "centre_lat": grid.y0 - grid.b * (row + 0.5),
            "found": "out" if inside else "in",
            "expected": "in" if inside else "out",
            **more,
        }


def _make_axes(case: Case) -> None:
    assert case.grid is not None
    for name, number, axis in (
        ("grid_rows", "raster_row", grid_rows(case.grid)),
        ("grid_columns", "raster_col", grid_columns(case.grid)),
    ):
        size = len(next(iter(axis.values())))
        case.session.table(name, {number: np.arange(size, dtype=np.uint32), **axis})


@CHECKS.add("versions", "E108_WRITER_HYGIENE", "s1_run_report")
def _versions(case: Case) -> Iterator[Row]:
    """The run report names the versions of its inputs."""
    names = (ISO, COUNTRIES, RASTER)
    expected = {name: case.published.dataset(name).version_tag for name in names}
    return differences(case.report("s1_run_report")["ingress_versions"], expected)


PLAN = state_checks(
    CHECKS,
    Preparation("grid_axes", (RASTER,), ("grid_rows", "grid_columns"), _make_axes),
    settle=settle,
)
