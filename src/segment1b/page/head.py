"""The head of the page: the verdict, key figures, the list, its date and its sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segment1b.identity import STATE_NAMES
from segment1b.outlets.list_names import OutletList, outlet_lists
from segment1b.page.published import World, read_optional
from segment1b.read.plausibility import concerns
from segment1b.reference.installing import provenance_path

_SOURCES = {
    "outlet_catalogue": "outlets",
    "world_countries": "countries",
    "population_raster_2025": "population",
    "tz_world_2025a": "time zones",
    "iso3166_canonical_2024": "country codes",
}


def head_of(world: World, figures: Mapping[str, float]) -> dict[str, Any]:
    """Return what the template writes above the map."""
    listed = _listed(world)
    return {
        "list": listed.label,
        "sources": _sources(world, listed.file),
        "date": str(world.reports.get("s9", {}).get("proved_at_utc", ""))[:10],
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
        "missing": [state.upper() for state in STATE_NAMES if state not in world.reports],
        "checks": len(world.checks),
    }


def _listed(world: World) -> OutletList:
    """Return the record of the run's list; only the fingerprint where nothing is recorded."""
    fingerprint = str(world.identity.manifest_fingerprint)
    lists = outlet_lists(world.root, world.contracts)
    mine = (one for one in lists if one.fingerprint == fingerprint)
    return next(mine, OutletList(fingerprint))


def _sources(world: World, list_file: str | None) -> list[dict[str, str]]:
    """Return what the run read from outside: what it is, its file's name and its digest.

    The name is that of the file that was imported, where that is known.
    """
    receipt = read_optional(world.path("s0_gate_receipt_1B"))
    sources = []
    for entry in receipt.get("sealed_inputs", ()):
        if what := _SOURCES.get(entry["id"]):
            path = world.root / entry["path"]
            imported = read_optional(provenance_path(path)).get("source", ())
            names = [str(file["name"]) for file in imported] or [path.name]
            if entry["id"] == "outlet_catalogue":
                names = [list_file] if list_file else []
            digest = str(entry["sha256_hex"])
            sources += [{"what": what, "name": name, "digest": digest} for name in names]
    return sorted(sources, key=lambda source: list(_SOURCES.values()).index(source["what"]))


def figures_of(world: World, sites: Mapping[str, int]) -> dict[str, float]:
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
