"""The directories of a list: the texts of its merchants, the keys and columns of its outlets.

The law is docs/spec/outlet-lists.md#directories.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.contracts import Contracts
from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import Segment1BError, file_error
from segment1b.outlets.columns import value_texts
from segment1b.storage.bundles import GATE_RULES, open_bundle
from segment1b.storage.durable import coded_os_errors, read_object
from segment1b.storage.parts import FILE_ROWS, groups, part_name, write_tables
from segment1b.storage.receipts import coded_parquet_errors, file_names, hash_files
from segment1b.storage.root import root_at

MERCHANTS, OUTLETS = "merchant_directory", "outlet_directory"
DOCUMENT = "directories.json"
#: The columns of outlet_directory that locate an outlet; site_order 0 means all of the pair.
KEY = ("merchant_id", "country_iso", "site_order")
_NULL = 0xFFFFFFFF
_ENCODINGS = {"merchant_id": "DELTA_BINARY_PACKED", "site_order": "DELTA_BINARY_PACKED"}


@dataclass(frozen=True, eq=False)
class Directories:
    """What leads from the numbers of a list back to what its owner calls things.

    Attributes:
        merchants: merchant_id (uint64, ascending) and merchant (string), a row a merchant; then
            trade (string), where one is not `everything`.
        outlets: merchant_id, country_iso, site_order (int32), outlet_id if the list has it, then
            the carried columns in name order; in key order. None without keys and columns.
    """

    merchants: pa.Table
    outlets: pa.Table | None

    @property
    def tables(self) -> dict[str, pa.Table]:
        """Return the tables by dataset id."""
        tables = {MERCHANTS: self.merchants, OUTLETS: self.outlets}
        return {name: table for name, table in tables.items() if table is not None}

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """Return the content digest (64 hex digits) of each table."""
        return {name: content_digest(table) for name, table in self.tables.items()}

    @property
    def trades(self) -> pa.Table | None:
        """Return merchant_id and trade of each merchant; None where all are `everything`."""
        if "trade" not in self.merchants.column_names:
            return None
        return self.merchants.select(["merchant_id", "trade"])

    @property
    def carried(self) -> list[str]:
        """Return the names of the carried columns."""
        names = self.outlets.column_names if self.outlets is not None else []
        return [name for name in names if name not in (*KEY, "outlet_id")]

    def texts(self, merchant_ids: Any, column: str = "merchant") -> pa.Array:
        """Return the text or trade of each merchant_id, null for one that the list lacks."""
        held = self.merchants["merchant_id"].to_numpy()
        wanted = np.asarray(merchant_ids, np.uint64)
        at = np.minimum(np.searchsorted(held, wanted), max(len(held) - 1, 0))
        texts = self.merchants[column].combine_chunks()
        missing = held[at] != wanted if len(held) else np.ones(len(wanted), np.bool_)
        return texts.take(pa.array(at, mask=missing))


def content_digest(table: pa.Table) -> str:
    """Return the SHA-256 over the SHA-256 of each column, in the table's order of columns."""
    columns = (_column_digest(name, table[name]) for name in table.column_names)
    return hashlib.sha256(b"".join(columns)).hexdigest()


def _column_digest(name: str, column: pa.ChunkedArray) -> bytes:
    """Return SHA-256 over the name, the length of each text (a null has 2^32 - 1), all texts."""
    title = name.encode()
    digest = hashlib.sha256(len(title).to_bytes(4, "little") + title)
    for texts in _chunks(column):
        sizes = pc.fill_null(pc.binary_length(texts).cast(pa.uint32()), _NULL)
        digest.update(sizes.to_numpy(zero_copy_only=False).astype("<u4"))
    for texts in _chunks(column):
        joined = pc.fill_null(texts, "")
        offsets = np.frombuffer(joined.buffers()[1], np.int32)
        first, last = offsets[joined.offset], offsets[joined.offset + len(joined)]
        if last > first:
            digest.update(memoryview(joined.buffers()[2])[first:last])
    return digest.digest()


def _chunks(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    """Yield the texts of a column piece by piece, never an empty one."""
    for low in range(0, len(column), FILE_ROWS):
        yield value_texts(column.slice(low, FILE_ROWS)).combine_chunks()


def write_directory(folder: Path, table: pa.Table) -> None:
    """Write the part files of a directory."""
    texts = [field.name for field in table.schema if field.type == pa.string()]
    never_null = (*KEY, "merchant", "outlet_id", "trade")
    fields = [field.with_nullable(field.name not in never_null) for field in table.schema]
    table, rows = table.cast(pa.schema(fields)), table.num_rows
    for number, low in enumerate(range(0, max(rows, 1), FILE_ROWS)):
        stretches = groups(low, min(low + FILE_ROWS, rows))
        write_tables(
            folder / part_name(number),
            table.schema,
            (table.slice(start, stop - start) for start, stop in stretches),
            use_dictionary=[name for name in texts if name not in ("merchant", "outlet_id")],
            column_encoding={n: how for n, how in _ENCODINGS.items() if n in table.column_names},
        )


def read_directory(folder: Path) -> pa.Table:
    """Return the table in the part files of a directory."""
    tables = []
    for path in sorted(folder.iterdir()):
        with coded_parquet_errors(path), pq.ParquetFile(path, pre_buffer=False) as file:
            tables.append(file.read(use_threads=False))
    return pa.concat_tables(tables)


def holds(folder: Path, digest: str) -> bool:
    """Return whether a folder is a directory with this content."""
    if not folder.is_dir():
        return False
    try:
        return content_digest(read_directory(folder)) == digest
    except (Segment1BError, OSError, pa.ArrowException) as error:
        raise_machine_fault(error, folder)
        return False


def seal(root: Path, contracts: Contracts, directories: Directories, tokens: Any) -> dict[str, Any]:
    """Return what a bundle says about the published directories."""
    document = {}
    for name, digest in directories.digests.items():
        folder = root / contracts[name].locate(tokens)
        files, _ = hash_files(folder, file_names(folder))
        document[name] = {
            "files": [{"path": p, "size_bytes": size, "sha256_hex": one} for p, size, one in files],
            "content_sha256_hex": digest,
        }
    return document


def directory(
    root: Path, contracts: Contracts, fingerprint: str, elsewhere: Path | None = None
) -> Directories | None:
    """Return the directories of a list in a root, checked against its bundle; None without any.

    The bundle may be `elsewhere`.

    Raises:
        Segment1BError: E_EGRESS_CHECKSUM_MISMATCH when a file differs from what the bundle seals,
            or the code of a bundle that has changed.
    """
    tokens = {"manifest_fingerprint": fingerprint}
    bundle, *folders = (
        root / contracts[name].locate(tokens)
        for name in ("validation_bundle_1A", MERCHANTS, OUTLETS)
    )
    relative = [path.relative_to(root).as_posix() for path in (bundle, *folders)]
    root_at(root).fetch(relative)
    bundle = elsewhere or bundle
    document = bundle / DOCUMENT
    if not document.exists():
        for folder in folders:
            if folder.exists():
                raise _changed(folder, f"is not sealed: {document} is absent")
        return None
    open_bundle(contracts, bundle, GATE_RULES)
    sealed = read_object(document)
    tables = [
        _checked(folder, sealed[name]) if name in sealed else None
        for name, folder in zip((MERCHANTS, OUTLETS), folders, strict=True)
    ]
    if tables[0] is None:
        raise _changed(folders[0], f"is not in {document}")
    return Directories(tables[0], tables[1])


def _checked(folder: Path, sealed: Mapping[str, Any]) -> pa.Table:
    """Return a directory whose files have the sealed bytes."""
    if not folder.is_dir():
        raise _changed(folder, "is absent")
    with coded_os_errors(folder):
        files, _ = hash_files(folder, file_names(folder))
    wanted = {one["path"]: (one["size_bytes"], one["sha256_hex"]) for one in sealed["files"]}
    for name, size, digest in files:
        if wanted.pop(name, None) != (size, digest):
            raise _changed(folder / name, "is not what the bundle of the list seals")
    for name in wanted:
        raise _changed(folder / name, "is absent")
    return read_directory(folder)


def _changed(path: Path, what: str) -> Segment1BError:
    hint = "restore it from where the data came from, or import the list into another data root"
    return file_error("E_EGRESS_CHECKSUM_MISMATCH", path, what, hint)
