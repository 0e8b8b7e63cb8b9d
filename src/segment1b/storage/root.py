"""A data root: a folder, or an object store with its working copy, behind one protocol."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from segment1b.contracts.urls import url_of
from segment1b.errors import file_error
from segment1b.storage.durable import coded_os_errors, make_folder
from segment1b.storage.folder_root import FolderRoot
from segment1b.storage.receipts import Receipt
from segment1b.storage.staging import LOCKS, STAGING, Leftover, refuse_link
from segment1b.storage.store_root import StoreRoot, working_copy
from segment1b.storage.working_copy import origin


class Root(Protocol):
    """What a data root does; files are read below `folder`, and written through the methods.

    Paths are relative to the root, as the dictionary locates them. All of a write is there or
    nothing; `str` names the root to a person.

    Raises:
        Segment1BError: E_STORE_UNAVAILABLE, E_STORE_DENIED, E_STORE_MISSING, E_STORE_DAMAGED of a
            store; E_DATA_ROOT_UNUSABLE, E_STORAGE_FULL of a folder.
    """

    @property
    def folder(self) -> Path:
        """Return the folder below which files are read."""
        ...

    @property
    def location(self) -> str:
        """Return the path or URL by which the root was opened."""
        ...

    def fetch(self, paths: Iterable[str]) -> None:
        """Bring datasets into the folder, checked against their receipts; `*` matches anything."""
        ...

    def sizes(self, path: str) -> dict[str, int] | None:
        """Return the bytes by name of a published folder's files; None when it is absent."""
        ...

    def published(self, pattern: str) -> dict[str, int]:
        """Return the bytes by path of the published files and folders that match a pattern."""
        ...

    def publish(
        self,
        staged: Path,
        receipt: Receipt,
        read: Callable[[Path], Receipt | None],
        *,
        is_committed: bool,
        replace: bool,
    ) -> Receipt | None:
        """Publish a staged folder at the receipt's path, unless other content is there.

        Args:
            staged: the folder with just the receipt's files; it is moved away.
            receipt: its receipt.
            read: takes the receipt of the folder that is there; None when it cannot be read.
            is_committed: a run report names what is there; if none does, a killed run left it,
                and it is replaced. What is in a store always has its commit.
            replace: replace other content all the same, as nothing depends on it.

        Returns:
            The receipt of what is there now; with other content than `receipt`, nothing has
            changed. None when that cannot be read.
        """
        ...

    def create(self, path: str, made: Path, *, is_committed: bool = True) -> bool:
        """Publish a flushed file unless there is one; return whether there was none.

        Otherwise `made` stays, and the file that was first lies at the path. `is_committed` is as
        for `publish`.
        """
        ...

    def replace(self, path: str, data: bytes, scratch: Path) -> None:
        """Write a file over whatever is there; readers see the old or the new one."""
        ...

    def remove(self, path: str, scratch: Path) -> None:
        """Remove a file or folder, for every reader at once and durably; it may be absent.

        `scratch` is a folder on the root's filesystem, which takes what is removed.
        """
        ...

    def clean(self, older_than: timedelta, *, dry_run: bool) -> list[Leftover]:
        """Remove what dead runs have left, or only return it; younger uploads of a store stay."""
        ...


def root_at(folder: Path) -> Root:
    """Return the data root whose files are read below a folder."""
    store = origin(folder)
    return FolderRoot(folder) if store is None else StoreRoot(folder, store)


def open_root(location: str | Path) -> Path:
    """Return the folder of a data root as an absolute path, created when absent.

    A URL gives the working copy of what lies there, in line with it. A file, or a folder that
    cannot be written, is E_DATA_ROOT_UNUSABLE.
    """
    folder = find_root(location)
    with coded_os_errors(folder):
        occupied = folder.exists() and not folder.is_dir()
    if occupied:
        raise file_error("E_DATA_ROOT_UNUSABLE", folder, "is a file, not a folder")
    for own in (folder / STAGING, folder / LOCKS):
        refuse_link(own)
    for own in (folder, folder / STAGING, folder / LOCKS):
        make_folder(own)
    with coded_os_errors(folder), tempfile.TemporaryFile(dir=folder / STAGING):
        return folder


def find_root(location: str | Path, cache: Path | None = None, *, folders: bool = True) -> Path:
    """Return the folder of a data root that is only read; as `open_root` for a URL.

    Args:
        location: a folder, or the URL of an object store (`s3://bucket/prefix`).
        cache: where working copies lie, if not in SEGMENT1B_CACHE or the user's cache folder.
        folders: download small datasets at once, which fails when one is damaged.
    """
    url = url_of(location)
    if url is None:
        return Path(os.path.abspath(location))
    return working_copy(url, cache, folders=folders)
