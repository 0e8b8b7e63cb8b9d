"""Looks up the time zone of points in the polygons of the time zone surface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

from segment1b.storage.geometries import read_columns, shapes_of_wkb

Floats = npt.NDArray[np.float64]


class Zones:
    """Time zone polygons, ready to be looked up.

    Args:
        path: GeoParquet with columns tzid and geom.
    """

    def __init__(self, path: Path) -> None:
        table = read_columns(path, ["tzid", "geom"]).sort_by("tzid")
        self._names = table.column("tzid").combine_chunks()
        blobs = np.array([*table.column("geom").to_pylist(), None], object)[:-1]
        self._parts, self._owner = shapely.get_parts(shapes_of_wkb(blobs), return_index=True)

    def at(self, lon: Floats, lat: Floats) -> pa.Array:
        """Return the time zone of each point as string[n].

        Where zones overlap or touch, the first by name counts; where there is none, as on a coast
        that the surface draws more coarsely than the countries, the nearest in degrees. Without any
        zone the result is null.

        Args:
            lon: degrees, float64[n].
            lat: degrees, float64[n].
        """
        if not len(self._parts):
            return pa.nulls(len(lon), pa.string())
        points, none = shapely.points(lon, lat), len(self._names)
        # The tree is over the points, so that each part is prepared once.
        part, point = shapely.STRtree(points).query(self._parts, predicate="intersects")
        zone = np.full(len(lon), none, np.int64)
        np.minimum.at(zone, point, self._owner[part])
        outside = np.flatnonzero(zone == none)
        if len(outside):
            zone[outside] = self._owner[shapely.STRtree(self._parts).nearest(points[outside])]
        return self._names.take(pa.array(zone))
