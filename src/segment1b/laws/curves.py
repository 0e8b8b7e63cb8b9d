"""Tiles of a country along a Hilbert curve, and the tile under a point of that line.

Source: docs/spec/s4-allocation.md#line-of-weights
"""

from __future__ import annotations

import functools
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from segment1b.laws.division import BLOCK, Int64s, UInt64s, checked_sum

_ONE: Final = np.uint64(1)
_ORDER_LIMIT: Final = 32
_CELLS_LIMIT: Final = 1 << 53
#: Blocks are 2^6 = 64 cells a side, fewer only on a raster smaller than that.
_BLOCK_BITS: Final = 6
#: Blocks laid out at a time: their lines of weights take 2^19 words each.
_BATCH: Final = 1 << 7
#: Points sorted at a time; bounds memory, and large enough that blocks are seldom laid out twice.
_POINTS: Final = 1 << 23


def hilbert_index(
    rows: npt.NDArray[np.integer], cols: npt.NDArray[np.integer], order: int
) -> UInt64s:
    """Number the cells of a square grid along its Hilbert curve.

    Every aligned square of 2^k cells a side is one stretch of the curve, so that
    `hilbert_index(rows >> k, cols >> k, order - k)` is `hilbert_index(rows, cols, order) >> 2*k`.

    Args:
        rows: whole numbers [t] in 0..2^order-1, 0 at the top.
        cols: whole numbers [t] in 0..2^order-1, 0 at the left.
        order: bits a side, 0..32.

    Returns:
        uint64[t], positions on the curve in 0..4^order-1.

    Raises:
        ValueError: the order or a cell is out of range, or rows and columns differ in number.
    """
    if not 0 <= order <= _ORDER_LIMIT or rows.shape != cols.shape or rows.ndim != 1:
        raise ValueError(f"rows [t], columns [t] and an order in 0..{_ORDER_LIMIT} are needed")
    for axis in (rows, cols):
        if axis.size and not 0 <= int(axis.min()) <= int(axis.max()) < 1 << order:
            raise ValueError(f"a row or column is outside a grid of order {order}")
    index = np.empty(rows.shape, np.uint64)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        some_rows, some_cols = rows[part].astype(np.uint64), cols[part].astype(np.uint64)
        index[part] = _descend(some_rows, some_cols, order)[0]
    return index


def locate(tile_ids: UInt64s, weights: Int64s, ncols: int, nrows: int, points: Int64s) -> Int64s:
    """Find the tile under each point of the weight line of a country's tiles.

    No country is sorted: weights are summed per 64 x 64 block, blocks are ordered along the curve,
    and only blocks that a point hits are laid out. A tile of weight 0 holds no point.

    Args:
        tile_ids: uint64[t], `row*ncols + col`, strictly ascending.
        weights: int64[t], weight of each tile, >= 0.
        ncols: columns of the raster.
        nrows: rows of the raster; nrows*ncols <= 2^53 and neither above 2^32.
        points: int64[p], units of weight, each in [0, sum of weights), any order.

    Returns:
        int64[p], for each point the position of its tile in `tile_ids`.

    Raises:
        ValueError: tile ids not ascending or outside the raster, a negative weight, arrays of
            different lengths, or a point outside the line.
        OverflowError: the weights sum to 2^62 or more.
    """
    _check_tiles(tile_ids, weights, ncols, nrows)
    total = checked_sum(weights, "tile weights")
    if points.size and not 0 <= int(points.min()) <= int(points.max()) < total:
        raise ValueError(f"a point is outside the line of weights [0, {total})")
    if not points.size:
        return np.empty(0, np.int64)
    line = _lay_blocks(tile_ids, weights, ncols, nrows)
    result = np.empty(points.shape, np.int64)
    for start in range(0, len(points), _POINTS):
        part = slice(start, start + _POINTS)
        result[part] = _locate_some(line, tile_ids, weights, points[part])
    return result


def ranges(starts: Int64s, lengths: Int64s) -> Int64s:
    """Join the ranges [start, start + length), int64[r] each, into one int64[sum(lengths)]."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


class _Line(NamedTuple):
    """The occupied blocks of a country along the curve, and the runs of tiles in them.

    A run is a stretch of successive tiles in one block. `run_start`, `run_length` int64[runs] are
    sorted by block; block b has runs first_run[b] to first_run[b+1]. `ends` int64[blocks] is the
    running weight sum behind each block, `turn` int64[blocks] the orientation of the curve in it.
    """

    ncols: int
    bits: int
    run_start: Int64s
    run_length: Int64s
    first_run: Int64s
    ends: Int64s
    turn: Int64s


def _descend(rows: UInt64s, cols: UInt64s, order: int) -> tuple[UInt64s, Int64s]:
    """Walk down the quadrants; return the index and the curve's orientation in the cell."""
    # In each quadrant the curve is the whole curve again, mirrored about a diagonal in the two
    # upper ones (rows below half). These moves commute, so the way down is two bits: 1 rows and
    # columns change places, 2 both count from the far side.
    y, x = rows.copy(), cols.copy()
    index = np.zeros(x.shape, np.uint64)
    swapped, flipped = np.zeros_like(index), np.zeros_like(index)
    for bit in range(order - 1, -1, -1):
        right, low = (x >> np.uint64(bit)) & _ONE, (y >> np.uint64(bit)) & _ONE
        index <<= np.uint64(2)
        index |= (right * np.uint64(3)) ^ low
        upper = low - _ONE  # all bits set in the upper quadrants, none in the lower
        flip = upper & (np.uint64(0) - right)
        x ^= flip
        y ^= flip
        change = (x ^ y) & upper
        x ^= change
        y ^= change
        swapped ^= upper & _ONE
        flipped ^= flip & _ONE
    return index, (swapped | flipped << _ONE).view(np.int64)


@functools.cache
def _places(bits: int) -> npt.NDArray[np.int64]:
    """Tabulate int64[4 * 4^bits] positions on the curve, at `turn*4^bits + row*2^bits + col`."""
    side = np.arange(1 << bits, dtype=np.uint64)
    rows, cols = np.repeat(side, len(side)), np.tile(side, len(side))
    far = np.uint64(len(side) - 1)
    turns = [(rows, cols), (cols, rows), (rows ^ far, cols ^ far), (cols ^ far, rows ^ far)]
    table = np.concatenate([_descend(r, c, bits)[0] for r, c in turns]).view(np.int64)
    table.flags.writeable = False
    return table


def _check_tiles(tile_ids: UInt64s, weights: Int64s, ncols: int, nrows: int) -> None:
    if tile_ids.ndim != 1 or tile_ids.dtype != np.uint64 or tile_ids.shape != weights.shape:
        raise ValueError(
            f"want uint64[t] tile ids, one a weight: got {tile_ids.dtype}"
            f"{list(tile_ids.shape)} for weights {list(weights.shape)}"
        )
    if ncols < 1 or nrows < 1 or nrows * ncols > _CELLS_LIMIT or max(nrows, ncols) > 1 << 32:
        raise ValueError(f"a raster of {nrows} x {ncols} cells is outside 1..2^53, 2^32 a side")
    if tile_ids.size and int(tile_ids[-1]) >= nrows * ncols:
        raise ValueError(f"tile {int(tile_ids[-1])} is outside a raster of {nrows} x {ncols}")
    for start in range(0, len(tile_ids), BLOCK):
        some = tile_ids[start : start + BLOCK + 1]
        if bool((some[1:] <= some[:-1]).any()):
            raise ValueError("tile ids must be strictly ascending")


def _lay_blocks(tile_ids: UInt64s, weights: Int64s, ncols: int, nrows: int) -> _Line:
    order = (max(nrows, ncols) - 1).bit_length()
    bits = min(_BLOCK_BITS, order)
    across = ((ncols - 1) >> bits) + 1
    run_start, run_block, run_weight = _find_runs(tile_ids, weights, ncols, bits, across)
    run_length = np.diff(run_start, append=len(tile_ids))
    blocks, block_of_run = np.unique(run_block, return_inverse=True)
    rows, cols = np.divmod(blocks, across)
    index, turn = _descend(rows.view(np.uint64), cols.view(np.uint64), order - bits)
    along = np.argsort(index)
    rank = np.empty_like(along)
    rank[along] = np.arange(len(along))
    rank_of_run = rank[block_of_run]
    by_block = np.argsort(rank_of_run, kind="stable")
    first_run = np.searchsorted(rank_of_run[by_block], np.arange(len(blocks) + 1))
    ends = np.cumsum(np.add.reduceat(run_weight[by_block], first_run[:-1]))
    return _Line(
        ncols, bits, run_start[by_block], run_length[by_block], first_run, ends, turn[along]
    )


def _find_runs(
    tile_ids: UInt64s, weights: Int64s, ncols: int, bits: int, across: int
) -> tuple[Int64s, Int64s, Int64s]:
    """Cut the tiles into runs of one block each: first positions, blocks, weight sums."""
    shift = np.uint64(bits)
    starts, blocks, sums = [], [], []
    for start in range(0, len(tile_ids), BLOCK):
        ids = tile_ids[start : start + BLOCK]
        rows = ids // np.uint64(ncols)
        cols = ids - rows * np.uint64(ncols)
        block = (rows >> shift) * np.uint64(across) + (cols >> shift)
        first = np.flatnonzero(np.concatenate(([True], block[1:] != block[:-1])))
        starts.append(first + start)
        blocks.append(block[first].view(np.int64))
        sums.append(np.add.reduceat(weights[start : start + BLOCK], first))
    return np.concatenate(starts), np.concatenate(blocks), np.concatenate(sums)


def _locate_some(line: _Line, tile_ids: UInt64s, weights: Int64s, points: Int64s) -> Int64s:
    by_place = np.argsort(points)
    ascending = points[by_place]
    block = np.searchsorted(line.ends, ascending, side="right")
    first = np.flatnonzero(np.concatenate(([True], block[1:] != block[:-1])))
    hit, bounds = block[first], np.append(first, len(points))
    located = np.empty_like(ascending)
    for start in range(0, len(hit), _BATCH):
        blocks = hit[start : start + _BATCH]
        part = slice(int(bounds[start]), int(bounds[start + len(blocks)]))
        located[part] = _resolve(line, tile_ids, weights, blocks, ascending[part])
    result = np.empty_like(located)
    result[by_place] = located
    return result


def _resolve(
    line: _Line, tile_ids: UInt64s, weights: Int64s, blocks: Int64s, points: Int64s
) -> Int64s:
    """Lay the tiles of some blocks out along the curve and look the points up."""
    runs_of_block = line.first_run[blocks + 1] - line.first_run[blocks]
    runs = ranges(line.first_run[blocks], runs_of_block)
    lengths = line.run_length[runs]
    positions = ranges(line.run_start[runs], lengths)
    slot_of_run = np.repeat(np.arange(len(blocks)), runs_of_block)
    slot = np.repeat(slot_of_run, lengths)

    side = np.uint64((1 << line.bits) - 1)
    ids = tile_ids[positions]
    rows = ids // np.uint64(line.ncols)
    cols = ids - rows * np.uint64(line.ncols)
    cell = ((rows & side) << np.uint64(line.bits) | cols & side).view(np.int64)
    cells = 1 << 2 * line.bits
    place = slot * cells + _places(line.bits)[line.turn[blocks][slot] * cells + cell]

    # Cells that are no tile keep weight 0, which no point can hit, so nothing is sorted. Blocks
    # skipped in between leave gaps in the line, and no point is in a gap.
    laid = np.zeros(len(blocks) * cells, np.int64)
    tile_at = np.empty(len(blocks) * cells, np.int64)
    laid[place] = weights[positions]
    tile_at[place] = positions
    begin = np.where(blocks > 0, line.ends[blocks - 1], 0)
    ends = laid.reshape(len(blocks), cells).cumsum(axis=1) + begin[:, None]
    return tile_at[np.searchsorted(ends.ravel(), points, side="right")]
