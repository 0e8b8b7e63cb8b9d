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
    (bars,) = chart.figure["data"]
    assert list(bars["x"]) == ["1", "2 to 3", "4 to 7", "8 to 15", "16 to 31"]
    assert list(bars["y"]) == [90, 7, 0, 2, 1]
    assert chart.sentence.startswith("90.0% of the points lay in their country at the first draw")
    assert "10 needed more, the slowest 16" in chart.sentence


def test_memory_is_drawn_next_to_the_seconds() -> None:
    spent = {"wall_clock_seconds_total": 2.5, "cpu_seconds_total": 2.0, "workers_used": 1}
    reports = {
        state: {"resources": {**spent, "max_worker_rss_bytes": memory * 1_000_000}}
        for state, memory in {"s1": 200, "s2": 750}.items()
    }
    chart = charts.costs(reports)
    assert chart.sentence.startswith("5.0 seconds in all, at most 750 MB")
    seconds, memory = chart.figure["data"]
    assert list(seconds["y"]) == [2.5, 2.5]
    assert (memory["yaxis"], list(memory["y"])) == ("y2", [200, 750])
