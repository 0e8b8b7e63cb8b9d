"""What the rows and columns of a grid give their cells: edges, centres and areas, bit for bit.

The area of a cell on the WGS84 ellipsoid is the textbook's closed form in 36 decimal digits,
A = b^2/2 * dlon * (F(north) - F(south)) with F(s) = s/(1 - e^2 s^2) + atanh(e s)/e and s the sine
of the latitude. With so many digits the difference may cancel near the poles and still hold.
"""

from __future__ import annotations

import functools
import math
from decimal import Context, Decimal, localcontext

import numpy as np
import numpy.typing as npt

from segment1b.audit.grid import Grid

_E2 = Decimal("0.00669437999014132")
_B = Decimal("6356752.314245179")
_E = _E2.sqrt(Context(prec=40))
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097")
# Share of a cell within which an edge counts as one on the date line.
_ON_DATE_LINE = 1e-6
Floats = npt.NDArray[np.float64]


@functools.lru_cache(maxsize=4)  # parts of a world ask for the same rows
def grid_rows(grid: Grid) -> dict[str, Floats]:
    """Return north, south, middle_lat (degrees) and area_m2 of each raster row, [nrows] each."""
    number = np.arange(grid.nrows, dtype=np.float64)
    edges = np.clip(grid.y0 - grid.b * np.arange(grid.nrows + 1.0), -90.0, 90.0)
    return {
        "north": edges[:-1],
        "south": edges[1:],
        "middle_lat": grid.y0 - grid.b * (number + 0.5),
        "area_m2": row_areas(grid, edges[:-1], edges[1:]),
    }


def grid_columns(grid: Grid) -> dict[str, Floats]:
    """Return west, east and middle_lon of each raster column in degrees, [ncols] each."""
    number = np.arange(grid.ncols, dtype=np.float64)
    west = _wrapped(grid.x0 + grid.a * number)
    east = _wrapped(grid.x0 + grid.a * (number + 1.0))
    middle = _wrapped(grid.x0 + grid.a * (number + 0.5))
    slack = grid.a * _ON_DATE_LINE
    west[180.0 - np.abs(west) <= slack] = -180.0
    east[180.0 - np.abs(east) <= slack] = 180.0
    middle[middle == 180.0] = -180.0
    return {"west": west, "east": east, "middle_lon": middle}


def row_areas(grid: Grid, north: Floats, south: Floats) -> Floats:
    """Return the area of a cell of each raster row, m2, rounded to 12 significant digits.

    The latitudes are rounded, which near zero would cost the last of these digits. So a cell that
    no pole cuts reaches half a step from its middle.
    """
    with localcontext() as context:
        context.prec = 36
        scale = _B * _B / 2 * Decimal(grid.a) * _PI / 180
        areas = []
        for top, bottom in zip(
            map(Decimal, north.tolist()), map(Decimal, south.tolist()), strict=True
        ):
            height = Decimal(grid.b) if top < 90 and bottom > -90 else top - bottom
            middle = (top + bottom) / 2
            area = scale * _zone(middle - height / 2, middle + height / 2)
            areas.append(float(f"{area:.11e}"))
    return np.array(areas, np.float64)


def _zone(south: Decimal, north: Decimal) -> Decimal:
    s, n = _sine(south * _PI / 180), _sine(north * _PI / 180)
    ratio = (1 + _E * n) * (1 - _E * s) / ((1 - _E * n) * (1 + _E * s))
    return n / (1 - _E2 * n * n) - s / (1 - _E2 * s * s) + ratio.ln() / (2 * _E)


def _sine(x: Decimal) -> Decimal:
    term = total = x
    step = 1
    while abs(term) > Decimal("1e-34"):
        term = -term * x * x / ((step + 1) * (step + 2))
        total += term
        step += 2
    return total


def _wrapped(lon: Floats) -> Floats:
    """Return longitudes in [-180, 180]; the remainder of floats is never rounded."""
    return np.array([math.remainder(x, 360.0) + 0.0 for x in lon.tolist()], np.float64)
