"""Hilbert curve and point location: worked shapes, a full sort, refusals, the stable law."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.laws import curves
from segment1b.laws.curves import hilbert_index, locate
from segment1b.laws.division import BLOCK
from segment1b.laws.philox import alloc_offsets
from segment1b.laws.points import stable_points

SOME = settings(max_examples=300, deadline=None, derandomize=True)


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


def test_order_is_checked_across_the_seams_of_blocks() -> None:
    """Tiles are looked at some at a time, and the fault may lie between two times."""
    tiles = np.arange(2 * BLOCK, dtype=np.uint64)
    tiles[BLOCK] = tiles[BLOCK - 1]
    with pytest.raises(ValueError, match="ascending"):
        locate(tiles, np.ones(len(tiles), np.int64), 1000, 1000, np.array([0]))


class Country(NamedTuple):
    """A country's tiles on a raster; ids uint64[t], weights int64[t]."""

    ids: np.ndarray
    weights: np.ndarray
    ncols: int
    nrows: int


@st.composite
def countries(draw: st.DrawFn) -> Country:
    """Tiles at random on rasters from 1 cell to several blocks a side; zeros often."""
    nrows = draw(st.one_of(st.integers(1, 9), st.integers(60, 200)))
    ncols = draw(st.one_of(st.integers(1, 9), st.integers(60, 200)))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    size = draw(st.integers(1, min(nrows * ncols, 2000)))
    ids = np.sort(rng.choice(nrows * ncols, size, replace=False)).astype(np.uint64)
    weights = rng.integers(0, draw(st.sampled_from([2, 10, 10**9])), size)
    weights[rng.integers(0, size)] += 1
    return Country(ids, weights, ncols, nrows)


def tile_by_full_sort(country: Country, points: np.ndarray) -> list[int]:
    """Sort all tiles along the curve and search the running sum."""
    order = (max(country.nrows, country.ncols) - 1).bit_length()
    rows, cols = np.divmod(country.ids.astype(np.int64), country.ncols)
    along = np.argsort(hilbert_index(rows, cols, order))
    ends = np.cumsum(country.weights[along])
    return along[np.searchsorted(ends, points, side="right")].tolist()


@SOME
@given(countries(), st.integers(0, 1 << 32), st.integers(1, 400))
def test_locate_is_the_search_in_the_fully_sorted_line(
    country: Country, seed: int, size: int
) -> None:
    """Block by block or all at once, a point has one tile, and that tile has weight."""
    total = int(country.weights.sum())
    points = np.random.default_rng(seed).integers(0, total, size)
    points[0], points[-1] = 0, total - 1
    found = locate(*country, points)
    assert found.tolist() == tile_by_full_sort(country, points)
    assert (country.weights[found] > 0).all()


def test_locate_is_the_search_in_the_sorted_line_for_hundreds_of_blocks() -> None:
    """A raster of 20 x 30 blocks with holes, more blocks than are laid out at a time."""
    nrows, ncols = 1280, 1900
    rng = np.random.default_rng(4)
    ids = np.flatnonzero(rng.random(nrows * ncols) < 0.4).astype(np.uint64)
    country = Country(ids, rng.integers(0, 50, len(ids)), ncols, nrows)
    points = rng.integers(0, int(country.weights.sum()), 200_000)
    assert locate(*country, points).tolist() == tile_by_full_sort(country, points)


@SOME
@given(countries())
def test_every_unit_of_weight_lies_on_its_tile(country: Country) -> None:
    """Locating the whole line gives each tile exactly its weight."""
    weights = country.weights % 7
    weights[0] += 1
    found = locate(country.ids, weights, country.ncols, country.nrows, np.arange(weights.sum()))
    assert np.bincount(found, minlength=len(weights)).tolist() == weights.tolist()


def sites(country: Country, seed: int, counts: dict[int, int]) -> dict[tuple[int, int], int]:
    """Place merchants by the stable law: (merchant, site) to tile id."""
    merchants = np.array(sorted(counts), np.uint64)
    n = np.array([counts[m] for m in merchants.tolist()], np.int64)
    points = stable_points(alloc_offsets(seed, merchants, "GB"), n, int(country.weights.sum()))
    tiles = country.ids[locate(*country, points)].tolist()
    keys = [(m, j) for m in merchants.tolist() for j in range(1, counts[m] + 1)]
    return dict(zip(keys, tiles, strict=True))


MERCHANTS = st.dictionaries(st.integers(1, (1 << 63) - 1), st.integers(1, 30), min_size=1)


@SOME
@given(countries(), st.integers(0, (1 << 64) - 1), MERCHANTS, MERCHANTS, st.data())
def test_no_outlet_moves_when_outlets_or_merchants_are_added(
    country: Country,
    seed: int,
    before: dict[int, int],
    joining: dict[int, int],
    data: st.DataObject,
) -> None:
    """Every site of before is a site of after, in the same tile."""
    more = {m: n + data.draw(st.integers(0, 20)) for m, n in before.items()}
    after = sites(country, seed, {**joining, **more})
    assert sites(country, seed, before).items() <= after.items()
