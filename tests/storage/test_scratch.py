"""Files on their way lie in private folders, and those of killed processes are removed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from published import raises
from segment1b.storage.scratch import REPLACED, replace_file, scratch_beside
from shapes import without_privilege

KILLED = """
import os, signal, sys
from pathlib import Path
from segment1b.storage.scratch import REPLACED, scratch_beside

target = Path(sys.argv[1])
with scratch_beside(target) as scratch:
    (scratch / "part").write_text("part")
    if target.exists():
        os.rename(target, scratch / REPLACED)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(target: Path) -> None:
    """Let a process be killed while it makes the target."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(target)])
    assert done.returncode == -signal.SIGKILL


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_scratch_folder_is_private_and_gone_in_the_end(tmp_path: Path) -> None:
    with scratch_beside(tmp_path / "out") as scratch:
        assert list(scratch.iterdir()) == []
        assert scratch.parent.parent == tmp_path
        assert scratch.parent.stat().st_mode & 0o077 == 0
        (scratch / "part").touch()
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    killed(tmp_path / "out")
    killed(tmp_path / "other")
    assert len(names(tmp_path)) == 2
    replace_file(tmp_path / "out", b"whole")
    assert len(names(tmp_path)) == 2, "the other target's may only be removed beside it"
    replace_file(tmp_path / "other", b"whole")
    assert names(tmp_path) == ["other", "out"]


def test_a_target_moved_aside_by_a_killed_process_comes_back(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "older").touch()
    killed(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with scratch_beside(tmp_path / "out") as scratch:
        assert names(tmp_path / "out") == ["older"]
        assert not (scratch / REPLACED).exists()
    assert names(tmp_path) == ["out"]


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    with scratch_beside(tmp_path / "out") as first, scratch_beside(tmp_path / "out") as second:
        assert first.is_dir()
        assert second.is_dir()
        assert first != second
    assert names(tmp_path) == []


def test_a_filesystem_without_locks_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    killed(tmp_path / "out")
    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    replace_file(tmp_path / "out", b"whole")
    assert (tmp_path / "out").read_bytes() == b"whole"
    assert len(names(tmp_path)) == 2, "what may be in use stays"


def test_a_failure_at_the_beginning_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Path.mkdir

    def full(path: Path, *arguments: Any, **options: Any) -> None:
        if path.name == "scratch":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", full)
    with raises("E_STORAGE_FULL"):
        replace_file(tmp_path / "out", b"whole")
    assert names(tmp_path) == []


def test_only_folders_of_this_user_are_removed(tmp_path: Path) -> None:
    with scratch_beside(tmp_path / "out") as scratch:
        prefix = scratch.parent.name[:-8]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (tmp_path / f"{prefix}link").symlink_to(elsewhere)
    (tmp_path / f"{prefix}file").touch()
    strange = tmp_path / f"{prefix}strange"
    strange.mkdir()
    os.utime(strange, (0, 0))
    if os.geteuid() == 0:
        os.chown(strange, 12345, 12345)
    replace_file(tmp_path / "out", b"whole")
    assert (elsewhere / "kept").exists()
    left = {"elsewhere", "out", f"{prefix}link", f"{prefix}file"}
    assert set(names(tmp_path)) == left | ({strange.name} if os.geteuid() == 0 else set())


def test_a_link_in_place_of_the_target_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "out").symlink_to(victim)
    replace_file(tmp_path / "out", b"new")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "out").read_bytes() == b"new"
    assert not (tmp_path / "out").is_symlink()


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    folder = Path("/tmp") / f"unwritable-{os.getpid()}"  # noqa: S108 - any user may enter it
    folder.mkdir(mode=0o555)
    try:
        with without_privilege(), raises("E_DATA_ROOT_UNUSABLE"):
            replace_file(folder / "out", b"")
    finally:
        folder.rmdir()
