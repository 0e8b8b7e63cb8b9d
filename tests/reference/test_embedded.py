"""The embedded files: whole, licensed, and agreeing with each other."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely

from segment1b.errors import Segment1BError
from segment1b.reference import embedded

PLACES = Path(__file__).parents[1] / "data" / "populated_places.parquet"
WORLD_PEOPLE = 8_231_617_658


def path_of(name: str) -> Path:
    return PLACES if name == PLACES.name else embedded.surface(name)


def column(file: str, name: str) -> list[object]:
    return pq.read_table(embedded.surface(file), columns=[name])[name].to_pylist()


@pytest.mark.parametrize("entry", embedded.manifest()["files"], ids=lambda e: e["file"])
def test_files_are_those_of_the_manifest(entry: dict[str, object]) -> None:
    data = path_of(str(entry["file"])).read_bytes()
    assert len(data) == entry["bytes"]
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]


def test_every_shipped_surface_has_a_licence() -> None:
    folder = embedded.SAMPLE_OUTLETS.parent
    surfaces = {p.name for p in folder.iterdir()} - {"MANIFEST.json", "sample_outlets.csv"}
    licences = {entry["file"]: entry["licence"] for entry in embedded.manifest()["files"]}
    assert licences.keys() == surfaces | {PLACES.name}
    assert all(licences.values())
    assert "ODbL" in licences["world_countries.parquet"]


@pytest.mark.parametrize("name", ["no_such.tif", "../embedded.py", ""])
def test_unknown_surfaces_are_refused_by_name(name: str) -> None:
    with pytest.raises(Segment1BError, match="world_countries") as caught:
        embedded.surface(name)
    assert caught.value.code == "E_REFERENCE_SURFACE_MISSING"


def test_every_iso_code_is_accounted_for() -> None:
    """249 official codes and XK, each with a polygon, a number of people and a zone."""
    names = (column("iso3166.parquet", name) for name in ("country_iso", "status"))
    status = dict(zip(*names, strict=True))
    assert len(status) == 250
    assert [code for code, s in status.items() if s != "official"] == ["XK"]
    for file in ("world_countries.parquet", "country_population.parquet"):
        assert column(file, "country_iso") == sorted(status)
    assert set(column("country_zones.parquet", "country_iso")) == set(status)


def test_every_zone_of_a_country_has_a_polygon() -> None:
    zones = set(column("country_zones.parquet", "tzid"))
    assert zones <= set(column("tz_world.parquet", "tzid"))


@pytest.mark.parametrize("file", ["world_countries.parquet", "tz_world.parquet"])
def test_polygons_are_valid_and_on_the_globe(file: str) -> None:
    shapes = shapely.from_wkb(column(file, "geom"))
    assert shapely.is_valid(shapes).all()
    assert not shapely.is_empty(shapes).any()
    west, south, east, north = shapely.total_bounds(shapes)
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90


@pytest.mark.parametrize("degrees", embedded.RESOLUTIONS)
def test_rasters_hold_everybody(degrees: str) -> None:
    with rasterio.open(embedded.surface(embedded.RESOLUTIONS[degrees])) as raster:
        people = raster.read(1)
        assert raster.crs.to_epsg() == 4326
        assert raster.nodata is None
        assert tuple(raster.bounds) == (-180, -90, 180, 90)
    rows = round(180 / float(degrees))
    assert (people.shape, people.dtype) == ((rows, 2 * rows), np.uint32)
    assert int(people.sum(dtype=np.uint64)) == WORLD_PEOPLE
    assert sum(column("country_population.parquet", "population")) == WORLD_PEOPLE


def test_places_lie_in_their_own_country() -> None:
    """98.1 % (docs/spec/reference-surfaces.md#countries); of a twentieth, 97.5 to 98.7 %."""
    places = pq.read_table(PLACES)[::20]
    code = np.array(places["country_iso"].to_pylist())
    lon, lat = places["lon_deg"].to_numpy(), places["lat_deg"].to_numpy()
    countries = pq.read_table(embedded.surface("world_countries.parquet"))
    inside = np.zeros(len(code), bool)
    for iso, wkb in zip(*(countries[c].to_pylist() for c in ("country_iso", "geom")), strict=True):
        own = np.flatnonzero(code == iso)
        shape = shapely.from_wkb(wkb)
        shapely.prepare(shape)
        inside[own] = shapely.contains_xy(shape, lon[own], lat[own])
    assert 0.975 < inside.mean() < 0.987
