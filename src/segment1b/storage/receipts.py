"""Receipts of partitions, and how the files they are taken of are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.contracts import Dataset
from segment1b.contracts.faults import coded
from segment1b.contracts.texts import open_regular, parse_json
from segment1b.errors import unreadable
from segment1b.identity import canonical_json

_BLOCK = 1 << 20
#: Of docs/spec/receipts.md#content-digest; receipts of another version are refused.
DIGEST_VERSION = 2


@dataclass(frozen=True)
class Receipt:
    """Proof of one partition: its files, its bytes and its content.

    `digest_version` is that of the content digest; None in receipts that do not name theirs.
    """

    partition_path: str
    rows: int
    files: tuple[tuple[str, int, str], ...]  # path, bytes, sha256
    sha256_hex: str
    content_sha256_hex: str
    digest_version: int | None = DIGEST_VERSION

    @property
    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file by path."""
        return {name: size for name, size, _ in self.files}

    def same_content(self, other: Receipt) -> bool:
        """Return whether two receipts are of the same content, by digests of the same rule."""
        mine, theirs = ((one.digest_version, one.content_sha256_hex) for one in (self, other))
        return mine == theirs

    def as_json(self) -> dict[str, Any]:
        """Return the receipt in the form that run reports carry."""
        return {
            "partition_path": self.partition_path,
            "rows": self.rows,
            "files": [{"path": p, "bytes": b, "sha256_hex": s} for p, b, s in self.files],
            "sha256_hex": self.sha256_hex,
            "content_sha256_hex": self.content_sha256_hex,
            "digest_version": self.digest_version,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Receipt:
        """Return the receipt that a run report carries."""
        files = tuple((f["path"], f["bytes"], f["sha256_hex"]) for f in value["files"])
        names = ("partition_path", "rows", "sha256_hex", "content_sha256_hex")
        fields = {name: value[name] for name in names}
        return cls(files=files, digest_version=value.get("digest_version"), **fields)


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


def encoded(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return an array in one piece, strings as a dictionary."""
    if isinstance(array, pa.ChunkedArray):
        # Arrow copies the one piece that most columns are.
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    return array.dictionary_encode() if pa.types.is_string(array.type) else array


def key_words(array: pa.Array) -> npt.NDArray[Any]:
    """Return a key column as numbers whose order is the key's order.

    Two-letter country codes become 256*A + B (uint16); numbers stay as they are.
    """
    array = encoded(array)
    if pa.types.is_dictionary(array.type):
        codes = [int.from_bytes(text.encode()[:2], "big") for text in array.dictionary.to_pylist()]
        words = np.array(codes, np.uint16)
        return np.asarray(words[array.indices.to_numpy(zero_copy_only=False)])
    return np.asarray(array.to_numpy(zero_copy_only=False))
