"""A data root in an object store: the store is written first, then the working copy.

A crash between the two leaves something in the store that the next command takes over.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json, sha256_hex
from segment1b.storage.durable import coded_os_errors, make_folder, replace_bytes, replace_json
from segment1b.storage.folder_root import FolderRoot
from segment1b.storage.objects import Entry, Objects, damaged
from segment1b.storage.receipts import Receipt
from segment1b.storage.staging import STAGING, Leftover
from segment1b.storage.working_copy import (
    OWN_FOLDERS,
    STORE,
    UPLOAD,
    Commit,
    commit_of,
    commit_path,
    for_all,
    locked,
)

#: A conditional put holds the object in memory; larger files go in chunks. Bytes.
_IN_MEMORY = 64 << 20
#: How often a put may be refused for an object that then is not there (a store's 409).
_TRIES = 5


def default_cache() -> Path:
    """Return where working copies lie: SEGMENT1B_CACHE, or the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SEGMENT1B_CACHE") or Path(base) / "segment1b")


def working_copy(url: str, cache: Path | None = None, *, folders: bool = True) -> Path:
    """Return the folder that copies the data root at a URL, in line with it; see `find_root`."""
    store = Objects(url)
    folder = Path(os.path.abspath(cache or default_cache())) / sha256_hex(url.encode())[:32]
    for name in OWN_FOLDERS:
        make_folder(folder / name)
    with coded_os_errors(folder):
        if not (folder / STORE / "origin.json").exists():
            replace_json(folder / STORE / "origin.json", {"url": url}, folder / STAGING)
        with locked(folder, store) as copy:
            copy.bring_in_line(folders=folders)
    return folder


@dataclass(frozen=True)
class StoreRoot(FolderRoot):
    """An object store as data root, by way of its working copy.

    Raises:
        Segment1BError: as `FolderRoot`; E_STORE_UNAVAILABLE, E_STORE_DENIED, E_STORE_MISSING,
            E_STORE_DAMAGED.
    """

    store: Objects

    @property
    def location(self) -> str:
        """Return the URL."""
        return self.store.url

    def __str__(self) -> str:
        return f"{self.store.url} (working copy {self.folder})"

    def fetch(self, paths: Iterable[str]) -> None:
        """Bring datasets into the working copy."""
        with locked(self.folder, self.store) as copy:
            copy.fetch(list(paths))

    def sizes(self, path: str) -> dict[str, int] | None:
        """Return bytes by name: of the copy's files, or of the receipt before they are brought."""
        commit = None if (self.folder / path).is_dir() else commit_of(self.folder, path)
        return commit.receipt.sizes if commit else super().sizes(path)

    def published(self, pattern: str) -> dict[str, int]:
        """Return bytes by path of what the store has."""
        with locked(self.folder, self.store) as copy:
            sizes = {path: size for path, (size, _) in copy.objects.items()}
            commits = copy.commits()
        sizes |= {folder: sum(commit.receipt.sizes.values()) for folder, commit in commits.items()}
        return {path: size for path, size in sizes.items() if fnmatchcase(path, pattern)}

    def publish(
        self,
        staged: Path,
        receipt: Receipt,
        read: Callable[[Path], Receipt | None],  # noqa: ARG002 - the commit has the receipt
        *,
        is_committed: bool,  # noqa: ARG002 - another run may be about to report it
        replace: bool,
    ) -> Receipt:
        """Upload a staged folder and commit it by one put, then move it into the copy."""
        folder = receipt.partition_path
        commit = self._committed(folder)
        if commit is None or (replace and not _same(commit, receipt)):
            commit = self._upload(staged, receipt, replaced=commit)
        if _same(commit, receipt):
            ours = commit.receipt.files == receipt.files
            data = canonical_json(commit.as_json())
            with locked(self.folder, self.store) as copy:
                if copy.uploads.get(folder) != commit.upload:
                    copy.take(commit, staged if ours else None)
                copy.note(commit_path(folder), len(data), "")
                replace_bytes(self.folder / commit_path(folder), data, self.folder / STAGING)
        return commit.receipt

    def create(self, path: str, made: Path, *, is_committed: bool = True) -> bool:
        """Put a file unless there is one, then rename it into the copy."""
        size = made.stat().st_size
        with locked(self.folder, self.store) as copy:
            version: str | None = None
            if size <= _IN_MEMORY:
                held, version = self._create(path, made.read_bytes())
                size = len(held)
            elif (there := self.store.size(path)) is None:
                version = self.store.upload(path, made)
            else:
                size = there
            copy.note(path, size, version or "")
            if version is None:
                copy.bring([path])
                return False
        return super().create(path, made, is_committed=is_committed)

    def replace(self, path: str, data: bytes, scratch: Path) -> None:
        """Put a file over whatever is there, then write it into the copy."""
        with locked(self.folder, self.store) as copy:
            copy.note(path, len(data), self.store.replace(path, data))
            replace_bytes(self.folder / path, data, scratch)

    def remove(self, path: str, scratch: Path) -> None:
        """Delete a folder's commit or a file; then a folder's upload, and what the copy has.

        Files that a killed process leaves are an upload that no receipt names.
        """
        with locked(self.folder, self.store) as copy:
            commit = commit_of(self.folder, path)
            self.store.delete([commit_path(path) if commit else path])
            if commit:
                self._delete_below(f"{path}/{commit.upload}")
            for gone in (path, commit_path(path)):
                copy.forget(gone)
                super().remove(gone, scratch)
            copy.uploads.pop(path, None)

    def clean(self, older_than: timedelta, *, dry_run: bool) -> list[Leftover]:
        """Remove what dead runs have left in the staging area, and uploads that no receipt names.

        An upload whose newest object is younger stays: its writer may be alive.
        """
        found = super().clean(older_than, dry_run=dry_run)
        youngest = datetime.now(UTC) - older_than
        for prefix, objects in sorted(_uploads(self.store.list()).items()):
            folder, _, upload = prefix.rpartition("/")
            # Read behind the listing: an upload that was committed meanwhile is seen to be so.
            commit = self._committed(folder)
            named = commit is not None and commit.upload == upload
            if not named and max(one.modified for one in objects) < youngest:
                if not dry_run:
                    self.store.delete([one.path for one in objects])
                found.append(Leftover(Path(prefix), sum(one.size for one in objects)))
        return found

    def _committed(self, folder: str) -> Commit | None:
        """Return the commit of a folder as the store has it now."""
        data = self.store.read(commit_path(folder))
        return None if data is None else Commit.of(data, self.store.url, commit_path(folder))

    def _upload(self, staged: Path, receipt: Receipt, replaced: Commit | None) -> Commit:
        """Upload a folder and commit it; return its commit, ours or another writer's."""
        folder = receipt.partition_path
        mine = Commit(receipt, f"{UPLOAD}{uuid.uuid4().hex}")
        prefix = f"{folder}/{mine.upload}"
        for_all(lambda name: self.store.upload(f"{prefix}/{name}", staged / name), receipt.sizes)
        listed = self.store.list(f"{prefix}/")
        if {one.path.removeprefix(f"{prefix}/"): one.size for one in listed} != receipt.sizes:
            raise damaged(self.store.url, prefix, "does not have the files that were uploaded")
        data, path = canonical_json(mine.as_json()), commit_path(folder)
        if replaced is not None:
            self.store.replace(path, data)
            self._delete_below(f"{folder}/{replaced.upload}")
            return mine
        held = Commit.of(self._create(path, data)[0], self.store.url, path)
        if held.upload != mine.upload:
            self._delete_below(prefix)
        return held

    def _create(self, path: str, data: bytes) -> tuple[bytes, str | None]:
        """Put an object unless there is one; return what is there, and its version if it is ours.

        A put whose answer was lost is tried again, and then finds its own bytes.
        """
        for attempt in range(_TRIES):
            version = self.store.create(path, data)
            if version is not None:
                return data, version
            held = self.store.read(path)
            if held is not None:
                return held, None
            # S3 answers 409 while another writer's put is on its way.
            time.sleep(0.1 * 2**attempt)
        what = f"{self.store.url}/{path} is refused as present, and absent when read"
        hint = "run again; does the store keep a put with If-None-Match, and list what was written?"
        raise Segment1BError("E_STORE_UNAVAILABLE", what, hint, path=f"{self.store.url}/{path}")

    def _delete_below(self, prefix: str) -> None:
        self.store.delete([one.path for one in self.store.list(f"{prefix}/")])


def _same(commit: Commit, receipt: Receipt) -> bool:
    return commit.receipt.same_content(receipt)


def _uploads(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return the objects of each upload by prefix `<folder>/upload=<uuid>`."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        before, there, after = entry.path.partition(f"/{UPLOAD}")
        if there:
            found.setdefault(f"{before}{there}{after.partition('/')[0]}", []).append(entry)
    return found
