"""Hilbert curve and point location: worked shapes and refusals."""

import numpy as np
import pytest

from segment1b.laws import curves
from segment1b.laws.curves import hilbert_index, locate
from segment1b.laws.division import BLOCK


def square(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Give rows and columns of all cells of a square, row by row."""
    side = np.arange(1 << order)
    return np.repeat(side, len(side)), np.tile(side, len(side))


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


@pytest.mark.parametrize("order", range(8))
def test_the_curve_visits_every_cell_once_by_steps_to_a_neighbour(order: int) -> None:
    """A bijection whose successive cells share an edge, from the top left to the top right."""
    rows, cols = square(order)
    index = hilbert_index(rows, cols, order)
    assert sorted(index.tolist()) == list(range(4**order))
    along = np.argsort(index)
    steps = np.abs(np.diff(rows[along])) + np.abs(np.diff(cols[along]))
    assert (steps == 1).all()
    assert (rows[along[0]], cols[along[0]]) == (0, 0)
    assert (rows[along[-1]], cols[along[-1]]) == (0, (1 << order) - 1)


def test_the_curve_of_order_one_and_two() -> None:
    """Small enough to draw."""
    assert hilbert_index(*square(1), 1).reshape(2, 2).tolist() == [[0, 3], [1, 2]]
    assert hilbert_index(*square(2), 2).reshape(4, 4).tolist() == [
        [0, 1, 14, 15],
        [3, 2, 13, 12],
        [4, 7, 8, 11],
        [5, 6, 9, 10],
    ]


@pytest.mark.parametrize("k", range(6))
def test_an_aligned_block_is_one_stretch_of_the_curve(k: int) -> None:
    """The curve of blocks is the curve of cells, seen from afar."""
    rows, cols = square(6)
    fine, coarse = hilbert_index(rows, cols, 6), hilbert_index(rows >> k, cols >> k, 6 - k)
    assert ((fine >> np.uint64(2 * k)) == coarse).all()


def test_the_largest_order_fills_64_bits() -> None:
    """The curve's last cell is the top right one."""
    last = (1 << 32) - 1
    assert hilbert_index(ids(0, 0), ids(0, last), 32).tolist() == [0, (1 << 64) - 1]


@pytest.mark.parametrize(("row", "col", "order"), [(4, 0, 2), (0, -1, 2), (0, 0, 33), (0, 0, -1)])
def test_cells_off_the_grid_are_refused(row: int, col: int, order: int) -> None:
    """A coordinate with more bits than the order would take another cell's place."""
    with pytest.raises(ValueError, match="order"):
        hilbert_index(np.array([row]), np.array([col]), order)


def test_points_fall_on_the_tiles_in_curve_order() -> None:
    """2 x 2 raster: along the curve the cells are 0, 2, 3, 1; tile 3 has no weight."""
    weights = np.array([2, 3, 1, 0], np.int64)
    points = np.array([5, 0, 1, 2, 3, 4], np.int64)
    assert locate(ids(0, 1, 2, 3), weights, 2, 2, points).tolist() == [1, 0, 0, 2, 1, 1]


def test_location_uses_one_tile_countries_and_distant_blocks() -> None:
    """A raster of 2^26 x 2^26 cells, six tiles in far corners: no array of blocks can be made."""
    n = 1 << 26
    tiles = ids(0, 63, n - 1, 64 * n, (n - 1) * n, n * n - 1)
    weights = np.array([1, 0, 2, 3, 4, 5], np.int64)
    found = locate(tiles, weights, n, n, np.arange(15))
    assert found.tolist() == [0, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 2, 2]
    assert locate(ids(9), np.array([7], np.int64), 5, 2, np.arange(7)).tolist() == [0] * 7


def test_points_are_taken_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many at a time bounds memory and changes nothing."""
    rng = np.random.default_rng(6)
    tiles = np.arange(0, 200 * 300, 3, dtype=np.uint64)
    weights = rng.integers(0, 9, len(tiles))
    points = rng.integers(0, int(weights.sum()), 5000)
    at_once = locate(tiles, weights, 300, 200, points)
    monkeypatch.setattr(curves, "_POINTS", 700)
    assert locate(tiles, weights, 300, 200, points).tolist() == at_once.tolist()


def test_no_points_are_located_nowhere() -> None:
    """Even in a country without weight."""
    nothing = np.empty(0, np.int64)
    assert locate(ids(3), np.zeros(1, np.int64), 4, 4, nothing).tolist() == []
    assert locate(ids(), nothing, 4, 4, nothing).tolist() == []


@pytest.mark.parametrize("point", [-1, 10])
def test_points_off_the_line_are_refused(point: int) -> None:
    """The line is half open."""
    with pytest.raises(ValueError, match="outside the line"):
        locate(ids(0, 1), np.array([4, 6], np.int64), 2, 1, np.array([point]))


@pytest.mark.parametrize(
    ("tiles", "weights", "ncols", "nrows", "said"),
    [
        (ids(1, 0), [1, 1], 2, 2, "ascending"),
        (ids(1, 1), [1, 1], 2, 2, "ascending"),
        (ids(0, 4), [1, 1], 2, 2, "outside a raster"),
        (ids(0, 1), [1], 2, 2, "one a weight"),
        (np.array([0]), [1], 2, 2, "uint64"),
        (ids(0), [-1], 2, 2, "negative"),
        (ids(0), [1], 1 << 27, 1 << 27, "2\\^53"),
        (ids(0), [1], (1 << 32) + 1, 1, "2\\^32"),
    ],
)
def test_tiles_that_are_no_country_are_refused(
    tiles: np.ndarray, weights: list[int], ncols: int, nrows: int, said: str
) -> None:
    """Unsorted, repeated or foreign tiles would put points silently elsewhere."""
    with pytest.raises(ValueError, match=said):
        locate(tiles, np.array(weights, np.int64), ncols, nrows, np.array([0]))


def test_order_is_checked_across_the_seams_of_blocks() -> None:
    """Tiles are looked at some at a time, and the fault may lie between two times."""
    tiles = np.arange(2 * BLOCK, dtype=np.uint64)
    tiles[BLOCK] = tiles[BLOCK - 1]
    with pytest.raises(ValueError, match="ascending"):
        locate(tiles, np.ones(len(tiles), np.int64), 1000, 1000, np.array([0]))
