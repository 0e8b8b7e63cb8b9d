"""Reading what others wrote: Parquet by column name, brought to the declared types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.contracts import Column, Dataset
from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError
from segment1b.storage.reader import Reader, matching_groups
from segment1b.storage.receipts import coded_parquet_errors


def ingress_groups(
    reader: Reader,
    dataset: Dataset,
    path: Path,
    names: list[str],
    where: Mapping[str, tuple[Any, Any]] | None = None,
) -> Iterator[pa.Table]:
    """Yield a foreign file's row groups with the named columns in their declared types.

    Other string layouts and integer widths are accepted where every value fits.

    Args:
        reader: counts the bytes.
        dataset: the dictionary entry that declares the columns.
        path: the file.
        names: wanted columns.
        where: per column (low, high): groups whose statistics lie wholly outside are skipped.

    Raises:
        Segment1BError: E_INPUT_UNREADABLE, E_INPUT_SCHEMA_INVALID.
    """
    wanted = [column for column in dataset.columns if column.name in names]
    with coded_parquet_errors(path), pq.ParquetFile(path, pre_buffer=False) as file:
        present = file.schema_arrow.names
        for column in wanted:
            if column.name not in present:
                raise _schema_error(
                    dataset, path, f"has no column {column.name}", nearest(column.name, present)
                )
        for group, size in matching_groups(file, names, where or {}):
            reader.bytes_read[dataset.id] += size
            table = file.read_row_group(group, columns=names, use_threads=False)
            yield pa.table(
                {c.name: _conform(table.column(c.name), c, dataset, path) for c in wanted}
            )


def ingress_table(reader: Reader, dataset_id: str, names: list[str]) -> pa.Table:
    """Return a whole one-file dataset with the named columns in their declared types."""
    path = reader.file(dataset_id)
    dataset = reader.dataset(dataset_id)
    tables = list(ingress_groups(reader, dataset, path, names))
    if not tables:
        return dataset.arrow_schema.empty_table().select(names)
    return pa.concat_tables(tables)


def iso_codes(reader: Reader) -> list[str]:
    """Return the country codes of the ISO table in ASCII order."""
    column = ingress_table(reader, "iso3166_canonical_2024", ["country_iso"]).column(0)
    return sorted(set(column.to_pylist()))


def _conform(array: pa.ChunkedArray, column: Column, dataset: Dataset, path: Path) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    string_like = (
        pa.types.is_string(array.type)
        or pa.types.is_large_string(array.type)
        or pa.types.is_string_view(array.type)
    )
    fits = string_like if column.type == "string" else not string_like
    if fits and pa.types.is_floating(array.type) and column.type != "float64":
        fits = False
    try:
        if fits:
            return array.cast(column.arrow_type, safe=True)
    except pa.ArrowException:
        pass
    raise _schema_error(
        dataset,
        path,
        f"column {column.name} is {array.type}, declared is {column.type}",
        "write it in the declared type",
    )


def _schema_error(dataset: Dataset, path: Path, what: str, hint: str) -> Segment1BError:
    return Segment1BError(
        "E_INPUT_SCHEMA_INVALID",
        f"{dataset.id}, file {path}: {what}",
        hint,
        dataset=dataset.id,
        path=str(path),
    )
