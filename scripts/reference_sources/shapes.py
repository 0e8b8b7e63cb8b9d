"""Polygons: parts, validity, coordinates on a binary grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from segment1b.geo.areas import area_km2

#: A MultiPolygon by country code or zone name; longitude first, degrees.
Shapes: TypeAlias = Mapping[str, MultiPolygon]
Floats: TypeAlias = npt.NDArray[np.float64]


def polygons(shape: BaseGeometry) -> list[Polygon]:
    """Return the polygons in a shape, however nested, without empty ones and other kinds."""
    parts = shapely.get_parts(shapely.get_parts([shape]))
    return [p for p in parts if p.geom_type == "Polygon" and not p.is_empty]


def valid_polygons(shape: BaseGeometry) -> list[Polygon]:
    """Return the polygons in a shape, invalid ones mended by their ring structure."""
    mended: list[Polygon] = []
    for part in polygons(shape):
        whole = part.is_valid
        mended += [part] if whole else polygons(shapely.make_valid(part, method="structure"))
    return mended


def joined(parts: Iterable[Polygon], least_km2: float = 0.0) -> MultiPolygon:
    """Join polygons to one normalised shape, without those below an area.

    The largest part stays even when it is below.
    """
    kept = list(parts)
    if least_km2 and len(kept) > 1:
        areas = area_km2(kept)
        large = [part for part, area in zip(kept, areas, strict=True) if area >= least_km2]
        kept = large or [kept[int(areas.argmax())]]
    shape: MultiPolygon = shapely.normalize(shapely.multipolygons(kept))
    return shape


def united(parts: list[Polygon]) -> list[Polygon]:
    """Return the polygons of the union of all parts."""
    return polygons(shapely.union_all(parts))


def on_grid(shape: BaseGeometry, bits: int) -> MultiPolygon:
    """Round coordinates to multiples of 2^-bits degrees.

    Such numbers are exact in binary, so they are the same everywhere, and they compress well.
    """
    steps = 2.0**bits
    parts = valid_polygons(shapely.transform(shape, lambda xy: np.round(xy * steps) / steps))
    return joined(united(parts))
