"""Country polygons: read, checked, cut at the antimeridian, one shape a country; no repair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from shapely import MultiPolygon

from segment1b.errors import Segment1BError
from segment1b.geo.antimeridian import cut

_WGS84 = {("EPSG", "4326"), ("OGC", "CRS84")}


def read_countries(path: Path, iso_codes: set[str]) -> dict[str, MultiPolygon]:
    """Return the shape of each country of a GeoParquet file, by code in ASCII order.

    Args:
        path: file with columns country_iso and geom (WKB, longitude first).
        iso_codes: the codes of the ISO table.

    Raises:
        Segment1BError: E007_CRS_MISMATCH, E005_ISO_FK (all unknown codes), E001_GEO_INVALID
            (country, row and reason), E_INPUT_SCHEMA_INVALID, E_INPUT_UNREADABLE.
    """
    table = _table(path)
    codes = table.column("country_iso").to_pylist()
    unknown = sorted({str(code) for code in codes if code not in iso_codes})
    if unknown:
        raise Segment1BError(
            "E005_ISO_FK",
            f"{path}: {', '.join(unknown)} are not in the ISO table",
            "map them to ISO 3166-1 alpha-2 codes, or add them to the table",
            country_iso=unknown[0],
        )
    parts: dict[str, list[Any]] = {}
    for row, (code, geometry) in enumerate(zip(codes, _geometries(table, path), strict=True)):
        parts.setdefault(code, []).extend(_parts(path, code, row, geometry))
    return {code: _union(parts[code]) for code in sorted(parts)}


def _table(path: Path) -> pa.Table:
    try:
        file = pq.ParquetFile(path)
        names, metadata = file.schema_arrow.names, file.schema_arrow.metadata or {}
        for name in ("country_iso", "geom"):
            if name not in names:
                raise Segment1BError(
                    "E_INPUT_SCHEMA_INVALID",
                    f"{path} has no column {name}",
                    f"its columns are {', '.join(names)}",
                    path=str(path),
                )
        _check_crs(path, json.loads(metadata.get(b"geo", b"{}")))
        return file.read(columns=["country_iso", "geom"])
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Segment1BError(
            "E_INPUT_UNREADABLE",
            f"{path} is not a whole GeoParquet file: {error}",
            "restore the file from its source",
            path=str(path),
        ) from None


def _check_crs(path: Path, geo: dict[str, Any]) -> None:
    # GeoParquet: a column without crs is OGC:CRS84; null means unknown.
    column = geo.get("columns", {}).get("geom", {})
    crs = column.get("crs", {"id": {"authority": "OGC", "code": "CRS84"}})
    identifier = (crs or {}).get("id", {})
    if (identifier.get("authority"), str(identifier.get("code"))) not in _WGS84:
        shown = (crs or {}).get("name", "unknown")
        raise Segment1BError(
            "E007_CRS_MISMATCH",
            f"{path}: geom is in '{shown}', not in EPSG:4326 or OGC:CRS84",
            "reproject it, for example with ogr2ogr -t_srs EPSG:4326",
            path=str(path),
        )


def _geometries(table: pa.Table, path: Path) -> Any:
    column = table.column("geom").combine_chunks()
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    try:
        return shapely.from_wkb(np.array(column.to_pylist(), dtype=object))
    except (shapely.errors.GEOSException, TypeError) as error:
        raise Segment1BError(
            "E_INPUT_UNREADABLE",
            f"{path}: geom holds bytes that are no WKB: {error}",
            "write geometries as ISO WKB",
            path=str(path),
        ) from None


def _parts(path: Path, code: str, row: int, geometry: Any) -> list[Any]:
    what = None
    if geometry is None or shapely.is_empty(geometry):
        what = "is empty"
    elif geometry.geom_type not in ("Polygon", "MultiPolygon"):
        what = f"is a {geometry.geom_type}"
    else:
        bounds = shapely.bounds(geometry)
        if not (np.abs(bounds[[1, 3]]) <= 90.0).all() or not (np.abs(bounds) <= 360.0).all():
            what = f"reaches beyond the globe: bounds {bounds.tolist()}"
    if what is None:
        try:
            pieces = list(shapely.get_parts(cut(geometry)))
        except ValueError as error:
            what = f"is invalid: {error}"
        else:
            bad = next((p for p in pieces if not p.is_valid), None)
            if bad is None:
                return pieces
            what = f"is invalid: {shapely.is_valid_reason(bad)}"
    raise Segment1BError(
        "E001_GEO_INVALID",
        f"{path}, row {row + 1}: the polygon of {code} {what}",
        "mend it at its source; nothing is repaired on the way in",
        country_iso=code,
        row=row + 1,
        path=str(path),
    )


def _union(parts: list[Any]) -> MultiPolygon:
    together = MultiPolygon(parts)
    if together.is_valid:
        return together
    merged = shapely.get_parts(shapely.union_all(parts))
    return MultiPolygon([p for p in merged if p.geom_type == "Polygon"])
