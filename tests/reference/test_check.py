"""The check of surfaces: areas, people and places where they should be, bounds that bite."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from rasterio.transform import Affine
from typer.testing import CliRunner

import bring
import worlds
from segment1b import contracts
from segment1b.cli.app import app
from segment1b.errors import Segment1BError
from segment1b.geo.areas import area_km2
from segment1b.pipeline.prepare import fill_reference
from segment1b.reference import embedded
from segment1b.reference.check import Bounds, check, read_places
from segment1b.reference.importing import Request, import_countries, import_population, import_zones
from segment1b.reference.installing import ISO, RASTER, ZONES, install_embedded, write_shapes
from segment1b.storage import working_copy

KNOWN = contracts.load()
PLACES = Path(__file__).parents[1] / "data" / "populated_places.parquet"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    (root / "scratch").mkdir()
    install_embedded(root, KNOWN, 0.1, root / "scratch")
    return root


@pytest.fixture(scope="module")
def found(world: Path) -> dict[str, Any]:
    return check(world, KNOWN, read_places(PLACES), Bounds())


def test_the_embedded_world_is_within_bounds(found: dict[str, Any]) -> None:
    assert found["breaches"] == []
    assert found["iso_without_polygon"] == found["polygons_without_tiles"] == []
    assert found["polygons_without_zone"] == ["BV", "HM"]
    assert found["beyond_raster"] == {}
    assert found["surfaces"]["world_countries"]["licence"].startswith("ODbL")


def test_areas_are_compared_with_published_ones(found: dict[str, Any]) -> None:
    rows = {row["country_iso"]: row for row in found["countries"]}
    assert len(rows) == 250
    assert rows["FR"]["published_km2"] == 547_030
    assert rows["FR"]["measured_km2"] == pytest.approx(area_km2([bring.country("FR")])[0], abs=1e-3)
    assert abs(rows["FR"]["error"]) < 0.01
    assert rows["OM"]["published_km2"] == 309_500
    assert rows["OM"]["published_by"] == "CIA World Factbook"
    assert rows["UM"]["error"] is None
    errors = [abs(row["error"] or 0) for row in found["countries"]]
    assert errors == sorted(errors, reverse=True)
    large = [r for r in rows.values() if (r["published_km2"] or 0) > 50_000]
    assert np.median([abs(row["error"]) for row in large]) < 0.02


def test_people_and_places_are_counted_as_one_by_one(found: dict[str, Any]) -> None:
    assert found["population"]["people"] == 8_231_617_658
    assert 0 < found["population"]["uncovered"] < 0.001 * 8.2e9
    assert found["population"]["centre_uncovered"] > found["population"]["uncovered"]
    places, counted = pq.read_table(PLACES), found["places"]
    assert counted["places"] == len(places)
    of_nl = np.array(places["country_iso"].to_pylist()) == "NL"
    points = shapely.points(*(places[name].to_numpy()[of_nl] for name in ("lon_deg", "lat_deg")))
    own = bring.country("NL")
    shapely.prepare(own)
    missed = points[~shapely.intersects(own, points)]
    nowhere = [p for p in missed if not any(bring.country(c).intersects(p) for c in ("BE", "DE"))]
    assert counted["outside_by_country"]["NL"] == len(nowhere)
    missed = counted["outside"] + counted["in_another_country"]
    assert missed == pytest.approx(0.019 * len(places), rel=0.05)


def small(root: Path, cells: Any, grid: Affine, codes: tuple[str, ...] = ("LS", "ZA")) -> Path:
    """Lay a root with these people and a few countries."""
    worlds.lay_small_world(root, degrees=1.0, countries=codes)
    bring.raster(worlds.place(root, "population_raster_2025"), cells, grid, nodata=-1)
    return root


def test_people_that_nobody_s_land_touches_are_counted_exactly(tmp_path: Path) -> None:
    """One degree cells from 20 E, 20 S: a row in the sea, a border cell, one without data."""
    people = np.zeros((20, 20), "int32")
    people[9, 8] = 7  # Lesotho
    people[0, 8] = 100  # Zimbabwe, which is not there
    people[18, 1] = 30  # the sea
    people[9, 9] = -1
    root = small(tmp_path / "root", people, Affine(1, 0, 20, 0, -1, -20))
    found = check(root, KNOWN, None, Bounds())
    assert found["population"]["people"] == 137
    assert found["population"]["uncovered"] == 130
    assert found["places"] is None
    assert "130 of 137 people" in found["breaches"][0]
    assert set(found["iso_without_polygon"]) == set(bring.all_codes()) - {"LS", "ZA"}


def test_countries_beyond_the_raster_are_named_with_their_share(tmp_path: Path) -> None:
    cells = np.ones((10, 10), "int32")
    root = small(tmp_path / "root", cells, Affine(1, 0, 20, 0, -1, -25), ("LS", "PT", "ZA"))
    found = check(root, KNOWN, None, Bounds())
    assert found["polygons_without_tiles"] == ["PT"]
    box = shapely.box(20, -35, 30, -25)
    whole = bring.country("ZA")
    outside = 1 - np.divide(*area_km2([whole.intersection(box), whole]))
    assert found["beyond_raster"] == {"PT": 1.0, "ZA": pytest.approx(outside, abs=1e-5)}


def test_a_country_across_the_date_line_lies_in_a_raster_from_0_to_360(tmp_path: Path) -> None:
    cells = np.ones((180, 360), "int32")
    root = small(tmp_path / "root", cells, Affine(1, 0, 0, 0, -1, 90), ("FJ", "NZ", "GB"))
    assert check(root, KNOWN, None, Bounds())["beyond_raster"] == {}


def test_a_country_that_lost_half_its_land_passes_the_bound(tmp_path: Path) -> None:
    root = small(tmp_path / "root", np.ones((180, 360), "int32"), Affine(1, 0, -180, 0, -1, 90))
    half = bring.country("ZA").intersection(shapely.box(0, -90, 25, 90))
    path = root / KNOWN["world_countries"].locate({})
    write_shapes(path, "country_iso", {"LS": bring.country("LS"), "ZA": half})
    ran = CliRunner().invoke(app, ["reference", "check", "--data-root", str(root), "--json"])
    assert ran.exit_code == 1
    assert any(line.startswith("ZA: ") for line in json.loads(ran.stdout)["breaches"])
    words = ["--max-area-error", "0.9", "--max-uncovered", "1"]
    ran = CliRunner().invoke(app, ["reference", "check", "--data-root", str(root), *words])
    assert ran.exit_code == 0
    assert "within bounds" in ran.stdout
    assert ran.stdout.splitlines()[1].startswith("ZA ")


def test_places_come_from_parquet_or_csv_with_three_columns(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("name,country_iso,lon_deg,lat_deg\nx,NL,5.1,52\ny,NL,0,0\n")
    places = read_places(tmp_path / "p.csv")
    assert (places.country.tolist(), places.lon.tolist()) == (["NL", "NL"], [5.1, 0.0])
    (tmp_path / "q.csv").write_text("country_iso,lon,lat\nNL,5.1,52\n")
    with pytest.raises(Segment1BError, match="no column lon_deg, lat_deg"):
        read_places(tmp_path / "q.csv")
    (tmp_path / "r.csv").write_text("country_iso,lon_deg,lat_deg\nNL,east,52\n")
    for name in ("r.csv", "absent.parquet"):
        with pytest.raises(Segment1BError, match=r"^E_INPUT_UNREADABLE:"):
            read_places(tmp_path / name)


def test_an_empty_root_has_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(Segment1BError, match=r"^E_REFERENCE_SURFACE_MISSING:.*reference fill"):
        check(tmp_path, KNOWN, None, Bounds())


def test_the_published_areas_name_their_source() -> None:
    rows = pq.read_table(embedded.surface("country_area.parquet")).to_pylist()
    assert len(rows) == 249
    assert {row["source"] for row in rows} == {"GeoNames", "CIA World Factbook"}
    assert all(row["area_km2"] > 0 for row in rows)


@pytest.mark.parametrize("surface", [ISO, ZONES, RASTER])
def test_a_damaged_surface_is_named(tmp_path: Path, surface: str) -> None:
    noise = np.random.default_rng(1).integers(0, 1 << 20, (180, 360)).astype("int32")
    root = small(tmp_path / "root", noise, Affine(1, 0, -180, 0, -1, 90))
    path = root / KNOWN[surface].locate({})
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(Segment1BError, match=f"^E_INPUT_UNREADABLE: {path}"):
        check(root, KNOWN, None, Bounds())


def test_the_surfaces_of_a_store_are_checked_from_any_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path / 'store'}"
    grid = Affine(1, 0, -180, 0, -1, 90)
    people = bring.raster(tmp_path / "p.tif", np.ones((180, 360), "u1"), grid)
    land = bring.polygons(tmp_path / "l.fgb", ["LS"], [bring.country("LS")], "country_iso")
    zone = bring.polygons(tmp_path / "z.fgb", ["Africa/Maseru"], [bring.country("LS")], "tzid")
    brought = [Request(f, "CC0-1.0", "The Testers", url) for f in (people, land, zone)]  # type: ignore[arg-type]
    # Surfaces of more than this come when a command reads them.
    monkeypatch.setattr(working_copy, "_SMALL", 100)
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "one"))
    import_population(brought[0])
    import_countries(brought[1])
    import_zones(brought[2])
    fill_reference(url, 360, None)  # type: ignore[arg-type]
    for machine in ("one", "two"):
        monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / machine))
        result = CliRunner().invoke(app, ["reference", "check", "--json", "--data-root", url])
        found = json.loads(result.stdout)
        assert found["population"]["people"] == 64_800
        assert [about["imported"] for about in found["surfaces"].values()].count(True) == 3
