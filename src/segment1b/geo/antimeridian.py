"""Cutting polygons at the antimeridian, so that the plane's geometry is the globe's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon

Coordinates = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
# Degrees; 180.0000000001 is rounding, not land beyond the date line.
_NUISANCE = 1e-9


class _Ring(NamedTuple):
    """Coordinates [n, 2] without jumps, and whether they wind around the globe."""

    xy: Coordinates
    winds: bool


def cut(geometry: Polygon | MultiPolygon) -> MultiPolygon:
    """Return the geometry with every piece inside longitudes -180 to 180.

    A ring edge with |dlon| > 180 crosses the date line: its ring is unwrapped by +-360, cut at
    +-180, and the pieces are shifted back. Rings that are drawn past +-180 are unwrapped already.
    Edges with both ends on a pole are seams and stay. A ring that winds 360 degrees is closed over
    the pole of its hemisphere. What needs no cut comes back untouched.

    Raises:
        ValueError: a polygon that has to be cut is invalid; the reason and place are named.
    """
    if _needs_cut(geometry):
        parts: list[Polygon] = []
        for polygon in shapely.get_parts(geometry):
            parts += _cut(polygon) if _needs_cut(polygon) else [polygon]
        return MultiPolygon(parts)
    return geometry if isinstance(geometry, MultiPolygon) else MultiPolygon([geometry])


def unwrapped(geometry: Polygon | MultiPolygon) -> MultiPolygon:
    """Return the geometry with rings that cross the date line drawn past it, not yet cut.

    Rings that wind around the globe have no such form; polygons with one come back untouched.
    """
    parts: list[Polygon] = []
    for polygon in shapely.get_parts(geometry):
        shell, holes = _rings(polygon)
        if any(ring.winds for ring in (shell, *holes)):
            parts.append(polygon)
        else:
            parts.append(Polygon(shell.xy, [_beside(hole.xy, shell.xy) for hole in holes]))
    return MultiPolygon(parts)


def _needs_cut(geometry: Polygon | MultiPolygon) -> bool:
    rings = shapely.get_rings(shapely.get_parts(geometry))
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    beyond = np.abs(xy[:, 0]) > 180.0 + _NUISANCE
    return bool(beyond.any() or (_jumps(xy) & same).any())


def _seams(xy: Coordinates) -> Bools:
    start, end = xy[:-1, 1], xy[1:, 1]
    seams: Bools = (np.abs(start) == 90.0) & (start == end)
    return seams


def _jumps(xy: Coordinates) -> Bools:
    jumps: Bools = (np.abs(np.diff(xy[:, 0])) > 180.0) & ~_seams(xy)
    return jumps


def _unwrapped(xy: Coordinates) -> _Ring:
    turns = np.where(_jumps(xy), -360.0 * np.rint(np.diff(xy[:, 0]) / 360.0), 0.0)
    left_over = turns.sum()
    if left_over and _seams(xy).any():
        # The ring already runs along its pole, where longitude means nothing: the turn is there.
        steps = np.abs(np.diff(xy[:, 0]))
        turns[np.argmax(np.where(_seams(xy), steps, -1.0))] -= left_over
        left_over = 0.0
    out = xy.copy()
    out[1:, 0] += np.cumsum(turns)
    if left_over:
        pole = 90.0 if xy[:, 1].mean() > 0 else -90.0
        out = np.vstack([out, [out[-1, 0], pole], [out[0, 0], pole], out[0]])
    return _Ring(out, bool(left_over))


def _rings(polygon: Polygon) -> tuple[_Ring, list[_Ring]]:
    shell = _unwrapped(shapely.get_coordinates(polygon.exterior))
    return shell, [_unwrapped(shapely.get_coordinates(ring)) for ring in polygon.interiors]


def _cut(polygon: Polygon) -> list[Polygon]:
    shell, holes = _rings(polygon)
    if not any(ring.winds for ring in (shell, *holes)):
        return _strips(Polygon(shell.xy, [_beside(hole.xy, shell.xy) for hole in holes]))
    # A cap has no frame of longitudes that holes fit into: they are cut out of its pieces.
    kept = shapely.union_all(_strips(Polygon(shell.xy)))
    lost = shapely.union_all([piece for hole in holes for piece in _strips(Polygon(hole.xy))])
    return _polygons(shapely.difference(kept, lost))


def _beside(hole: Coordinates, shell: Coordinates) -> Coordinates:
    """Return a hole, which was unwrapped by itself, in the frame of its shell."""
    low, high = shell[:, 0].min(), shell[:, 0].max()
    middle = (hole[:, 0].min() + hole[:, 0].max()) / 2
    east = max(np.ceil((low - middle) / 360.0), 0.0)
    west = max(np.ceil((middle - high) / 360.0), 0.0)
    moved = hole.copy()
    moved[:, 0] += 360.0 * (east - west)
    return moved


def _strips(whole: Polygon) -> list[Polygon]:
    """Return the pieces between one date line and the next, each shifted into -180 to 180."""
    if not whole.is_valid:
        raise ValueError(f"{shapely.is_valid_reason(whole)} (longitudes unwrapped)")
    low, _, high, _ = whole.bounds
    first = int(np.floor((low + 180.0 + _NUISANCE) / 360.0))
    last = int(np.ceil((high + 180.0 - _NUISANCE) / 360.0))
    pieces: list[Polygon] = []
    for turn in range(first, last):
        strip = shapely.box(360.0 * turn - 180.0, -90.0, 360.0 * turn + 180.0, 90.0)
        piece = shapely.intersection(whole, strip)
        moved = shapely.transform(piece, lambda xy, turn=turn: xy - [360.0 * turn, 0.0])
        pieces += _polygons(moved)
    return pieces


def _polygons(geometry: shapely.Geometry) -> list[Polygon]:
    return [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"]
