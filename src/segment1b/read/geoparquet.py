"""Writes GeoParquet 1.1.0: WKB points with a bbox covering, row groups along a Hilbert curve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.read.curve_order import Source, in_curve_order, survey
from segment1b.storage import site_tables as rows
from segment1b.storage.gather import rebatch

#: Rows of a row group, the least that a map window reads.
GROUP_ROWS = 65_536
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_Floats: TypeAlias = npt.NDArray[np.float32]
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


def write_geoparquet(path: Path, source: Source, folder: Path, about: Mapping[str, Any]) -> int:
    """Write the sites of a stream, which is opened twice, as GeoParquet; return how many."""
    surveyed = survey(source)
    metadata = {"geo": json.dumps(_geo(surveyed.bounds)), "segment1b": json.dumps(dict(about))}
    with pq.ParquetWriter(
        path,
        _SCHEMA.with_metadata(metadata),
        compression="zstd",
        use_dictionary=["legal_country_iso"],
        write_page_index=True,
    ) as writer:
        for table in rebatch(in_curve_order(source, surveyed, folder), GROUP_ROWS):
            writer.write_table(_with_boxes(table), row_group_size=GROUP_ROWS)
    return surveyed.rows


def _geo(bounds: tuple[float, float, float, float] | None) -> dict[str, Any]:
    # A column without crs is in OGC:CRS84: longitude, latitude, WGS84.
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": ["Point"],
        "covering": {"bbox": {corner: ["bbox", corner] for corner in _CORNERS}},
    }
    if bounds is not None:
        column["bbox"] = list(bounds)
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def features(table: pa.Table) -> list[Any]:
    """Return merchant_id, legal_country_iso, site_order and geometry of sites as columns."""
    columns = [table.column("legal_country_iso"), table.column("site_order"), rows.points(table)]
    return [rows.merchant_numbers(table), *columns]


def _with_boxes(table: pa.Table) -> pa.Table:
    lon, lat = rows.coordinates(table)
    corners = [pa.array(corner) for corner in (_down(lon), _down(lat), _up(lon), _up(lat))]
    boxes = pa.StructArray.from_arrays(corners, fields=list(_SCHEMA.field("bbox").type))
    return pa.Table.from_arrays([*features(table), boxes], schema=_SCHEMA)


def _down(values: npt.NDArray[np.float64]) -> _Floats:
    """Return the greatest float32 that is not above each value."""
    near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near)


def _up(values: npt.NDArray[np.float64]) -> _Floats:
    """Return the least float32 that is not below each value."""
    near = values.astype(np.float32)
    return np.where(near < values, np.nextafter(near, np.float32(np.inf)), near)
