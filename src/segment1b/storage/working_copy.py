"""The working copy of a data root in an object store: a folder brought in line with it.

The store is always written first, so that the copy never holds what the store does not:

- a file (surface, document, log, report) is one object of the same name;
- a folder (the parts of a table, a bundle) is uploaded under `<folder>/upload=<uuid>/`, which no
  reader looks into, until a receipt under control/commits/ names it. The receipt is created or
  refused, never replaced: of racing writers one commits.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from segment1b import contracts
from segment1b.contracts.texts import parse_json
from segment1b.storage.durable import (
    coded_os_errors,
    make_folder,
    read_json,
    replace_json,
)
from segment1b.storage.folder_root import FolderRoot
from segment1b.storage.objects import COMMITS, Entry, Objects, damaged
from segment1b.storage.receipts import Receipt
from segment1b.storage.staging import LOCKS, STAGING

STORE = ".store"
OWN_FOLDERS = (STORE, STAGING, LOCKS)
UPLOAD = "upload="
#: Reports, receipts and what is not larger come at once, the rest when a command reads it. Bytes.
_SMALL = 4 << 20
_AT_ONCE = 8


@dataclass(frozen=True)
class Commit:
    """A receipt under control/commits/: which upload holds a folder's files."""

    receipt: Receipt
    upload: str

    def as_json(self) -> dict[str, Any]:
        """Return the commit as the store has it."""
        return {**self.receipt.as_json(), "upload": self.upload}

    @classmethod
    def of(cls, data: bytes, url: str, path: str) -> Commit:
        """Return the commit in an object; E_STORE_DAMAGED when it is none."""
        try:
            value = parse_json(data)
            commit = cls(Receipt.from_json(value), str(value["upload"]))
            names = [commit.receipt.partition_path, commit.upload, *commit.receipt.sizes]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise damaged(url, path, "is no receipt") from None
        # What it names becomes a path on this machine.
        if commit_path(names[0]) != path or not all(_is_plain(name) for name in names):
            raise damaged(url, path, "is the receipt of something else")
        return commit


def commit_path(folder: str) -> str:
    """Return where the receipt lies that commits a folder."""
    return f"{COMMITS}/{folder}/receipt.json"


def commit_of(root: Path, folder: str) -> Commit | None:
    """Return the commit of a folder as the copy has it."""
    path = root / commit_path(folder)
    return Commit.of(path.read_bytes(), str(root), commit_path(folder)) if path.exists() else None


def origin(folder: Path) -> Objects | None:
    """Return the store that a folder copies, or None for a folder of its own."""
    try:
        return Objects(read_json(folder / STORE / "origin.json")["url"])
    except (FileNotFoundError, NotADirectoryError):
        return None


@dataclass
class WorkingCopy:
    """A working copy held under its lock, with what is known of its store.

    Attributes:
        folder: the copy.
        store: what it copies.
        objects: bytes and version of each object by path.
        held: version of each object that the copy has.
        uploads: by folder the upload whose files the copy has.
    """

    folder: Path
    store: Objects
    objects: dict[str, tuple[int, str]] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)

    def bring_in_line(self, *, folders: bool) -> None:
        """Take over what is new in the store, and drop what is no longer there."""
        for left in (self.folder / STORE).iterdir():
            if left.is_dir():  # A killed process was bringing something.
                shutil.rmtree(left)
        plain = _plain(self.store.list())
        self.objects = {path: (one.size, one.e_tag) for path, one in plain.items()}
        self.held = {
            path: version
            for path, version in self.held.items()
            if path in plain
            and version == plain[path].e_tag
            and _has_size(self.folder / path, plain[path].size)
        }
        stale = [path for path in plain if path not in self.held]
        self.bring([p for p in stale if plain[p].size <= _SMALL or p.startswith("control/")])
        commits = self.commits()
        self.uploads = {
            folder: commit.upload
            for folder, commit in commits.items()
            if self.uploads.get(folder) == commit.upload and _is_whole(self.folder / folder, commit)
        }
        self._drop()
        for folder, commit in commits.items() if folders else ():
            if folder not in self.uploads and sum(commit.receipt.sizes.values()) <= _SMALL:
                self.take(commit)

    def commits(self) -> dict[str, Commit]:
        """Return the commits in the store by folder."""
        found = {}
        for path in self.objects:
            if path.startswith(f"{COMMITS}/"):
                commit = Commit.of((self.folder / path).read_bytes(), self.store.url, path)
                found[commit.receipt.partition_path] = commit
        return found

    def fetch(self, paths: Sequence[str]) -> None:
        """Bring the files and committed folders that match, unless they are here."""
        for folder, commit in self.commits().items():
            holds_one = any(path.startswith(f"{folder}/") for path in paths)
            if folder not in self.uploads and (holds_one or _matches(folder, paths)):
                self.take(commit)
        absent = [path for path in self.objects if path not in self.held]
        self.bring([path for path in absent if _matches(path, paths)])

    def note(self, path: str, size: int, version: str) -> None:
        """Note an object that was put and is about to be written into the copy."""
        self.objects[path] = (size, version)
        self.held[path] = version

    def forget(self, path: str) -> None:
        """Note that an object is gone."""
        self.objects.pop(path, None)
        self.held.pop(path, None)

    def take(self, commit: Commit, staged: Path | None = None) -> None:
        """Put a committed folder's files into the copy: `staged` ones, or those of the store."""
        folder = commit.receipt.partition_path
        with self._scratch() as stage:
            if staged is None:
                staged = stage / "fresh"
                self._download(commit, staged)
            held = FolderRoot(self.folder)
            held.publish(staged, commit.receipt, lambda _: None, is_committed=False, replace=True)
        self.uploads[folder] = commit.upload

    def bring(self, paths: Sequence[str]) -> None:
        """Bring objects into the copy, each under its own name."""
        with self._scratch() as stage:

            def bring(number: int) -> None:
                path, fresh = paths[number], stage / str(number)
                size, _ = self.store.download(path, fresh)
                # A report may have been replaced since the listing; short data is another matter.
                if size != self.objects[path][0] and self.store.size(path) != size:
                    what = f"came with {size} bytes, it has another number"
                    raise damaged(self.store.url, path, what)
                make_folder((self.folder / path).parent)
                os.replace(fresh, self.folder / path)

            for_all(bring, range(len(paths)))
        self.held |= {path: self.objects[path][1] for path in paths}

    def _download(self, commit: Commit, fresh: Path) -> None:
        """Download a folder's files, each checked against the receipt."""

        def bring(file: tuple[str, int, str]) -> None:
            name, size, digest = file
            path = f"{commit.receipt.partition_path}/{commit.upload}/{name}"
            make_folder((fresh / name).parent)
            found = self.store.download(path, fresh / name)
            if found != (size, digest):
                said = f"{size} bytes, SHA-256 {digest}"
                what = f"has {found[0]} bytes, SHA-256 {found[1]}; its receipt says {said}"
                raise damaged(self.store.url, path, what)

        fresh.mkdir()
        for_all(bring, commit.receipt.files)

    def _drop(self) -> None:
        """Remove files that are not what the store has, and folders left empty."""
        kept = tuple(f"{folder}/" for folder in self.uploads)
        for base, _, files in os.walk(self.folder, topdown=False):
            at = Path(base).relative_to(self.folder).as_posix()
            if at.split("/")[0] in OWN_FOLDERS or f"{at}/".startswith(_failures()):
                continue
            for name in files:
                path = name if at == "." else f"{at}/{name}"
                if path not in self.held and not path.startswith(kept):
                    (self.folder / path).unlink()
            if at != "." and not any(Path(base).iterdir()):
                Path(base).rmdir()

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """Give an empty folder beside the copy's own files, removed at the end."""
        stage = self.folder / STORE / uuid.uuid4().hex
        with coded_os_errors(stage):
            stage.mkdir()
            try:
                yield stage
            finally:
                shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def locked(folder: Path, store: Objects) -> Iterator[WorkingCopy]:
    """Hold a working copy alone: store and copy change in step, also under other processes."""
    path = folder / STORE / "index.json"
    with FileLock(folder / LOCKS / "working-copy.lock"):
        copy = WorkingCopy(folder, store, **(read_json(path) if path.exists() else {}))
        try:
            yield copy
        finally:
            index = {"objects": copy.objects, "held": copy.held, "uploads": copy.uploads}
            replace_json(path, index, folder / STAGING)


def for_all(step: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Do a step for all items, some at once; the first failure is raised and stops the rest."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(step, items):
            pass


def _plain(there: Sequence[Entry]) -> dict[str, Entry]:
    """Return the objects that are files of the data root: no uploads, no failures of others."""
    # Some tools put an empty object where a folder would be.
    folders = {str(parent) for one in there for parent in PurePosixPath(one.path).parents}
    return {
        one.path: one
        for one in there
        if f"/{UPLOAD}" not in one.path
        and not one.path.startswith((_failures(), *(f"{name}/" for name in OWN_FOLDERS)))
        and one.path not in folders
        and _is_plain(one.path)
    }


def _is_plain(path: object) -> bool:
    steps = path.split("/") if isinstance(path, str) else [""]
    return not any(step in ("", ".", "..") for step in steps)


def _failures() -> str:
    """Return where records of failures lie: each machine keeps its own, the store has all."""
    return f"{contracts.load()['failure_records'].locate({})}/"


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _is_whole(folder: Path, commit: Commit) -> bool:
    return all(_has_size(folder / name, size) for name, size in commit.receipt.sizes.items())


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(path, one) or fnmatchcase(path, f"{one}/*") for one in patterns)
