"""The control: what two plain processes gain over one on this machine, with no work of ours."""

from __future__ import annotations

import multiprocessing
import time

_STEPS = 12_000_000


def _work(steps: int) -> int:
    value = 1
    for _ in range(steps):
        value = value * 48271 % 2147483647
    return value


def two_cores() -> float:
    """Return how many times as much two CPU-bound processes do in the time of one: 2 at best."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.map(_work, [1000, 1000])  # started and warm
        start = time.perf_counter()
        pool.apply(_work, (_STEPS,))
        alone = time.perf_counter() - start
        start = time.perf_counter()
        pool.map(_work, [_STEPS, _STEPS], chunksize=1)
        return 2 * alone / (time.perf_counter() - start)
