"""S2, weights of trades: layers, percents, masses and weights derived again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b.audit.case import (
    POLICY,
    RASTER,
    Case,
    Checks,
    Preparation,
    script_preparation,
    state_checks,
)
from segment1b.audit.grid import grid_of
from segment1b.audit.published_files import UnusableError
from segment1b.audit.results import Row, fields_differ
from segment1b.audit.s2.checks import make_cell_masses
from segment1b.audit.s2_trade.layer_cells import (
    LAYERS,
    Placed,
    alignment,
    cells_of,
    has_layer,
    is_count,
    side_of,
)
from segment1b.audit.s2_trade.settled import settle
from segment1b.contracts.states import ROADS, URBAN
from segment1b.errors import Segment1BError
from segment1b.storage.rasters import open_raster

CHECKS = Checks("s2_trade")
_ROWS_AT_ONCE = 256
_MADE = "layer_shares"
#: The cells of each layer, as a table.
_CELLS = {URBAN: "urban_cells", ROADS: "road_cells"}


@CHECKS.add("report_layers", "E108_WRITER_HYGIENE", "s2_trade_run_report", POLICY)
def _report_layers(case: Case) -> Iterator[Row]:
    """The run report names the trade of its path, and whether there is a road layer."""
    roads = has_layer(case, ROADS)
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
    holds, side = side_of(tiles, layer)
    row: dict[str, Any] = dict(zip(LAYERS, chosen[0]["weights"], strict=True))
    case.session.define(
        "mixture", [row | {"boost": trades["boost"], "cells": side**2 if holds else 1}]
    )


def _make_layer_cells(case: Case) -> None:
    """Make urban_cells and road_cells: place and value of the cells of a layer that hold any."""
    if _is_made(case):
        return
    assert case.grid is not None
    for name, table in _CELLS.items():
        none = np.empty(0, np.int64)
        case.session.table(table, {"cell_row": none, "cell_col": none, "value": none})
        try:
            placed = alignment(case, name)
            case.session.define(f"{name}_grid", [placed._asdict()])
            if has_layer(case, name):
                _append_cells(case, name, placed)
        except (UnusableError, Segment1BError) as error:
            raise ValueError(str(error)) from None


def _append_cells(case: Case, name: str, placed: Placed) -> None:
    """Append the cells of a layer; tiles of those with another value than a count are bad."""
    with open_raster(case.published.path(name)) as source:
        for top in range(0, source.height, _ROWS_AT_ONCE):
            rows = min(_ROWS_AT_ONCE, source.height - top)
            cells = cells_of(source, top, rows)
            good = is_count(cells)
            row, col = np.nonzero(good & (cells > 0))
            value = cells[row, col].astype(np.int64)
            columns = {"cell_row": row.astype(np.int64) + top, "cell_col": col.astype(np.int64)}
            case.session.append(_CELLS[name], {**columns, "value": value})
            row, col = np.nonzero(~good)
            tiles = _tiles_of(case, placed, row + top, col)
            bad = {"tile_id": tiles, "value": np.full(len(tiles), np.nan)}
            case.session.append("bad_cells", bad)


def _tiles_of(
    case: Case, placed: Placed, row: npt.NDArray[np.int64], col: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """Return the tiles that hold some cells of a layer, or lie in them."""
    assert case.grid is not None
    side, turn, nrows, ncols = placed.side, placed.turn, case.grid.nrows, case.grid.ncols
    if placed.holds:
        row = (row - placed.first_row) // side
        col = (col - placed.first_col) % turn // side
    else:
        step = np.arange(side)
        row = np.repeat(row, side**2) * side + np.tile(np.repeat(step, side), len(row))
        col = np.repeat(col, side**2) * side + np.tile(step, side * len(col))
        row, col = row - placed.first_row, (col - placed.first_col) % turn
    there = (row >= 0) & (row < nrows) & (col < ncols)
    return (row[there] * ncols + col[there]).astype(np.uint64)


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
    settle=settle,
)
