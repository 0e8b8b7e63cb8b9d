"""The schedule model of benchmarks/shards.py, by hand."""

from __future__ import annotations

import pytest
from benchmarks.shards import Measured


@pytest.mark.parametrize(
    ("workers", "seconds"),
    [
        (1, 1 + 12),
        (2, 1 + 7),  # 5 and 2, 1, 4: the second worker is free first each time
        (3, 1 + 5),  # 5, 2 and 1 + 4
        (64, 1 + 5),
    ],
)
def test_shards_start_in_order_on_the_worker_that_is_free_first(
    workers: int, seconds: float
) -> None:
    assert Measured([[5.0, 2.0, 1.0, 4.0]], 1.0).on(workers) == seconds


def test_a_group_of_shards_begins_when_the_one_before_it_has_ended() -> None:
    assert Measured([[5.0, 1.0], [], [2.0, 2.0]], 1.0).on(2) == 1 + 5 + 2
