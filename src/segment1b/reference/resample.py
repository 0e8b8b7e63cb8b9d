"""Resamples the population prior: people split evenly or summed; the total is exact.

Law. The source is the embedded raster of 180 arc-seconds. Its cells are split into k x k parts of
g = gcd(180, r) arc-seconds, k = 180/g, and m x m parts are summed to one cell of r = m*g. A cell
of p people in source row i and column j gives floor(p / k^2) to each part, and the p mod k^2
people that are left go one each to the first parts in the order of the cell: part (a, b), a down
and b across from the north-west, has the position

    ((a*k + b) * s + i*t + j*u) mod k^2,

s, t and u being the whole numbers prime to k^2 nearest to k^2 times 0.618 (1/golden ratio), 0.755
and 0.570 (1/plastic number and its square). All remainders of a cell are equal, so any order is a
largest-remainder split; in this one the parts that get one more are spread over the cell, and the
first of them differs between neighbours, so that people are not shifted to one corner.
"""

from __future__ import annotations

import math
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from rasterio.transform import Affine
from rasterio.windows import Window

from segment1b.contracts.faults import coded
from segment1b.errors import Segment1BError
from segment1b.reference import embedded
from segment1b.storage.durable import fsync_file, fsync_folder
from segment1b.storage.raster_writer import BLOCK, PeopleRaster
from segment1b.storage.rasters import open_raster

SOURCE_ARCSEC: Final = 180
#: Finer cells would be nearly all empty; the coarsest still count their people in 32 bits.
FINEST_ARCSEC: Final = 3
COARSEST_ARCSEC: Final = 108_000

_HALF_TURN: Final = 648_000
#: Parts held at a time, 4 bytes each.
_PIECE: Final = 1 << 24
_GOLDEN, _PLASTIC, _PLASTIC_SQUARED = 0.6180339887498949, 0.7548776662466927, 0.5698402909980532

People = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Grid:
    """How source cells become cells of r arc-seconds: k x k parts each, m x m parts to a cell."""

    arcsec: int
    k: int
    m: int

    @property
    def rows(self) -> int:
        """Rows of the world."""
        return _HALF_TURN // self.arcsec

    @property
    def cols(self) -> int:
        """Columns of the world."""
        return 2 * self.rows


def build_population(resolution_arcsec: int, out: Path) -> None:
    """Write the embedded population prior at another resolution, replacing `out` atomically.

    The file is a GeoTIFF, uint32 people per cell, EPSG:4326, north up, the entire globe, no nodata,
    tiled, DEFLATE; tiles without people are left out of it and read as zeros. The same version of
    GDAL writes the same bytes. Finer cells add no information: people are spread evenly inside each
    source cell. Memory stays below 1 GB at 30 arc-seconds. Source: module docstring.

    Raises:
        Segment1BError: E_USAGE for a cell size that is not 3..108000 arc-seconds and a divisor of
            648000 (180 degrees); E_DATA_ROOT_UNUSABLE, E_STORAGE_FULL when it cannot be written.
    """
    grid = grid_of(resolution_arcsec)
    source = embedded.surface(embedded.RESOLUTIONS["0.05"])
    temporary = out.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        if resolution_arcsec == SOURCE_ARCSEC:
            # The same bytes: surfaces are identified by their digest.
            shutil.copyfile(source, temporary)
        else:
            _resample(source, temporary, grid)
        fsync_file(temporary)
        os.replace(temporary, out)
        fsync_folder(out.parent)
    except OSError as error:
        raise coded(error, out) from None
    finally:
        temporary.unlink(missing_ok=True)


def grid_of(resolution_arcsec: int) -> Grid:
    """Return the grid of a cell size; E_USAGE, with the nearest valid sizes, for another."""
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
    return Grid(r, SOURCE_ARCSEC // part, r // part)


def split(people: People, k: int, row0: int, col0: int) -> People:
    """Split people per source cell, uint32[h, w], evenly over k x k parts, uint32[h*k, w*k].

    Parts of a cell differ by one at most; (row0, col0) is the position of the first source cell,
    which decides the order of the parts (law of the module docstring).
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


def _sum(parts: People, m: int) -> People:
    """Sum m x m parts to one cell: uint32[h*m, w*m] to uint32[h, w]."""
    if m == 1:
        return parts
    height, width = parts.shape
    down = parts.reshape(height // m, m, width).sum(axis=1, dtype=np.uint32)
    cells: People = down.reshape(height // m, width // m, m).sum(axis=2, dtype=np.uint32)
    return cells


def _band(grid: Grid, people: People, top: int, bottom: int) -> People:
    """Return rows top..bottom-1 of the grid, uint32[bottom - top, cols]."""
    band = np.zeros((bottom - top, grid.cols), np.uint32)
    k, m = grid.k, grid.m
    first, last = top * m // k, -(-bottom * m // k)
    step = max(1, _PIECE // ((bottom - top) * m * m))
    for left in range(0, grid.cols, step):
        right = min(left + step, grid.cols)
        west, east = left * m // k, -(-right * m // k)
        cells = people[first:last, west:east]
        if cells.any():
            parts = split(cells, k, first, west)
            inner = parts[
                top * m - first * k : bottom * m - first * k,
                left * m - west * k : right * m - west * k,
            ]
            band[:, left:right] = _sum(inner, m)
    return band


def _resample(source: Path, target: Path, grid: Grid) -> None:
    with open_raster(source) as raster:
        people = raster.read(1)
        description = raster.descriptions[0]
    degrees = grid.arcsec / 3600
    transform = Affine(degrees, 0, -180, 0, -degrees, 90)
    written = PeopleRaster(target, (grid.rows, grid.cols), transform, "uint32", description)
    for window in _bands(grid):
        rows = window.row_off, window.row_off + window.height
        written.write(_band(grid, people, *rows), window.row_off, 0)
    written.check(_bands(grid), _total, _total(people))


def _bands(grid: Grid) -> Iterator[Window]:
    """Yield bands of rows on the edges of the file's blocks."""
    for top in range(0, grid.rows, BLOCK):
        yield Window(0, top, grid.cols, min(BLOCK, grid.rows - top))


def _total(people: People) -> int:
    return int(people.sum(dtype=np.uint64))
