"""Countries between -180 and 180: which points lie strictly inside, and where they meet tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon

from segment1b.audit.case import Case
from segment1b.audit.s1.membership import countries
from segment1b.audit.s1.polygons import Country, moved

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
_POLYGON = 3
_EDGE = 180.0


@dataclass(frozen=True)
class Meeting:
    """Where a tile and its country meet, degrees; longitudes run on from the tile's centroid.

    Attributes:
        surface: the point on the surface of its largest piece.
        west, south, east, north: envelope of the polygonal part.
    """

    surface: tuple[float, float]
    west: float
    south: float
    east: float
    north: float


class Area:
    """A country's shape, every piece moved between -180 and 180."""

    def __init__(self, country: Country) -> None:
        whole = country.shape
        if np.abs(whole.bounds).max() > _EDGE:
            pieces = [one for part in shapely.get_parts(whole) for one in _between(part)]
            whole = MultiPolygon(pieces)
            if not whole.is_valid:
                whole = MultiPolygon(_polygons(shapely.union_all(pieces)))
        shapely.prepare(whole)
        self.shape = whole

    def holds(self, lon: Floats, lat: Floats) -> Bools:
        """Return which points are strictly inside, bool [n]."""
        return np.asarray(shapely.contains_xy(self.shape, lon, lat), np.bool_)

    def surrounds(self, west: Floats, south: Floats, east: Floats, north: Floats) -> Bools:
        """Return which closed tiles lie properly inside; one across the date line never does."""
        plain = np.flatnonzero(west <= east)
        found = np.zeros(len(west), np.bool_)
        boxes = shapely.box(west[plain], south[plain], east[plain], north[plain])
        found[plain] = shapely.contains_properly(self.shape, boxes)
        return found

    def meet(self, west: float, south: float, east: float, north: float, lon: float) -> Meeting:
        """Return where the country meets a tile; west > east marks one across the date line."""
        if west <= east:
            spans = [(west, east, 0.0)]
        elif lon >= 0:
            spans = [(west, 180.0, 0.0), (-180.0, east, 360.0)]
        else:
            spans = [(west, 180.0, -360.0), (-180.0, east, 0.0)]
        pieces: list[Polygon] = []
        for left, right, turn in spans:
            met = shapely.intersection(self.shape, shapely.box(left, south, right, north))
            pieces += [moved(one, turn) for one in _polygons(met) if one.area > 0]
        if not pieces:
            raise ValueError(f"tile {west}..{east}, {south}..{north} and country do not meet")
        bounds: list[float] = shapely.total_bounds(pieces).tolist()
        largest = max(pieces, key=lambda one: float(one.area))
        point = shapely.point_on_surface(largest)
        return Meeting((point.x, point.y), *bounds)


def _between(part: Polygon) -> list[Polygon]:
    west, _, east, _ = part.bounds
    if west >= -_EDGE and east <= _EDGE:
        return [part]
    pieces = []
    for turn in range(-2, 3):
        strip = shapely.box(360.0 * turn - 180, -90, 360.0 * turn + 180, 90)
        cut = shapely.intersection(part, strip)
        pieces += [moved(one, -360.0 * turn) for one in _polygons(cut)]
    return pieces


def _polygons(shape: Any) -> list[Polygon]:
    """Return the polygons of a geometry, however deep they lie in collections."""
    parts: Sequence[Any] = shapely.get_parts(shapely.get_parts(shape))
    return [one for one in parts if shapely.get_type_id(one) == _POLYGON]


def area_of(case: Case, code: str) -> Area | None:
    """Return a country's area, made once; None where it has no usable polygon."""

    def make() -> Area | None:
        usable = (one for one in countries(case) if one.code == code and not one.fault)
        return next(map(Area, usable), None)

    return case.published.once(f"area of {code}", make)
