"""A country as S6 needs it: points strictly inside, interior tiles, and tiles cut by its border."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Clip(NamedTuple):
    """Envelope of the polygonal part of tile and country, and a point on its surface, degrees.

    Longitudes may run past +-180, on the side of the tile's centroid.
    """

    west: float
    east: float
    south: float
    north: float
    lon: float
    lat: float


class Country:
    """A private prepared copy of a country's shape: sharing one among threads crashes GEOS."""

    def __init__(self, shape: MultiPolygon) -> None:
        self._shape = shapely.from_wkb(shapely.to_wkb(shape))
        shapely.prepare(self._shape)

    def contains(self, lon: Floats, lat: Floats) -> Bools:
        """Return which points are strictly inside (test (b)), bool [n]."""
        return np.asarray(shapely.contains_xy(self._shape, lon, lat))

    def interior(self, west: Floats, south: Floats, east: Floats, north: Floats) -> Bools:
        """Return which closed tiles lie properly inside the country, bool [t].

        A tile across the date line (west > east) touches the cut there, so it never does.
        """
        plain = west <= east
        boxes = shapely.box(np.where(plain, west, east), south, np.where(plain, east, west), north)
        return np.asarray(shapely.contains_properly(self._shape, boxes)) & plain

    def clip(self, west: float, south: float, east: float, north: float, lon: float) -> Clip | None:
        """Return where a tile and the country meet; None where they have no area in common.

        Args:
            west, south, east, north: the tile; west > east marks one across the date line.
            lon: the tile's centroid, which tells the side on which longitudes are unwrapped.
        """
        if west <= east:
            spans = [(west, east, 0.0)]
        else:
            # Pieces on either side of the date line are brought to the centroid's side.
            turn = 360.0 if lon >= 0 else -360.0
            sides = (0.0, turn) if lon >= 0 else (turn, 0.0)
            spans = [(west, 180.0, sides[0]), (-180.0, east, sides[1])]
        parts = []
        for left, right, turn in spans:
            met = shapely.intersection(self._shape, shapely.box(left, south, right, north))
            moved = shapely.transform(met, lambda xy, turn=turn: xy + np.array([turn, 0.0]))
            parts += [p for p in shapely.get_parts(_flat(moved)) if p.geom_type == "Polygon"]
        parts = [part for part in parts if part.area > 0]
        if not parts:
            return None
        bounds = shapely.total_bounds(parts)
        largest = max(parts, key=lambda part: part.area)
        surface = shapely.point_on_surface(largest)
        left, bottom, right, top = bounds.tolist()
        return Clip(left, right, bottom, top, surface.x, surface.y)


def _flat(geometry: shapely.Geometry) -> shapely.Geometry:
    """Return a collection's parts one level up, so that its polygons are its parts."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return shapely.GeometryCollection(list(parts))
