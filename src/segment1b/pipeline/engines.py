"""Where work runs: serial, threads, processes or a Dask cluster, behind one Pool."""

from __future__ import annotations

import multiprocessing
import os
import signal
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
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any, TypeVar

from segment1b.config import LOCAL_ENGINES
from segment1b.errors import Segment1BError

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


@contextmanager
def blocked_interrupts() -> Iterator[None]:
    """Block SIGINT in a block that starts processes, which inherit that.

    Otherwise a process that still imports its modules answers Ctrl-C with a traceback.
    """
    resource_tracker.ensure_running()  # its start, otherwise within the block, unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _deferred_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise after the block: its executor must know every process that it has started.

    One that it does not know is not waited for, and may start when the program has gone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python raises KeyboardInterrupt in the main thread only
        return
    received: list[Any] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if received:
            signal.raise_signal(signal.SIGINT)


class _Processes(ProcessPoolExecutor):
    """A process pool that an interrupt cannot leave with a worker it does not know."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit the call, which may start a worker."""
        with _deferred_interrupts():
            return super().submit(fn, *args, **kwargs)


class Pool:
    """The workers of a run on this machine.

    Attributes:
        executor: takes the calls.
        size: how many calls can be at work at once.
        existed: whether the workers were there before the run, so that their number is theirs.
        within: whether the calls run in this process.
    """

    def __init__(
        self, executor: Executor, size: int, *, existed: bool = False, within: bool = False
    ) -> None:
        self.executor, self.size, self.existed, self.within = executor, size, existed, within

    def check(self) -> None:
        """Raise a coded error when nobody is left who could finish a call."""

    def coded(self, error: Exception) -> Segment1BError | None:
        """Return the coded form of what the executor has raised; None for what the work raised."""
        if not isinstance(error, BrokenProcessPool):
            return None
        return Segment1BError("E_WORKER_DIED", "a worker process ended before its shard was done")


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
            yield cluster
    else:
        with _local(engine, workers) as executor:
            yield Pool(executor, workers, within=engine != "processes")


def _local(engine: str, workers: int) -> Executor:
    if engine == "serial":
        return SerialExecutor()
    if engine == "threads":
        return ThreadPoolExecutor(workers, thread_name_prefix="segment1b")
    with blocked_interrupts():
        forkserver.ensure_running()
    context = multiprocessing.get_context("forkserver")
    return _Processes(workers, mp_context=context, initializer=_start_worker)


def _start_worker() -> None:
    # Ctrl-C ends a worker at once and silently; its parent gets it too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
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
