"""Population rasters: imported ones are copied, the embedded prior is resampled.

The grid of an import stays that of the raster: S1 lists its cells, so a raster of one country gives
tiles there alone. Cells must be square and divide 180 degrees. A step written with few digits is
replaced by the exact one when it differs by less than a millionth and no edge moves by more than a
hundredth of a cell. The law of resampling: docs/spec/reference-surfaces.md#other-resolutions
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
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
from segment1b.reference import embedded
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
SOURCE_ARCSEC: Final = 180
#: Finer cells would be nearly all empty; the coarsest still count their people in 32 bits.
FINEST_ARCSEC: Final = 3
COARSEST_ARCSEC: Final = 108_000

_HALF_TURN: Final = 648_000
#: Parts held at a time, 4 bytes each.
_PARTS: Final = 1 << 24
_GOLDEN, _PLASTIC, _PLASTIC_SQUARED = 0.6180339887498949, 0.7548776662466927, 0.5698402909980532
_ONE_BAND: Final = "a population raster holds people per cell in one band"

People = npt.NDArray[np.uint32]


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
    block: int  # rows of a block of the file

    @property
    def shape(self) -> tuple[int, int]:
        """Return the rows and columns."""
        return self.grid.nrows, self.grid.ncols

    def windows(self) -> Iterator[Window]:
        """Yield windows on the edges of the tiles to write."""
        # A window as high as the blocks of the source decodes each once.
        height = BLOCK * min(max(1, -(-self.block // BLOCK)), _PIECE // BLOCK**2)
        return windows(self.shape, height, BLOCK * max(1, _PIECE // height // BLOCK))


def windows(shape: tuple[int, int], height: int, width: int) -> Iterator[Window]:
    """Yield the windows of a raster of that shape (rows, columns), in rows from the north-west."""
    rows, cols = shape
    for top in range(0, rows, height):
        for left in range(0, cols, width):
            yield Window(left, top, min(width, cols - left), min(height, rows - top))


def open_source(path: Path, band: int | None, nodata: float | None) -> Source:
    """Return the description of a raster from its header alone.

    Raises E007_CRS_MISMATCH, E002_RASTER_MISMATCH, E004_BOUNDS with the gdalwarp line;
    E_INPUT_UNREADABLE; E_INPUT_SCHEMA_INVALID for a band that cannot hold people.
    """
    grid = read_grid(path)
    with open_raster(path) as raster:
        chosen = _band(path, band, raster.descriptions)
        dtype, block = np.dtype(raster.dtypes[chosen - 1]), raster.block_shapes[chosen - 1][0]
        scaled = (raster.scales[chosen - 1], raster.offsets[chosen - 1]) != (1.0, 0.0)
    if scaled:
        what = f": band {chosen} is scaled: run gdal_translate -unscale on it first"
        raise schema_invalid(path, what, _ONE_BAND)
    if dtype.itemsize == 8 or dtype == np.float16:
        written = "float64"
    else:
        written = "float32" if dtype.kind == "f" else "uint32"
    return Source(path, chosen, _exact(path, grid, chosen), nodata, written, block)


def copy_people(source: Source, out: Path, text: str = "people per cell") -> Count:
    """Write the people of a raster as the population surface, window by window.

    The file is a GeoTIFF, people per cell in uint32, float32 or float64, EPSG:4326, tiled, DEFLATE,
    without nodata: cells without data hold 0. Tiles without people are left out of it. `text`
    describes the band.
    E105_NORMALIZATION names row and column of negative, non-finite or too large values.
    """
    count = Count()
    grid = source.grid
    transform = Affine(grid.a, 0, grid.x0, 0, -grid.b, grid.y0)
    with coded_os_errors(out):
        target = PeopleRaster(out, source.shape, transform, source.dtype, text)
        for window in source.windows():
            target.write(_people(source, window, count), window.row_off, window.col_off)
        target.check(source.windows(), _micro, count.micro_persons)
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


def _band(path: Path, band: int | None, names: Sequence[str | None]) -> int:
    if band is None and len(names) == 1:
        return 1
    if band is not None and 1 <= band <= len(names):
        return band
    listed = ", ".join(f"{n} ({name or 'no name'})" for n, name in enumerate(names, 1))
    what = f"has no band {band}" if band is not None else "has several bands"
    raise schema_invalid(path, f": {what}: {listed}; choose one with --band", _ONE_BAND)


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


def build_population(resolution_arcsec: int, out: Path) -> None:
    """Write the embedded population prior at another resolution.

    The file is a GeoTIFF, uint32 people per cell, EPSG:4326, north up, the entire globe, no nodata,
    tiled, DEFLATE; tiles without people are left out of it and read as zeros. The same version of
    GDAL writes the same bytes. Finer cells add no information: people are spread evenly inside each
    source cell. Memory stays below 1 GB at 30 arc-seconds.

    Raises:
        Segment1BError: E_USAGE for a cell size that is not 3..108000 arc-seconds and a divisor of
            648000 (180 degrees); E_DATA_ROOT_UNUSABLE, E_STORAGE_FULL when it cannot be written.
    """
    ratio = ratio_of(resolution_arcsec)
    source = embedded.surface(embedded.RESOLUTIONS["0.05"])
    with coded_os_errors(out):
        if resolution_arcsec == SOURCE_ARCSEC:
            # The same bytes: surfaces are identified by their digest.
            shutil.copyfile(source, out)
            return
        with open_raster(source) as raster:
            people, description = raster.read(1), raster.descriptions[0]
        rows, degrees = _HALF_TURN // resolution_arcsec, resolution_arcsec / 3600
        shape, transform = (rows, 2 * rows), Affine(degrees, 0, -180, 0, -degrees, 90)
        written = PeopleRaster(out, shape, transform, "uint32", description)
        for window in windows(shape, BLOCK, shape[1]):
            top, bottom = window.row_off, window.row_off + window.height
            written.write(resampled(people, ratio, top, bottom), top, 0)
        written.check(windows(shape, BLOCK, shape[1]), _total, _total(people))


def ratio_of(resolution_arcsec: int) -> tuple[int, int]:
    """Return (k, m) for a cell size: a source cell has k x k parts, a cell m x m of them.

    E_USAGE names the nearest valid sizes of one that does not fit.
    """
    r = resolution_arcsec
    if not FINEST_ARCSEC <= r <= COARSEST_ARCSEC or _HALF_TURN % r:
        fits = [d for d in range(FINEST_ARCSEC, COARSEST_ARCSEC + 1) if _HALF_TURN % d == 0]
        near = [*[d for d in fits if d < r][-1:], *[d for d in fits if d > r][:1]]
        raise Segment1BError(
            "E_USAGE",
            f"a cell of {r} arc-seconds is not one of {FINEST_ARCSEC} to "
            f"{COARSEST_ARCSEC} that divides 180 degrees (648000 arc-seconds)",
            f"take {' or '.join(map(str, near))} arc-seconds",
        )
    part = math.gcd(SOURCE_ARCSEC, r)
    return SOURCE_ARCSEC // part, r // part


def split(people: People, k: int, row0: int, col0: int) -> People:
    """Split people per source cell, uint32[h, w], evenly over k x k parts, uint32[h*k, w*k].

    Parts of a cell differ by one at most; (row0, col0) is the position of the first source cell,
    which decides the order of the parts (docs/spec/reference-surfaces.md#other-resolutions).
    """
    if k == 1:
        return people
    height, width = people.shape
    parts = np.zeros((height * k, width * k), np.uint32)
    # Most of the globe is empty: only cells with people are computed.
    rows, cols = np.nonzero(people)
    each, left = np.divmod(people[rows, cols], np.uint32(k * k))
    place = _places(k, rows + row0, cols + col0)
    parts.reshape(height, k, width, k)[rows, :, cols, :] = each[:, None, None] + (
        place < left[:, None, None]
    )
    return parts


def _places(
    k: int, rows: npt.NDArray[np.intp], cols: npt.NDArray[np.intp]
) -> npt.NDArray[np.int32]:
    """Return int32[n, k, k], the place of each part in the order of its cell, 0..k*k-1."""
    parts = k * k
    s, t, u = (_prime_near(parts, x) for x in (_GOLDEN, _PLASTIC, _PLASTIC_SQUARED))
    order = (np.arange(parts, dtype=np.int32) * s % parts).reshape(k, k)
    shift = ((rows * t + cols * u) % parts).astype(np.int32)
    place: npt.NDArray[np.int32] = order + shift[:, None, None]
    place -= (place >= parts) * np.int32(parts)
    return place


def _prime_near(n: int, share: float) -> int:
    """Return the whole number prime to n nearest to n*share, the lower of two."""
    return min((c for c in range(1, n) if math.gcd(c, n) == 1), key=lambda c: abs(c - n * share))


def resampled(people: People, ratio: tuple[int, int], top: int, bottom: int) -> People:
    """Return rows top..bottom-1 of the target, uint32[bottom - top, cols], of all source cells."""
    k, m = ratio
    rows, cols = bottom - top, people.shape[1] * k // m
    cells = np.zeros((rows, cols), np.uint32)
    first, last = top * m // k, -(-bottom * m // k)
    step = max(1, _PARTS // (rows * m * m))
    for left in range(0, cols, step):
        right = min(left + step, cols)
        west, east = left * m // k, -(-right * m // k)
        source = people[first:last, west:east]
        if source.any():
            parts = split(source, k, first, west)
            row, col = top * m - first * k, left * m - west * k
            inner = parts[row : row + rows * m, col : col + (right - left) * m]
            if m > 1:
                down = inner.reshape(rows, m, -1).sum(axis=1, dtype=np.uint32)
                inner = down.reshape(rows, -1, m).sum(axis=2, dtype=np.uint32)
            cells[:, left:right] = inner
    return cells


def _total(people: People) -> int:
    return int(people.sum(dtype=np.uint64))
