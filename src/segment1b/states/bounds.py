"""Bounds of the policy on what correct locations look like: piles, full tiles, empty regions.

The law is docs/spec/s9-proof.md#bounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segment1b.contracts.policy import RealismPolicy
from segment1b.geo.grid import Grid
from segment1b.geo.layers import open_layer
from segment1b.states.quality import digits, neighbours
from segment1b.storage.arrays import distinct

Row = Mapping[str, Any]
Floats = npt.NDArray[np.float64]
UInt64s = npt.NDArray[np.uint64]


class Concern(NamedTuple):
    """A figure beyond a bound of the policy.

    Attributes:
        bound: the key of the policy.
        country: ISO code; empty for the world.
        found: the figure.
        minimum, maximum: the bound on it; None where there is none.
        trade: of whose outlets alone the figure is, or empty.
    """

    bound: str
    country: str
    found: float
    minimum: float | None = None
    maximum: float | None = None
    trade: str = ""


def concerns(plan: Row, realism: Row, policy: RealismPolicy) -> list[Concern]:
    """Return the figures that are beyond the bounds that warn, those of the world first.

    Args:
        plan: the run report of S4; empty where there is none.
        realism: realism.json of S9; empty without a proof.
        policy: the bounds.
    """
    median = realism.get("nearest_neighbour_km", {}).get("p50")
    world = {
        "collapse_index": plan.get("collapse_index"),
        "nearest_outlet_m": None if median is None else float(round(1000 * median)),
        "fullest_tile_share": realism.get("fullest_tile_share"),
        "urban_share": realism.get("urban_share", {}),
    }
    found = [*_of_world_and_countries("", world, policy, judged=True)]
    quality, spread = plan.get("quality_by_country", {}), realism.get("by_country", {})
    for code in sorted({*quality, *spread}):
        row = {**spread.get(code, {}), **quality.get(code, {})}
        if row["sites"] >= policy.few_sites:
            found += _of_country(code, row, policy)
    return [
        one
        for one in found
        if (one.minimum is not None and one.found < one.minimum)
        or (one.maximum is not None and one.found > one.maximum)
    ]


def _of_country(code: str, row: Row, policy: RealismPolicy) -> Iterator[Concern]:
    """Yield the bounded figures of a country with some outlets."""
    many = row["sites"] >= policy.many_sites
    yield from _of_world_and_countries(code, row, policy, judged=many)
    if "tile_load_error_max" in row and policy.max_tile_error is not None:
        most = policy.max_tile_error * math.sqrt(row["sites"])
        yield Concern("max_tile_error", code, row["tile_load_error_max"], maximum=most)
    if many and "distinct_tiles" in row:
        least = policy.min_distinct_tiles
        yield Concern("min_distinct_tiles", code, row["distinct_tiles"], minimum=least)
    if many and "latitude_span_share" in row:
        share = policy.min_latitude_span_share
        yield Concern("min_latitude_span_share", code, row["latitude_span_share"], minimum=share)


def _of_world_and_countries(
    code: str, row: Row, policy: RealismPolicy, *, judged: bool
) -> Iterator[Concern]:
    """Yield the bounded figures that the world has too; `judged`: it has many outlets."""
    if (index := row.get("collapse_index")) is not None:
        yield Concern("min_collapse_index", code, index, minimum=policy.min_collapse_index)
    if (metres := row.get("nearest_outlet_m")) is not None:
        yield Concern("min_nearest_outlet_m", code, metres, minimum=policy.min_nearest_outlet_m)
    if (share := row.get("fullest_tile_share")) is not None and judged:
        yield Concern("max_fullest_tile_share", code, share, maximum=policy.max_fullest_tile_share)
    for trade, urban in row.get("urban_share", {}).items():
        if urban["sites"] >= policy.many_sites:
            low, high = policy.urban_share[trade]
            yield Concern("urban_share", code, urban["share"], low, high, trade)


class Located(NamedTuple):
    """The sites of a country.

    Attributes:
        lon, lat: float64[n], degrees.
        tile: uint64[n], tile ids.
        trade: object[n], ids of trades; None unless the policy bounds urban shares.
    """

    lon: Floats
    lat: Floats
    tile: UInt64s
    trade: npt.NDArray[np.object_] | None = None


def add_bounded(
    figures: dict[str, Any],
    sites: Mapping[str, Located],
    policy: RealismPolicy,
    seed: int,
    urban: tuple[Path, Grid] | None = None,
) -> None:
    """Add to the figures of realism.json those that are taken only where the policy bounds them.

    `urban` is the layer of urban cells and the grid of the tiles, where a bound needs them.
    """
    total, rows = sum(len(points.lon) for points in sites.values()), figures["by_country"]
    if policy.max_fullest_tile_share is not None:
        fullest = {code: _fullest(points.tile) for code, points in sites.items()}
        figures["fullest_tile_share"] = digits(max(fullest.values()) / total)
        for code, n in fullest.items():
            rows[code]["fullest_tile_share"] = digits(n / len(sites[code].lon))
    if policy.min_nearest_outlet_m is not None:
        for code, points in sites.items():
            km = neighbours(points.lon, points.lat, policy.neighbour_sample, seed)["p50"]
            rows[code]["nearest_outlet_m"] = float(round(1000 * km))
    if urban is not None:
        everywhere: dict[str, tuple[int, int]] = {}
        for code, points in sites.items():
            counts = _urban(points, policy, *urban)
            rows[code]["urban_share"] = _shares(counts)
            for trade, (n, hit) in counts.items():
                before = everywhere.get(trade, (0, 0))
                everywhere[trade] = (before[0] + n, before[1] + hit)
        figures["urban_share"] = _shares(everywhere)


def _fullest(tile: UInt64s) -> int:
    ids = distinct(tile)
    return int(np.bincount(np.searchsorted(ids, tile)).max())


def _urban(
    points: Located, policy: RealismPolicy, layer: Path, grid: Grid
) -> dict[str, tuple[int, int]]:
    """Return by trade the sites, and those of them in tiles with an urban cell."""
    row, col = np.divmod(points.tile, np.uint64(grid.ncols))
    cells, _ = open_layer(layer, grid).copied(row.astype(np.uint32), col.astype(np.uint32))
    found = {}
    for trade in sorted(policy.urban_share):
        mine = points.trade == trade
        if n := int(np.count_nonzero(mine)):
            found[trade] = (n, int(np.count_nonzero(cells[mine])))
    return found


def _shares(counts: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, Any]]:
    return {trade: {"sites": n, "share": digits(hit / n)} for trade, (n, hit) in counts.items()}
