"""Country polygons from GeoParquet: what is accepted in which clothes, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from shapely import MultiPolygon, Point, Polygon, box

from segment1b.errors import Segment1BError
from segment1b.geo.countries import checked_countries, country_codes, read_countries
from segment1b.reference import embedded

ISO = {"AA", "BB", "CC"}
SQUARE = box(0, 0, 1, 1)
BOW_TIE = Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
CRS84 = {"type": "GeographicCRS", "name": "WGS 84", "id": {"authority": "OGC", "code": "CRS84"}}
EPSG4326 = {"type": "GeographicCRS", "name": "WGS 84", "id": {"authority": "EPSG", "code": 4326}}
MERCATOR = {"type": "ProjectedCRS", "name": "Web", "id": {"authority": "EPSG", "code": 3857}}

Row = tuple[str | None, Any]


class Wkb(pa.ExtensionType):
    """The geoarrow.wkb type, as a library that knows it would register it."""

    def __init__(self) -> None:
        super().__init__(pa.large_binary(), "geoarrow.wkb")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"{}"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, data: bytes) -> Wkb:
        return cls()


def described(**column: Any) -> dict[bytes, bytes]:
    """Return GeoParquet metadata that says something of the geom column."""
    columns = {"geom": {"encoding": "WKB", "geometry_types": [], **column}}
    geo = {"version": "1.1.0", "primary_column": "geom", "columns": columns}
    return {b"geo": json.dumps(geo).encode()}


def table(
    rows: list[Row], code_type: pa.DataType | None = None, geom_type: pa.DataType | None = None
) -> pa.Table:
    blobs = [g if g is None or isinstance(g, bytes) else shapely.to_wkb(g) for _, g in rows]
    codes = pa.array([code for code, _ in rows], pa.string()).cast(code_type or pa.string())
    return pa.table({"country_iso": codes, "geom": pa.array(blobs, geom_type or pa.binary())})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "countries.parquet"


def written(path: Path, some: pa.Table, metadata: dict[bytes, bytes] | None = None) -> Path:
    pq.write_table(some.replace_schema_metadata(metadata), path)
    return path


def read(path: Path, rows: list[Row], **more: Any) -> dict[str, MultiPolygon]:
    return read_countries(written(path, table(rows), more.get("metadata", described())), ISO)


def refusal(path: Path, rows: list[Row] | None = None, **more: Any) -> Segment1BError:
    with pytest.raises(Segment1BError) as caught:
        read_countries(path, ISO) if rows is None else read(path, rows, **more)
    assert str(path) in caught.value.message
    return caught.value


def test_countries_come_sorted_by_code_as_multipolygons(path: Path) -> None:
    got = read(path, [("BB", box(5, 5, 6, 6)), ("AA", SQUARE)])
    assert list(got) == ["AA", "BB"]
    assert all(isinstance(shape, MultiPolygon) for shape in got.values())
    assert got["AA"].bounds == (0, 0, 1, 1)


def test_a_country_in_several_rows_is_united(path: Path) -> None:
    rows: list[Row] = [("AA", SQUARE), ("BB", box(7, 7, 8, 8)), ("AA", box(0.5, 0, 2, 1))]
    country = read(path, rows)["AA"]
    assert country.is_valid
    assert shapely.equals(country, box(0, 0, 2, 1))


def test_parts_that_share_an_edge_are_united(path: Path) -> None:
    country = read(path, [("AA", MultiPolygon([SQUARE, box(1, 0, 2, 1)]))])["AA"]
    assert len(country.geoms) == 1


def test_rows_are_cut_at_the_date_line_before_they_are_united(path: Path) -> None:
    across = Polygon([(170, 0), (-170, 0), (-170, 10), (170, 10)])
    country = read(path, [("AA", across), ("AA", box(-175, 5, -165, 10))])["AA"]
    assert country.is_valid
    assert country.bounds == (-180, 0, 180, 10)
    assert country.area == pytest.approx(200 + 25)


def test_a_ring_that_is_valid_only_when_unwrapped_is_accepted(path: Path) -> None:
    shell = [(170, 0), (-170, 0), (-170, 10), (170, 10)]
    hole = [(-178, 4), (-176, 4), (-176, 6), (-178, 6)]
    polygon = Polygon(shell, [hole])
    assert not shapely.intersects_xy(polygon, -179, 9)
    assert read(path, [("AA", polygon)])["AA"].area == pytest.approx(196)


@pytest.mark.parametrize("code_type", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("geom_type", [pa.binary(), pa.large_binary()])
def test_columns_of_other_widths_are_read_the_same(
    path: Path, code_type: pa.DataType, geom_type: pa.DataType
) -> None:
    some = table([("AA", SQUARE)], code_type, geom_type)
    assert read_countries(written(path, some), ISO)["AA"].area == 1.0


@pytest.mark.parametrize("known", [True, False])
def test_geoarrow_columns_are_read_whether_their_type_is_known_or_not(
    path: Path, known: bool
) -> None:
    storage = pa.array([shapely.to_wkb(SQUARE)], pa.large_binary())
    geom = pa.ExtensionArray.from_storage(Wkb(), storage)
    written(path, pa.table({"country_iso": ["AA"], "geom": geom}))
    if known:
        pa.register_extension_type(Wkb())
    try:
        assert read_countries(path, ISO)["AA"].area == 1.0
    finally:
        if known:
            pa.unregister_extension_type("geoarrow.wkb")


def test_heights_are_dropped(path: Path) -> None:
    assert not read(path, [("AA", shapely.force_3d(SQUARE, 5.0))])["AA"].has_z


def test_a_file_without_rows_gives_no_countries(path: Path) -> None:
    assert read(path, []) == {}


@pytest.mark.parametrize(
    "metadata",
    [None, described(), described(crs=CRS84), described(crs=EPSG4326), described(crs="OGC:CRS84")],
)
def test_degrees_on_wgs84_are_accepted(path: Path, metadata: dict[bytes, bytes] | None) -> None:
    assert list(read(path, [("AA", SQUARE)], metadata=metadata)) == ["AA"]


@pytest.mark.parametrize(
    ("crs", "shown"),
    [(MERCATOR, "Web"), (None, "unknown"), ("EPSG:3857", "EPSG:3857"), ({}, "None")],
)
def test_any_other_crs_is_refused(path: Path, crs: Any, shown: str) -> None:
    error = refusal(path, [("AA", SQUARE)], metadata=described(crs=crs))
    assert error.code == "E007_CRS_MISMATCH"
    assert shown in error.message
    assert "ogr2ogr" in error.hint


def test_metres_without_metadata_are_taken_for_another_crs(path: Path) -> None:
    error = refusal(path, [("AA", box(0, 0, 5000, 5000))], metadata=None)
    assert error.code == "E007_CRS_MISMATCH"
    assert "5000" in error.message


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"columns": []}', b'{"columns": {"geom": 1}}'])
def test_metadata_that_describe_nothing_are_unreadable(path: Path, text: bytes) -> None:
    error = refusal(path, [("AA", SQUARE)], metadata={b"geo": text})
    assert error.code == "E_INPUT_UNREADABLE"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-20],
        lambda data: data[:4] + bytes(36) + data[40:],
        lambda _: b'{"type": "FeatureCollection", "features": []}',
    ],
    ids=["truncated", "a damaged page", "no parquet"],
)
def test_a_damaged_file_is_unreadable(path: Path, damage: Callable[[bytes], bytes]) -> None:
    pq.write_table(table([("AA", SQUARE)]), path, compression="none", use_dictionary=False)
    path.write_bytes(damage(path.read_bytes()))
    assert refusal(path).code == "E_INPUT_UNREADABLE"


def test_bytes_that_are_no_wkb_are_named_with_their_country(path: Path) -> None:
    error = refusal(path, [("AA", SQUARE), ("BB", shapely.to_wkb(SQUARE)[:-4])])
    assert error.code == "E_INPUT_UNREADABLE"
    assert "row 2: geom of BB" in error.message
    assert error.scope["country_iso"] == "BB"


@pytest.mark.parametrize(
    ("old", "new"), [("country_iso", "country_code"), ("geom", "geometry"), ("geom", "wkb")]
)
def test_a_missing_column_is_named_with_its_nearest(path: Path, old: str, new: str) -> None:
    some = table([("AA", SQUARE)]).rename_columns({old: new})
    error = refusal(written(path, some))
    assert error.code == "E_INPUT_SCHEMA_INVALID"
    assert f"no column {old}" in error.message
    assert new in error.hint


@pytest.mark.parametrize("name", ["country_iso", "geom"])
def test_a_column_of_another_type_is_refused(path: Path, name: str) -> None:
    some = table([("AA", SQUARE)])
    at = some.schema.get_field_index(name)
    error = refusal(written(path, some.set_column(at, name, pa.array([17]))))
    assert error.code == "E_INPUT_SCHEMA_INVALID"
    assert f"{name} is int64" in error.message


def test_all_codes_outside_the_iso_table_are_listed(path: Path) -> None:
    rows: list[Row] = [("ZZ", SQUARE), ("AA", SQUARE), ("aa", SQUARE), (None, SQUARE)]
    error = refusal(path, rows)
    assert error.code == "E005_ISO_FK"
    assert "None, ZZ, aa" in error.message


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        (BOW_TIE, "Self-intersection[0.5 0.5]"),
        (MultiPolygon([SQUARE, Polygon([(5, 5), (6, 6), (6, 5), (5, 6)])]), "Self-intersection"),
        (Polygon([(175, 0), (-175, 10), (-175, 0), (175, 10)]), "Self-intersection[180 5]"),
        (Polygon(), "is empty"),
        (MultiPolygon(), "is empty"),
        (None, "is empty"),
        (Point(1, 1), "is a Point"),
        (shapely.GeometryCollection([SQUARE]), "is a GeometryCollection"),
        (box(0, 80, 1, 91), "reaches beyond the globe"),
        (box(0, -91, 1, 0), "reaches beyond the globe"),
        (box(0, 0, 361, 1), "reaches beyond the globe"),
        (Polygon([(0, 0), (float("inf"), 0), (1, 1)]), "Invalid Coordinate"),
    ],
)
def test_a_polygon_that_cannot_be_used_is_named_with_row_and_reason(
    path: Path, geometry: Any, reason: str
) -> None:
    error = refusal(path, [("AA", SQUARE), ("BB", geometry)])
    assert error.code == "E001_GEO_INVALID"
    assert "row 2: the polygon of BB" in error.message
    assert reason in error.message
    assert (error.scope["country_iso"], error.scope["row"]) == ("BB", 2)


def test_some_countries_of_a_checked_file_are_those_of_the_whole() -> None:
    """Cut at the date line (FJ, RU), of many islands, and united where pieces overlap alike."""
    path = embedded.surface("world_countries.parquet")
    whole = read_countries(path)
    assert country_codes(path) == whole.keys()
    some = checked_countries(path, ("RU", "FJ", "NL"))
    assert [*some] == ["FJ", "NL", "RU"]
    assert all(shapely.to_wkb(some[code]) == shapely.to_wkb(whole[code]) for code in some)


def test_overlapping_pieces_of_a_checked_file_are_united(path: Path) -> None:
    rows: list[Row] = [("AA", box(0, 0, 2, 2)), ("AA", box(1, 1, 3, 3))]
    written(path, table(rows), described())
    (whole,), (some,) = read_countries(path, ISO).values(), checked_countries(path, ["AA"]).values()
    assert whole.area == 7.0
    assert shapely.to_wkb(whole) == shapely.to_wkb(some)
