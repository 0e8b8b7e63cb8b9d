"""Writes that survive a crash: flush and fsync, then one rename, then fsync of the folder."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segment1b.contracts.faults import coded
from segment1b.contracts.texts import MAX_JSON_BYTES, irregular, parse_json, read_bounded
from segment1b.errors import Segment1BError, redo, unreadable
from segment1b.identity import canonical_json

#: Folders of this process that are removed with it: what is below them is not flushed.
_TEMPORARY = set[Path]()
_REPORT = re.compile(r"(s\d)_run_report\.json")


@contextmanager
def coded_os_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals at `path` into errors with a code (`faults.coded`)."""
    try:
        yield
    except OSError as error:
        # Without a number it is a library's: a time-out of a lock, a damaged file.
        if error.errno is None:
            raise
        raise coded(error, path) from None


def make_temporary(prefix: str) -> Path:
    """Create a folder for files that need not survive a crash; `remove_temporary` removes it."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    _TEMPORARY.add(folder)
    return folder


def remove_temporary(folder: Path) -> None:
    """Remove a folder that `make_temporary` has created."""
    shutil.rmtree(folder, ignore_errors=True)
    _TEMPORARY.discard(folder)


def is_temporary(path: Path) -> bool:
    """Return whether a path is below a folder of `make_temporary`."""
    return any(path.is_relative_to(folder) for folder in tuple(_TEMPORARY))


def write_file(path: Path, data: bytes | memoryview, *, sync: bool = True) -> None:
    """Write a file so that no error of the disk is lost.

    Without `sync` it is not flushed to the disk, for a file that its own run reads back.
    """
    with coded_os_errors(path), path.open("wb") as handle:
        handle.write(data)
        handle.flush()
        if sync and not is_temporary(path):
            os.fsync(handle.fileno())
        size = os.fstat(handle.fileno()).st_size
        if size != len(data):
            raise OSError(errno.ENOSPC, f"{len(data)} bytes were written, {size} are there")


def regular_file(path: Path) -> Path:
    """Return a path that names a regular file, or a link to one; else E_INPUT_UNREADABLE.

    A FIFO or a device would block whoever opens it, and a `/vsi` path is a URL to GDAL.
    """
    try:
        reason = irregular(path.stat().st_mode)
        if reason is None and os.path.abspath(path).startswith("/vsi"):
            reason = "lies in a folder whose name GDAL reserves"
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if reason is not None:
        raise unreadable(path, reason, "give the path of a file on this machine")
    return path


def fsync_file(path: Path) -> None:
    """Flush a file to the disk, unless it is temporary."""
    if is_temporary(path):
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk."""
    fsync_file(path)


def make_folder(path: Path) -> None:
    """Create a folder and its parents, each entry flushed."""
    missing = []
    with coded_os_errors(path):
        while not path.is_dir():
            missing.append(path)
            path = path.parent
    for folder in reversed(missing):
        with coded_os_errors(folder):
            folder.mkdir(exist_ok=True)
        fsync_folder(folder.parent)


def replace_bytes(path: Path, data: bytes, scratch: Path) -> None:
    """Write a whole file so that readers see the old or the new one, never a part.

    `scratch` is an existing folder on the same filesystem for the file on its way.
    """
    make_folder(path.parent)
    # A new file of a name that cannot be guessed: no link that somebody laid is followed.
    temporary = scratch / f".{uuid.uuid4().hex}.tmp"
    with coded_os_errors(path):
        temporary.touch(exist_ok=False)
        with renamed_when_whole(temporary, path):
            write_file(temporary, data)
        fsync_folder(path.parent)


@contextmanager
def renamed_when_whole(unfinished: Path, path: Path) -> Iterator[None]:
    """Rename a file to `path` after the block, or remove it when the block fails."""
    try:
        yield
        os.replace(unfinished, path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def replace_json(path: Path, value: Any, scratch: Path) -> None:
    """Write a value as canonical JSON with `replace_bytes`."""
    replace_bytes(path, canonical_json(value), scratch)


def read_json(path: Path) -> Any:
    """Return the value of a JSON file; E_INPUT_UNREADABLE when it is not one (see `parse_json`)."""
    try:
        return parse_json(read_bounded(path, MAX_JSON_BYTES))
    except ValueError as error:
        report = _REPORT.fullmatch(path.name)
        hint = f"restore the file, or {redo(report[1]) if report else 'remove it and run again'}"
        raise unreadable(path, f"is not JSON: {error}", hint) from None


class _Object(dict[str, Any]):
    """A JSON object of which an absent key is E_INPUT_UNREADABLE."""

    def __init__(self, value: dict[str, Any], path: Path) -> None:
        super().__init__(value)
        self.path = path

    def __missing__(self, key: str) -> Any:
        raise _no_document(self.path, f"has no '{key}'")


def read_object(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file; E_INPUT_UNREADABLE when it is none or lacks a key read."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise _no_document(path, "holds no object")
    return _Object(value, path)


def _no_document(path: Path, what: str) -> Segment1BError:
    hint = "restore the file from its source"
    return unreadable(path, what, hint)
