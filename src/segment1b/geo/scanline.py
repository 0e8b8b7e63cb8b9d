"""Scanline rasterisation: a country's raster cells as runs, from its edges alone.

For every edge the raster rows whose centre line it crosses, the column of each crossing, one sort
by (row, column), a running sum of signed crossings: where it is positive, the country is. The
cost grows with the border, not with the area.

Source: docs/spec/s1-tiles.md#inclusion-rules
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from shapely import MultiPolygon

from segment1b.geo.edges import (
    NEAR_DEG,
    Bools,
    Edges,
    Ints,
    crossings,
    edges_of,
    shifts,
    spread,
)
from segment1b.geo.grid import Grid


@dataclass(frozen=True)
class Runs:
    """Cells of a raster as runs: row, first column, end column; sorted, disjoint, not touching.

    Attributes:
        row, start, stop: int64[r]; columns are half-open.
    """

    row: Ints
    start: Ints
    stop: Ints

    @property
    def count(self) -> int:
        """Return the number of cells."""
        return int((self.stop - self.start).sum())

    def expand(self, low: int, high: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """Return rows and columns, uint32, of the cells number low..high-1 in row-major order."""
        ends = np.cumsum(self.stop - self.start)
        begins = ends - (self.stop - self.start)
        some = slice(int(np.searchsorted(ends, low, "right")), int(np.searchsorted(begins, high)))
        start, begin = self.start[some], begins[some]
        first = start + np.maximum(low - begin, 0)
        index, cols = spread(first, np.minimum(self.stop[some], start + high - begin) - 1)
        return self.row[some][index].astype(np.uint32), cols.astype(np.uint32)


def runs_from_events(key: Ints, change: Ints, ncols: int) -> Runs:
    """Return the runs where the running sum of changes is positive.

    Args:
        key: int64[n], row*(ncols+1) + column of a change.
        change: int64[n]; the changes of every row add up to zero.
        ncols: columns of the raster.
    """
    order = np.argsort(key)
    key, change = key[order], change[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    key = key[first]
    inside = np.cumsum(np.add.reduceat(change, first) if len(first) else change) > 0
    turn = np.flatnonzero(np.diff(inside, prepend=False))
    row, start = np.divmod(key[turn[::2]], ncols + 1)
    return Runs(row, start, key[turn[1::2]] % (ncols + 1))


def union(runs: Sequence[Runs], ncols: int) -> Runs:
    """Return the cells that are in any of the runs."""
    base = [part.row * (ncols + 1) for part in runs]
    opens = [b + part.start for b, part in zip(base, runs, strict=True)]
    closes = [b + part.stop for b, part in zip(base, runs, strict=True)]
    key = np.concatenate([np.empty(0, np.int64), *opens, *closes])
    return runs_from_events(key, np.repeat([1, -1], len(key) // 2), ncols)


def center_runs(shape: MultiPolygon, grid: Grid) -> Runs:
    """Return the cells whose centre is in valid polygons that are cut at the date line.

    A shell's border is in, a hole's border is out.
    """
    edges = edges_of(shape)
    return union([closed_runs(edges, s, grid) for s in shifts(shape, grid)], grid.ncols)


def closed_runs(edges: Edges, shift: float, grid: Grid) -> Runs:
    """Return the cells whose centre whole rings wind around, moved by `shift` degrees."""
    edge, row = _rows(edges, grid, bands=False)
    passed, lat = edges.at(edge), grid.centre_lat(row)
    column = crossings(passed, lat, shift, grid.plain_lon, grid.a)
    # Half-open, so that a vertex on a centre line counts once; this drops horizontal edges.
    counted = lat < np.maximum(passed.y1, passed.y2)
    key = row * (grid.ncols + 1) + np.clip(column.line, 0, grid.ncols)
    change = np.where(passed.y1 > passed.y2, 1, -1)
    # A horizontal edge on a centre line holds all centres between its ends, any other edge one.
    other = passed.y1 == passed.y2
    end = crossings(passed.at(other).reversed(), lat[other], shift, grid.plain_lon, grid.a)
    first, last = column.line.copy(), column.line - ~column.on
    first[other] = np.minimum(first[other], end.line)
    last[other] = np.maximum(last[other], end.line - ~end.on)
    on = np.flatnonzero(last >= first)
    index, col = spread(np.maximum(first[on], 0), np.minimum(last[on], grid.ncols - 1))
    held = on[index]
    cell, kept = _border_cells(row[held] * (grid.ncols + 1) + col, passed.at(held))
    # Valid polygons wind around a point of their border once or not at all: one step decides.
    decided = np.where(kept, 1, -1)
    return runs_from_events(
        np.concatenate([key[counted], cell, cell + 1]),
        np.concatenate([change[counted], decided, -decided]),
        grid.ncols,
    )


def _rows(edges: Edges, grid: Grid, *, bands: bool) -> tuple[Ints, Ints]:
    """Return (edge, row) for every row whose open band, or closed centre line, an edge meets."""
    low, high = np.minimum(edges.y1, edges.y2), np.maximum(edges.y1, edges.y2)
    # Rounded outwards by more than an error of the division; the comparison below is exact.
    up, down = (1.0, 0.0) if bands else (0.5, 0.5)
    first = np.ceil((grid.y0 - high) / grid.b - up - 1e-3).astype(np.int64)
    last = np.floor((grid.y0 - low) / grid.b - down + 1e-3).astype(np.int64)
    edge, row = spread(np.maximum(first, 0), np.minimum(last, grid.nrows - 1))
    if bands:
        met = (high[edge] > grid.plain_north(row + 1)) & (low[edge] < grid.plain_north(row))
    else:
        lat = grid.centre_lat(row)
        met = (low[edge] <= lat) & (lat <= high[edge])
    return edge[met], row[met]


def _border_cells(cell: Ints, edge: Edges) -> tuple[Ints, Bools]:
    """Return the distinct cells whose centre is on a border, and which of them are in."""
    if not len(cell):
        return cell, np.empty(0, bool)
    # In: on the shell of a polygon and not on a hole of the same polygon. Where an island touches
    # the shore of its lake, the island's point counts.
    order = np.lexsort((edge.owner, cell))
    cell, owner, hole = cell[order], edge.owner[order], edge.hole[order]
    group = np.flatnonzero((np.diff(cell, prepend=-1) != 0) | (np.diff(owner, prepend=-1) != 0))
    kept = ~np.logical_or.reduceat(hole, group)
    cells = cell[group]
    first = np.flatnonzero(np.diff(cells, prepend=-1))
    return cells[first], np.logical_or.reduceat(kept, first)


def overlap_runs(shape: MultiPolygon, grid: Grid, center: Runs | None = None) -> Runs:
    """Return the cells whose interior meets that of valid polygons cut at the date line.

    `center` are the runs of `center_runs`, where they are known.

    DE-9IM T********, by topology, never by area. Such a cell is either crossed by the border in
    its open interior, or its centre is inside: an open cell that no edge enters is wholly inside
    or wholly outside.
    """
    edges = edges_of(shape)
    inside = center_runs(shape, grid) if center is None else center
    entered = [_entered(edges, shift, grid) for shift in shifts(shape, grid)]
    return union([inside, *entered], grid.ncols)


def _entered(edges: Edges, shift: float, grid: Grid) -> Runs:
    """Return the cells whose open interior an edge enters."""
    edge, row = _rows(edges, grid, bands=True)
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


def bounding_cells(shape: MultiPolygon, grid: Grid) -> int:
    """Return how many cells of the grid the closed bounding rectangle of a shape touches."""
    turns = shifts(shape, grid)
    if not turns:
        return 0
    west, south, east, north = shape.bounds
    first = np.floor((grid.y0 - north - NEAR_DEG) / grid.b)
    last = np.floor((grid.y0 - south + NEAR_DEG) / grid.b)
    rows = np.clip(last, -1, grid.nrows - 1) - np.clip(first, 0, grid.nrows) + 1
    moved = np.array(turns)
    left = np.floor((west + moved - NEAR_DEG - grid.x0) / grid.a)
    right = np.floor((east + moved + NEAR_DEG - grid.x0) / grid.a) + 1
    key = np.clip(np.concatenate([left, right]), 0, grid.ncols).astype(np.int64)
    cols = runs_from_events(key, np.repeat([1, -1], len(turns)), grid.ncols).count
    return int(max(rows, 0)) * cols


def hole_cells(shape: MultiPolygon, grid: Grid, included: Runs) -> int:
    """Count cells whose centre is in a closed hole of the shape and that are not included."""
    edges = edges_of(shape)
    if not edges.hole.any():
        return 0
    # Run the other way, a hole is a shell.
    rings = edges.at(edges.hole).reversed()._replace(hole=np.zeros(int(edges.hole.sum()), bool))
    holes = [closed_runs(rings, shift, grid) for shift in shifts(shape, grid)]
    return union([*holes, included], grid.ncols).count - included.count
