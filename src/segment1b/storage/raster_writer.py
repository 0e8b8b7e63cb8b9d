"""Writes GeoTIFFs of people per cell; an error of any write to the file is raised.

GDAL writes a block that failed once again, elsewhere in the file, and reports success: the cells
are right, the bytes are not. The file is therefore written through Python, which keeps the errors.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.transform import Affine
from rasterio.windows import Window

#: Rows and columns of a block of the file.
BLOCK: Final = 256


class _File(io.FileIO):
    """A file that keeps the errors of its writes: an exception would end in GDAL's callback."""

    def __init__(self, path: Path, mode: str, errors: list[OSError]) -> None:
        super().__init__(path, mode)
        self._errors = errors

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        size = rest.nbytes
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self._errors.append(error)
            return 0
        return size

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            self._errors.append(error)


class PeopleRaster:
    """A GeoTIFF under way: EPSG:4326, one band, blocks of 256, DEFLATE, without nodata.

    Blocks that are not written are left out of the file and read as zeros.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        transform: Affine,
        dtype: str,
        description: str | None,
    ) -> None:
        """Create the file, of that shape (rows, columns), with a description of its band."""
        self._path = Path(os.path.abspath(path))
        profile = {
            "driver": "GTiff",
            "height": shape[0],
            "width": shape[1],
            "count": 1,
            "dtype": dtype,
            "crs": "EPSG:4326",
            "transform": transform,
            "tiled": True,
            "blockxsize": BLOCK,
            "blockysize": BLOCK,
            "compress": "deflate",
            "predictor": 2 if dtype == "uint32" else 3,
            "sparse_ok": True,
            "bigtiff": "if_safer",
        }
        with self._opened("w", **profile) as target:
            target.set_band_description(1, description)

    def write(self, cells: npt.NDArray[Any], top: int, left: int) -> None:
        """Write the blocks with people of a window that begins on the edges of a block."""
        # Opened anew for each window: blocks of an open file pile up in GDAL's cache.
        with self._opened("r+") as target:
            for row in range(0, cells.shape[0], BLOCK):
                for col in range(0, cells.shape[1], BLOCK):
                    block = cells[row : row + BLOCK, col : col + BLOCK]
                    if np.any(block):
                        at = Window(left + col, top + row, *block.shape[::-1])
                        target.write(block, 1, window=at)

    def read(self, window: Window) -> npt.NDArray[Any]:
        """Return the cells of a window of the file; OSError when it is damaged."""
        with self._opened("r") as target:
            cells: npt.NDArray[Any] = target.read(1, window=window)
        return cells

    def check(
        self, windows: Iterable[Window], count: Callable[[npt.NDArray[Any]], int], total: int
    ) -> None:
        """Count the people in the windows of the written file; OSError for another total."""
        found = sum(count(self.read(window)) for window in windows)
        if found != total:
            raise OSError(errno.EIO, f"people that were read back: {found} of {total}")

    @contextmanager
    def _opened(self, mode: str, **profile: Any) -> Iterator[Any]:
        errors: list[OSError] = []

        def opener(path: str, mode: str = "rb", **_: Any) -> _File:
            # GDAL looks for sidecar files, and for the file itself before it is there.
            if Path(path) != self._path or (mode == "rb" and not self._path.exists()):
                raise FileNotFoundError(path)
            try:
                return _File(self._path, mode, errors)
            except OSError as error:
                errors.append(error)
                raise

        try:
            with rasterio.open(  # noqa: TID251
                self._path, mode, opener=opener, **profile
            ) as target:
                yield target
        except OSError as error:
            raise errors[0] if errors else OSError(errno.EIO, str(error)) from None
        if errors:
            raise errors[0]
