"""Real clusters for tests: Dask's own commands in processes of their own, on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client

from slowly import MARKS, STATE

HERE = Path(__file__).parent
_SECONDS = 120


@dataclass
class Machines:
    """A scheduler and workers that are processes.

    Attributes:
        folder: where their files go, and the marks of workers that are at work.
        scheduler: the scheduler's process.
        workers: the workers' processes, dead ones too.
        options: further words of every command.
    """

    folder: Path
    options: Sequence[str]
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """Return the file by which workers find the scheduler."""
        return self.folder / "scheduler.json"

    @property
    def marks(self) -> Path:
        """Return the folder with a file for each worker that is at work on the slow state."""
        return self.folder / "marks"

    def address(self) -> str:
        wait_until(lambda: self.file.exists() and self.file.read_text().strip().endswith("}"))
        return str(json.loads(self.file.read_text())["address"])

    def ready(self) -> str:
        """Return the scheduler's address, once all workers that live have joined it."""
        living = sum(worker.poll() is None for worker in self.workers)
        with Client(self.address(), timeout=_SECONDS, set_as_default=False) as client:
            client.wait_for_workers(living, timeout=_SECONDS)
        return self.address()

    def add_worker(self, slow_state: str | None = None, packages: Path | None = None) -> None:
        """Start one more worker, of another installation when its packages are given."""
        command = ["worker", "--scheduler-file", self.file, "--no-nanny", "--nthreads", "1"]
        command += ["--host", "127.0.0.1", "--local-directory", self.folder, "--no-dashboard"]
        paths = [str(HERE), *([str(packages)] if packages else filter(None, sys.path))]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), MARKS: str(self.marks)}
        if slow_state is not None:
            environment[STATE] = slow_state
            command += ["--preload", "slowly"]
        self.workers.append(_start([*command, *self.options], environment, self.folder))

    def kill_at_work(self, how_many: int) -> list[int]:
        """Kill workers while they work on the slow state; return their process ids."""
        killed: list[int] = []

        def some_are_killed() -> bool:
            for mark in sorted(self.marks.iterdir()):
                if len(killed) < how_many and int(mark.name) not in killed:
                    os.kill(int(mark.name), signal.SIGKILL)
                    killed.append(int(mark.name))
                    mark.unlink(missing_ok=True)
            return len(killed) == how_many

        wait_until(some_are_killed)
        return killed


@contextmanager
def cluster(folder: Path, options: Sequence[str] = ()) -> Iterator[Machines]:
    """Give a scheduler without workers; all its processes are gone afterwards."""
    (folder / "marks").mkdir(parents=True)
    command = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    command += ["--scheduler-file", str(folder / "scheduler.json"), *options]
    machines = Machines(folder, options, _start(command, dict(os.environ), folder))
    try:
        yield machines
    finally:
        for process in (*machines.workers, machines.scheduler):
            process.kill()
            process.wait()


def _start(
    command: Sequence[str | Path], environment: dict[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *command],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
        )


def wait_until(there: Callable[[], bool]) -> None:
    """Wait until a condition holds."""

    deadline = time.monotonic() + _SECONDS
    while not there():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
