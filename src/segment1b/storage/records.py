"""Staged records: rows of numbers that a run writes and reads back itself, split by country."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.contracts import Dataset
from segment1b.errors import Segment1BError, file_error
from segment1b.storage.durable import coded_os_errors, make_folder, write_file

COUNTRY = "legal_country_iso"
#: Field of a staged record: the place of its country among those that are staged.
_PLACE = "country_place"
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


def split_by_country(
    folder: Path,
    dataset: Dataset,
    columns: list[str],
    tables: Iterable[pa.Table],
    files: Mapping[str, int],
) -> dict[str, int]:
    """Append the rows of each table to files of records; return the number of each country's rows.

    The columns are numbers; the tables have legal_country_iso as a dictionary beside them. `files`
    has the number of each country's file, ascending; rows of other countries are only counted.
    """
    make_folder(folder)
    record, counts = _record_type(dataset, columns), Counter[str]()
    places, file_at = {code: place for place, code in enumerate(files)}, [*files.values()]
    for table in tables:
        country = table.column(COUNTRY).combine_chunks()
        codes, own = country.dictionary.to_pylist(), country.indices.to_numpy()
        counts.update(
            dict(zip(codes, np.bincount(own, minlength=len(codes)).tolist(), strict=True))
        )
        # Numbers of 16 bits are sorted by their digits, four times as fast as wider ones.
        place = np.array([places.get(code, len(places)) for code in codes], np.uint16)[own]
        order = np.argsort(place, kind="stable")[: np.count_nonzero(place < len(places))]
        rows = np.empty(len(order), record)
        rows[_PLACE] = place[order]
        for name in columns:
            rows[name] = table.column(name).to_numpy()[order]
        file = np.array(file_at)[rows[_PLACE]]
        edges = np.flatnonzero(np.diff(file)) + 1
        for low, high in itertools.pairwise([0, *edges.tolist(), len(rows)]):
            if low < high:
                write_records(folder / str(file[low]), rows[low:high], append=True)
    return +counts


def read_split(
    folder: Path, dataset: Dataset, columns: list[str], file: int, rows: Mapping[str, int]
) -> dict[str, Records]:
    """Return the records of each country in a file, in the order in which they came.

    `rows` is what `split_by_country` has returned for the countries of the file, in its order;
    where the file has other numbers of rows this is E_STAGING_DAMAGED.
    """
    path, counts = folder / str(file), list(rows.values())
    records = read_records(path, _record_type(dataset, columns), sum(counts))
    place = records[_PLACE].copy()
    if (place[1:] < place[:-1]).any():
        order = np.argsort(place, kind="stable")
        records, place = records[order], place[order]
    edges = np.cumsum(counts)[:-1]
    if not np.array_equal(np.flatnonzero(np.diff(place)) + 1, edges):
        raise damaged(path, "its rows are of other countries than were written")
    return dict(zip(rows, np.split(records, edges), strict=True))


def _record_type(dataset: Dataset, columns: list[str]) -> np.dtype[Any]:
    """Return the record of some columns (numbers), packed, behind the place of the country."""
    types = {column.name: column.arrow_type.to_pandas_dtype() for column in dataset.columns}
    return np.dtype([(_PLACE, np.uint16), *((name, types[name]) for name in columns)])


def damaged(path: Path, what: str) -> Segment1BError:
    """Return the error of a staged file that is not what its writer has left."""
    return file_error("E_STAGING_DAMAGED", path, f": {what}")
