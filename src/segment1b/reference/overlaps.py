"""Reports overlaps, gaps and slivers between country polygons.

Areas are those of the WGS84 ellipsoid. A *gap* is a hole in the union of all shapes that two or
more of them border: a lake or sea cut out along a border, or land without a country. A *sliver* is
a piece of a country, and a *thin* gap or overlap one, that is on average less than 100 metres wide
(2 * area / perimeter) and far from round (4 * pi * area / perimeter^2 below 0.1, a strip of 1 to
30): such pieces come from borders that were drawn twice. Width alone would include islets,
roundness alone every country with fjords.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon

from segment1b.geo.areas import area_km2, as_array, equal_area
from segment1b.reference.polygons import Repair

THIN_KM: Final = 0.1
THIN_QUOTIENT: Final = 0.1
#: Square metre: below it a difference is rounding of coordinates.
_LEAST_KM2: Final = 1e-6
#: Findings listed one by one; the rest is counted.
_LISTED: Final = 200
_SHOWN: Final = 10

Shapes = Mapping[str, MultiPolygon]


def audit(shapes: Shapes, repairs: Sequence[Repair]) -> dict[str, Any]:
    """Return repairs, overlaps, gaps and slivers, largest first, as plain values."""
    areas = area_km2(shapes.values())
    return {
        "countries": len(shapes),
        "parts": sum(len(shape.geoms) for shape in shapes.values()),
        "area_km2": _round(float(areas.sum())),
        "repairs": [
            {k: _round(v) if isinstance(v, float) else v for k, v in repair._asdict().items()}
            for repair in repairs
        ],
        "overlaps": _summary(_overlaps(shapes)),
        "gaps": _summary(_gaps(shapes)),
        "slivers": _summary(_slivers(shapes)),
    }


def audit_text(found: Mapping[str, Any]) -> str:
    """Return the report as plain text."""
    lines = [
        f"{found['countries']} countries in {found['parts']:,} pieces, "
        f"{found['area_km2']:,.0f} km2",
        "",
        f"Repairs (--make-valid): {len(found['repairs'])}",
    ]
    lines += [
        f"  {r['key']}, row {r['row']}: {r['reason']}; "
        f"{r['before_km2']:,.3f} -> {r['after_km2']:,.3f} km2"
        for r in found["repairs"]
    ]
    for name, what in (
        ("overlaps", "land that two countries claim"),
        ("gaps", "holes along borders"),
        ("slivers", "thin pieces of a country"),
    ):
        one = found[name]
        lines += ["", f"{name.capitalize()} ({what}): {one['count']}, {one['area_km2']:,.3f} km2"]
        lines += [
            f"  {' and '.join(row['countries'])}: {row['area_km2']:,.3f} km2 at "
            f"{row['lon_deg']:.3f}, {row['lat_deg']:.3f}" + (" (thin)" if row["thin"] else "")
            for row in islice(one["listed"], _SHOWN)
        ]
        if one["count"] > _SHOWN:
            lines.append(f"  and {one['count'] - _SHOWN} more")
    return "\n".join(lines) + "\n"


def _overlaps(shapes: Shapes) -> list[dict[str, Any]]:
    codes, parts = _parts(shapes)
    tree = shapely.STRtree(parts)
    first, second = tree.query(parts, predicate="intersects")
    other = codes[first] < codes[second]
    met: dict[tuple[str, str], list[Polygon]] = {}
    common = shapely.intersection(parts[first[other]], parts[second[other]])
    pairs = zip(codes[first[other]], codes[second[other]], strict=True)
    for pair, shape in zip(pairs, common, strict=True):
        met.setdefault(pair, []).extend(_polygons(shape))
    return _rows((list(pair), MultiPolygon(pieces)) for pair, pieces in met.items() if pieces)


def _gaps(shapes: Shapes) -> list[dict[str, Any]]:
    codes, parts = _parts(shapes)
    union = _polygons(shapely.union_all(parts))
    holes = as_array(Polygon(ring) for part in union for ring in part.interiors)
    hole, part = shapely.STRtree(parts).query(holes, predicate="intersects")
    around: dict[int, set[str]] = {}
    for index, code in zip(hole.tolist(), codes[part], strict=True):
        around.setdefault(index, set()).add(code)
    return _rows(
        (sorted(near), MultiPolygon([holes[index]]))
        for index, near in around.items()
        if len(near) > 1
    )


def _slivers(shapes: Shapes) -> list[dict[str, Any]]:
    codes, parts = _parts(shapes)
    thin = _thin(equal_area(parts))
    return _rows(
        ([code], MultiPolygon([part])) for code, part in zip(codes[thin], parts[thin], strict=True)
    )


def _parts(shapes: Shapes) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    """Return the country of each piece, and the pieces, object[n] each."""
    parts, owner = shapely.get_parts(as_array(shapes.values()), return_index=True)
    return np.array(list(shapes), object)[owner], parts


def _rows(found: Iterable[tuple[list[str], MultiPolygon]]) -> list[dict[str, Any]]:
    """Return findings larger than rounding, largest first."""
    listed = list(found)
    shapes = [shape for _, shape in listed]
    plane = equal_area(shapes)
    rows = []
    for (codes, shape), area, thin in zip(listed, shapely.area(plane), _thin(plane), strict=True):
        if area >= _LEAST_KM2:
            at = shapely.point_on_surface(shape)
            rows.append(
                {
                    "countries": codes,
                    "area_km2": _round(float(area)),
                    "thin": bool(thin),
                    "lon_deg": _round(at.x),
                    "lat_deg": _round(at.y),
                }
            )
    return sorted(rows, key=lambda row: (-row["area_km2"], row["countries"], row["lon_deg"]))


def _thin(plane: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Return which shapes on the equal-area plane, in kilometres, are thin."""
    area, around = shapely.area(plane), shapely.length(plane)
    thin: npt.NDArray[np.bool_] = (2 * area < THIN_KM * around) & (
        4 * np.pi * area < THIN_QUOTIENT * around**2
    )
    return thin


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "count": len(rows),
        "area_km2": _round(sum(row["area_km2"] for row in rows)),
        "listed": rows[:_LISTED],
    }


def _polygons(shape: Any) -> list[Polygon]:
    parts = shapely.get_parts(shapely.get_parts([shape]))
    return [part for part in parts if isinstance(part, Polygon) and not part.is_empty]


def _round(value: float) -> float:
    # Square metres and decimetres: further digits are noise of the projection.
    return round(value, 6)
