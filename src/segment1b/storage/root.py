"""Opens data roots: a folder, or an object store with its working copy."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from segment1b.contracts.urls import url_of
from segment1b.errors import file_error
from segment1b.storage.durable import coded_os_errors, make_folder
from segment1b.storage.folder_root import FolderRoot
from segment1b.storage.staging import LOCKS, STAGING, refuse_link
from segment1b.storage.store_root import StoreRoot, working_copy
from segment1b.storage.working_copy import origin


def root_at(folder: Path) -> FolderRoot:
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
