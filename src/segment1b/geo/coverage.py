"""Counts of cells per country in a run report: visited, and lost to holes."""

from __future__ import annotations

import numpy as np
from shapely import MultiPolygon

from segment1b.geo.edges import NEAR_DEG, edges_of, shifts
from segment1b.geo.grid import Grid
from segment1b.geo.scanline import Runs, closed_runs, runs_from_events, union


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
