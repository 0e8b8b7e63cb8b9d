"""Writes reference surfaces as Parquet and GeoParquet, the same bytes for the same content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from shapely import MultiPolygon

from segment1b.geo.areas import as_array


def write_shapes(path: Path, key: str, shapes: Mapping[str, MultiPolygon]) -> None:
    """Write shapes as GeoParquet: column `key`, ascending, and `geom` as WKB, longitude first."""
    keys = sorted(shapes)
    array = as_array(shapes[k] for k in keys)
    column = {
        "encoding": "WKB",
        "geometry_types": ["MultiPolygon"],
        "edges": "planar",
        "bbox": [float(v) for v in shapely.total_bounds(array)],
    }
    meta = {"version": "1.1.0", "primary_column": "geom", "columns": {"geom": column}}
    wkb = shapely.to_wkb(array, byte_order=1).tolist()
    table = pa.table({key: pa.array(keys), "geom": pa.array(wkb, pa.binary())})
    write_parquet(path, table.replace_schema_metadata({"geo": json.dumps(meta)}))


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table of a surface, compressed for size."""
    pq.write_table(table, path, compression="zstd", compression_level=19)
