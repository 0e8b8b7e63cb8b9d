"""Private folders for files on their way, beside the file or folder that they become."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from segment1b.identity import sha256_hex
from segment1b.storage.durable import coded_os_errors, make_folder, replace_bytes

#: An older target is moved here before the new one takes its place.
REPLACED = "replaced"
_SCRATCH, _LOCK = "scratch", "lock"
_UNLOCKED_SECONDS = 60
# Another process holds the lock (a `filelock.Timeout`), or the filesystem has none.
_NO_LOCK = (OSError, NotImplementedError)


@contextmanager
def scratch_beside(target: Path) -> Iterator[Path]:
    """Give an empty folder beside a file or folder that is being made; it is removed at the end.

    Its name cannot be guessed and only this user may enter it, so nobody can lay links there. What
    killed processes left beside the same target is removed first; a `REPLACED` target is moved
    back if there is no other. The target's path is absolute, and its folder exists.
    """
    prefix = f".segment1b-{sha256_hex(os.fsencode(target.name))[:16]}-"
    with coded_os_errors(target):
        for left in target.parent.glob(f"{prefix}*"):
            with suppress(FileNotFoundError):  # Another process removes it too.
                _sweep(left, target)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    lock, scratch = FileLock(folder / _LOCK), folder / _SCRATCH
    try:
        with suppress(*_NO_LOCK):
            lock.acquire(timeout=0)
        with coded_os_errors(target):
            scratch.mkdir()
        yield scratch
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            lock.release()


def _sweep(left: Path, target: Path) -> None:
    """Remove the folder of a process that no longer runs."""
    about = left.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
        return
    if not (left / _LOCK).exists() and time.time() - about.st_mtime < _UNLOCKED_SECONDS:
        return  # Its process is about to lock it.
    lock = FileLock(left / _LOCK)
    try:
        lock.acquire(timeout=0)
    except _NO_LOCK:
        return
    replaced = left / _SCRATCH / REPLACED
    if replaced.exists() and not os.path.lexists(target):
        os.rename(replaced, target)
    shutil.rmtree(left, ignore_errors=True)
    with suppress(OSError):
        lock.release()


def replace_file(path: Path, data: bytes) -> None:
    """Write a whole file outside a data root, with its folders; readers see the old or the new."""
    path = path.absolute()
    make_folder(path.parent)
    with scratch_beside(path) as scratch:
        replace_bytes(path, data, scratch)
