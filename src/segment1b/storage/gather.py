"""Gather: sorted pieces from many shards become part files cut by row count alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.contracts import Dataset
from segment1b.storage.arrays import rebatch
from segment1b.storage.parts import FILE_ROWS, GROUP_ROWS, write_part
from segment1b.storage.proofs import Proof, write_proven
from segment1b.storage.receipts import column_batches, open_words

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]


class FinalPart(NamedTuple):
    """The rows of one final part file of a dataset.

    Attributes:
        dataset_id: of which dataset.
        number: which of its parts.
        stretches: (piece, first row, end row) of each piece that has some of them, in order.
    """

    dataset_id: str
    number: int
    stretches: tuple[tuple[int, int, int], ...]


def write_piece(
    path: Path, dataset: Dataset, tables: Iterable[pa.Table], stretches: int = 1
) -> int:
    """Write one shard's piece, which `merge_part` will read; return the number of rows.

    The rows are of `stretches` countries, each sorted by the key, in key order. One is written as
    it comes; more are held together and sorted by merchant.
    """
    schema = dataset.words_schema
    tables = (table.cast(schema) for table in tables)
    if stretches > 1:
        merged = pa.concat_tables([schema.empty_table(), *tables])
        tables = rebatch([_by_merchant(merged.combine_chunks(), dataset)], GROUP_ROWS)
    return write_part(path, dataset, tables, passing=True)


def _by_merchant(table: pa.Table, dataset: Dataset) -> pa.Table:
    """Return the rows in merchant order, those of one merchant in the order they had."""
    merchants = table.column(dataset.key[0]).to_numpy()
    if (merchants[1:] < merchants[:-1]).any():
        return table.take(pa.array(np.argsort(merchants, kind="stable")))
    return table


def cut_parts(pieces: Sequence[Path], dataset: Dataset) -> Iterator[FinalPart]:
    """Yield the final part files of a dataset cut by rows, from its pieces; at least one.

    Each piece is sorted by the dataset's key; its first key column is a number (merchant_id).
    Where several pieces hold the same merchant, piece order must be key order (pieces by
    country, in ASCII order of the country). So the rows of a part are a stretch of each piece.
    """
    runs = [_merchants(path, dataset) for path in pieces]
    owner = np.repeat(np.arange(len(pieces)), [len(own) for own, _ in runs])
    merchants = np.concatenate([np.empty(0, np.uint64), *(own for own, _ in runs)])
    order = np.argsort(merchants, kind="stable")
    owner = owner[order]
    counts = np.concatenate([np.empty(0, np.int64), *(count for _, count in runs)])[order]
    ends = np.cumsum(counts)
    total, whole, done = int(counts.sum()), np.zeros(len(pieces), np.int64), 0
    before = whole.tolist()
    for number, edge in enumerate(range(FILE_ROWS, max(total, 1) + FILE_ROWS, FILE_ROWS)):
        edge = min(edge, total)
        last = int(np.searchsorted(ends, edge))  # the part ends within these rows of a merchant
        np.add.at(whole, owner[done:last], counts[done:last])
        after = whole.copy()
        if total:
            after[owner[last]] += counts[last] - (ends[last] - edge)
        stretches = enumerate(zip(before, after.tolist(), strict=True))
        own = tuple((piece, low, high) for piece, (low, high) in stretches if low < high)
        yield FinalPart(dataset.id, number, own)
        before, done = after.tolist(), last


def merge_part(part: FinalPart, pieces: Sequence[Path], dataset: Dataset, path: Path) -> Proof:
    """Merge the stretches of a final part, write it, and return its proof."""
    tables = [_rows(pieces[piece], dataset, *stretch) for piece, *stretch in part.stretches]
    merged = pa.concat_tables([dataset.words_schema.empty_table(), *tables])
    merged = _by_merchant(merged.combine_chunks(), dataset)
    # A table without rows has a row group without rows.
    groups = rebatch([merged], GROUP_ROWS) if len(merged) else [merged]
    return write_proven(path, dataset, groups)


def _merchants(path: Path, dataset: Dataset) -> tuple[UInt64s, Int64s]:
    """Return the merchants of a piece, in order, and the number of rows of each."""
    found = [table.column(0).to_numpy() for table in column_batches([path], [dataset.key[0]])]
    column = np.concatenate([np.empty(0, np.uint64), *found])
    first = np.ones(len(column), np.bool_)
    np.not_equal(column[1:], column[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    return column[starts], np.diff(starts, append=len(column))


def _rows(path: Path, dataset: Dataset, start: int, stop: int) -> pa.Table:
    """Return the rows start <= row < stop of a piece."""
    words = [column.name for column in dataset.columns if column.type == "string"]
    with open_words(path, words) as file:
        sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
        edges = np.cumsum([0, *sizes])
        first = int(np.searchsorted(edges, start, "right")) - 1
        last = int(np.searchsorted(edges, stop, "left"))
        table = file.read_row_groups(list(range(first, last)), use_threads=False)
    return table.slice(start - int(edges[first]), stop - start)
