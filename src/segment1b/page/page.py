"""Writes the HTML report of one run, or of two side by side, as one self-contained file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection as Database
from markupsafe import Markup

from segment1b.contracts.program import VERSION
from segment1b.errors import file_error
from segment1b.geo.countries import read_countries
from segment1b.geo.grid import read_grid
from segment1b.geo.outlines import outlines
from segment1b.page import charts, payload
from segment1b.page.chain import chain_of
from segment1b.page.published import STATES, World, open_tables, read_world
from segment1b.read.plausibility import concerns
from segment1b.storage.scratch import replace_file
from segment1b.storage.snapshot import Snapshot

_TABLES = ("s3_requirements", "s4_alloc_plan", "s7_site_synthesis", "tile_weights")
# Where plotly's map creates its worker's URL, and where it compares that URL's origin.
_WORKER = re.compile(
    r'URL\.createObjectURL\(new Blob\(\[(\w+)\],\{type:"text/javascript"\}\)\)\)\)'
)
_FOREIGN = re.compile(r"return new URL\((?P<url>\w+),(\w+)\.href\)\.origin!==\2\.origin")


def write_page(
    run: Snapshot, out: Path, *, other: Snapshot | None = None, replace: bool = False
) -> Path:
    """Write the page of one run as `out`, or of two side by side; equal roots give equal bytes.

    States that are not published yet are left out.

    Raises:
        Segment1BError: E_USAGE when the file exists, unless `replace`; E_DATA_ROOT_UNUSABLE or
            E_STORAGE_FULL for the file.
    """
    if not replace and os.path.lexists(out):
        what = "exists already"
        raise file_error("E_USAGE", out, what, "remove it, or give another --out, or --replace")
    runs = [run, other] if other else [run]
    replace_file(out, render([run_of(read_world(run)) for run in runs]).encode())
    return out


def render(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the HTML of one run or two."""
    from plotly.offline import get_plotlyjs

    folder = resources.files("segment1b.page") / "files"
    text = {name: (folder / name).read_text() for name in ("page.css", "page.js")}
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["script_json"] = _script_json
    environment.globals["dict_of"] = lambda made: {chart.id: chart.figure for chart in made}
    template = environment.from_string((folder / "page.html.jinja").read_text())
    return template.render(
        runs=runs,
        differences=differences(*[run["figures"] for run in runs]) if len(runs) == 2 else [],
        css=Markup(text["page.css"]),  # noqa: S704 - our own file
        js=Markup(text["page.js"]),  # noqa: S704 - our own file
        plotly=Markup(_library(get_plotlyjs())),  # noqa: S704 - the library
        version=VERSION,
    )


def _library(text: str) -> str:
    """Return plotly's JavaScript, changed to run inline in a file that is opened from the disk."""
    # Its map starts a worker from a blob; a page from the disk may start one from a data URL only.
    text = _WORKER.sub(r'"data:text/javascript;charset=utf-8,"+encodeURIComponent(\1)))', text)
    text = _FOREIGN.sub(r'\g<0>&&!\g<url>.startsWith("data:")', text)
    # No part of the library may end the script element that holds it.
    return text.replace("</script", "<\\/script")


def _script_json(value: Any) -> Markup:
    """Return JSON that is safe in a script element."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - every sign that HTML knows is escaped


def run_of(world: World) -> dict[str, Any]:
    """Return what the template and the script need of one run."""
    with open_tables(world, _TABLES) as (database, views):
        return _run_of(world, database, views)


def _run_of(world: World, database: Database, views: set[str]) -> dict[str, Any]:
    placed = world.reports.get("s7", {}).get("by_country", {})
    sites = {code: int(row["sites"]) for code, row in placed.items()}
    codes = sorted(set(sites) | set(world.reports.get("s1", {}).get("by_country", {})))
    places = {code: number for number, code in enumerate(codes)}
    polygons, raster = world.path("world_countries"), world.path("population_raster_2025")
    shapes = read_countries(polygons) if polygons.exists() else {}
    map_: dict[str, Any] = {
        "countries": codes,
        "outlines": outlines(shapes),
        "sites_by_country": sites,
    }
    if "s7_site_synthesis" in views:
        map_ |= payload.sites_of(database, sum(sites.values()), places)
        map_["bins"] = payload.bins_of(database, places)
    heavy = _heaviest(database) if "tile_weights" in views else {}
    if heavy and raster.exists():
        scale = 10 ** int(world.policy["prep"]["dp"])
        map_["tiles"] = payload.tiles_of(heavy, read_grid(raster), scale)
    figures = _figures(world, sites)
    return {
        "head": _head(world, figures),
        "chain": chain_of(world),
        "checks": [{"check": name, **check} for name, check in sorted(world.checks.items())],
        "failed": world.failed,
        "figures": figures,
        "charts": _charts(world, database, views, sites, heavy),
        "map": map_,
    }


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
    world: World, database: Database, views: set[str], sites: dict[str, int], heavy: dict[str, Any]
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
        made.append(charts.prior(*_followed(world, database, heavy)))
    if world.realism:
        made.append(charts.neighbours(world.realism))
    if "s6" in reports:
        made.append(charts.draws(reports["s6"]["rng"]))
    if reports:
        made.append(charts.costs(reports))
    if "s4" in reports:
        made.append(charts.country_costs(reports["s4"]["country_timings"]))
    return made


def _pairs(database: Database) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    rows = database.execute(
        "SELECT coalesce(r.n_sites, 0) AS required, coalesce(p.n, 0) AS placed "
        "FROM s3_requirements AS r FULL JOIN (SELECT merchant_id, legal_country_iso, count(*) AS n "
        "FROM s7_site_synthesis GROUP BY ALL) AS p USING (merchant_id, legal_country_iso)"
    ).fetchnumpy()
    return np.asarray(rows["required"], np.int64), np.asarray(rows["placed"], np.int64)


def _followed(
    world: World, database: Database, heavy: dict[str, Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return quota and sites of the heaviest tiles of the countries with outlets."""
    totals = {c: int(q["sites"]) for c, q in world.reports["s4"]["quality_by_country"].items()}
    scale = 10 ** int(world.policy["prep"]["dp"])
    rows = database.execute(
        "SELECT legal_country_iso AS code, tile_id, sum(n_sites_tile)::BIGINT AS n "
        "FROM s4_alloc_plan GROUP BY ALL ORDER BY code, tile_id"
    ).fetchnumpy()
    codes, starts = np.unique(np.asarray(rows["code"], "U2"), return_index=True)
    ends = np.append(starts[1:], len(rows["code"]))
    quota, sites = [np.empty(0)], [np.empty(0, np.int64)]
    for code, low, high in zip(codes, starts, ends, strict=True):
        ids, weights = heavy.get(str(code), (np.empty(0, np.uint64), np.empty(0, np.int64)))
        used, n = np.asarray(rows["tile_id"])[low:high], np.asarray(rows["n"])[low:high]
        at = np.minimum(np.searchsorted(used, ids), len(used) - 1)
        sites.append(np.where(used[at] == ids, n[at], 0).astype(np.int64))
        quota.append(weights / scale * totals[str(code)])
    return np.concatenate(quota), np.concatenate(sites)


def _head(world: World, figures: Mapping[str, float]) -> dict[str, Any]:
    return {
        "verdict": "not proven" if world.unproven else "proven",
        "proven": not world.unproven,
        "why": world.unproven,
        "concerns": concerns(world.reports.get("s4", {}), world.realism, world.policy),
        "notes": world.notes,
        "flag": world.reports.get("s9", {}).get("flag_sha256_hex", ""),
        "identity": {name: str(value) for name, value in world.identity.tokens.items()},
        "law": world.policy.get("allocation", {}).get("law", "unknown"),
        **{name: figures.get(name, 0) for name in ("outlets", "merchants", "countries", "pairs")},
        "collapse": figures.get("collapse index"),
        "missing": [state.upper() for state in STATES if state not in world.reports],
        "checks": len(world.checks),
    }


def _figures(world: World, sites: Mapping[str, int]) -> dict[str, float]:
    """Return the key figures by which two runs are compared, without those that are missing."""
    s4 = world.reports.get("s4", {})
    near = world.realism.get("nearest_neighbour_km", {})
    quality = s4.get("quality_by_country", {}).values()
    usage = [report["resources"] for report in world.reports.values()]
    figures = {
        "outlets": sum(sites.values()),
        "countries": len(sites),
        "merchants": world.reports.get("s3", {}).get("merchants_total"),
        "pairs": s4.get("pairs_total"),
        "tiles used": sum(int(row["distinct_tiles"]) for row in quality) if s4 else None,
        "collapse index": s4.get("collapse_index"),
        "share south of the equator": world.realism.get("southern_share"),
        "km to the nearest other outlet, median": near.get("p50"),
        "points drawn again": world.reports.get("s6", {}).get("rng", {}).get("resample_sites"),
        "failing checks": sum(1 for check in world.checks.values() if check["failures"])
        if world.checks
        else None,
        "seconds": sum(float(row["wall_clock_seconds_total"]) for row in usage),
        "peak MB": max((int(row["max_worker_rss_bytes"]) / 1e6 for row in usage), default=0.0),
    }
    return {name: value for name, value in figures.items() if value is not None}


def differences(
    first: Mapping[str, float], second: Mapping[str, float]
) -> list[tuple[str, str, str, str]]:
    """Return name, value of A, value of B and B less A of each figure that either run has."""

    def text(value: float | None, sign: str = "") -> str:
        if value is None:
            return "not known"
        return format(value, f"{sign},.3f" if isinstance(value, float) else f"{sign},")

    rows = []
    for name in dict.fromkeys([*first, *second]):
        a, b = first.get(name), second.get(name)
        less = None if a is None or b is None else b - a
        rows.append((name, text(a), text(b), "none" if less == 0 else text(less, "+")))
    return rows
