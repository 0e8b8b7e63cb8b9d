"""Collects what the page shows of one run: head, map, tables, charts, chain and checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection as Database

from segment1b.geo.countries import read_countries
from segment1b.geo.grid import read_grid
from segment1b.geo.outlines import outlines
from segment1b.page import charts, payload
from segment1b.page.chain import chain_of
from segment1b.page.checks import checks_of
from segment1b.page.head import figures_of, head_of
from segment1b.page.measured import measured_of
from segment1b.page.place_names import place_names
from segment1b.page.published import World, open_tables
from segment1b.page.reasons import CENTRE_EVENTS, EVENTS, names_of, shown_sites
from segment1b.page.trades import (
    MerchantTrades,
    add_views,
    expected,
    legend_of,
    outlets_by_trade,
    trades_of,
    weight_tables,
)

_TABLES = ("s3_requirements", "s4_alloc_plan", "s7_site_synthesis", EVENTS)
_WEIGHED_BY = {"area_m2": "area", "uniform": "number of cells"}


def run_of(world: World) -> dict[str, Any]:
    """Return what the template and the script need of one run."""
    trades = trades_of(world)
    log = [CENTRE_EVENTS] if world.policy.get("jitter", {}).get("centres") else []
    with open_tables(world, (*_TABLES, *weight_tables(trades), *log)) as (database, views):
        add_views(database, views, trades)
        return _run_of(world, database, views, trades)


def _run_of(
    world: World, database: Database, views: set[str], trades: MerchantTrades
) -> dict[str, Any]:
    placed = world.reports.get("s7", {}).get("by_country", {})
    sites = {code: int(row["sites"]) for code, row in placed.items()}
    heavy = _heaviest(database) if "tile_weights" in views else {}
    packer = payload.Packer()
    map_ = _map(world, packer, sites, heavy)
    if "s7_site_synthesis" in views:
        map_ |= _outlets(world, database, views, packer, map_, trades)
    drawn = _charts(world, database, views, sites, bool(trades.used))
    figures = {chart.id: chart.figure for chart in drawn if chart.figure}
    return {
        "head": head_of(world, figures_of(world, sites)),
        "chain": chain_of(world),
        "checks": checks_of(world),
        "failed": world.failed,
        "figures": figures_of(world, sites),
        "charts": drawn,
        "measured": measured_of(world, outlets_by_trade(database, trades) if placed else {}),
        "payload": packer.text({"map": map_, "charts": figures}),
    }


def _map(
    world: World, packer: payload.Packer, sites: Mapping[str, int], heavy: Mapping[str, Any]
) -> dict[str, Any]:
    """Return countries with their figures, outlines and heaviest tiles."""
    codes = sorted(set(sites) | set(world.reports.get("s1", {}).get("by_country", {})))
    polygons, raster = world.path("world_countries"), world.path("population_raster_2025")
    features = outlines(read_countries(polygons) if polygons.exists() else {})
    quality = world.reports.get("s4", {}).get("quality_by_country", {})
    frames = payload.frames_of(features)
    found: dict[str, Any] = {
        "countries": codes,
        "frames": {code: boxes[0] for code, boxes in frames.items()},
        "places": place_names(packer, frames),
        "outlines": payload.outlines_of(packer, features, payload.places(codes)),
        "sites_by_country": sites,
        "quality": {
            code: [row["distinct_tiles"], row["collapse_index"], row["top_five_share"]]
            for code, row in quality.items()
        },
        "law": world.policy.get("allocation", {}).get("law", ""),
    }
    if heavy:
        found["scale"] = scale = 10 ** int(world.policy["prep"]["dp"])
        if raster.exists():
            found["tiles"] = payload.tiles_of(packer, heavy, read_grid(raster), scale)
    return found


def _outlets(
    world: World,
    database: Database,
    views: set[str],
    packer: payload.Packer,
    map_: Mapping[str, Any],
    trades: MerchantTrades,
) -> dict[str, Any]:
    """Return merchants, pairs, the sites that are shown one by one, and the bins of all."""
    places, names = payload.places(map_["countries"]), names_of(world)
    every = max(1, -(-sum(map_["sites_by_country"].values()) // payload.SITES_MOST))
    pairs, sites = payload.pairs_of(database), shown_sites(world, database, views, every)
    merchants = np.unique((sites if pairs is None else pairs)["merchant_id"])
    sites["merchant"] = np.searchsorted(merchants, sites["merchant_id"])
    found = {
        "merchants": packer.add(merchants, "u8"),
        "texts": names.merchants(merchants),
        "keys": names.outlets(sites),
        "problem": " ".join(filter(None, (names.problem, trades.problem))),
        "trades": legend_of(packer, database, trades, merchants),
        "sites": payload.sites_of(packer, sites, every, places),
        "bins": payload.bins_of(packer, database, places),
        "pairs": None,
    }
    if pairs is not None:
        found["pairs"] = {
            "merchant": packer.add(np.searchsorted(merchants, pairs["merchant_id"])),
            "country": packer.add(payload.numbers(pairs["code"], places)),
            "n": packer.add(pairs["n"]),
        }
    return found


def _heaviest(database: Database) -> dict[str, tuple[Any, Any]]:
    """Return ids and weights of each country's heaviest tiles, heaviest first, then by id."""
    rows = database.execute(
        "SELECT country_iso, max(row(weight_fp, -tile_id::BIGINT), ?) "
        "FROM tile_weights WHERE weight_fp > 0 GROUP BY country_iso ORDER BY country_iso",
        [payload.TILES_MOST],
    ).fetchall()
    tiles = {}
    for code, heavy in rows:
        pairs = np.array(heavy, np.int64).reshape(-1, 2)
        tiles[code] = ((-pairs[:, 1]).astype(np.uint64), pairs[:, 0])
    return tiles


def _charts(
    world: World, database: Database, views: set[str], sites: dict[str, int], traded: bool
) -> list[charts.Chart]:
    reports = world.reports
    made = []
    if {"s3_requirements", "s7_site_synthesis"} <= views:
        made.append(charts.conservation(*_pairs(database)))
    if sites:
        tiled = len(reports["s1"]["by_country"]) if "s1" in reports else len(sites)
        made.append(charts.evenness(sites, tiled, world.realism))
    if "s4" in reports:
        quality = reports["s4"]["quality_by_country"]
        made.append(charts.collapse(quality, float(reports["s4"]["collapse_index"])))
    if {"s4_alloc_plan", "tile_weights"} <= views:
        by = _WEIGHED_BY.get(world.policy["prep"]["basis"], "population")
        due = expected(database, 10 ** int(world.policy["prep"]["dp"]))
        made.append(
            charts.prior(due["quota"], due["n"], "weights of their trades" if traded else by)
        )
    if world.realism:
        made.append(charts.neighbours(world.realism))
    if "s6" in reports:
        made.append(charts.draws(reports["s6"]["rng"]))
    if reports:
        made.append(charts.costs(reports))
    return made


def _pairs(database: Database) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    rows = database.execute(
        "SELECT coalesce(r.n_sites, 0) AS required, coalesce(p.n, 0) AS placed "
        "FROM s3_requirements AS r FULL JOIN (SELECT merchant_id, legal_country_iso, count(*) AS n "
        "FROM s7_site_synthesis GROUP BY ALL) AS p USING (merchant_id, legal_country_iso)"
    ).fetchnumpy()
    return np.asarray(rows["required"], np.int64), np.asarray(rows["placed"], np.int64)
