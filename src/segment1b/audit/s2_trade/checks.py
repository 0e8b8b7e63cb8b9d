"""S2, weights of trades: layers, percents, masses and weights derived again in SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from segment1b.audit.case import (
    POLICY,
    RASTER,
    Case,
    Checks,
    Preparation,
    script_preparation,
    state_checks,
)
from segment1b.audit.grid import Grid, grid_of
from segment1b.audit.published_files import UnusableError
from segment1b.audit.results import Row, fields_differ
from segment1b.audit.s2.checks import make_cell_masses
from segment1b.contracts.states import ROADS, URBAN
from segment1b.errors import Segment1BError
from segment1b.storage.rasters import open_raster

CHECKS = Checks("s2_trade")
_ROWS_AT_ONCE = 256
_LAYERS = ("population", "area", "urban", "urban_people", "roads")
_SLACK = 1e-9
_LARGEST = 2**32 - 1
_MADE = "layer_shares"
#: The cells of each layer, as a table.
_CELLS = {URBAN: "urban_cells", ROADS: "road_cells"}


@CHECKS.add("report_layers", "E108_WRITER_HYGIENE", "s2_trade_run_report", POLICY)
def _report_layers(case: Case) -> Iterator[Row]:
    """The run report names the trade of its path, and whether there is a road layer."""
    roads = bool(case.published.document(POLICY)["surfaces"].get(ROADS))
    expected = {"trade": case.published.tokens["trade"], "road_layer": roads}
    return fields_differ(case.report("s2_trade_run_report"), expected)


def _make_trade(case: Case) -> None:
    """Make the one-row view mixture: the trade's percents, the boost, the cells of a tile."""
    trades = case.policy("trades")
    chosen = [one for one in trades["trades"] if one["id"] == case.published.tokens["trade"]]
    if len(chosen) != 1:
        raise ValueError("the policy has no such trade")
    tiles, layer = case.grid, grid_of(case.published, URBAN)
    assert tiles is not None
    side = _side(tiles, layer)[1] if tiles.a >= layer.a else 1
    row: dict[str, Any] = dict(zip(_LAYERS, chosen[0]["weights"], strict=True))
    case.session.define("mixture", [row | {"boost": trades["boost"], "cells": side**2}])


def _make_layer_cells(case: Case) -> None:
    """Make urban_cells and road_cells: place and value of the cells of a layer that hold any."""
    if _is_made(case):
        return
    assert case.grid is not None
    for name, table in _CELLS.items():
        none = np.empty(0, np.int64)
        case.session.table(table, {"cell_row": none, "cell_col": none, "value": none})
        try:
            placed = _alignment(case, name)
            case.session.define(f"{name}_grid", [placed])
            if case.published.document(POLICY)["surfaces"].get(name):
                _append_cells(case, name, placed)
        except (UnusableError, Segment1BError) as error:
            raise ValueError(str(error)) from None


def _append_cells(case: Case, name: str, placed: Mapping[str, Any]) -> None:
    """Append the cells of a layer; tiles of those with another value than a count are bad."""
    with open_raster(case.published.path(name)) as source:
        for top in range(0, source.height, _ROWS_AT_ONCE):
            rows = min(_ROWS_AT_ONCE, source.height - top)
            read = source.read(1, window=Window(0, top, source.width, rows))
            cells = read.astype(np.float64)
            if source.nodata is not None:
                gap = float(source.nodata)
                cells[np.isnan(cells) if np.isnan(gap) else cells == gap] = 0
            good = (cells >= 0) & (cells <= _LARGEST) & (cells == np.floor(cells))
            row, col = np.nonzero(good & (cells > 0))
            value = cells[row, col].astype(np.int64)
            columns = {"cell_row": row.astype(np.int64) + top, "cell_col": col.astype(np.int64)}
            case.session.append(_CELLS[name], {**columns, "value": value})
            row, col = np.nonzero(~good)
            tiles = _tiles_of(case, placed, row + top, col)
            bad = {"tile_id": tiles, "value": np.full(len(tiles), np.nan)}
            case.session.append("bad_cells", bad)


def _tiles_of(
    case: Case, placed: Mapping[str, Any], row: npt.NDArray[np.int64], col: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """Return the tiles that hold some cells of a layer, or lie in them."""
    assert case.grid is not None
    side, turn, nrows, ncols = placed["side"], placed["turn"], case.grid.nrows, case.grid.ncols
    if placed["holds"]:
        row = (row - placed["first_row"]) // side
        col = (col - placed["first_col"]) % turn // side
    else:
        step = np.arange(side)
        row = np.repeat(row, side**2) * side + np.tile(np.repeat(step, side), len(row))
        col = np.repeat(col, side**2) * side + np.tile(step, side * len(col))
        row, col = row - placed["first_row"], (col - placed["first_col"]) % turn
    there = (row >= 0) & (row < nrows) & (col < ncols)
    return (row[there] * ncols + col[there]).astype(np.uint64)


def _side(tiles: Grid, layer: Grid) -> tuple[bool, int]:
    """Return whether a tile holds cells (else a cell holds tiles), and how many along an edge."""
    holds = tiles.a >= layer.a
    return holds, round(tiles.a / layer.a if holds else layer.a / tiles.a)


def _alignment(case: Case, name: str) -> dict[str, Any]:
    """Return side, first row and column and turn of a layer, in cells or, if finer, in tiles.

    Raises:
        ValueError: the cells do not fit the tiles.
    """
    tiles = case.grid
    assert tiles is not None
    if not case.published.document(POLICY)["surfaces"].get(name):
        return {"holds": True, "side": 1, "first_row": 0, "first_col": 0, "turn": 1}
    layer = grid_of(case.published, name)
    holds, side = _side(tiles, layer)
    height, width = (layer.b, layer.a) if holds else (tiles.b, tiles.a)
    larger = (tiles.b, tiles.a) if holds else (layer.b, layer.a)
    first_row, first_col = (layer.y0 - tiles.y0) / height, (tiles.x0 - layer.x0) / width
    turn = layer.ncols * (1 if holds else side)
    misfits = (
        abs(larger[0] - side * height) * max(tiles.nrows, layer.nrows),
        abs(larger[1] - side * width) * max(tiles.ncols, layer.ncols),
        abs(first_row - round(first_row)) * height,
        abs(first_col - round(first_col)) * width,
    )
    if max(misfits) > 2 * _SLACK:
        raise ValueError(f"the cells of {name} do not fit the tiles")
    placed = {"first_row": round(first_row), "first_col": round(first_col)}
    return {"holds": holds, "side": side, **placed, "turn": turn}


def _is_made(case: Case) -> bool:
    """Return whether the shares of layers are there already: they are the same for each trade."""
    query = f"SELECT count(*) AS n FROM duckdb_tables() WHERE table_name = '{_MADE}'"  # noqa: S608
    return case.count(query) > 0


def _make_shares(case: Case) -> None:
    if not _is_made(case):
        case.session.execute(_SHARES.script.text if _SHARES.script else "")


_SHARES = script_preparation("s2_trade", _MADE)
PLAN = state_checks(
    CHECKS,
    Preparation("mixture", (POLICY, RASTER, URBAN), ("mixture",), _make_trade),
    Preparation(
        "tile_cell_masses",
        (RASTER,),
        ("cell_masses", "bad_cells"),
        lambda case: None if _is_made(case) else make_cell_masses(case),
    ),
    Preparation(
        "layer_cells",
        (POLICY, RASTER, URBAN, "bad_cells"),
        tuple(_CELLS.values()),
        _make_layer_cells,
    ),
    replace(_SHARES, run=_make_shares),
    script_preparation("s2_trade", "mixed"),
)
