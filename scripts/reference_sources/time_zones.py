"""Time zones: timezone-boundary-builder's polygons with coastal waters, simplified."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon

from reference_sources.archives import Archives
from reference_sources.shapes import on_grid
from segment1b.geo.areas import as_array

_TOLERANCE_DEGREES: Final = 0.003
#: Coordinates are multiples of 2^-14 degrees (7 m).
_BITS: Final = 14
#: Zones of the open oceans.
_OCEANS: Final = "Etc/"


def time_zones(archives: Archives) -> dict[str, MultiPolygon]:
    """Make the polygons of all zones but the oceans', names ascending.

    Some overlap on purpose, where two times are kept in one place.
    """
    finder = archives.module("timezonefinder").TimezoneFinder(in_memory=True)
    names = sorted(name for name in finder.timezone_names if not name.startswith(_OCEANS))
    detailed = as_array(_outline(finder, name) for name in names)
    # As a coverage: neighbours keep one common border.
    simple = shapely.coverage_simplify(detailed, _TOLERANCE_DEGREES)
    return {name: on_grid(outline, _BITS) for name, outline in zip(names, simple, strict=True)}


def _outline(finder: Any, name: str) -> MultiPolygon:
    parts = []
    for rings in finder.get_geometry(tz_name=name, coords_as_pairs=False):
        shell, *holes = (np.asarray(ring, np.float64).T for ring in rings)
        parts.append(Polygon(shell, holes))
    return MultiPolygon(parts)
