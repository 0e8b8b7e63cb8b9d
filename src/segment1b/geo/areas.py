"""Areas on the WGS84 ellipsoid: of shapes by an equal-area map, of grid cells exactly."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

Floats = npt.NDArray[np.float64]
Shapes = npt.NDArray[np.object_]

_RADIUS_KM: Final = 6378.137
_ECCENTRICITY_SQUARED: Final = 0.00669437999014132
_SEMI_MINOR_NM: Final = 6_356_752_314_245_179
# Fixed-point numbers: whole multiples of 2^-112, of which 1e-25 is left where polar sines cancel.
_BITS: Final = 112
_ONE: Final = 1 << _BITS
_E2: Final = round(Fraction("0.00669437999014132") * _ONE)
_PI: Final = 0x3_243F6A8885A308D313198A2E0370


def as_array(shapes: Iterable[BaseGeometry]) -> Shapes:
    """Return an object array of shapes."""
    return np.array(list(shapes), object)


def equal_area(shapes: Iterable[BaseGeometry]) -> Shapes:
    """Project n shapes in degrees to an equal-area plane: object[n], kilometres."""
    pole = _authalic(np.pi / 2)
    radius = _RADIUS_KM * np.sqrt(pole / 2)

    def projected(xy: Floats) -> Floats:
        x = np.radians(xy[:, 0]) * radius
        y = radius * _authalic(np.radians(xy[:, 1])) / pole
        return np.column_stack([x, y])

    laid: Shapes = shapely.transform(as_array(shapes), projected)
    return laid


def area_km2(shapes: Iterable[BaseGeometry]) -> Floats:
    """Return areas of n shapes in degrees on the WGS84 ellipsoid, float64[n], km2."""
    areas: Floats = shapely.area(equal_area(shapes))
    return areas


def cell_area_m2(width: float, south: float, north: float, height: float) -> float:
    """Return the area of a grid cell in m2, correctly rounded to 12 significant digits.

    No operation is left to a platform's mathematical library, so every platform gives the same
    digits. Source: docs/spec/s1-tiles.md#cell-area

    Args:
        width: of the cell, degrees.
        south, north: its edges as published, degrees, rounded to float64.
        height: degrees between its edges, not rounded.
    """
    middle, half = _fixed(south) + _fixed(north) >> 1, _fixed(height) >> 1
    low, high = _sine(middle - half), _sine(middle + half)
    low_squared, high_squared = low * low >> _BITS, high * high >> _BITS
    # The integral of cos(p) / (1 - e2 sin(p)^2)^2 as a power series in e2.
    total, k, power = 0, 0, _ONE
    while power:
        total += (power * (high - low) >> _BITS) * (k + 1) // (2 * k + 1)
        low, high = low * low_squared >> _BITS, high * high_squared >> _BITS
        k, power = k + 1, power * _E2 >> _BITS
    square_nm = _SEMI_MINOR_NM**2 * (_fixed(width) * _PI // 180) * total
    area = Decimal(square_nm) / Decimal(10**18 * _ONE**3)
    return float(f"{area:.11e}")


def _fixed(degrees: float) -> int:
    return int(degrees * float(_ONE))


def _sine(degrees: int) -> int:
    x = (degrees * _PI >> _BITS) // 180
    squared, term, total, n = x * x >> _BITS, x, x, 1
    while abs(term) > 1:
        n += 2
        term = -(term * squared >> _BITS) // (n * (n - 1))
        total += term
    return total


def _authalic(latitude: Any) -> Any:
    e, s = np.sqrt(_ECCENTRICITY_SQUARED), np.sin(latitude)
    bowed = s / (1 - _ECCENTRICITY_SQUARED * s * s)
    return (1 - _ECCENTRICITY_SQUARED) * (bowed - np.log((1 - e * s) / (1 + e * s)) / (2 * e))
