"""Writing to a data root that may be a working copy: the store first, then the folder.

A crash between the two leaves something in the store that the next command takes over. A root
of its own is written as if this module were not there.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock

from segment1b import contracts
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.storage.durable import (
    coded_os_errors,
    fsync_folder,
    make_folder,
    replace_bytes,
    write_file,
)
from segment1b.storage.objects import Entry, Objects, damaged
from segment1b.storage.receipts import Receipt, hash_files
from segment1b.storage.working_copy import (
    LOCKS,
    STAGING,
    UPLOAD,
    Commit,
    Index,
    commit_of,
    commit_path,
    download,
    for_all,
    locked,
    origin,
    scratch_folder,
    swap,
)

#: A conditional put holds the object in memory; larger files go in chunks. Bytes.
_IN_MEMORY = 64 << 20
_DIFFERS = "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"
#: How often a put may be refused for an object that then is not there (a store's 409).
_TRIES = 5


def put_bytes(root: Path, path: Path, data: bytes, scratch: Path) -> None:
    """Write a whole file that may be replaced: a run report and what goes with it."""
    store = origin(root)
    if store is None:
        replace_bytes(path, data, scratch)
        return
    with locked(root) as index:
        relative = path.relative_to(root).as_posix()
        _note(index, relative, len(data), store.replace(relative, data))
        replace_bytes(path, data, scratch)


def create_bytes(root: Path, path: Path, data: bytes, scratch: Path) -> bool:
    """Write a whole file that is written once.

    Returns:
        Whether these bytes made it. If another writer was first, its bytes now lie at `path`.
    """
    store = origin(root)
    if store is None:
        made = scratch / f".{uuid.uuid4().hex}.tmp"
        try:
            write_file(made, data)
            return move_once(root, made, path)
        finally:
            made.unlink(missing_ok=True)
    with locked(root) as index:
        relative = path.relative_to(root).as_posix()
        held, version = _create(store, relative, data)
        _note(index, relative, len(held), version or "")
        replace_bytes(path, held, scratch)
    return version is not None


@contextmanager
def creating(root: Path) -> Iterator[None]:
    """Hold the lock under which files and folders that are written once get their names."""
    make_folder(root / LOCKS)
    with FileLock(root / LOCKS / "creation.lock"):
        yield


def move_once(root: Path, made: Path, path: Path) -> bool:
    """Give a flushed file its final name unless that is taken; return whether it was free.

    A lock and not a hard link: some filesystems have none. `made` stays when the name is taken.
    """
    make_folder(path.parent)
    with creating(root), coded_os_errors(path):
        if path.exists():
            return False
        os.replace(made, path)
        fsync_folder(path.parent)
    return True


def create_file(root: Path, path: Path, made: Path) -> None:
    """Put a surface of any size into the store, if the root has one; `made` stays for the caller.

    Raises:
        Segment1BError: E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL when other bytes lie there.
    """
    store = origin(root)
    if store is None:
        return
    relative, size = path.relative_to(root).as_posix(), made.stat().st_size
    with locked(root) as index:
        if size > _IN_MEMORY and store.size(relative) is None:
            _note(index, relative, size, store.upload(relative, made))
            return
        if size <= _IN_MEMORY:
            version = store.create(relative, made.read_bytes())
            if version is not None:
                _note(index, relative, size, version)
                return
        with scratch_folder(root) as stage:
            held = store.download(relative, stage / "held")[1]
    new = hash_files(made.parent, [made.name])[0][0][2]
    if held != new:
        raise Segment1BError(
            _DIFFERS,
            f"{store.url}/{relative} is another file: SHA-256 {held}, this one is {new}",
            "lay it into another --data-root",
            path=f"{store.url}/{relative}",
        )


def commit_folder(
    root: Path, staged: Path, receipt: Receipt, differs: str, *, replace: bool = False
) -> Receipt:
    """Publish a staged folder in the store that a root copies, and then in the copy.

    Args:
        root: a working copy.
        staged: the folder, with just the receipt's files; it is moved away.
        receipt: what it holds, and where it belongs.
        differs: the code when other content is committed there.
        replace: take the place of other content (a bundle that nothing depends on yet).

    Returns:
        The receipt that is committed: this one, or an earlier one of the same content, whose
        files then lie in the copy.

    Raises:
        Segment1BError: `differs` with both digests; nothing is changed then.
    """
    store = origin(root)
    assert store is not None
    folder = receipt.partition_path
    commit = _committed(store, folder)
    if commit is None or (replace and not _same(commit, receipt)):
        commit = _upload(store, staged, receipt, replaced=commit)
    if not _same(commit, receipt):
        held = commit.receipt.content_sha256_hex
        raise Segment1BError(
            differs,
            f"{store.url}/{folder} holds content {held}, this run made "
            f"{receipt.content_sha256_hex}",
            "published data is never changed: use another data root or identity; if it is not "
            f"wanted, {contracts.load().redo(folder)}",
            path=folder,
        )
    with locked(root) as index, scratch_folder(root) as stage:
        data = canonical_json(commit.as_json())
        if commit.receipt.files != receipt.files:
            download(store, folder, commit, stage / "fresh")
            staged = stage / "fresh"
        if index.uploads.get(folder) != commit.upload:
            swap(root, folder, staged, stage / "old")
        _note(index, commit_path(folder), len(data), "")
        replace_bytes(root / commit_path(folder), data, root / STAGING)
        index.uploads[folder] = commit.upload
    return commit.receipt


def take_back(root: Path, path: str, scratch: Path) -> None:
    """Remove what is published at a path: for every reader at once, whole and durably.

    In a store the commit of a folder is deleted before its files; files that a killed process
    leaves are an upload that no receipt names.

    Args:
        root: the data root.
        path: a file or folder, relative to the root; one that is absent is no error.
        scratch: a folder on the root's filesystem, which takes what is removed.
    """
    store = origin(root)
    if store is None:
        _move_away(root / path, scratch)
        return
    with locked(root) as index:
        commit = commit_of(root, path)
        store.delete([commit_path(path) if commit else path])
        if commit:
            _remove(store, f"{path}/{commit.upload}")
        for gone in (path, commit_path(path)):
            index.objects.pop(gone, None)
            index.held.pop(gone, None)
            _move_away(root / gone, scratch)
        index.uploads.pop(path, None)


def _move_away(path: Path, scratch: Path) -> None:
    with coded_os_errors(path), suppress(FileNotFoundError):
        os.rename(path, scratch / uuid.uuid4().hex)
        fsync_folder(path.parent)


def _upload(store: Objects, staged: Path, receipt: Receipt, replaced: Commit | None) -> Commit:
    """Upload a folder and commit it; return the commit that stands, ours or another's."""
    folder = receipt.partition_path
    mine = Commit(receipt, f"{UPLOAD}{uuid.uuid4().hex}")
    prefix = f"{folder}/{mine.upload}"
    names = [name for name, _, _ in receipt.files]
    for_all(lambda name: store.upload(f"{prefix}/{name}", staged / name), names)
    there = {one.path.removeprefix(f"{prefix}/"): one.size for one in store.list(f"{prefix}/")}
    if there != {name: size for name, size, _ in receipt.files}:
        raise damaged(store.url, prefix, "does not have the files that were uploaded")
    data = canonical_json(mine.as_json())
    if replaced is not None:
        store.replace(commit_path(folder), data)
        _remove(store, f"{folder}/{replaced.upload}")
        return mine
    held = Commit.of(_create(store, commit_path(folder), data)[0], store.url, commit_path(folder))
    if held.upload != mine.upload:
        _remove(store, prefix)
    return held


def _create(store: Objects, path: str, data: bytes) -> tuple[bytes, str | None]:
    """Put an object unless there is one; return what is there, and its version if this put made it.

    A put whose answer was lost is tried again, and then finds its own bytes.
    """
    for attempt in range(_TRIES):
        version = store.create(path, data)
        if version is not None:
            return data, version
        held = store.read(path)
        if held is not None:
            return held, None
        # S3 answers 409 while another writer's put is on its way.
        time.sleep(0.1 * 2**attempt)
    raise Segment1BError(
        "E_STORE_UNAVAILABLE",
        f"{store.url}/{path} is refused as present, and absent when read",
        "run again; does the store keep a put with If-None-Match, and list what was written?",
        path=f"{store.url}/{path}",
    )


def _committed(store: Objects, folder: str) -> Commit | None:
    data = store.read(commit_path(folder))
    return None if data is None else Commit.of(data, store.url, commit_path(folder))


def _same(commit: Commit, receipt: Receipt) -> bool:
    return commit.receipt.content_sha256_hex == receipt.content_sha256_hex


def _note(index: Index, relative: str, size: int, version: str) -> None:
    index.objects[relative] = (size, version)
    index.held[relative] = version


def _remove(store: Objects, prefix: str) -> None:
    store.delete([one.path for one in store.list(f"{prefix}/")])


def remove_uncommitted(store: Objects, older_than: timedelta) -> list[str]:
    """Remove what `uncommitted` returns; return the prefixes, in ASCII order."""
    found = uncommitted(store, older_than)
    for objects in found.values():
        store.delete([one.path for one in objects])
    return list(found)


def uncommitted(store: Objects, older_than: timedelta) -> dict[str, list[Entry]]:
    """Return uploads that no receipt names: what killed writers and losers of races left.

    Args:
        store: the data root's store.
        older_than: an upload whose newest object is younger stays: its writer may be alive.

    Returns:
        The objects of each, by prefix `<folder>/upload=<uuid>`, in ASCII order.
    """
    youngest = datetime.now(UTC) - older_than
    found = {}
    for prefix, objects in sorted(_uploads(store.list()).items()):
        folder, _, upload = prefix.rpartition("/")
        # Read behind the listing: an upload that was committed meanwhile is seen to be so.
        commit = _committed(store, folder)
        named = commit is not None and commit.upload == upload
        if not named and max(one.modified for one in objects) < youngest:
            found[prefix] = objects
    return found


def _uploads(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        before, there, after = entry.path.partition(f"/{UPLOAD}")
        if there:
            found.setdefault(f"{before}{there}{after.partition('/')[0]}", []).append(entry)
    return found
