"""Country polygons as read from disk, made continuous across the antimeridian.

Nothing is cut here: a ring that crosses the date line is unwrapped and may reach past +-180, so a
point is looked for at its longitude and at whole turns from it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import shapely
from shapely import MultiPolygon, Polygon

from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.texts import parse_json
from segment1b.storage.durable import regular_file
from segment1b.storage.geometries import read_columns, shapes_of_wkb

Floats = npt.NDArray[np.float64]
_HALF_TURN, _POLE = 180.0, 90.0
_TURNS = (-720.0, -360.0, 0.0, 360.0, 720.0)
# Square degrees: more than the rounding of areas, less than any hole.
_LEAST = 1e-9
_LON_LAT = {("OGC", "CRS84"), ("EPSG", 4326), ("EPSG", "4326")}


@dataclass(frozen=True)
class Part:
    """A polygon of a country, and between which latitudes it lies."""

    shape: Polygon
    south: float
    north: float

    @functools.cached_property
    def outline(self) -> list[list[list[float]]]:
        """Return the coordinates of its rings, the shell first."""
        rings = (self.shape.exterior, *self.shape.interiors)
        return [shapely.get_coordinates(ring).tolist() for ring in rings]

    @functools.cached_property
    def rings(self) -> list[Polygon]:
        """Return the areas of its rings, the shell first, prepared."""
        areas = [Polygon(ring) for ring in (self.shape.exterior, *self.shape.interiors)]
        shapely.prepare(areas)
        return areas


@dataclass(frozen=True)
class Country:
    """A country's area in unwrapped longitudes.

    Attributes:
        code: two letters.
        shape: union of its parts.
        fault: why the polygon cannot be used, or empty.
    """

    code: str
    shape: MultiPolygon
    fault: str = ""

    @functools.cached_property
    def edges(self) -> tuple[Floats, Floats]:
        """Return the start and end points of all ring edges, float64 [n, 2] each."""
        rings = shapely.get_rings(shapely.get_parts(self.shape))
        points, ring = shapely.get_coordinates(rings, return_index=True)
        same = ring[1:] == ring[:-1]
        return points[:-1][same], points[1:][same]

    @functools.cached_property
    def parts(self) -> list[Part]:
        """Return its polygons."""
        shapes = shapely.get_parts(self.shape).tolist()
        return [Part(one, one.bounds[1], one.bounds[3]) for one in shapes]

    def holds(self, lon: Floats, lat: Floats) -> npt.NDArray[np.bool_]:
        """Return whether points lie in a closed shell and not in a closed hole of that part."""
        order = np.argsort(lat)
        lon, lat = lon[order], lat[order]
        inside = np.zeros(len(lon), np.bool_)
        for part in self.parts:
            low, high = np.searchsorted(lat, part.south), np.searchsorted(lat, part.north, "right")
            west, _, east, _ = part.shape.bounds
            near = low + np.flatnonzero((lon[low:high] >= west) & (lon[low:high] <= east))
            for number, area in enumerate(part.rings if len(near) else ()):
                hit = shapely.intersects_xy(area, lon[near], lat[near])
                near = near[hit == (number == 0)]
            inside[order[near]] = True
        return inside


def read_countries(path: Path) -> Iterator[Country]:
    """Yield the countries of a GeoParquet file in ASCII order of their codes."""
    table = read_columns(regular_file(path), ["country_iso", "geom"])
    codes = table.column("country_iso").to_pylist()
    shapes = table.column("geom").to_pylist()
    for code in sorted({code for code in codes if code is not None}):
        own = [shape for name, shape in zip(codes, shapes, strict=True) if name == code]
        yield replace(_country(code, tuple(own)))  # with no prepared areas of another's


def crs_fault(path: Path) -> str:
    """Return what is wrong with the file's declared CRS, or nothing."""
    metadata = pq.read_schema(path).metadata or {}
    if b"geo" not in metadata:
        return ""
    try:
        geo = parse_json(metadata[b"geo"])
        crs: Any = geo["columns"]["geom"].get("crs")
        # GeoParquet: no crs means OGC:CRS84.
        known = crs is None or (crs["id"]["authority"], crs["id"]["code"]) in _LON_LAT
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"unreadable GeoParquet metadata: {error!r}"
    return "" if known else f"declared CRS is {crs.get('id')}"


@functools.lru_cache(maxsize=512)  # parts of a world read the same bytes
def _country(code: str, blobs: tuple[bytes | None, ...]) -> Country:
    empty = MultiPolygon()
    try:
        read = shapes_of_wkb(np.array([*blobs, None], object)[:-1])
    except shapely.errors.GEOSException as error:
        raise_machine_fault(error)
        return Country(code, empty, f"not WKB: {error}")
    parts = [p for p in shapely.get_parts(read) if p is not None and not p.is_empty]
    if not parts or any(p.geom_type != "Polygon" for p in parts):
        return Country(code, empty, "empty, or not made of polygons")
    try:
        unwrapped = [piece for part in parts for piece in _unwrap(part)]
    except ValueError as error:
        return Country(code, empty, str(error))
    if not unwrapped:
        return Country(code, empty, "has no area")
    whole = MultiPolygon(unwrapped)
    if not whole.is_valid:
        # Parts that overlap or share a border are merged first.
        merged = shapely.union_all(unwrapped)
        whole = MultiPolygon(shapely.get_parts(merged).tolist())
    return Country(code, whole)


class _Ring(NamedTuple):
    """A ring's points without jumps of longitude, and whether it ends a turn from its start."""

    points: Floats
    winds: bool


def _unwrap(part: Polygon) -> list[Polygon]:
    """Return the pieces of a polygon without jumps; raise ValueError where it is invalid."""
    rings = [shapely.get_coordinates(ring) for ring in (part.exterior, *part.interiors)]
    if all(np.abs(np.diff(ring[:, 0])).max() <= _HALF_TURN for ring in rings):
        return [_valid(part)]
    shell, *holes = (_continuous(ring) for ring in rings)
    if np.abs(shell.points[:, 1]).max() < _POLE and not any(hole.winds for hole in (shell, *holes)):
        return [_valid(Polygon(shell.points, [_in_turn(shell, hole) for hole in holes]))]
    pole = _pole(shell) if shell.winds else None
    whole: Any = _cap(shell, pole)
    around = [_cap(hole, pole) for hole in holes if hole.winds]
    if shell.winds and around:
        if len(around) > 1:
            raise ValueError("its shell and more than one hole wind round the globe")
        # A belt lies between two rings, whichever of them is called the hole.
        inner, outer = sorted((whole, *around), key=lambda cap: float(cap.area))
        whole, around = _less(outer, inner), []
    lost = [*around, *(_cap(hole, None) for hole in holes if not hole.winds)]
    left = _less(whole, shapely.union_all(lost)) if lost else whole
    return [piece for piece in shapely.get_parts(left) if piece.geom_type == "Polygon"]


def _continuous(ring: Floats) -> _Ring:
    """Return a ring without jumps, started where it leaves the pole, if it comes to one.

    The line from its end to its start is a seam, along which longitude means nothing.
    """
    points = ring[:-1]
    polar = np.abs(points[:, 1]) == _POLE
    seams = polar & (points[:, 1] == np.roll(points[:, 1], -1))
    lengths = np.abs(np.roll(points[:, 0], -1) - points[:, 0])
    if seams.any():
        points = np.roll(points, -1 - int(np.argmax(np.where(seams, lengths, -1))), axis=0)
    else:
        start = int(np.argmax(polar))
        points = np.roll(points, -start, axis=0)
        points = np.concatenate([points, points[:1]])
    on_pole = np.abs(points[:, 1]) == _POLE
    breaks = 1 + np.flatnonzero(on_pole[1:] & (points[1:, 1] == points[:-1, 1]))
    turn, stretches = 0.0, []
    for stretch in np.split(points, breaks):
        # Whole turns only: numpy's own corrections are rounded.
        turns = turn + np.rint((np.unwrap(stretch[:, 0], period=360) - stretch[:, 0]) / 360)
        stretches.append(stretch + 360 * np.column_stack([turns, np.zeros(len(turns))]))
        turn = turns[-1]
    points = np.concatenate(stretches)
    return _Ring(points, not polar.any() and points[-1, 0] != points[0, 0])


def _pole(ring: _Ring) -> float:
    return _POLE if ring.points[:-1, 1].mean() > 0 else -_POLE


def _cap(ring: _Ring, pole: float | None) -> Polygon:
    """Return the area of a ring, one that winds closed over a pole: its hemisphere's where None."""
    points = ring.points
    if ring.winds:
        over = _pole(ring) if pole is None else pole
        points = np.concatenate([points, [[points[-1, 0], over], [points[0, 0], over]]])
    return _valid(Polygon(points))


def _less(whole: Any, lost: Any) -> Any:
    """Return what is left of an area without another, which lies in it in one turn or across two.

    A ring may lead a turn to the east or to the west of where it starts.
    """
    outside: Any = lost
    for turn in _TURNS:
        outside = shapely.difference(outside, moved(whole, turn))
    if outside.area > _LEAST:
        raise ValueError("a hole does not lie in its shell")
    return shapely.difference(whole, shapely.union_all([moved(lost, turn) for turn in _TURNS]))


def _in_turn(shell: _Ring, hole: _Ring) -> Floats:
    """Return a hole in the turn of longitude in which its shell lies."""
    middles = [(ring.points[:, 0].min() + ring.points[:, 0].max()) / 2 for ring in (shell, hole)]
    turns = np.round((middles[0] - middles[1]) / 360)
    inside: Floats = hole.points + np.array([360 * turns, 0.0])
    return inside


def moved(shape: Any, turn: float) -> Any:
    """Return a shape moved by degrees of longitude."""
    if not turn:
        return shape
    return shapely.transform(shape, lambda points: points + np.array([turn, 0.0]))


def _valid(area: Polygon) -> Polygon:
    if not area.is_valid:
        raise ValueError(shapely.is_valid_reason(area))
    return area
