"""Receipts: what proves a partition, and the content digest that outlives a Parquet library.

The digest is one SHA-256 per column over its values in writer order (little-endian; strings as
LE32 length + bytes), then SHA-256 over the column digests in column order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.contracts import Column, Dataset
from segment1b.contracts.faults import coded
from segment1b.contracts.texts import open_regular, parse_json
from segment1b.errors import unreadable
from segment1b.identity import canonical_json

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Receipt:
    """Proof of one partition: its files, its bytes and its content."""

    partition_path: str
    rows: int
    files: tuple[tuple[str, int, str], ...]  # path, bytes, sha256
    sha256_hex: str
    content_sha256_hex: str

    @property
    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file by path."""
        return {name: size for name, size, _ in self.files}

    def as_json(self) -> dict[str, Any]:
        """Return the receipt in the form that run reports carry."""
        return {
            "partition_path": self.partition_path,
            "rows": self.rows,
            "files": [{"path": p, "bytes": b, "sha256_hex": s} for p, b, s in self.files],
            "sha256_hex": self.sha256_hex,
            "content_sha256_hex": self.content_sha256_hex,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Receipt:
        """Return the receipt that a run report carries."""
        files = tuple((f["path"], f["bytes"], f["sha256_hex"]) for f in value["files"])
        names = ("partition_path", "rows", "sha256_hex", "content_sha256_hex")
        return cls(files=files, **{name: value[name] for name in names})


def hash_files(folder: Path, names: Sequence[str]) -> tuple[tuple[tuple[str, int, str], ...], str]:
    """Return (path, bytes, SHA-256) of regular files, and the SHA-256 over all in name order."""
    whole = hashlib.sha256()
    files = []
    for name in sorted(names):
        own, size = hashlib.sha256(), 0
        with open_regular(folder / name) as handle:
            while block := handle.read(_BLOCK):
                own.update(block)
                whole.update(block)
                size += len(block)
        files.append((name, size, own.hexdigest()))
    return tuple(files), whole.hexdigest()


def unequal(found: Mapping[str, object], listed: Mapping[str, object]) -> list[str]:
    """Return in ASCII order the names that two lists of files do not have in common, or differ."""
    both = found.keys() & listed.keys()
    return sorted({*found, *listed} - {name for name in both if found[name] == listed[name]})


def file_names(folder: Path) -> list[str]:
    """Return the relative paths of whatever lies below a folder but folders, in ASCII order."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


def document_receipt(relative: str, data: bytes, volatile: Sequence[str] = ()) -> Receipt:
    """Return the receipt of a one-file JSON object; its content leaves the volatile fields out."""
    digest = hashlib.sha256(data).hexdigest()
    value = {name: field for name, field in parse_json(data).items() if name not in volatile}
    content = hashlib.sha256(canonical_json(value)).hexdigest()
    folder, _, name = relative.rpartition("/")
    return Receipt(folder, 1, ((name, len(data), digest),), digest, content)


def folder_receipt(folder: Path, _dataset: Dataset, relative: str, _threads: int) -> Receipt:
    """Return the receipt of a folder of plain files; its content is its bytes."""
    files, whole = hash_files(folder, file_names(folder))
    return Receipt(relative, len(files), files, whole, whole)


def take_receipt(folder: Path, dataset: Dataset, relative: str, threads: int) -> Receipt:
    """Read a partition from disk, check it against its contract and return its receipt.

    `threads` columns are read at the same time, which changes nothing in the result.

    Raises:
        Segment1BError: the dataset's own code for wrong columns, values, order or duplicates;
            E_INPUT_UNREADABLE for a damaged file.
    """
    names = sorted(path.name for path in folder.iterdir())
    paths = [folder / name for name in names]
    rows = sum(_checked_rows(path, dataset) for path in paths)
    with ThreadPoolExecutor(threads) as pool:
        order = pool.submit(_check_order, paths, dataset)
        raw = pool.submit(hash_files, folder, names)
        # The key's columns stand first and are cheap: they fill the gaps at the end.
        columns = [
            pool.submit(_column_digest, paths, dataset, column)
            for column in reversed(dataset.columns)
        ]
        digests = [column.result() for column in reversed(columns)]
        order.result()
        files, whole = raw.result()
    content = hashlib.sha256(b"".join(digests)).hexdigest()
    return Receipt(relative, rows, files, whole, content)


def _checked_rows(path: Path, dataset: Dataset) -> int:
    with coded_parquet_errors(path), pq.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    declared, found = dataset.arrow_schema, set(schema.names)
    extras = sorted(found - set(declared.names))
    fault = "extras" if extras else "schema"
    if extras or not schema.remove_metadata().equals(declared):
        shapes = f"[{_shape(schema)}], declared are [{_shape(declared)}]"
        what = f"{path.name} of {dataset.id} has columns {shapes}"
        hint = f"the file was not written by this dataset's state: {dataset.redo}"
        raise dataset.error(fault, what, hint, path=path.name)
    return int(rows)


def _shape(schema: pa.Schema) -> str:
    return ", ".join(
        f"{field.name} {field.type}{' null' if field.nullable else ''}" for field in schema
    )


@contextmanager
def coded_parquet_errors(path: Path) -> Iterator[None]:
    """Turn Arrow's complaints about a damaged file into E_INPUT_UNREADABLE.

    A refusal of the operating system and a lack of memory have their own codes; that a file is
    absent passes through.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        fault = coded(error, path)
        if fault.code in ("E_INPUT_UNREADABLE", "E_INTERNAL"):
            what, hint = f"is not a whole Parquet file: {error}", "restore the file from its source"
            fault = unreadable(path, what, hint)
        raise fault from None


def column_batches(paths: Sequence[Path], columns: list[str]) -> Iterator[pa.Table]:
    """Yield a partition's row groups in writer order, strings as dictionaries."""
    for path in paths:
        with coded_parquet_errors(path), open_words(path, columns) as file:
            for group in range(file.num_row_groups):
                yield read_words(file, [group], columns)


def open_words(path: Path, columns: Sequence[str]) -> pq.ParquetFile:
    """Open a file whose strings come as dictionaries where Arrow can do so (not delta-coded).

    One writer gives all row groups of a file the same encodings, so the first speaks for all.
    """
    meta = pq.read_metadata(path)
    groups = range(min(1, meta.num_row_groups))
    first = [meta.row_group(g).column(c) for g in groups for c in range(meta.num_columns)]
    delta = {
        chunk.path_in_schema
        for chunk in first
        if chunk.physical_type == "BYTE_ARRAY"
        and any(encoding.startswith("DELTA") for encoding in chunk.encodings)
    }
    words = [name for name in columns if name not in delta]
    return pq.ParquetFile(path, metadata=meta, read_dictionary=words, pre_buffer=False)


def read_words(file: pq.ParquetFile, groups: list[int], columns: list[str]) -> pa.Table:
    """Return row groups with their strings as dictionaries."""
    table = checked_text(file.read_row_groups(groups, columns, use_threads=False))
    for at, column in enumerate(table.columns):
        if pa.types.is_string(column.type):
            table = table.set_column(at, table.column_names[at], column.dictionary_encode())
    return table


def checked_text(table: pa.Table) -> pa.Table:
    """Return the table; a damaged string, one that is no UTF-8, raises pa.ArrowInvalid."""
    for column in table.columns:
        for chunk in column.chunks:
            text = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
            if pa.types.is_string(text.type):
                text.validate(full=True)
    return table


def _column_digest(paths: Sequence[Path], dataset: Dataset, column: Column) -> bytes:
    digest = hashlib.sha256()
    for table in column_batches(paths, [column.name]):
        array = table.column(0).combine_chunks()
        check_values(array, dataset, column)
        digest.update(value_bytes(array))
    return digest.digest()


def _encoded(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return an array in one piece, strings as a dictionary."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array.dictionary_encode() if pa.types.is_string(array.type) else array


def value_bytes(array: pa.Array) -> bytes | memoryview:
    """Return an array's values as the content digest sees them."""
    array = _encoded(array)
    if pa.types.is_dictionary(array.type):
        return _string_bytes(array)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    values = array.to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).data


def _string_bytes(array: pa.DictionaryArray) -> bytes | memoryview:
    words = [text.encode() for text in array.dictionary.to_pylist()]
    encoded = [len(word).to_bytes(4, "little") + word for word in words]
    codes: npt.NDArray[Any] = array.indices.to_numpy(zero_copy_only=False)
    if len(encoded) == 1:
        return bytes(encoded[0] * len(codes))
    if len({len(word) for word in encoded}) == 1:
        table = np.frombuffer(b"".join(encoded), np.uint8).reshape(len(encoded), -1)
        return np.ascontiguousarray(table[codes]).data
    return b"".join([encoded[code] for code in codes])


def check_values(array: pa.Array, dataset: Dataset, column: Column) -> None:
    """Refuse nulls, NaN and values outside what the schema allows, by the dataset's code."""
    fault = None
    if array.null_count:
        fault = f"{array.null_count} nulls"
    elif column.regex and pa.types.is_dictionary(array.type):
        bad = [text for text in array.dictionary.to_pylist() if not column.regex.match(text)]
        fault = f"value {bad[0]!r}" if bad else None
    elif len(array) and pa.types.is_floating(array.type) and pc.any(pc.is_nan(array)).as_py():
        fault = "NaN"
    elif len(array) and not pa.types.is_dictionary(array.type):
        fault = _range_fault(array, column)
    if fault:
        what = f"{dataset.id}.{column.name} holds {fault}"
        hint = "the schema in contracts/schemas says what it may hold"
        raise dataset.error("schema", what, hint, column=column.name)


def _range_fault(array: pa.Array, column: Column) -> str | None:
    if column.minimum is None and column.maximum is None and column.exclusive_minimum is None:
        return None
    ends = pc.min_max(array).as_py()
    low, high = ends["min"], ends["max"]
    if column.minimum is not None and low < column.minimum:
        return f"{low}, below {column.minimum}"
    if column.exclusive_minimum is not None and low <= column.exclusive_minimum:
        return f"{low}, not above {column.exclusive_minimum}"
    if column.maximum is not None and high > column.maximum:
        return f"{high}, above {column.maximum}"
    return None


def key_words(array: pa.Array) -> npt.NDArray[Any]:
    """Return a key column as numbers whose order is the key's order.

    Two-letter country codes become 256*A + B (uint16); numbers stay as they are.
    """
    array = _encoded(array)
    if pa.types.is_dictionary(array.type):
        codes = [int.from_bytes(text.encode()[:2], "big") for text in array.dictionary.to_pylist()]
        words = np.array(codes, np.uint16)
        return np.asarray(words[array.indices.to_numpy(zero_copy_only=False)])
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _check_order(paths: Sequence[Path], dataset: Dataset) -> None:
    tail, row = None, 0
    for table in column_batches(paths, dataset.key):
        if not table.num_rows:
            continue
        if tail is not None:
            table = pa.concat_tables([tail, table])
        equal = np.ones(table.num_rows - 1, bool)
        rising = np.zeros(table.num_rows - 1, bool)
        for key in (key_words(table.column(name)) for name in dataset.key):
            rising |= equal & (key[1:] > key[:-1])
            equal &= key[1:] == key[:-1]
        if not rising.all():
            at = int(np.flatnonzero(~rising)[0])
            fault = "duplicate" if equal[at] else "unsorted"
            problem = "there twice" if equal[at] else "out of order"
            place = {name: table.column(name)[at + 1].as_py() for name in dataset.key}
            what = f"{dataset.id}: key {place} is {problem} in row {row + at + 2}"
            raise dataset.error(fault, what, dataset.redo, row=row + at + 2, **place)
        row += table.num_rows - 1
        tail = table.slice(table.num_rows - 1)
