"""Point location against a full sort, and what the stable law promises to merchants."""

from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.laws.curves import hilbert_index, locate
from segment1b.laws.philox import alloc_offsets
from segment1b.laws.points import stable_points

SOME = settings(max_examples=300, deadline=None, derandomize=True)


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


@SOME
@given(
    st.lists(st.tuples(st.integers(0, (1 << 64) - 1), st.integers(0, 50)), max_size=8),
    st.integers(0, 15),
)
def test_stable_points_are_their_definition(pairs: list[tuple[int, int]], dp: int) -> None:
    """128-bit products in Python integers, pair by pair."""
    K, golden = 10**dp, 0x9E3779B97F4A7C15
    points = stable_points(
        np.array([u for u, _ in pairs], np.uint64), np.array([n for _, n in pairs], np.int64), K
    )
    assert points.tolist() == [
        ((u + j * golden) % 2**64) * K >> 64 for u, n in pairs for j in range(1, n + 1)
    ]
