"""Which cells a country includes: GDAL says, exact geometry decides wherever rounding matters.

A country may reach past +-180; every whole turn at which it meets the raster is looked at, and a
cell is included when it is at one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.features import rasterize
from rasterio.transform import Affine

from segment1b.audit.grid import Grid
from segment1b.audit.s1.polygons import Country

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# In cells: far above the rounding of a crossing, far below what a border could hide behind.
NEAR = 1e-6


@dataclass(frozen=True)
class Window:
    """Rows first <= row < last and columns left <= col < right of the grid.

    Attributes:
        turns: whole turns by which the country can be moved to meet the grid.
    """

    grid: Grid
    first: int
    last: int
    left: int
    right: int
    turns: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        return self.last - self.first, self.right - self.left

    def lon(self, cols: npt.NDArray[Any], turn: int) -> Floats:
        """Return the longitude of column edges (or, at halves, centres) in the country's turn."""
        lon = np.asarray(self.grid.x0 + self.grid.a * (cols + self.left), np.float64)
        return lon - 360.0 * turn if turn else lon

    def lat(self, rows: npt.NDArray[Any]) -> Floats:
        """Return the latitude of row edges (or, at halves, centres)."""
        return np.asarray(self.grid.y0 - self.grid.b * (rows + self.first), np.float64)

    def edge(self, rows: npt.NDArray[Any]) -> Floats:
        """Return the latitude of row edges, not beyond a pole."""
        return np.clip(self.lat(rows), -90.0, 90.0)

    def holds(self, rows: Ints, cols: Ints) -> Bools:
        """Return which cells, by row and column of the grid, are in the window."""
        in_rows = (rows >= self.first) & (rows < self.last)
        return in_rows & (cols >= self.left) & (cols < self.right)

    def box(self, row: int, col: int, turn: int) -> tuple[Fraction, Fraction, Fraction, Fraction]:
        """Return west, south, east, north of a cell in the country's turn, without rounding."""
        lon = self.lon(np.array([col, col + 1]), 0)
        lat = self.edge(np.array([row + 1, row]))
        west, east = (Fraction(float(edge)) - 360 * turn for edge in lon)
        south, north = (Fraction(float(edge)) for edge in lat)
        return west, south, east, north


@dataclass(frozen=True)
class Cells:
    """What a country includes of a window."""

    center: Bools
    overlap: Bools


def windows_of(country: Country, grid: Grid, cells_at_once: int = 1 << 22) -> list[Window]:
    """Return the windows of the raster that a country's bounds reach into, from north to south."""
    west, south, east, north = country.shape.bounds
    first = max(0, int(np.floor((grid.y0 - north) / grid.b)) - 1)
    last = min(grid.nrows, int(np.ceil((grid.y0 - south) / grid.b)) + 1)
    columns = {}
    for turn in range(-2, 3):
        left = max(0, int(np.floor((west + 360 * turn - grid.x0) / grid.a)) - 1)
        right = min(grid.ncols, int(np.ceil((east + 360 * turn - grid.x0) / grid.a)) + 1)
        if left < right:
            columns[turn] = left, right
    if first >= last or not columns:
        return []
    left, right = min(c[0] for c in columns.values()), max(c[1] for c in columns.values())
    step = max(1, cells_at_once // (right - left))
    return [
        Window(grid, top, min(top + step, last), left, right, tuple(columns))
        for top in range(first, last, step)
    ]


def cells_of(country: Country, window: Window, claimed: Bools, *, by_overlap: bool) -> Cells:
    """Return the cells that a country includes; geometry decides where `claimed` is in doubt."""
    burnt = [_burnt(country, window, turn) for turn in window.turns]
    unlike = np.logical_or.reduce(burnt) != claimed
    found = [
        _cells_at(country, window, turn, center, unlike, claimed if by_overlap else None)
        for turn, center in zip(window.turns, burnt, strict=True)
    ]
    return Cells(
        np.logical_or.reduce([cells.center for cells in found]),
        np.logical_or.reduce([cells.overlap for cells in found]),
    )


def _cells_at(
    country: Country,
    window: Window,
    turn: int,
    center: Bools,
    unlike: Bools,
    by_overlap: Bools | None,
) -> Cells:
    """Return the cells at one turn, given those that GDAL burns and where all turns together are
    unlike the claimed ones, or unlike those claimed by overlap.
    """
    starts, ends = country.edges
    lines = _cell_units(starts, window, turn), _cell_units(ends, window, turn)
    # Where an edge comes so near a centre that rounding could misplace it.
    _, near = _crossings(*lines, window.shape, NEAR - 0.5)
    # Of a flat array numpy tells ten times faster where it holds.
    doubted = np.flatnonzero(_mask(near, window.shape) | unlike)
    rows, cols = np.divmod(doubted, window.shape[1])
    center[rows, cols] = country.holds(window.lon(cols + 0.5, turn), window.lat(rows + 0.5))
    edge, at = _crossings(*lines, window.shape, NEAR)
    _, inner = _crossings(*lines, window.shape, -NEAR)
    touched, entered = _mask(at, window.shape), _mask(inner, window.shape)
    # A border that runs through a cell has the country on one side of it, in that cell.
    overlap = (center & ~touched) | entered
    unsure = touched & ~entered
    if by_overlap is not None:
        unsure |= touched & (overlap != by_overlap)
    overlap[unsure] = center[unsure]
    mine = np.flatnonzero(unsure[at])
    # Of an edge along a parallel, floats tell it exactly: a cap's are as many as columns.
    level = starts[edge[mine], 1] == ends[edge[mine], 1]
    lat, north, south = (
        starts[edge[mine], 1],
        window.edge(at[0][mine]),
        window.edge(at[0][mine] + 1),
    )
    mine = mine[~level | ((south < lat) & (lat < north))]
    for number, row, col in zip(edge[mine], at[0][mine], at[1][mine], strict=True):
        if runs_through(starts[number], ends[number], window.box(int(row), int(col), turn)):
            overlap[row, col] = True
    return Cells(center, overlap)


def runs_through(start: Floats, end: Floats, box: Sequence[Fraction]) -> bool:
    """Return whether a segment meets the inside of a box, in exact arithmetic."""
    # Where no edge does, the cell is wholly inside or outside, and its centre tells which. GEOS
    # rounds the crossings of nearly touching lines.
    low, high = Fraction(0), Fraction(1)
    for axis in (0, 1):
        origin = Fraction(float(start[axis]))
        step = Fraction(float(end[axis])) - origin
        if step == 0:
            if not box[axis] < origin < box[axis + 2]:
                return False
            continue
        times = sorted(((box[axis] - origin) / step, (box[axis + 2] - origin) / step))
        low, high = max(low, times[0]), min(high, times[1])
    return low < high


def _cell_units(points: Floats, window: Window, turn: int) -> Floats:
    """Return points as (column, row) in cells from the window's upper left corner, [n, 2]."""
    grid = window.grid
    u = (points[:, 0] + 360.0 * turn - grid.x0) / grid.a - window.left
    v = (grid.y0 - points[:, 1]) / grid.b - window.first
    return np.column_stack([u, v])


def _burnt(country: Country, window: Window, turn: int) -> Bools:
    grid = window.grid
    west, north = grid.x0 + grid.a * window.left - 360.0 * turn, window.lat(np.zeros(1))[0]
    transform = Affine(grid.a, 0.0, west, 0.0, -grid.b, north)
    north, south = window.lat(np.array([-1, window.shape[0] + 1]))
    parts = [part.outline for part in country.parts if part.south <= north and part.north >= south]
    if not parts:
        return np.zeros(window.shape, np.bool_)
    shape = {"type": "MultiPolygon", "coordinates": parts}
    burnt = rasterize([(shape, 1)], out_shape=window.shape, transform=transform, dtype="uint8")
    return np.asarray(burnt, np.bool_)


def _crossings(
    starts: Floats, ends: Floats, shape: tuple[int, int], margin: float
) -> tuple[Ints, tuple[Ints, Ints]]:
    """Return edge, and row and column, wherever an edge runs through a cell grown by `margin`."""
    (u0, v0), (u1, v1) = starts.T, ends.T
    low, high = np.minimum(v0, v1), np.maximum(v0, v1)
    edge, row = _spread(np.floor(low - margin), np.floor(high + margin), shape[0])
    dv, du = (v1 - v0)[edge], (u1 - u0)[edge]
    # The stretch of the edge inside the row's band, grown by the margin.
    top, bottom = row - margin, row + 1 + margin
    level = dv == 0
    safe = np.where(level, 1.0, dv)
    s, t = (top - v0[edge]) / safe, (bottom - v0[edge]) / safe
    t0 = np.where(level, 0.0, np.clip(np.minimum(s, t), 0, 1))
    t1 = np.where(level, 1.0, np.clip(np.maximum(s, t), 0, 1))
    meets = (np.minimum(s, t) <= 1) & (np.maximum(s, t) >= 0)
    meets = np.where(level, (v0[edge] >= top) & (v0[edge] <= bottom), meets)
    enters, leaves = u0[edge] + t0 * du, u0[edge] + t1 * du
    left, right = np.minimum(enters, leaves), np.maximum(enters, leaves)
    first = np.where(meets, np.floor(left - margin), 0.0)
    last = np.where(meets, np.floor(right + margin), -1.0)
    which, col = _spread(first, last, shape[1])
    inside = (left[which] <= col + 1 + margin) & (right[which] >= col - margin)
    return edge[which][inside], (row[which][inside], col[inside])


def _mask(cells: tuple[Ints, Ints], shape: tuple[int, int]) -> Bools:
    mask = np.zeros(shape, np.bool_)
    mask[cells] = True
    return mask


def _spread(first: Floats, last: Floats, size: int) -> tuple[Ints, Ints]:
    """Return, for ranges first..last clipped to 0..size-1, the range's index and each number."""
    low = np.clip(first, 0, size).astype(np.int64)
    high = np.clip(last, -1, size - 1).astype(np.int64)
    counts = np.maximum(high - low + 1, 0)
    which = np.repeat(np.arange(len(low)), counts)
    inside = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    return which, low[which] + inside
