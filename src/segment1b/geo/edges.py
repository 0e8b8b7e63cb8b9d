"""Ring edges as arrays, and between which lines of the grid an edge passes, decided exactly.

Floats place a crossing between two grid lines; only within 1e-9 degree of a line rational
arithmetic decides. A shallow edge along a row costs one such decision, not one a column.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon

from segment1b.laws.curves import ranges

if TYPE_CHECKING:
    from segment1b.geo.grid import Grid

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Lines = Callable[[Ints], Floats]
#: Degrees. Float crossings err by less than 1e-12, so farther from a line they are right.
NEAR_DEG = 1e-9


class Edges(NamedTuple):
    """Ring edges (x1, y1) to (x2, y2) in degrees, float64[e]; the interior is on their left.

    Attributes:
        owner: int64[e], which polygon of the shape the edge belongs to.
        hole: bool[e], whether its ring is a hole.
    """

    x1: Floats
    y1: Floats
    x2: Floats
    y2: Floats
    owner: Ints
    hole: Bools

    def at(self, index: Ints | Bools) -> Edges:
        """Return the edges of an index or mask."""
        columns: list[Any] = [column[index] for column in self]
        return Edges(*columns)

    def reversed(self) -> Edges:
        """Return the same edges run the other way."""
        return Edges(self.x2, self.y2, self.x1, self.y1, self.owner, self.hole)


class Crossings(NamedTuple):
    """Where edges pass latitudes, among vertical lines.

    Attributes:
        line: int64[n], the first line that is not west of the crossing.
        on: bool[n], whether that line goes through the crossing, exactly.
    """

    line: Ints
    on: Bools


def edges_of(shape: MultiPolygon) -> Edges:
    """Return all ring edges of a shape, shells counter-clockwise and holes clockwise."""
    polygons = shapely.get_parts(shapely.orient_polygons(shape))
    rings, owner = shapely.get_rings(polygons, return_index=True)
    # The first ring of a polygon is its shell.
    hole = np.append(False, owner[1:] == owner[:-1])[: len(owner)]
    points, ring = shapely.get_coordinates(rings, return_index=True)
    first = np.flatnonzero(ring[1:] == ring[:-1])
    of = ring[first]
    start, end = points[first], points[first + 1]
    return Edges(start[:, 0], start[:, 1], end[:, 0], end[:, 1], owner[of], hole[of])


def shifts(shape: MultiPolygon, grid: Grid) -> list[float]:
    """Return by how many degrees (multiples of 360) copies of a shape overlap the grid."""
    if shape.is_empty:
        return []
    # An overlap of less than 1e-9 degree is none: 180.0000000001 is rounding.
    west, _, east, _ = shape.bounds
    left, right = grid.plain_edge([0, grid.ncols])
    turns = range(int((left - east) // 360.0), int((right - west) // 360.0) + 1)
    return [
        360.0 * turn
        for turn in turns
        if west + 360.0 * turn < right - (NEAR_DEG if turn else 0.0)
        and east + 360.0 * turn > left + (NEAR_DEG if turn else 0.0)
    ]


def spread(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Return (index, value) for every whole value in first[i]..last[i], ascending."""
    length = np.maximum(last - first + 1, 0)
    return np.repeat(np.arange(len(first)), length), ranges(first, length)


def crossings(edges: Edges, lat: Floats, shift: float, lines: Lines, step: float) -> Crossings:
    """Return between which lines each edge passes a latitude.

    Args:
        edges: n edges; a horizontal one is passed at its first end.
        lat: float64[n], degrees, within the latitudes of its edge.
        shift: degrees of longitude added to the edges.
        lines: the longitude of a line by its number, ascending, in degrees.
        step: degrees from one line to the next, more than 2e-9.
    """
    x1, y1, x2, y2 = edges[:4]
    known = _known_lon(edges, lat)
    rise = np.where(y1 == y2, 1.0, y2 - y1)
    lon = np.where(np.isnan(known), x1 + (lat - y1) / rise * (x2 - x1), known) + shift
    line = np.rint((lon - lines(np.zeros(1, np.int64))) / step).astype(np.int64)
    beyond = lon - lines(line)
    near = np.flatnonzero(np.abs(beyond) <= NEAR_DEG)
    side = np.sign(beyond).astype(np.int64)
    side[near] = _sides(edges.at(near), lat[near], known[near], shift, lines(line[near]))
    return Crossings(line + (side > 0), side == 0)


def _known_lon(edges: Edges, lat: Floats) -> Floats:
    """Return the longitude where an edge passes a latitude if no division is needed, else NaN."""
    at_end = np.where((lat == edges.y2) | (edges.x1 == edges.x2), edges.x2, np.nan)
    return np.where(lat == edges.y1, edges.x1, at_end)


def _sides(edges: Edges, lat: Floats, known: Floats, shift: float, line: Floats) -> Ints:
    """Return -1, 0 or 1: the crossing lies west of, on or east of a longitude, exactly."""
    total = known + shift
    # The part of the sum that rounding took away decides where the rounded sum is a draw.
    part = total - known
    lost = (known - (total - part)) + (shift - part)
    side = np.sign(np.where(total == line, lost, total - line))
    for i in np.flatnonzero(np.isnan(known)):
        x1, y1, x2, y2, y, x = (
            Fraction(float(v)) for v in (*(c[i] for c in edges[:4]), lat[i], line[i])
        )
        offset = x1 + Fraction(shift) - x + (y - y1) * (x2 - x1) / (y2 - y1)
        side[i] = (offset > 0) - (offset < 0)
    return side.astype(np.int64)
