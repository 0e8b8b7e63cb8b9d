"""Where work runs: serial, threads or processes, behind one Executor interface."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Literal, TypeVar

from segment1b.errors import Segment1BError

Engine = Literal["serial", "threads", "processes"]
Item = TypeVar("Item")
Result = TypeVar("Result")


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


def executor(engine: Engine, workers: int) -> Executor:
    """Return an executor with that many workers (serial has one)."""
    if engine == "serial":
        return SerialExecutor()
    if engine == "threads":
        return ThreadPoolExecutor(workers, thread_name_prefix="segment1b")
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    # A worker whose parent was killed would wait for work for ever.
    parent = multiprocessing.parent_process()

    def wait_and_leave() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait_and_leave, daemon=True).start()


def in_order(
    pool: Executor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yield the results of `work` in the order of `items`, at most `ahead` of them submitted.

    Raises:
        Segment1BError: E_WORKER_DIED when a worker process ends before its shard is done.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise Segment1BError(
            "E_WORKER_DIED",
            "a worker process ended before its shard was done",
            "look for the out-of-memory killer, give fewer workers and run again",
        ) from None
    finally:
        for future in waiting:
            future.cancel()
