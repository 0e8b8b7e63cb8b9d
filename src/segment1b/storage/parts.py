"""Part files: how a table is cut into files and row groups, and written with its encodings."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.contracts import Dataset
from segment1b.storage.durable import coded_os_errors, fsync_file, renamed_when_whole

FILE_ROWS = 1_048_576
GROUP_ROWS = 131_072
# Of a piece that is gathered: each final part reads its own stretch of it.
PIECE_ROWS = 16_384


def part_name(number: int) -> str:
    """Return the name of the part with that number; ASCII order is number order."""
    return f"part-{number:05d}.parquet"


@dataclass(frozen=True)
class TileFile:
    """One file of a tile dataset: stretches (country, first row, end row), in order."""

    number: int
    stretches: tuple[tuple[str, int, int], ...]

    @property
    def rows(self) -> int:
        """Return how many rows the file holds."""
        return sum(stop - start for _, start, stop in self.stretches)


def cut_tiles(counts: Mapping[str, int]) -> list[TileFile]:
    """Cut a tile dataset into files, from the number of tiles of each country (in key order).

    Whole countries are packed into a file until the next would take it past FILE_ROWS; a larger
    country is cut into files of its own.
    """
    files: list[list[tuple[str, int, int]]] = []
    packed = FILE_ROWS
    for country, count in counts.items():
        if count > FILE_ROWS:
            files += [
                [(country, start, min(start + FILE_ROWS, count))]
                for start in range(0, count, FILE_ROWS)
            ]
            packed = FILE_ROWS
        elif count:
            if packed + count > FILE_ROWS:
                files.append([])
                packed = 0
            files[-1].append((country, 0, count))
            packed += count
    return [TileFile(number, tuple(stretches)) for number, stretches in enumerate(files)]


def groups(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the row groups of one stretch, at most GROUP_ROWS each."""
    for low in range(start, stop, GROUP_ROWS):
        yield low, min(low + GROUP_ROWS, stop)


def write_part(
    path: Path, dataset: Dataset, row_groups: Iterable[pa.Table], *, passing: bool = False
) -> int:
    """Write one part file, a row group for each table; return the number of rows.

    The encodings are those of the dictionary. The file takes its name when it is whole, so that
    two workers may write the same part at once. One that is `passing` is a piece for the gather: it
    is not flushed, since a run that dies starts its state anew, and its row groups are small, as
    each final part reads a stretch of it.
    """
    schema = dataset.words_schema
    dictionary = [name for name, how in dataset.encodings.items() if how == "DICTIONARY"]
    others = {name: how for name, how in dataset.encodings.items() if how != "DICTIONARY"}
    tables = (_tight(table.cast(schema)) for table in row_groups)
    coding = {"use_dictionary": dictionary, "column_encoding": others}
    return write_tables(path, schema, tables, passing=passing, **coding)


def write_tables(
    path: Path,
    schema: pa.Schema,
    row_groups: Iterable[pa.Table],
    *,
    passing: bool = False,
    **coding: Any,
) -> int:
    """Write a Parquet file of a schema as `write_part` does; `coding` is as for ParquetWriter."""
    rows = 0
    # In the folder itself, what a dead worker leaves behind would be published with the parts.
    unfinished = path.parent.with_name(f"{path.parent.name}-{uuid.uuid4().hex}.unfinished")
    with coded_os_errors(path), renamed_when_whole(unfinished, path):
        with pq.ParquetWriter(
            unfinished,
            schema,
            compression="lz4" if passing else "zstd",
            version="2.6",
            store_schema=False,
            dictionary_pagesize_limit=GROUP_ROWS * 8,
            **coding,
        ) as writer:
            for table in row_groups:
                most = PIECE_ROWS if passing else max(1, table.num_rows)
                writer.write_table(table, row_group_size=most)
                rows += table.num_rows
        if not passing:
            fsync_file(unfinished)
    return rows


def _tight(table: pa.Table) -> pa.Table:
    """Return the table with the words of each row group in order of appearance, used ones alone.

    So the bytes do not depend on the dictionaries of the pieces that the rows came from.
    """
    for at, column in enumerate(table.columns):
        if pa.types.is_dictionary(column.type):
            words = column.combine_chunks()
            used = words.indices.unique()
            place = np.zeros(len(words.dictionary), np.int32)
            place[used.to_numpy()] = np.arange(len(used), dtype=np.int32)
            tight = pa.DictionaryArray.from_arrays(
                place[words.indices.to_numpy()], words.dictionary.take(used)
            )
            table = table.set_column(at, table.schema.field(at), tight)
    return table


def constant(value: str, count: int) -> pa.Array:
    """Return a string column that holds one value in all its rows, once in memory."""
    return pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), [value])


def repeated(values: Sequence[str], counts: Sequence[int]) -> pa.Array:
    """Return a string column that holds each value `counts` times, once in memory."""
    words = pa.array(values, pa.string()).dictionary_encode()
    numbers = np.repeat(words.indices.to_numpy(), counts)
    return pa.DictionaryArray.from_arrays(numbers, words.dictionary)
