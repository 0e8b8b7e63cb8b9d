"""The cells of a layer: how they lie on the tiles, by the grids of both rasters, and values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from segment1b.audit.case import POLICY, Case
from segment1b.audit.grid import Grid, grid_of

LAYERS = ("population", "area", "urban", "urban_people", "roads")
_SLACK = 1e-9
_LARGEST = 2**32 - 1


class Placed(NamedTuple):
    """Where the tiles lie on the cells of a layer.

    Attributes:
        holds: a tile holds side*side cells; else a cell holds side*side tiles.
        side: how many along an edge.
        first_row, first_col: of the first tile, in cells or, if these are larger, in tiles.
        turn: cells, or tiles, along a row of the layer.
    """

    holds: bool
    side: int
    first_row: int
    first_col: int
    turn: int


def side_of(tiles: Grid, layer: Grid) -> tuple[bool, int]:
    """Return whether a tile holds cells (else a cell holds tiles), and how many along an edge."""
    holds = tiles.a >= layer.a
    return holds, round(tiles.a / layer.a if holds else layer.a / tiles.a)


def has_layer(case: Case, name: str) -> bool:
    """Return whether the policy has a layer."""
    return bool(case.published.document(POLICY)["surfaces"].get(name))


def alignment(case: Case, name: str) -> Placed:
    """Return where the tiles lie on a layer.

    Raises:
        ValueError: its cells do not fit the tiles, or do not cover them.
    """
    tiles = case.grid
    assert tiles is not None
    if not has_layer(case, name):
        return Placed(holds=True, side=1, first_row=0, first_col=0, turn=1)
    layer = grid_of(case.published, name)
    holds, side = side_of(tiles, layer)
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
    placed = Placed(holds, side, round(first_row), round(first_col), turn)
    # Rows and columns of both in the smaller of cells and tiles.
    rows, cols = tiles.nrows * (side if holds else 1), tiles.ncols * (side if holds else 1)
    whole_turn = abs(layer.a * layer.ncols - 360) <= _SLACK
    if not (
        0 <= placed.first_row <= layer.nrows * (1 if holds else side) - rows
        and (whole_turn or 0 <= placed.first_col <= turn - cols)
    ):
        raise ValueError(f"the cells of {name} do not cover the tiles")
    return placed


def cells_of(source: Any, top: int, rows: int) -> npt.NDArray[np.float64]:
    """Return whole rows of an open layer; declared nodata is 0."""
    read = source.read(1, window=Window(0, top, source.width, rows))
    cells: npt.NDArray[np.float64] = read.astype(np.float64)
    if source.nodata is not None:
        gap = float(source.nodata)
        cells[np.isnan(cells) if np.isnan(gap) else cells == gap] = 0
    return cells


def is_count(cells: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which cells hold a whole number that a layer may hold."""
    good: npt.NDArray[np.bool_] = (cells >= 0) & (cells <= _LARGEST) & (cells == np.floor(cells))
    return good
