"""Vector files that name other files or hosts, or claim more than they may, are refused."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyogrio
import pytest
import shapely

import bring
import worlds
from bring import geojson, imported, refused, some, zipped
from loopback import was_contacted
from segment1b import contracts
from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.reference.check import Bounds, check, read_places
from segment1b.reference.codes import read_code_list
from segment1b.reference.sources import read_features


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
        assert "an OGR VRT" in refused(tmp_path / name, "E_INPUT_UNREADABLE").message
    assert not was_contacted(server)


def test_a_geojson_that_holds_an_ogr_vrt_is_read_as_geojson(
    tmp_path: Path, server: socket.socket
) -> None:
    url = f"/vsicurl/http://127.0.0.1:{server.getsockname()[1]}/a.geojson"
    path = geojson(tmp_path / "a.geojson")
    path.write_text(path.read_text().replace('"crs":null', f'"note":{json.dumps(ogr_vrt(url))}'))
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
    path.write_text(
        text.replace("{", f'{{"crs" : {crs},', 1) if first else f'{text[:-1]},"crs" : {crs}}}'
    )
    refused(path, "(E007_CRS_MISMATCH|E_INPUT_UNREADABLE)" if "[[" in crs else "E007_CRS_MISMATCH")


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
    options = {"geometry_type": "Polygon", "crs": "EPSG:4326", "driver": driver}
    pyogrio.raw.write(tmp_path / name, shape, [bring.as_objects(["NL"])], ["code"], **options)
    refused(tmp_path / name, "E_INPUT_UNREADABLE")
    for other in ("a.geojson", "a.gpkg"):
        shutil.copy(tmp_path / name, tmp_path / other)
        refused(tmp_path / other, "E_INPUT_UNREADABLE")


def test_fifos_devices_and_urls_are_refused(tmp_path: Path) -> None:
    for name in ("a.gpkg", "a.parquet", "a.zip", "a.shp"):
        os.mkfifo(tmp_path / name)
        refused(tmp_path / name, "E_INPUT_UNREADABLE")
    (tmp_path / "b.gpkg").symlink_to("/dev/zero")
    for path in (tmp_path / "b.gpkg", Path("/vsicurl/http://127.0.0.1:1/a.gpkg")):
        with pytest.raises(Segment1BError, match="E_INPUT_UNREADABLE"):
            read_features(path, "code")
    for reader in (read_places, read_countries, lambda path: read_code_list(path, {})):
        with pytest.raises(Segment1BError, match="not a regular file"):
            reader(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["a.dbf", "a.gpkg-wal", "a.gpkg-journal"])
def test_a_fifo_among_the_files_of_a_dataset_is_refused(tmp_path: Path, name: str) -> None:
    path = some(tmp_path / ("a.shp" if name == "a.dbf" else "a.gpkg"))
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(Segment1BError, match=f"{name} is a named pipe, not a regular file"):
        read_features(path, "code")


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


def execute(path: Path, statements: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(statements)


def test_a_view_of_a_geopackage_is_refused(tmp_path: Path) -> None:
    path = some(tmp_path / "a.gpkg")
    execute(
        path,
        "CREATE VIEW seen AS SELECT * FROM places;"
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) "
        "VALUES ('seen', 'features', 'seen', 4326);"
        "INSERT INTO gpkg_geometry_columns VALUES ('seen', 'geom', 'MULTIPOLYGON', 4326, 0, 0);",
    )
    assert "layer seen is not a plain table" in refused(path, layer="seen").message
    assert imported(path, layer="places").provenance["counts"]["countries"] == 2


@pytest.mark.parametrize(
    "name", ["gpkg_contents", "gpkg_geometry_columns", "GPKG_spatial_ref_sys", "gpkg_extensions"]
)
def test_a_geopackage_whose_own_table_is_a_view_is_refused_before_gdal_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = some(tmp_path / "a.gpkg")
    # Without an end: whoever reads it waits for ever.
    execute(
        path,
        f"DROP TABLE IF EXISTS {name}; CREATE VIEW {name} AS WITH RECURSIVE t(x) AS "  # noqa: S608
        "(SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT x FROM t WHERE x < 0;",
    )
    monkeypatch.setattr(pyogrio, "list_layers", lambda _: pytest.fail("GDAL was asked"))
    with pytest.raises(Segment1BError, match=f"{name} is not a plain table"):
        read_features(path, "code")


def test_one_of_several_datasets_of_an_archive_must_be_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        some(tmp_path / f"{name}.shp")
    both = zipped(tmp_path, "both.zip", "*.[!z]*")
    with zipfile.ZipFile(both, "a") as archive:  # as those of geoBoundaries, or of macOS
        archive.writestr("one.geojson", "{}")
        archive.writestr("meta.json", "{}")
        archive.writestr("__MACOSX/._one.shp", "")
    assert "one, two" in refused(both).message
    assert imported(both, layer="two").provenance["counts"]["countries"] == 2


def test_an_archive_is_refused_that_holds_a_vrt_or_leads_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.vrt").write_text(ogr_vrt(str(some(tmp_path / "b.fgb"))))
    assert "holds no GeoPackage" in refused(zipped(tmp_path, "a.zip", "*.vrt")).message
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../../out.geojson", geojson(tmp_path / "c.geojson").read_text())
    imported(tmp_path / "out.zip")
    assert not list(tmp_path.parent.rglob("out.geojson"))


def test_countries_that_are_an_ogr_vrt_are_refused_at_run_and_check(tmp_path: Path) -> None:
    root = worlds.lay_small_world(tmp_path / "root", degrees=1.0)
    worlds.place(root, "world_countries").write_text(ogr_vrt(str(some(tmp_path / "b.fgb"))))
    outlets = worlds.outlet_list(tmp_path / "outlets.csv", merchants=3)
    for read in (
        lambda: worlds.run(root, outlets=outlets),
        lambda: check(root, contracts.load(), None, Bounds()),
    ):
        with pytest.raises(Segment1BError, match=r"E_INPUT_UNREADABLE.*world_countries"):
            read()
