"""The time zone of a point is that of the polygon that holds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from segment1b.read.zones import Zones
from segment1b.reference import embedded


def test_zones_are_those_of_the_polygon_that_holds_a_point(tmp_path: Path) -> None:
    """Against each zone asked on its own; a point in no zone gets the nearest."""
    boxes = {"Z/b": shapely.box(0, 0, 2, 2), "Z/a": shapely.box(1, 1, 3, 3)}
    boxes["Z/c"] = shapely.union(shapely.box(10, 0, 11, 1), shapely.box(10, 5, 11, 6))
    shapes = pa.array([shapely.to_wkb(box) for box in boxes.values()])
    pq.write_table(pa.table({"tzid": [*boxes], "geom": shapes}), tmp_path / "zones.parquet")
    x, y = (each.ravel() for each in np.meshgrid(np.arange(-1, 13, 0.25), np.arange(-1, 8, 0.25)))
    got = Zones(tmp_path / "zones.parquet").at(x, y).to_pylist()
    for zone, *point in zip(got, x, y, strict=True):
        spot = shapely.Point(*point)
        away = {name: box.distance(spot) for name, box in boxes.items()}
        inside = sorted(name for name, gap in away.items() if gap == 0)
        assert zone == inside[0] if inside else away[zone] == min(away.values())


def test_the_embedded_zones_hold_known_places() -> None:
    spots = {"Europe/Berlin": (13.4, 52.5), "Asia/Tokyo": (139.7, 35.7)}
    lon, lat = (np.array([spot[k] for spot in spots.values()]) for k in (0, 1))
    assert Zones(embedded.surface("tz_world.parquet")).at(lon, lat).to_pylist() == [*spots]
