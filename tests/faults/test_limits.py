"""Disks that are full, limits of the process, folders that cannot be written or go away."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from faults.bench import Bench, differences, judge, judge_ending, published
from faults.children import run

#: Of a root with a whole run, and of the root that it starts from.
SIZES, INODES = 40, 10
KIB = 1024


@dataclass(frozen=True)
class Limited:
    """A run under a limit: what it is called, and how the run is started."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    mount: str = ""
    may_die: bool = False


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Put a tmpfs at a folder, with the files that are in it."""
    held = folder.parent.with_name("held")
    folder.rename(held)
    folder.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", f"mode=0777,{options}", "tmpfs", str(folder))
    try:
        shutil.copytree(held, folder, dirs_exist_ok=True)
        yield
    finally:
        as_root("umount", "--lazy", str(folder))


def as_root(*command: str) -> None:
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*sudo, *command], check=True)


def used(folder: Path) -> tuple[int, int]:
    """Return how many KiB and inodes a folder takes on a tmpfs."""
    paths = [folder, *folder.rglob("*")]
    pages = sum(-(-path.stat().st_size // 4096) for path in paths if path.is_file())
    return 4 * pages, len(paths) + 1


def survive(bench: Bench, case: Limited, made: Counter[str]) -> str:
    """Run under a limit, count it if it stopped the run, run again; return what is wrong."""
    folder = bench.folder / uuid.uuid4().hex
    at = bench.copy("run", folder)
    start = bench.start("run", at, environment=case.environment, limits=case.limits)
    if case.mount:
        with mounted(at / "root", case.mount):
            ending = run(start)
            as_root("mount", "-o", "remount,size=1g,nr_inodes=0", str(at / "root"))
            wrong = judge(bench, "run", at, ending, may_die=case.may_die)
    else:
        ending = run(start)
        wrong = judge(bench, "run", at, ending, may_die=case.may_die)
    shutil.rmtree(folder)
    if ending.exit_code or case.environment:
        made[case.name.partition("=")[0]] += 1
    return "\n  ".join([case.name, *wrong, ending.stderr[-3000:]]) if wrong else ""


def survive_all(bench: Bench, made: Counter[str], cases: Sequence[Limited]) -> None:
    bench.undisturbed("run")
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda case: survive(bench, case, made), cases)
        wrong = "\n\n".join(filter(None, found))
    assert not wrong, wrong


def spread(low: int, high: int, count: int) -> list[int]:
    return [low + (high - low) * number // (count - 1) for number in range(count)]


def disks(bench: Bench, sizes: int, inodes: int) -> list[Limited]:
    (low, few), (high, many) = (
        used(bench.folder / name / "root") for name in ("laid", "published")
    )
    return [
        Limited(f"tmpfs size={size}k", mount=f"size={size}k")
        for size in spread(low + 4, high + 80, sizes)
    ] + [
        Limited(f"tmpfs nr_inodes={count}", mount=f"size=1g,nr_inodes={count}")
        for count in spread(few + 1, many + 8, inodes)
    ]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_disk_of_any_size_and_number_of_inodes_is_survived(
    bench: Bench, made: Counter[str]
) -> None:
    survive_all(bench, made, disks(bench, SIZES, INODES))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_limits_of_the_process_are_survived(bench: Bench, made: Counter[str]) -> None:
    sizes = [
        Limited(f"ulimit -f={kib} KiB", limits={"RLIMIT_FSIZE": kib * KIB}) for kib in range(1, 9)
    ]
    files = [
        Limited(f"ulimit -n={count}", limits={"RLIMIT_NOFILE": count}) for count in range(8, 19)
    ]
    memory = [
        Limited(f"ulimit -v=+{mib} MiB", limits={"RLIMIT_AS": mib << 20}, may_die=True)
        for mib in range(0, 1200, 100)
    ]
    survive_all(bench, made, [*sizes, *files, *memory])


def test_a_sample_of_full_disks_and_limits_is_survived(
    bench: Bench, made: Counter[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    sample = disks(bench, 6, 4)[3:8:4]
    sample.append(Limited("ulimit -n=14", limits={"RLIMIT_NOFILE": 14}))
    sample.append(Limited("TMPDIR and HOME files", environment=homeless(tmp_path / "file")))
    survive_all(bench, made, sample)


def homeless(folder: Path) -> dict[str, str]:
    return {"TMPDIR": str(folder), "HOME": str(folder)}


@pytest.mark.slow
def test_home_and_folders_for_temporary_files_may_be_absent_or_read_only(
    bench: Bench, made: Counter[str], tmp_path: Path
) -> None:
    (tmp_path / "locked").mkdir()
    as_root("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path / "locked"))
    cases = [
        Limited(f"TMPDIR and HOME {name}", environment=homeless(tmp_path / name))
        for name in ("absent", "locked")
    ]
    try:
        survive_all(bench, made, cases)
    finally:
        as_root("umount", str(tmp_path / "locked"))


@pytest.mark.slow
@pytest.mark.parametrize("state", [f"s{number}" for number in range(9)])
def test_a_root_removed_during_a_run_leaves_nothing_wrong(
    state: str, bench: Bench, made: Counter[str]
) -> None:
    folder = bench.folder / uuid.uuid4().hex
    at = bench.copy("run", folder)

    def remove(process: psutil.Process) -> None:
        deadline = time.monotonic() + 60
        while not list((at / "root/control").rglob(f"{state}_run_report.json")):
            assert process.is_running()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        shutil.rmtree(at / "root", ignore_errors=True)

    ending = run(bench.start("run", at), meanwhile=remove)
    made[f"root removed after {state}"] += 1
    assert not judge_ending(ending, may_die=False), ending.stderr
    expected: dict[str, Any] = bench.undisturbed("run")
    # What a process that lost its root has written since is nothing that a run would take up.
    whole = ending.exit_code == 0
    assert not differences(published(at), expected, whole=whole)
    shutil.rmtree(at)
    bench.copy("run", folder)
    again = run(bench.start("run", at))
    assert again.exit_code == 0, again.stderr
    assert not differences(published(at), expected, whole=True)
    shutil.rmtree(folder)
