"""Country polygons that people bring: every format the same surface, nothing mended unasked."""

import hashlib
import itertools
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon

import bring
from bring import imported, refused, zipped
from segment1b.errors import Segment1BError
from segment1b.geo.areas import area_km2
from segment1b.geo.countries import read_countries
from segment1b.reference import embedded
from segment1b.reference.importing import Imported, Request, import_countries
from segment1b.reference.polygons import draw
from segment1b.reference.sources import Features

SOME = ("FJ", "LS", "MV", "NL", "NZ", "PT", "VA", "ZA")
FORMATS = (".gpkg", ".shp", ".geojson", ".fgb", ".parquet")
BOWTIE = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])


def some(path: Path) -> Path:
    return bring.polygons(path, SOME, [bring.country(code) for code in SOME])


def digest(found: Imported) -> str:
    return hashlib.sha256(found.path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_the_embedded_world_comes_back_from_a_geopackage_byte_for_byte(tmp_path: Path) -> None:
    codes = bring.all_codes()
    shapes = [bring.country(code) for code in codes]
    found = imported(bring.polygons(tmp_path / "world.gpkg", codes, shapes))
    assert found.path.read_bytes() == embedded.surface("world_countries.parquet").read_bytes()
    assert found.audit is not None
    assert found.audit["overlaps"]["count"] == 7
    assert found.audit["overlaps"]["area_km2"] == pytest.approx(0.02, abs=0.005)
    assert found.provenance["iso_without_polygon"] == []


@pytest.mark.parametrize(
    ("suffix", "is_zipped"),
    [*((suffix, False) for suffix in FORMATS), *((suffix, True) for suffix in FORMATS[:-1])],
)
def test_all_formats_give_the_same_surface(tmp_path: Path, suffix: str, is_zipped: bool) -> None:
    shapes = [bring.country(code) for code in SOME]
    source = some(tmp_path / f"some{suffix}")
    if is_zipped:
        source = zipped(tmp_path, "some.zip", "some.[!z]*")
    found = imported(source)
    held = read_countries(found.path)
    assert list(held) == list(SOME)
    assert all(held[c].equals(s) for c, s in zip(SOME, shapes, strict=True))
    plain = bring.polygons(tmp_path / "plain.gpkg", SOME[::-1], shapes[::-1])
    assert digest(found) == digest(imported(plain, "other"))
    if suffix == ".shp" and not is_zipped:
        names = [one["name"] for one in found.provenance["source"]]
        assert names == sorted(f"some.{end}" for end in ("cpg", "dbf", "prj", "shp", "shx"))


@pytest.mark.parametrize(
    ("column", "codes"),
    [
        ("iso_a2", ["NL", "AF", "VA"]),
        ("iso_a3", ["NLD", "AFG", "VAT"]),
        ("iso_n3", ["528", "004", "336"]),
        ("un_m49", [528, 4, 336]),
        ("un_real", [528.0, 4.0, 336.0]),
        ("padded", [" NLD", "4 ", "VA"]),
    ],
)
def test_codes_of_all_three_kinds_are_the_same_countries(
    tmp_path: Path, column: str, codes: list[Any]
) -> None:
    shapes = [bring.country(code) for code in ("NL", "AF", "VA")]
    source = bring.polygons(tmp_path / "some.gpkg", codes, shapes, column)
    found = imported(source, column=column)
    assert list(read_countries(found.path)) == ["AF", "NL", "VA"]
    assert found.provenance["columns"] == {"country_iso": column}


def test_unknown_codes_are_all_listed_or_dropped_when_told(tmp_path: Path) -> None:
    shapes = [bring.country(code) for code in ("NL", "PT", "LS", "VA")]
    source = bring.polygons(tmp_path / "some.gpkg", ["NL", "-99", "-99", "nl"], shapes)
    error = refused(source, "E005_ISO_FK")
    assert "'-99' (2 rows), 'nl' (1 rows)" in error.message
    assert "--drop-unknown" in error.hint
    found = imported(source, drop_unknown=True)
    assert list(read_countries(found.path)) == ["NL"]
    assert found.provenance["counts"]["rows_dropped"] == {"-99": 2, "nl": 1}
    assert found.provenance["counts"]["source_rows"] == 4
    none = bring.polygons(tmp_path / "none.gpkg", ["??"], shapes[:1])
    with pytest.raises(Segment1BError, match=r"^E_INPUT_SCHEMA_INVALID:.*no row is left"):
        imported(none, drop_unknown=True)


def polygons_of(shape: Any) -> MultiPolygon:
    """Return the polygons of a shape, without lines and points."""
    parts = shapely.get_parts(shapely.get_parts([shape]))
    return MultiPolygon([part for part in parts if isinstance(part, Polygon)])


@settings(max_examples=10, deadline=None)
@given(
    cuts=st.lists(st.floats(27.1, 29.4), min_size=1, max_size=4, unique=True),
    level=st.floats(-30.6, -28.6),
)
def test_provinces_dissolve_to_their_country(cuts: list[float], level: float) -> None:
    whole = bring.country("LS")
    west, south, east, north = whole.bounds
    lines = [west, *sorted(cuts), east]
    boxes = [
        shapely.box(left, low, right, high)
        for left, right in itertools.pairwise(lines)
        for low, high in ((south, level), (level, north))
    ]
    met = [polygons_of(shapely.intersection(whole, box)) for box in boxes]
    pieces = bring.as_objects([piece for piece in met if not piece.is_empty])
    features = Features(Path("x"), "x", ["LS"] * len(pieces), pieces, [])
    held = draw(features, make_valid=False)[0]["LS"]
    # A vertex more on a long edge bends it a little on the equal-area plane; where a cut's vertices
    # were rounded, pieces may miss each other by as little.
    areas = area_km2([held, whole])
    assert areas[0] == pytest.approx(areas[1], rel=1e-5)
    assert shapely.area(shapely.symmetric_difference(held, whole)) < 1e-9


def test_rows_of_one_country_are_one_row_of_the_surface(tmp_path: Path) -> None:
    whole = bring.country("PT")
    west, south, east, north = whole.bounds
    halves = [shapely.box(west, south, -8, north), shapely.box(-8, south, east, north)]
    parts = [shapely.intersection(whole, half) for half in halves]
    source = bring.polygons(tmp_path / "halves.gpkg", ["PRT", "PRT"], parts)
    found = imported(source)
    (held,) = read_countries(found.path).values()
    assert area_km2([held])[0] == pytest.approx(area_km2([whole])[0], rel=1e-6)
    assert len(held.geoms) == len(whole.geoms)


def unwrapped(shape: MultiPolygon) -> MultiPolygon:
    """Return a shape cut at the date line in one piece that runs past it, as some sources draw."""
    moved = [
        shapely.transform(part, lambda xy: xy + np.array([360.0, 0.0]))
        if part.bounds[2] < 0
        else part
        for part in shape.geoms
    ]
    return MultiPolygon(list(shapely.get_parts(shapely.union_all(moved))))


@pytest.mark.parametrize(
    ("code", "drawn"),
    [
        ("FJ", "past 180"),
        ("FJ", "jumping"),
        ("NZ", "past 180"),
        ("NZ", "jumping"),
        pytest.param("RU", "jumping", marks=pytest.mark.slow),
    ],
)
def test_a_country_across_the_date_line_is_cut_there(tmp_path: Path, code: str, drawn: str) -> None:
    shape = bring.country(code)
    source_shape = unwrapped(shape)
    if drawn == "jumping":
        # Back into -180 to 180 vertex by vertex: rings jump from one side of the map to the other.
        source_shape = shapely.transform(
            source_shape, lambda xy: np.column_stack([(xy[:, 0] + 180) % 360 - 180, xy[:, 1]])
        )
    source = bring.polygons(tmp_path / "some.gpkg", [code], [source_shape])
    found = imported(source)
    held = read_countries(found.path)[code]
    assert -180 <= held.bounds[0] < held.bounds[2] <= 180
    assert area_km2([held])[0] == pytest.approx(area_km2([shape])[0], rel=1e-9)


def test_invalid_polygons_are_refused_naming_country_row_and_reason(tmp_path: Path) -> None:
    shapes = [bring.country("NL"), BOWTIE, BOWTIE]
    source = bring.polygons(tmp_path / "some.gpkg", ["NL", "GH", "TG"], shapes)
    error = refused(source, "E001_GEO_INVALID")
    assert "row 2, GH: is invalid: Self-intersection[1 1]" in error.message
    assert "row 3, TG" in error.message
    assert "--make-valid" in error.hint


def test_what_is_mended_when_asked_is_recorded_and_moves_no_point(tmp_path: Path) -> None:
    points = [(105.1, 10.3), (107.7, 12.9), (107.7, 10.3), (105.1, 12.9)]
    shapes = [bring.country("NL"), BOWTIE, Polygon(points)]
    source = bring.polygons(tmp_path / "some.gpkg", ["NL", "GH", "VN"], shapes)
    found = imported(source, make_valid=True)
    held = read_countries(found.path)
    assert held["NL"].equals(shapes[0])
    assert held["GH"].area == pytest.approx(2.0)
    kept = shapely.get_coordinates(held["VN"]).tolist()
    assert {tuple(point) for point in kept} >= set(points)
    assert found.provenance["counts"]["rows_mended"] == 2
    repair, _ = json.loads(found.path.with_suffix(".audit.json").read_text())["repairs"]
    assert (repair["row"], repair["key"]) == (2, "GH")
    assert "Self-intersection" in repair["reason"]
    assert "GH, row 2" in found.path.with_suffix(".audit.txt").read_text()


COAST = [(lon, -70) for lon in (90, 170, -170, -90)]
LOOP = [(0, -70), (10, -60), (0, -60), (10, -70)]


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        pytest.param(Polygon([(179, 0), (-179, 2), (-179, 0), (179, 2)]), 2.0, id="date line"),
        pytest.param(
            MultiPolygon([Polygon([*COAST, (0, -70)]), BOWTIE]),
            360 * 20 + 2.0,
            id="pole and island",
        ),
        pytest.param(Polygon([*LOOP, *COAST]), 360 * 20 + 50.0, id="coast that crosses itself"),
    ],
)
def test_an_invalid_polygon_is_mended_where_it_is(
    tmp_path: Path, shape: Polygon, area: float
) -> None:
    source = bring.polygons(tmp_path / "some.gpkg", ["AQ"], [shape])
    found = imported(source, make_valid=True)
    assert read_countries(found.path)["AQ"].area == pytest.approx(area)


@pytest.mark.parametrize(
    "shape",
    [
        Polygon(),
        Polygon([(0, 0), (1, float("inf")), (1, 0)]),
        Polygon([(0, 0), (1, 95), (1, 0)]),
    ],
)
def test_what_is_no_polygon_on_the_globe_cannot_be_mended(tmp_path: Path, shape: Polygon) -> None:
    source = bring.polygons(tmp_path / "some.gpkg", ["NL", "GH"], [bring.country("NL"), shape])
    error = refused(source, "E001_GEO_INVALID", make_valid=True)
    assert "row 2, GH" in error.message


def test_the_audit_finds_overlaps_gaps_and_slivers(tmp_path: Path) -> None:
    """Two unit squares with 0.1 in common; a third closes a ring around a gap; a strip."""
    strip = shapely.box(5, 0, 5.0005, 1)
    shapes = [
        shapely.box(0, 0, 1.1, 1),
        shapely.box(1, 0, 2, 1),
        MultiPolygon([shapely.box(0, 1, 2, 2) - shapely.box(0.5, 1, 0.7, 1.2), strip]),
    ]
    source = bring.polygons(tmp_path / "some.gpkg", ["GH", "TG", "BJ"], shapes)
    audit = imported(source).audit
    assert audit is not None
    degree = area_km2([shapely.box(0, 0, 1, 1)])[0]
    (overlap,), (gap,), (sliver,) = (audit[n]["listed"] for n in ("overlaps", "gaps", "slivers"))
    assert (overlap["countries"], gap["countries"]) == (["GH", "TG"], ["BJ", "GH"])
    assert overlap["area_km2"] == pytest.approx(0.1 * degree, rel=1e-3)
    assert gap["area_km2"] == pytest.approx(0.04 * degree, rel=1e-3)
    assert 1 < overlap["lon_deg"] < 1.1
    assert not overlap["thin"]
    assert (sliver["countries"], sliver["thin"]) == (["BJ"], True)


@pytest.mark.parametrize(
    ("suffix", "unknown"),
    [(".gpkg", []), (".shp", []), (".parquet", []), (".shp", ["-s_srs", "<its CRS>"])],
)
def test_polygons_in_another_crs_are_refused_with_the_ogr2ogr_line(
    tmp_path: Path, suffix: str, unknown: list[str]
) -> None:
    path = tmp_path / f"my countries{suffix}"
    source = bring.polygons(path, ["NL"], [shapely.box(5e5, 6e6, 6e5, 7e6)], crs="EPSG:3857")
    if unknown:
        source.with_suffix(".prj").unlink()
    error = refused(source, "E007_CRS_MISMATCH")
    words = shlex.split(error.hint.removeprefix("run: "))
    target = str(tmp_path / "my countries_wgs84.gpkg")
    wanted = ["ogr2ogr", *unknown, "-t_srs", "EPSG:4326", target, str(path)]
    assert words[: len(wanted)] == wanted


def test_one_of_several_layers_must_be_named(tmp_path: Path) -> None:
    path = bring.polygons(tmp_path / "some.gpkg", ["VA"], [bring.country("VA")], layer="adm0")
    other = bring.polygons(tmp_path / "other.gpkg", ["PT"], [bring.country("PT")], layer="adm1")
    options = {"crs": "EPSG:4326", "geometry_name": "geom", "geometry_type": "MultiPolygon"}
    pyogrio.write_arrow(pyogrio.read_arrow(other)[1], path, layer="adm1", append=True, **options)
    assert "adm0, adm1" in refused(path, "E_INPUT_SCHEMA_INVALID").message
    assert "no layer adm9" in refused(path, layer="adm9").message
    assert list(read_countries(imported(path, layer="adm1").path)) == ["PT"]


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_a_missing_column_is_refused_naming_those_there_are(tmp_path: Path, suffix: str) -> None:
    source = bring.polygons(tmp_path / f"s{suffix}", ["VA"], [bring.country("VA")], "ISO_A2")
    error = refused(source, "E_INPUT_SCHEMA_INVALID", column="country_iso")
    assert "no column country_iso; it has ISO_A2" in error.message
    assert "--column" in error.hint


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.97])
def test_a_truncated_file_is_unreadable(tmp_path: Path, suffix: str, kept: float) -> None:
    source = some(tmp_path / f"some{suffix}")
    data = source.read_bytes()
    source.write_bytes(data[: int(kept * len(data))])
    refused(source, "E_INPUT_UNREADABLE")


def test_damaged_archives_and_absent_files_are_unreadable(tmp_path: Path) -> None:
    source = some(tmp_path / "some.shp")
    source.write_bytes(source.read_bytes()[:-1000])
    short = zipped(tmp_path, "short.zip", "some.[!z]*")
    (tmp_path / "cut.zip").write_bytes(short.read_bytes()[:-500])
    (tmp_path / "text.geojson").write_text("not JSON at all")
    for name in ("short.zip", "cut.zip", "text.geojson", "absent.gpkg", "absent.parquet"):
        refused(tmp_path / name, "E_INPUT_UNREADABLE")


def test_plain_parquet_is_refused(tmp_path: Path) -> None:
    plain = shutil.copy(embedded.surface("iso3166.parquet"), tmp_path / "plain.parquet")
    error = refused(Path(plain), "E_INPUT_SCHEMA_INVALID")
    assert "without GeoParquet metadata" in error.message


def own(folder: Path, keys: tuple[str, ...] = ("QB", "AA", "AA"), **options: Any) -> Imported:
    squares = [shapely.box(4 + at, 51, 5 + at, 52) for at in range(len(keys))]
    file = bring.polygons(folder / "own.gpkg", keys, squares)
    columns = {"country_iso": "code"}
    request = Request(file, **bring.TERMS, data_root=folder / "root", columns=columns)
    return import_countries(request, codes="own", **options)


def test_codes_of_ones_own_become_the_list_of_codes(tmp_path: Path) -> None:
    found = own(tmp_path)
    assert list(read_countries(found.path, {"AA", "QB"})) == ["AA", "QB"]
    assert found.provenance["options"]["codes"] == "own"
    assert found.provenance["iso_without_polygon"] == []
    (table,) = (tmp_path / "root").rglob("iso3166.parquet")
    assert pq.read_table(table).to_pylist() == [{"country_iso": "AA"}, {"country_iso": "QB"}]
    again = own(tmp_path)
    assert again.no_op


@pytest.mark.code("E_INPUT_SCHEMA_INVALID")
@pytest.mark.parametrize("code", ["AAA", "aa", "A1", ""])
def test_a_code_of_ones_own_is_two_upper_case_letters(tmp_path: Path, code: str) -> None:
    with pytest.raises(Segment1BError, match=rf"row 2: column code holds '{code}'"):
        own(tmp_path, ("AA", code))
    assert not list((tmp_path / "root").rglob("*.parquet"))


@pytest.mark.code("E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL")
def test_codes_of_ones_own_do_not_replace_surfaces(tmp_path: Path) -> None:
    """Neither a list of codes, nor polygons; nothing is left half imported."""
    own(tmp_path)
    for published in ("world_countries.parquet", "iso3166.parquet"):
        with pytest.raises(Segment1BError, match="is another") as caught:
            own(tmp_path, ("QB", "AC"))
        assert caught.value.code == "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"
        next((tmp_path / "root").rglob(published)).unlink()
    assert not list((tmp_path / "root").rglob("*.parquet"))
