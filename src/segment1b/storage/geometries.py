"""Reads polygons stored as WKB, within limits of rows, bytes and nesting."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from shapely.errors import GEOSException

from segment1b.errors import Segment1BError

#: Rows of one file.
MAX_ROWS: Final = 1_000_000
#: Bytes of all geometries of one file, 16 a vertex.
MAX_BYTES: Final = 2 << 30
#: Collections inside collections. GEOS recurses, and a deep file would end the process.
MAX_DEPTH: Final = 32

_BATCH: Final = 256
_SRID: Final = 0x2000_0000
_Z_AND_M: Final = (0x8000_0000, 0x4000_0000)
_POINT, _LINES, _POLYGONS = 1, (2, 8), (3, 17)


def read_columns(path: Path, file: pq.ParquetFile, columns: Sequence[str]) -> pa.Table:
    """Return columns of a Parquet file of geometries, read in small batches that are counted.

    Raises:
        Segment1BError: E_INPUT_TOO_LARGE beyond `MAX_ROWS` or `MAX_BYTES`.
    """
    check_size(path, file.metadata.num_rows, 0)
    batches, size = [], 0
    for batch in file.iter_batches(_BATCH, columns=list(columns)):
        size += batch.nbytes
        check_size(path, 0, size)
        batches.append(batch)
    schema = file.schema_arrow
    wanted = [field for field in schema if field.name in columns]
    return pa.Table.from_batches(batches, None if batches else pa.schema(wanted))


def check_size(path: Path, rows: int, size: int) -> None:
    """Refuse more rows, or more bytes of geometries, than the limits allow."""
    for value, limit, what in ((rows, MAX_ROWS, "rows"), (size, MAX_BYTES, "bytes of geometry")):
        if value > limit:
            raise Segment1BError(
                "E_INPUT_TOO_LARGE",
                f"{path} has {value} {what} or more, the limit is {limit}",
                "simplify the shapes, or keep only the rows that are needed",
                path=str(path),
            )


def shapes_of_wkb(blobs: npt.NDArray[np.object_], **options: Any) -> npt.NDArray[np.object_]:
    """Return shapely's geometries of WKB, object[n]; None stays None.

    Args:
        blobs: object[n], bytes or None.
        options: of `shapely.from_wkb`.

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
