"""The resource meter: what happens in the middle of a block is seen."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from published import KNOWN, commit, publish, requirements
from segment1b.storage.meter import Meter, read_baseline

LONG_ENOUGH = 0.25


def burn(seconds: float) -> None:
    """Use the processor for some seconds of this process's own time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_wall_time_counts_waiting_and_processor_time_does_not() -> None:
    with Meter() as meter:
        time.sleep(LONG_ENOUGH)
    assert LONG_ENOUGH <= meter.wall < LONG_ENOUGH + 5
    assert meter.cpu < meter.wall


def test_processor_time_of_this_process_is_counted() -> None:
    with Meter() as meter:
        burn(LONG_ENOUGH)
    assert meter.cpu >= LONG_ENOUGH


def test_processor_time_of_children_is_counted_in_the_block_where_it_is_used() -> None:
    code = (
        "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ntime.sleep(600)\n"
    )
    with (
        Meter() as meter,
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(LONG_ENOUGH)
        with Meter() as later:
            time.sleep(LONG_ENOUGH)
        child.kill()
    assert meter.cpu >= 0.45
    assert later.cpu < 0.4


def test_work_within_the_process_is_measured_without_looking_for_children(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[bool] = []
    monkeypatch.setattr(psutil.Process, "children", lambda *_, **__: looked.append(True) or [])
    with Meter(children=False) as meter:
        burn(LONG_ENOUGH)
    assert (looked, meter.peak_rss > 0, meter.cpu >= LONG_ENOUGH) == ([], True, True)


def test_figures_that_cannot_be_read_do_not_stop_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    for name in ("children", "memory_info"):
        monkeypatch.setattr(psutil.Process, name, refuse)
    with Meter() as meter:
        pass
    assert meter.peak_rss == 0


def test_memory_held_only_in_the_middle_is_seen() -> None:
    size = 256 << 20
    before = psutil.Process().memory_info().rss
    with Meter() as meter:
        held = bytearray(os.urandom(1 << 20)) * (size >> 20)
        time.sleep(LONG_ENOUGH)
        del held
        time.sleep(LONG_ENOUGH)
    assert meter.peak_rss >= before + size * 0.9


def test_memory_is_that_of_the_largest_process_not_of_all_together() -> None:
    code = "import time\nheld = b'x' * (64 << 20)\nprint(flush=True)\ntime.sleep(600)\n"
    own = psutil.Process().memory_info().rss
    with (
        Meter() as meter,
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        theirs = psutil.Process(child.pid).memory_info().rss
        time.sleep(LONG_ENOUGH)
        child.kill()
    assert theirs <= meter.peak_rss < own + theirs


def test_files_open_only_in_the_middle_are_seen(tmp_path: Path) -> None:
    with Meter() as idle:  # counts children too, such as a browser of other tests
        pass
    (tmp_path / "a").touch()
    with Meter() as meter:
        held = [os.open(tmp_path / "a", os.O_RDONLY) for _ in range(100)]
        time.sleep(LONG_ENOUGH)
        for one in held:
            os.close(one)
    assert idle.peak_files + 100 <= meter.peak_files < idle.peak_files + 200


def test_a_block_shorter_than_a_sample_is_measured_all_the_same() -> None:
    with Meter() as meter:
        pass
    assert meter.peak_rss > 0
    assert meter.peak_files > 0
    assert meter.wall > 0


def test_a_block_that_fails_is_measured_and_its_error_passes() -> None:
    meter = Meter()
    with pytest.raises(ZeroDivisionError), meter:
        _ = 1 / 0
    assert meter.wall > 0
    assert meter.peak_rss > 0


def test_the_resources_block_fits_the_schema_of_a_run_report(tmp_path: Path) -> None:
    with Meter() as meter:
        pass
    block = meter.resources(3, 1_048_576, Counter(s3=7, index=0), {"s3": 1.6e9, "index": 0.0})
    assert block == {
        "wall_clock_seconds_total": round(meter.wall, 6),
        "cpu_seconds_total": round(meter.cpu, 6),
        "max_worker_rss_bytes": meter.peak_rss,
        "open_files_peak": meter.peak_files,
        "workers_used": 3,
        "chunk_size": 1_048_576,
        "bytes_read_s3": 7,
        "bytes_read_index": 0,
        "io_baseline_s3_bps": 1_600_000_000,
        "io_baseline_index_bps": 0,
    }
    receipt = publish(tmp_path, [requirements((1, "NO", 1))])
    assert commit(tmp_path, receipt, resources=block).exists()
    problems = KNOWN.schemas.problems(
        "schemas.1B.yaml#/report/s3_run_report", {"resources": block | {"bytes_read_s3": -1}}
    )
    assert any(problem.startswith("/resources/bytes_read_s3: ") for problem in problems)


def test_a_baseline_is_bytes_in_a_second_over_all_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x" * (4 << 20))
    start = time.perf_counter()
    bps = read_baseline([tmp_path / "a", tmp_path / "b"])
    seconds = time.perf_counter() - start
    assert bps * seconds >= 8 << 20


def test_a_baseline_reads_no_more_than_it_needs(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as handle:
        handle.truncate(1 << 40)
    assert read_baseline([tmp_path / "a"]) > 0


def test_a_baseline_of_nothing_is_zero(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert read_baseline([]) == 0
    assert read_baseline([tmp_path / "empty"]) == 0
