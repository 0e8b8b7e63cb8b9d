"""Writes GeoParquet 1.1.0: WKB points with a bbox covering, row groups along a Hilbert curve."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection as Database

from segment1b.storage import site_tables as rows
from segment1b.storage.arrays import rebatch
from segment1b.storage.sql import open_database, text_literal

#: Rows of a row group, the least that a map window reads.
GROUP_ROWS = 65_536
_ORDER = 16
_MEMORY = "512MB"
_ONE = np.uint32(1)
_SITES = pa.schema(
    [
        ("merchant_id", pa.uint64()),
        ("legal_country_iso", pa.string()),
        ("site_order", pa.int64()),
        ("lon_deg", pa.float64()),
        ("lat_deg", pa.float64()),
    ]
)
_BOUNDS = "SELECT count(*), min(lon_deg), min(lat_deg), max(lon_deg), max(lat_deg) FROM site"
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_Floats: TypeAlias = npt.NDArray[np.float32]
_Degrees: TypeAlias = npt.NDArray[np.float64]
_SCHEMA = pa.schema(
    [
        pa.field("merchant_id", pa.int64(), nullable=False),
        pa.field("legal_country_iso", pa.string(), nullable=False),
        pa.field("site_order", pa.int64(), nullable=False),
        pa.field("geometry", pa.binary(), nullable=False),
        pa.field(
            "bbox",
            pa.struct([pa.field(corner, pa.float32(), nullable=False) for corner in _CORNERS]),
            nullable=False,
        ),
    ]
)


def write_geoparquet(
    path: Path,
    tables: Iterable[pa.Table],
    folder: Path,
    about: Mapping[str, Any],
    extra: pa.Schema | None = None,
) -> int:
    """Write sites, with the columns of `extra`, as GeoParquet; return how many.

    What is sorted may spill to the folder.
    """
    added = list(extra or ())
    schema = pa.schema([*list(_SCHEMA)[:3], *added, *list(_SCHEMA)[3:]])
    with open_database() as database:
        database.execute(f"SET temp_directory = {text_literal(str(folder))}")
        database.execute(f"SET memory_limit = '{_MEMORY}'")
        own = pa.schema([*_SITES, *added, ("hilbert", pa.uint32())])
        database.from_arrow(own.empty_table()).create("site")
        for table in tables:
            at = pa.array(positions(*rows.coordinates(table)))
            database.from_arrow(table.append_column("hilbert", at).cast(own)).insert_into("site")
        count, *bounds = database.sql(_BOUNDS).fetchall()[0]
        metadata = {"geo": json.dumps(_geo(bounds)), "segment1b": json.dumps(dict(about))}
        with pq.ParquetWriter(
            path,
            schema.with_metadata(metadata),
            compression="zstd",
            use_dictionary=["legal_country_iso"],
            write_page_index=True,
        ) as writer:
            for table in rebatch(in_curve_order(database), GROUP_ROWS):
                writer.write_table(_with_boxes(table, schema), row_group_size=GROUP_ROWS)
    return int(count)


def in_curve_order(database: Database) -> Iterator[pa.Table]:
    """Yield all sites along the curve, those of one cell in key order."""
    # Rows are numbered in the order in which they were inserted.
    query = "SELECT * EXCLUDE hilbert FROM site ORDER BY hilbert, rowid"
    for batch in database.sql(query).to_arrow_reader(GROUP_ROWS):
        yield pa.Table.from_batches([batch])


def positions(lon: _Degrees, lat: _Degrees) -> npt.NDArray[np.uint32]:
    """Return the positions of points (degrees) on the Hilbert curve of 2^16 cells a side."""
    side = 1 << _ORDER
    x = np.minimum((lon + 180.0) * (side / 360.0), side - 1).astype(np.uint32)
    y = np.minimum((lat + 90.0) * (side / 180.0), side - 1).astype(np.uint32)
    index = np.zeros(x.shape, np.uint32)
    for bit in range(_ORDER - 1, -1, -1):
        right, up = (x >> np.uint32(bit)) & _ONE, (y >> np.uint32(bit)) & _ONE
        index = (index << np.uint32(2)) | ((right * np.uint32(3)) ^ up)
        # In the lower half the curve lies turned: swapped, and on the right flipped too.
        lower = up == 0
        flip = np.where(lower & (right == 1), np.uint32(side - 1), np.uint32(0))
        x, y = x ^ flip, y ^ flip
        x, y = np.where(lower, y, x), np.where(lower, x, y)
    return index


def _geo(bounds: Sequence[float | None]) -> dict[str, Any]:
    # A column without crs is in OGC:CRS84: longitude, latitude, WGS84.
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Point"],
        "covering": {"bbox": {corner: ["bbox", corner] for corner in _CORNERS}},
    }
    if None not in bounds:
        column["bbox"] = list(bounds)
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def features(table: pa.Table) -> list[Any]:
    """Return merchant_id, legal_country_iso, site_order and geometry of sites as columns."""
    columns = [table.column("legal_country_iso"), table.column("site_order"), rows.points(table)]
    return [rows.merchant_numbers(table), *columns]


def _with_boxes(table: pa.Table, schema: pa.Schema) -> pa.Table:
    lon, lat = rows.coordinates(table)
    corners = [pa.array(corner) for corner in (_down(lon), _down(lat), _up(lon), _up(lat))]
    boxes = pa.StructArray.from_arrays(corners, fields=list(_SCHEMA.field("bbox").type))
    *key, geometry = features(table)
    own = [table.column(field.name).cast(field.type) for field in list(schema)[3:-2]]
    return pa.Table.from_arrays([*key, *own, geometry, boxes], schema=schema)


def _down(values: _Degrees) -> _Floats:
    """Return the greatest float32 that is not above each value."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)


def _up(values: _Degrees) -> _Floats:
    """Return the least float32 that is not below each value."""
    near = values.astype(np.float32)
    return np.where(near < values, np.nextafter(near, np.float32(np.inf)), near)
