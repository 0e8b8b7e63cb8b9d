"""Datasets made for one test, ways to lay files out, and rights that a superuser lacks."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.contracts import Column, Dataset

SCHEMA = "E405_SCHEMA_INVALID"
EXTRAS = "E305_SCHEMA_EXTRAS"
DUPLICATE = "E407_PK_DUPLICATE"
UNSORTED = "E408_UNSORTED"
CODES = {"schema": SCHEMA, "extras": EXTRAS, "duplicate": DUPLICATE, "unsorted": UNSORTED}


def dataset(
    columns: Mapping[str, str | dict[str, Any]], key: Sequence[str], **more: Any
) -> Dataset:
    """Return a table dataset; a column is its type, or a mapping of what a schema can say."""
    shapes = {n: {"type": c} if isinstance(c, str) else c for n, c in columns.items()}
    entry: dict[str, Any] = {
        "id": "made_for_a_test",
        "owner": "S4",
        "kind": "table",
        "path": "data/made_for_a_test/",
        "schema_ref": "none",
        "licence": "none",
        "retention_days": 1,
        "codes": CODES,
    }
    made = [Column(name=name, **shape) for name, shape in shapes.items()]
    return Dataset(**{**entry, **more}, key=list(key), columns=tuple(made))


def table(of: Dataset, *columns: Sequence[Any]) -> pa.Table:
    """Return a table in the dataset's strict schema from its columns."""
    return pa.table([list(column) for column in columns], schema=of.arrow_schema)


def write_files(folder: Path, tables: Sequence[pa.Table], **options: Any) -> Path:
    """Write each table as one file of a partition, by pyarrow alone; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(tables):
        pq.write_table(one, folder / f"part-{number:05d}.parquet", **options)
    return folder


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return inode, modification time and bytes of every file below a folder."""
    return {
        path.relative_to(root).as_posix(): (
            path.stat().st_ino,
            path.stat().st_mtime_ns,
            path.read_bytes(),
        )
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file, or of the last file of a folder."""
    file = max(path.iterdir()) if path.is_dir() else path
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@contextmanager
def without_privilege() -> Iterator[None]:
    """Act as a user whom file modes bind, also when the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
