"""Figures that are taken only where the policy bounds them, and the bounds that it enforces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b.audit.case import RASTER, Case
from segment1b.audit.grid import Grid, grid_of
from segment1b.audit.merchants import EVERYTHING
from segment1b.audit.results import Row
from segment1b.audit.s4.load_errors import country_figures
from segment1b.audit.strides import COUNTRY, by_country
from segment1b.contracts.locations import POLICIES, read_yaml
from segment1b.contracts.program import contracts_root
from segment1b.contracts.states import URBAN
from segment1b.storage.rasters import open_raster

Figures = dict[str, Any]
_POINTS = f"SELECT {COUNTRY}, lon_deg, lat_deg FROM site_locations"  # noqa: S608
_BY_TRADE = f"""
SELECT
    legal_country_iso AS code, coalesce(trade, '{EVERYTHING}') AS trade, tile_id, count(*) AS n
FROM s7_site_synthesis LEFT JOIN merchant_trade USING (merchant_id)
GROUP BY ALL ORDER BY ALL
"""  # noqa: S608


def policy_of(case: Case) -> dict[str, Any]:
    """Return the realism policy; bounds that its document leaves out are those of the contract."""
    path = contracts_root() / POLICIES / "realism.yaml"
    return {**read_yaml(path, "E_POLICY_INVALID")["realism"], **case.policy("realism")}


def fullest_shares(rows: list[dict[str, Any]], figures: Figures) -> None:
    """Add the share of the fullest tile of the world and of each country."""
    total = sum(row["sites"] for row in rows)
    figures["fullest_tile_share"] = max(row["fullest"] for row in rows) / total
    for row in rows:
        own = figures["by_country"][row["code"]]
        own["fullest_tile_share"] = row["fullest"] / row["sites"]


def points_by_country(case: Case) -> dict[str, npt.NDArray[np.float64]]:
    """Return longitudes and latitudes of the sites of each country, float64[2, n], in key order."""
    parts: dict[str, list[npt.NDArray[np.float64]]] = {}
    for code, points in by_country(case, _POINTS):
        parts.setdefault(code, []).append(np.stack([points["lon_deg"], points["lat_deg"]]))
    return {code: np.concatenate(own, axis=1) for code, own in parts.items()}


def urban_shares(case: Case, trades: Mapping[str, Any], figures: Figures) -> None:
    """Add by trade the sites and the share of them in tiles that touch an urban cell."""
    rows = [row for row in case.session.rows(_BY_TRADE) if row["trade"] in trades]
    urban = _urban(case, sorted({row["tile_id"] for row in rows}))
    places = [figures, *figures["by_country"].values()]
    for place in places:
        place["urban_share"] = {}
    for row in rows:
        hit = row["n"] if row["tile_id"] in urban else 0
        for place in (figures, figures["by_country"].get(row["code"], {"urban_share": {}})):
            own = place["urban_share"].setdefault(row["trade"], {"sites": 0, "share": 0})
            own["sites"] += row["n"]
            own["share"] += hit
    for place in places:
        for own in place["urban_share"].values():
            own["share"] = own["share"] / own["sites"]


def _urban(case: Case, tiles: list[int]) -> set[int]:
    """Return the tiles whose rectangle holds the middle of an urban cell, or lies in one."""
    layer, grid = grid_of(case.published, URBAN), grid_of(case.published, RASTER)
    with open_raster(case.published.path(URBAN)) as source:
        cells = source.read(1)
        if source.nodata is not None:
            cells[cells == source.nodata] = 0
    if grid.a < layer.a * 0.75:
        return {tile for tile in tiles if cells[_cell_at(grid, layer, tile)] > 0}
    row, col = np.nonzero(cells)
    north, east = layer.y0 - layer.b * (row + 0.5), layer.x0 + layer.a * (col + 0.5)
    tile_row = np.floor((grid.y0 - north) / grid.b)
    tile_col = np.floor((east - grid.x0) % 360 / grid.a)
    inside = (tile_row >= 0) & (tile_row < grid.nrows) & (tile_col < grid.ncols)
    ids = (tile_row * grid.ncols + tile_col)[inside].astype(np.int64)
    return set(tiles) & set(np.unique(ids).tolist())


def _cell_at(grid: Grid, layer: Grid, tile: int) -> tuple[int, int]:
    """Return row and column of the cell that holds the middle of a tile."""
    row, col = divmod(tile, grid.ncols)
    lat, lon = grid.y0 - grid.b * (row + 0.5), grid.x0 + grid.a * (col + 0.5)
    return int((layer.y0 - lat) // layer.b), int((lon - layer.x0) % 360 // layer.a)


def enforced(case: Case, policy: Mapping[str, Any], figures: Figures) -> Iterator[Row]:
    """Yield the figures beyond the bounds that warn and, where the policy enforces them, fail."""
    for code, figure, found, low, high in _bounded(case, policy, figures):
        if (low is not None and found < low) or (high is not None and found > high):
            bounds = {"found": found, "minimum": low, "maximum": high}
            yield {"field": figure, "country_iso": code, **bounds}


_Bounded = tuple[str, str, float, float | None, float | None]


def _bounded(case: Case, policy: Mapping[str, Any], figures: Figures) -> Iterator[_Bounded]:
    quality = {code: country_figures(case, code) for code in sorted(figures["by_country"])}
    distinct = sum(own["distinct"] for own in quality.values())
    expected = sum(own["expected"] for own in quality.values())
    least, few, many = (policy[n] for n in ("min_collapse_index", "few_sites", "many_sites"))
    yield "", "collapse_index", distinct / expected if expected else 0.0, least, None
    # realism.json has distances to the metre.
    metres = round(1000 * figures["nearest_neighbour_km"]["p50"])
    yield "", "nearest_outlet_m", metres, policy["min_nearest_outlet_m"], None
    yield from _shares("", figures, policy)
    for code, own in quality.items():
        row = figures["by_country"][code]
        n = row["sites"]
        if n < few:
            continue
        yield code, "collapse_index", own["collapse_index"], least, None
        per_root, metres = policy["max_tile_error"], row.get("nearest_outlet_m")
        if per_root is not None:
            yield code, "tile_load_error_max", own["tile_load_error_max"], None, per_root * n**0.5
        if metres is not None:
            yield code, "nearest_outlet_m", round(metres), policy["min_nearest_outlet_m"], None
        if n >= many:
            yield code, "distinct_tiles", own["distinct"], policy["min_distinct_tiles"], None
            span = row["latitude_span_share"]
            yield code, "latitude_span_share", span, policy["min_latitude_span_share"], None
            yield from _shares(code, row, policy)
        else:
            yield from _urban_bounds(code, row, policy)


def _shares(code: str, row: Mapping[str, Any], policy: Mapping[str, Any]) -> Iterator[_Bounded]:
    if "fullest_tile_share" in row:
        most = policy["max_fullest_tile_share"]
        yield code, "fullest_tile_share", row["fullest_tile_share"], None, most
    yield from _urban_bounds(code, row, policy)


def _urban_bounds(
    code: str, row: Mapping[str, Any], policy: Mapping[str, Any]
) -> Iterator[_Bounded]:
    for trade, own in row.get("urban_share", {}).items():
        if own["sites"] >= policy["many_sites"]:
            yield code, f"urban_share {trade}", own["share"], *policy["urban_share"][trade]
