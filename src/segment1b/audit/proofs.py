"""Receipts taken again: files, composite and content digest, by a second short implementation."""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.texts import open_regular

BLOCK = 1 << 20
# Of the content digest, whose rule is docs/spec/receipts.md#content-digest.
DIGEST_VERSION, BLOCK_ROWS = 2, 131_072
# Of a file: a block for each of its countries, and eight full ones.
_MOST_BLOCKS = 4096


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
            "digest_version": DIGEST_VERSION,
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


@dataclass(frozen=True)
class FileValues:
    """What the values of one file give to the content digest of its table.

    Attributes:
        rows, columns: as in FileProof.
        blocks: of each block what the digest is taken over; None when it does not cover the file,
            or when they are more than a table of ours has.
        first, last: what the rows of the first and of the last block are about.
        room: how many rows the last block could still take.
    """

    rows: tuple[int, ...]
    columns: tuple[tuple[str, str, bool], ...]
    blocks: tuple[bytes, ...] | None
    first: object = None
    last: object = None
    room: int = 0


def prove_table(
    folder: Path,
    paths: Sequence[Path],
    declared: Sequence[tuple[str, str, bool]],
    by: str = "",
    values: Sequence[FileValues] = (),
) -> Proof:
    """Return the proof of a Parquet partition, every value read.

    `by` is the column at each change of which the content digest begins a block, if there is one;
    `values` are those of the files where they were read before.

    Raises:
        ValueError: a file cannot be decoded; the text names it.
    """
    proof = prove_bytes(folder, paths)
    if len(values) != len(paths):
        values = [values_of_file(path, declared, by) for path in paths]
    files = [
        replace(file, rows=own.rows, columns=own.columns)
        for file, own in zip(proof.files, values, strict=True)
    ]
    return Proof(tuple(files), proof.composite, _content(paths, declared, by, values))


def values_of_file(path: Path, declared: Sequence[tuple[str, str, bool]], by: str) -> FileValues:
    """Read every value of a file; the arguments and errors are those of `prove_table`."""
    blocks = list[bytes]()

    def keep(block: bytes) -> None:
        if len(blocks) <= _MOST_BLOCKS:
            blocks.append(block)

    tree = Tree(declared, by, keep)
    rows, columns = _read_into(tree, path)
    tree.close()
    kept = tuple(blocks) if tree.whole and len(blocks) <= _MOST_BLOCKS else None
    return FileValues(rows, columns, kept, tree.first, tree.about, tree.room)


def _content(
    paths: Sequence[Path],
    declared: Sequence[tuple[str, str, bool]],
    by: str,
    values: Sequence[FileValues],
) -> str | None:
    """Return the content digest of a table, from the blocks of its files where it can be."""
    lines = "".join(f"{name} {kind}\n" for name, kind, _ in declared)
    digest = hashlib.sha256(f"segment1b content digest {DIGEST_VERSION}\n{lines}".encode())
    if _are_whole_blocks(values, by):
        digest.update(b"".join(block for own in values for block in own.blocks or ()))
        return digest.hexdigest()
    tree = Tree(declared, by, digest.update)
    for path in paths:
        _read_into(tree, path)
    tree.close()
    return digest.hexdigest() if tree.whole else None


def _are_whole_blocks(values: Sequence[FileValues], by: str) -> bool:
    """Return whether all blocks are there and none goes on in another file."""
    held = [own for own in values if own.blocks]
    return all(own.blocks is not None for own in values) and all(
        not one.room or (by and one.last != other.first) for one, other in itertools.pairwise(held)
    )


def _read_into(tree: Tree, path: Path) -> tuple[tuple[int, ...], tuple[tuple[str, str, bool], ...]]:
    """Add one file's values to the tree; return the rows of its groups, and its columns."""
    declared = {name for name, kind, _ in tree.declared if kind == "string"}
    try:
        footer = pq.read_metadata(path)
        schema = footer.schema.to_arrow_schema()
        # Arrow knows no other column as a dictionary, nor one that is not there.
        texts = [f.name for f in schema if f.name in declared and pa.types.is_string(f.type)]
        columns = tuple((f.name, str(f.type), f.nullable) for f in schema)
        tree.whole = tree.whole and columns == tree.declared
        with pq.ParquetFile(
            path, metadata=footer, pre_buffer=False, read_dictionary=texts
        ) as parquet:
            groups = range(parquet.num_row_groups)
            rows = tuple(parquet.metadata.row_group(group).num_rows for group in groups)
            for group in groups:
                table = parquet.read_row_group(group)
                if tree.whole:
                    tree.add(table)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise_machine_fault(error, path)
        raise ValueError(f"{path.name}: {error}") from None
    return rows, columns


class Tree:
    """The blocks of a content digest, of a table whose row groups are added in order, of any size.

    Attributes:
        declared: (name, type, nullable) of each column.
        by: the column at each change of which a block begins, if there is one.
        whole: whether the digest covers every value; nulls, NaN and other columns are not covered.
        first, about: what the rows of the first and of the last block are about.
        room: how many rows the last block that was closed could still have taken.
    """

    def __init__(
        self, declared: Sequence[tuple[str, str, bool]], by: str, emit: Callable[[bytes], object]
    ) -> None:
        self.declared, self.by, self.whole = tuple(declared), by, True
        self._emit = emit
        self.first: object = None
        self.about: object = None
        self.room = 0
        self._held: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        """Add rows behind those that were added before."""
        self.whole = self.whole and not any(map(_has_gaps, table.columns))
        while self.whole and len(table):
            about, same = self._leading(table)
            if about != self.about:
                self.close()
                self.about = about
            if self.first is None:
                self.first = about
            taken = min(same, BLOCK_ROWS - sum(map(len, self._held)))
            self._held.append(table.slice(0, taken))
            if sum(map(len, self._held)) == BLOCK_ROWS:
                self.close()
            table = table.slice(taken)

    def _leading(self, table: pa.Table) -> tuple[object, int]:
        """Return what the first rows of a table are about, and how many of them there are."""
        if not self.by:
            return None, len(table)
        coded = _coded(table.column(self.by).combine_chunks())
        codes = coded.indices.to_numpy()
        other = int(np.argmax(codes != codes[0]))
        return coded[0].as_py(), other or len(codes)

    def close(self) -> None:
        """End the block that is not full yet."""
        if self._held:
            block, self._held = pa.concat_tables(self._held), []
            values = (values_of(block.column(name)) for name, _, _ in self.declared)
            digests = b"".join(hashlib.sha256(one).digest() for one in values)
            self._emit(struct.pack("<I", len(block)) + digests)
            self.room = BLOCK_ROWS - len(block)


def _has_gaps(column: pa.ChunkedArray) -> bool:
    """Return whether a column has nulls or NaN, which no digest covers."""
    has_nan = pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py()
    return bool(column.null_count or has_nan)


def values_of(column: pa.ChunkedArray) -> bytes | memoryview:
    """Return the bytes of a column of a block without nulls.

    Numbers are little-endian. Strings are the distinct ones in the order in which they come, then
    the number of each row's string among them, in no more bytes than these numbers need.
    """
    if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
        return _texts(column)
    values: npt.NDArray[Any] = column.to_numpy()
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).view(np.uint8).data


def _texts(column: pa.ChunkedArray) -> bytes:
    numbers: dict[str, int] = {}
    parts = []
    for chunk in column.chunks:
        coded = _coded(chunk)
        codes, known = coded.indices.to_numpy(), coded.dictionary.to_pylist()
        own = np.zeros(len(known), "<u4")
        for code in _in_order(codes):
            own[code] = numbers.setdefault(known[code], len(numbers))
        parts.append(own[codes])
    texts = [text.encode() for text in numbers]
    head = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    width = next(size for size in (0, 1, 2, 4) if len(texts) <= 256**size)
    rows = b"".join(part.astype(f"<u{width}").tobytes() for part in parts) if width else b""
    return struct.pack("<I", len(texts)) + head + rows


def _coded(words: pa.Array) -> pa.DictionaryArray:
    return words if pa.types.is_dictionary(words.type) else words.dictionary_encode()


def _in_order(codes: npt.NDArray[np.int32]) -> list[int]:
    """Return the distinct codes in the order in which they come first."""
    if len(codes) and codes.min() == codes.max():
        return [int(codes[0])]
    seen, first = np.unique(codes, return_index=True)
    in_order: list[int] = seen[np.argsort(first)].tolist()
    return in_order
