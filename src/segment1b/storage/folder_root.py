"""A data root that is a folder of its own: one rename publishes, a lock guards final names."""

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
from segment1b.storage.staging import LOCKS, Leftover, leftovers, sweep_staging


@dataclass(frozen=True)
class FolderRoot:
    """A folder as data root; the methods are those of `root.Root`."""

    folder: Path

    @property
    def location(self) -> str:
        """Return the folder's path."""
        return str(self.folder)

    def __str__(self) -> str:
        return self.location

    def fetch(self, paths: Iterable[str]) -> None:
        """Do nothing: all files are in the folder."""

    def sizes(self, path: str) -> dict[str, int] | None:
        """Return bytes by name of what lies in a folder."""
        if not (self.folder / path).is_dir():
            return None
        with os.scandir(self.folder / path) as entries:
            return {entry.name: entry.stat().st_size for entry in entries}

    def published(self, pattern: str) -> dict[str, int]:
        """Return bytes by path of the files and folders that match a pattern."""
        return {
            path.relative_to(self.folder).as_posix(): sum(
                file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file()
            )
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
        """Rename a staged folder to its final name, if that is free or may be replaced."""
        target = self.folder / receipt.partition_path
        fsync_folder(staged)
        make_folder(target.parent)
        with coded_os_errors(target.parent):
            if not _rename(staged, target):
                held = read(target)
                if held and held.content_sha256_hex == receipt.content_sha256_hex:
                    return held
                if is_committed and not replace:
                    return held
                os.rename(target, staged.with_name(f"{staged.name}.replaced"))
                os.rename(staged, target)
            fsync_folder(target.parent)
        return receipt

    def create(self, path: str, made: Path, *, is_committed: bool = True) -> bool:
        """Rename a flushed file to its final name, unless a committed one has it.

        A lock and not a hard link: some filesystems have none.
        """
        target = self.folder / path
        make_folder(target.parent)
        with creating(self.folder), coded_os_errors(target):
            if is_committed and target.exists():
                return False
            os.replace(made, target)
            fsync_folder(target.parent)
        return True

    def replace(self, path: str, data: bytes, scratch: Path) -> None:
        """Write a whole file over whatever is there."""
        replace_bytes(self.folder / path, data, scratch)

    def remove(self, path: str, scratch: Path) -> None:
        """Move a file or folder into `scratch`."""
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
        """Remove what dead runs have left in the staging area."""
        return leftovers(self.folder) if dry_run else sweep_staging(self.folder)


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
