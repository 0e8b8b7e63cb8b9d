"""Shapes of countries and time zones from foreign polygons: checked, cut, dissolved by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon

from segment1b.errors import Segment1BError
from segment1b.geo.antimeridian import unwrapped
from segment1b.geo.areas import area_km2
from segment1b.geo.countries import unite, valid_pieces
from segment1b.reference.sources import Features

#: Invalid rows an error lists; the rest is counted.
_LISTED = 10


class Repair(NamedTuple):
    """What was mended: row (from 1), key, reason, area in km2 before (as drawn) and after."""

    row: int
    key: str
    reason: str
    before_km2: float
    after_km2: float


@dataclass(frozen=True)
class Drawn:
    """Shapes by key, keys ascending, with the repairs that were asked for."""

    shapes: dict[str, MultiPolygon]
    repairs: list[Repair]


def draw_strictly(features: Features, keys: Sequence[str]) -> Drawn:
    """Return one shape a key, cut at the date line; rows of one key are dissolved.

    Args:
        features: the rows.
        keys: their keys, in their order.

    Raises:
        Segment1BError: E001_GEO_INVALID naming every invalid row with key and reason.
    """
    parts: dict[str, list[list[Polygon]]] = {}
    flaws = []
    for row, (key, geometry) in enumerate(zip(keys, features.geometries, strict=True), 1):
        try:
            parts.setdefault(key, []).append(valid_pieces(geometry))
        except ValueError as error:
            flaws.append((row, key, str(error)))
    if flaws:
        raise _refused(features, flaws, "mend it at its source, or let --make-valid do it")
    return Drawn(_dissolved(parts), [])


def draw_mended(features: Features, keys: Sequence[str]) -> Drawn:
    """Return the same as `draw_strictly`, invalid rows mended by the structure of their rings.

    Raises:
        Segment1BError: E001_GEO_INVALID for rows that cannot be mended: without polygon, beyond
            the globe, or with coordinates that are no numbers.
    """
    parts: dict[str, list[list[Polygon]]] = {}
    flaws, repairs = [], []
    for row, (key, geometry) in enumerate(zip(keys, features.geometries, strict=True), 1):
        try:
            pieces = valid_pieces(geometry)
        except ValueError as error:
            try:
                drawn, pieces = _mended(geometry)
            except ValueError:
                flaws.append((row, key, str(error)))
                continue
            before, after = area_km2([drawn, unite(pieces)]).tolist()
            repairs.append(Repair(row, key, str(error), before, after))
        parts.setdefault(key, []).append(pieces)
    if flaws:
        raise _refused(features, flaws, "this cannot be mended: correct or remove it")
    return Drawn(_dissolved(parts), repairs)


def _mended(geometry: Any) -> tuple[MultiPolygon, list[Polygon]]:
    """Return a geometry's polygons as drawn, date line undone, and repaired where invalid."""
    drawn: list[Polygon] = []
    pieces: list[Polygon] = []
    for polygon in _polygons(geometry):
        if not np.isfinite(shapely.get_coordinates(polygon)).all():
            raise ValueError("has coordinates that are not numbers")
        try:
            valid = valid_pieces(polygon)
            drawn += valid
        except ValueError:
            flat = unwrapped(polygon)
            made = _polygons(shapely.make_valid(flat, method="structure", keep_collapsed=False))
            valid = valid_pieces(MultiPolygon(made))
            drawn.append(flat)
        pieces += valid
    if not pieces:
        raise ValueError("has no area")
    return MultiPolygon(drawn), pieces


def _polygons(geometry: Any) -> list[Polygon]:
    """Return the polygons of a geometry, flat, however deep they lie in collections."""
    parts = shapely.get_parts(shapely.get_parts([geometry]))
    return [shapely.force_2d(p) for p in parts if isinstance(p, Polygon) and not p.is_empty]


def _dissolved(parts: dict[str, list[list[Polygon]]]) -> dict[str, MultiPolygon]:
    shapes = {}
    for key in sorted(parts):
        rows = parts[key]
        if len(rows) == 1:
            shape = unite(rows[0])
        else:
            # Neighbours lose their common border, which `unite` would keep.
            shape = MultiPolygon(_polygons(shapely.union_all([p for row in rows for p in row])))
        shapes[key] = shapely.normalize(shape)
    return shapes


def _refused(
    features: Features, flaws: Sequence[tuple[int, str, str]], hint: str
) -> Segment1BError:
    listed = "; ".join(
        f"row {row}, {key or 'no key'}: {what}" for row, key, what in flaws[:_LISTED]
    )
    more = f"; and {len(flaws) - _LISTED} more" if len(flaws) > _LISTED else ""
    row, key, _ = flaws[0]
    return Segment1BError(
        "E001_GEO_INVALID",
        f"{features.path}: polygons that cannot be used: {listed}{more}",
        hint,
        path=str(features.path),
        row=row,
        country_iso=key,
    )
