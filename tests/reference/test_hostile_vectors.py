"""Vector files that name other files or hosts, or claim more than they may, are refused."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from shapely.errors import GEOSException

import bring
import worlds
from loopback import was_contacted
from segment1b import contracts
from segment1b.audit.s1 import polygons
from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.reference import vectors
from segment1b.reference.check import Bounds, check, read_places
from segment1b.reference.codes import read_code_list
from segment1b.reference.importing import Imported, import_countries
from segment1b.reference.sources import read_features
from segment1b.storage import geometries
from segment1b.storage.geometries import shapes_of_wkb

SOME = ("NL", "VA")
SQUARE = '{"type":"Polygon","coordinates":[[[4,51],[5,51],[5,52],[4,51]]]}'


def imported(path: Path, layer: str | None = None) -> Imported:
    request = bring.request(path, path.parent / "root")
    return import_countries(request, layer=layer, make_valid=False, drop_unknown=False)


def refused(path: Path, layer: str | None = None) -> Segment1BError:
    with pytest.raises(Segment1BError) as caught:
        imported(path, layer)
    assert str(path) in caught.value.message
    return caught.value


def some(path: Path) -> Path:
    return bring.polygons(path, SOME, [bring.country(code) for code in SOME])


def geojson(path: Path, crs: str = "null", geometry: str = SQUARE) -> Path:
    path.write_text(
        f'{{"type":"FeatureCollection","crs":{crs},"features":[{{"type":"Feature",'
        f'"properties":{{"code":"NL"}},"geometry":{geometry}}}]}}'
    )
    return path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Give a listening socket that proxies are not asked for; a test asks whether anybody came."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


def ogr_vrt(source: str, tail: str = "") -> str:
    return (
        f'<OGRVRTDataSource><OGRVRTLayer name="places"><SrcDataSource>{source}</SrcDataSource>'
        f"</OGRVRTLayer></OGRVRTDataSource>{tail}"
    )


@pytest.mark.parametrize("name", ["a.vrt", "a.gpkg", "a.geojson", "a.shp", "a.fgb"])
def test_an_ogr_vrt_is_refused_by_name_and_makes_no_request(
    tmp_path: Path, server: socket.socket, name: str
) -> None:
    url = f"http://127.0.0.1:{server.getsockname()[1]}/a.geojson"
    for source in (str(some(tmp_path / "other.fgb")), f"/vsicurl/{url}", url):
        (tmp_path / name).write_text(ogr_vrt(source))
        error = refused(tmp_path / name)
        assert error.code == "E_INPUT_UNREADABLE"
        assert "an OGR VRT" in error.message
    assert not was_contacted(server)


def test_a_geojson_that_holds_an_ogr_vrt_is_read_as_geojson(
    tmp_path: Path, server: socket.socket
) -> None:
    url = f"/vsicurl/http://127.0.0.1:{server.getsockname()[1]}/a.geojson"
    path = geojson(tmp_path / "a.geojson")
    text = path.read_text().replace('"crs":null', f'"note":{json.dumps(ogr_vrt(url))}')
    path.write_text(text)
    assert read_features(path, "code").keys == ["NL"]
    assert not was_contacted(server)


@pytest.mark.parametrize("kind", ["link", "url", "name"])
def test_a_crs_that_is_a_url_is_not_fetched(
    tmp_path: Path, server: socket.socket, kind: str
) -> None:
    url = f"http://127.0.0.1:{server.getsockname()[1]}/crs"
    crs = json.dumps({"type": kind, "properties": {"href": url, "url": url, "name": url}})
    path = geojson(tmp_path / "a.geojson", crs)
    if kind == "name":
        with pytest.raises(Segment1BError, match="E007_CRS_MISMATCH"):
            read_features(path, "code")
    else:
        read_features(path, "code")
    assert not was_contacted(server)
    assert os.environ["NO_PROXY"] == "127.0.0.1"


def named(name: str) -> str:
    return json.dumps({"type": "name", "properties": {"name": name}})


@pytest.mark.parametrize(
    "crs",
    [
        named("my local grid"),
        named("urn:ogc:def:crs:EPSG::999999"),
        named("EPSG:28992"),
        named(""),
        '{"type":"name"}',
        '{"type":"EPSG","properties":{"code":28992}}',
        '"my local grid"',
        "[" * 60_000 + "]" * 60_000,
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_geojson_in_a_crs_that_is_not_wgs84_or_not_known_is_refused(
    tmp_path: Path, crs: str, first: bool
) -> None:
    path = geojson(tmp_path / "a.geojson")
    text = path.read_text().replace('"crs":null,', "")
    member = f'"crs" : {crs}'
    start = '{"type":"FeatureCollection",'
    path.write_text(
        text.replace(start, f"{start}{member},") if first else f"{text[:-1]},{member}}}"
    )
    error = refused(path)
    assert error.code in ("E007_CRS_MISMATCH", *(["E_INPUT_UNREADABLE"] if "[[" in crs else []))


@pytest.mark.parametrize(
    "name",
    [
        *("urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:OGC::CRS84", "OGC:CRS84", "CRS84"),
        *("urn:ogc:def:crs:EPSG::4326", "urn:ogc:def:crs:EPSG:6.9:4326", "EPSG:4326"),
        "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
    ],
)
def test_a_geojson_that_names_wgs84_is_read(tmp_path: Path, name: str) -> None:
    assert read_features(geojson(tmp_path / "a.geojson", named(name)), "code").keys == ["NL"]


def test_an_attribute_called_crs_is_no_crs(tmp_path: Path) -> None:
    path = geojson(tmp_path / "a.geojson")
    note = json.dumps('{ "crs": 1')
    member = f'"crs":"EPSG:28992","note":{note},"code"'
    path.write_text(path.read_text().replace('"code"', member))
    assert read_features(path, "code").keys == ["NL"]


def test_gdal_has_its_drivers_again_after_a_file(tmp_path: Path) -> None:
    before = pyogrio.list_drivers()
    read_features(some(tmp_path / "a.gpkg"), "code")
    (tmp_path / "b.gpkg").write_bytes((tmp_path / "a.gpkg").read_bytes()[:5000])
    refused(tmp_path / "b.gpkg")
    assert pyogrio.list_drivers() == before
    assert pyogrio.get_gdal_config_option("GDAL_HTTP_PROXY") is None


@pytest.mark.parametrize(
    ("driver", "name"), [("GML", "a.gml"), ("KML", "a.kml"), ("MapInfo File", "a.tab")]
)
def test_other_formats_are_refused_under_any_name(tmp_path: Path, driver: str, name: str) -> None:
    shape = bring.as_objects([shapely.to_wkb(shapely.box(4, 51, 5, 52))])
    pyogrio.raw.write(
        tmp_path / name,
        shape,
        [bring.as_objects(["NL"])],
        ["code"],
        geometry_type="Polygon",
        crs="EPSG:4326",
        driver=driver,
    )
    for other in (name, "a.geojson", "a.gpkg"):
        if other != name:
            shutil.copy(tmp_path / name, tmp_path / other)
        assert refused(tmp_path / other).code == "E_INPUT_UNREADABLE"


def test_fifos_devices_and_urls_are_refused(tmp_path: Path) -> None:
    for name in ("a.gpkg", "a.parquet", "a.zip", "a.shp"):
        os.mkfifo(tmp_path / name)
        assert refused(tmp_path / name).code == "E_INPUT_UNREADABLE"
    (tmp_path / "b.gpkg").symlink_to("/dev/zero")
    for path in (tmp_path / "b.gpkg", Path("/vsicurl/http://127.0.0.1:1/a.gpkg")):
        with pytest.raises(Segment1BError, match="E_INPUT_UNREADABLE"):
            read_features(path, "code")
    for reader in (read_places, read_countries, lambda path: read_code_list(path, {})):
        with pytest.raises(Segment1BError, match="not a regular file"):
            reader(tmp_path / "a.parquet")


def test_a_fifo_among_the_files_of_a_shapefile_is_refused(tmp_path: Path) -> None:
    some(tmp_path / "a.shp")
    (tmp_path / "a.dbf").unlink()
    os.mkfifo(tmp_path / "a.dbf")
    with pytest.raises(Segment1BError, match="not a regular file"):
        read_features(tmp_path / "a.shp", "code")


def test_a_name_that_gdal_would_take_apart_is_refused(tmp_path: Path) -> None:
    path = some(tmp_path / "plain.gpkg").rename(tmp_path / "a.zip!b.gpkg")
    assert "rename it" in refused(path).hint


def test_a_geopackage_with_changes_beside_it_is_refused(tmp_path: Path) -> None:
    path = some(tmp_path / "a.gpkg")
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("UPDATE gpkg_contents SET description = 'changed'")
        database.commit()
        assert "a.gpkg-wal beside it" in refused(path).message
    assert imported(path).provenance["counts"]["countries"] == 2


@pytest.mark.parametrize("end", ["-wal", "-journal"])
def test_a_fifo_as_journal_of_a_geopackage_is_refused(tmp_path: Path, end: str) -> None:
    path = some(tmp_path / "a.gpkg")
    os.mkfifo(tmp_path / f"a.gpkg{end}")
    with pytest.raises(Segment1BError, match=f"a.gpkg{end} is a named pipe"):
        read_features(path, "code")


def test_a_view_of_a_geopackage_is_refused(tmp_path: Path) -> None:
    path = some(tmp_path / "a.gpkg")
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE VIEW seen AS SELECT * FROM places")
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) "
            "VALUES ('seen', 'features', 'seen', 4326)"
        )
        database.execute(
            "INSERT INTO gpkg_geometry_columns VALUES ('seen', 'geom', 'MULTIPOLYGON', 4326, 0, 0)"
        )
        database.commit()
    assert "layer seen is not a plain table" in refused(path, "seen").message
    assert imported(path, "places").provenance["counts"]["countries"] == 2


@pytest.mark.parametrize(
    "name", ["gpkg_contents", "gpkg_geometry_columns", "GPKG_spatial_ref_sys", "gpkg_extensions"]
)
def test_a_geopackage_whose_own_table_is_a_view_is_refused_before_gdal_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = some(tmp_path / "a.gpkg")
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"DROP TABLE IF EXISTS {name}")
        # Without an end: whoever reads it waits for ever.
        database.execute(
            f"CREATE VIEW {name} AS WITH RECURSIVE t(x) AS "  # noqa: S608
            "(SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT x FROM t WHERE x < 0"
        )
        database.commit()
    monkeypatch.setattr(pyogrio, "list_layers", lambda _: pytest.fail("GDAL was asked"))
    with pytest.raises(Segment1BError, match=f"{name} is not a plain table"):
        read_features(path, "code")


def zipped(folder: Path, name: str, pattern: str) -> Path:
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path in folder.glob(pattern):
            archive.write(path, f"deep/{path.name}")
    return folder / name


def test_one_of_several_datasets_of_an_archive_must_be_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        some(tmp_path / f"{name}.shp")
    both = zipped(tmp_path, "both.zip", "*.[!z]*")
    with zipfile.ZipFile(both, "a") as archive:  # as those of geoBoundaries, or of macOS
        archive.writestr("one.geojson", "{}")
        archive.writestr("meta.json", "{}")
        archive.writestr("__MACOSX/._one.shp", "")
    assert "one, two" in refused(both).message
    assert imported(both, "two").provenance["counts"]["countries"] == 2


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb"])
def test_other_formats_may_come_zipped_too(tmp_path: Path, suffix: str) -> None:
    some(tmp_path / f"a{suffix}")
    assert imported(zipped(tmp_path, "a.zip", f"a{suffix}")).provenance["counts"]["countries"] == 2


def test_an_archive_is_refused_that_holds_a_vrt_or_leads_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.vrt").write_text(ogr_vrt(str(some(tmp_path / "b.fgb"))))
    assert "holds no GeoPackage" in refused(zipped(tmp_path, "a.zip", "*.vrt")).message
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../../out.geojson", geojson(tmp_path / "c.geojson").read_text())
    imported(tmp_path / "out.zip")
    assert not list(tmp_path.parent.rglob("out.geojson"))


@pytest.mark.parametrize("limit", ["MAX_ROWS", "MAX_BYTES"])
@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson", ".fgb", ".parquet"])
def test_more_rows_or_geometry_than_the_limits_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, suffix: str
) -> None:
    path = some(tmp_path / f"a{suffix}")
    monkeypatch.setattr(geometries, limit, 1)
    error = refused(path)
    assert error.code == "E_INPUT_TOO_LARGE"
    assert "the limit is 1" in error.message


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
    for constant in ("_GEOPACKAGE", "_SHAPEFILE", "_GEOJSON", "_FLATGEOBUF"):
        form = getattr(vectors, constant)
        monkeypatch.setattr(vectors, constant, next(f for f in small.values() if f[0] == form[0]))
    assert refused(path).code == "E_INPUT_TOO_LARGE"


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


def read_apart(path: Path, how: str) -> list[str]:
    """Return what a process of its own says of a file: code and memory in MB."""
    command = [sys.executable, "-c", _READ, str(path), how]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    return child.stdout.split()


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
    code, peak = read_apart(shared(tmp_path / "a.parquet", 256, **values), how)
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
    code, peak = read_apart(path, "places")
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
    assert refused(tmp_path / "a.parquet").code == "E_INPUT_UNREADABLE"
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
    assert refused(geojson(tmp_path / "a.geojson", geometry=deep)).code == "E_INPUT_UNREADABLE"


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
    child = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr[-2000:]


def test_countries_that_are_an_ogr_vrt_are_refused_at_run_and_check(tmp_path: Path) -> None:
    root = worlds.lay_small_world(tmp_path / "root", degrees=1.0)
    worlds.place(root, "world_countries").write_text(ogr_vrt(str(some(tmp_path / "b.fgb"))))
    outlets = worlds.outlet_list(tmp_path / "outlets.csv", merchants=3)
    with pytest.raises(Segment1BError, match=r"E_INPUT_UNREADABLE.*world_countries"):
        worlds.run(root, outlets=outlets)
    with pytest.raises(Segment1BError, match=r"E_INPUT_UNREADABLE.*world_countries"):
        check(root, contracts.load(), None, Bounds())
