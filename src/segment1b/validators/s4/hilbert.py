"""Places on a Hilbert curve over the raster, by the textbook's bit-by-bit walk."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
# Cells walked at a time: their arrays stay in the cache.
_BLOCK = 1 << 16


def order_of(nrows: int, ncols: int) -> int:
    """Return the least b with 2^b >= rows and columns."""
    return max(0, (max(nrows, ncols) - 1).bit_length())


def places(rows: Words, cols: Words, order: int) -> Words:
    """Return the place of cells on the curve of a 2^order square.

    The curve starts at (row 0, col 0) and ends at (row 0, col 2^order - 1); that of order 1 has
    the places [[0, 3], [1, 2]], rows downwards.

    Args:
        rows, cols: uint64 [n].
        order: of the curve, at most 31.

    Returns:
        uint64 [n].
    """
    found = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        found[part] = _walk(rows[part], cols[part], order)
    return found


def _walk(rows: Words, cols: Words, order: int) -> Words:
    x, y = cols.astype(np.uint64), rows.astype(np.uint64)
    place = np.zeros(len(x), np.uint64)
    last = np.uint64((1 << order) - 1)
    for bit in range(order - 1, -1, -1):
        shift, one = np.uint64(bit), np.uint64(1)
        right, down = (x >> shift) & one, (y >> shift) & one
        place += (((np.uint64(3) * right) ^ down) << shift) << shift
        # The quadrants at the top are turned: flip both at the right, then swap.
        turned, flipped = down == 0, (down == 0) & (right == 1)
        x, y = np.where(flipped, last - x, x), np.where(flipped, last - y, y)
        x, y = np.where(turned, y, x), np.where(turned, x, y)
    return place
