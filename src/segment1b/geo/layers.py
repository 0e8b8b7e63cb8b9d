"""Layers beside the population: urban cells and metres of road, counted for each tile.

Source: docs/spec/trades.md#layers
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segment1b.errors import Segment1BError, file_error
from segment1b.geo.grid import Grid, read_grid
from segment1b.geo.population import CellRaster, Cells

# Degrees by which edges of cells may miss each other.
_SLACK = 1e-9
#: Of one layer's cell: more is no count of urban cells, and no length of road in metres.
_LARGEST_VALUE = 2**32 - 1
_HINT = "give a layer on the tiles' grid: segment1b reference import layer"


Int64s = npt.NDArray[np.int64]


class Alignment(NamedTuple):
    """How the tiles of a grid lie on the cells of a layer.

    Attributes:
        coarser: a tile holds side*side cells; else a cell holds side*side tiles.
        side: at least 1.
        row, col: of the first tile, counted from the layer's first cell in the smaller of both.
        turn: columns of the smaller of both around the globe; 0 where the layer does not close.
    """

    coarser: bool
    side: int
    row: int
    col: int
    turn: int

    @property
    def cells(self) -> int:
        """Return the number of the layer's cells in a tile, 1 for a finer grid."""
        return self.side**2 if self.coarser else 1


def align(tiles: Grid, layer: Grid) -> Alignment | None:
    """Return how tiles lie on a layer's cells, or None: each must hold whole ones of the other."""
    coarser = tiles.a > layer.a * 0.75
    large, small = (tiles, layer) if coarser else (layer, tiles)
    side = round(large.a / small.a)
    row, col = round((layer.y0 - tiles.y0) / small.b), round((tiles.x0 - layer.x0) / small.a)
    # Smaller steps in a tile and in a cell.
    steps, per_cell = (side, 1) if coarser else (1, side)
    edges = (
        (tiles.y0, layer.y0 - small.b * row),
        (tiles.x0, layer.x0 + small.a * col),
        (tiles.y0 - tiles.b * tiles.nrows, layer.y0 - small.b * (row + steps * tiles.nrows)),
        (tiles.x0 + tiles.a * tiles.ncols, layer.x0 + small.a * (col + steps * tiles.ncols)),
        # The far edges of the layer, which one of its cells alone may miss by less.
        (layer.b * layer.nrows, small.b * layer.nrows * per_cell),
        (layer.a * layer.ncols, small.a * layer.ncols * per_cell),
    )
    if any(abs(one - other) > _SLACK for one, other in edges):
        return None
    height, width = layer.nrows * per_cell, layer.ncols * per_cell
    closes = abs(layer.a * layer.ncols - 360) <= _SLACK
    turn = width if closes else 0
    inside = row >= 0 and row + steps * tiles.nrows <= height
    inside &= closes or (col >= 0 and col + steps * tiles.ncols <= width)
    return Alignment(coarser, side, row, col, turn) if inside else None


class Layer:
    """A layer read for the tiles of a grid."""

    def __init__(self, path: Path, tiles: Grid) -> None:
        """Open a layer; E002_RASTER_MISMATCH when tiles and cells are not whole in each other."""
        found = align(tiles, read_grid(path))
        if found is None:
            what = f"has cells that do not fit tiles of {tiles.a:g} by {tiles.b:g} degrees"
            raise file_error("E002_RASTER_MISMATCH", path, f"{what} at their place", _HINT)
        self.alignment = found
        self._raster = CellRaster(path)

    def copied(self, rows: Cells, cols: Cells) -> tuple[Int64s, int]:
        """Return int64[n] sums of the cells of coarser tiles, or the value of the cell of finer
        ones, and the compressed bytes read.
        """
        return self._values(rows, cols, dealt=False)

    def dealt(self, rows: Cells, cols: Cells) -> tuple[Int64s, int]:
        """Return the same, but what a cell holds is dealt evenly to finer tiles.

        Each of f tiles gets `value div f`, and the first `value mod f` in raster order one more.
        """
        return self._values(rows, cols, dealt=True)

    def _values(self, rows: Cells, cols: Cells, *, dealt: bool) -> tuple[Int64s, int]:
        at, side = self.alignment, self.alignment.side
        steps = side if at.coarser else 1
        row = rows.astype(np.int64) * steps + at.row
        col = cols.astype(np.int64) * steps + at.col
        if at.coarser:
            whole, read = np.zeros(len(rows), np.int64), 0
            for i in range(side):
                for j in range(side):
                    part, size = self._cells(row + i, self._wrapped(col + j))
                    whole += part
                    read += size
            return whole, read
        col = self._wrapped(col)
        values, read = self._cells(row // side, col // side)
        if dealt:
            place = row % side * side + col % side
            share, more = np.divmod(values, side * side)
            values = share + (place < more)
        return values, read

    def _wrapped(self, cols: Int64s) -> Int64s:
        return cols % self.alignment.turn if self.alignment.turn else cols

    def _cells(self, rows: Int64s, cols: Int64s) -> tuple[Int64s, int]:
        """Return whole values of cells; declared nodata is 0."""
        values, read = self._raster.values(rows.astype(np.uint32), cols.astype(np.uint32))
        if self._raster.is_whole:
            return values.astype(np.int64), read
        gap = self._raster.nodata
        if gap is not None:
            values[np.isnan(values) if np.isnan(gap) else values == gap] = 0.0
        bad = ~((values >= 0) & (values <= _LARGEST_VALUE) & (values == np.floor(values)))
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            what = f"{self._raster.path}: row {rows[at]}, column {cols[at]} holds {values[at]}"
            hint = "a layer holds whole numbers from 0 to 2^32 - 1; correct the raster"
            raise Segment1BError("E105_NORMALIZATION", what, hint)
        return values.astype(np.int64), read


def open_layer(path: Path, tiles: Grid) -> Layer:
    """Return a layer, one for all threads of the process as long as its file is the same."""
    status = path.stat()
    return _opened(path, tiles, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=2)
def _opened(path: Path, tiles: Grid, _mtime: int, _size: int) -> Layer:
    return Layer(path, tiles)


def close_layers() -> None:
    """Let go of the layers and their blocks."""
    _opened.cache_clear()
