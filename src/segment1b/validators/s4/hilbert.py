"""Places on a Hilbert curve over the raster, by the textbook's bit-by-bit walk."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.unsignedinteger]
_NARROW = 16
# Cells walked at a time: their arrays stay in the cache.
_BLOCK = 1 << 15


def order_of(nrows: int, ncols: int) -> int:
    """Return the least b with 2^b >= rows and columns."""
    return max(0, (max(nrows, ncols) - 1).bit_length())


def places(rows: npt.NDArray[np.integer], cols: npt.NDArray[np.integer], order: int) -> Words:
    """Return the place of cells on the curve of a 2^order square.

    The curve starts at (row 0, col 0) and ends at (row 0, col 2^order - 1); that of order 1 has
    the places [[0, 3], [1, 2]], rows downwards.

    Args:
        rows, cols: whole numbers [n].
        order: of the curve, at most 31.

    Returns:
        uint32 [n], uint64 where the order is above 16.
    """
    # Half the width, half the time: places below 2^32 are what rasters up to 65,536 a side have.
    kind = np.uint32 if order <= _NARROW else np.uint64
    found: Words = np.empty(len(rows), kind)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        found[part] = _walk(rows[part].astype(kind), cols[part].astype(kind), order)
    return found


def _walk(y: Words, x: Words, order: int) -> Words:
    one, two, three = (x.dtype.type(number) for number in (1, 2, 3))
    place: Words = np.zeros_like(x)
    for bit in range(order - 1, -1, -1):
        right, down = (x >> x.dtype.type(bit)) & one, (y >> y.dtype.type(bit)) & one
        place <<= two
        place |= (three * right) ^ down
        # The quadrants at the top are turned: flip both at the right, then swap. All bits are set
        # in `top` there, none elsewhere.
        top = down - one
        flipped = top & (one - one - right)
        x ^= flipped
        y ^= flipped
        changed = (x ^ y) & top
        x ^= changed
        y ^= changed
    return place
