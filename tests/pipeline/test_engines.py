"""Engines: order, bounds, errors that cross processes, workers that die or are left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

import errands
import segment1b
from segment1b.errors import Segment1BError
from segment1b.pipeline.engines import AHEAD, Pool, SerialExecutor, in_order, opened

HERE = Path()
#: Those without an extra package; test_cluster.py has the others.
ENGINES = ("serial", "threads", "processes")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("workers", [1, 2, 50])
def test_results_come_in_the_order_of_the_items(engine: str, workers: int) -> None:
    with opened(engine, 2, HERE) as pool:
        found = list(in_order(pool, errands.square_slowly, range(20), workers))
    assert found == [number * number for number in range(20)]


@pytest.mark.parametrize("engine", ENGINES)
def test_no_items_give_no_results(engine: str) -> None:
    with opened(engine, 2, HERE) as pool:
        assert list(in_order(pool, errands.square_slowly, [], 2)) == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_than_so_many_items_a_worker_are_taken_ahead_of_the_results(
    engine: str, workers: int
) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    with opened(engine, 2, HERE) as pool:
        for given, _ in enumerate(in_order(pool, errands.square_slowly, items(), workers)):
            assert taken - given <= (AHEAD * workers if workers > 1 else 2)
    assert taken == 100


@pytest.mark.parametrize("engine", ENGINES)
def test_a_coded_error_arrives_whole(engine: str) -> None:
    with opened(engine, 2, HERE) as pool, pytest.raises(Segment1BError) as caught:
        list(in_order(pool, errands.fail_at_three, range(9), 2))
    error = caught.value
    assert error.code == "E404_ALLOCATION_MISMATCH"
    assert (error.message, error.hint) == ("3 is too much", "give 2")
    assert error.scope == {"merchant_id": 3, "country_iso": "NO"}
    assert str(error) == "E404_ALLOCATION_MISMATCH: 3 is too much (give 2)"


@pytest.mark.parametrize("engine", ENGINES)
def test_results_before_an_error_are_given_and_no_item_after_it_is_taken(engine: str) -> None:
    seen: list[int] = []
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with opened(engine, 2, HERE) as pool, pytest.raises(Segment1BError):
        seen.extend(in_order(pool, errands.fail_at_three, items(), 1))
    assert seen == [0, 1, 2]
    assert len(taken) <= 5


def test_no_more_items_are_at_work_than_a_state_has_workers_in_a_larger_pool() -> None:
    lock, at_work, most = threading.Lock(), 0, 0

    def work(number: int) -> int:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.002 * (number % 3))
        with lock:
            at_work -= 1
        return number

    for workers in (1, 2, 4):
        most = 0
        with opened("threads", 4, HERE) as pool:
            assert list(in_order(pool, work, range(40), workers)) == list(range(40))
        assert most <= workers
    assert most > 1


def test_who_waits_for_a_pool_that_nobody_works_in_is_told() -> None:
    class Deserted(Pool):
        def check(self) -> None:
            raise Segment1BError("E_WORKER_DIED", "all workers are gone")

    with ThreadPoolExecutor(2) as executor:
        never = threading.Event()
        pool = Deserted(executor, 2)
        for workers in (1, 2):
            with pytest.raises(Segment1BError, match="E_WORKER_DIED"):
                list(in_order(pool, lambda _: never.wait(), range(9), workers))
        never.set()


@pytest.mark.code("E_WORKER_DIED")
def test_a_worker_that_dies_is_a_coded_error() -> None:
    with opened("processes", 2, HERE) as pool, pytest.raises(Segment1BError) as caught:
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
        with opened(engine, 2, HERE) as pool:
            assert isinstance(pool.executor, kinds[engine])


def test_serial_work_is_done_at_once_in_the_caller_s_thread() -> None:
    done: list[int] = []
    with opened("serial", 1, HERE) as pool:
        future = pool.executor.submit(done.append, 1)
        assert done == [1]
        assert future.done()


def test_processes_are_other_processes() -> None:
    with opened("processes", 1, HERE) as pool:
        assert pool.executor.submit(os.getpid).result() != os.getpid()


PARENT = """
import sys
from pathlib import Path
import errands
from segment1b.pipeline.engines import opened
if __name__ == "__main__":
    with opened("processes", 2, Path()) as pool:
        for _ in range(2):
            pool.executor.submit(errands.say_pid_and_sleep, Path(sys.argv[1]))
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
