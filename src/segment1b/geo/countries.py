"""Country polygons: read, checked, cut at the antimeridian, one shape a country; no repair."""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt
import shapely
from shapely import MultiPolygon, Polygon

from segment1b.contracts.faults import coded_read_errors, raise_machine_fault
from segment1b.contracts.locations import nearest
from segment1b.contracts.texts import parse_json
from segment1b.errors import file_error, schema_invalid, unreadable
from segment1b.geo.antimeridian import cut
from segment1b.storage.durable import regular_file
from segment1b.storage.geometries import read_columns, shapes_of_wkb

_WGS84 = ("EPSG:4326", "OGC:CRS84")
_MAX_LON, _MAX_LAT = 360.0, 90.0


def read_countries(path: Path, iso_codes: set[str] | None = None) -> dict[str, MultiPolygon]:
    """Return the shape of each country of a GeoParquet file, by code in ASCII order.

    Args:
        path: file with columns country_iso and geom (WKB, degrees, longitude first).
        iso_codes: the codes of the ISO table; None where S1 has checked them.

    Raises:
        Segment1BError: E007_CRS_MISMATCH, E005_ISO_FK (all unknown codes), E001_GEO_INVALID
            (country, row and reason), E_INPUT_SCHEMA_INVALID, E_INPUT_UNREADABLE.
    """
    table, geo = _table(path)
    codes = table.column("country_iso").to_pylist()
    known = set(codes) if iso_codes is None else iso_codes
    unknown = sorted({str(code) for code in codes if code not in known})
    if unknown:
        problem = f": {', '.join(unknown)} are not in the ISO table"
        hint = "map them to ISO 3166-1 alpha-2 codes, or add them to the table"
        raise file_error("E005_ISO_FK", path, problem, hint, country_iso=unknown[0])
    geometries = _geometries(path, codes, table.column("geom"))
    if geo is None:
        _check_degrees(path, geometries)
    parts: dict[str, list[Polygon]] = {}
    for row, (code, geometry) in enumerate(zip(codes, geometries, strict=True)):
        parts.setdefault(code, []).extend(_parts(path, code, row, geometry))
    return {code: unite(parts[code]) for code in sorted(parts)}


def country_codes(path: Path) -> set[str]:
    """Return the codes of a file whose shapes S1 has checked."""
    return set(_checked_table(path).column("country_iso").to_pylist())


def checked_countries(path: Path, codes: Collection[str]) -> dict[str, MultiPolygon]:
    """Return the shapes of some countries of a file that S1 has checked, as `read_countries`.

    Threads and workers read the countries that they need, each its own, and valid pieces are not
    tested for validity a second time.
    """
    table = _checked_table(path)
    table = table.filter(pc.is_in(table.column("country_iso"), pa.array([*codes], pa.string())))
    names = table.column("country_iso").to_pylist()
    parts: dict[str, list[Polygon]] = {}
    geometries = _geometries(path, names, table.column("geom"))
    for code, geometry in zip(names, geometries, strict=True):
        parts.setdefault(code, []).extend(_pieces(geometry))
    return {code: unite(parts[code]) for code in sorted(parts)}


def _checked_table(path: Path) -> pa.Table:
    status = path.stat()
    return _cached_table(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1)
def _cached_table(path: Path, _mtime: int, _size: int) -> pa.Table:
    return _table(path)[0]


def _table(path: Path) -> tuple[pa.Table, dict[str, Any] | None]:
    """Return the two columns and the description of geom, None without GeoParquet metadata."""
    # An AttributeError: the metadata is JSON, but not an object of objects.
    kinds = (pa.ArrowException, OSError, ValueError, AttributeError)
    with coded_read_errors(path, kinds, "is not a whole GeoParquet file"):
        schema = pq.read_schema(regular_file(path))
        _check_columns(path, schema)
        text = (schema.metadata or {}).get(b"geo")
        geo = None if text is None else parse_json(text).get("columns", {}).get("geom", {})
        if geo is not None:
            _check_crs(path, geo)
        return read_columns(path, ["country_iso", "geom"]), geo


def _check_columns(path: Path, schema: pa.Schema) -> None:
    for name, fits, expected in (
        ("country_iso", _holds_text, "text"),
        ("geom", _holds_bytes, "WKB bytes"),
    ):
        if name not in schema.names:
            hint = nearest(name, schema.names)
            raise schema_invalid(path, f"has no column {name}", hint)
        kind = schema.field(name).type
        if not fits(kind):
            problem = f": column {name} is {kind}, not {expected}"
            hint = "write country_iso as strings and geom as WKB"
            raise schema_invalid(path, problem, hint)


def _holds_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if pt.is_dictionary(kind) else kind
    return bool(pt.is_string(plain) or pt.is_large_string(plain) or pt.is_string_view(plain))


def _holds_bytes(kind: pa.DataType) -> bool:
    plain = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    return bool(pt.is_binary(plain) or pt.is_large_binary(plain) or pt.is_binary_view(plain))


def other_crs(geo: dict[str, Any]) -> str | None:
    """Return the CRS of a GeoParquet column's metadata, None if it is EPSG:4326 or OGC:CRS84."""
    # GeoParquet: a column without crs is OGC:CRS84; null means unknown.
    crs = geo.get("crs", _WGS84[1])
    name = crs
    if isinstance(crs, dict):
        identifier = crs.get("id", {})
        name = f"{identifier.get('authority')}:{identifier.get('code')}"
    if name in _WGS84:
        return None
    return str((crs.get("name", name) if isinstance(crs, dict) else crs) or "an unknown CRS")


def _check_crs(path: Path, geo: dict[str, Any]) -> None:
    other = other_crs(geo)
    if other:
        problem = f": geom is in {other}, not in EPSG:4326 or OGC:CRS84"
        raise file_error("E007_CRS_MISMATCH", path, problem)


def _check_degrees(path: Path, geometries: npt.NDArray[np.object_]) -> None:
    bounds = shapely.total_bounds(geometries)
    if (np.abs(bounds) > [_MAX_LON, _MAX_LAT, _MAX_LON, _MAX_LAT]).any():
        problem = f"names no CRS, and its bounds {bounds.tolist()} are not degrees"
        raise file_error("E007_CRS_MISMATCH", path, problem)


def _geometries(path: Path, codes: list[str], column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    blobs = np.array([*column.to_pylist(), None], object)[:-1]
    try:
        return shapes_of_wkb(blobs)
    except shapely.errors.GEOSException as error:
        raise_machine_fault(error, path)
        row, reason = _first_bad(blobs)
    problem = f", row {row + 1}: geom of {codes[row]} holds bytes that are no WKB: {reason}"
    hint, code = "write geometries as ISO WKB", codes[row]
    raise unreadable(path, problem, hint, country_iso=code, row=row + 1)


def _first_bad(blobs: npt.NDArray[np.object_]) -> tuple[int, str]:
    for row, blob in enumerate(blobs):
        try:
            shapes_of_wkb(np.array([blob], object))
        except shapely.errors.GEOSException as error:
            return row, str(error)
    raise AssertionError("geometries are read one by one but not together")


def _parts(path: Path, code: str, row: int, geometry: Any) -> list[Polygon]:
    """Return the valid pieces of one row's geometry."""
    try:
        return valid_pieces(geometry)
    except ValueError as error:
        problem = f", row {row + 1}: the polygon of {code} {error}"
        scope = {"country_iso": code, "row": row + 1}
        raise file_error("E001_GEO_INVALID", path, problem, None, **scope) from None


def valid_pieces(geometry: Any) -> list[Polygon]:
    """Return the flat valid polygons of a geometry, cut at the date line, or raise ValueError."""
    problem = _flaw(geometry)
    if problem is not None:
        raise ValueError(problem)
    try:
        pieces = _pieces(geometry)
    except ValueError as error:
        raise ValueError(f"is invalid: {error}") from None
    invalid = np.flatnonzero(~shapely.is_valid(pieces))
    if len(invalid):
        raise ValueError(f"is invalid: {shapely.is_valid_reason(pieces[invalid[0]])}")
    return pieces


def _pieces(geometry: Any) -> list[Polygon]:
    """Return the flat polygons of a geometry, cut at the date line."""
    pieces = shapely.get_parts(cut(shapely.force_2d(geometry)))
    return [piece for piece in pieces if not piece.is_empty]


def _flaw(geometry: Any) -> str | None:
    """Return what keeps a geometry from being cut, if anything does."""
    if geometry is None or geometry.is_empty:
        return "is empty"
    if geometry.geom_type not in ("Polygon", "MultiPolygon"):
        return f"is a {geometry.geom_type}"
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        return f"is invalid: {shapely.is_valid_reason(geometry)}"
    if (np.abs(geometry.bounds) > [_MAX_LON, _MAX_LAT, _MAX_LON, _MAX_LAT]).any():
        return f"reaches beyond the globe: bounds {geometry.bounds}"
    return None


def unite(parts: list[Polygon]) -> MultiPolygon:
    """Return one shape of valid pieces: a collection where that is valid, else their union."""
    together = MultiPolygon(parts)
    if together.is_valid:
        return together
    merged = shapely.union_all(parts)
    return MultiPolygon([p for p in shapely.get_parts(merged) if isinstance(p, Polygon)])
