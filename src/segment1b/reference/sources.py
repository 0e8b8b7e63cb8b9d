"""Reads polygons from vector files: one key and one geometry a row, in degrees."""

from __future__ import annotations

import math
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from rasterio.crs import CRS
from rasterio.errors import CRSError
from shapely.errors import GEOSException

from segment1b.contracts.faults import coded_read_errors
from segment1b.contracts.locations import nearest
from segment1b.contracts.texts import parse_json
from segment1b.errors import Segment1BError, file_error, schema_invalid
from segment1b.geo.countries import other_crs
from segment1b.geo.grid import is_wgs84
from segment1b.reference.vectors import (
    GEOJSON,
    GEOPACKAGE,
    check_table,
    named_crs,
    parts_of,
    readable,
)
from segment1b.storage.durable import regular_file
from segment1b.storage.geometries import MAX_ROWS, check_size, read_columns, shapes_of_wkb
from segment1b.storage.receipts import hash_files

_PARQUET: Final = (".parquet", ".geoparquet", ".pq")
_ONE_LAYER: Final = "choose one with --layer NAME"


@dataclass(frozen=True, eq=False)
class Features:
    """The rows of one layer."""

    path: Path
    column: str  # the attribute of the keys
    keys: list[str]  # stripped, empty where the row has none
    geometries: npt.NDArray[np.object_]  # degrees, longitude first, as drawn
    notes: list[str]  # warnings of GDAL


def read_features(path: Path, column: str, layer: str | None = None) -> Features:
    """Return key and geometry of every row of a vector file.

    GeoParquet (WKB) is read by pyarrow; GeoPackage, Shapefile, GeoJSON and FlatGeobuf, each of them
    zipped too, by pyogrio. Raises E_INPUT_UNREADABLE; E_INPUT_TOO_LARGE; E_INPUT_SCHEMA_INVALID for
    a missing column, layer or geometry; E007_CRS_MISMATCH with the ogr2ogr line.
    """
    regular_file(path)
    if path.suffix.lower() in _PARQUET:
        return _read_parquet(path, column)
    return _read_vector(path, column, layer)


def source_files(path: Path) -> list[dict[str, Any]]:
    """Return name, bytes and SHA-256 of a source; of a Shapefile, of each of its files."""
    files, _ = hash_files(path.parent, [part.name for part in parts_of(path)])
    return [{"name": n, "bytes": size, "sha256_hex": digest} for n, size, digest in files]


def _read_vector(path: Path, column: str, layer: str | None) -> Features:
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError
    from pyogrio.raw import read

    kinds = (DataSourceError, DataLayerError, FeatureError, GeometryError, GEOSException)
    with (
        coded_read_errors(path, (*kinds, ValueError, NotImplementedError)),
        warnings.catch_warnings(record=True) as caught,
        readable(path, layer) as (file, known),
    ):
        warnings.simplefilter("always")
        named = _layer(path, [str(one) for one in pyogrio.list_layers(file)[:, 0]], layer)
        if known is GEOPACKAGE:
            check_table(path, file, named)
        info = pyogrio.read_info(file, layer=named)
        if info["geometry_type"] is None:
            raise schema_invalid(path, f": layer {named} has no geometry", _ONE_LAYER)
        _check_column(path, column, list(info["fields"]))
        _check_crs(path, named, info["crs"])
        if known is GEOJSON and (other := named_crs(file)):
            raise _mismatch(path, named, other, known=False)
        _, _, geometries, fields = read(
            file, layer=named, columns=[column], force_2d=True, max_features=MAX_ROWS + 1
        )
        check_size(path, len(geometries), sum(len(one) for one in geometries if one))
        shapes = shapes_of_wkb(geometries, on_invalid="raise")
    notes = sorted({str(warning.message) for warning in caught})
    return Features(path, column, _texts(fields[0].tolist()), shapes, notes)


def _layer(path: Path, layers: Sequence[str], wanted: str | None) -> str:
    if wanted is None and len(layers) == 1:
        return layers[0]
    if wanted is not None and wanted in layers:
        return wanted
    what = "has several layers" if wanted is None else f"has no layer {wanted}"
    raise schema_invalid(path, f"{what}: {', '.join(layers)}", _ONE_LAYER)


def _read_parquet(path: Path, column: str) -> Features:
    # The last three: the metadata is JSON of another shape.
    kinds = (pa.ArrowException, OSError, ValueError, AttributeError, KeyError, TypeError)
    with (
        coded_read_errors(path, kinds),
        coded_read_errors(path, (GEOSException,), "has a geometry that is not WKB"),
    ):
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            text = (schema.metadata or {}).get(b"geo")
            geo = parse_json(text) if text is not None else None
            name, described = _geometry_column(path, geo)
            _check_column(path, column, [n for n in schema.names if n != name])
            if other := other_crs(described):
                raise _mismatch(path, "", other, known=True)
        table = read_columns(path, [column, name])
        blobs = np.array([*table.column(name).to_pylist(), None], object)[:-1]
        shapes = shapes_of_wkb(blobs, on_invalid="raise")
    return Features(path, column, _texts(table.column(column).to_pylist()), shapes, [])


def _geometry_column(path: Path, geo: Any) -> tuple[str, dict[str, Any]]:
    if geo is None:
        what = "is Parquet without GeoParquet metadata: neither geometry nor CRS is known"
        hint = "write it with a tool that supports GeoParquet, for example GeoPandas to_parquet()"
        raise schema_invalid(path, what, hint)
    name = str(geo["primary_column"])
    described: dict[str, Any] = geo["columns"][name]
    if described.get("encoding") != "WKB":
        what = f"encodes its geometry as {described.get('encoding')}, not as WKB"
        raise schema_invalid(path, what, "write it with geometry_encoding='WKB'")
    return name, described


def _check_column(path: Path, column: str, columns: list[str]) -> None:
    if column not in columns:
        what = f"has no column {column}; it has {', '.join(columns) or 'none'}"
        hint = f"name the column that holds it, --column KEY=COLUMN; {nearest(column, columns)}"
        raise schema_invalid(path, what, hint)


def _check_crs(path: Path, layer: str, crs: str | None) -> None:
    try:
        found = CRS.from_user_input(crs) if crs else None
    except CRSError:
        found = None
    if not is_wgs84(found):
        raise _mismatch(path, layer, found.to_string() if found else crs or "", known=bool(crs))


def _mismatch(path: Path, layer: str, crs: str, *, known: bool) -> Segment1BError:
    words = ["ogr2ogr", *([] if known else ["-s_srs", "<its CRS>"]), "-t_srs", "EPSG:4326"]
    words += [str(path.with_name(f"{path.stem}_wgs84.gpkg")), str(path), *filter(None, [layer])]
    what = f"is in {crs or 'no CRS'}, not in EPSG:4326 or OGC:CRS84"
    return file_error("E007_CRS_MISMATCH", path, what, f"run: {shlex.join(words)}")


def _texts(values: Sequence[Any]) -> list[str]:
    """Return keys as text, whole numbers stored as floats without their point."""
    texts = []
    for value in values:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        is_missing = value is None or (isinstance(value, float) and math.isnan(value))
        texts.append("" if is_missing else str(value).strip())
    return texts
