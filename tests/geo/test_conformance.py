"""The rules on real countries against GDAL and GEOS, and the world at 30 arc-seconds."""

from __future__ import annotations

import time
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import shapely
from rasterio import Affine
from rasterio.features import rasterize
from shapely import MultiPolygon, Polygon

from segment1b.geo.countries import read_countries
from segment1b.geo.grid import Grid
from segment1b.geo.scanline import Runs, bounding_cells, center_runs, hole_cells, overlap_runs

Mask = npt.NDArray[np.bool_]
TENTH = Grid(-180.0, 90.0, 0.1, 0.1, 1800, 3600)
HALF_MINUTE = Grid(-180.0, 90.0, 1 / 120, 1 / 120, 21600, 43200)
REAL = ("AQ", "CL", "FJ", "GB", "LS", "MV", "NL", "NO", "NZ", "RU", "US", "VA", "ZA")
SMALL = ("BE", "FJ", "LI", "LS", "MV", "NL", "SM", "TV", "VA", "ZA")


@pytest.fixture(scope="module")
def world() -> dict[str, MultiPolygon]:
    name = resources.files("segment1b.reference") / "data" / "world_countries.parquet"
    with resources.as_file(name) as path:
        codes = pq.read_table(path, columns=["country_iso"])["country_iso"].to_pylist()
        return read_countries(Path(path), set(codes))


def mask_of(runs: Runs, grid: Grid) -> Mask:
    mask = np.zeros((grid.nrows, grid.ncols), bool)
    mask[runs.expand(0, runs.count)] = True
    return mask


def grown(mask: Mask) -> Mask:
    """Return the cells of a mask and their eight neighbours, around the globe."""
    wide = mask | np.roll(mask, 1, 1) | np.roll(mask, -1, 1)
    tall = wide.copy()
    tall[1:] |= wide[:-1]
    tall[:-1] |= wide[1:]
    return tall


def assert_differs_only_on_the_border(country: MultiPolygon, one: Mask, other: Mask) -> None:
    rows, cols = np.nonzero(one != other)
    centres = shapely.points(TENTH.centre_lon(cols), TENTH.centre_lat(rows))
    assert (shapely.distance(centres, country.boundary) <= 1e-9).all()


@pytest.mark.parametrize("code", REAL)
def test_center_agrees_with_gdal(world: dict[str, MultiPolygon], code: str) -> None:
    burnt = rasterize(
        [world[code]],
        out_shape=(TENTH.nrows, TENTH.ncols),
        transform=Affine(TENTH.a, 0.0, TENTH.x0, 0.0, -TENTH.b, TENTH.y0),
        dtype="uint8",
    )
    mine = mask_of(center_runs(world[code], TENTH), TENTH)
    assert mine.any() or code == "VA"
    assert_differs_only_on_the_border(world[code], mine, burnt.astype(bool))


@pytest.mark.parametrize("code", REAL)
def test_center_agrees_with_geos(world: dict[str, MultiPolygon], code: str) -> None:
    country = world[code]
    _, south, _, north = country.bounds
    first, last = int((90 - north) / 0.1), int((90 - south) / 0.1)
    rows = np.arange(max(first - 1, 0), min(last + 2, TENTH.nrows))
    lon, lat = np.meshgrid(TENTH.centre_lon(np.arange(TENTH.ncols)), TENTH.centre_lat(rows))
    shapely.prepare(country)
    inside = np.zeros((TENTH.nrows, TENTH.ncols), bool)
    inside[rows] = shapely.contains_xy(country, lon, lat)
    mine = mask_of(center_runs(country, TENTH), TENTH)
    assert_differs_only_on_the_border(country, mine, inside)


@pytest.mark.parametrize("code", SMALL)
def test_any_overlap_is_de_9im_on_all_cells_around_the_border(
    world: dict[str, MultiPolygon], code: str
) -> None:
    country = world[code]
    mine = mask_of(overlap_runs(country, TENTH), TENTH)
    assert mine.any()
    rows, cols = np.nonzero(grown(mine) & grown(~mine))
    south, north = TENTH.plain_north(rows + 1), TENTH.plain_north(rows)
    boxes = shapely.box(TENTH.plain_edge(cols), south, TENTH.plain_edge(cols + 1), north)
    meets = shapely.relate_pattern(boxes, country, "T********")
    assert np.array_equal(mine[rows, cols], meets)


def test_neighbours_leave_no_gap_between_them(world: dict[str, MultiPolygon]) -> None:
    """ZA surrounds LS: a centre is in one of them, or in both if it lies on their border."""
    outer, inner = (mask_of(center_runs(world[code], TENTH), TENTH) for code in ("ZA", "LS"))
    whole = shapely.union_all([world["ZA"], world["LS"]])
    both = mask_of(center_runs(MultiPolygon(shapely.get_parts(whole).tolist()), TENTH), TENTH)
    assert_differs_only_on_the_border(world["LS"], outer | inner, both)
    assert not (outer & inner).any()
    lakes_too = [Polygon(ring) for part in world["ZA"].geoms for ring in part.interiors]
    holes = center_runs(MultiPolygon(lakes_too), TENTH)
    assert hole_cells(world["ZA"], TENTH, center_runs(world["ZA"], TENTH)) == holes.count
    assert holes.count > inner.sum() == np.count_nonzero(inner & mask_of(holes, TENTH))


@pytest.mark.parametrize("x0", [0.0, -540.0, -180.1])
def test_a_grid_from_another_longitude_holds_the_same_cells(
    world: dict[str, MultiPolygon], x0: float
) -> None:
    turned = Grid(x0, 90.0, 0.1, 0.1, 1800, 3600)
    columns = np.rint((turned.centre_lon(np.arange(3600)) + 180.0) / 0.1 - 0.5).astype(int)
    for code in ("FJ", "RU", "GB"):
        for rule in (center_runs, overlap_runs):
            here = mask_of(rule(world[code], TENTH), TENTH)
            there = mask_of(rule(world[code], turned), turned)
            moved = np.argwhere(here[:, columns] != there)
            # Borders of the two grids differ in their last bits.
            assert len(moved) <= 3, (code, rule.__name__, len(moved))


def test_the_world_at_30_arc_seconds_takes_seconds(world: dict[str, MultiPolygon]) -> None:
    """A guard against costs that grow with the area: far above what is measured, far below that."""
    began = time.process_time()
    center = {code: center_runs(shape, HALF_MINUTE) for code, shape in world.items()}
    overlap = {code: overlap_runs(shape, HALF_MINUTE) for code, shape in world.items()}
    assert time.process_time() - began < 20.0
    assert sum(runs.count for runs in center.values()) == 306_281_478
    assert sum(runs.count for runs in overlap.values()) == 307_796_088
    for code in ("AQ", "CA", "RU", "ZA"):
        lost = hole_cells(world[code], HALF_MINUTE, overlap[code])
        assert bounding_cells(world[code], HALF_MINUTE) >= overlap[code].count + lost
