"""Shapes of countries and time zones from imported polygons: checked, cut, dissolved by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon

from segment1b.errors import Segment1BError, file_error
from segment1b.geo.antimeridian import unwrapped
from segment1b.geo.areas import area_km2
from segment1b.geo.countries import unite, valid_pieces
from segment1b.reference.sources import Features

#: Invalid rows an error lists; the rest is counted.
_LISTED = 10


class Repair(NamedTuple):
    """A repaired row (from 1): key, reason, area in km2 before (as drawn) and after."""

    row: int
    key: str
    reason: str
    before_km2: float
    after_km2: float


@dataclass(frozen=True)
class Drawn:
    """Shapes by key, keys ascending, with the repairs."""

    shapes: dict[str, MultiPolygon]
    repairs: list[Repair]


def draw(features: Features, keys: Sequence[str], *, make_valid: bool) -> Drawn:
    """Return one shape a key, cut at the date line; rows of one key are dissolved.

    `make_valid` repairs invalid rows by the structure of their rings, except those without polygon,
    beyond the globe, or with coordinates that are not numbers. E001_GEO_INVALID lists the others.
    """
    parts: dict[str, list[list[Polygon]]] = {}
    flaws: list[tuple[int, str, str]] = []
    repairs = []
    for row, (key, geometry) in enumerate(zip(keys, features.geometries, strict=True), 1):
        try:
            pieces = valid_pieces(geometry)
        except ValueError as error:
            fixed = _repaired(geometry) if make_valid else None
            if fixed is None:
                flaws.append((row, key, str(error)))
                continue
            drawn, pieces = fixed
            before, after = area_km2([drawn, unite(pieces)]).tolist()
            repairs.append(Repair(row, key, str(error), before, after))
        parts.setdefault(key, []).append(pieces)
    if flaws:
        raise _refused(features, flaws, is_repaired=make_valid)
    return Drawn(_dissolved(parts), repairs)


def _repaired(geometry: Any) -> tuple[MultiPolygon, list[Polygon]] | None:
    """Return a geometry's polygons as drawn, date line undone, and repaired where invalid."""
    drawn: list[Polygon] = []
    pieces: list[Polygon] = []
    try:
        for polygon in _polygons(geometry):
            if not np.isfinite(shapely.get_coordinates(polygon)).all():
                return None
            try:
                valid = valid_pieces(polygon)
                drawn += valid
            except ValueError:
                flat = unwrapped(polygon)
                made = _polygons(shapely.make_valid(flat, method="structure", keep_collapsed=False))
                valid = valid_pieces(MultiPolygon(made))
                drawn.append(flat)
            pieces += valid
    except ValueError:
        return None
    return (MultiPolygon(drawn), pieces) if pieces else None


def _polygons(geometry: Any) -> list[Polygon]:
    """Return the polygons of a geometry in two dimensions, from collections of any depth."""
    parts = shapely.get_parts(shapely.get_parts([geometry]))
    return [shapely.force_2d(p) for p in parts if isinstance(p, Polygon) and not p.is_empty]


def _dissolved(parts: dict[str, list[list[Polygon]]]) -> dict[str, MultiPolygon]:
    shapes = {}
    for key in sorted(parts):
        rows = parts[key]
        if len(rows) == 1:
            shape = unite(rows[0])
        else:
            # This removes the common border of neighbours, which `unite` would keep.
            shape = MultiPolygon(_polygons(shapely.union_all([p for row in rows for p in row])))
        shapes[key] = shapely.normalize(shape)
    return shapes


def _refused(
    features: Features, flaws: Sequence[tuple[int, str, str]], *, is_repaired: bool
) -> Segment1BError:
    rows = [f"row {row}, {key or 'no key'}: {what}" for row, key, what in flaws[:_LISTED]]
    if len(flaws) > _LISTED:
        rows.append(f"and {len(flaws) - _LISTED} more")
    hint = "repair it at its source, or with --make-valid"
    if is_repaired:
        hint = "this cannot be repaired: correct or remove it"
    what = f": polygons that cannot be used: {'; '.join(rows)}"
    row, key, _ = flaws[0]
    return file_error("E001_GEO_INVALID", features.path, what, hint, row=row, country_iso=key)
