"""The grid of the population raster, read from its header."""

from __future__ import annotations

from dataclasses import dataclass

from segment1b.audit.published_files import Published, UnusableError
from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import Segment1BError
from segment1b.storage.rasters import open_raster

_REFUSED = "E002_RASTER_MISMATCH"
_RASTER = "population_raster_2025"


@dataclass(frozen=True)
class Grid:
    """The raster's grid: lon = x0 + a*column, lat = y0 - b*row, in degrees."""

    nrows: int
    ncols: int
    x0: float
    y0: float
    a: float
    b: float


def read_grid(published: Published) -> Grid:
    """Return the grid of the population raster."""
    return grid_of(published, _RASTER)


def grid_of(published: Published, name: str) -> Grid:
    """Return the grid of a north-up raster in degrees."""
    path = published.path(name)
    if not path.is_file():
        raise UnusableError(name, "absent", "is absent", path)
    try:
        with open_raster(path) as source:
            crs, step, size = source.crs, source.transform, (source.height, source.width)
    except Segment1BError as error:
        raise_machine_fault(error, path)
        raise UnusableError(name, "damaged", error.message, path) from None
    if crs is None or crs.to_epsg() != 4326:
        raise UnusableError(name, "schema", f"is in {crs}", path, "E007_CRS_MISMATCH")
    grid = Grid(size[0], size[1], float(step.c), float(step.f), float(step.a), float(-step.e))
    refused = {
        "is rotated": step.b != 0 or step.d != 0,
        "is not north-up": not (grid.a > 0 and grid.b > 0),
        "is wider than 360 degrees": grid.a * grid.ncols > 360 * (1 + 1e-12),
    }
    for reason, is_so in refused.items():
        if is_so:
            raise UnusableError(name, "schema", reason, path, _REFUSED)
    return grid
