"""Shapes of countries and time zones from imported polygons: checked, cut, dissolved by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon

from segment1b.errors import Segment1BError, file_error, schema_invalid
from segment1b.geo.antimeridian import unwrapped
from segment1b.geo.areas import area_km2, as_array
from segment1b.geo.countries import unite, valid_pieces
from segment1b.reference.sources import Features

#: Invalid rows an error lists; the rest is counted.
_LISTED = 10

#: Shapes of countries or zones by their key.
Shapes: TypeAlias = Mapping[str, MultiPolygon]


class Repair(NamedTuple):
    """A repaired row (from 1): key, reason, area in km2 before (as drawn) and after."""

    row: int
    key: str
    reason: str
    before_km2: float
    after_km2: float


def draw(features: Features, *, make_valid: bool) -> tuple[Shapes, list[Repair]]:
    """Return one shape a key, keys ascending, cut at the date line; rows of one key are dissolved.

    `make_valid` repairs invalid rows by the structure of their rings, except those without polygon,
    beyond the globe, or with coordinates that are not numbers. E001_GEO_INVALID lists the others;
    E_INPUT_SCHEMA_INVALID is raised where there is no row.
    """
    parts: dict[str, list[list[Polygon]]] = {}
    flaws: list[tuple[int, str, str]] = []
    repairs = []
    for row, (key, geometry) in enumerate(zip(features.keys, features.geometries, strict=True), 1):
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
    if not parts:
        hint = "check the column of keys and the layer"
        raise schema_invalid(features.path, ": no row is left", hint)
    return {key: _dissolved(parts[key]) for key in sorted(parts)}, repairs


def _repaired(geometry: Any) -> tuple[MultiPolygon, list[Polygon]] | None:
    """Return a geometry's polygons as drawn, date line undone, and repaired where invalid."""
    drawn: list[Polygon] = []
    pieces: list[Polygon] = []
    try:
        for polygon in polygons(geometry):
            if not np.isfinite(shapely.get_coordinates(polygon)).all():
                return None
            try:
                valid = valid_pieces(polygon)
                drawn += valid
            except ValueError:
                flat = unwrapped(polygon)
                made = polygons(shapely.make_valid(flat, method="structure", keep_collapsed=False))
                valid = valid_pieces(MultiPolygon(made))
                drawn.append(flat)
            pieces += valid
    except ValueError:
        return None
    return (MultiPolygon(drawn), pieces) if pieces else None


def polygons(geometry: Any) -> list[Polygon]:
    """Return the polygons of a geometry in two dimensions, from collections of any depth."""
    parts = shapely.get_parts(shapely.get_parts([geometry]))
    return [shapely.force_2d(p) for p in parts if isinstance(p, Polygon) and not p.is_empty]


def pieces_of(shapes: Shapes) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    """Return the key of each piece of the shapes, and the pieces, object[n] each."""
    parts, owner = shapely.get_parts(as_array(shapes.values()), return_index=True)
    return np.array(list(shapes), object)[owner], parts


def _dissolved(rows: list[list[Polygon]]) -> MultiPolygon:
    if len(rows) == 1:
        shape = unite(rows[0])
    else:
        # This removes the common border of neighbours, which `unite` would keep.
        shape = MultiPolygon(polygons(shapely.union_all([part for row in rows for part in row])))
    normal: MultiPolygon = shapely.normalize(shape)
    return normal


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
