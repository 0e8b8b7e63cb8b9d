"""Packs what the map and the tables of the page need: outlines, sites, bins and tiles."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection as Database

from segment1b.geo.grid import Grid

#: Sites that are embedded one by one; of more, every k-th one.
SITES_MOST = 60_000
#: Tiles of a country that are embedded, the heaviest.
TILES_MOST = 1_500
#: Pairs of merchant and country whose counts are embedded; of more, none.
PAIRS_MOST = 200_000
_COARSEST_DEG, _FINEST_DEG = 0.5, 1 / 512
_BINS_ACROSS = 300
_OUTLINE_SCALE = 10_000
_KINDS = ("u1", "u2", "u4")
Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]


class Packer:
    """Collects arrays and writes them, after the document that refers to them, as one text."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, values: Any, kind: str = "") -> dict[str, Any]:
        """Return a reference to an array: kind, first byte and length.

        Without a kind (f8, i4, u8), whole numbers from 0 get the smallest unsigned one, or f8.
        """
        array = np.asarray(values)
        kind = kind or _smallest(array)
        raw = np.ascontiguousarray(array).astype(np.dtype(f"<{kind}")).tobytes()
        first = self._size
        # A typed array starts at a multiple of its width.
        padded = raw + bytes(-len(raw) % 8)
        self._parts.append(padded)
        self._size += len(padded)
        return {"$": [kind, first, len(array)]}

    def text(self, document: Any) -> str:
        """Return base64 of gzip of: length of the document (8 bytes), the document, the arrays."""
        head = json.dumps(document, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
        head += b" " * (-len(head) % 8)
        whole = b"".join([len(head).to_bytes(8, "little"), head, *self._parts])
        return base64.b64encode(gzip.compress(whole, 6, mtime=0)).decode()


def _smallest(array: npt.NDArray[Any]) -> str:
    most = int(array.max(initial=0))
    return next((kind for kind in _KINDS if most < 1 << (8 * int(kind[1]))), "f8")


def outlines_of(packer: Packer, features: Mapping[str, Any], places: Mapping[str, int]) -> Any:
    """Return rings of outlines: lengths, countries, outer or hole, and steps of 1/10,000 degree.

    A country of the polygons without tiles or outlets has the number 65535.
    """
    rings, country, outer = [], [], []
    for feature in features["features"]:
        for piece in feature["geometry"]["coordinates"]:
            for number, ring in enumerate(piece):
                rings.append(np.rint(np.array(ring) * _OUTLINE_SCALE).astype(np.int64))
                country.append(places.get(feature["id"], 65535))
                outer.append(number == 0)
    points = np.concatenate([*rings, np.empty((0, 2), np.int64)])
    steps = np.diff(points, axis=0, prepend=0)
    return {
        "length": packer.add([len(ring) for ring in rings]),
        "country": packer.add(country),
        "outer": packer.add(np.array(outer, np.uint8)),
        "x": packer.add(steps[:, 0], "i4"),
        "y": packer.add(steps[:, 1], "i4"),
    }


def frames_of(features: Mapping[str, Any]) -> dict[str, list[list[float]]]:
    """Return west, south, east and north of the pieces of each country, degrees, largest first."""
    frames = {}
    for feature in features["features"]:
        boxes = []
        for piece in feature["geometry"]["coordinates"]:
            ring = np.array(piece[0])
            low, high = ring.min(axis=0), ring.max(axis=0)
            boxes.append((float(np.prod(high - low)), [*low.tolist(), *high.tolist()]))
        frames[feature["id"]] = [box for _, box in sorted(boxes, reverse=True)]
    return frames


def sites_of(packer: Packer, sites: Columns, every: int, places: Mapping[str, int]) -> Any:
    """Return the sites that the page shows one by one; `every`, one of how many is shown.

    Coordinates are in millionths of a degree. weight, line, blocks, lane and centre are there where
    the run has published them.
    """
    found: dict[str, Any] = {
        "every": every,
        "lon": packer.add(np.rint(np.asarray(sites["lon_deg"]) * 1e6), "i4"),
        "lat": packer.add(np.rint(np.asarray(sites["lat_deg"]) * 1e6), "i4"),
        "country": packer.add(numbers(sites["legal_country_iso"], places)),
        "merchant": packer.add(sites["merchant"]),
        "order": packer.add(sites["site_order"]),
        "tile": packer.add(sites["tile_id"]),
    }
    for name in ("weight", "line", "blocks", "lane", "centre"):
        if name in sites:
            found[name] = packer.add(sites[name])
    return found


def pairs_of(database: Database) -> dict[str, Any] | None:
    """Return merchant_id, code and n of each pair with sites; None for more than PAIRS_MOST."""
    pairs: dict[str, Any] = database.execute(
        "SELECT merchant_id, legal_country_iso AS code, count(*) AS n FROM s7_site_synthesis "
        "GROUP BY ALL ORDER BY merchant_id, code LIMIT ?",
        [PAIRS_MOST + 1],
    ).fetchnumpy()
    return pairs if len(pairs["n"]) <= PAIRS_MOST else None


def bins_of(packer: Packer, database: Database, places: Mapping[str, int]) -> Any:
    """Return the sites of each country counted in bins, for low zoom.

    The bins are as many across the locations at any extent: of 0.5 degrees for a world, finer
    for less.
    """
    low_lon, high_lon, low_lat, high_lat = database.execute(
        "SELECT min(lon_deg), max(lon_deg), min(lat_deg), max(lat_deg) FROM s7_site_synthesis"
    ).fetchall()[0]
    extent, degrees = max(high_lon - low_lon, high_lat - low_lat), _COARSEST_DEG
    while degrees > _FINEST_DEG and extent < degrees * _BINS_ACROSS:
        degrees /= 2
    rows = database.execute(
        "SELECT floor(lon_deg / $1)::INT AS x, floor(lat_deg / $1)::INT AS y, "
        "legal_country_iso AS code, count(*) AS n FROM s7_site_synthesis "
        "GROUP BY x, y, code ORDER BY y, x, code",
        [degrees],
    ).fetchnumpy()
    return {
        "degrees": degrees,
        "x": packer.add(rows["x"], "i4"),
        "y": packer.add(rows["y"], "i4"),
        "country": packer.add(numbers(rows["code"], places)),
        "n": packer.add(rows["n"]),
    }


def tiles_of(
    packer: Packer,
    heaviest: Mapping[str, tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]],
    grid: Grid,
    scale: int,
) -> Any:
    """Return the heaviest tiles by country, weights as logarithms in a byte, and their grid."""
    by_country = {}
    for code, (ids, weights) in heaviest.items():
        order = np.argsort(ids)
        share = weights[order] / max(1, int(weights.max()))
        level = np.rint(255 + np.log10(np.maximum(share, 1e-4)) * 63.75)
        row, column = np.divmod(ids[order].astype(np.int64), grid.ncols)
        by_country[code] = {
            "row": packer.add(row),
            "column": packer.add(column),
            "level": packer.add(np.clip(level, 0, 255)),
            "share": round(int(weights.sum()) / scale, 4),
        }
    axes = {name: getattr(grid, name) for name in ("x0", "y0", "a", "b", "ncols")}
    return {"grid": axes, "by_country": by_country}


def places(codes: Sequence[str]) -> dict[str, int]:
    """Return the number of each country by its code."""
    return {code: number for number, code in enumerate(codes)}


def numbers(codes: Any, places: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Return the number of each country code."""
    names, which = np.unique(np.asarray(codes, dtype="U2"), return_inverse=True)
    return np.array([places[str(name)] for name in names], np.int64)[which]
