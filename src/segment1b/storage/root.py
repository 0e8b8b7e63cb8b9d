"""A data root: the folder under which everything lies, its staging area and its locks."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from segment1b.contracts.urls import url_of
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.storage.durable import coded_os_errors, make_folder
from segment1b.storage.locks import owned_lock
from segment1b.storage.working_copy import LOCKS, STAGING, working_copy

_LEFT_ALONE_SECONDS = 3600
_SWEPT_SECONDS = 10


def open_root(location: str | Path) -> Path:
    """Return the data root as an absolute path, created when absent.

    A URL gives the working copy of what lies there, in line with it.

    Raises:
        Segment1BError: E_DATA_ROOT_UNUSABLE when it is a file or cannot be written, and the
            codes of `working_copy`.
    """
    root = find_root(location)
    with coded_os_errors(root):
        occupied = root.exists() and not root.is_dir()
    if occupied:
        raise Segment1BError(
            "E_DATA_ROOT_UNUSABLE",
            f"{root} is a file, not a folder",
            "give a folder as --data-root",
            path=str(root),
        )
    for folder in (root / STAGING, root / LOCKS):
        _refuse_link(folder)
    for folder in (root, root / STAGING, root / LOCKS):
        make_folder(folder)
    with coded_os_errors(root), tempfile.TemporaryFile(dir=root / STAGING):
        return root


def find_root(location: str | Path, cache: Path | None = None, *, folders: bool = True) -> Path:
    """Return the absolute path of a data root that is only read; as `open_root` for a URL.

    Args:
        location: a folder, or the URL of an object store (`s3://bucket/prefix`).
        cache, folders: as for `working_copy`.
    """
    url = url_of(location)
    if url is None:
        return Path(os.path.abspath(location))
    return working_copy(url, cache, folders=folders)


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
    """What a dead run has left in the staging area, or in a store.

    Attributes:
        path: a run's folder, a file that belongs to none, or the prefix of an upload.
        size: bytes of the files that are there.
    """

    path: Path
    size: int


def leftovers(root: Path) -> list[Leftover]:
    """Return what dead runs have left in the staging area of a data root, removing nothing.

    Raises:
        Segment1BError: E_DATA_ROOT_UNUSABLE when the root is no folder or cannot be written, as
            whether a run lives is asked of its lock.
    """
    return [_leftover(path) for path in _dead(root)]


def sweep_staging(root: Path) -> list[Leftover]:
    """Remove what `leftovers` returns; return what was removed.

    What cannot be removed stays for the next sweep.
    """
    removed = []
    for path in _dead(root):
        found = _leftover(path)
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
                _lock_of(path).unlink(missing_ok=True)
            else:
                path.unlink(missing_ok=True)
            removed.append(found)
    return removed


def _dead(root: Path) -> Iterator[Path]:
    """Yield the folders and locks of runs that have ended, each held meanwhile, and old files."""
    if not root.is_dir():
        raise Segment1BError(
            "E_DATA_ROOT_UNUSABLE",
            f"{root} is no folder",
            "give the folder of a data root as --data-root",
            path=str(root),
        )
    area = root / STAGING
    _refuse_link(area)
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


def _refuse_link(folder: Path) -> None:
    """Refuse a link in place of a folder whose contents are removed without asking."""
    with coded_os_errors(folder):
        linked = folder.is_symlink()
    if linked:
        raise Segment1BError(
            "E_DATA_ROOT_UNUSABLE",
            f"{folder} is a symbolic link",
            "remove the link: the program empties this folder",
            path=str(folder),
        )


@contextmanager
def _unheld(folder: Path) -> Iterator[bool]:
    """Hold the lock of a staging folder, if nobody does; say whether."""
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


def _leftover(path: Path) -> Leftover:
    files = [file for file in (path, *path.rglob("*")) if file.is_file()]
    return Leftover(path, sum(file.stat().st_size for file in files))


@contextmanager
def identity_lock(root: Path, identity: Identity, wait_seconds: float) -> Iterator[None]:
    """Hold the lock of one identity; the lock's file names the owner's host and pid.

    Raises:
        Segment1BError: E_LOCKED when another run holds it longer than `wait_seconds`.
    """
    path = root / LOCKS / f"{identity.run_id}.lock"
    busy = f"another run of this identity is at work in {root}"
    with owned_lock(path, wait_seconds, busy, "wait for it, or give --wait SECONDS"):
        yield
