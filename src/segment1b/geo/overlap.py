"""Cells whose interior meets a country's interior (DE-9IM T********), by topology, never by area.

Such a cell is either crossed by the border in its open interior, or its centre lies inside: an
open cell that no edge enters lies wholly inside or wholly outside.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from shapely import MultiPolygon

from segment1b.geo.exact import enters_open_cell
from segment1b.geo.grid import Grid
from segment1b.geo.scanline import (
    NEAR_DEG,
    Edges,
    Floats,
    Ints,
    Runs,
    copies,
    edges_of,
    runs_from_events,
    spread,
    union,
    winding_runs,
)


def overlap_runs(shape: MultiPolygon, grid: Grid) -> Runs:
    """Return the cells whose interior meets the country's; touching is out.

    Source: prepare.md, section 3, rule `any_overlap`.
    """
    edges, shifts = edges_of(shape), copies(shape, grid)
    entered = [_entered(edges, shift, grid) for shift in shifts]
    return union([winding_runs(edges, shifts, grid), *entered], grid.ncols)


def _entered(edges: Edges, shift: float, grid: Grid) -> Runs:
    """Return the cells whose open interior an edge enters."""
    low, high = np.minimum(edges.y1, edges.y2), np.maximum(edges.y1, edges.y2)
    first = np.floor((grid.y0 - high - NEAR_DEG) / grid.b).astype(np.int64)
    last = np.floor((grid.y0 - low + NEAR_DEG) / grid.b).astype(np.int64)
    edge, row = spread(np.clip(first, 0, grid.nrows), np.clip(last, -1, grid.nrows - 1))
    bottom = np.maximum(low[edge], grid.plain_north(row + 1))
    top = np.minimum(high[edge], grid.plain_north(row))
    west, east, slack = _lon_range(edges, edge, bottom, top, shift)
    sure = _surely_inside(row, bottom, top, grid)
    # Columns an edge may enter, and those it enters for sure: farther than `slack` from a corner.
    may_first, may_last = _column(west - slack, grid), _column(east + slack, grid)
    in_first, in_last = _column(west + slack, grid), _column(east - slack, grid)
    narrow = sure & (may_first == may_last)
    wide = sure & ~narrow & (west + slack <= east - slack)
    in_first = np.where(narrow, may_first, np.where(wide, in_first, may_last + 1))
    in_last = np.where(narrow, may_last, np.where(wide, in_last, may_last))
    doubtful = (
        _decided(edges, edge, row, shift, grid, (may_first, np.minimum(in_first - 1, may_last))),
        _decided(edges, edge, row, shift, grid, (np.maximum(in_last + 1, in_first), may_last)),
    )
    start = np.clip(in_first, 0, grid.ncols)
    stop = np.clip(in_last + 1, 0, grid.ncols)
    some = stop > start
    base = row[some] * (grid.ncols + 1)
    key = np.concatenate(
        [
            base + start[some],
            base + stop[some],
            *(cell for cell in doubtful),
            *(cell + 1 for cell in doubtful),
        ]
    )
    count = int(some.sum())
    change = np.concatenate(
        [
            np.ones(count, np.int64),
            -np.ones(count, np.int64),
            *(np.ones(len(cell), np.int64) for cell in doubtful),
            *(-np.ones(len(cell), np.int64) for cell in doubtful),
        ]
    )
    return runs_from_events(key, change, grid.ncols)


def _lon_range(
    edges: Edges, edge: Ints, bottom: Floats, top: Floats, shift: float
) -> tuple[Floats, Floats, Floats]:
    """Return west and east end of each edge within its row, and how far they can be trusted."""
    x1, x2 = edges.x1[edge] + shift, edges.x2[edge] + shift
    rise, width = edges.y2[edge] - edges.y1[edge], x2 - x1
    flat = rise == 0.0
    safe = np.where(flat, 1.0, rise)
    # A clipped range may be empty by rounding; both ends then stand at the row's border.
    a = np.where(flat, x1, x1 + np.clip((bottom - edges.y1[edge]) / safe, 0.0, 1.0) * width)
    b = np.where(flat, x2, x1 + np.clip((top - edges.y1[edge]) / safe, 0.0, 1.0) * width)
    slack = NEAR_DEG * (1.0 + np.where(flat, 0.0, np.abs(width / safe)))
    return np.minimum(a, b), np.maximum(a, b), slack


def _surely_inside(row: Ints, bottom: Floats, top: Floats, grid: Grid) -> npt.NDArray[np.bool_]:
    """Return whether the edge is within the open row for sure, not just along its border."""
    crosses = top - bottom > NEAR_DEG
    between = (bottom > grid.plain_north(row + 1) + NEAR_DEG) & (
        top < grid.plain_north(row) - NEAR_DEG
    )
    return crosses | between


def _column(lon: Floats, grid: Grid) -> Ints:
    return np.floor((lon - grid.x0) / grid.a).astype(np.int64)


def _decided(
    edges: Edges, edge: Ints, row: Ints, shift: float, grid: Grid, columns: tuple[Ints, Ints]
) -> Ints:
    """Return the doubtful cells that an exact test finds entered, as row*(ncols+1) + column."""
    first, last = np.maximum(columns[0], 0), np.minimum(columns[1], grid.ncols - 1)
    index, col = spread(first, last)
    if not len(index):
        return np.empty(0, np.int64)
    borders = [
        grid.plain_edge(col),
        grid.plain_north(row[index] + 1),
        grid.plain_edge(col + 1),
        grid.plain_north(row[index]),
    ]
    ends = [v[edge[index]] for v in edges]
    hit = [
        enters_open_cell(segment, shift, cell)
        for segment, cell in zip(
            np.column_stack(ends).tolist(), np.column_stack(borders).tolist(), strict=True
        )
    ]
    chosen = index[np.array(hit, bool)]
    cells: Ints = row[chosen] * (grid.ncols + 1) + col[np.array(hit, bool)]
    return cells
