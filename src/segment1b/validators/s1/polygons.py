"""Country polygons as read from disk, made continuous across the antimeridian.

Nothing is cut here: a ring that crosses the date line is unwrapped and may reach past +-180, so a
point is looked for at its longitude and at whole turns from it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import shapely
from shapely import MultiPolygon, Polygon

Floats = npt.NDArray[np.float64]
_LON_LAT = {("OGC", "CRS84"), ("EPSG", 4326), ("EPSG", "4326")}


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

    def holds(self, lon: Floats, lat: Floats) -> npt.NDArray[np.bool_]:
        """Return whether points lie in a closed shell and not in a closed hole of that part."""
        inside = np.zeros(len(lon), np.bool_)
        for part in shapely.get_parts(self.shape):
            west, south, east, north = part.bounds
            near = np.flatnonzero((lon >= west) & (lon <= east) & (lat >= south) & (lat <= north))
            for ring, keep in ((part.exterior, True), *((r, False) for r in part.interiors)):
                if len(near):
                    area = Polygon(ring)
                    shapely.prepare(area)
                    hit = shapely.intersects_xy(area, lon[near], lat[near])
                    near = near[hit] if keep else near[~hit]
            inside[near] = True
        return inside


def read_countries(path: Path) -> Iterator[Country]:
    """Yield the countries of a GeoParquet file in ASCII order of their codes."""
    table = pq.read_table(path, columns=["country_iso", "geom"])
    codes = table.column("country_iso").to_pylist()
    shapes = table.column("geom").to_pylist()
    for code in sorted({code for code in codes if code is not None}):
        own = [shape for name, shape in zip(codes, shapes, strict=True) if name == code]
        yield _country(code, own)


def crs_fault(path: Path) -> str:
    """Return what is wrong with the file's declared CRS, or nothing."""
    metadata = pq.read_schema(path).metadata or {}
    if b"geo" not in metadata:
        return ""
    try:
        geo = json.loads(metadata[b"geo"])
        crs: Any = geo["columns"]["geom"].get("crs")
        # GeoParquet: no crs means OGC:CRS84.
        known = crs is None or (crs["id"]["authority"], crs["id"]["code"]) in _LON_LAT
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"unreadable GeoParquet metadata: {error!r}"
    return "" if known else f"declared CRS is {crs.get('id')}"


def _country(code: str, blobs: list[bytes | None]) -> Country:
    empty = MultiPolygon()
    try:
        read = shapely.from_wkb(np.array(blobs, object))
    except shapely.errors.GEOSException as error:
        return Country(code, empty, f"not WKB: {error}")
    parts = [p for p in shapely.get_parts(read) if p is not None and not p.is_empty]
    if not parts or any(p.geom_type != "Polygon" for p in parts):
        return Country(code, empty, "empty, or not made of polygons")
    unwrapped = [_unwrap(part) for part in parts]
    for part in unwrapped:
        if not part.is_valid:
            return Country(code, empty, shapely.is_valid_reason(part))
    whole = MultiPolygon(unwrapped)
    if not whole.is_valid:
        # Parts that overlap or share a border become one before anything is asked of it.
        merged = shapely.union_all(unwrapped)
        whole = MultiPolygon(shapely.get_parts(merged).tolist())
    return Country(code, whole)


def _unwrap(part: Polygon) -> Polygon:
    rings = [shapely.get_coordinates(ring) for ring in (part.exterior, *part.interiors)]
    if all(np.abs(np.diff(ring[:, 0])).max() <= 180 for ring in rings):
        return part
    shell = _continuous(rings[0])
    west, east = shell[:, 0].min(), shell[:, 0].max()
    holes = []
    for ring in rings[1:]:
        hole = _continuous(ring)
        # A hole lies in its shell's turn.
        middle = (hole[:, 0].min() + hole[:, 0].max()) / 2
        hole[:, 0] -= 360 * np.round((middle - (west + east) / 2) / 360)
        holes.append(hole)
    return Polygon(shell, holes)


def _continuous(ring: Floats) -> Floats:
    """Return a ring without jumps; one that winds round the globe is closed over its pole."""
    out = ring.copy()
    # Whole turns only: numpy's own corrections are rounded.
    turns = np.rint((np.unwrap(ring[:, 0], period=360) - ring[:, 0]) / 360)
    out[:, 0] += 360 * turns
    if abs(out[-1, 0] - out[0, 0]) < 180:
        return out
    pole = 90.0 if ring[:, 1].mean() > 0 else -90.0
    over = np.array([[out[-1, 0], pole], [out[0, 0], pole], out[0]])
    return np.concatenate([out, over])
