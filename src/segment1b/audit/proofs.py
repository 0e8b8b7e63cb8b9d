"""Receipts taken again: files, composite and content digest, by a second short implementation."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.texts import open_regular

BLOCK = 1 << 20


@dataclass(frozen=True)
class FileProof:
    """One file of a partition as it is today."""

    name: str
    size: int
    sha256: str
    rows: tuple[int, ...] = ()
    columns: tuple[tuple[str, str, bool], ...] = ()


@dataclass(frozen=True)
class Proof:
    """A partition as it is today; `content` is None when its columns are not the declared ones."""

    files: tuple[FileProof, ...]
    composite: str
    content: str | None

    @property
    def rows(self) -> int:
        """Return the number of rows of all files."""
        return sum(sum(file.rows) for file in self.files)

    def receipt(self, path: str, rows: int, content: str | None = None) -> dict[str, Any]:
        """Return the receipt of the files under a partition path."""
        return {
            "partition_path": path,
            "rows": rows,
            "files": [
                {"path": f.name, "bytes": f.size, "sha256_hex": f.sha256} for f in self.files
            ],
            "sha256_hex": self.composite,
            "content_sha256_hex": content or self.composite,
        }

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.size for file in self.files)


def files_below(path: Path) -> list[Path]:
    """Return a file itself, or all files below a folder in ASCII order of relative path."""
    if path.is_file():
        return [path]
    found = [one for one in path.rglob("*") if one.is_file()]
    return sorted(found, key=lambda one: one.relative_to(path).as_posix().encode())


def prove_bytes(folder: Path, paths: Sequence[Path]) -> Proof:
    """Return the proof of some files' bytes, in the order given, without looking into them."""
    whole, files = hashlib.sha256(), []
    for one in paths:
        own, size = hashlib.sha256(), 0
        with open_regular(one) as handle:
            for block in iter(lambda: handle.read(BLOCK), b""):
                own.update(block)
                whole.update(block)
                size += len(block)
        name = one.relative_to(folder).as_posix()
        files.append(FileProof(name, size, own.hexdigest()))
    return Proof(tuple(files), whole.hexdigest(), None)


def prove_table(
    folder: Path, paths: Sequence[Path], declared: Sequence[tuple[str, str, bool]]
) -> Proof:
    """Return the proof of a Parquet partition, every value read.

    Raises:
        ValueError: a file cannot be decoded; the text names it.
    """
    proof = prove_bytes(folder, paths)
    digests = {name: hashlib.sha256() for name, _, _ in declared}
    files, whole = [], True
    for file in proof.files:
        try:
            looked, complete = _look_into(folder, file, tuple(declared), digests)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise_machine_fault(error, folder / file.name)
            raise ValueError(f"{file.name}: {error}") from None
        files.append(looked)
        whole = whole and complete
    joined = b"".join(digest.digest() for digest in digests.values())
    content = hashlib.sha256(joined).hexdigest() if whole else None
    return Proof(tuple(files), proof.composite, content)


def _look_into(
    folder: Path,
    file: FileProof,
    declared: tuple[tuple[str, str, bool], ...],
    digests: dict[str, Any],
) -> tuple[FileProof, bool]:
    """Feed one file's values to the digests; say whether the digests cover all of them."""
    complete = True
    path, texts = folder / file.name, [name for name, kind, _ in declared if kind == "string"]
    with pq.ParquetFile(path, pre_buffer=False, read_dictionary=texts) as parquet:
        schema = parquet.metadata.schema.to_arrow_schema()
        columns = tuple((f.name, str(f.type), f.nullable) for f in schema)
        groups = range(parquet.num_row_groups)
        rows = tuple(parquet.metadata.row_group(group).num_rows for group in groups)
        for group in groups:
            table = parquet.read_row_group(group)
            for name in digests if columns == declared else ():
                values = little_endian(table.column(name))
                complete = complete and values is not None
                digests[name].update(values or b"")
    return replace(file, rows=rows, columns=columns), complete and columns == declared


def little_endian(array: pa.Array | pa.ChunkedArray) -> bytes | None:
    """Return the bytes of a column's values: numbers little-endian, strings as LE32 length + bytes.

    None when the column holds nulls, which no digest covers.
    """
    if array.null_count:
        return None
    if isinstance(array, pa.ChunkedArray):
        return b"".join(little_endian(chunk) or b"" for chunk in array.chunks)
    if pa.types.is_dictionary(array.type):
        return _words(array)
    if pa.types.is_string(array.type):
        return _words(array.dictionary_encode())
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    values: npt.NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def _words(array: pa.DictionaryArray) -> bytes:
    """Return the bytes of a column that has few words, most often of one length."""
    words: list[bytes] = [word.encode() for word in array.dictionary.to_pylist()]
    coded = [struct.pack("<I", len(word)) + word for word in words]
    if len(coded) == 1:
        return coded[0] * len(array)
    indices = array.indices.to_numpy()
    if len({len(word) for word in words}) == 1:
        return bytes(np.array(coded, f"V{len(coded[0])}")[indices])
    return b"".join(np.array(coded, object)[indices].tolist())
