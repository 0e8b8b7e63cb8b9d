"""Imports population rasters: read window by window, checked, written as the surface.

The grid stays that of the raster: S1 lists its cells, so a raster of one country gives tiles there
alone. Cells must be square and divide 180 degrees. A step written with few digits is replaced by
the exact one when it differs by less than a millionth and no edge moves by more than a hundredth of
a cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.windows import Window

from segment1b.contracts.faults import coded_read_errors
from segment1b.errors import Segment1BError, file_error, schema_invalid
from segment1b.geo.grid import Grid, read_grid
from segment1b.geo.population import MICRO
from segment1b.geo.warp import warp_line
from segment1b.storage.durable import coded_os_errors
from segment1b.storage.raster_writer import BLOCK, PeopleRaster
from segment1b.storage.rasters import open_raster

#: Cells of a window, 8 bytes each at most.
_PIECE: Final = 1 << 19
#: Share of a cell by which an edge may move when the step is made exact.
_DRIFT: Final = 0.01
#: Relative difference of a step written with few digits from the exact one.
_STEP: Final = 1e-6
#: Above this many people, the micro-persons of a cell are not an integer in float64.
_MOST: Final = 2.0**53 / MICRO


@dataclass
class Count:
    """Exact micro-persons, and numbers of cells by their content."""

    micro_persons: int = 0
    cells_with_people: int = 0
    cells_without_data: int = 0
    largest: float = 0.0


@dataclass(frozen=True)
class Source:
    """A raster to import: path, band, exact grid, the value for no data, the type to write."""

    path: Path
    band: int
    grid: Grid
    nodata: float | None
    dtype: str


def open_source(path: Path, band: int | None, nodata: float | None) -> Source:
    """Return the description of a raster from its header alone.

    Raises E007_CRS_MISMATCH, E002_RASTER_MISMATCH, E004_BOUNDS with the gdalwarp line;
    E_INPUT_UNREADABLE; E_INPUT_SCHEMA_INVALID for a band that cannot hold people.
    """
    grid = read_grid(path)
    with open_raster(path) as raster:
        chosen = _band(path, band, list(raster.descriptions))
        dtype = np.dtype(raster.dtypes[chosen - 1])
        scaled = (raster.scales[chosen - 1], raster.offsets[chosen - 1]) != (1.0, 0.0)
    if scaled:
        raise _band_error(path, f"band {chosen} is scaled: run gdal_translate -unscale on it first")
    if dtype.itemsize == 8 or dtype == np.float16:
        written = "float64"
    else:
        written = "float32" if dtype.kind == "f" else "uint32"
    return Source(path, chosen, _exact(path, grid, chosen), nodata, written)


def copy_people(source: Source, out: Path) -> Count:
    """Write the people of a raster as the population surface, window by window.

    The file is a GeoTIFF, people per cell in uint32, float32 or float64, EPSG:4326, tiled, DEFLATE,
    without nodata: cells without data hold 0. Tiles without people are left out of it.
    E105_NORMALIZATION names row and column of negative, non-finite or too large values.
    """
    count = Count()
    grid = source.grid
    transform = Affine(grid.a, 0, grid.x0, 0, -grid.b, grid.y0)
    with coded_os_errors(out):
        shape = (grid.nrows, grid.ncols)
        target = PeopleRaster(out, shape, transform, source.dtype, "people per cell")
        for window in _windows(source):
            target.write(_people(source, window, count), window.row_off, window.col_off)
        target.check(_windows(source), _micro, count.micro_persons)
    return count


def _exact(path: Path, grid: Grid, band: int) -> Grid:
    """Return the grid with its step exact, or refuse it."""
    cells = max(1, round(180.0 / grid.a))
    step = 180.0 / cells
    allowed = _DRIFT * step

    def differs(one: float, other: float, cells: int) -> bool:
        return abs(one - other) > min(_STEP * step, allowed / cells)

    if differs(grid.a, step, grid.ncols) or differs(grid.b, step, grid.nrows):
        oblong = differs(grid.a, grid.b, max(grid.nrows, grid.ncols))
        what = "are not square" if oblong else "do not divide 180 degrees"
        what = f": cells of {grid.a:.12g} x {grid.b:.12g} degrees {what}"
        raise file_error("E002_RASTER_MISMATCH", path, what, f"run: {warp_line(path, band)}")
    x0, y0 = grid.x0, grid.y0
    west, north = -180 + step * round((x0 + 180) / step), 90 - step * round((90 - y0) / step)
    x0 = west if abs(west - x0) <= allowed else x0
    y0 = north if abs(north - y0) <= allowed else y0
    return Grid(x0, y0, step, step, grid.nrows, grid.ncols)


def _band(path: Path, band: int | None, names: list[str | None]) -> int:
    if band is None and len(names) == 1:
        return 1
    if band is not None and 1 <= band <= len(names):
        return band
    listed = ", ".join(f"{n} ({name or 'no name'})" for n, name in enumerate(names, 1))
    what = f"has no band {band}" if band is not None else "has several bands"
    raise _band_error(path, f"{what}: {listed}; choose one with --band")


def _windows(source: Source) -> Iterator[Window]:
    """Yield windows on the edges of the tiles to write, in rows from the north-west."""
    grid = source.grid
    with open_raster(source.path) as raster:
        block = raster.block_shapes[source.band - 1][0]
    # A window as high as the blocks of the source decodes each once.
    height = BLOCK * min(max(1, -(-block // BLOCK)), _PIECE // BLOCK**2)
    width = BLOCK * max(1, _PIECE // height // BLOCK)
    for top in range(0, grid.nrows, height):
        for left in range(0, grid.ncols, width):
            right, bottom = min(left + width, grid.ncols), min(top + height, grid.nrows)
            yield Window(left, top, right - left, bottom - top)


def _people(source: Source, window: Window, count: Count) -> npt.NDArray[Any]:
    with coded_read_errors(source.path, (RasterioError,)), open_raster(source.path) as raster:
        read = raster.read(source.band, window=window, masked=True)
    values, absent = read.data, np.ma.getmaskarray(read)
    if source.nodata is not None:
        absent |= np.isnan(values) if np.isnan(source.nodata) else values == source.nodata
    values = np.where(absent, 0, values)
    bad = ~((values >= 0) & (values <= _MOST))
    if bad.any():
        raise _impossible(source, window, values, bad)
    people = values.astype(source.dtype)
    count.micro_persons += _micro(people)
    count.cells_with_people += int(np.count_nonzero(people))
    count.cells_without_data += int(absent.sum())
    count.largest = max(count.largest, float(people.max()))
    return people


def _micro(people: npt.NDArray[Any]) -> int:
    """Return the people in millionths, exactly; each cell is rounded half to even, as S2 does."""
    cells = np.rint(people[people > 0].astype(np.float64) * MICRO).astype(np.uint64)
    # Halves of 32 bits: the sum of a window's cells can pass 64.
    high, low = cells >> np.uint64(32), cells & np.uint64(0xFFFFFFFF)
    return (int(high.sum(dtype=np.uint64)) << 32) + int(low.sum(dtype=np.uint64))


def _impossible(
    source: Source, window: Window, values: npt.NDArray[Any], bad: npt.NDArray[np.bool_]
) -> Segment1BError:
    row, col = (int(axis[0]) for axis in np.nonzero(bad))
    value = values[row, col].item()
    row, col = row + window.row_off, col + window.col_off
    cells = int(bad.sum())
    what = f": row {row}, column {col} holds {value} people; {cells} such cells in its window"
    hint = f"if it means no data, give --nodata {value}; else correct the raster"
    place = {"raster_row": row, "raster_col": col}
    return file_error("E105_NORMALIZATION", source.path, what, hint, **place)


def _band_error(path: Path, what: str) -> Segment1BError:
    hint = "a population raster holds people per cell in one band"
    return schema_invalid(path, f": {what}", hint)
