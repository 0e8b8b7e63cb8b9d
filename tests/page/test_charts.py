"""The sentences of the page say what the numbers say, whichever way these go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segment1b.page import charts


def quality(used: int, expected: float, sites: int = 1000) -> dict[str, Any]:
    return {
        "sites": sites,
        "distinct_tiles": used,
        "collapse_index": used / expected,
        "top_five_share": 0.25,
    }


@pytest.mark.parametrize(
    ("used", "answer"),
    [
        (420, "Yes: they use 58% fewer tiles"),
        (556, "Somewhat: they use 44% fewer tiles"),
        (920, "Somewhat: they use 8% fewer tiles"),
        (980, "No: they use as many tiles as independent draws"),
        (1200, "No: they use 20% more tiles"),
    ],
)
def test_a_pile_is_called_one_and_an_even_world_is_not(used: int, answer: str) -> None:
    chart = charts.collapse({"NL": quality(used, 1000.0)}, used / 1000)
    assert chart.sentence.startswith(answer)
    assert ("none is below 0.5" in chart.sentence) is (used >= 500)


def test_independent_draws_follow_the_people_and_a_pile_does_not() -> None:
    weights = np.arange(1, 401, dtype=np.float64)
    share = weights / weights.sum()
    quota = 2000 * share
    drawn = np.random.default_rng(7).multinomial(2000, share).astype(np.int64)
    assert charts.prior(quota, drawn).sentence.startswith("Yes: of the ")
    piled = np.zeros(400, np.int64)
    piled[-5:] = 400
    answer = charts.prior(quota, piled).sentence
    assert answer.startswith("No: of the ")
    assert "the farthest holds 400 with a share of 9.9" in answer


def test_only_tiles_with_a_share_of_one_outlet_are_asked() -> None:
    quota = np.array([0.2] * 1000 + [4.0, 9.0])
    sites = np.array([0] * 1000 + [20, 40], np.int64)
    assert "No: of the 2 heavy tiles" in charts.prior(quota, sites).sentence
    assert charts.prior(quota[:1000], sites[:1000]).sentence.startswith("Too few outlets to tell")


def test_draws_are_binned_by_doubling_and_an_empty_bin_keeps_its_place() -> None:
    chart = charts.draws({"attempt_histogram": {"1": 90, "2": 4, "3": 3, "9": 2, "16": 1}})
    assert chart.figure
    bars = chart.figure["marks"][0]["options"]
    assert bars["y"] == ["1", "2 to 3", "4 to 7", "8 to 15", "16 to 31"]
    assert bars["x2"] == [90, 7, 0, 2, 1]
    assert chart.figure["y"]["domain"] == bars["y"]
    assert chart.sentence.startswith("90.0% of the points lay in their country at the first draw")
    assert "10 needed more, the slowest 16" in chart.sentence


def test_memory_is_written_next_to_the_seconds() -> None:
    spent = {"wall_clock_seconds_total": 2.5, "cpu_seconds_total": 2.0, "workers_used": 1}
    reports = {
        state: {"resources": {**spent, "max_worker_rss_bytes": memory * 1_000_000}}
        for state, memory in {"s1": 200, "s2": 750}.items()
    }
    chart = charts.costs(reports)
    assert chart.sentence.startswith("5.0 seconds in all, at most 750 MB")
    assert chart.figure
    bars, texts = (mark["options"] for mark in chart.figure["marks"])
    assert bars["x"] == [2.5, 2.5]
    assert texts["text"] == ["2.5 s, 200 MB", "2.5 s, 750 MB"]


def test_one_country_and_one_pair_are_singular_and_nothing_is_drawn_of_them() -> None:
    ones = np.array([300])
    made = [
        charts.conservation(ones, ones),
        charts.evenness({"NL": 300}, 1, {}),
        charts.collapse({"NL": quality(250, 250.0, 300)}, 1.0),
    ]
    assert [chart.figure for chart in made] == [None] * 3
    assert made[0].sentence == (
        "Yes: the one pair of merchant and country has exactly the outlets it requires, 300 in all."
    )
    assert "over the 1 country with tiles" in made[1].sentence
    assert "the largest share is NL 100.0%" in made[1].sentence
    assert "of 1 country with 30 outlets or more, none is below" in made[2].sentence
    assert "no country has 30 outlets" in charts.collapse({"NL": quality(3, 3.0, 3)}, 1.0).sentence


def test_the_weights_have_the_name_of_what_they_are() -> None:
    chart = charts.prior(np.array([4.0, 9.0]), np.array([4, 9]), "area")
    assert chart.question == "Do outlets follow the area?"
    assert "whose share of the area is one outlet or more" in chart.sentence
    assert "population" not in str(chart)
