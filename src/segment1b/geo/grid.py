"""The raster grid: rows, columns, tile ids and degrees.

Source: docs/spec/s1-tiles.md#grid
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.errors import CRSError

from segment1b.errors import file_error
from segment1b.geo.areas import cell_area_m2
from segment1b.geo.warp import warp_line
from segment1b.storage.rasters import open_raster

Floats = npt.NDArray[np.float64]

# Degrees a grid may be too wide: more than rounding of a step, less than any cell.
_WIDTH_SLACK = 1e-6
# Share of a cell within which an edge is on the date line: a step written with few digits
# leaves 180.0000000001, and that is no date-line cell.
_EDGE_SLACK = 1e-6


@dataclass(frozen=True)
class Grid:
    """A north-up grid in degrees; every coordinate is computed from the integer, never summed.

    Attributes:
        x0, y0: longitude of the west edge and latitude of the north edge.
        a, b: width and height of a cell, both positive.
        nrows, ncols: number of rows and columns.
    """

    x0: float
    y0: float
    a: float
    b: float
    nrows: int
    ncols: int

    def tile_id(self, rows: npt.ArrayLike, cols: npt.ArrayLike) -> npt.NDArray[np.uint64]:
        """Return row*ncols + col, uint64 [n]."""
        return np.asarray(rows, np.uint64) * np.uint64(self.ncols) + np.asarray(cols, np.uint64)

    def plain_lon(self, cols: npt.ArrayLike) -> Floats:
        """Return longitudes of centres in degrees without wrapping, float64 [n]."""
        return self.x0 + self.a * (np.asarray(cols, np.float64) + 0.5)

    def plain_edge(self, cols: npt.ArrayLike) -> Floats:
        """Return unwrapped longitudes of west edges, put on the date line if within _EDGE_SLACK."""
        lon = self.x0 + self.a * np.asarray(cols, np.float64)
        date_line = 360.0 * np.floor(lon / 360.0) + 180.0
        return np.where(np.abs(lon - date_line) <= self.a * _EDGE_SLACK, date_line, lon)

    def plain_north(self, rows: npt.ArrayLike) -> Floats:
        """Return latitudes of north edges in degrees without clamping, float64 [n]."""
        return self.y0 - self.b * np.asarray(rows, np.float64)

    def centre_lon(self, cols: npt.ArrayLike) -> Floats:
        """Return longitudes of centres, float64 [n], degrees in [-180, 180)."""
        return _from_west(self.plain_lon(cols))

    def centre_lat(self, rows: npt.ArrayLike) -> Floats:
        """Return latitudes of centres, float64 [n], degrees."""
        return self.y0 - self.b * (np.asarray(rows, np.float64) + 0.5)

    def west(self, cols: npt.ArrayLike) -> Floats:
        """Return longitudes of west edges, float64 [n], degrees in [-180, 180)."""
        return _from_west(self.plain_edge(cols))

    def east(self, cols: npt.ArrayLike) -> Floats:
        """Return longitudes of east edges, float64[n], degrees in (-180, 180]."""
        lon = _from_west(self.plain_edge(np.asarray(cols, np.float64) + 1.0))
        return np.where(lon == -180.0, 180.0, lon)

    def north(self, rows: npt.ArrayLike) -> Floats:
        """Return latitudes of north edges, float64 [n], degrees, at most 90."""
        return np.clip(self.plain_north(rows), -90.0, 90.0)

    def south(self, rows: npt.ArrayLike) -> Floats:
        """Return latitudes of south edges, float64 [n], degrees, at least -90."""
        return np.clip(self.plain_north(np.asarray(rows, np.float64) + 1.0), -90.0, 90.0)

    def area_m2(self, rows: npt.ArrayLike) -> Floats:
        """Return areas of cells on WGS84 between parallels, float64[n], 12 significant digits."""
        distinct, back = np.unique(np.asarray(rows), return_inverse=True)
        north, south = self.north(distinct), self.south(distinct)
        # The height is the step itself, where no pole cuts it: the difference of two rounded
        # latitudes near zero would cost the last of the twelve digits.
        whole = (north < 90.0) & (south > -90.0)
        height = np.where(whole, self.b, north - south)
        edges = np.column_stack([south, north, height]).tolist()
        areas = [cell_area_m2(self.a, *row) for row in edges]
        return np.array(areas, np.float64)[back]


def _from_west(lon: Floats) -> Floats:
    # Whole turns are subtracted without rounding: the difference of floats so close is exact.
    lon = lon - 360.0 * np.rint(lon / 360.0)
    lon = np.where(lon >= 180.0, lon - 360.0, lon)
    return np.where(lon < -180.0, lon + 360.0, lon)


def read_grid(path: Path) -> Grid:
    """Return the grid of a raster, from its header alone.

    Raises:
        Segment1BError: E002_RASTER_MISMATCH for a rotated, south-up or too wide grid,
            E007_CRS_MISMATCH, E004_BOUNDS for centres beyond a pole, and those of `open_raster`.
    """
    with open_raster(path) as source:
        crs, transform = source.crs, source.transform
        nrows, ncols = source.height, source.width
    if not is_wgs84(crs):
        shown = crs.to_string() if crs else "no CRS"
        problem = f"is in {shown}, not in EPSG:4326"
        raise file_error("E007_CRS_MISMATCH", path, problem, f"run: {warp_line(path)}")
    grid = Grid(transform.c, transform.f, transform.a, -transform.e, nrows, ncols)
    problem = ""
    if transform.b or transform.d:
        problem = "is rotated"
    elif not (grid.a > 0 and grid.b > 0):
        problem = "is not north-up"
    elif grid.a * ncols > 360.0 + _WIDTH_SLACK:
        problem = f"is {grid.a * ncols} degrees wide, more than 360"
    if problem:
        raise file_error("E002_RASTER_MISMATCH", path, problem, f"run: {warp_line(path)}")
    ends = grid.centre_lat([0, nrows - 1])
    if ends[0] > 90.0 or ends[1] < -90.0:
        problem = f": row centres run from {ends[0]} to {ends[1]} degrees of latitude"
        raise file_error("E004_BOUNDS", path, problem, f"run: {warp_line(path)}")
    return grid


def is_wgs84(crs: CRS | None) -> bool:
    """Return whether a CRS is EPSG:4326 or OGC:CRS84."""
    if not crs:
        return False
    try:
        return bool(crs == CRS.from_epsg(4326) or crs == CRS.from_user_input("OGC:CRS84"))
    except CRSError:
        return False
