"""Places on a Hilbert curve over the raster, by a table of states driven by digits of row, column.

Row and column are read from their highest bits, four at a time: with the state they give eight bits
of the place, and the state for the next four.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.unsignedinteger]
# How the curve runs through a square, by state: the halves of rows and columns of its quarters in
# the order of the curve, and the state in each. From corner to corner: 0 upper left to upper right,
# 1 upper left to lower left, 2 lower right to lower left, 3 lower right to upper right.
_STATES = (
    ((0, 0, 1), (1, 0, 0), (1, 1, 0), (0, 1, 3)),
    ((0, 0, 0), (0, 1, 1), (1, 1, 1), (1, 0, 2)),
    ((1, 1, 3), (0, 1, 2), (0, 0, 2), (1, 0, 1)),
    ((1, 1, 2), (1, 0, 3), (0, 0, 3), (0, 1, 0)),
)
_BITS = 4
_NARROW = 16
# Cells looked up at a time: their arrays stay in the cache.
_BLOCK = 1 << 15


def order_of(nrows: int, ncols: int) -> int:
    """Return the least b with 2^b >= rows and columns."""
    return max(0, (max(nrows, ncols) - 1).bit_length())


def places(rows: npt.NDArray[np.integer], cols: npt.NDArray[np.integer], order: int) -> Words:
    """Return the positions of cells on the curve of a 2^order square, uint32 or uint64 [n].

    The curve starts at (row 0, col 0) and ends at (row 0, col 2^order - 1); that of order 1 has
    the positions [[0, 3], [1, 2]], rows downwards. `order` is at most 31.
    """
    # Half the width, half the time: places below 2^32 are what rasters up to 65,536 a side have.
    kind = np.uint32 if order <= _NARROW else np.uint64
    found: Words = np.empty(len(rows), kind)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        found[part] = _look_up(rows[part].astype(kind), cols[part].astype(kind), order)
    return found


def _look_up(rows: Words, cols: Words, order: int) -> Words:
    digits = -(-order // _BITS)
    kind = rows.dtype.type
    bits, both, mask = kind(_BITS), kind(2 * _BITS), kind((1 << _BITS) - 1)
    # Bits above the order are 0: each takes state 0 to 1 or 1 to 0 and adds nothing to the place.
    state = np.full(len(rows), (digits * _BITS - order) % 2, kind)
    place: Words = np.zeros(len(rows), kind)
    place_of, state_of = (table.astype(kind) for table in _table(_BITS))
    for digit in range(digits - 1, -1, -1):
        shift = kind(digit * _BITS)
        key = (state << both) | (rows >> shift & mask) << bits | (cols >> shift & mask)
        place = place << both | place_of[key]
        state = state_of[key]
    return place


@functools.cache
def _table(bits: int) -> tuple[Words, Words]:
    """Return place and state after some bits, uint64 [state, row bits, column bits] each, flat."""
    if not bits:
        return np.zeros(len(_STATES), np.uint64), np.arange(len(_STATES), dtype=np.uint64)
    half = 1 << bits - 1
    inner_place, inner_state = (t.reshape(-1, half, half) for t in _table(bits - 1))
    place = np.empty((len(_STATES), 2 * half, 2 * half), np.uint64)
    state = np.empty_like(place)
    for outer, quarters in enumerate(_STATES):
        for number, (down, right, inside) in enumerate(quarters):
            rows = slice(down * half, down * half + half)
            cols = slice(right * half, right * half + half)
            place[outer, rows, cols] = inner_place[inside] + np.uint64(number * half * half)
            state[outer, rows, cols] = inner_state[inside]
    return place.ravel(), state.ravel()
