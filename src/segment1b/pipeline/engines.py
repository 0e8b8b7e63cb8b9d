"""Where work runs: serial, threads, processes or a Dask cluster, behind one Pool."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, TypeVar

from segment1b.config import LOCAL_ENGINES
from segment1b.errors import Segment1BError
from segment1b.pipeline.interrupts import (
    blocked_interrupts,
    deferred_interrupts,
    die_of_interrupts,
)

Item = TypeVar("Item")
Result = TypeVar("Result")
_CHECK_SECONDS = 1.0
#: Items taken ahead of the results for each of several workers. Results come in order, and behind
#: one long item many short ones must find room: with two, half of S2's time had one at work.
AHEAD = 32


class SerialExecutor(Executor):
    """Runs each call at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the call and return its finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - a future carries whatever was raised
            future.set_exception(error)
        return future


class _Processes(ProcessPoolExecutor):
    """A process pool that an interrupt cannot leave with a worker it does not know."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit the call, which may start a worker."""
        with deferred_interrupts():
            return super().submit(fn, *args, **kwargs)


def _process_died(error: Exception) -> Segment1BError | None:
    if not isinstance(error, BrokenProcessPool):
        return None
    return Segment1BError("E_WORKER_DIED", "a worker process ended before its shard was done")


@dataclass(frozen=True)
class Pool:
    """The workers of a run, whatever they are.

    Attributes:
        executor: takes the calls.
        size: how many calls can be at work at once.
        found: whether the workers were there before the run, so that their number is theirs.
        check: raises a coded error when nobody is left who could finish a call.
        coded: turns what the executor itself raised into a coded error; None for what the work
            raised.
    """

    executor: Executor
    size: int
    found: bool = False
    check: Callable[[], None] = lambda: None
    coded: Callable[[Exception], Segment1BError | None] = _process_died


@contextmanager
def opened(
    engine: str, workers: int, shared: Path, dictionary: str | None = None
) -> Iterator[Pool]:
    """Give the engine's workers for as long as the block lasts.

    Args:
        engine: one of `config.LOCAL_ENGINES`, or the address of a Dask scheduler.
        workers: how many; serial has one, a running cluster has those it has.
        shared: an existing folder under the data root, which workers elsewhere must see too.
        dictionary: path of another dictionary than the packaged one.

    Raises:
        Segment1BError: E_USAGE, E_CLUSTER_UNREACHABLE, E_CLUSTER_MISMATCH or
            E_DATA_ROOT_UNUSABLE when a cluster cannot do the work.
    """
    if engine == "dask" or engine not in LOCAL_ENGINES:
        # The package is an extra, and slow to import.
        from segment1b.pipeline.cluster import local_cluster, running_cluster

        joined = local_cluster(workers) if engine == "dask" else running_cluster(engine)
        with joined as cluster:
            cluster.meet(shared, dictionary)
            found = engine != "dask"
            yield Pool(cluster.executor, cluster.size, found, cluster.check, cluster.coded)
    else:
        with _local(engine, workers) as executor:
            yield Pool(executor, workers)


def _local(engine: str, workers: int) -> Executor:
    if engine == "serial":
        return SerialExecutor()
    if engine == "threads":
        return ThreadPoolExecutor(workers, thread_name_prefix="segment1b")
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        with blocked_interrupts():
            forkserver.ensure_running()
    return _Processes(workers, mp_context=context, initializer=_start_worker)


def _start_worker() -> None:
    die_of_interrupts()
    # A worker whose parent was killed would wait for work for ever.
    parent = multiprocessing.parent_process()

    def wait_and_leave() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait_and_leave, daemon=True).start()


def in_order(
    pool: Pool, work: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yield the results of `work` in the order of `items`.

    Args:
        pool: who does the work.
        work: called once for each item; on a cluster it may be called again after a failure.
        items: taken only when their turn is near: at most `AHEAD * workers` ahead of the results,
            two where one works alone.
        workers: how many items are at work at once, where the pool is larger.

    Raises:
        Segment1BError: E_WORKER_DIED when no worker can finish an item, E_CLUSTER_UNREACHABLE
            when a cluster went away.
    """
    waiting: deque[Future[Result]] = deque()
    most = AHEAD * workers if workers > 1 else 2
    try:
        for item in items:
            if workers < pool.size:
                _wait_for_room(pool, waiting, workers)
            waiting.append(pool.executor.submit(work, item))
            if len(waiting) >= most:
                yield _result(pool, waiting.popleft())
        while waiting:
            yield _result(pool, waiting.popleft())
    except Exception as error:
        known = pool.coded(error)
        if known is None:
            raise
        raise known from None
    finally:
        for future in waiting:
            future.cancel()


def _wait_for_room(pool: Pool, waiting: Iterable[Future[Any]], workers: int) -> None:
    while len(at_work := [future for future in waiting if not future.done()]) >= workers:
        if not wait(at_work, _CHECK_SECONDS, FIRST_COMPLETED).done:
            pool.check()


def _result(pool: Pool, future: Future[Result]) -> Result:
    while not wait([future], _CHECK_SECONDS).done:
        pool.check()
    return future.result()
