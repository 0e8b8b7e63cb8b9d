"""Quality of a plan against its definitions, computed exactly."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.states.quality import country_quality, digits, expected_tiles, overall_collapse

FEW = settings(deadline=None, derandomize=True, max_examples=200)


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Draw sites and weights of the tiles of one country."""
    tiles = draw(st.integers(1, 30))
    weights = draw(
        st.lists(st.integers(0, 9) | st.integers(0, 10**6), min_size=tiles, max_size=tiles).filter(
            any
        )
    )
    sites = draw(st.lists(st.integers(0, 5), min_size=tiles, max_size=tiles).filter(any))
    return sites, weights


def int64(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


@FEW
@given(plans())
def test_every_figure_is_its_definition(plan: tuple[list[int], list[int]]) -> None:
    sites, weights = plan
    scale, total = sum(weights), sum(sites)
    shares = [Fraction(weight, scale) for weight in weights]
    errors = sorted(abs(s - share * total) for s, share in zip(sites, shares, strict=True))
    expected = sum(1 - (1 - share) ** total for share in shares)
    distinct = sum(1 for s in sites if s)
    held = [(s, w) for s, w in zip(sites, weights, strict=True) if s or w]
    found = country_quality(
        int64([s for s, _ in held]), int64([w for _, w in held]), scale, len(sites)
    )
    assert found["sites"] == total
    assert found["distinct_tiles"] == distinct
    assert found["expected_tiles"] == pytest.approx(float(expected), rel=1e-9)
    assert found["tile_load_error_max"] == pytest.approx(float(errors[-1]), rel=1e-8, abs=1e-9)
    # The smallest error that at least 99 of 100 tiles do not pass.
    p99 = errors[math.ceil(Fraction(99, 100) * len(errors)) - 1]
    assert found["tile_load_error_p99"] == pytest.approx(float(p99), rel=1e-8, abs=1e-9)
    assert found["collapse_index"] == pytest.approx(float(distinct / expected), rel=1e-8)
    top = sum(sorted(sites)[-5:])
    assert found["top_five_share"] == pytest.approx(top / total, rel=1e-8)


def test_the_99th_percentile_leaves_one_of_a_hundred_tiles_out() -> None:
    """All 100 sites on one of 100 equal tiles: that one is 99 too many, the others 1 too few."""
    found = country_quality(int64([100] + [0] * 99), int64([1] * 100), 100, 100)
    assert found["tile_load_error_max"] == 99.0
    assert found["tile_load_error_p99"] == 1.0


def test_all_sites_on_the_heaviest_tile_is_a_collapse() -> None:
    spread = country_quality(int64([10] * 10), int64([1] * 10), 10, 10)
    piled = country_quality(int64([100] + [0] * 9), int64([1] * 10), 10, 10)
    assert spread["collapse_index"] == pytest.approx(1.0, abs=1e-3)
    assert piled["collapse_index"] == pytest.approx(0.1, abs=1e-3)
    assert piled["top_five_share"] == 1.0
    assert piled["tile_load_error_max"] == 90.0


def test_a_country_of_one_tile_holds_all_its_sites() -> None:
    assert country_quality(int64([7]), int64([1000]), 1000, 1) == {
        "sites": 7,
        "distinct_tiles": 1,
        "expected_tiles": 1.0,
        "tile_load_error_max": 0.0,
        "tile_load_error_p99": 0.0,
        "collapse_index": 1.0,
        "top_five_share": 1.0,
    }


def test_a_country_without_sites_has_no_quality() -> None:
    found = country_quality(int64([0, 0]), int64([1, 0]), 1, 2)
    assert {name: value for name, value in found.items() if value} == {}


@FEW
@given(st.integers(1, 10**9), st.integers(1, 10**15))
def test_expected_tiles_of_many_draws_and_tiny_shares_are_not_lost(total: int, parts: int) -> None:
    found = expected_tiles(np.array([1 / parts]), total)
    assert found == pytest.approx(-math.expm1(total * math.log1p(-1 / parts)) if parts > 1 else 1)
    assert 0 < found <= min(1.0, total / parts * (1 + 1e-9))


def test_the_overall_collapse_index_weighs_countries_by_their_tiles() -> None:
    assert overall_collapse(
        {
            "NO": {"distinct_tiles": 3, "expected_tiles": 4.0},
            "SE": {"distinct_tiles": 1, "expected_tiles": 1.0},
        }
    ) == pytest.approx(0.8)
    assert overall_collapse({}) == 0.0


def test_figures_carry_nine_digits() -> None:
    assert digits(1 / 3) == 0.333333333
    assert digits(123456789.123) == 123456789.0
    assert digits(0.0) == 0.0
    assert digits(0.1 + 0.2) == digits(0.3)
