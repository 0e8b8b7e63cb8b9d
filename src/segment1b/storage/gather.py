"""Gather: sorted pieces from many shards become part files cut by row count alone."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.contracts import Dataset
from segment1b.storage.arrays import rebatch
from segment1b.storage.parts import FILE_ROWS, GROUP_ROWS, part_name, write_part
from segment1b.storage.proofs import Proof, write_proven
from segment1b.storage.receipts import column_batches, open_words

_RANGE_ROWS = 2 * FILE_ROWS


def write_piece(
    path: Path, dataset: Dataset, tables: Iterable[pa.Table], stretches: int = 1
) -> int:
    """Write one shard's piece, which `gather` will read; return the number of rows.

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


def gather(pieces: Sequence[Path], dataset: Dataset, folder: Path, threads: int = 1) -> list[Proof]:
    """Merge pieces into the final part files of a dataset cut by rows; return the proof of each.

    Each piece is sorted by the dataset's key; its first key column is a number (merchant_id).
    Where several pieces hold the same merchant, piece order must be key order (pieces by
    country, in ASCII order of the country). So merging one range of merchants is slicing each
    piece and a stable sort by merchant. `threads` parts are written at the same time; with one,
    rows are merged between.
    """
    cuts = [_Piece(path, dataset) for path in pieces]
    batches = rebatch(_merged(cuts, dataset), GROUP_ROWS)
    parts = iter(lambda: list(itertools.islice(batches, FILE_ROWS // GROUP_ROWS)), [])
    first = next(parts, [dataset.words_schema.empty_table()])
    jobs = (
        functools.partial(write_proven, folder / part_name(number), dataset, groups)
        for number, groups in enumerate(itertools.chain([first], parts))
    )
    if threads == 1:
        return [job() for job in jobs]
    proofs, writing = list[Proof](), deque[Future[Proof]]()
    with ThreadPoolExecutor(threads) as pool:
        for job in jobs:
            writing.append(pool.submit(job))
            if len(writing) > threads:
                proofs.append(writing.popleft().result())
        return proofs + [future.result() for future in writing]


class _Piece:
    """One piece: its merchants, where the rows of each begin, and the end."""

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self.path = path
        self.words = [c.name for c in dataset.columns if c.type == "string"]
        batches = column_batches([path], [dataset.key[0]])
        found = [table.column(0).to_numpy() for table in batches]
        column = np.concatenate(found) if found else np.empty(0, np.uint64)
        first = np.ones(len(column), bool)
        first[1:] = column[1:] != column[:-1]
        self.starts = np.append(np.flatnonzero(first), len(column))
        self.merchants = column[self.starts[:-1]]
        with pq.ParquetFile(path) as file:
            sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
        self.edges = np.cumsum([0, *sizes])

    def read(self, low: int, high: int) -> pa.Table:
        """Return the rows of merchants low <= m < high."""
        ends = np.searchsorted(self.merchants, np.array([low, high], np.uint64))
        start, stop = self.starts[ends].tolist()
        first = int(np.searchsorted(self.edges, start, "right")) - 1
        last = int(np.searchsorted(self.edges, stop, "left"))
        with open_words(self.path, self.words) as file:
            if start == stop:
                return file.schema_arrow.empty_table()
            table = file.read_row_groups(list(range(first, last)), use_threads=False)
        return table.slice(start - int(self.edges[first]), stop - start)


def _ranges(pieces: Sequence[_Piece]) -> Iterator[tuple[int, int]]:
    """Yield ranges [low, high) of merchants that hold about _RANGE_ROWS rows each."""
    merchants = np.concatenate([np.empty(0, np.uint64), *(piece.merchants for piece in pieces)])
    if not len(merchants):
        return
    counts = np.concatenate([np.diff(piece.starts) for piece in pieces])
    order = np.argsort(merchants, kind="stable")
    merchants, running = merchants[order], np.cumsum(counts[order])
    low = int(merchants[0])
    for edge in range(_RANGE_ROWS, int(running[-1]), _RANGE_ROWS):
        high = int(merchants[int(np.searchsorted(running, edge))])
        if high > low:
            yield low, high
            low = high
    yield low, int(merchants[-1]) + 1


def _merged(pieces: Sequence[_Piece], dataset: Dataset) -> Iterator[pa.Table]:
    for low, high in _ranges(pieces):
        table = pa.concat_tables([piece.read(low, high) for piece in pieces])
        yield _by_merchant(table.combine_chunks(), dataset)
