"""The staging area of a data root: a folder for each live run, and what dead runs have left."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from segment1b.errors import file_error
from segment1b.storage.durable import coded_os_errors

STAGING = ".staging"
LOCKS = ".locks"
_LEFT_ALONE_SECONDS = 3600
_SWEPT_SECONDS = 10


@contextmanager
def staging(root: Path) -> Iterator[Path]:
    """Give a fresh folder under the root's staging area, removed at the end.

    The folder is held by a file lock as long as its run lives, so that what a killed run left
    behind can be told from what a living one still needs. What earlier runs left is removed first.
    """
    sweep_staging(root)
    folder = root / STAGING / uuid.uuid4().hex
    lock = FileLock(_lock_of(folder))
    try:
        with coded_os_errors(folder):
            # Another run may sweep the lock's file away between its creation and the lock.
            lock.acquire(timeout=_SWEPT_SECONDS)
            folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            _lock_of(folder).unlink()
        lock.release()


@dataclass(frozen=True)
class Leftover:
    """A folder or file of the staging area, or an upload, that a dead run left; and its bytes."""

    path: Path
    size: int


def sweep_staging(root: Path, *, dry_run: bool = False) -> list[Leftover]:
    """Remove what dead runs have left in a staging area, or only look; return what it was.

    What cannot be removed stays for the next sweep. A root that cannot be written is
    E_DATA_ROOT_UNUSABLE: a run's lock tells whether it lives.
    """
    swept = []
    for path in _dead(root):
        left = Leftover(path, size_below(path))
        with suppress(OSError):
            if not dry_run:
                _remove(path)
            swept.append(left)
    return swept


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        path = _lock_of(path)
    path.unlink(missing_ok=True)


def size_below(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    files = (file for file in (path, *path.rglob("*")) if file.is_file())
    return sum(file.stat().st_size for file in files)


def _dead(root: Path) -> Iterator[Path]:
    """Yield the folders and locks of runs that have ended, each held meanwhile, and old files."""
    if not root.is_dir():
        raise file_error("E_DATA_ROOT_UNUSABLE", root, "is not a directory")
    area = root / STAGING
    refuse_link(area)
    there = sorted(area.iterdir()) if area.is_dir() else []
    folders = {path for path in there if path.is_dir()}
    locks = {path for path in there if path.suffix == ".lock"} - folders
    for folder in sorted(folders | {path.with_suffix("") for path in locks}):
        with _unheld(folder) as free:
            if free:
                yield folder if folder in folders else _lock_of(folder)
    for file in there:
        # Its writer needs a moment.
        if file not in folders | locks and _age(file) > _LEFT_ALONE_SECONDS:
            yield file


def refuse_link(folder: Path) -> None:
    """Refuse a link in place of a folder whose contents are removed without asking."""
    with coded_os_errors(folder):
        linked = folder.is_symlink()
    if linked:
        hint = "remove the link: the program empties this folder"
        raise file_error("E_DATA_ROOT_UNUSABLE", folder, "is a symbolic link", hint)


@contextmanager
def _unheld(folder: Path) -> Iterator[bool]:
    """Hold the lock of a staging folder unless another process does; yield whether it is held."""
    path = _lock_of(folder)
    lock, there = FileLock(path), path.exists()
    try:
        with coded_os_errors(path):
            lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        if not there:
            path.unlink(missing_ok=True)
        lock.release()


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _age(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
