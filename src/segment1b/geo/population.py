"""The population raster, read through windows and turned into whole micro-persons."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterBlockError, RasterioIOError
from rasterio.windows import Window

from segment1b.errors import Segment1BError

MICRO = 1_000_000
# Above this a mass is no longer a whole number in float64.
_LIMIT = 2.0**53


class PopulationRaster:
    """An open raster.

    Attributes:
        bytes_read: compressed bytes of the blocks that windows have touched, each counted once.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.bytes_read = path, 0
        self._source = rasterio.open(path)
        self._seen: set[tuple[int, int]] = set()

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def masses(
        self, country: str, rows: npt.NDArray[np.uint32], cols: npt.NDArray[np.uint32]
    ) -> npt.NDArray[np.int64]:
        """Return rint(1e6 * people) of the cells, half to even; declared nodata counts as 0.

        Args:
            country: for the error's place.
            rows: raster rows, uint32 [n].
            cols: raster columns, uint32 [n].

        Raises:
            Segment1BError: E105_NORMALIZATION for a negative, non-finite or too large value that
                is not the declared nodata; E_INPUT_UNREADABLE for a damaged block.
        """
        row0, col0 = int(rows.min()), int(cols.min())
        window = Window(col0, row0, int(cols.max()) - col0 + 1, int(rows.max()) - row0 + 1)
        self._count(window)
        try:
            block = self._source.read(1, window=window)
        except RasterioIOError as error:
            raise Segment1BError(
                "E_INPUT_UNREADABLE",
                f"{self.path}: {error.args[0]}",
                "restore the raster from its source",
                path=str(self.path),
            ) from None
        people = block[rows - row0, cols - col0].astype(np.float64)
        nodata = self._source.nodata
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
                "declare it as nodata or mend the raster",
                country_iso=country,
                raster_row=int(rows[at]),
                raster_col=int(cols[at]),
            )
        whole: npt.NDArray[np.int64] = scaled.astype(np.int64)
        return whole

    def _count(self, window: Window) -> None:
        height, width = self._source.block_shapes[0]
        bottom, right = window.row_off + window.height - 1, window.col_off + window.width - 1
        for i in range(window.row_off // height, bottom // height + 1):
            for j in range(window.col_off // width, right // width + 1):
                if (i, j) not in self._seen:
                    self._seen.add((i, j))
                    # A sparse raster stores nothing for an empty block.
                    with suppress(RasterBlockError):
                        self.bytes_read += self._source.block_size(1, i, j)
