"""Simplifies country outlines for maps, keeping small islands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon

_TOLERANCE_DEG = 0.04
_DIGITS = 2
# Square degrees below which a piece of a country is left out, unless it is the largest.
_SPECK = 0.0004


def outlines(shapes: Mapping[str, MultiPolygon]) -> dict[str, Any]:
    """Return countries, cut at the date line, as one GeoJSON object in degrees with two digits."""
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
    # An islet that rounding would remove keeps four digits.
    light = kept if len(kept) >= 4 else np.round(shapely.get_coordinates(ring), 4)
    coordinates: list[list[float]] = light.tolist()
    return coordinates
