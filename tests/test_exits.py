"""How the command line ends, as a shell sees it: exit codes, output, and never a traceback."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import segment1b
import worlds
from segment1b import __main__, contracts
from segment1b.contracts import faults

SOURCE = str(Path(segment1b.__file__).parents[1])
ENVIRONMENT = {**os.environ, "PYTHONPATH": SOURCE}
PROGRAM = [sys.executable, "-m", "segment1b"]
#: A name that is not UTF-8 and holds a sequence that colours a terminal.
HOSTILE = b"a\xff\x1b[31mb"


def run(
    *arguments: str | bytes | Path, redirected: str = "", folder: Path | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command, a shell's redirections after it; check that no traceback is printed."""
    command: list[Any] = [*PROGRAM, *arguments]
    if redirected:
        command = ["bash", "-c", f'"$@" {redirected}', "bash", *command]
    done = subprocess.run(
        command, env=ENVIRONMENT, cwd=folder, capture_output=True, text=True, **options
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize(
    ("redirected", "said"),
    [
        (">/dev/full", "E_OUTPUT_LOST stdout: No space left on device"),
        (">&-", "E_OUTPUT_LOST stdout: it is closed"),
        ("| true; exit ${PIPESTATUS[0]}", ""),
    ],
)
@pytest.mark.code("E_OUTPUT_LOST")
def test_output_that_is_lost_is_exit_code_3(redirected: str, said: str) -> None:
    done = run("contracts", "check", redirected=redirected)
    assert (done.returncode, done.stderr.partition("\n")[0]) == (3, said)


def test_who_does_not_want_to_hear_of_progress_may_close_stderr() -> None:
    assert run("contracts", "check", redirected="2>&-").returncode == 0


def test_a_failure_that_cannot_be_printed_keeps_its_exit_code() -> None:
    done = run("run", "--log-format", "xml", "--json", redirected=">/dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith("E_OUTPUT_LOST ")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_name_that_is_no_text_is_printed_escaped(as_json: bool, tmp_path: Path) -> None:
    """In the error itself, where printing it failed once more."""
    arguments = ["run", "--data-root", HOSTILE, "--policy", HOSTILE + b".yaml"]
    done = run(*arguments, *(["--json"] if as_json else []), folder=tmp_path)
    assert done.returncode == 2
    if as_json:
        error = json.loads(done.stdout)["error"]
        assert error["message"].startswith("a\udcff\x1b[31mb.yaml ")
    else:
        assert done.stderr.startswith("E_POLICY_INVALID a\\udcff\\x1b[31mb.yaml ")


def test_a_command_line_that_cannot_be_used_is_e_usage() -> None:
    done = run("run", "--log-format", "xml", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "E_USAGE"
    assert "'--log-format'" in error["message"]
    assert error["hint"].endswith("run --help")


def test_a_data_root_in_proc_is_unusable() -> None:
    done = run("run", "--data-root", "/proc/x")
    assert (done.returncode, done.stderr.split()[0]) == (3, "E_DATA_ROOT_UNUSABLE")


def test_little_memory_is_a_coded_error_before_a_library_aborts(tmp_path: Path) -> None:
    limit = 600_000 * 1024
    done = run(
        *("run", "--data-root", tmp_path / "root"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("E_RESOURCES_EXHAUSTED the address space is limited to 585 MiB")
    assert not (tmp_path / "root").exists()


@pytest.fixture
def main(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that calls the command line in this process."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    before = signal.getsignal(signal.SIGINT)

    def called(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["segment1b", *words])
        with pytest.raises(SystemExit) as left:
            __main__.main()
        assert signal.getsignal(signal.SIGINT) is before
        return int(left.value.code or 0), *capsys.readouterr()

    return called


def test_a_fault_of_the_program_is_exit_code_70_and_its_traceback_is_in_a_file(
    main: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def divide(_: object) -> None:
        print(1 // 0)

    monkeypatch.setattr(contracts, "load", divide)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, out, err = main("contracts", "check")
    (kept,) = tmp_path.iterdir()
    assert (code, out) == (70, "")
    assert err == (
        "E_INTERNAL ZeroDivisionError: integer division or modulo by zero\n"
        f"  what to do: report this with its traceback, which is in {kept}\n"
    )
    assert "print(1 // 0)" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    code, _, err = main("contracts", "check")
    assert code == 70
    assert "its traceback could not be kept" in err


def test_a_failure_that_cannot_be_reported_is_exit_code_70(
    main: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(contracts, "load", fail)
    monkeypatch.setattr(faults, "keep_traceback", fail)
    written: list[tuple[int, bytes]] = []
    monkeypatch.setattr(os, "write", lambda number, data: written.append((number, data)))
    assert main("contracts", "check") == (70, "", "")
    assert written == [(2, b"E_INTERNAL MemoryError\n")]


@pytest.mark.parametrize(
    "value", [".nan", "NaN", "1" * 6000, "&seed [*seed]", "2" * 20, "-1", "1.5", "true", "0x"]
)
def test_a_seed_that_is_none_is_a_usage_error(
    main: Callable[..., tuple[int, str, str]], value: str, tmp_path: Path
) -> None:
    path = tmp_path / "night.yaml"
    path.write_text(f"runs:\n  - {{name: a, data_root: r, seed: {value}}}\n")
    code, out, err = main("nightly", "--config", str(path), "--dry-run")
    assert (code, out) == (2, "")
    assert err.startswith(f"E_USAGE {path}")


def test_a_fault_in_a_thread_or_a_finaliser_is_one_line(
    main: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Thing:
        def __del__(self) -> None:
            raise ValueError("at the \x1bend")

    def work(_: object) -> Any:
        thread = threading.Thread(target=[].pop)
        thread.start()
        thread.join()
        Thing()
        raise KeyboardInterrupt

    monkeypatch.setattr(contracts, "load", work)
    code, _, err = main("contracts", "check")
    assert (code, err.splitlines()[:2]) == (
        3,
        ["warning: IndexError: pop from empty list", "warning: ValueError: at the \\x1bend"],
    )
    assert err.splitlines()[2].startswith("E_INTERRUPTED ")


def begun(pid: int, root: Path, workers_first: bool) -> bool:
    """Return whether a worker has done a state's work, or whether workers are about to start."""
    if workers_first:
        return any((root / "control").rglob("s1_run_report.json"))
    # The tracker of resources and the server that forks are the first two.
    return len(psutil.Process(pid).children(recursive=True)) >= 2


def as_at_a_terminal() -> None:
    """Let interrupts through: what a shell runs in the background ignores them, children too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("workers_first", [False, True])
def test_an_interrupt_ends_workers_too(tmp_path: Path, workers_first: bool) -> None:
    """Ctrl-C goes to all processes at the terminal; those that are still starting included."""
    outlets = worlds.outlet_list(tmp_path / "outlets.csv")
    root = worlds.lay_small_world(tmp_path / "root")
    words = ["run", "--data-root", root, "--outlets", outlets]
    with subprocess.Popen(
        [*PROGRAM, *words, "--engine", "processes", "--workers", "2"],
        env=ENVIRONMENT,
        start_new_session=True,
        preexec_fn=as_at_a_terminal,  # noqa: PLW1509 - no thread of this process holds a lock
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        deadline = time.monotonic() + 60
        while not begun(parent.pid, root, workers_first) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(parent.pid, signal.SIGINT)
        _, stderr = parent.communicate(timeout=60)
    assert parent.returncode == 3, stderr
    assert "Traceback" not in stderr
    assert "E_INTERRUPTED" in stderr
