"""A data root that is a folder: one rename publishes, a lock guards final names."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from filelock import FileLock

from segment1b.storage.durable import (
    coded_os_errors,
    fsync_folder,
    make_folder,
    replace_bytes,
)
from segment1b.storage.receipts import Receipt
from segment1b.storage.staging import LOCKS, Leftover, size_below, sweep_staging


@dataclass(frozen=True)
class FolderRoot:
    """A folder as data root; files are read below `folder`, and written through the methods.

    Paths are relative to the root, as the dictionary locates them. All of a write is there or
    nothing (docs/spec/publishing.md#steps); `str` names the root to a person.

    Raises:
        Segment1BError: E_DATA_ROOT_UNUSABLE, E_STORAGE_FULL, E_STORAGE_FAILED.
    """

    folder: Path

    @property
    def location(self) -> str:
        """Return the path or URL by which the root was opened."""
        return str(self.folder)

    def __str__(self) -> str:
        return self.location

    def fetch(self, paths: Iterable[str]) -> None:
        """Bring datasets into the folder, checked against their receipts; `*` matches anything."""

    def sizes(self, path: str) -> dict[str, int] | None:
        """Return the bytes by name of a published folder's files; None when it is absent."""
        if not (self.folder / path).is_dir():
            return None
        with os.scandir(self.folder / path) as entries:
            return {entry.name: entry.stat().st_size for entry in entries}

    def published(self, pattern: str) -> dict[str, int]:
        """Return the bytes by path of the published files and folders that match a pattern."""
        return {
            path.relative_to(self.folder).as_posix(): size_below(path)
            for path in self.folder.glob(pattern)
        }

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
        target = self.folder / receipt.partition_path
        fsync_folder(staged)
        make_folder(target.parent)
        with coded_os_errors(target.parent):
            if not _rename(staged, target):
                held = read(target)
                if held and held.same_content(receipt):
                    return held
                if is_committed and not replace:
                    return held
                os.rename(target, staged.with_name(f"{staged.name}.replaced"))
                os.rename(staged, target)
            fsync_folder(target.parent)
        return receipt

    def create(self, path: str, made: Path, *, is_committed: bool = True) -> bool:
        """Publish a flushed file unless there is one; return whether there was none.

        Otherwise `made` stays, and the file that was first lies at the path. `is_committed` is as
        for `publish`.
        """
        target = self.folder / path
        make_folder(target.parent)
        # A lock and not a hard link: some filesystems have none.
        with creating(self.folder), coded_os_errors(target):
            if is_committed and target.exists():
                return False
            os.replace(made, target)
            fsync_folder(target.parent)
        return True

    def replace(self, path: str, data: bytes, scratch: Path) -> None:
        """Write a file over whatever is there; readers see the old or the new one."""
        replace_bytes(self.folder / path, data, scratch)

    def remove(self, path: str, scratch: Path) -> None:
        """Remove a file or folder, for every reader at once and durably; it may be absent.

        `scratch` is a folder on the root's filesystem, which takes what is removed.
        """
        target = self.folder / path
        with coded_os_errors(target), suppress(FileNotFoundError):
            os.rename(target, scratch / uuid.uuid4().hex)
            fsync_folder(target.parent)

    def clean(
        self,
        older_than: timedelta,  # noqa: ARG002 - a run's lock tells whether it lives
        *,
        dry_run: bool,
    ) -> list[Leftover]:
        """Remove what dead runs have left, or only return it; younger uploads of a store stay."""
        return sweep_staging(self.folder, dry_run=dry_run)


def _rename(staged: Path, target: Path) -> bool:
    # rename() refuses a target folder that is not empty: whoever comes second sees the first.
    try:
        os.rename(staged, target)
    except OSError:
        if target.is_dir():
            return False
        raise
    return True


@contextmanager
def creating(folder: Path) -> Iterator[None]:
    """Hold the lock under which files and folders that are written once get their names."""
    make_folder(folder / LOCKS)
    with FileLock(folder / LOCKS / "creation.lock"):
        yield
