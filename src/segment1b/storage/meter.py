"""The resource meter: samples memory, open files and processor time all through a state."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

_PERIOD_SECONDS = 0.05
_BASELINE_BYTES = 64 << 20


class Meter:
    """Measures the block it surrounds, child processes included.

    Args:
        children: whether the work may be done by child processes. To find them, all processes of
            the machine are looked at, which takes milliseconds at every sample.

    Attributes:
        wall: seconds from entry to exit.
        cpu: processor seconds of this process and its children.
        peak_rss: largest resident memory of one process, in bytes.
        peak_files: largest number of open file descriptors, all processes together.
    """

    def __init__(self, *, children: bool = True) -> None:
        self._with_children = children
        self.wall = self.cpu = 0.0
        self.peak_rss = self.peak_files = 0
        self._own = psutil.Process()
        self._children: dict[int, float] = {}
        self._earlier: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_stopped, daemon=True)

    def __enter__(self) -> Meter:
        self._sample()
        self._earlier = dict(self._children)
        self._wall0, self._cpu0 = time.perf_counter(), time.process_time()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
        self.wall = time.perf_counter() - self._wall0
        children = sum(t - self._earlier.get(pid, 0.0) for pid, t in self._children.items())
        self.cpu = time.process_time() - self._cpu0 + children

    def _sample_until_stopped(self) -> None:
        while not self._stop.wait(_PERIOD_SECONDS):
            self._sample()

    def _sample(self) -> None:
        files = 0
        # A figure that cannot be read is no reason to stop the work that it is about.
        processes = [self._own]
        if self._with_children:
            with suppress(psutil.Error, OSError):
                processes += self._own.children(recursive=True)
        for process in processes:
            with suppress(psutil.Error, OSError):
                self.peak_rss = max(self.peak_rss, process.memory_info().rss)
                files += process.num_fds()
                if process.pid != self._own.pid:
                    times = process.cpu_times()
                    self._children[process.pid] = times.user + times.system
        self.peak_files = max(self.peak_files, files)

    def resources(
        self,
        workers: int,
        chunk_size: int,
        bytes_read: Mapping[str, int],
        baselines: Mapping[str, float],
    ) -> dict[str, Any]:
        """Return the `resources` block of a run report."""
        block: dict[str, Any] = {
            "wall_clock_seconds_total": round(self.wall, 6),
            "cpu_seconds_total": round(self.cpu, 6),
            "max_worker_rss_bytes": self.peak_rss,
            "open_files_peak": self.peak_files,
            "workers_used": workers,
            "chunk_size": chunk_size,
        }
        block |= {f"bytes_read_{name}": count for name, count in sorted(bytes_read.items())}
        block |= {f"io_baseline_{name}_bps": round(bps) for name, bps in sorted(baselines.items())}
        return block


def read_baseline(paths: list[Path]) -> float:
    """Return how many bytes a second a plain sequential read of these files gives now."""
    count, start = 0, time.perf_counter()
    for path in paths:
        with path.open("rb", buffering=0) as handle:
            while count < _BASELINE_BYTES and (block := handle.read(1 << 20)):
                count += len(block)
    return count / max(time.perf_counter() - start, 1e-9)
