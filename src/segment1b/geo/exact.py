"""Exact predicates for the few cells that rounding cannot decide: floats are exact rationals."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon

Floats = npt.NDArray[np.float64]
INSIDE, BORDER, OUTSIDE = 1, 0, -1


def covers(shape: MultiPolygon, lon: Floats, lat: Floats) -> npt.NDArray[np.bool_]:
    """Return which points lie in a closed shell and not in one of its closed holes, bool [n].

    Args:
        shape: polygons in degrees.
        lon: longitudes, float64 [n].
        lat: latitudes, float64 [n].
    """
    polygons = shapely.get_parts(shape)
    bounds = shapely.bounds(polygons)
    out = np.zeros(len(lon), bool)
    for number, (x, y) in enumerate(zip(lon, lat, strict=True)):
        may = (bounds[:, 0] <= x) & (x <= bounds[:, 2]) & (bounds[:, 1] <= y) & (y <= bounds[:, 3])
        out[number] = any(_in_polygon(polygon, x, y) for polygon in polygons[may])
    return out


def _in_polygon(polygon: Any, x: float, y: float) -> bool:
    if locate(shapely.get_coordinates(polygon.exterior), x, y) == OUTSIDE:
        return False
    return all(locate(shapely.get_coordinates(ring), x, y) == OUTSIDE for ring in polygon.interiors)


def locate(ring: Floats, x: float, y: float) -> int:
    """Return INSIDE, BORDER or OUTSIDE: where a point lies in a closed ring [n, 2], exactly."""
    x1, y1, x2, y2 = ring[:-1, 0], ring[:-1, 1], ring[1:, 0], ring[1:, 1]
    meets = (np.minimum(y1, y2) <= y) & (y <= np.maximum(y1, y2))
    meets &= np.maximum(x1, x2) >= x
    px, py, crossings = Fraction(x), Fraction(y), 0
    for i in np.flatnonzero(meets):
        ax, ay, bx, by = (Fraction(float(v[i])) for v in (x1, y1, x2, y2))
        # Twice the signed area of (a, b, p): zero on the line, its sign tells the side.
        turn = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
        if turn == 0 and min(ax, bx) <= px <= max(ax, bx):
            return BORDER
        if (ay > py) != (by > py) and (turn > 0) == (by > ay):
            crossings += 1
    return INSIDE if crossings % 2 else OUTSIDE


def enters_open_cell(edge: Sequence[float], shift: float, cell: Sequence[float]) -> bool:
    """Return whether a segment meets an open rectangle, exactly (after Liang and Barsky).

    Args:
        edge: x1, y1, x2, y2 in degrees.
        shift: degrees of longitude added to the edge.
        cell: west, south, east, north in degrees.
    """
    x1, y1, x2, y2 = (Fraction(v) for v in edge)
    west, south, east, north = (Fraction(v) for v in cell)
    low, high = Fraction(0), Fraction(1)
    low_open = high_open = False
    for start, step, near, far in (
        (x1 + Fraction(shift), x2 - x1, west, east),
        (y1, y2 - y1, south, north),
    ):
        if step == 0:
            if not near < start < far:
                return False
            continue
        enter, leave = sorted(((near - start) / step, (far - start) / step))
        if enter >= low:
            low, low_open = enter, True
        if leave <= high:
            high, high_open = leave, True
    return low < high or (low == high and not low_open and not high_open)
