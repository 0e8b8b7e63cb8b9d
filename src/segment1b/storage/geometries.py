"""Reads polygons stored as WKB, within limits of rows, bytes and nesting."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from shapely.errors import GEOSException

from segment1b.errors import schema_invalid, too_large

#: Rows of one file.
MAX_ROWS: Final = 1_000_000
#: Bytes of all geometries of one file, 16 a vertex.
MAX_BYTES: Final = 2 << 30
#: Collections inside collections. GEOS recurses, and a deep file would end the process.
MAX_DEPTH: Final = 32

#: The types in which Arrow has text, and bytes.
TEXT: Final = (pa.string(), pa.large_string(), pa.string_view())
BYTES: Final = (pa.binary(), pa.large_binary(), pa.binary_view())

# Arrow copies the dictionary so far with each batch: few batches, of many rows.
_BATCH: Final = 1 << 14
_SRID: Final = 0x2000_0000
_Z_AND_M: Final = (0x8000_0000, 0x4000_0000)
_POINT, _LINES, _POLYGONS = 1, (2, 8), (3, 17)


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Return columns of a Parquet file of geometries; no value is copied before it is counted.

    Extension and dictionary types come back as the types that they are made of. Others than
    numbers, text and bytes, and too many rows or bytes, are refused.
    """
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        types = {name: _plain_type(path, schema, name) for name in columns}
        _check_chunks(path, file.metadata, columns)
    # A value that thousands of rows share is in a dictionary once.
    long = [name for name, kind in types.items() if kind in TEXT + BYTES]
    batches, size = [], 0
    with pq.ParquetFile(path, pre_buffer=False, read_dictionary=long) as file:
        for batch in file.iter_batches(_BATCH, columns=list(columns)):
            read = [batch.column(name) for name in columns]
            size += sum(_decoded_bytes(one) for one in read)
            check_size(path, 0, size)
            batches.append([_decoded(*pair) for pair in zip(read, types.values(), strict=True)])
    own = pa.schema(types)
    return pa.Table.from_batches([pa.record_batch(one, own) for one in batches], own)


def _plain_type(path: Path, schema: pa.Schema, name: str) -> pa.DataType:
    """Return the type of a column's values; one whose size no dictionary bounds is refused."""
    at = schema.get_field_index(name)
    kind = schema.field(at).type if at >= 0 else pa.null()
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if at < 0 or pa.types.is_nested(kind) or pa.types.is_fixed_size_binary(kind):
        what = "is not there, or there twice" if at < 0 else f"is {kind}"
        hint = "write keys as text or whole numbers, and geometries as WKB"
        raise schema_invalid(path, f": column {name} {what}", hint)
    return kind


def _check_chunks(path: Path, footer: pq.FileMetaData, columns: Sequence[str]) -> None:
    check_size(path, footer.num_rows, 0)
    size = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        for chunk in (group.column(at) for at in range(group.num_columns)):
            if chunk.path_in_schema not in columns:
                continue
            size += chunk.total_uncompressed_size
            check_size(path, 0, size)
            # Of one, a prefix that all values share is copied into each; Arrow reads neither as
            # a dictionary.
            if {"DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"}.intersection(chunk.encodings):
                what = f": column {chunk.path_in_schema} is in a delta encoding"
                hint = "write it in another encoding, for example by dictionary"
                raise schema_invalid(path, what, hint)


def _decoded_bytes(column: pa.Array) -> int:
    """Return the bytes of a column once each row has its own value."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary).cast(pa.int64())
    return pc.sum(lengths.take(column.indices)).as_py() or 0


def _decoded(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary.take(column.indices)
    return column.cast(kind)


def check_size(path: Path, rows: int, size: int) -> None:
    """Refuse more rows, or more bytes in memory, than the limits allow."""
    for value, limit, what in ((rows, MAX_ROWS, "rows"), (size, MAX_BYTES, "bytes in memory")):
        if value > limit:
            raise too_large(path, f"has {value} {what} or more, the limit is {limit}")


def shapes_of_wkb(blobs: npt.NDArray[np.object_], **options: Any) -> npt.NDArray[np.object_]:
    """Return shapely's geometries of WKB, object[n]; None stays None.

    Raises:
        GEOSException: for bytes that are not WKB, and for collections nested too deeply.
    """
    for blob in blobs:
        if blob is not None:
            _check_nesting(blob)
    # A coordinate that is not a number is refused later on, with its row.
    with np.errstate(invalid="ignore"):
        try:
            return np.asarray(shapely.from_wkb(blobs, **options), object)
        except NotImplementedError as error:  # a curve
            raise GEOSException(str(error)) from None


def _check_nesting(blob: bytes) -> None:
    if not isinstance(blob, bytes):
        raise GEOSException(f"a geometry is {type(blob).__name__}, not bytes")
    at, open_collections = 0, [1]  # how many geometries are still to come in each
    try:
        while open_collections:
            if open_collections[-1] == 0:
                open_collections.pop()
                continue
            open_collections[-1] -= 1
            at, inside = _skip(blob, at)
            open_collections.append(inside)
            if len(open_collections) > MAX_DEPTH + 1:
                raise GEOSException(f"collections are nested more than {MAX_DEPTH} deep")
    except (struct.error, IndexError):
        return  # It ends too early, which GEOS finds at the same place.


def _skip(blob: bytes, at: int) -> tuple[int, int]:
    """Return where the header or the coordinates of a geometry end, and how many are inside."""
    if blob[at] > 1:
        raise GEOSException(f"byte {at} is {blob[at]}, not a byte order")
    order = "<" if blob[at] else ">"
    uint = struct.Struct(f"{order}I")
    (kind,) = uint.unpack_from(blob, at + 1)
    at += 9 if kind & _SRID else 5
    thousands, base = divmod(kind & 0xFFFF, 1000)
    has_z = thousands in (1, 3) or bool(kind & _Z_AND_M[0])
    has_m = thousands in (2, 3) or bool(kind & _Z_AND_M[1])
    vertex = 8 * (2 + has_z + has_m)
    if base == _POINT:
        return at + vertex, 0
    (count,) = uint.unpack_from(blob, at)
    at += 4
    if base in _LINES:
        return at + count * vertex, 0
    if base in _POLYGONS:
        for _ in range(count):
            at += 4 + uint.unpack_from(blob, at)[0] * vertex
        return at, 0
    return at, count
