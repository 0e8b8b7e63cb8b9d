"""Proofs of part files, taken by whoever wrote them, and the receipt that they make together."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.contracts import Column, Dataset
from segment1b.storage.digests import BLOCK_ROWS, block_entry, blocks, content_digest
from segment1b.storage.parts import write_part
from segment1b.storage.receipts import (
    Receipt,
    coded_parquet_errors,
    encoded,
    hash_files,
    key_words,
    open_words,
    read_words,
)
from segment1b.storage.records import damaged

Key = tuple[Any, ...]


@dataclass
class Proof:
    """What some part files that follow each other hold: small and picklable.

    Attributes:
        files: path, bytes and SHA-256 of each.
        rows: of all of them; `tail` of these are in the last block.
        entries: what the content digest has of each block, the first of which begins the files.
        first, last: keys of the first and the last row; empty where there are no rows.
    """

    files: tuple[tuple[str, int, str], ...]
    rows: int = 0
    tail: int = 0
    entries: list[bytes] = field(default_factory=list)
    first: Key = ()
    last: Key = ()


def write_proven(path: Path, dataset: Dataset, row_groups: Iterable[pa.Table]) -> Proof:
    """Write a part file as `write_part` does; return what it holds, as it is read back."""
    rows = write_part(path, dataset, row_groups)
    proof = prove([path], dataset)
    if proof.rows != rows:
        raise damaged(path, f"{rows} rows were written, {proof.rows} are there")
    return proof


def prove(paths: Sequence[Path], dataset: Dataset) -> Proof:
    """Read part files that follow each other, check them against their contract, and digest them.

    Raises:
        Segment1BError: the dataset's own code for wrong columns, values, order or duplicates;
            E_INPUT_UNREADABLE for a damaged file.
    """
    files = (hash_files(path.parent, [path.name])[0][0] for path in paths)
    proof = Proof(tuple(files))
    tables = itertools.chain.from_iterable(_checked(path, dataset, proof) for path in paths)
    for block in blocks(tables, dataset):
        proof.entries.append(block_entry(block, dataset))
        proof.tail = len(block)
    return proof


def take_receipt(folder: Path, dataset: Dataset, relative: str, threads: int) -> Receipt:
    """Return the receipt of a partition, of any cut; `threads` files are read at the same time.

    Raises:
        Segment1BError: as `prove`.
    """
    each = [[path] for path in sorted(folder.iterdir())]
    with ThreadPoolExecutor(threads) as pool:
        proofs = list(pool.map(functools.partial(prove, dataset=dataset), each))
    return joined_receipt(folder, dataset, relative, proofs)


def joined_receipt(
    folder: Path, dataset: Dataset, relative: str, proofs: Sequence[Proof]
) -> Receipt:
    """Return the receipt of a partition from the proofs of its files in order.

    Raises:
        Segment1BError: E_STAGING_DAMAGED where the files are not those that were proven; the
            dataset's code for files that are out of order.
    """
    files, whole = hash_files(folder, [path.name for path in folder.iterdir()])
    proven = tuple(itertools.chain.from_iterable(proof.files for proof in proofs))
    if files != proven:
        at = next(a or b for a, b in itertools.zip_longest(files, proven) if a != b)
        raise damaged(folder / at[0], "its bytes are not those that its writer read back")
    held = [proof for proof in proofs if proof.rows]
    for before, proof in itertools.pairwise(held):
        _check_follows(before.last, proof.first, dataset, proof.files[0][0], 1)
    if any(_cuts_block(before, proof, dataset) for before, proof in itertools.pairwise(held)):
        held = [prove([folder / name for name, _, _ in files], dataset)]
    entries = itertools.chain.from_iterable(proof.entries for proof in held)
    rows = sum(proof.rows for proof in held)
    return Receipt(relative, rows, files, whole, content_digest(dataset, entries))


def _cuts_block(before: Proof, after: Proof, dataset: Dataset) -> bool:
    """Return whether files end within a block that the next files go on with."""
    goes_on = dataset.cut == "rows" or before.last[0] == after.first[0]
    return goes_on and before.tail != BLOCK_ROWS


def _checked(path: Path, dataset: Dataset, proof: Proof) -> Iterator[pa.Table]:
    """Yield the row groups of a file, each checked; note rows and keys in the proof."""
    names, row = [column.name for column in dataset.columns], 0
    with coded_parquet_errors(path), pq.ParquetFile(path) as file:
        _check_schema(file.schema_arrow, path, dataset)
    with coded_parquet_errors(path), open_words(path, names) as file:
        for group in range(file.num_row_groups):
            table = read_words(file, [group], names)
            if not len(table):
                continue
            for column in dataset.columns:
                check_values(table.column(column.name), dataset, column)
            first = _key(table, 0, dataset)
            _check_follows(proof.last, first, dataset, path.name, row + 1)
            _check_order(table, dataset, path.name, row)
            proof.first, proof.last = proof.first or first, _key(table, len(table) - 1, dataset)
            row += len(table)
            proof.rows += len(table)
            yield table


def _check_schema(schema: pa.Schema, path: Path, dataset: Dataset) -> None:
    declared = dataset.arrow_schema
    extras = sorted(set(schema.names) - set(declared.names))
    fault = "extras" if extras else "schema"
    if extras or not schema.remove_metadata().equals(declared):
        shapes = f"[{_shape(schema)}], declared are [{_shape(declared)}]"
        what = f"{path.name} of {dataset.id} has columns {shapes}"
        hint = f"the file was not written by this dataset's state: {dataset.redo}"
        raise dataset.error(fault, what, hint, path=path.name)


def _shape(schema: pa.Schema) -> str:
    return ", ".join(
        f"{field.name} {field.type}{' null' if field.nullable else ''}" for field in schema
    )


def check_values(values: pa.Array | pa.ChunkedArray, dataset: Dataset, column: Column) -> None:
    """Refuse nulls, NaN and values outside what the schema allows, by the dataset's code."""
    array, fault = encoded(values), None
    if array.null_count:
        fault = f"{array.null_count} nulls"
    elif pa.types.is_dictionary(array.type):
        words = array.dictionary.to_pylist() if column.regex else ()
        bad = [text for text in words if column.regex and not column.regex.match(text)]
        fault = f"value {bad[0]!r}" if bad else None
    elif len(array) and not pa.types.is_boolean(array.type):
        numbers = array.to_numpy()
        # Unlike those of Arrow, the least and the greatest are NaN where any value is.
        fault = _range_fault(numbers.min().item(), numbers.max().item(), column)
    if fault:
        what = f"{dataset.id}.{column.name} holds {fault}"
        hint = "the schema in contracts/schemas says what it may hold"
        raise dataset.error("schema", what, hint, column=column.name)


def _range_fault(low: float, high: float, column: Column) -> str | None:
    if math.isnan(low):
        return "NaN"
    if column.minimum is not None and low < column.minimum:
        return f"{low}, below {column.minimum}"
    if column.exclusive_minimum is not None and low <= column.exclusive_minimum:
        return f"{low}, not above {column.exclusive_minimum}"
    if column.maximum is not None and high > column.maximum:
        return f"{high}, above {column.maximum}"
    return None


def _check_order(table: pa.Table, dataset: Dataset, name: str, row: int) -> None:
    """Refuse a table, which begins at a row of a file (from 0), unless its keys rise."""
    rising, equal = np.zeros(len(table) - 1, bool), np.ones(len(table) - 1, bool)
    for key in (key_words(table.column(name)) for name in dataset.key):
        rising |= equal & (key[1:] > key[:-1])
        equal &= key[1:] == key[:-1]
    if not rising.all():
        at = int(np.flatnonzero(~rising)[0])
        ends = [_key(table, number, dataset) for number in (at, at + 1)]
        _check_follows(ends[0], ends[1], dataset, name, row + at + 2)


def _key(table: pa.Table, row: int, dataset: Dataset) -> Key:
    return tuple(table.column(name)[row].as_py() for name in dataset.key)


def _check_follows(before: Key, key: Key, dataset: Dataset, name: str, row: int) -> None:
    """Refuse the key of a row of a file (from 1) that does not come after the key before it."""
    if before < key:
        return
    fault = "duplicate" if before == key else "unsorted"
    problem = "there twice" if before == key else "out of order"
    place = dict(zip(dataset.key, key, strict=True))
    what = f"{dataset.id}: key {place} is {problem} in row {row} of {name}"
    raise dataset.error(fault, what, dataset.redo, path=name, row=row, **place)
