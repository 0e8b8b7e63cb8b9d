"""The working copy of a data root in an object store: brought in line first, written through.

States and readers work on a folder. A folder that has an origin is a copy of what lies at a URL,
and the store is always written first, so that the copy never holds what the store does not:

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
from segment1b.identity import sha256_hex
from segment1b.storage.durable import (
    coded_os_errors,
    fsync_folder,
    make_folder,
    read_json,
    replace_json,
)
from segment1b.storage.objects import COMMITS, Entry, Objects, damaged
from segment1b.storage.receipts import Receipt

STORE = ".store"
STAGING = ".staging"
LOCKS = ".locks"
_OWN = (STORE, STAGING, LOCKS)
UPLOAD = "upload="
#: Reports, receipts and what is not larger come at once, the rest when a command reads it. Bytes.
_SMALL = 4 << 20
_AT_ONCE = 8


@dataclass(frozen=True)
class Commit:
    """What a receipt under control/commits/ says: which upload holds a folder's files."""

    receipt: Receipt
    upload: str

    @property
    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file by name."""
        return {name: size for name, size, _ in self.receipt.files}

    def as_json(self) -> dict[str, Any]:
        """Return the commit as it stands in the store."""
        return {**self.receipt.as_json(), "upload": self.upload}

    @classmethod
    def of(cls, data: bytes, url: str, path: str) -> Commit:
        """Return what an object says; E_STORE_DAMAGED when it is no commit."""
        try:
            value = parse_json(data)
            commit = cls(Receipt.from_json(value), str(value["upload"]))
            names = [commit.receipt.partition_path, commit.upload, *commit.sizes]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise damaged(url, path, "is no receipt") from None
        # What it names becomes a path on this machine.
        if commit_path(names[0]) != path or not all(_is_plain(name) for name in names):
            raise damaged(url, path, "is the receipt of something else")
        return commit


@dataclass
class Index:
    """What is known of the store and held here: versions by path, uploads by folder."""

    objects: dict[str, tuple[int, str]] = field(default_factory=dict)  # bytes, version
    held: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)


def default_cache() -> Path:
    """Return where working copies lie: SEGMENT1B_CACHE, or the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SEGMENT1B_CACHE") or Path(base) / "segment1b")


def working_copy(url: str, cache: Path | None = None, *, folders: bool = True) -> Path:
    """Return the folder that copies the data root at a URL, in line with what lies there now.

    Args:
        url: the data root.
        cache: where working copies lie; see `default_cache`.
        folders: download small datasets at once, which fails when one is damaged.

    Raises:
        Segment1BError: E_STORE_UNAVAILABLE, E_STORE_DENIED, E_STORE_MISSING, E_STORE_DAMAGED;
            E_DATA_ROOT_UNUSABLE, E_STORAGE_FULL for the folder.
    """
    store = Objects(url)
    root = Path(os.path.abspath(cache or default_cache())) / sha256_hex(url.encode())[:32]
    for name in _OWN:
        make_folder(root / name)
    with coded_os_errors(root):
        if not (root / STORE / "origin.json").exists():
            replace_json(root / STORE / "origin.json", {"url": url}, root / STAGING)
        with locked(root) as index:
            _bring_in_line(root, store, index, folders=folders)
    return root


def shown(root: Path) -> str:
    """Return how a person knows a data root: its URL, or its path."""
    store = origin(root)
    return str(root) if store is None else f"{store.url} (working copy {root})"


def origin(root: Path) -> Objects | None:
    """Return the store that a root copies, or None for a root of its own."""
    try:
        return Objects(read_json(root / STORE / "origin.json")["url"])
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def locked(root: Path) -> Iterator[Index]:
    """Hold the working copy alone: store and copy change in step, also under other processes."""
    path = root / STORE / "index.json"
    with FileLock(root / LOCKS / "working-copy.lock"):
        index = Index(**read_json(path)) if path.exists() else Index()
        try:
            yield index
        finally:
            replace_json(path, vars(index), root / STAGING)


def _bring_in_line(root: Path, store: Objects, index: Index, *, folders: bool) -> None:
    """Take over what is new in the store, and drop what is no longer there."""
    for left in (root / STORE).iterdir():
        if left.is_dir():  # A killed process was bringing something.
            shutil.rmtree(left)
    plain = _plain(store.list())
    index.objects = {path: (one.size, one.e_tag) for path, one in plain.items()}
    stale = [
        path
        for path, one in plain.items()
        if index.held.get(path) != one.e_tag or not _has_size(root / path, one.size)
    ]
    at_once = [p for p in stale if plain[p].size <= _SMALL or p.startswith("control/")]
    for path in stale:
        index.held.pop(path, None)
    for path in set(stale) - set(at_once):
        (root / path).unlink(missing_ok=True)
    _bring(root, store, index, at_once)
    commits = _commits(root, store, index)
    for folder, upload in list(index.uploads.items()):
        if (
            folder not in commits
            or commits[folder].upload != upload
            or not _whole(root / folder, commits[folder])
        ):
            del index.uploads[folder]
    _drop(root, index)
    for folder, commit in commits.items() if folders else ():
        if folder not in index.uploads and sum(commit.sizes.values()) <= _SMALL:
            _bring_folder(root, store, index, folder, commit)


def _plain(there: Sequence[Entry]) -> dict[str, Entry]:
    """Return the objects that are files of the data root: no uploads, no failures of others."""
    # Some tools put an empty object where a folder would be.
    folders = {str(parent) for one in there for parent in PurePosixPath(one.path).parents}
    return {
        one.path: one
        for one in there
        if f"/{UPLOAD}" not in one.path
        and not one.path.startswith((_failures(), *(f"{name}/" for name in _OWN)))
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


def _whole(folder: Path, commit: Commit) -> bool:
    return all(_has_size(folder / name, size) for name, size in commit.sizes.items())


def _drop(root: Path, index: Index) -> None:
    """Remove files of the copy that the store does not have, and folders left empty."""
    kept = tuple(f"{folder}/" for folder in index.uploads)
    for base, _, files in os.walk(root, topdown=False):
        at = Path(base).relative_to(root).as_posix()
        if at.split("/")[0] in _OWN or f"{at}/".startswith(_failures()):
            continue
        for name in files:
            path = name if at == "." else f"{at}/{name}"
            if path not in index.objects and not path.startswith(kept):
                (root / path).unlink()
        if at != "." and not any(Path(base).iterdir()):
            Path(base).rmdir()


def _commits(root: Path, store: Objects, index: Index) -> dict[str, Commit]:
    found = {}
    for path in index.objects:
        if path.startswith(f"{COMMITS}/"):
            commit = Commit.of((root / path).read_bytes(), store.url, path)
            found[commit.receipt.partition_path] = commit
    return found


def commit_path(folder: str) -> str:
    """Return where the receipt lies that commits a folder."""
    return f"{COMMITS}/{folder}/receipt.json"


def commit_of(root: Path, folder: str) -> Commit | None:
    """Return the commit of a folder as this copy knows it; None in a root of its own."""
    path = root / commit_path(folder)
    return Commit.of(path.read_bytes(), str(root), commit_path(folder)) if path.exists() else None


def published(root: Path, place: str) -> dict[str, int]:
    """Return the bytes of what is published at a place, by path relative to the root.

    Args:
        root: the data root; for a working copy the answer is about its store.
        place: the path of a file or folder, as the dictionary locates it; `*` stands for anything.
    """
    store = origin(root)
    if store is None:
        return {path.relative_to(root).as_posix(): _bytes(path) for path in root.glob(place)}
    with locked(root) as index:
        sizes = {path: size for path, (size, _) in index.objects.items()}
        commits = _commits(root, store, index)
    sizes |= {folder: sum(commit.sizes.values()) for folder, commit in commits.items()}
    return {path: size for path, size in sizes.items() if fnmatchcase(path, place)}


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


def fetch(root: Path, places: Iterable[str]) -> None:
    """Bring datasets into a working copy, whole and checked; nothing to do in any other root.

    Args:
        root: the data root.
        places: paths below it, as the dictionary locates them; `*` stands for anything.

    Raises:
        Segment1BError: E_STORE_DAMAGED for an object that is not what its receipt says, and
            the codes of `Objects`.
    """
    store = origin(root)
    if store is None:
        return
    wanted = list(places)
    with locked(root) as index:
        for folder, commit in _commits(root, store, index).items():
            holds_one = any(place.startswith(f"{folder}/") for place in wanted)
            if folder not in index.uploads and (holds_one or _matches(folder, wanted)):
                _bring_folder(root, store, index, folder, commit)
        absent = [path for path in index.objects if path not in index.held]
        _bring(root, store, index, [path for path in absent if _matches(path, wanted)])


def _matches(path: str, places: Sequence[str]) -> bool:
    return any(fnmatchcase(path, one) or fnmatchcase(path, f"{one}/*") for one in places)


def _bring(root: Path, store: Objects, index: Index, paths: Sequence[str]) -> None:
    """Bring objects into the copy, each under its own name."""
    with scratch_folder(root) as stage:

        def bring(number: int) -> None:
            path, fresh = paths[number], stage / str(number)
            size, _ = store.download(path, fresh)
            # A report may have been replaced since the listing; a short answer is another matter.
            if size != index.objects[path][0] and store.size(path) != size:
                raise damaged(store.url, path, f"came with {size} bytes, it has another number")
            make_folder((root / path).parent)
            os.replace(fresh, root / path)

        for_all(bring, range(len(paths)))
    index.held |= {path: index.objects[path][1] for path in paths}


def _bring_folder(root: Path, store: Objects, index: Index, folder: str, commit: Commit) -> None:
    """Bring a committed folder into the copy: all of its files, or none."""
    with scratch_folder(root) as stage:
        download(store, folder, commit, stage / "fresh")
        swap(root, folder, stage / "fresh", stage / "old")
    index.uploads[folder] = commit.upload


def download(store: Objects, folder: str, commit: Commit, fresh: Path) -> None:
    """Download a folder's files, checked against their receipt."""

    def bring(file: tuple[str, int, str]) -> None:
        name, size, digest = file
        path = f"{folder}/{commit.upload}/{name}"
        make_folder((fresh / name).parent)
        found = store.download(path, fresh / name)
        if found != (size, digest):
            said = f"{size} bytes, SHA-256 {digest}"
            what = f"has {found[0]} bytes, SHA-256 {found[1]}; its receipt says {said}"
            raise damaged(store.url, path, what)

    fresh.mkdir()
    for_all(bring, commit.receipt.files)


def swap(root: Path, folder: str, fresh: Path, old: Path) -> None:
    """Put a fresh folder where a folder of the copy lies, if one does."""
    fsync_folder(fresh)
    target = root / folder
    make_folder(target.parent)
    if target.is_dir():
        os.rename(target, old)
    os.rename(fresh, target)
    fsync_folder(target.parent)


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """Give an empty folder beside the copy's own files, removed at the end."""
    stage = root / STORE / uuid.uuid4().hex
    with coded_os_errors(stage):
        stage.mkdir()
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def for_all(step: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Do a step for all items, some at once; the first failure is raised and stops the rest."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = [pool.submit(step, item) for item in items]
        try:
            for one in waiting:
                one.result()
        finally:
            for one in waiting:
                one.cancel()
