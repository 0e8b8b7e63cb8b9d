"""Commands in forked processes, under limits or with system calls that strace makes fail."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

_CONTEXT = multiprocessing.get_context("forkserver")
# Whatever a command imports is imported by the server: only the command's own calls are counted.
_CONTEXT.set_forkserver_preload(
    [
        "faults.children",
        "worlds",
        "segment1b.cli.app",
        "segment1b.cli.console",
        "segment1b.api",
        "segment1b.pipeline.execution",
        "segment1b.states",
        "segment1b.read.export",
        "segment1b.page.page",
        "segment1b.reference.importing",
        "segment1b.evidence.bundle",
        "segment1b.reference.overlaps",
        "rich.progress_bar",
        "pyogrio",
        "psutil",
        "pyarrow.csv",
    ]
)
_SECONDS = 300
_STREAMS = ("stdout", "stderr")
# Starting a process also collects those that have ended, whoever waits for them.
_ONE_AT_A_TIME = threading.Lock()
_SCRIPT: str = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
    "scripts"
]["segment1b"]
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)")


@dataclass(frozen=True)
class Fault:
    """Which system call fails, how, and which of them.

    Attributes:
        kind: the system call.
        error: the name of the error.
        when: `N`, the Nth call of a thread, or `N+`, that one and all behind it.
        path: the only file, below a case's folder, whose calls count.
    """

    kind: str
    error: str
    when: str
    path: str = ""

    def options(self, folder: Path) -> list[str]:
        only = ["-P", str(folder / self.path)] if self.path else []
        return [*only, "-e", f"inject={self.kind}:error={self.error}:when={self.when}"]


@dataclass(frozen=True)
class Call:
    """One system call of a trace: thread, which of the thread's calls of its kind, arguments."""

    thread: int
    number: int
    kind: str
    arguments: str
    is_injected: bool


@dataclass(frozen=True)
class Ending:
    """How a command ended, and the calls that strace has written down."""

    exit_code: int
    stdout: str
    stderr: str
    calls: tuple[Call, ...] = ()

    @property
    def injected(self) -> tuple[Call, ...]:
        """Return the calls that were made to fail."""
        return tuple(call for call in self.calls if call.is_injected)


@dataclass(frozen=True)
class Start:
    """A command line and the surroundings of its process.

    Attributes:
        argv: the arguments behind `segment1b`.
        folder: the working directory; stdout, stderr and the trace lie beside it.
        environment: variables that are set.
        limits: by the name of their resource; RLIMIT_AS in bytes beyond those in use.
    """

    argv: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.folder.with_name("strace.log")


def _name_alike() -> None:
    """Give folders and files the same random names in every process that is traced."""
    chance = random.Random(1)
    uuid.uuid4 = lambda: uuid.UUID(int=chance.getrandbits(128), version=4)
    names = tempfile._RandomNameSequence()
    names._rng, names._rng_pid = random.Random(1), os.getpid()
    tempfile._name_sequence = names


def _command(start: Start, gate: Connection, traced: bool) -> None:
    """Run a command line in this process, once the parent has opened the gate."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        path = start.folder.with_name(name)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    module, _, function = _SCRIPT.partition(":")
    main = getattr(importlib.import_module(module), function)
    os.chdir(start.folder)
    os.environ.update(start.environment)
    tempfile.tempdir = None
    sys.argv = ["segment1b", *start.argv]
    for name, value in start.limits.items():
        # How much the preloaded libraries take differs from machine to machine.
        most = value + psutil.Process().memory_info().vms if name == "RLIMIT_AS" else value
        resource.setrlimit(getattr(resource, name), (most, most))
    if traced:
        _name_alike()
    # How many other processes there are must not change which call is the Nth.
    psutil._ppid_map = dict
    gate.send_bytes(b"ready")
    gate.recv_bytes()
    main()


def run(
    start: Start,
    fault: Fault | None = None,
    traced: str = "",
    meanwhile: Callable[[psutil.Process], None] | None = None,
) -> Ending:
    """Run a command to its end.

    Args:
        start: what to run.
        fault: a call to make fail.
        traced: system calls to write down, separated by commas, without a fault.
        meanwhile: called with the process when the command starts.
    """
    mine, its = _CONTEXT.Pipe()
    child = _CONTEXT.Process(target=_command, args=(start, its, bool(fault or traced)))
    with _ONE_AT_A_TIME:
        child.start()
    its.close()
    assert child.pid is not None
    mine.recv_bytes()
    tracer = None
    start.log.unlink(missing_ok=True)
    if fault or traced:
        tracer = _attach(child.pid, start, fault, traced)
    mine.send_bytes(b"go")
    if meanwhile is not None:
        meanwhile(psutil.Process(child.pid))
    hangs = not _ends(child, _SECONDS)
    if hangs:
        child.kill()
        assert _ends(child, _SECONDS)
    if tracer is not None:
        tracer.communicate(timeout=_SECONDS)
    mine.close()
    texts = [start.folder.with_name(name).read_text("utf-8", "replace") for name in _STREAMS]
    if hangs:
        texts[1] += f"\nstill at work after {_SECONDS} s"
    with _ONE_AT_A_TIME:
        exit_code = child.exitcode
        child.close()
    assert exit_code is not None
    return Ending(exit_code, *texts, calls=_calls(start.log))


def _ends(child: BaseProcess, seconds: float) -> bool:
    """Wait until a process ends; return whether it does in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with _ONE_AT_A_TIME:
            if child.exitcode is not None:
                return True
        time.sleep(0.01)
    return False


def _attach(pid: int, start: Start, fault: Fault | None, traced: str) -> subprocess.Popen[str]:
    """Let strace follow a process and all its threads; return when it does."""
    calls = fault.kind if fault else traced
    options = ["-f", "-y", "-s", "80", "-o", str(start.log), "-p", str(pid), "-e", "signal=none"]
    options += ["-e", f"trace={calls}"]
    if fault:
        options += [*fault.options(start.folder), "-e", "status=failed"]
    tracer = subprocess.Popen(
        ["strace", *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    assert "attached" in line, f"strace cannot attach: {line}{tracer.stderr.read()}"
    return tracer


def _calls(log: Path) -> tuple[Call, ...]:
    """Return the calls of a trace, in the order in which they began."""
    if not log.exists():
        return ()
    counts: dict[tuple[str, str], int] = {}
    calls: list[Call] = []
    for line in log.read_text("utf-8", "replace").splitlines():
        call = _CALL.match(line)
        if call is None:
            # Of an injected call that another thread's line cuts in two.
            if "(INJECTED)" in line:
                calls.append(Call(0, 0, "", line, True))
            continue
        thread, kind, rest = call.groups()
        counts[thread, kind] = counts.get((thread, kind), 0) + 1
        injected = "(INJECTED)" in rest
        calls.append(Call(int(thread), counts[thread, kind], kind, rest, injected))
    return tuple(calls)
