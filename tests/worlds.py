"""Small worlds for tests: real polygons and real population, few countries, coarse cells."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import rasterio
import shapely
from rasterio.transform import from_origin

import bring
from segment1b import contracts
from segment1b.config import RunSettings
from segment1b.pipeline.execution import run_pipeline
from segment1b.pipeline.outcome import RunResult
from segment1b.reference import embedded

#: A hole (LS in ZA), the antimeridian (FJ), atolls (MV), a city (VA), and two plain ones.
COUNTRIES = ("FJ", "LS", "MV", "NL", "PT", "VA", "ZA")


def place(root: Path, dataset_id: str) -> Path:
    """Return where a reference surface lies in a root, its folder made."""
    path = root / contracts.load()[dataset_id].locate({})
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def lay_small_world(
    root: Path, degrees: float = 0.5, countries: tuple[str, ...] = COUNTRIES
) -> Path:
    """Lay a few embedded countries and the prior summed into cells of `degrees`."""
    shutil.copy(embedded.surface("iso3166.parquet"), place(root, "iso3166_canonical_2024"))
    shutil.copy(embedded.surface("tz_world.parquet"), place(root, "tz_world_2025a"))
    world = pq.read_table(embedded.surface("world_countries.parquet"))
    mine = pc.is_in(world["country_iso"], pa.array(countries))
    pq.write_table(world.filter(mine), place(root, "world_countries"))
    with rasterio.open(embedded.surface("population_2025_0p1deg.tif")) as source:
        people = source.read(1).astype(np.int64)
    k = round(degrees / 0.1)
    rows, cols = people.shape[0] // k, people.shape[1] // k
    coarse = people.reshape(rows, k, cols, k).sum((1, 3)).astype(np.uint32)
    transform = from_origin(-180, 90, degrees, degrees)
    bring.raster(place(root, "population_raster_2025"), coarse, transform, compress="deflate")
    return root


def lay_layers(root: Path) -> None:
    """Lay the embedded layers of urban cells and roads."""
    for name, file in (
        ("urban_cells_2019", "urban_0p05deg.tif"),
        ("road_metres_2026", "road_metres_0p05deg.tif"),
    ):
        shutil.copy(embedded.surface(file), place(root, name))


def add_trades(
    outlets: Path, trades: tuple[str, ...] = ("everything", "fuel", "restaurants_and_coffee")
) -> Path:
    """Give the merchants of `outlet_list` trades, in turn."""
    header, *lines = outlets.read_text().splitlines()
    rows = [f"{line},{trades[int(line.partition(',')[0]) // 1000 % len(trades)]}" for line in lines]
    outlets.write_text("\n".join([f"{header},trade", *rows]) + "\n")
    return outlets


def put_countries(root: Path, shapes: Mapping[str, Any], **metadata: Any) -> None:
    """Lay countries of these shapes as GeoParquet; None is an absent geometry."""
    wkb = [None if shape is None else shapely.to_wkb(shape) for shape in shapes.values()]
    table = pa.table({"country_iso": list(shapes), "geom": pa.array(wkb, pa.binary())})
    geom = {"encoding": "WKB", "geometry_types": [], **metadata}
    geo = {"version": "1.1.0", "primary_column": "geom", "columns": {"geom": geom}}
    table = table.replace_schema_metadata({"geo": json.dumps(geo)})
    pq.write_table(table, place(root, "world_countries"))


def outlet_list(path: Path, countries: tuple[str, ...] = COUNTRIES, merchants: int = 60) -> Path:
    """Write a deterministic outlet list over the countries: many small pairs, a few large ones."""
    lines = ["merchant_id,country_iso,n_outlets"]
    for merchant in range(1, merchants + 1):
        for place_, code in enumerate(countries):
            if (merchant * 7 + place_ * 3) % 5 < 2:
                n = 1 + (merchant * 37 + place_ * 11) % 9 + (400 if merchant % 29 == 0 else 0)
                lines.append(f"{merchant * 1000 + 7},{code},{n}")
    path.write_text("\n".join(lines) + "\n")
    return path


def run(root: Path, **settings: object) -> RunResult:
    """Run the pipeline silently on a root, to S4 unless another state is named."""
    settings.setdefault("to_state", "s4")
    return run_pipeline(RunSettings(data_root=root, **settings))  # type: ignore[arg-type]


def run_list(root: Path, outlets: Path, engine: str) -> None:
    """Run an outlet list with two workers; for child processes, which import this by name."""
    run(root, outlets=outlets, engine=engine, workers=2, to_state="s9")


def digests(result: RunResult) -> dict[str, str]:
    """Return the content digest of every dataset, log and bundle that a run has published."""
    found = {}
    for outcome in result.outcomes:
        if outcome.state == "s0":
            continue
        for field, value in outcome.report.items():
            if field.endswith("_receipt"):
                log = "" if field == "determinism_receipt" else f".{field.removesuffix('_receipt')}"
                found[outcome.state + log] = value["content_sha256_hex"]
    return found
