"""What is correct is not called plausible over piles, far cells or empty regions."""

from __future__ import annotations

from typing import Any

import pytest

from segment1b.read.plausibility import concerns


def country(sites: int, **figures: Any) -> dict[str, Any]:
    even = {"distinct_tiles": sites, "collapse_index": 1.0, "tile_load_error_max": 1.0}
    return {"sites": sites, **even, **figures}


def plan(index: float = 1.0, **countries: Any) -> dict[str, Any]:
    return {"collapse_index": index, "quality_by_country": countries}


def test_an_even_plan_raises_no_concern() -> None:
    realism = {"by_country": {"LS": {"sites": 300, "latitude_span_share": 0.9}}}
    assert concerns(plan(LS=country(300)), realism, {}) == []
    assert concerns({}, {}, {}) == []


@pytest.mark.parametrize(
    ("index", "figures", "named"),
    [
        (0.01, {}, "outlets pile up: collapse index 0.010"),
        (0.9, {"collapse_index": 0.49}, "outlets of LS (300 in 300 cells) pile up"),
        (1.0, {"distinct_tiles": 1}, "all outlets of LS (300 in 1) lie in few cells"),
        (1.0, {"tile_load_error_max": 26.0}, "a cell of LS (26 of 300 off)"),
    ],
)
def test_a_plan_is_named_with_its_country_and_figure(
    index: float, figures: dict[str, Any], named: str
) -> None:
    (said,) = concerns(plan(index, LS=country(300, **figures)), {}, {})
    assert said.startswith(named)


def test_a_band_that_leaves_the_country_empty_is_named() -> None:
    narrow = {"by_country": {"LS": {"sites": 300, "latitude_span_share": 0.04}}}
    (said,) = concerns(plan(LS=country(300)), narrow, {})
    assert said == "the outlets of LS (4% of its height) leave most of the country empty"


def test_few_outlets_are_not_judged() -> None:
    few = country(29, distinct_tiles=1, collapse_index=0.1, tile_load_error_max=20.0)
    assert (
        concerns(plan(LS=few), {"by_country": {"LS": {**few, "latitude_span_share": 0.0}}}, {})
        == []
    )


def test_many_countries_are_counted_after_the_largest_three() -> None:
    piled = {f"A{k}": country(100 + k, collapse_index=0.1) for k in range(5)}
    (said,) = concerns(plan(**piled), {}, {})
    assert said.startswith("outlets of A4 (104 in 104 cells), A3 (103 in 103 cells), A2")
    assert "and 2 more" in said
