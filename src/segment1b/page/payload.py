"""Packs sites, bins of sites and the heaviest tiles as arrays for the map of the page."""

from __future__ import annotations

import base64
from typing import Any

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
_BIN_DEG = 0.5


def sites_of(database: Database, total: int, places: dict[str, int]) -> dict[str, Any]:
    """Return the sites that the page shows one by one, and the counts of all pairs.

    merchants: ascending ids, of all pairs or else of the sites shown. pairs: index in `merchants`,
    index of the country and n; None for more than PAIRS_MOST. sites: `every`, one of how many is
    shown, and their columns.
    """
    every = max(1, -(-total // SITES_MOST))
    rows = database.execute(
        "SELECT lon_deg, lat_deg, legal_country_iso, merchant_id, site_order, tile_id "
        "FROM s7_site_synthesis WHERE row_number % ? = 0 ORDER BY row_number",
        [every],
    ).fetchnumpy()
    pairs = database.execute(
        "SELECT merchant_id, legal_country_iso AS code, count(*) AS n FROM s7_site_synthesis "
        "GROUP BY ALL ORDER BY merchant_id, code LIMIT ?",
        [PAIRS_MOST + 1],
    ).fetchnumpy()
    whole = len(pairs["n"]) <= PAIRS_MOST
    merchants = np.unique((pairs if whole else rows)["merchant_id"])
    return {
        "merchants": packed(merchants, np.uint64),
        "pairs": {
            "merchant": packed(np.searchsorted(merchants, pairs["merchant_id"]), np.uint32),
            "country": packed(numbers(pairs["code"], places), np.uint16),
            "n": packed(pairs["n"], np.uint32),
        }
        if whole
        else None,
        "sites": {
            "every": every,
            "lon": packed(rows["lon_deg"], np.float32),
            "lat": packed(rows["lat_deg"], np.float32),
            "country": packed(numbers(rows["legal_country_iso"], places), np.uint16),
            "merchant": packed(np.searchsorted(merchants, rows["merchant_id"]), np.uint32),
            "order": packed(rows["site_order"], np.uint32),
            "tile": packed(rows["tile_id"], np.float64),
        },
    }


def bins_of(database: Database, places: dict[str, int]) -> dict[str, Any]:
    """Return the sites of each country counted in bins of half a degree, for low zoom."""
    rows = database.execute(
        f"SELECT floor(lon_deg / {_BIN_DEG}) AS x, floor(lat_deg / {_BIN_DEG}) AS y, "  # noqa: S608
        "legal_country_iso AS code, count(*) AS n FROM s7_site_synthesis "
        "GROUP BY x, y, code ORDER BY x, y, code"
    ).fetchnumpy()
    return {
        "lon": packed((np.asarray(rows["x"]) + 0.5) * _BIN_DEG, np.float32),
        "lat": packed((np.asarray(rows["y"]) + 0.5) * _BIN_DEG, np.float32),
        "country": packed(numbers(rows["code"], places), np.uint16),
        "n": packed(rows["n"], np.uint32),
    }


def tiles_of(
    heaviest: dict[str, tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]],
    grid: Grid,
    scale: int,
) -> dict[str, Any]:
    """Return the heaviest tiles by country, weights as logarithms in a byte, and their grid."""
    by_country = {}
    wide = grid.nrows * grid.ncols > 1 << 32
    for code, (ids, weights) in heaviest.items():
        share = weights / max(1, int(weights.max()))
        level = np.rint(255 + np.log10(np.maximum(share, 1e-4)) * 63.75)
        by_country[code] = {
            "ids": packed(ids, np.float64 if wide else np.uint32),
            "level": packed(np.clip(level, 0, 255), np.uint8),
            "share": round(int(weights.sum()) / scale, 4),
        }
    return {
        "grid": {
            "x0": grid.x0,
            "y0": grid.y0,
            "a": grid.a,
            "b": grid.b,
            "ncols": grid.ncols,
            "wide": wide,
        },
        "by_country": by_country,
    }


def packed(values: Any, kind: Any) -> str:
    """Return numbers as base64 over little-endian bytes of that type."""
    array = np.ascontiguousarray(np.asarray(values).astype(kind))
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def numbers(codes: Any, places: dict[str, int]) -> npt.NDArray[np.int64]:
    """Return the number of each country code."""
    names, which = np.unique(np.asarray(codes, dtype="U2"), return_inverse=True)
    return np.array([places[str(name)] for name in names], np.int64)[which]
