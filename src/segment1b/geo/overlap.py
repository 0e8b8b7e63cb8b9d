"""Cells whose interior meets a country's interior (DE-9IM T********), by topology, never by area.

Such a cell is either crossed by the border in its open interior, or its centre is inside: an
open cell that no edge enters is wholly inside or wholly outside.

Source: docs/spec/s1-tiles.md#inclusion-rules
"""

from __future__ import annotations

import numpy as np
from shapely import MultiPolygon

from segment1b.geo.edges import Edges, Ints, crossings, edges_of, shifts, spread
from segment1b.geo.grid import Grid
from segment1b.geo.scanline import Runs, closed_runs, runs_from_events, union


def overlap_runs(shape: MultiPolygon, grid: Grid) -> Runs:
    """Return the cells whose interior meets that of valid polygons cut at the date line."""
    edges = edges_of(shape)
    runs = []
    for shift in shifts(shape, grid):
        runs += [closed_runs(edges, shift, grid), _entered(edges, shift, grid)]
    return union(runs, grid.ncols)


def _entered(edges: Edges, shift: float, grid: Grid) -> Runs:
    """Return the cells whose open interior an edge enters."""
    edge, row = _rows(edges, grid)
    within = edges.at(edge)
    x1, y1, x2, y2 = within[:4]
    # The edge passes through its open row from one end to the other. Between two ends of different
    # longitude the open cells it meets are those that meet the stretch, ends included or not; if it
    # is vertical, the same rule gives no cell on a border and one cell elsewhere.
    level = y1 == y2
    south = np.maximum(np.minimum(y1, y2), grid.plain_north(row + 1))
    north = np.minimum(np.maximum(y1, y2), grid.plain_north(row))
    a = crossings(within, np.where(level, y1, south), shift, grid.plain_edge, grid.a)
    b = crossings(within.reversed(), np.where(level, y1, north), shift, grid.plain_edge, grid.a)
    eastward = (x1 <= x2) == (y1 <= y2)
    first = np.where(eastward, a.line - ~a.on, b.line - ~b.on)
    stop = np.where(eastward, b.line, a.line)
    first, stop = np.clip(first, 0, grid.ncols), np.clip(stop, 0, grid.ncols)
    some = first < stop
    base = row[some] * (grid.ncols + 1)
    key = np.concatenate([base + first[some], base + stop[some]])
    return runs_from_events(key, np.repeat([1, -1], len(base)), grid.ncols)


def _rows(edges: Edges, grid: Grid) -> tuple[Ints, Ints]:
    """Return (edge, row) for every row whose open band of latitudes an edge enters."""
    low, high = np.minimum(edges.y1, edges.y2), np.maximum(edges.y1, edges.y2)
    # Rounded outwards by more than an error of the division; the comparison below is exact.
    first = np.floor((grid.y0 - high) / grid.b - 1e-3).astype(np.int64)
    last = np.floor((grid.y0 - low) / grid.b + 1e-3).astype(np.int64)
    edge, row = spread(np.maximum(first, 0), np.minimum(last, grid.nrows - 1))
    met = (high[edge] > grid.plain_north(row + 1)) & (low[edge] < grid.plain_north(row))
    return edge[met], row[met]
