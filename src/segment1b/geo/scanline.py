"""The scanline: a country's raster cells as runs, from its edges alone.

For every edge the raster rows whose centre line it crosses, the crossing's longitude, one sort by
(row, column), a running sum of signed crossings: where it is not zero, the country lies. The cost
grows with the border, not with the area. Centres within 1e-9 degree of an edge are decided exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon

from segment1b.geo.exact import covers
from segment1b.geo.grid import Grid

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
NEAR_DEG = 1e-9


@dataclass(frozen=True)
class Runs:
    """Cells of a raster as runs: row, first column, end column; sorted, disjoint, not touching.

    Attributes:
        row, start, stop: int64 [r]; columns are half-open.
    """

    row: Ints
    start: Ints
    stop: Ints

    @property
    def count(self) -> int:
        """Return the number of cells."""
        return int((self.stop - self.start).sum())

    def expand(self, low: int, high: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """Return rows and columns of the cells number low..high-1 in row-major order, uint32."""
        ends = np.cumsum(self.stop - self.start)
        first = int(np.searchsorted(ends, low, "right"))
        last = int(np.searchsorted(ends, high, "left")) + 1
        length = self.stop[first:last] - self.start[first:last]
        offset = np.repeat(self.start[first:last] - (np.cumsum(length) - length), length)
        cols = offset + np.arange(len(offset))
        rows = np.repeat(self.row[first:last], length)
        skip = low - (int(ends[first - 1]) if first else 0)
        wanted = slice(skip, skip + high - low)
        return rows[wanted].astype(np.uint32), cols[wanted].astype(np.uint32)


class Edges(NamedTuple):
    """Ring edges (x1, y1) to (x2, y2) in degrees, float64 [e]; shells run counter-clockwise."""

    x1: Floats
    y1: Floats
    x2: Floats
    y2: Floats


def edges_of(shape: MultiPolygon, *, holes_only: bool = False) -> Edges:
    """Return all ring edges of a shape, shells counter-clockwise and holes clockwise."""
    polygons = shapely.get_parts(shapely.orient_polygons(shape))
    if holes_only:
        rings = [ring for polygon in polygons for ring in polygon.interiors]
    else:
        rings = shapely.get_rings(polygons)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    same = np.flatnonzero(ring[1:] == ring[:-1])
    return Edges(points[same, 0], points[same, 1], points[same + 1, 0], points[same + 1, 1])


def copies(shape: MultiPolygon, grid: Grid) -> list[float]:
    """Return by how many degrees (-360, 0, 360) the shape must be shifted to meet the grid."""
    west, _, east, _ = shape.bounds
    right = grid.x0 + grid.a * grid.ncols
    return [s for s in (-360.0, 0.0, 360.0) if west + s < right and east + s > grid.x0]


def runs_from_events(key: Ints, change: Ints, ncols: int) -> Runs:
    """Return the runs where the running sum of changes is not zero.

    Args:
        key: int64 [n], row*(ncols+1) + column where a change takes place.
        change: int64 [n]; the changes of every row add up to zero.
        ncols: columns of the raster.
    """
    order = np.argsort(key, kind="stable")
    key, change = key[order], change[order]
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else key
    key = key[first]
    level = np.cumsum(np.add.reduceat(change, first)) if len(key) else change
    inside = level != 0
    before = np.append(False, inside[:-1])
    row, start = np.divmod(key[inside & ~before], ncols + 1)
    _, stop = np.divmod(key[~inside & before], ncols + 1)
    return Runs(row, start, stop)


def events_of(runs: Runs, ncols: int) -> tuple[Ints, Ints]:
    """Return the events of runs: +1 where a run starts, -1 where it ends."""
    base = runs.row * (ncols + 1)
    ones = np.ones(len(runs.row), np.int64)
    return np.concatenate([base + runs.start, base + runs.stop]), np.concatenate([ones, -ones])


def union(runs: list[Runs], ncols: int) -> Runs:
    """Return the cells that stand in any of the runs."""
    events = [events_of(one, ncols) for one in runs]
    key = np.concatenate([key for key, _ in events])
    return runs_from_events(key, np.concatenate([change for _, change in events]), ncols)


def winding_runs(edges: Edges, shifts: list[float], grid: Grid) -> Runs:
    """Return the cells whose centre the edges wind around, border cases left to rounding."""
    down = edges.y1 > edges.y2
    low, high = np.minimum(edges.y1, edges.y2), np.maximum(edges.y1, edges.y2)
    edge, row = rows_between(low, high, grid, 0.0)
    lat = grid.centre_lat(row)
    # Half-open, so that a vertex on a centre line counts once.
    crossed = (lat >= low[edge]) & (lat < high[edge])
    edge, row, lat = edge[crossed], row[crossed], lat[crossed]
    share = (lat - edges.y1[edge]) / (edges.y2[edge] - edges.y1[edge])
    lon = edges.x1[edge] + share * (edges.x2[edge] - edges.x1[edge])
    key, change = [], []
    for shift in shifts:
        col = np.ceil((lon + shift - grid.x0) / grid.a - 0.5).astype(np.int64)
        key.append(row * (grid.ncols + 1) + np.clip(col, 0, grid.ncols))
        change.append(np.where(down[edge], 1, -1))
    if not shifts:
        return Runs(*(np.empty(0, np.int64),) * 3)
    return runs_from_events(np.concatenate(key), np.concatenate(change), grid.ncols)


def rows_between(low: Floats, high: Floats, grid: Grid, slack: float) -> tuple[Ints, Ints]:
    """Return (edge, row) for rows whose centre line may lie in [low - slack, high + slack]."""
    # One row more on either side than rounding could ask for.
    first = np.floor((grid.y0 - high - slack) / grid.b - 0.5).astype(np.int64)
    last = np.ceil((grid.y0 - low + slack) / grid.b - 0.5).astype(np.int64)
    return spread(np.clip(first, 0, grid.nrows), np.clip(last, -1, grid.nrows - 1))


def spread(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Return (index, value) for every whole value in first[i]..last[i], ascending."""
    length = np.maximum(last - first + 1, 0)
    index = np.repeat(np.arange(len(first)), length)
    value = np.arange(len(index)) + np.repeat(first - (np.cumsum(length) - length), length)
    return index, value


def center_runs(shape: MultiPolygon, grid: Grid) -> Runs:
    """Return the cells whose centre lies in a closed shell and not in one of its closed holes.

    Source: prepare.md, section 3, rule `center`.
    """
    edges, shifts = edges_of(shape), copies(shape, grid)
    runs = winding_runs(edges, shifts, grid)
    row, col = _centres_near(edges, shifts, grid)
    if not len(row):
        return runs
    wanted = covers(shape, grid.centre_lon(col), grid.centre_lat(row))
    return _corrected(runs, row, col, wanted, grid.ncols)


def _centres_near(edges: Edges, shifts: list[float], grid: Grid) -> tuple[Ints, Ints]:
    """Return the cells whose centre lies within NEAR_DEG of an edge (or a little farther)."""
    low, high = np.minimum(edges.y1, edges.y2), np.maximum(edges.y1, edges.y2)
    edge, row = rows_between(low, high, grid, NEAR_DEG)
    lat = grid.centre_lat(row)
    near = (lat >= low[edge] - NEAR_DEG) & (lat <= high[edge] + NEAR_DEG)
    edge, row, lat = edge[near], row[near], lat[near]
    ends = [
        _lon_at(edges, edge, np.clip(lat + d, low[edge], high[edge]), d)
        for d in (-NEAR_DEG, NEAR_DEG)
    ]
    west, east = np.minimum(*ends) - NEAR_DEG, np.maximum(*ends) + NEAR_DEG
    found = []
    for shift in shifts:
        first = np.ceil((west + shift - grid.x0) / grid.a - 0.5).astype(np.int64)
        last = np.floor((east + shift - grid.x0) / grid.a - 0.5).astype(np.int64)
        index, col = spread(np.maximum(first, 0), np.minimum(last, grid.ncols - 1))
        found.append(row[index] * grid.ncols + col)
    cells = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
    return np.divmod(cells, grid.ncols)


def _lon_at(edges: Edges, edge: Ints, lat: Floats, side: float) -> Floats:
    """Return where an edge passes a latitude; a horizontal edge gives one of its ends."""
    rise = edges.y2[edge] - edges.y1[edge]
    flat = rise == 0.0
    share = np.where(flat, float(side > 0), (lat - edges.y1[edge]) / np.where(flat, 1.0, rise))
    return edges.x1[edge] + share * (edges.x2[edge] - edges.x1[edge])


def _corrected(runs: Runs, row: Ints, col: Ints, wanted: npt.NDArray[np.bool_], ncols: int) -> Runs:
    """Return runs in which the given cells are in or out as wanted."""
    key, change = events_of(runs, ncols)
    cell = row * (ncols + 1) + col
    starts = runs.row * (ncols + 1) + runs.start
    at = np.searchsorted(starts, cell, "right") - 1
    held = (
        (at >= 0) & (cell < (runs.row * (ncols + 1) + runs.stop)[at])
        if len(starts)
        else (np.zeros(len(cell), bool))
    )
    wrong = held != wanted
    sign = np.where(wanted[wrong], 1, -1)
    key = np.concatenate([key, cell[wrong], cell[wrong] + 1])
    return runs_from_events(key, np.concatenate([change, sign, -sign]), ncols)
