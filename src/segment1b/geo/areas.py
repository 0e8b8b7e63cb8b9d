"""Areas on the WGS84 ellipsoid, by the cylindrical equal-area map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

Floats = npt.NDArray[np.float64]
Shapes = npt.NDArray[np.object_]

_RADIUS_KM: Final = 6378.137
_ECCENTRICITY_SQUARED: Final = 0.00669437999014132


def as_array(shapes: Iterable[BaseGeometry]) -> Shapes:
    """Return an object array of shapes; numpy alone would take collections apart."""
    listed = list(shapes)
    array = np.empty(len(listed), object)
    array[:] = listed
    return array


def equal_area(shapes: Iterable[BaseGeometry]) -> Shapes:
    """Lay shapes on a plane on which areas are those of the ellipsoid.

    Args:
        shapes: n shapes, degrees.

    Returns:
        object[n], the same shapes in kilometres; a parallel stays a straight line.
    """
    pole = _authalic(np.pi / 2)
    radius = _RADIUS_KM * np.sqrt(pole / 2)

    def projected(xy: Floats) -> Floats:
        x = np.radians(xy[:, 0]) * radius
        y = radius * _authalic(np.radians(xy[:, 1])) / pole
        return np.column_stack([x, y])

    laid: Shapes = shapely.transform(as_array(shapes), projected)
    return laid


def area_km2(shapes: Iterable[BaseGeometry]) -> Floats:
    """Measure areas on the WGS84 ellipsoid.

    Args:
        shapes: n shapes, degrees.

    Returns:
        float64[n], km2.
    """
    areas: Floats = shapely.area(equal_area(shapes))
    return areas


def _authalic(latitude: Any) -> Any:
    e, s = np.sqrt(_ECCENTRICITY_SQUARED), np.sin(latitude)
    bowed = s / (1 - _ECCENTRICITY_SQUARED * s * s)
    return (1 - _ECCENTRICITY_SQUARED) * (bowed - np.log((1 - e * s) / (1 + e * s)) / (2 * e))
