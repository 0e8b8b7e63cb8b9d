"""A data root: the folder under which everything lies, its staging area and its locks."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.storage.durable import coded_os_errors, make_folder
from segment1b.storage.locks import owned_lock
from segment1b.storage.objects import url_of
from segment1b.storage.working_copy import LOCKS, STAGING, working_copy


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
    for folder in (root, root / STAGING, root / LOCKS):
        make_folder(folder)
    probe = root / STAGING / f"probe-{uuid.uuid4().hex}"
    with coded_os_errors(root):
        probe.touch()
        probe.unlink()
    return root


def find_root(location: str | Path, cache: Path | None = None) -> Path:
    """Return the absolute path of a data root that is only read; as `open_root` for a URL.

    Args:
        location: a folder, or the URL of an object store (`s3://bucket/prefix`).
        cache: where working copies lie; see `default_cache`.
    """
    url = url_of(location)
    return Path(os.path.abspath(location)) if url is None else working_copy(url, cache)


@contextmanager
def staging(root: Path) -> Iterator[Path]:
    """Give a fresh folder under the root's staging area, removed at the end.

    The folder is held by a file lock as long as its run lives, so that what a killed run left
    behind can be told from what a living one still needs.
    """
    folder = root / STAGING / uuid.uuid4().hex
    lock = FileLock(f"{folder}.lock")
    with coded_os_errors(folder):
        lock.acquire(timeout=0)
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def sweep_staging(root: Path) -> list[Path]:
    """Remove the staging folders of runs that are no more; return what was removed."""
    removed = []
    for folder in sorted((root / STAGING).iterdir()):
        if not folder.is_dir():
            continue
        lock = FileLock(f"{folder}.lock")
        with suppress(Timeout):
            lock.acquire(timeout=0)
            shutil.rmtree(folder, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()
            removed.append(folder)
    return removed


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
