"""Cutting polygons at the antimeridian, so that plane geometry applies.

Source: docs/spec/s1-tiles.md#country-shapes
"""

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
    """Coordinates [n, 2] without jumps; the pole over which a ring around the globe is closed."""

    xy: Coordinates
    pole: float | None


def cut(geometry: Polygon | MultiPolygon) -> MultiPolygon:
    """Return the geometry with every piece inside longitudes -180 to 180.

    A ring edge with |dlon| > 180 crosses the date line. Rings drawn past +-180 are unwrapped.
    Edges with both ends on a pole are seams and stay. A ring that winds 360 degrees turns where it
    touches a pole (on the longest seam, if it has one); one that touches none is closed over the
    pole of its hemisphere. A shell and a hole that both do so bound the land between them.

    Raises:
        ValueError: a polygon that has to be cut is invalid; with reason and place.
    """
    if _needs_cut(geometry):
        parts: list[Polygon] = []
        for polygon in shapely.get_parts(geometry):
            parts += _cut(polygon) if _needs_cut(polygon) else [polygon]
        return MultiPolygon(parts)
    return geometry if isinstance(geometry, MultiPolygon) else MultiPolygon([geometry])


def unwrapped(polygon: Polygon) -> Polygon:
    """Return a polygon with rings drawn past the date line, not cut, or raise ValueError."""
    shell, holes = _rings(polygon)
    if holes and any(ring.pole for ring in (shell, *holes)):
        raise ValueError("winds around the globe and has holes")
    flat = Polygon(shell.xy, [_beside(hole.xy, shell.xy) for hole in holes])
    # A shell around the globe is 360 degrees wide, and longitudes beyond 360 are refused.
    turn = 360.0 if flat.bounds[2] > 360.0 else 0.0
    return shapely.transform(flat, lambda xy: xy - [turn, 0.0]) if turn else flat


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


def _unwrapped(xy: Coordinates, over: float | None = None) -> _Ring:
    """Return a ring without jumps, closed over a pole (its hemisphere's by default) if it winds."""
    seams, at_pole = _seams(xy), np.abs(xy[:-1, 1]) == 90.0
    turns = np.where(_jumps(xy), -360.0 * np.rint(np.diff(xy[:, 0]) / 360.0), 0.0)
    left_over = turns.sum()
    if left_over and at_pole.any():
        if not seams.any():
            # The ring meets its pole in one point: a seam from one meridian to the other.
            first = int(np.argmax(at_pole))
            return _unwrapped(np.insert(xy, first, xy[first], axis=0))
        # On a pole longitude means nothing: the turn is there.
        steps = np.abs(np.diff(xy[:, 0]))
        turns[np.argmax(np.where(seams, steps, -1.0))] -= left_over
        left_over = 0.0
    out = xy.copy()
    out[1:, 0] += np.cumsum(turns)
    if not left_over:
        return _Ring(out, None)
    pole = over or (90.0 if xy[:-1, 1].mean() > 0 else -90.0)
    return _Ring(np.vstack([out, [out[-1, 0], pole], [out[0, 0], pole], out[0]]), pole)


def _rings(polygon: Polygon) -> tuple[_Ring, list[_Ring]]:
    shell = _unwrapped(shapely.get_coordinates(polygon.exterior))
    holes = [_unwrapped(shapely.get_coordinates(h), shell.pole) for h in polygon.interiors]
    return shell, holes


def _cut(polygon: Polygon) -> list[Polygon]:
    shell, holes = _rings(polygon)
    around = [hole for hole in holes if hole.pole]
    if not around and np.abs(shell.xy[:, 1]).max() < 90.0:
        return _strips(Polygon(shell.xy, [_beside(hole.xy, shell.xy) for hole in holes]))
    # At a pole there is no frame of longitudes that holes fit into: they are cut out of the pieces.
    kept = _united(shell)
    if shell.pole and around:
        if len(around) > 1:
            raise ValueError("more than one hole winds around the globe, as the shell does")
        # Which of the two rings is called the hole means nothing on a globe.
        inner, outer = sorted((kept, _united(around[0])), key=lambda shape: float(shape.area))
        kept = _without(outer, inner)
        holes = [hole for hole in holes if not hole.pole]
    return _polygons(_without(kept, shapely.union_all([_united(hole) for hole in holes])))


def _united(ring: _Ring) -> shapely.Geometry:
    return shapely.union_all(_strips(Polygon(ring.xy)))


def _without(kept: shapely.Geometry, lost: shapely.Geometry) -> shapely.Geometry:
    # Not `covers`: turns of longitude are rounded.
    if shapely.difference(lost, kept).area > _NUISANCE:
        raise ValueError("a hole lies outside its shell")
    return shapely.difference(kept, lost)


def _beside(hole: Coordinates, shell: Coordinates) -> Coordinates:
    """Move a hole, which was unwrapped by itself, to the turn of longitude of its shell."""
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
