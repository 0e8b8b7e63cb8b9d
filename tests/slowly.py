"""Preloaded by the workers of a test's cluster: a shard takes long enough to be killed in it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from segment1b.states import STATES
from segment1b.states.protocol import Run, ShardResult, State
from segment1b.storage.reader import Reader

MARKS, STATE = "SEGMENT1B_TEST_MARKS", "SEGMENT1B_TEST_SLOW_STATE"


def dask_setup(_worker: Any) -> None:
    """Slow one state down: each of its shards leaves a mark with the process id, and waits."""
    _slow_down(STATES[os.environ[STATE]], Path(os.environ[MARKS]))


def _slow_down(state: State, marks: Path) -> None:
    plain = state.work

    def work(run: Run, reader: Reader, shard: Any) -> ShardResult:
        mark = marks / str(os.getpid())
        mark.touch()
        time.sleep(0.3)
        result = plain(run, reader, shard)
        mark.unlink()
        return result

    state.work = work  # type: ignore[method-assign]
