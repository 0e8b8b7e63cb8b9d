"""Quantisation: the worked numbers of S2, its limits and its memory."""

import tracemalloc

import numpy as np
import pytest

from segment1b.laws.quantise import quantise


@pytest.mark.parametrize(
    ("masses", "dp", "weights", "shortfall"),
    [
        ([1, 1, 1, 1, 1], 2, [20, 20, 20, 20, 20], 0),
        ([1, 1, 1], 1, [4, 3, 3], 1),
        ([1100, 1100, 800], 1, [4, 4, 2], 2),
        ([5, 5], 0, [1, 0], 1),
    ],
)
def test_worked_numbers_of_the_design(
    masses: list[int], dp: int, weights: list[int], shortfall: int
) -> None:
    """docs/spec/s2-weights.md#worked-numbers: uniform, a unit over, areas, equal areas at dp 0."""
    got, units = quantise(np.array(masses, np.int64), 10**dp)
    assert got.tolist() == weights
    assert units == shortfall


def test_masses_become_the_remainders() -> None:
    """The masses' own memory serves twice."""
    masses = np.array([3, 1, 3], np.int64)
    quantise(masses, 100)
    assert masses.tolist() == [300 % 7, 100 % 7, 300 % 7]


def test_the_limits_of_mass_and_units_are_exact() -> None:
    """M = 2^62 - 1 and K = 10^15 together, against Python integers."""
    M, K = (1 << 62) - 1, 10**15
    masses = [M // 2, M // 3, M - M // 2 - M // 3 - 7, 7]
    weights, shortfall = quantise(np.array(masses, np.int64), K)
    floors = [m * K // M for m in masses]
    assert shortfall == K - sum(floors)
    order = sorted(range(4), key=lambda i: (-(masses[i] * K % M), i))
    for i in order[:shortfall]:
        floors[i] += 1
    assert weights.tolist() == floors


def test_beyond_the_limits_is_refused() -> None:
    """The bounds under which the law is exact are checked before it is applied."""
    with pytest.raises(OverflowError, match="2\\^62"):
        quantise(np.array([1 << 61, 1 << 61], np.int64), 10)
    with pytest.raises(OverflowError, match="10\\^15"):
        quantise(np.array([1], np.int64), 10**15 + 1)


def test_nothing_to_weigh_by_is_refused() -> None:
    """Mass 0 calls for the fallback, which is the state's to choose, not the law's."""
    with pytest.raises(ValueError, match="sum to 0"):
        quantise(np.zeros(2, np.int64), 1)
    with pytest.raises(ValueError, match="sum to 0"):
        quantise(np.empty(0, np.int64), 1)
    with pytest.raises(ValueError, match="negative"):
        quantise(np.array([2, -1], np.int64), 10)
    with pytest.raises(ValueError, match="at least one unit"):
        quantise(np.array([1], np.int64), 0)


def test_memory_is_one_array_beside_the_masses() -> None:
    """The weights; a mask of bytes comes and goes."""
    masses = np.random.default_rng(0).integers(0, 1 << 40, 1 << 20)
    quantise(masses.copy(), 10**12)
    tracemalloc.start()
    quantise(masses, 10**12)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * masses.nbytes
