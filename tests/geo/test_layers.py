"""Layers read for the tiles of a grid: whole cells in a tile, or whole tiles in a cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

import bring
from segment1b.errors import Segment1BError
from segment1b.geo.grid import Grid
from segment1b.geo.layers import Layer, align

WORLD = Grid(-180, 90, 0.05, 0.05, 3600, 7200)


def tiles(degrees: float, x0: float = -180, y0: float = 90, rows: int = 0, cols: int = 0) -> Grid:
    rows, cols = rows or round(180 / degrees), cols or round(360 / degrees)
    return Grid(x0, y0, degrees, degrees, rows, cols)


@pytest.mark.parametrize(
    ("grid", "coarser", "side"),
    [
        (tiles(0.05), True, 1),
        (tiles(0.1), True, 2),
        (tiles(1.0), True, 20),
        (tiles(1 / 120), False, 6),
        (tiles(0.025), False, 2),
        (tiles(0.1, x0=0), True, 2),
        (tiles(0.1, x0=170, rows=100, cols=200), True, 2),
        (tiles(1 / 120, x0=10.05, y0=50.05, rows=60, cols=60), False, 6),
    ],
)
def test_tiles_that_hold_or_lie_in_whole_cells_are_aligned(
    grid: Grid, coarser: bool, side: int
) -> None:
    found = align(grid, WORLD)
    assert found is not None
    assert (found.coarser, found.side) == (coarser, side)
    assert found.cells == (side**2 if coarser else 1)


@pytest.mark.parametrize(
    "grid",
    [
        tiles(0.03),
        tiles(0.04),
        tiles(0.12),
        tiles(0.1, x0=-180.05 + 0.03, rows=10, cols=10),
        tiles(0.1, y0=80.03, rows=10, cols=10),
        Grid(-180, 90, 0.1, 0.05000001, 1800, 3600),
        Grid(-180, 90, 0.1, 0.05, 1800, 3600),
    ],
)
def test_other_tiles_are_not(grid: Grid) -> None:
    assert align(grid, WORLD) is None


def test_a_layer_that_does_not_cover_the_tiles_is_not_aligned() -> None:
    assert align(tiles(0.1), Grid(-180, 80, 0.05, 0.05, 3000, 7200)) is None
    assert align(tiles(0.1), Grid(-180, 90, 0.05, 0.05, 3600, 3600)) is None


@pytest.fixture
def layer(tmp_path: Path) -> tuple[Path, np.ndarray]:
    cells = np.random.default_rng(3).integers(0, 2000, (36, 72)).astype(np.uint32)
    path = tmp_path / "layer.tif"
    bring.raster(path, cells, from_origin(-180, 90, 5, 5), compress="deflate")
    return path, cells.astype(np.int64)


def every(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    row, col = np.divmod(np.arange(grid.nrows * grid.ncols, dtype=np.uint32), grid.ncols)
    return row, col


@pytest.mark.parametrize("west", [-180, 0, 170])
def test_a_coarser_tile_has_the_sum_of_its_cells_across_the_date_line(
    layer: tuple[Path, np.ndarray], west: int
) -> None:
    path, cells = layer
    grid = Grid(west, 80, 10, 10, 10, 36)
    found, read = Layer(path, grid).dealt(*every(grid))
    turned = np.roll(cells, -((west + 180) // 5), 1)[2:22]
    assert np.array_equal(found.reshape(10, 36), turned.reshape(10, 2, 36, 2).sum((1, 3)))
    assert read > 0


@pytest.mark.parametrize("west", [-180, -2.5, 177.5])
def test_a_finer_tile_has_the_class_of_its_cell_and_an_even_part_of_its_amount(
    layer: tuple[Path, np.ndarray], west: float
) -> None:
    path, cells = layer
    side, step = 4, 1.25
    grid = Grid(west, 87.5, step, step, 100, 20)
    row, col = every(grid)
    copied, dealt = Layer(path, grid).copied(row, col)[0], Layer(path, grid).dealt(row, col)[0]
    for at in range(len(row)):
        down = int(row[at]) + 2
        across = (int(col[at]) + round((west + 180) / step)) % (72 * side)
        whole = int(cells[down // side, across // side])
        place = down % side * side + across % side
        assert copied[at] == whole
        assert dealt[at] == whole // 16 + (place < whole % 16)


@pytest.mark.code("E002_RASTER_MISMATCH")
def test_a_layer_that_does_not_fit_is_refused_with_the_command_that_helps(
    layer: tuple[Path, np.ndarray],
) -> None:
    with pytest.raises(Segment1BError, match=r"E002_RASTER_MISMATCH.*reference import layer"):
        Layer(layer[0], tiles(3.0))


@pytest.mark.code("E105_NORMALIZATION")
@pytest.mark.parametrize("value", [-1.0, 0.5, np.inf, 2.0**32])
def test_a_value_that_is_no_count_is_refused_with_its_cell(tmp_path: Path, value: float) -> None:
    cells = np.zeros((36, 72))
    cells[3, 5] = value
    path = tmp_path / "layer.tif"
    bring.raster(path, cells, from_origin(-180, 90, 5, 5))
    grid = tiles(5.0)
    with pytest.raises(Segment1BError, match=r"E105_NORMALIZATION.*row 3, column 5"):
        Layer(path, grid).dealt(*every(grid))
