"""Looks up the time zone of points in the polygons of the time zone surface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from segment1b.storage.geometries import read_columns, shapes_of_wkb

Floats = npt.NDArray[np.float64]


def zones_at(path: Path, lon: Floats, lat: Floats) -> pa.Array:
    """Return the time zone of each point as string[n].

    Where zones overlap or touch, the first by name counts; where there is none, as on a coast that
    the surface draws more coarsely than the countries, the nearest in degrees. Without any zone the
    result is null.

    Args:
        path: GeoParquet with columns tzid and geom.
        lon: degrees, float64[n].
        lat: degrees, float64[n].
    """
    table = read_columns(path, ["tzid", "geom"]).sort_by("tzid")
    names = table.column("tzid").combine_chunks()
    blobs = np.array([*table.column("geom").to_pylist(), None], object)[:-1]
    parts, owner = shapely.get_parts(shapes_of_wkb(blobs), return_index=True)
    if not len(parts):
        return pa.nulls(len(lon), pa.string())
    points = shapely.points(lon, lat)
    # The tree is over the points, so that each part is prepared once.
    part, point = shapely.STRtree(points).query(parts, predicate="intersects")
    zone = np.full(len(lon), len(names), np.int64)
    np.minimum.at(zone, point, owner[part])
    outside = np.flatnonzero(zone == len(names))
    if len(outside):
        zone[outside] = owner[shapely.STRtree(parts).nearest(points[outside])]
    return names.take(pa.array(zone))
