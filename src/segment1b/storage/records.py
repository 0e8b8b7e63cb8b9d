"""Staged records: rows of numbers that a run writes and reads back itself, split by country."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.contracts import Dataset
from segment1b.errors import Segment1BError, file_error
from segment1b.storage.durable import coded_os_errors, make_folder, write_file

COUNTRY = "legal_country_iso"
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


def record_type(dataset: Dataset, columns: list[str]) -> np.dtype[Any]:
    """Return the record of some columns (numbers), packed, in the order given."""
    types = {column.name: column.arrow_type.to_pandas_dtype() for column in dataset.columns}
    return np.dtype([(name, types[name]) for name in columns])


def split_by_country(
    folder: Path, dataset: Dataset, columns: list[str], tables: Iterable[pa.Table]
) -> dict[str, int]:
    """Append the rows of each table to one file of records a country; return their counts.

    The columns are numbers; the tables have legal_country_iso as a dictionary beside them.
    """
    make_folder(folder)
    record, counts = record_type(dataset, columns), dict[str, int]()
    for table in tables:
        country = table.column(COUNTRY).combine_chunks()
        # Numbers of 16 bits are sorted by their digits, four times as fast as wider ones.
        codes = country.indices.to_numpy().astype(np.uint16)
        order = np.argsort(codes, kind="stable")
        rows = np.empty(len(codes), record)
        for name in columns:
            rows[name] = table.column(name).to_numpy()[order]
        edges = np.searchsorted(codes[order], np.arange(len(country.dictionary) + 1))
        for number, code in enumerate(country.dictionary.to_pylist()):
            mine = rows[edges[number] : edges[number + 1]]
            if len(mine):
                counts[code] = counts.get(code, 0) + len(mine)
                write_records(folder / code, mine, append=True)
    return counts


def read_split(folder: Path, code: str, dataset: Dataset, columns: list[str], rows: int) -> Records:
    """Return the records of one country, in the order in which they came.

    `rows` is what `split_by_country` has returned for it, 0 for a country it did not name; with
    anything else in the file this is E_STAGING_DAMAGED.
    """
    return read_records(folder / code, record_type(dataset, columns), rows)


def damaged(path: Path, what: str) -> Segment1BError:
    """Return the error of a staged file that is not what its writer has left."""
    return file_error("E_STAGING_DAMAGED", path, f": {what}")
