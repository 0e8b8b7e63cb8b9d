"""Country outlines, light enough for a page: simplified, small islands kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon

_TOLERANCE_DEG = 0.04
_DIGITS = 2
#: Square degrees below which a piece of a country of several is left out: a speck at any zoom.
_SPECK = 0.0004


def outlines(shapes: Mapping[str, MultiPolygon]) -> dict[str, Any]:
    """Return the countries as one GeoJSON object, degrees with two digits.

    Args:
        shapes: polygons by country, cut at the date line.
    """
    features = [
        {
            "type": "Feature",
            "id": code,
            "properties": {},
            "geometry": {"type": "MultiPolygon", "coordinates": _light(shape)},
        }
        for code, shape in sorted(shapes.items())
    ]
    return {"type": "FeatureCollection", "features": features}


def _light(shape: MultiPolygon) -> list[Any]:
    parts = shapely.get_parts(shape)
    areas = shapely.area(parts)
    kept = parts[(areas >= _SPECK) | (areas == areas.max())]
    pieces = []
    for part, light in zip(kept, shapely.simplify(kept, _TOLERANCE_DEG), strict=True):
        for piece in _polygons(light) or [part]:
            rings = [_ring(piece.exterior)] + [
                _ring(hole)
                for hole in piece.interiors
                if shapely.area(shapely.Polygon(hole)) >= _SPECK
            ]
            pieces.append(rings)
    return pieces


def _polygons(shape: Any) -> list[Polygon]:
    return [p for p in shapely.get_parts(shape) if p.geom_type == "Polygon" and not p.is_empty]


def _ring(ring: Any) -> list[list[float]]:
    points = np.round(shapely.get_coordinates(ring), _DIGITS)
    keep = np.ones(len(points), bool)
    keep[1:] = (points[1:] != points[:-1]).any(axis=1)
    kept = points[keep]
    # Rounding may swallow an islet: then its corners stay as they were.
    light = kept if len(kept) >= 4 else np.round(shapely.get_coordinates(ring), 4)
    found: list[list[float]] = light.tolist()
    return found
