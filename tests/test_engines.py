"""Engines: order, bounds, errors that cross processes, workers that die or are left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import psutil
import pytest

import errands
import segment1b
from segment1b.engines import Engine, SerialExecutor, executor, in_order
from segment1b.errors import Segment1BError

ENGINES: tuple[Engine, ...] = get_args(Engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_results_come_in_the_order_of_the_items(engine: Engine, ahead: int) -> None:
    with executor(engine, 2) as pool:
        found = list(in_order(pool, errands.square_slowly, range(20), ahead))
    assert found == [number * number for number in range(20)]


@pytest.mark.parametrize("engine", ENGINES)
def test_no_items_give_no_results(engine: Engine) -> None:
    with executor(engine, 2) as pool:
        assert list(in_order(pool, errands.square_slowly, [], 4)) == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ahead", [1, 4])
def test_no_more_than_that_many_items_are_taken_ahead_of_the_results(
    engine: Engine, ahead: int
) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(30):
            taken += 1
            yield number

    with executor(engine, 2) as pool:
        for given, _ in enumerate(in_order(pool, errands.square_slowly, items(), ahead)):
            assert taken - given <= ahead
    assert taken == 30


@pytest.mark.parametrize("engine", ENGINES)
def test_a_coded_error_arrives_whole(engine: Engine) -> None:
    with executor(engine, 2) as pool, pytest.raises(Segment1BError) as caught:
        list(in_order(pool, errands.fail_at_three, range(9), 2))
    error = caught.value
    assert error.code == "E404_ALLOCATION_MISMATCH"
    assert (error.message, error.hint) == ("3 is too much", "give 2")
    assert error.scope == {"merchant_id": 3, "country_iso": "NO"}
    assert str(error) == "E404_ALLOCATION_MISMATCH: 3 is too much (give 2)"


@pytest.mark.parametrize("engine", ENGINES)
def test_results_before_an_error_are_given_and_no_item_after_it_is_taken(engine: Engine) -> None:
    seen: list[int] = []
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with executor(engine, 2) as pool, pytest.raises(Segment1BError):
        seen.extend(in_order(pool, errands.fail_at_three, items(), 2))
    assert seen == [0, 1, 2]
    assert len(taken) <= 6


def test_a_worker_that_dies_is_a_coded_error() -> None:
    with executor("processes", 2) as pool, pytest.raises(Segment1BError) as caught:
        list(in_order(pool, errands.die_at_three, range(9), 2))
    assert caught.value.code == "E_WORKER_DIED"
    assert "fewer workers" in caught.value.hint


def test_an_engine_is_what_its_name_says() -> None:
    kinds = {
        "serial": SerialExecutor,
        "threads": ThreadPoolExecutor,
        "processes": ProcessPoolExecutor,
    }
    assert set(kinds) == set(ENGINES)
    for engine in ENGINES:
        with executor(engine, 2) as pool:
            assert type(pool) is kinds[engine]


def test_serial_work_is_done_at_once_in_the_caller_s_thread() -> None:
    done: list[int] = []
    with executor("serial", 1) as pool:
        future = pool.submit(done.append, 1)
        assert done == [1]
        assert future.done()


def test_processes_are_other_processes() -> None:
    with executor("processes", 1) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()


PARENT = """
import sys
from pathlib import Path
import errands
from segment1b.engines import executor
if __name__ == "__main__":
    with executor("processes", 2) as pool:
        for _ in range(2):
            pool.submit(errands.say_pid_and_sleep, Path(sys.argv[1]))
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    pids = tmp_path / "pids"
    pids.mkdir()
    paths = [Path(segment1b.__file__).parents[1], Path(errands.__file__).parent]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    with subprocess.Popen([sys.executable, script, pids], env=environment) as parent:
        deadline = time.monotonic() + 60
        while len(list(pids.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        workers = [psutil.Process(int(path.name)) for path in pids.iterdir()]
        assert len(workers) == 2
        os.kill(parent.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=30)
    for left in alive:
        left.kill()
    assert alive == []
