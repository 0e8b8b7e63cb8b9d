"""Reports overlaps, gaps and slivers between country polygons (docs/reference.md).

Areas are those of the WGS84 ellipsoid. A *gap* is a hole in the union of all shapes that two or
more of them border.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon

from segment1b.geo.areas import area_km2, as_array, equal_area
from segment1b.reference.polygons import Repair, Shapes, pieces_of, polygons

#: A thin piece is on average narrower than this (2 * area / perimeter), and far from round
#: (4 * pi * area / perimeter^2; a strip of 1 to 30 has 0.1): such pieces come from borders that
#: were drawn twice. Width alone would include islets, roundness alone every country with fjords.
_THIN_KM: Final = 0.1
_THIN_QUOTIENT: Final = 0.1
#: Square metre: below it a difference is rounding of coordinates.
_LEAST_KM2: Final = 1e-6
#: Findings listed one by one; the rest is counted.
_LISTED: Final = 200
_SHOWN: Final = 10

Objects = npt.NDArray[np.object_]
#: The countries concerned, and the land.
Finding = tuple[list[str], MultiPolygon]


def audit(shapes: Shapes, repairs: Sequence[Repair]) -> dict[str, Any]:
    """Return repairs, overlaps, gaps and slivers, largest first, as plain values."""
    codes, parts = pieces_of(shapes)
    return {
        "countries": len(shapes),
        "parts": len(parts),
        "area_km2": _round(float(area_km2(shapes.values()).sum())),
        "repairs": [
            {k: _round(v) if isinstance(v, float) else v for k, v in repair._asdict().items()}
            for repair in repairs
        ],
        "overlaps": _summary(_overlaps(codes, parts)),
        "gaps": _summary(_gaps(codes, parts)),
        "slivers": _summary(_slivers(codes, parts)),
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


def _overlaps(codes: Objects, parts: Objects) -> Iterator[Finding]:
    first, second = shapely.STRtree(parts).query(parts, predicate="intersects")
    other = codes[first] < codes[second]
    met: dict[tuple[str, str], list[Polygon]] = {}
    common = shapely.intersection(parts[first[other]], parts[second[other]])
    pairs = zip(codes[first[other]], codes[second[other]], strict=True)
    for pair, shape in zip(pairs, common, strict=True):
        met.setdefault(pair, []).extend(polygons(shape))
    return ((list(pair), MultiPolygon(pieces)) for pair, pieces in met.items() if pieces)


def _gaps(codes: Objects, parts: Objects) -> Iterator[Finding]:
    union = polygons(shapely.union_all(parts))
    holes = as_array(Polygon(ring) for part in union for ring in part.interiors)
    hole, part = shapely.STRtree(parts).query(holes, predicate="intersects")
    around: dict[int, set[str]] = {}
    for index, code in zip(hole.tolist(), codes[part], strict=True):
        around.setdefault(index, set()).add(code)
    gaps = ((index, near) for index, near in around.items() if len(near) > 1)
    return ((sorted(near), MultiPolygon([holes[index]])) for index, near in gaps)


def _slivers(codes: Objects, parts: Objects) -> Iterator[Finding]:
    thin = _thin(equal_area(parts))
    pairs = zip(codes[thin], parts[thin], strict=True)
    return (([code], MultiPolygon([part])) for code, part in pairs)


def _summary(findings: Iterable[Finding]) -> dict[str, Any]:
    """Return findings larger than rounding, largest first."""
    found = list(findings)
    plane = equal_area(shape for _, shape in found)
    rows: list[dict[str, Any]] = []
    for (codes, shape), area, thin in zip(found, shapely.area(plane), _thin(plane), strict=True):
        if area >= _LEAST_KM2:
            at = shapely.point_on_surface(shape)
            row: dict[str, Any] = {
                "countries": codes,
                "area_km2": _round(float(area)),
                "thin": bool(thin),
            }
            rows.append({**row, "lon_deg": _round(at.x), "lat_deg": _round(at.y)})
    rows.sort(key=lambda row: (-row["area_km2"], row["countries"], row["lon_deg"]))
    area_of_all = _round(sum(row["area_km2"] for row in rows))
    return {"count": len(rows), "area_km2": area_of_all, "listed": rows[:_LISTED]}


def _thin(plane: Objects) -> npt.NDArray[np.bool_]:
    """Return which shapes on the equal-area plane, in kilometres, are thin."""
    area, around = shapely.area(plane), shapely.length(plane)
    thin: npt.NDArray[np.bool_] = (2 * area < _THIN_KM * around) & (
        4 * np.pi * area < _THIN_QUOTIENT * around**2
    )
    return thin


def _round(value: float) -> float:
    # Square metres and decimetres: further digits are noise of the projection.
    return round(value, 6)
