"""Reading what others wrote: Parquet by column name, brought to the declared types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.contracts import Column, Dataset
from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError, schema_invalid
from segment1b.storage.durable import regular_file
from segment1b.storage.geometries import BYTES, TEXT
from segment1b.storage.reader import Reader, matching_groups
from segment1b.storage.receipts import checked_text, coded_parquet_errors


def ingress_groups(
    reader: Reader,
    dataset: Dataset,
    path: Path,
    names: list[str],
    where: Mapping[str, tuple[Any, Any]] | None = None,
) -> Iterator[pa.Table]:
    """Yield a foreign file's row groups with the named columns in their declared types.

    Other string layouts and integer widths are accepted where every value fits. `where` is as for
    `Reader.row_groups`.

    Raises:
        Segment1BError: E_INPUT_UNREADABLE, E_INPUT_SCHEMA_INVALID.
    """
    wanted = [column for column in dataset.columns if column.name in names]
    regular_file(path)
    with coded_parquet_errors(path), pq.ParquetFile(path, pre_buffer=False) as file:
        present = file.schema_arrow
        for column in wanted:
            if present.names.count(column.name) != 1:
                many = "several columns" if column.name in present.names else "no column"
                what, hint = f"{many} {column.name}", nearest(column.name, present.names)
                raise _schema_error(dataset, path, f"has {what}", hint)
            if not _fits(present.field(column.name).type, column):
                raise _type_error(dataset, path, present.field(column.name).type, column)
        for group, size in matching_groups(file, names, where or {}):
            reader.bytes_read[dataset.id] += size
            table = file.read_row_group(group, columns=names, use_threads=False)
            yield checked_text(
                pa.table({c.name: _conform(table.column(c.name), c, dataset, path) for c in wanted})
            )


def iso_codes(reader: Reader) -> list[str]:
    """Return the country codes of the ISO table in ASCII order."""
    dataset = reader.dataset("iso3166_canonical_2024")
    tables = ingress_groups(reader, dataset, reader.file(dataset.id), ["country_iso"])
    return sorted({code for table in tables for code in table.column(0).drop_null().to_pylist()})


def _fits(found: pa.DataType, column: Column) -> bool:
    if pa.types.is_dictionary(found):
        found = found.value_type
    accepted = {"string": TEXT, "binary": BYTES, "bool": (pa.bool_(),)}.get(column.type)
    if accepted is not None:
        return found in accepted
    is_float = column.type == "float64" and pa.types.is_floating(found)
    return bool(is_float or pa.types.is_integer(found))


def _conform(array: pa.ChunkedArray, column: Column, dataset: Dataset, path: Path) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    try:
        return array.cast(column.arrow_type, safe=True)
    except pa.ArrowException:
        raise _type_error(dataset, path, array.type, column) from None


def _type_error(dataset: Dataset, path: Path, found: pa.DataType, column: Column) -> Segment1BError:
    what = f"column {column.name} is {found}, declared is {column.type}, or a value does not fit"
    return _schema_error(dataset, path, what, "write it in the declared type")


def _schema_error(dataset: Dataset, path: Path, what: str, hint: str) -> Segment1BError:
    return schema_invalid(path, f", {dataset.id}: {what}", hint, dataset=dataset.id)
