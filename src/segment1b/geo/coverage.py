"""Counts that a run report gives of each country: cells visited, and cells lost to holes."""

from __future__ import annotations

import numpy as np
from shapely import MultiPolygon

from segment1b.geo.grid import Grid
from segment1b.geo.scanline import (
    NEAR_DEG,
    Runs,
    copies,
    edges_of,
    runs_from_events,
    union,
    winding_runs,
)


def bounding_cells(shape: MultiPolygon, grid: Grid) -> int:
    """Return how many cells of the grid the bounding rectangle of a shape touches."""
    west, south, east, north = shape.bounds
    first = np.floor((grid.y0 - north - NEAR_DEG) / grid.b)
    last = np.floor((grid.y0 - south + NEAR_DEG) / grid.b)
    rows = np.clip(last, -1, grid.nrows - 1) - np.clip(first, 0, grid.nrows) + 1
    key = []
    for shift in copies(shape, grid):
        left = np.floor((west + shift - NEAR_DEG - grid.x0) / grid.a)
        right = np.floor((east + shift + NEAR_DEG - grid.x0) / grid.a) + 1
        key += [int(np.clip(left, 0, grid.ncols)), int(np.clip(right, 0, grid.ncols))]
    change = np.tile(np.array([1, -1], np.int64), len(key) // 2)
    cols = runs_from_events(np.array(key, np.int64), change, grid.ncols).count
    return int(max(rows, 0)) * cols


def hole_cells(shape: MultiPolygon, grid: Grid, included: Runs) -> int:
    """Return how many cells have their centre in a hole of the shape and are not included."""
    edges = edges_of(shape, holes_only=True)
    holes = winding_runs(edges, copies(shape, grid), grid)
    return union([holes, included], grid.ncols).count - included.count
