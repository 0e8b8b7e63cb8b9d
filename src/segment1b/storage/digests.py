"""The content digest of a table: a SHA-256 of each column of each block of rows, one over all.

docs/spec/receipts.md#content-digest has the rule, and a program for auditors that follows it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.contracts import Dataset
from segment1b.storage.arrays import rebatch
from segment1b.storage.receipts import DIGEST_VERSION, encoded, key_words

BLOCK_ROWS = 131_072


def blocks(tables: Iterable[pa.Table], dataset: Dataset) -> Iterator[pa.Table]:
    """Yield rows that come in key order by blocks of BLOCK_ROWS, a shorter one at the end.

    In a tile dataset every country begins a block.
    """
    if dataset.cut == "rows":
        yield from rebatch(tables, BLOCK_ROWS)
        return
    stretches = itertools.chain.from_iterable(_stretches(table, dataset) for table in tables)
    for _, stretch in itertools.groupby(stretches, lambda stretch: stretch[0]):
        yield from rebatch((table for _, table in stretch), BLOCK_ROWS)


def _stretches(table: pa.Table, dataset: Dataset) -> Iterator[tuple[int, pa.Table]]:
    """Yield the stretches of a table that are of one country, each with the country's number."""
    codes = key_words(table.column(dataset.key[0]))
    edges = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    for low, high in itertools.pairwise([0, *edges.tolist(), len(codes)]):
        if high > low:
            yield int(codes[low]), table.slice(low, high - low)


def block_entry(block: pa.Table, dataset: Dataset) -> bytes:
    """Return what the content digest has of a block: its rows (LE32), a digest of each column."""
    columns = (block.column(column.name) for column in dataset.columns)
    digests = (hashlib.sha256(value_bytes(column)).digest() for column in columns)
    return _le32(len(block)) + b"".join(digests)


def content_digest(dataset: Dataset, entries: Iterable[bytes]) -> str:
    """Return the content digest (64 hex digits) from the entries of all blocks in order."""
    title = f"segment1b content digest {DIGEST_VERSION}\n"
    title += "".join(f"{field.name} {field.type}\n" for field in dataset.arrow_schema)
    return hashlib.sha256(title.encode() + b"".join(entries)).hexdigest()


def value_bytes(column: pa.Array | pa.ChunkedArray) -> bytes | memoryview:
    """Return the values of a column in a block as the content digest sees them."""
    array = encoded(column)
    if pa.types.is_dictionary(array.type):
        return _string_bytes(array)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    values = array.to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).data


def _string_bytes(array: pa.DictionaryArray) -> bytes:
    """Return the distinct words by first appearance, then the place of each row's word."""
    if len(array.dictionary) > 1:  # whatever order a file has, words it does not use, or twice
        array = array.cast(pa.string()).dictionary_encode()
    words = [word.encode() for word in array.dictionary.to_pylist() if len(array)]
    head = _le32(len(words)) + b"".join(_le32(len(word)) + word for word in words)
    if len(words) < 2:
        return head
    places: npt.NDArray[Any] = array.indices.to_numpy()
    return head + places.astype(_place_type(len(words))).tobytes()


def _place_type(words: int) -> str:
    return "<u1" if words <= 1 << 8 else "<u2" if words <= 1 << 16 else "<u4"


def _le32(number: int) -> bytes:
    return number.to_bytes(4, "little")
