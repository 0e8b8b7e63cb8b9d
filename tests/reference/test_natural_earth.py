"""Natural Earth's countries at 1:50 million, Antarctica included, from import to validation."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from pyogrio.raw import read
from shapely import MultiPolygon, Polygon

import bring
import worlds
from reference_sources.archives import Pin, tarball
from segment1b.geo.areas import area_km2

#: Natural Earth (public domain) as TopoJSON, stitched at the date line; ids are ISO 3166-1 numeric.
WORLD_ATLAS = Pin(
    "world-atlas", "2.0.2", "032e7765f2ce00edaeafec23ff22bc3b77e42987c257da944cc585b452c05b97"
)
ROOT = Path(__file__).parents[2]
TERMS = ("--licence", "public domain", "--attribution", "Natural Earth")
ANTARCTICA = "010"
COUNTRIES = 235


def as_stitched(land: MultiPolygon) -> MultiPolygon:
    """Return Antarctica as in the package: a shell near the pole, the coast as its hole."""
    return land


def with_a_seam(land: MultiPolygon) -> MultiPolygon:
    """Return Antarctica as Natural Earth draws it: down the date line and along the pole."""
    parts = list(land.geoms)
    at = next(k for k, part in enumerate(parts) if part.interiors)
    coast = np.array(parts[at].interiors[0].coords)
    jump = 1 + int(np.argmax(np.abs(np.diff(coast[:, 0]))))
    coast = np.roll(coast[:-1], -jump, axis=0)
    if coast[0, 0] > 0:
        coast = coast[::-1]
    east, west = [180.0, coast[0, 1]], [-180.0, coast[0, 1]]
    parts[at] = Polygon([west, *coast, east, [180, -90], [-180, -90]])
    return MultiPolygon(parts)


def countries(archive: Path, antarctica: Callable[[MultiPolygon], MultiPolygon]) -> Path:
    """Convert the package's countries to GeoPackage, as ogr2ogr would."""
    folder = archive.parent
    with tarfile.open(archive) as package:
        package.extract("package/countries-50m.json", folder, filter="data")
    meta, _, shapes, columns = read(folder / "package/countries-50m.json", layer="countries")
    ids = columns[list(meta["fields"]).index("id")].tolist()
    drawn = list(shapely.from_wkb(shapes))
    drawn[ids.index(ANTARCTICA)] = antarctica(drawn[ids.index(ANTARCTICA)])
    return bring.polygons(folder / "countries.gpkg", [i or "" for i in ids], drawn, column="id")


def succeed(*arguments: object) -> str:
    command = [sys.executable, "-m", "segment1b", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm fetches the package")
@pytest.mark.parametrize("antarctica", [as_stitched, with_a_seam])
def test_a_root_made_from_natural_earth_runs_and_validates(
    antarctica: Callable[[MultiPolygon], MultiPolygon], tmp_path: Path
) -> None:
    cache = ROOT / "reference-cache"
    cache.mkdir(exist_ok=True)
    archive = shutil.copy(tarball(cache, WORLD_ATLAS), tmp_path)
    source, root = countries(Path(archive), antarctica), tmp_path / "root"
    options = (*TERMS, "--data-root", root, "--column", "country_iso=id", "--drop-unknown")
    succeed("reference", "import", "countries", source, *options)
    succeed("reference", "fill", "--data-root", root, "--resolution-arcsec", 900)

    table = pq.read_table(worlds.place(root, "world_countries")).to_pydict()
    shapes = dict(zip(table["country_iso"], shapely.from_wkb(table["geom"]), strict=True))
    assert len(shapes) == COUNTRIES
    assert area_km2([shapes["AQ"]])[0] == pytest.approx(12.356e6, rel=0.001)

    outlets = worlds.outlet_list(tmp_path / "outlets.csv", tuple(sorted(shapes)), merchants=6)
    assert ",AQ," in outlets.read_text()
    succeed("run", "--quiet", "--data-root", root, "--outlets", outlets)
    assert succeed("validate", "--data-root", root).rstrip().endswith("checks pass")
