"""A site of the last lane is at one point: that on the surface of the largest piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import shapely

from segment1b.audit.areas import Area
from segment1b.audit.s1.polygons import read_countries

Rows = list[dict[str, Any]]
World = Any  # of conftest.py, which the import mode keeps out of reach


def shapes_of(world: World) -> dict[str, shapely.MultiPolygon]:
    countries = read_countries(world.path("world_countries"))
    return {country.code: Area(country).shape for country in countries}


def tiles_of(world: World) -> dict[tuple[str, int], dict[str, Any]]:
    rows = pq.read_table(world.part("tile_bounds")).to_pylist()
    return {(row["country_iso"], row["tile_id"]): row for row in rows}


def lane_2(world: World) -> Rows:
    events = pq.read_table(world.part("rng_event_in_cell_jitter")).to_pylist()
    sites = pq.read_table(world.part("s6_site_jitter")).to_pylist()
    both = zip(sites, events, strict=True)
    return [site for site, event in both if event["lane"] == 2]


def test_another_point_on_the_surface_of_tile_and_country_is_refused(
    hurried: Callable[[], World],
) -> None:
    spoiled = hurried()
    shapes, tiles, moved = shapes_of(spoiled), tiles_of(spoiled), {}
    for site in lane_2(spoiled):
        tile = tiles[site["legal_country_iso"], site["tile_id"]]
        sides = (tile[f"{side}_deg"] for side in ("min_lon", "min_lat", "max_lon", "max_lat"))
        both = shapely.intersection(shapes[site["legal_country_iso"]], shapely.box(*sides))
        point = shapely.point_on_surface(both)
        other = point.x - tile["centroid_lon_deg"], point.y - tile["centroid_lat_deg"]
        if other != (site["delta_lon_deg"], site["delta_lat_deg"]):
            key = site["merchant_id"], site["legal_country_iso"], site["site_order"]
            moved[key] = dict(zip(("delta_lon_deg", "delta_lat_deg"), other, strict=True))
    assert moved

    def move(rows: Rows) -> None:
        for row in rows:
            key = row["merchant_id"], row["legal_country_iso"], row["site_order"]
            row.update(moved.get(key, {}))

    spoiled.edit("s6_site_jitter", move)
    spoiled.forge_receipt("s6_site_jitter")
    failing = spoiled.failing("s6")
    assert set(failing) == {"s6 replay"}
    assert len(failing["s6 replay"].rows) == min(len(moved), 20)


def test_what_was_published_passes(hurried: Callable[[], World]) -> None:
    world = hurried()
    assert len(lane_2(world)) > 20
    assert not world.failing("s5", "s6")
