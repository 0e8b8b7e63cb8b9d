"""Shards are begun longest first, and what is made of them is in their own order."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import worlds
from gates import a_run
from segment1b.pipeline.engines import Pool, SerialExecutor
from segment1b.pipeline.workers import Workers
from segment1b.states import STATES
from segment1b.states.protocol import ShardResult
from segment1b.storage import parts


def test_the_costliest_shard_is_worked_first_and_equal_ones_in_their_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state, worked = STATES["s8"], list[int]()

    def work(_run: Any, _reader: Any, shard: int) -> ShardResult:
        worked.append(shard)
        return ShardResult(shard)

    monkeypatch.setattr(state, "work", work)
    monkeypatch.setattr(state, "cost", lambda shard: shard % 10)
    on_workers = Workers(state, a_run(tmp_path), Pool(SerialExecutor(), 1), 1)
    shards = [10, 2, 7, 17, 0, 9]
    done = list[int]()
    found = on_workers.shards(shards, lambda result: done.append(result.rows))
    assert worked == done == [9, 7, 17, 2, 10, 0]
    assert [result.rows for result in found] == shards


def signed(sign: int, cost: Callable[[Any], int], shard: Any) -> int:
    """Return the cost of a shard, or its opposite."""
    return sign * cost(shard)


def test_the_order_of_work_changes_no_byte(
    surfaces: Path, outlets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "FILE_ROWS", 100)  # many shards
    found = []
    for name, sign in (("first", 1), ("last", -1)):
        for state in STATES.values():
            cost = type(state).cost
            monkeypatch.setattr(state, "cost", partial(signed, sign, partial(cost, state)))
        root = shutil.copytree(surfaces, tmp_path / name)
        run = worlds.run(root, outlets=outlets, to_state="s8", engine="serial")
        found.append(worlds.digests(run))
    assert found[0] == found[1]
