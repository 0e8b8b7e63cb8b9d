"""Mixtures of layers: the worked numbers, and the plain definitions in Python integers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segment1b.contracts.trades import LAYERS, load_trades
from segment1b.laws.apportionment import quantise
from segment1b.laws.mixture import country_percents, isqrt, layers_of, mix, product, totals

PERCENTS = [trade.weights for trade in load_trades().trades]
COFFEE, FAST_FOOD = PERCENTS[1], PERCENTS[2]
SMALL = st.integers(0, 2**33)
TILES = st.lists(
    st.tuples(SMALL, st.integers(1, 10**12), st.integers(0, 4), st.integers(0, 10**6)),
    min_size=1,
    max_size=30,
).filter(lambda tiles: sum(tile[0] for tile in tiles) > 0)


def int64(values: object) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)


def shared(masses: list[int], units: int) -> list[int]:
    """Share units in proportion to masses by largest remainder, ties to the first."""
    whole = sum(masses)
    if not whole:
        return [0] * len(masses)
    floors = [mass * units // whole for mass in masses]
    order = sorted(range(len(masses)), key=lambda t: (-(masses[t] * units % whole), t))
    winners = set(order[: units - sum(floors)])
    return [floor + (t in winners) for t, floor in enumerate(floors)]


def naive(
    tiles: list[tuple[int, ...]], percents: tuple[int, ...], cells: int, units: int
) -> object:
    """Return a country's percents and weights by the definition, in Python integers."""
    rows = [(p, a, u, p * u, math.isqrt(p // 1000 * m)) for p, a, u, m in tiles]
    layers = [list(column) for column in zip(*rows, strict=True)]
    sums = [sum(layer) for layer in layers]
    own = [percent if total else 0 for percent, total in zip(percents, sums, strict=True)]
    for at in (2, 3):
        own[at] = own[at] * min(12 * sums[3], cells * sums[0]) // (cells * sums[0])
    own[0] = 100 - sum(own[1:])
    shares = [shared(layer, units) for layer in layers]
    masses = [
        sum(percent * share[t] for percent, share in zip(own, shares, strict=True))
        for t in range(len(tiles))
    ]
    assert sum(masses) == 100 * units
    return tuple(own), shared(masses, units)


def mixed(
    tiles: list[tuple[int, ...]], percents: tuple[int, ...], cells: int, units: int
) -> object:
    layers = layers_of(*(int64(column) for column in zip(*tiles, strict=True)))
    own = country_percents(percents, totals(layers), 12, cells)
    shares = [quantise(layer.copy(), units)[0] if layer.any() else None for layer in layers]
    return own, mix(shares, own, units).tolist()


@given(TILES, st.sampled_from(PERCENTS), st.sampled_from([0, 2, 12]))
def test_a_mixture_is_that_of_the_definition_in_python_integers(
    tiles: list[tuple[int, ...]], percents: tuple[int, ...], dp: int
) -> None:
    assert mixed(tiles, percents, 4, 10**dp) == naive(tiles, percents, 4, 10**dp)


@given(TILES, st.integers(0, 15))
def test_people_alone_give_the_weights_of_people_bit_for_bit(
    tiles: list[tuple[int, ...]], dp: int
) -> None:
    people = quantise(int64([tile[0] for tile in tiles]), 10**dp)[0]
    assert mixed(tiles, (100, 0, 0, 0, 0), 4, 10**dp) == ((100, 0, 0, 0, 0), people.tolist())


@given(st.lists(st.integers(0, 2**62 - 1), min_size=1))
def test_a_root_is_the_largest_whole_number_whose_square_fits(values: list[int]) -> None:
    near = [root**2 + step for root in map(math.isqrt, values) for step in (-1, 0, 1)]
    values += [value for value in near if 0 <= value < 2**62]
    assert isqrt(int64(values)).tolist() == [math.isqrt(value) for value in values]


@pytest.mark.parametrize("root", [2**31 - 1, 94906265, 94906266, 67108864, 1, 0])
def test_roots_around_whole_squares_are_exact(root: int) -> None:
    values = [max(0, root**2 - 1), root**2, min(root**2 + 1, 2**62 - 1)]
    assert isqrt(int64(values)).tolist() == [math.isqrt(value) for value in values]


def test_the_worked_country_has_its_layers_percents_and_weights() -> None:
    people = int64([5, 4, 3, 0]) * 10**6
    layers = layers_of(people, int64([1] * 4), int64([0, 2, 0, 0]), int64([0, 2000, 8000, 500]))
    assert layers[4].tolist() == [0, 2828, 4898, 0]
    shares = [quantise(layer.copy(), 100)[0] for layer in layers]
    assert [share.tolist() for share in shares[:1] + shares[2:]] == [
        [42, 33, 25, 0],
        [0, 100, 0, 0],
        [0, 100, 0, 0],
        [0, 37, 63, 0],
    ]
    percents = country_percents(FAST_FOOD, totals(layers), 12, 4)
    assert percents == FAST_FOOD == (15, 0, 30, 0, 55)
    assert mix(shares, percents, 100).tolist() == [6, 55, 39, 0]


def test_few_urban_people_cut_the_urban_percents_as_in_the_worked_country() -> None:
    sums = [1000, 4, 1, 20, 1]
    assert COFFEE == (15, 0, 5, 75, 5)
    assert country_percents(COFFEE, sums, 12, 4) == (91, 0, 0, 4, 5)


@pytest.mark.parametrize("empty", range(1, 5))
def test_a_layer_without_mass_gives_its_percent_to_people(empty: int) -> None:
    sums = [0 if at == empty else 10**6 for at in range(len(LAYERS))]
    found = country_percents((20, 20, 20, 20, 20), sums, 12, 1)
    assert found[empty] == 0
    assert sum(found) == 100


def test_a_person_in_a_wholly_urban_tile_counts_at_most_boost_times() -> None:
    """One in a hundred is urban: 12 of 100, whatever the trade would have."""
    assert country_percents((0, 0, 0, 100, 0), [100, 1, 1, 1, 0], 12, 1) == (88, 0, 0, 12, 0)


@pytest.mark.parametrize(
    ("people", "urban", "metres"), [(2**53, 2**10, 0), (2**53, 0, 2**20), (2**62 - 1, 2, 0)]
)
def test_products_of_62_bits_are_refused(people: int, urban: int, metres: int) -> None:
    with pytest.raises(OverflowError, match="product"):
        layers_of(int64([people]), int64([1]), int64([urban]), int64([metres]))


def test_the_largest_product_is_exact() -> None:
    assert product(int64([2**31]), int64([2**31 - 1]), "x").tolist() == [2**62 - 2**31]
