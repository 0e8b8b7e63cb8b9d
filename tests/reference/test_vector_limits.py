"""Vector files with more rows, bytes or nesting than the limits, or changed bytes, are refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from shapely.errors import GEOSException

import worlds
from bring import SQUARE, geojson, refused, run_python, some, zipped
from segment1b.audit.s1 import polygons
from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.reference import vectors
from segment1b.reference.check import read_places
from segment1b.storage import geometries
from segment1b.storage.geometries import shapes_of_wkb


@pytest.mark.parametrize("limit", ["MAX_ROWS", "MAX_BYTES"])
@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson", ".fgb", ".parquet"])
def test_more_rows_or_geometry_than_the_limits_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, suffix: str
) -> None:
    path = some(tmp_path / f"a{suffix}")
    monkeypatch.setattr(geometries, limit, 1)
    assert "the limit is 1" in refused(path, "E_INPUT_TOO_LARGE").message


@pytest.mark.parametrize("limit", ["MAX_ROWS", "MAX_BYTES"])
def test_the_limits_hold_for_a_surface_in_a_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    root = worlds.lay_small_world(tmp_path / "root", degrees=1.0)
    monkeypatch.setattr(geometries, limit, 1)
    with pytest.raises(Segment1BError, match="E_INPUT_TOO_LARGE"):
        read_countries(worlds.place(root, "world_countries"))


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.geojson", "a.fgb", "a.zip"])
def test_a_file_of_more_bytes_than_its_format_may_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = some(tmp_path / ("a.geojson" if name == "a.zip" else name))
    if name == "a.zip":
        path = zipped(tmp_path, name, "a.geojson")
    small = {suffix: form._replace(largest=1000) for suffix, form in vectors._BY_SUFFIX.items()}
    monkeypatch.setattr(vectors, "_BY_SUFFIX", small)
    for constant in ("GEOPACKAGE", "_SHAPEFILE", "GEOJSON", "_FLATGEOBUF"):
        form = getattr(vectors, constant)
        monkeypatch.setattr(vectors, constant, small[form.suffixes[0]])
    refused(path, "E_INPUT_TOO_LARGE")


#: Prints the code of the error, and the peak of the process's memory in MB.
_READ = """
import re, sys
from pathlib import Path
from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.reference.check import read_places
from segment1b.reference.sources import read_features
from segment1b.audit.s1 import polygons
path = Path(sys.argv[1])
read = {
    "import": lambda: read_features(path, "code"),
    "run": lambda: read_countries(path),
    "validate": lambda: list(polygons.read_countries(path)),
    "places": lambda: read_places(path),
}[sys.argv[2]]
try:
    read()
except Segment1BError as error:
    print(error.code)
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1000)
"""


def shared(path: Path, rows: int, **values: str | bytes) -> Path:
    """Write a Parquet file in which all rows have the same, long values; it takes a few kB."""
    geo = {"primary_column": "geom", "columns": {"geom": {"encoding": "WKB"}}, "version": "1.0.0"}
    zero = np.zeros(rows, np.int32)
    table = pa.table({n: pa.DictionaryArray.from_arrays(zero, [v]) for n, v in values.items()})
    options = {"compression": "zstd", "store_schema": False, "dictionary_pagesize_limit": 1 << 30}
    with pq.ParquetWriter(path, table.schema, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"geo": json.dumps(geo)})
    assert path.stat().st_size < 20_000
    return path


@pytest.mark.parametrize("how", ["import", "run", "validate"])
@pytest.mark.parametrize("column", ["geom", "code"])
def test_a_long_value_that_all_rows_share_is_refused_before_it_is_copied(
    tmp_path: Path, how: str, column: str
) -> None:
    wkb, zeros = shapely.to_wkb(shapely.box(4, 51, 5, 52)), 20 << 20
    blob, code = (wkb + bytes(zeros), "NL") if column == "geom" else (wkb, "N" * zeros)
    values = {"country_iso": code, "geom": blob, "code": code}
    code, peak = run_python(_READ, shared(tmp_path / "a.parquet", 256, **values), how).split()
    assert code == "E_INPUT_TOO_LARGE"
    assert int(peak) < 700


@pytest.mark.parametrize("rows", [20, 2000])
def test_long_codes_of_places_are_refused_before_they_are_copied(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "a.parquet"
    shared(path, rows, country_iso="N" * (2 << 20))
    table = pq.read_table(path, read_dictionary=["country_iso"])
    for name in ("lon_deg", "lat_deg"):
        table = table.append_column(name, pa.array(np.zeros(rows)))
    limit = {"dictionary_pagesize_limit": 1 << 30}
    pq.write_table(table, path, compression="zstd", **limit)
    code, peak = run_python(_READ, path, "places").split()
    assert code == ("E_INPUT_SCHEMA_INVALID" if rows == 20 else "E_INPUT_TOO_LARGE")
    assert int(peak) < 500


def test_places_of_more_rows_or_bytes_than_the_limits_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("country_iso,lon_deg,lat_deg\nNL,5,52\nNL,5,52\n")
    for limit in ("MAX_ROWS", "MAX_BYTES"):
        with monkeypatch.context() as changed:
            changed.setattr(geometries, limit, 1)
            with pytest.raises(Segment1BError, match="E_INPUT_TOO_LARGE"):
                read_places(path)


@pytest.mark.parametrize(
    "blobs",
    [
        pa.array([[b"x"]], pa.list_(pa.binary())),
        pa.array([bytes(99)], pa.binary(99)),
    ],
)
def test_a_column_that_no_dictionary_bounds_is_refused_unread(
    tmp_path: Path, blobs: pa.Array
) -> None:
    pq.write_table(pa.table({"geom": blobs}), tmp_path / "a.parquet")
    with pytest.raises(Segment1BError, match="E_INPUT_SCHEMA_INVALID"):
        geometries.read_columns(tmp_path / "a.parquet", ["geom"])


def test_a_column_in_a_delta_encoding_is_refused_unread(tmp_path: Path) -> None:
    table, encoding = pa.table({"geom": [b"x"]}), {"geom": "DELTA_BYTE_ARRAY"}
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False, column_encoding=encoding)
    with pytest.raises(Segment1BError, match="delta encoding"):
        geometries.read_columns(tmp_path / "a.parquet", ["geom"])


NESTED = struct.pack("<BII", 1, 7, 1) * 100_000 + struct.pack("<BIdd", 1, 1, 0.0, 0.0)
BIG_ENDIAN = struct.pack(">BII", 0, 6, 1) * 100_000 + struct.pack(">BIdd", 0, 1, 0.0, 0.0)
BEHIND = struct.pack("<BII", 1, 7, 2) + shapely.to_wkb(shapely.box(0, 0, 1, 1)) + NESTED
WITH_SRID = struct.pack("<BIII", 1, 0x2000_0007, 4326, 1) + NESTED


@pytest.mark.parametrize("blob", [NESTED, BIG_ENDIAN, BEHIND, WITH_SRID])
def test_collections_nested_too_deeply_are_refused_and_end_no_process(
    tmp_path: Path, blob: bytes
) -> None:
    with pytest.raises(GEOSException, match="nested"):
        shapes_of_wkb(np.array([None, blob], object))
    geo = {"primary_column": "geom", "columns": {"geom": {"encoding": "WKB"}}, "version": "1.0.0"}
    table = pa.table({"country_iso": ["NL"], "code": ["NL"], "geom": pa.array([blob], "binary")})
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "E_INPUT_UNREADABLE")
    with pytest.raises(Segment1BError, match="nested"):
        read_countries(tmp_path / "a.parquet")
    assert "nested" in next(polygons.read_countries(tmp_path / "a.parquet")).fault


@pytest.mark.parametrize(
    "shape",
    [
        "POLYGON ((0 0, 9 0, 9 9, 0 0), (2 1, 3 1, 3 2, 2 1))",
        "MULTIPOLYGON Z (((0 0 1, 9 0 1, 9 9 1, 0 0 1)), ((20 0 1, 29 0 1, 29 9 1, 20 0 1)))",
        "GEOMETRYCOLLECTION (POINT M (1 2 3), LINESTRING (0 0, 1 1), MULTIPOINT (1 1, 2 2),"
        " GEOMETRYCOLLECTION (POLYGON EMPTY, POINT ZM (1 2 3 4)))",
    ],
)
@pytest.mark.parametrize("flavor", ["iso", "extended"])
@pytest.mark.parametrize("order", [0, 1])
def test_every_geometry_that_is_not_nested_deeply_is_read(
    shape: str, flavor: str, order: int
) -> None:
    there = shapely.from_wkt(shape)
    blob = shapely.to_wkb(there, byte_order=order, flavor=flavor, output_dimension=4)
    assert geometries._skip(blob, 0)[0] <= len(blob)
    read = shapes_of_wkb(np.array([blob], object))[0]
    assert shapely.equals_identical(read, there)


@pytest.mark.parametrize("count", [0xFFFF_FFFF, 0x7FFF_FFFF, 100_000])
@pytest.mark.parametrize("kind", [2, 3, 4, 6, 7])
def test_absurd_counts_are_not_wkb(kind: int, count: int) -> None:
    blob = struct.pack("<BII", 1, kind, count) + b"\0" * 64
    with pytest.raises(GEOSException):
        shapes_of_wkb(np.array([blob], object))


def test_curves_are_not_read() -> None:
    with pytest.raises(GEOSException):
        shapes_of_wkb(np.array([struct.pack("<BII", 1, 10, 0)], object))


def test_geojson_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    deep = '{"type":"GeometryCollection","geometries":[' * 5000 + SQUARE + "]}" * 5000
    refused(geojson(tmp_path / "a.geojson", geometry=deep), "E_INPUT_UNREADABLE")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson", ".fgb", ".parquet"])
def test_a_file_with_changed_bytes_is_read_or_refused_with_a_code(
    tmp_path: Path, suffix: str
) -> None:
    """Run in a child process, since a fault in a library would end this one."""
    path = some(tmp_path / f"a{suffix}")
    program = (
        "import pathlib, sys, numpy as np\n"
        "from segment1b.errors import Segment1BError\n"
        "from segment1b.reference.sources import read_features\n"
        "path = pathlib.Path(sys.argv[1]); data = path.read_bytes()\n"
        "generator = np.random.default_rng(1)\n"
        "for n in range(25):\n"
        "    changed = bytearray(data)\n"
        "    for at in generator.integers(0, min(len(data), 4000), 1 + n % 5):\n"
        "        changed[at] = generator.integers(256)\n"
        "    path.write_bytes(changed)\n"
        "    try:\n"
        "        read_features(path, 'code')\n"
        "    except Segment1BError as error:\n"
        "        assert error.code.startswith(('E_INPUT', 'E007')), error\n"
    )
    run_python(program, path)
