"""A country in S6: points strictly inside, interior tiles, and tiles cut by its border."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon

from segment1b.geo.edges import Ints, edges_of, spread

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
# Cells. An edge this near to a tile counts as touching it: far more than rounding can move it.
_MARGIN = 1e-3


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
        """Return which closed tiles of one grid are properly inside the country, bool[t]."""
        inside = np.zeros(len(west), bool)
        # A tile across the date line touches the cut there. One that no edge comes near is inside
        # when its centre is: GEOS tests the few along the border alone, which saves time.
        plain = np.flatnonzero(west <= east)
        box = west[plain], south[plain], east[plain], north[plain]
        near = self._near_border(*box)
        lon, lat = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        inside[plain[~near]] = self.contains(lon[~near], lat[~near])
        boxes = shapely.box(*(side[near] for side in box))
        inside[plain[near]] = shapely.contains_properly(self._shape, boxes)
        return inside

    def _near_border(self, west: Floats, south: Floats, east: Floats, north: Floats) -> Bools:
        """Return which tiles of one grid an edge touches, or nearly so, bool [t]."""
        if not len(west):
            return np.zeros(0, bool)
        width, height = float((east - west).max()), float((north - south).max())
        left, bottom = float(west.min()), float(south.min())
        cols = np.rint((west - left) / width).astype(np.int64)
        rows = np.rint((south - bottom) / height).astype(np.int64)
        across, up = int(cols.max()) + 1, int(rows.max()) + 1
        edges = edges_of(self._shape)
        touched = _touched(
            (edges.x1 - left) / width,
            (edges.y1 - bottom) / height,
            (edges.x2 - left) / width,
            (edges.y2 - bottom) / height,
            (across, up),
        )
        cell = rows * across + cols
        at = np.minimum(np.searchsorted(touched, cell), max(len(touched) - 1, 0))
        return touched[at] == cell if len(touched) else np.zeros(len(cell), bool)

    def clip(self, west: float, south: float, east: float, north: float, lon: float) -> Clip | None:
        """Return where a tile and the country meet; None where they have no area in common.

        `lon` is the tile's centroid, on whose side longitudes are unwrapped if west > east.
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
            # Polygons of a collection may be in a part of it.
            parts += [
                p for p in shapely.get_parts(shapely.get_parts(moved)) if p.geom_type == "Polygon"
            ]
        parts = [part for part in parts if part.area > 0]
        if not parts:
            return None
        bounds = shapely.total_bounds(parts)
        largest = max(parts, key=lambda part: part.area)
        surface = shapely.point_on_surface(largest)
        left, bottom, right, top = bounds.tolist()
        return Clip(left, right, bottom, top, surface.x, surface.y)


def _touched(x1: Floats, y1: Floats, x2: Floats, y2: Floats, shape: tuple[int, int]) -> Ints:
    """Return the cells `row * across + col` that edges, in cells, touch within _MARGIN."""
    across, up = shape
    low, high = np.minimum(y1, y2), np.maximum(y1, y2)
    first = np.floor(np.clip(low - _MARGIN, 0, up)).astype(np.int64)
    last = np.floor(np.clip(high + _MARGIN, -1, up - 1)).astype(np.int64)
    edge, row = spread(first, last)
    x1, y1, x2, y2 = x1[edge], y1[edge], x2[edge], y2[edge]
    rise = np.where(y1 == y2, 1.0, y2 - y1)
    # How far along the edge it comes into the row's band and leaves it; a level one is all in it.
    ends = [np.clip((row + side - y1) / rise, 0, 1) for side in (-_MARGIN, 1 + _MARGIN)]
    begin = np.where(y1 == y2, 0.0, np.minimum(*ends))
    end = np.where(y1 == y2, 1.0, np.maximum(*ends))
    a, b = x1 + begin * (x2 - x1), x1 + end * (x2 - x1)
    first = np.floor(np.clip(np.minimum(a, b) - _MARGIN, 0, across)).astype(np.int64)
    last = np.floor(np.clip(np.maximum(a, b) + _MARGIN, -1, across - 1)).astype(np.int64)
    which, col = spread(first, last)
    return np.unique(row[which] * across + col)
