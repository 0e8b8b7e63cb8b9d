"""The cells of about 0.1 degree in which outlets are counted: people, area, expected outlets.

The law is docs/spec/realism.md#cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segment1b.contracts.states import TRADE_WEIGHTS
from segment1b.contracts.trades import EVERYTHING
from segment1b.geo.grid import Grid, read_grid
from segment1b.geo.layers import Layer, align
from segment1b.storage.reader import Reader
from segment1b.storage.sql import open_database, parquet_table, text_literal

_DEGREES = 0.1
Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Country:
    """The cells of a country.

    Attributes:
        cells: int64[c], ascending: row * columns + column of the grid of cells.
        area_km2: float64[c].
        people: float64[c], shares of the country's people, as S2 weighs tiles without a trade.
        expected: by trade float64[c], shares of the outlets of the trade.
    """

    cells: Int64s
    area_km2: Floats
    people: Floats
    expected: Mapping[str, Floats]

    def places(self, cells: Int64s) -> Int64s:
        """Return the position of each cell, int64[n]; -1 for a cell that is not the country's."""
        at = np.minimum(np.searchsorted(self.cells, cells), len(self.cells) - 1)
        return np.where(self.cells[at] == cells, at, -1)

    def top(self, share: float) -> Bools:
        """Return the cells with most people, `share` of all cells, rounded up; ties by cell."""
        count = int(np.ceil(share * len(self.cells)))
        chosen = np.zeros(len(self.cells), np.bool_)
        chosen[np.lexsort((self.cells, -self.people))[:count]] = True
        return chosen


def cell_grid(tiles: Grid) -> tuple[Grid, int]:
    """Return the grid of cells and how many tiles wide a cell is: whole tiles, near 0.1 degree."""
    side = max(1, round(_DEGREES / tiles.a))
    rows, cols = -(-tiles.nrows // side), -(-tiles.ncols // side)
    return Grid(tiles.x0, tiles.y0, tiles.a * side, tiles.b * side, rows, cols), side


def cells_at(grid: Grid, lon: Floats, lat: Floats) -> Int64s:
    """Return the cell of each point, int64[n]; on a border, the cell east or south; -1 outside."""
    row = np.floor((grid.y0 - lat) / grid.b)
    col = np.floor((lon - grid.x0) % 360.0 / grid.a)
    inside = (row >= 0) & (row < grid.nrows) & (col < grid.ncols)
    return np.where(inside, row * grid.ncols + col, -1).astype(np.int64)


def read_cells(
    reader: Reader, grid: Grid, side: int, codes: Sequence[str], trades: Sequence[str]
) -> dict[str, Country]:
    """Return the cells of countries; `trades` are those with weights of their own."""
    tables = {EVERYTHING: "tile_weights", **{one: f"{TRADE_WEIGHTS}/{one}" for one in trades}}
    names = {one: f"w{number}" for number, one in enumerate(tables)}
    with open_database() as database:
        for name, dataset in {
            "tiles": "tile_index",
            **{names[o]: tables[o] for o in tables},
        }.items():
            source = parquet_table(reader.partition(dataset).paths)
            database.execute(f"CREATE VIEW {name} AS SELECT * FROM {source}")  # noqa: S608
        sums = "".join(f", sum({name}.weight_fp)::DOUBLE AS {name}" for name in names.values())
        joins = "".join(f" JOIN {name} USING (country_iso, tile_id)" for name in names.values())
        wanted = ", ".join(map(text_literal, codes))
        # Areas in whole 1e-3 m2: a sum of floats would depend on its order.
        rows = database.execute(
            f"SELECT country_iso AS code, raster_row // {side} * {grid.ncols}::BIGINT "  # noqa: S608
            f"+ raster_col // {side} AS cell, "
            f"sum(round(pixel_area_m2 * 1000)::BIGINT)::DOUBLE / 1e9 AS area{sums} "
            f"FROM tiles{joins} WHERE country_iso IN ({wanted}) GROUP BY ALL ORDER BY code, cell"
        ).fetchnumpy()
    found = {}
    code = np.asarray(rows["code"], "U2")
    for one in np.unique(code).tolist():
        low, high = np.searchsorted(code, one), np.searchsorted(code, one, "right")
        shares = {
            trade: _shares(np.asarray(rows[name][low:high], np.float64))
            for trade, name in names.items()
        }
        cells = np.asarray(rows["cell"][low:high], np.int64)
        area = np.asarray(rows["area"][low:high], np.float64)
        found[one] = Country(cells, area, shares[EVERYTHING], shares)
    return found


def urban_cells(layer: Path, grid: Grid, cells: Int64s) -> Bools | None:
    """Return which cells hold an urban cell of the layer; None where it does not fit the grid."""
    if align(grid, read_grid(layer)) is None:
        return None
    rows, cols = np.divmod(cells.clip(0), grid.ncols)
    counts, _ = Layer(layer, grid).copied(rows.astype(np.uint32), cols.astype(np.uint32))
    return np.asarray((counts > 0) & (cells >= 0))


def _shares(values: Floats) -> Floats:
    return np.asarray(values / values.sum())
