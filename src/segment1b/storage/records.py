"""Staged records: plain rows of numbers that a run writes and reads back itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b.errors import Segment1BError, file_error
from segment1b.storage.durable import coded_os_errors, write_file

Records = npt.NDArray[Any]


def write_records(path: Path, records: Records, *, append: bool = False) -> int:
    """Write records to a staged file, or append them; return the file's size in bytes."""
    data = np.ascontiguousarray(records).view(np.uint8).data if len(records) else b""
    return write_file(path, data, append=append, sync=False)


def read_records(path: Path, record: np.dtype[Any], count: int) -> Records:
    """Return the `count` records of a staged file; E_STAGING_DAMAGED for another size."""
    with coded_os_errors(path):
        size = path.stat().st_size if path.exists() else 0
        records = np.fromfile(path, record) if size else np.empty(0, record)
    if size != count * record.itemsize or len(records) != count:
        raise damaged(path, f"{count * record.itemsize} bytes were written, {size} are there")
    return records


def damaged(path: Path, what: str) -> Segment1BError:
    """Return the error of a staged file that is not what its writer has left."""
    return file_error("E_STAGING_DAMAGED", path, f": {what}")
