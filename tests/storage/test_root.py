"""A data root: opened or refused, one run per identity, staging that outlives no run."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

import segment1b
from published import raises
from segment1b.identity import Identity
from segment1b.storage.locks import identity_lock
from segment1b.storage.root import open_root
from segment1b.storage.staging import Leftover, staging, sweep_staging
from shapes import without_privilege

IDENTITY = Identity(42, "1" * 64, "2" * 64)
OTHER = Identity(43, "1" * 64, "2" * 64)

PRELUDE = f"""
import sys, time
from pathlib import Path
from segment1b.identity import Identity
from segment1b.storage.locks import identity_lock
from segment1b.storage.root import open_root
from segment1b.storage.staging import staging
root = open_root(Path(sys.argv[1]))
identity = Identity(42, {"1" * 64!r}, {"2" * 64!r})
"""
HOLD = """
with identity_lock(root, identity, 0):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""
STAGE = """
with staging(root) as folder:
    (folder / "piece").write_text("half")
    print(folder, flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextmanager
def process(code: str, root: Path, seconds: float = 600) -> Iterator[tuple[int, str]]:
    """Run code in another process until its first line is out; give its pid and that line."""
    source = str(Path(segment1b.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(root), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
    ) as child:
        assert child.stdout is not None
        try:
            yield child.pid, child.stdout.readline().strip()
        finally:
            child.kill()


def test_a_root_is_made_with_its_parents_and_own_folders_and_can_be_opened_again(
    tmp_path: Path,
) -> None:
    root = open_root(tmp_path / "a/b")
    assert root == tmp_path / "a/b"
    assert [path.name for path in sorted(root.rglob("*"))] == [".locks", ".staging"]
    (root / "data").mkdir()
    assert open_root(root) == root
    assert (root / "data").is_dir()


def test_a_relative_root_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_root(Path("mine")) == tmp_path / "mine"


@pytest.mark.parametrize("inside", ["", "below", "below/deeper"])
def test_a_root_that_is_a_file_or_lies_in_one_is_refused(tmp_path: Path, inside: str) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with raises("E_DATA_ROOT_UNUSABLE", "taken"):
        open_root(taken / inside)
    assert taken.read_text() == "mine"


@pytest.mark.parametrize("name", [".staging", ".locks"])
def test_a_root_whose_own_folders_are_taken_by_files_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with raises("E_DATA_ROOT_UNUSABLE", name):
        open_root(tmp_path)


@pytest.mark.parametrize("below", ["", "new"])
@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_root_that_cannot_be_written_is_refused(mode: int, below: str) -> None:
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(mode)
        with without_privilege(), raises("E_DATA_ROOT_UNUSABLE", base):
            open_root(Path(base) / below)
        Path(base).chmod(0o755)
        root = open_root(Path(base))
        for folder in (root, root / ".staging", root / ".locks"):
            folder.chmod(0o555)  # It has become read-only.
        with without_privilege(), raises("E_DATA_ROOT_UNUSABLE"):
            open_root(root)


@pytest.mark.code("E_LOCKED")
def test_a_second_run_waits_no_longer_than_told_and_learns_who_is_at_work(tmp_path: Path) -> None:
    root = open_root(tmp_path)
    with process(HOLD, root) as (pid, line):
        assert line == "held"
        owner = rf"host {re.escape(socket.gethostname())}, pid {pid}, since 20"
        for wait in (0, 0.3):
            start = time.monotonic()
            with raises("E_LOCKED", owner), identity_lock(root, IDENTITY, wait):
                pass
            assert wait <= time.monotonic() - start < 20


def test_another_identity_is_free(tmp_path: Path) -> None:
    root = open_root(tmp_path)
    with process(HOLD, root), identity_lock(root, OTHER, 0):
        pass


def test_a_second_run_that_waits_goes_on_when_the_first_ends(tmp_path: Path) -> None:
    root = open_root(tmp_path)
    with process(HOLD, root, seconds=0.3):
        start = time.monotonic()
        with identity_lock(root, IDENTITY, 30):
            assert 0.05 < time.monotonic() - start < 20


def test_a_killed_owner_frees_its_lock(tmp_path: Path) -> None:
    root = open_root(tmp_path)
    with process(HOLD, root) as (pid, _):
        os.kill(pid, signal.SIGKILL)
        with identity_lock(root, IDENTITY, 20):
            pass


def test_a_lock_is_free_after_its_block_also_when_that_failed(tmp_path: Path) -> None:
    root = open_root(tmp_path)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), identity_lock(root, IDENTITY, 0):
            _ = 1 / 0
    assert not list((root / ".locks").glob("*.owner.json"))


def test_staging_gives_a_fresh_folder_that_is_gone_afterwards_also_after_a_failure(
    tmp_path: Path,
) -> None:
    root = open_root(tmp_path)
    with staging(root) as one, staging(root) as two:
        assert one != two
        assert one.parent == two.parent == root / ".staging"
        (one / "a/b").mkdir(parents=True)
        (one / "a/b/piece").touch()
    assert list((root / ".staging").iterdir()) == []
    with pytest.raises(ZeroDivisionError), staging(root):
        _ = 1 / 0
    assert list((root / ".staging").iterdir()) == []


def test_the_sweep_keeps_what_living_runs_stage_however_old_their_locks_are(tmp_path: Path) -> None:
    root = open_root(tmp_path)
    with process(STAGE, root) as (_, theirs), staging(root) as mine:
        (mine / "piece").write_text("half")
        locks = list((root / ".staging").glob("*.lock"))
        for lock in locks:
            os.utime(lock, (0, 0))
        assert sweep_staging(root) == []
        assert len(locks) == 2
        for kept in (*locks, mine / "piece", Path(theirs) / "piece"):
            assert kept.exists()


@pytest.mark.parametrize("by", ["sweep", "run"])
def test_what_killed_runs_have_staged_is_removed(tmp_path: Path, by: str) -> None:
    root = open_root(tmp_path)
    with process(STAGE, root) as (pid, theirs):
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        left = [Leftover(Path(theirs), len("half"))]
        assert sweep_staging(root, dry_run=True) == left
        assert (Path(theirs) / "piece").exists()
        if by == "sweep":
            assert sweep_staging(root) == left
        else:
            with staging(root):
                assert not Path(theirs).exists()
    assert list((root / ".staging").iterdir()) == []


def test_a_lock_without_its_folder_is_swept_unless_it_is_held(tmp_path: Path) -> None:
    root = open_root(tmp_path)
    lock = root / ".staging/0123.lock"
    with FileLock(lock):
        assert sweep_staging(root) == []
    assert sweep_staging(root) == [Leftover(lock, 0)]
    assert not lock.exists()


def test_a_leftover_that_cannot_be_removed_stops_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = open_root(tmp_path)
    (root / ".staging/0123").mkdir()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "rmdir", refuse)
        with staging(root):
            assert sweep_staging(root) == []
    assert (root / ".staging/0123").is_dir()
    sweep_staging(root)
    assert list((root / ".staging").iterdir()) == []


def test_what_only_looks_leaves_no_lock_behind(tmp_path: Path) -> None:
    root = open_root(tmp_path)
    (root / ".staging/left/deep").mkdir(parents=True)
    (root / ".staging/left/deep/piece").write_bytes(bytes(7))
    assert sweep_staging(root, dry_run=True) == [Leftover(root / ".staging/left", 7)]
    assert [path.name for path in (root / ".staging").iterdir()] == ["left"]
    sweep_staging(root)
    assert list((root / ".staging").iterdir()) == []


@pytest.mark.parametrize("name", ["index.json.77.tmp", "probe-0123"])
def test_a_file_without_a_run_is_swept_when_nobody_has_touched_it_for_long(
    name: str, tmp_path: Path
) -> None:
    root = open_root(tmp_path)
    file = root / ".staging" / name
    file.write_text("x")
    assert sweep_staging(root) == []
    hours_ago = time.time() - 2 * 3600
    os.utime(file, (hours_ago, hours_ago))
    assert sweep_staging(root, dry_run=True) == [Leftover(file, 1)]
    assert sweep_staging(root) == [Leftover(file, 1)]
    assert not file.exists()


def test_the_sweep_of_a_root_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert sweep_staging(tmp_path / "empty") == []
    with raises("E_DATA_ROOT_UNUSABLE", "absent is not a directory"):
        sweep_staging(tmp_path / "absent")


def test_a_staging_area_that_is_a_link_is_refused_and_left_alone(tmp_path: Path) -> None:
    root, precious = tmp_path / "root", tmp_path / "precious"
    (precious / "photos").mkdir(parents=True)
    root.mkdir()
    (root / ".staging").symlink_to(precious)
    for opened in (open_root, sweep_staging):
        with raises("E_DATA_ROOT_UNUSABLE"):
            opened(root)
    assert (precious / "photos").is_dir()
