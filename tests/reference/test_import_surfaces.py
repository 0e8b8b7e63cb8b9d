"""Zones, codes, and what all imports share: provenance, publishing once, faults, a whole run."""

import errno
import hashlib
import json
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from rasterio.transform import Affine
from typer.testing import CliRunner

import bring
import worlds
from bring import imported
from segment1b import __version__, contracts
from segment1b.cli.app import app
from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.pipeline.prepare import fill_reference
from segment1b.reference import embedded
from segment1b.reference.check import _provenance
from segment1b.reference.importing import (
    Request,
    import_codes,
    import_countries,
    import_population,
    import_zones,
)
from segment1b.reference.installing import PROVENANCE_KEYS
from shapes import tree

KNOWN = contracts.load()
SOME = ("FJ", "LS", "NL", "VA")
#: Namibia's code is what some take for "not available".
CSV = "code,iso3,num\nNL,NLD,528\nAF,AFG,4\nXK,,\nNA,NAM,516\n"
IMMUTABLE = "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"


def some(folder: Path, codes: tuple[str, ...] = SOME, name: str = "some.gpkg") -> Path:
    return bring.polygons(folder / name, codes, [bring.country(code) for code in codes])


def data(root: Path) -> dict[str, Any]:
    """Return the files of a root, without the staging area and the locks."""
    return {name: own for name, own in tree(root).items() if not name.startswith(".")}


def contents(root: Path) -> dict[str, bytes]:
    """Return the bytes of a root's files, without the staging area and the locks."""
    return {name: (root / name).read_bytes() for name in data(root)}


def code_list(folder: Path, text: str = CSV) -> Request:
    path = folder / "codes.csv"
    path.write_text(text, "utf-8")
    columns = {"country_iso": "code", "alpha3": "iso3", "numeric": "num"}
    return Request(path, "CC0-1.0", "ISO", folder / "root", None, columns)


def test_an_iso_list_becomes_the_table_that_codes_are_read_by(tmp_path: Path) -> None:
    found = import_codes(code_list(tmp_path))
    assert pq.read_table(found.path).to_pylist() == [
        {"country_iso": "AF", "alpha3": "AFG", "numeric": "004"},
        {"country_iso": "NA", "alpha3": "NAM", "numeric": "516"},
        {"country_iso": "NL", "alpha3": "NLD", "numeric": "528"},
        {"country_iso": "XK", "alpha3": "", "numeric": ""},
    ]
    shapes = [bring.country("AF"), bring.country("NL")]
    known = bring.polygons(tmp_path / "k.gpkg", ["AFG", "528"], shapes)
    assert list(read_countries(imported(known).path)) == ["AF", "NL"]
    other = bring.polygons(tmp_path / "o.gpkg", ["PT"], [bring.country("PT")])
    with pytest.raises(Segment1BError, match=r"E005_ISO_FK.*'PT'"):
        imported(other)


HEADER = "code,iso3,num\n"


@pytest.mark.parametrize(
    ("text", "code", "what"),
    [
        (HEADER + "NL,NLD,528\nnl,AFG,4\n", "E_INPUT_SCHEMA_INVALID", "line 3: 'nl'"),
        (HEADER + "NL,NLD,528\nAF,NLD,4\n", "E_INPUT_SCHEMA_INVALID", "duplicate of line 2"),
        (HEADER + "NL,NLD,5280\n", "E_INPUT_SCHEMA_INVALID", "'5280' is not a valid numeric"),
        (HEADER + ",NLD,528\n", "E_INPUT_SCHEMA_INVALID", "'' is not a valid country_iso"),
        ("code,iso3\nNL,NLD\n", "E_INPUT_SCHEMA_INVALID", "no column num; it has code, iso3"),
        (HEADER, "E_INPUT_SCHEMA_INVALID", "lists no country"),
        (HEADER + "NL,NLD\n", "E_INPUT_UNREADABLE", "not a CSV file"),
        ("", "E_INPUT_UNREADABLE", "not a CSV file"),
    ],
)
def test_a_bad_iso_list_is_refused_by_line(tmp_path: Path, text: str, code: str, what: str) -> None:
    with pytest.raises(Segment1BError, match=f"^{code}.*{what}"):
        import_codes(code_list(tmp_path, text))
    assert not (tmp_path / "root" / "reference").exists()


def test_zones_come_back_byte_for_byte_of_the_same_shapes(tmp_path: Path) -> None:
    table = pq.read_table(embedded.surface("tz_world.parquet"))
    names = ["Africa/Maseru", "Europe/Vatican", "Pacific/Fiji"]
    held = dict(zip(table["tzid"].to_pylist(), table["geom"].to_pylist(), strict=True))
    shapes = [shapely.from_wkb(held[name]) for name in names]
    source = bring.polygons(tmp_path / "tz.geojson", names, shapes, "TZID")
    request = bring.request(source, tmp_path / "root", tzid="TZID")
    found = import_zones(request)
    written = pq.read_table(found.path)
    assert written["tzid"].to_pylist() == names
    assert written["geom"].to_pylist() == [held[name] for name in names]
    wrong = bring.polygons(tmp_path / "w.gpkg", ["+02:00"], shapes[:1], "TZID")
    with pytest.raises(Segment1BError, match=r"row 1.*not the name of a zone"):
        import_zones(bring.request(wrong, tmp_path / "r", tzid="TZID"), make_valid=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda said: said.update(licens="x"), "unknown key 'licens'"),
        (lambda said: said.pop("licence"), "names no licence"),
        (lambda said: said.clear(), "names no licence"),
    ],
)
def test_provenance_that_is_not_understood_is_refused(
    tmp_path: Path, change: Callable[[Any], Any], says: str
) -> None:
    path = imported(some(tmp_path), tmp_path / "root").path
    about = path.with_name("world_countries.provenance.json")
    said = json.loads(about.read_text())
    assert set(said) <= set(PROVENANCE_KEYS)
    assert _provenance(about) == said
    change(said)
    about.write_text(json.dumps(said))
    with pytest.raises(Segment1BError, match=f"^E_INPUT_UNREADABLE:.*{says}"):
        _provenance(about)


def test_provenance_says_what_came_from_where(tmp_path: Path) -> None:
    source = some(tmp_path)
    found = imported(source, tmp_path / "root")
    said = json.loads(found.path.with_name("world_countries.provenance.json").read_text())
    assert said == found.provenance
    assert (said["licence"], said["attribution"]) == ("CC0-1.0", "The Testers")
    content = source.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    file = {"name": "some.gpkg", "bytes": len(content), "sha256_hex": digest}
    assert said["source"] == [file]
    assert said["columns"] == {"country_iso": "code"}
    counts = {"source_rows": 4, "rows_dropped": {}, "rows_mended": 0, "countries": 4}
    assert said["counts"] == counts
    assert said["tool"]["segment1b"] == __version__
    surface = found.path.read_bytes()
    (file,) = said["receipt"]["files"]
    assert file["path"] == "world_countries.parquet"
    assert file["bytes"] == len(surface)
    assert said["receipt"]["sha256_hex"] == hashlib.sha256(surface).hexdigest()
    assert str(tmp_path) not in json.dumps(said)


@pytest.mark.parametrize("name", ["licence", "attribution"])
def test_no_surface_without_licence_and_attribution(tmp_path: Path, name: str) -> None:
    with pytest.raises(Segment1BError, match=f"^E_USAGE: --{name} is empty"):
        Request(tmp_path / "x", **{**bring.TERMS, name: " "}, data_root=tmp_path / "root")
    words = ["reference", "import", "countries", "x.gpkg", "--licence", "CC0-1.0"]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 2


def test_a_column_that_the_surface_has_not_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(Segment1BError, match=r"^E_USAGE: --column tzid"):
        import_countries(bring.request(some(tmp_path), tmp_path / "root", tzid="code"))


def test_the_same_again_changes_nothing_and_other_content_is_refused_with_both_digests(
    tmp_path: Path,
) -> None:
    root = tmp_path / "root"
    first = imported(some(tmp_path), root)
    before = data(root)
    assert not first.no_op
    again = some(tmp_path, SOME[::-1], "again.geojson")
    assert imported(again, root).no_op
    assert data(root) == before
    other = some(tmp_path, SOME[:3], "other.gpkg")
    with pytest.raises(Segment1BError) as caught:
        imported(other, root)
    assert caught.value.code == IMMUTABLE
    elsewhere = imported(other, tmp_path / "elsewhere")
    for found in (first, elsewhere):
        assert found.provenance["receipt"]["sha256_hex"] in caught.value.message
    assert data(root) == before


def test_a_surface_that_was_built_is_not_replaced_by_an_imported_one(tmp_path: Path) -> None:
    root = worlds.lay_small_world(tmp_path / "root", degrees=1.0)
    before = data(root)
    with pytest.raises(Segment1BError, match=IMMUTABLE):
        imported(some(tmp_path), root)
    assert data(root) == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_disk_that_fills_up_at_any_file_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, nth: int
) -> None:
    """Surface, two forms of the audit, provenance: each is flushed before the one rename."""
    calls = []

    def sync(handle: int) -> None:
        calls.append(handle)
        if len(calls) == nth:
            raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr("segment1b.reference.importing.fsync_file", sync)
        with pytest.raises(Segment1BError, match=r"^E_STORAGE_FULL:"):
            imported(some(tmp_path, ("VA",)))
    assert contents(tmp_path / "root") == {}
    assert not [p for p in (tmp_path / "root" / ".staging").iterdir() if p.is_dir()]


def test_an_import_killed_at_any_moment_leaves_all_files_or_none(tmp_path: Path) -> None:
    source = some(tmp_path, ("LS", "VA"))
    started = time.monotonic()
    imported(source, tmp_path / "whole")
    took = time.monotonic() - started
    expected = contents(tmp_path / "whole")
    assert len(expected) == 4
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bring", "segment1b.reference.importing"])
    chance, seen = random.Random(1), set()
    for number in range(4):
        root = tmp_path / f"root-{number}"
        child = context.Process(target=imported, args=(source, root))
        child.start()
        # From the moment that something is staged; the first is killed right there.
        while child.is_alive() and not list(root.glob(".staging/*/world_countries")):
            time.sleep(0.001)
        child.join(chance.uniform(0.0, 2 * took) if number else 0.0)
        child.kill()
        child.join()
        left = contents(root)
        assert left in ({}, expected)
        seen.add(len(left))
        imported(source, root)
        assert contents(root) == expected
        assert not [path for path in (root / ".staging").iterdir() if path.is_dir()]
    assert 0 in seen, "no kill came before the rename"


def population(folder: Path) -> Path:
    """Write the prior of 20 W to 40 E, 40 S to 60 N in cells of half a degree."""
    with rasterio.open(embedded.surface(embedded.RESOLUTIONS["0.1"])) as source:
        people = source.read(1)[300:1300, 1600:2200].astype("int64")
    coarse = people.reshape(200, 5, 120, 5).sum((1, 3)).astype("int32")
    grid = Affine(0.5, 0, -20, 0, -0.5, 60)
    return bring.raster(folder / "people.tif", coarse, grid, nodata=-1, tiled=True, compress="lzw")


def test_a_run_uses_what_was_imported(tmp_path: Path) -> None:
    """Polygons from a GeoPackage, people from a GeoTIFF, the rest embedded: S0 to S5."""
    codes, root = ("LS", "NL", "PT", "VA", "ZA"), tmp_path / "root"
    found = imported(some(tmp_path, codes))
    outlets = worlds.outlet_list(tmp_path / "outlets.csv", codes)
    with pytest.raises(Segment1BError, match=r"^E_REFERENCE_SURFACE_MISSING:.*reference fill"):
        worlds.run(root, outlets=outlets)
    raster = import_population(bring.request(population(tmp_path), root))
    laid = fill_reference(root, 3600, None)
    layers = {"urban_cells_2019", "road_metres_2026"}
    assert set(laid) == {"iso3166_canonical_2024", "tz_world_2025a", *layers}
    result = worlds.run(root, outlets=outlets, workers=2, to_state="s5")
    assert [outcome.state for outcome in result.outcomes] == [f"s{n}" for n in range(6)]
    tiles = result.outcomes[1].report
    assert tiles["grid_dims"] == {"nrows": 200, "ncols": 120}
    assert tiles["input_digests"]["world_countries"] == found.provenance["receipt"]["sha256_hex"]
    sealed = json.loads(
        next(root.glob("data/layer1/1B/s0_gate_receipt/*/s0_gate_receipt.json")).read_text()
    )["sealed_inputs"]
    digests = {entry["id"]: entry["sha256_hex"] for entry in sealed}
    for surface in (found, raster):
        document = surface.provenance
        assert digests[document["dataset"]] == document["receipt"]["sha256_hex"]
    assert result.outcomes[4].report["alloc_sum_equals_requirements"]
    # Other polygons are another parameter hash.
    other = tmp_path / "other"
    imported(some(tmp_path, (*codes, "BE"), "more.gpkg"), other)
    fill_reference(other, 3600, None)
    again = worlds.run(other, outlets=outlets, to_state="s0")
    assert again.identity["parameter_hash"] != result.identity["parameter_hash"]


def test_the_commands_import_and_print(tmp_path: Path) -> None:
    terms = ["--licence", "CC0-1.0", "--attribution", "The Testers"]
    place = ["--data-root", str(tmp_path / "root")]

    def ran(*words: str) -> Any:
        found = CliRunner().invoke(app, ["reference", *words, *place], catch_exceptions=False)
        assert found.exit_code == 0, found.output
        return found.stdout

    column = ["--column", "country_iso=code"]
    printed = ran("import", "countries", str(some(tmp_path)), *column, *terms)
    assert "countries                 4" in printed
    assert "Overlaps (land that two countries claim): 1, 0.0" not in printed
    said = json.loads(ran("import", "countries", str(some(tmp_path)), *column, *terms, "--json"))
    assert said["no_op"] is True
    assert said["audit"]["countries"] == 4
    assert "people " in ran("import", "population", str(population(tmp_path)), *terms)
    request = code_list(tmp_path)
    renamed = [w for c in request.columns.items() for w in ("--column", "=".join(c))]
    assert "countries                 4" in ran(
        "import", "codes", str(request.file), *renamed, *terms
    )
    zone = bring.polygons(tmp_path / "z.gpkg", ["Europe/Vatican"], [bring.country("VA")], "tzid")
    assert "zones                     1" in ran("import", "zones", str(zone), *terms)
    assert {line.split()[0] for line in ran("fill").splitlines()} == {
        "urban_cells_2019",
        "road_metres_2026",
    }
    assert ran("fill") == ""
    bad = CliRunner().invoke(
        app, ["reference", "import", "countries", str(zone), "--column", "x", *terms, *place]
    )
    assert isinstance(bad.exception, Segment1BError)
    assert bad.exception.code == "E_USAGE"
