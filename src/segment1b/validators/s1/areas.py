"""Cell areas on the WGS84 ellipsoid by the textbook closed form, in 45 decimal digits.

A = b^2/2 * dlon * (F(north) - F(south)) with F(s) = s/(1 - e^2 s^2) + atanh(e s)/e and s the sine
of the latitude. With this many digits the difference may cancel near the poles and still hold.
"""

from __future__ import annotations

import itertools
from decimal import Decimal, localcontext

import numpy as np
import numpy.typing as npt

from segment1b.validators.grid import Grid

_E2 = Decimal("0.00669437999014132")
_B = Decimal("6356752.314245179")
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097")


def row_areas(grid: Grid) -> npt.NDArray[np.float64]:
    """Return the area of a cell of each raster row in square metres, float64 [nrows]."""
    with localcontext() as context:
        context.prec = 45
        degree = _PI / 180
        x_step, y_step, top = Decimal(grid.a), Decimal(grid.b), Decimal(grid.y0)
        edges = [
            max(min(top - y_step * row, Decimal(90)), Decimal(-90)) for row in range(grid.nrows + 1)
        ]
        values = [_primitive(_sine(edge * degree)) for edge in edges]
        scale = _B * _B / 2 * x_step * degree
        areas = [float(scale * (north - south)) for north, south in itertools.pairwise(values)]
    return np.array(areas, np.float64)


def _primitive(s: Decimal) -> Decimal:
    e = _E2.sqrt()
    return s / (1 - _E2 * s * s) + ((1 + e * s) / (1 - e * s)).ln() / (2 * e)


def _sine(x: Decimal) -> Decimal:
    term = total = x
    step = 1
    while abs(term) > Decimal("1e-42"):
        term = -term * x * x / ((step + 1) * (step + 2))
        total += term
        step += 2
    return total
