"""Split: rows in merchant order become one staged file of records for each country."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from segment1b.contracts import Dataset
from segment1b.storage.durable import make_folder
from segment1b.storage.records import Records, read_records, write_records

COUNTRY = "legal_country_iso"


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
