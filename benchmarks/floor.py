"""The floor of a state: reading its inputs and writing its rows with pyarrow, and no law at all."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq

from segment1b.contracts import Contracts, Dataset
from segment1b.identity import Identity
from segment1b.storage.parts import write_part
from segment1b.storage.rasters import open_raster

SITE = ["merchant_id", "legal_country_iso", "site_order", "tile_id"]
BOUNDS = [
    "country_iso",
    "tile_id",
    "min_lat_deg",
    "max_lat_deg",
    "min_lon_deg",
    "max_lon_deg",
    "centroid_lat_deg",
    "centroid_lon_deg",
]

#: What each state reads, column by column, and what it writes.
INPUTS: dict[str, dict[str, list[str]]] = {
    "s1": {"world_countries": ["country_iso", "geom"], "iso3166_canonical_2024": ["country_iso"]},
    "s2": {
        "tile_index": ["country_iso", "tile_id", "raster_row", "raster_col"],
        "population_raster_2025": [],
    },
    "s3": {
        "outlet_catalogue": [
            "merchant_id",
            "legal_country_iso",
            "site_order",
            "site_id",
            "final_country_outlet_count",
        ]
    },
    "s4": {
        "s3_requirements": ["merchant_id", "legal_country_iso", "n_sites"],
        "tile_weights": ["country_iso", "tile_id", "weight_fp", "dp"],
        "tile_index": ["country_iso", "tile_id"],
    },
    "s5": {
        "s4_alloc_plan": ["merchant_id", "legal_country_iso", "tile_id", "n_sites_tile"],
        "tile_weights": ["country_iso", "tile_id", "weight_fp", "dp"],
        "tile_index": ["country_iso", "tile_id"],
    },
    "s6": {
        "s5_site_tile_assignment": SITE,
        "tile_index": ["country_iso", "tile_id"],
        "tile_bounds": BOUNDS,
        "world_countries": ["country_iso", "geom"],
    },
    "s7": {
        "s5_site_tile_assignment": SITE,
        "s6_site_jitter": [*SITE, "delta_lat_deg", "delta_lon_deg"],
        "tile_bounds": BOUNDS,
        "outlet_catalogue": ["merchant_id", "legal_country_iso", "site_order"],
    },
    "s8": {"s7_site_synthesis": [*SITE[:3], "lon_deg", "lat_deg"]},
    "s9": {
        "s4_alloc_plan": ["merchant_id", "legal_country_iso", "tile_id", "n_sites_tile"],
        "s5_site_tile_assignment": SITE,
        "s6_site_jitter": [*SITE, "delta_lat_deg", "delta_lon_deg"],
        "s7_site_synthesis": [*SITE, "lon_deg", "lat_deg"],
        "site_locations": [*SITE[:3], "lon_deg", "lat_deg"],
        "rng_event_in_cell_jitter": [*SITE[:3], "blocks", "lane"],
        "tile_bounds": BOUNDS,
        "world_countries": ["country_iso", "geom"],
        "outlet_catalogue": ["merchant_id", "legal_country_iso", "site_order"],
    },
}
OUTPUTS = {
    "s1": ["tile_index", "tile_bounds"],
    "s2": ["tile_weights"],
    "s3": ["s3_requirements"],
    "s4": ["s4_alloc_plan"],
    "s5": ["rng_event_site_tile_assign", "s5_site_tile_assignment"],
    "s6": ["rng_event_in_cell_jitter", "s6_site_jitter"],
    "s7": ["s7_site_synthesis"],
    "s8": ["site_locations"],
    "s9": [],
}


def floor_seconds(
    root: Path,
    contracts: Contracts,
    tokens: dict[str, int | str],
    state: str,
    scratch: Path,
    workers: int,
) -> float:
    """Return the seconds that reading and writing alone take, with that many threads.

    S0 writes next to nothing: its floor is one plain read of all that it seals.
    """
    places = Identity(**tokens).places  # type: ignore[arg-type]
    start = time.perf_counter()
    if state == "s0":
        ids = (
            "outlet_catalogue",
            "s3_candidate_set",
            "world_countries",
            "population_raster_2025",
            "tz_world_2025a",
            "iso3166_canonical_2024",
        )
        for dataset_id in ids:
            for path in _files(root / contracts[dataset_id].locate(places)):
                _read_plain(path)
        return time.perf_counter() - start
    jobs = [
        functools.partial(_read, path, columns)
        for dataset_id, columns in INPUTS[state].items()
        for path in _files(root / contracts[dataset_id].locate(places))
    ]
    _run(jobs, workers)
    seconds = time.perf_counter() - start
    for dataset_id in OUTPUTS[state]:
        dataset = contracts[dataset_id]
        paths = _files(root / dataset.locate(places))
        for at in range(0, len(paths), workers):
            seconds += _write(dataset, paths[at : at + workers], scratch, workers)
    return seconds


def _write(dataset: Dataset, paths: Sequence[Path], scratch: Path, workers: int) -> float:
    """Write copies of some parts, row group by row group; only the writing is timed."""
    loaded = []
    for path in paths:
        with pq.ParquetFile(path) as file:
            loaded.append([file.read_row_group(g) for g in range(file.num_row_groups)])
    start = time.perf_counter()
    jobs = [
        functools.partial(write_part, scratch / path.name, dataset, tables)
        for path, tables in zip(paths, loaded, strict=True)
    ]
    _run(jobs, workers)
    seconds = time.perf_counter() - start
    for path in paths:
        (scratch / path.name).unlink()
    return seconds


def _run(jobs: Sequence[Callable[[], object]], workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result()


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _read(path: Path, columns: list[str]) -> None:
    if path.suffix == ".tif":
        with open_raster(path) as source:
            for _, window in source.block_windows(1):
                source.read(1, window=window)
        return
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for group in range(file.num_row_groups):
            file.read_row_group(group, columns=columns, use_threads=False)


def _read_plain(path: Path) -> None:
    with path.open("rb", buffering=0) as handle:
        while handle.read(1 << 20):
            pass
