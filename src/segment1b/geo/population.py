"""The population raster: blocks read once, turned into whole micro-persons."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterBlockError, RasterioIOError

from segment1b.contracts.faults import coded_read_errors
from segment1b.errors import Segment1BError
from segment1b.storage.rasters import open_raster

MICRO = 1_000_000
# Above this a mass is no longer a whole number in float64.
_LIMIT = 2.0**53
# Decoded blocks kept for the next country: countries share the blocks along their borders.
_KEPT_BYTES = 256 << 20
# GDAL would keep them a second time, in up to a twentieth of the machine's memory.
_GDAL_KEEPS_BYTES = 16 << 20
# Cells of the rectangle around the cells of one call; scattered islands are read in parts.
_RECTANGLE = 1 << 25

_UNSIGNED = ("uint8", "uint16", "uint32")

Cells = npt.NDArray[np.uint32]


def open_population(path: Path) -> PopulationRaster:
    """Return the raster at a path, one for all threads of the process as long as it is the same."""
    status = path.stat()
    return _opened(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1)
def _opened(path: Path, _mtime: int, _size: int) -> PopulationRaster:
    return PopulationRaster(path)


def close_population() -> None:
    """Let go of the raster and its blocks."""
    _opened.cache_clear()


class CellRaster:
    """An open raster with its last decoded blocks, shared by threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._source = open_raster(path)
        self.nodata: float | None = self._source.nodata
        # Whole numbers of 32 bits at most, none of which means no data: nothing can be wrong.
        self.is_whole = self.nodata is None and self._source.dtypes[0] in _UNSIGNED
        self._blocks: OrderedDict[tuple[int, int], npt.NDArray[Any]] = OrderedDict()
        self._kept = 0
        # A GDAL handle serves one thread at a time.
        self._lock = threading.Lock()

    def values(self, rows: Cells, cols: Cells) -> tuple[npt.NDArray[np.float64], int]:
        """Return the cells' values, float64[n], and the bytes read: only blocks that hold them."""
        height, width = self._source.block_shapes[0]
        row0, col0 = int(rows.min()), int(cols.min())
        shape = (int(rows.max()) - row0 + 1, int(cols.max()) - col0 + 1)
        if shape[0] * shape[1] > _RECTANGLE and len(rows) > 1:
            half = len(rows) // 2
            first, last = (self.values(rows[s], cols[s]) for s in (slice(half), slice(half, None)))
            return np.concatenate([first[0], last[0]]), first[1] + last[1]
        i0, j0 = row0 // height, col0 // width
        across = int(cols.max()) // width - j0 + 1
        held = np.bincount((rows // height - i0).astype(np.int64) * across + (cols // width - j0))
        band, read = np.zeros(shape, self._source.dtypes[0]), 0
        for number in np.flatnonzero(held):
            i, j = divmod(int(number), across)
            i, j = i + i0, j + j0
            block, size = self._block(i, j)
            top, left = i * height - row0, j * width - col0
            part = block[max(0, -top) : shape[0] - top, max(0, -left) : shape[1] - left]
            top, left = max(0, top), max(0, left)
            band[top : top + part.shape[0], left : left + part.shape[1]] = part
            read += size
        return band[rows - row0, cols - col0].astype(np.float64), read

    def _block(self, i: int, j: int) -> tuple[npt.NDArray[Any], int]:
        with self._lock:
            if (i, j) in self._blocks:
                self._blocks.move_to_end((i, j))
                return self._blocks[i, j], 0
            with (
                coded_read_errors(self.path, (RasterioIOError,)),
                rasterio.Env(GDAL_CACHEMAX=_GDAL_KEEPS_BYTES),
            ):
                block = self._source.read(1, window=self._source.block_window(1, i, j))
            self._blocks[i, j] = block
            self._kept += block.nbytes
            while self._kept > _KEPT_BYTES and len(self._blocks) > 1:
                self._kept -= self._blocks.popitem(last=False)[1].nbytes
            return block, self._size(i, j)

    def _size(self, i: int, j: int) -> int:
        try:
            return int(self._source.block_size(1, i, j))
        except RasterBlockError:
            return 0  # a sparse raster stores nothing for an empty block


class PopulationRaster(CellRaster):
    """The open population raster."""

    def masses(self, country: str, rows: Cells, cols: Cells) -> tuple[npt.NDArray[np.int64], int]:
        """Return rint(1e6 * people) of the cells, int64[n], and the compressed bytes read for them.

        Rounds half to even; declared nodata counts as 0. `country` is for the error's place.

        Raises:
            Segment1BError: E105_NORMALIZATION for a negative, non-finite or too large value that
                is not the declared nodata; E_INPUT_UNREADABLE for a damaged block.
        """
        people, read = self.values(rows, cols)
        nodata = self.nodata
        if nodata is not None:
            people[np.isnan(people) if np.isnan(nodata) else people == nodata] = 0.0
        scaled = np.rint(people * MICRO)
        bad = ~((people >= 0) & (scaled <= _LIMIT))
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise Segment1BError(
                "E105_NORMALIZATION",
                f"{self.path}: raster row {rows[at]}, column {cols[at]} "
                f"({country}) holds {people[at]} people; {int(bad.sum())} such cells in this block",
                "declare it as nodata or correct the raster",
                country_iso=country,
                raster_row=int(rows[at]),
                raster_col=int(cols[at]),
            )
        return scaled.astype(np.int64), read
