"""The published sites as a stream of small tables, in key order, whole or filtered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.errors import Segment1BError
from segment1b.storage.reader import matching_groups
from segment1b.storage.receipts import coded_parquet_errors

#: Rows held at a time; memory follows this, not the number of sites.
BATCH_ROWS = 65_536
COLUMNS = ("merchant_id", "legal_country_iso", "site_order", "lon_deg", "lat_deg")


@dataclass(frozen=True)
class Wanted:
    """Which sites are wanted; an empty list of countries or merchants means all."""

    countries: tuple[str, ...] = ()
    merchants: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for code in self.countries:
            if not (len(code) == 2 and code.isascii() and code.isalpha() and code.isupper()):
                what = f"country '{code}' is malformed"
                raise Segment1BError("E_USAGE", what, "give two upper-case letters")
        for merchant in self.merchants:
            if not 1 <= merchant < 2**63:
                what = f"merchant {merchant} is malformed"
                raise Segment1BError("E_USAGE", what, "give 1 to 2^63-1")

    @property
    def everything(self) -> bool:
        """Return whether nothing is filtered away."""
        return not self._values

    @property
    def _values(self) -> dict[str, pa.Array]:
        """Return the wanted values of each column that is filtered."""
        columns = {
            "legal_country_iso": pa.array(self.countries, pa.string()),
            "merchant_id": pa.array(self.merchants, pa.uint64()),
        }
        return {name: values for name, values in columns.items() if len(values)}

    @property
    def ranges(self) -> dict[str, tuple[Any, Any]]:
        """Return per column the least and greatest wanted value, for row group statistics."""
        ends = {name: pc.min_max(values).as_py() for name, values in self._values.items()}
        return {name: (end["min"], end["max"]) for name, end in ends.items()}

    def pick(self, table: pa.Table) -> pa.Table:
        """Return the wanted rows of a table."""
        for name, values in self._values.items():
            table = table.filter(pc.is_in(table.column(name), values))
        return table


def site_tables(
    paths: Sequence[Path], wanted: Wanted, columns: Sequence[str] = COLUMNS
) -> Iterator[pa.Table]:
    """Yield the wanted sites in key order, at most BATCH_ROWS rows a table, none of them empty."""
    names = list(columns)
    needed = [*names, *(name for name in wanted.ranges if name not in names)]
    for path in paths:
        with coded_parquet_errors(path), pq.ParquetFile(path, pre_buffer=False) as file:
            groups = [group for group, _ in matching_groups(file, needed, wanted.ranges)]
            if not groups:
                continue
            for batch in file.iter_batches(BATCH_ROWS, groups, needed, use_threads=False):
                table = wanted.pick(pa.Table.from_batches([batch])).select(names)
                if table.num_rows:
                    yield table


def coordinates(table: pa.Table) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the longitudes and latitudes of a table, float64[rows] each, in degrees."""
    return table.column("lon_deg").to_numpy(), table.column("lat_deg").to_numpy()


def points(table: pa.Table) -> pa.Array:
    """Return the sites of a table as WKB points, 21 bytes each."""
    lon, lat = coordinates(table)
    wkb = np.empty(len(lon), [("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])
    wkb["order"], wkb["type"], wkb["x"], wkb["y"] = 1, 1, lon, lat
    offsets = np.arange(len(lon) + 1, dtype=np.int32) * wkb.itemsize
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(wkb)]
    return pa.Array.from_buffers(pa.binary(), len(lon), buffers)


def merchant_numbers(table: pa.Table) -> pa.ChunkedArray:
    """Return merchant_id as int64: it is below 2^63, and GDAL makes a float of an uint64."""
    return table.column("merchant_id").cast(pa.int64())
