"""Cutting polygons at the antimeridian, so that the plane's geometry is the globe's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon

Coordinates = npt.NDArray[np.float64]


def cut(geometry: Polygon | MultiPolygon) -> MultiPolygon:
    """Return the geometry with every piece inside longitudes -180 to 180.

    A ring edge with |dlon| > 180 crosses the date line: its ring is unwrapped by +-360, cut at
    +-180, and the pieces are shifted back. Edges with both ends on a pole are seams and stay. A
    ring that winds 360 degrees is closed over its pole. What needs no cut comes back untouched.

    Raises:
        ValueError: a polygon that has to be cut is invalid; the reason and place are named.
    """
    parts: list[Polygon] = []
    for polygon in shapely.get_parts(geometry):
        parts += _pieces(polygon) if _crosses(polygon) else [polygon]
    return MultiPolygon(parts)


def _crosses(polygon: Polygon) -> bool:
    coordinates, ring = shapely.get_coordinates(shapely.get_rings(polygon), return_index=True)
    same = ring[1:] == ring[:-1]
    return bool((_jumps(coordinates) & same).any())


def _jumps(coordinates: Coordinates) -> npt.NDArray[np.bool_]:
    """Return which edges cross the date line, bool [n-1]."""
    lat = coordinates[:, 1]
    seam = (np.abs(lat[1:]) == 90.0) & (lat[1:] == lat[:-1])
    jumps: npt.NDArray[np.bool_] = (np.abs(np.diff(coordinates[:, 0])) > 180.0) & ~seam
    return jumps


def _unwrapped(coordinates: Coordinates) -> Coordinates:
    """Return a ring without jumps; one that winds around the globe is closed over its pole."""
    steps = np.diff(coordinates[:, 0])
    turns = np.where(_jumps(coordinates), -360.0 * np.sign(steps), 0.0)
    out = coordinates.copy()
    out[1:, 0] += np.cumsum(turns)
    if out[-1, 0] != out[0, 0]:
        pole = 90.0 if coordinates[:, 1].mean() > 0 else -90.0
        out = np.vstack([out, [out[-1, 0], pole], [out[0, 0], pole], out[0]])
    return out


def _pieces(polygon: Polygon) -> list[Polygon]:
    shell = _unwrapped(shapely.get_coordinates(polygon.exterior))
    low, high = shell[:, 0].min(), shell[:, 0].max()
    holes = []
    for interior in polygon.interiors:
        hole = _unwrapped(shapely.get_coordinates(interior))
        # A hole is unwrapped by itself: bring it into the frame of its shell.
        middle = (hole[:, 0].min() + hole[:, 0].max()) / 2
        while middle < low:
            hole[:, 0] += 360.0
            middle += 360.0
        while middle > high:
            hole[:, 0] -= 360.0
            middle -= 360.0
        holes.append(hole)
    whole = Polygon(shell, holes)
    if not whole.is_valid:
        raise ValueError(f"{shapely.is_valid_reason(whole)} (longitudes unwrapped)")
    pieces: list[Polygon] = []
    for turn in range(int(np.floor((low + 180.0) / 360.0)), int(np.ceil((high + 180.0) / 360.0))):
        strip = shapely.box(360.0 * turn - 180.0, -90.0, 360.0 * turn + 180.0, 90.0)
        piece = shapely.intersection(whole, strip)
        moved = shapely.transform(piece, lambda xy, turn=turn: xy - [360.0 * turn, 0.0])
        pieces += [p for p in shapely.get_parts(moved) if p.geom_type == "Polygon"]
    return pieces
