"""Staged records: rows of numbers that a run writes and reads back itself, split by country."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.contracts import Dataset
from segment1b.errors import Segment1BError, file_error
from segment1b.storage.arrays import rebatch
from segment1b.storage.durable import coded_os_errors, renamed_when_whole, write_file
from segment1b.storage.parts import FILE_ROWS

COUNTRY = "legal_country_iso"
Records = npt.NDArray[Any]


def write_records(path: Path, records: Records) -> None:
    """Write records to a staged file, which takes its name when it is whole.

    So a worker that was given up may write the same file once more.
    """
    data = np.ascontiguousarray(records).view(np.uint8).data if len(records) else b""
    unfinished = path.with_name(f"{path.name}-{uuid.uuid4().hex}.unfinished")
    with coded_os_errors(path), renamed_when_whole(unfinished, path):
        write_file(unfinished, data, sync=False)


def read_records(
    path: Path, record: np.dtype[Any], count: int, stretch: tuple[int, int] | None = None
) -> Records:
    """Return the `count` records of a staged file, or a stretch (first, number) of them.

    Raises:
        Segment1BError: E_STAGING_DAMAGED for a file of another size.
    """
    first, number = stretch or (0, count)
    with coded_os_errors(path):
        size = path.stat().st_size if path.exists() else 0
        offset = first * record.itemsize
        records = np.fromfile(path, record, number, offset=offset) if size else np.empty(0, record)
    if size != count * record.itemsize or len(records) != number:
        raise damaged(path, f"{count * record.itemsize} bytes were written, {size} are there")
    return records


class Stretch(NamedTuple):
    """Rows of one country in a staged file: where they are, and how many rows the file has."""

    path: Path
    first: int
    rows: int
    of: int


#: The rows of a dataset by country, in the dataset's order.
Split = dict[str, list[Stretch]]


def split_by_country(
    path: Path, dataset: Dataset, columns: Sequence[str], tables: Iterable[pa.Table]
) -> Split:
    """Stage columns of numbers by country, in files beside `path`, about a million rows in each.

    The tables have legal_country_iso as a dictionary beside the columns.
    """
    record, split = _record_type(dataset, columns), Split()
    for number, table in enumerate(rebatch(tables, FILE_ROWS)):
        country = table.column(COUNTRY).combine_chunks()
        codes, own = country.dictionary.to_pylist(), country.indices.to_numpy()
        # Numbers of up to 16 bits are sorted by their digits, four times as fast as wider ones.
        order = np.argsort(own.astype(np.min_scalar_type(len(codes))), kind="stable")
        rows = np.empty(len(order), record)
        for name in columns:
            rows[name] = table.column(name).to_numpy()[order]
        file = path.with_name(f"{path.name}-{number}")
        write_records(file, rows)
        first = 0
        for code, count in zip(codes, np.bincount(own, minlength=len(codes)).tolist(), strict=True):
            if count:
                split.setdefault(code, []).append(Stretch(file, first, count, len(rows)))
                first += count
    return split


def rows_of(split: Split) -> dict[str, int]:
    """Return how many rows each country has."""
    return {code: sum(stretch.rows for stretch in own) for code, own in split.items()}


def read_split(dataset: Dataset, columns: Sequence[str], split: Split) -> dict[str, Records]:
    """Return the staged records of each country, in the dataset's order."""
    record = _record_type(dataset, columns)
    return {
        code: np.concatenate(
            [read_records(own.path, record, own.of, (own.first, own.rows)) for own in stretches]
        )
        for code, stretches in split.items()
    }


def _record_type(dataset: Dataset, columns: Sequence[str]) -> np.dtype[Any]:
    types = {column.name: column.arrow_type.to_pandas_dtype() for column in dataset.columns}
    return np.dtype([(name, types[name]) for name in columns])


def damaged(path: Path, what: str) -> Segment1BError:
    """Return the error of a staged file that is not what its writer has left."""
    return file_error("E_STAGING_DAMAGED", path, f": {what}")
