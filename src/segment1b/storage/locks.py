"""Locks that name their owner: a file lock, and beside it who holds it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.storage.durable import coded_os_errors, read_json, replace_json
from segment1b.storage.staging import LOCKS


@contextmanager
def owned_lock(path: Path, wait_seconds: float, busy: str, hint: str) -> Iterator[None]:
    """Hold the lock at `path`; `<stem>.owner.json` beside it names the owner's host and pid.

    The lock itself is the operating system's, so that a killed owner holds nothing.

    Raises:
        Segment1BError: E_LOCKED, `busy` and the owner's name, when another owner holds it longer.
    """
    owner = path.with_suffix(".owner.json")
    lock = FileLock(path)
    try:
        with coded_os_errors(path):
            lock.acquire(timeout=wait_seconds)
    except Timeout:
        raise Segment1BError("E_LOCKED", f"{busy}: {_owner(owner)}", hint, path=str(path)) from None
    about = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    try:
        replace_json(owner, about, owner.parent)
        yield
    finally:
        with suppress(OSError):
            owner.unlink()
        lock.release()


@contextmanager
def identity_lock(root: Path, identity: Identity, wait_seconds: float) -> Iterator[None]:
    """Hold the lock of one identity, as `owned_lock` does."""
    path = root / LOCKS / f"{identity.run_id}.lock"
    busy = f"another run of this identity is at work in {root}"
    with owned_lock(path, wait_seconds, busy, "wait for it, or give --wait SECONDS"):
        yield


def _owner(path: Path) -> str:
    try:
        held = read_json(path)
        return f"host {held['host']}, pid {held['pid']}, since {held['since_utc']}"
    except (OSError, Segment1BError, KeyError, TypeError):
        return "owner unknown"
