"""Peers, side by side: the same polygons, prior and outlet lists, each run in its own process."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.outlets import write_outlets
from benchmarks.peer_methods import METHODS, Inputs, Sites, read_inputs, until
from benchmarks.peer_scores import digest, largest_error, outside, wrong_pairs
from benchmarks.record import keep, machine
from segment1b import contracts
from segment1b.cli.console import LogProgress
from segment1b.config import run_settings
from segment1b.geo.countries import read_countries
from segment1b.geo.grid import Grid, read_grid
from segment1b.geo.scanline import center_runs
from segment1b.pipeline.execution import run_pipeline
from segment1b.pipeline.outcome import RunResult
from segment1b.pipeline.prepare import build_reference

SIZES = (10_000, 100_000, 1_000_000)
LIMIT_SECONDS = 15.0
REPEAT_SECONDS = 8.0
WORLD_ARCSEC, RASTER_ARCSEC = 360, 150
OURS = ("s3", "s4", "s5", "s6", "s7", "s8")
NOTES = {
    "segment1b": "S3 to S8: exact counts by a declared law, a point inside tile and country, the "
    "same bytes for any order and workers; its time includes reading and writing Parquet and "
    "receipts, which no other row does",
    "notebook": "`numpy` `choice` over the cells of a country with its weights, then a point in "
    "the cell: exact counts by construction, cells only on average, no look at the border",
    "sample_points": "GeoPandas: uniform in the polygon, knows no prior; a country that took more "
    "than 3 CPU seconds is left out and its pairs count as wrong",
    "humanleague": "`integerise` for each pair: the whole numbers nearest to the shares, no points",
    "apportionment": "`compute('hamilton')` for each pair, with `parties` as its tie message "
    "needs: largest remainder in floating point, no points",
}
HEADER = (
    "| points | method | time s | peak MB | placed | outside country | wrong pairs | "
    "largest tile error | same again | list reversed | 2 workers |\n"
    "|---:|---|---:|---:|---:|---:|---:|---:|---|---|---|\n"
)


@dataclass(frozen=True)
class Job:
    """One measurement in a process of its own."""

    method: str
    folder: str
    outlets: str
    seed: int = 1
    backwards: bool = False
    workers: int = 1
    limit: float = LIMIT_SECONDS


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all methods, print the table and keep it in results.md."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("--job", help="one measurement, as JSON; prints its figures as JSON")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    asked = parser.parse_args(arguments)
    if asked.job:
        print(json.dumps(STEPS[(job := Job(**json.loads(asked.job))).method](job)))
        return
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="segment1b-peers-") as folder:
        text = compare(Path(folder), asked.sizes)
    text += f"\nThe whole comparison took {time.perf_counter() - start:.0f} s.\n"
    print(text)
    keep("peers", text)


def compare(folder: Path, sizes: Sequence[int]) -> str:
    """Return the section: a table of all methods at all sizes, one of S1, a sentence on each."""
    lists = {size: folder / f"outlets-{size}.parquet" for size in sizes}
    for size, path in lists.items():
        write_outlets(path, size)
    run_job(Job("prepare", str(folder), str(lists[min(sizes)])))
    peers = [f"{name} {version(name)}" for name in ("geopandas", "humanleague", "apportionment")]
    text = f"## peers\n\n{machine(peers)}\n\n" + HEADER
    going = ["segment1b", *METHODS]
    for size in sorted(sizes):
        for method in list(going):
            figures = measured(Job(method, str(folder), str(lists[size])))
            text += row(size, method, figures)
            if not figures["whole"]:
                going.remove(method)
    return text + notes() + tiles_table(folder)


def measured(job: Job) -> dict[str, Any]:
    """Run a job; when it was quick, run it again, with the list reversed and with two workers."""
    figures = run_job(job)
    if figures["whole"] and figures["seconds"] <= REPEAT_SECONDS:
        others: dict[str, dict[str, Any]] = {"again": {}, "reversed": {"backwards": True}}
        if job.method == "segment1b":
            others["workers"] = {"workers": 2}
        for name, changed in others.items():
            again = run_job(Job(**{**asdict(job), **changed}))
            figures[name] = again["digest"] == figures["digest"]
    return figures


def run_job(job: Job) -> dict[str, Any]:
    """Run one job in a process of its own and return its figures."""
    command = [sys.executable, "-m", "benchmarks.peers", "--job", json.dumps(asdict(job))]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def row(size: int, method: str, figures: dict[str, Any]) -> str:
    """Return one line of the table."""

    def verdict(name: str) -> str:
        return {None: "-", True: "equal", False: "differs"}[figures.get(name)]

    seconds = f"{figures['seconds']:.2f}" + ("" if figures["whole"] else " (stopped)")
    points = figures["outside"]
    scores = [
        f"{figures['placed']:,}",
        "no points" if points is None else f"{points:,}",
        f"{figures['wrong']:,}" if figures["whole"] else "-",
        f"{figures['error']:.1f}" if figures["whole"] else "-",
    ]
    cells = [f"{size:,}", method, seconds, f"{figures['peak_bytes'] / 1e6:,.0f}", *scores]
    cells += [verdict(name) for name in ("again", "reversed", "workers")]
    return f"| {' | '.join(cells)} |\n"


def notes() -> str:
    """Return how to read the table, and a sentence on each method."""
    text = (
        "\nThe embedded world: 0.1 degree, its polygons and population. Each measurement is a "
        "process of its own; peak memory is that of the whole process, libraries and inputs "
        "included. Reading the inputs is not timed, but for segment1b. A method stops after "
        f"{LIMIT_SECONDS:.0f} s and is then not given more points; it is run again when it took "
        f"at most {REPEAT_SECONDS:.0f} s. Tile error: the largest distance, in outlets, of a cell "
        "from its share of its country's outlets.\n\n"
    )
    return text + "".join(f"- {name}: {said}.\n" for name, said in NOTES.items())


def tiles_table(folder: Path) -> str:
    """Return the table of S1 against GDAL: cells whose centre lies in a country."""
    text = (
        f"\n| cells at {RASTER_ARCSEC} arc-seconds | time s | peak MB | cells | other cells |\n"
        "|---|---:|---:|---:|---:|\n"
    )
    for name in ("scanline", "rasterize"):
        figures = run_job(Job(name, str(folder), ""))
        text += (
            f"| {name} | {figures['seconds']:.2f} | {figures['peak_bytes'] / 1e6:,.0f} | "
            f"{figures['cells']:,} | {figures['others']:,} |\n"
        )
    return text + (
        "\n- scanline: what S1 does in memory; a cell may lie in two countries.\n"
        "- rasterize: GDAL by `rasterio.features.rasterize`, all countries in one raster of "
        "numbers, so that a cell has one country; other cells are those whose country is not the "
        "scanline's.\n"
    )


def prepare(job: Job) -> dict[str, Any]:
    """Lay the embedded world, publish S0 to S2, and hand its cells to the peers."""
    build_reference(Path(job.folder) / "world", WORLD_ARCSEC, None)
    share_world(Path(job.folder), Path(job.outlets))
    return {}


def share_world(folder: Path, outlets: Path) -> None:
    """Publish S0 to S2 in `folder`/world; write cells with a weight, and polygons, for peers."""
    root = folder / "world"
    done = run_ours(root, outlets, 2, "s2")
    weights = next(o for o in done.outcomes if o.state == "s2").datasets[0]
    table = pq.read_table(weights, columns=["country_iso", "tile_id", "weight_fp"])
    table = table.filter(pc.field("weight_fp") > 0)
    codes, first = np.unique(
        table["country_iso"].to_numpy(zero_copy_only=False).astype(str), return_index=True
    )
    mass = table["weight_fp"].to_numpy().astype(np.float64)
    sums = np.add.reduceat(mass, first)
    first = np.append(first, len(mass))
    known = contracts.load()
    grid = read_grid(root / known["population_raster_2025"].locate({}))
    np.savez(
        folder / "cells.npz",
        codes=codes,
        grid=[grid.x0, grid.y0, grid.a, grid.b],
        size=[grid.nrows, grid.ncols],
        first=first,
        cell=table["tile_id"].to_numpy().astype(np.int64),
        weight=mass / np.repeat(sums, np.diff(first)),
    )
    shutil.copy(root / known["world_countries"].locate({}), folder / "countries.parquet")


def run_ours(root: Path, outlets: Path, workers: int, to_state: str) -> RunResult:
    """Run segment1b on a list."""
    asked = {"data_root": root, "outlets": outlets, "workers": workers, "to_state": to_state}
    return run_pipeline(run_settings(asked), LogProgress())


def ours(job: Job) -> dict[str, Any]:
    """Measure S3 to S8 on a copy of the prepared root."""
    folder = Path(job.folder)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        root, outlets = Path(scratch) / "root", Path(job.outlets)
        shutil.copytree(folder / "world", root)
        if job.backwards:
            table = pq.read_table(outlets)
            outlets = Path(scratch) / "backwards.parquet"
            pq.write_table(table.take(np.arange(table.num_rows)[::-1]), outlets)
        done = run_ours(root, outlets, job.workers, "s8")
        peak = peak_bytes()
        reports = {o.state: o.report for o in done.outcomes}
        seconds = sum(reports[s]["resources"]["wall_clock_seconds_total"] for s in OURS)
        inputs = read_inputs(folder, Path(job.outlets))
        placed = next(o for o in done.outcomes if o.state == "s7").datasets[0]
        return scored(inputs, our_sites(inputs, placed), seconds, peak, whole=True)


def our_sites(inputs: Inputs, folder: Path) -> Sites:
    """Return the outlets that S7 has published."""
    names = ["merchant_id", "legal_country_iso", "tile_id", "lon_deg", "lat_deg"]
    table = pq.read_table(folder, columns=names)
    code = table["legal_country_iso"].to_numpy(zero_copy_only=False).astype(str)
    width = len(inputs.codes)
    key = table["merchant_id"].to_numpy().astype(np.int64) * width
    key += np.searchsorted(inputs.codes, code)
    listed = inputs.merchant * width + inputs.country
    order = np.argsort(listed)
    pair = order[np.searchsorted(listed[order], key)]
    cell = table["tile_id"].to_numpy().astype(np.int64)
    return Sites(pair, cell, table["lon_deg"].to_numpy(), table["lat_deg"].to_numpy())


def peer(job: Job) -> dict[str, Any]:
    """Measure a peer."""
    inputs = read_inputs(Path(job.folder), Path(job.outlets), backwards=job.backwards)
    start = time.perf_counter()
    work = METHODS[job.method](inputs, job.seed)
    sites, whole = until(work, lambda: time.perf_counter() - start > job.limit)
    seconds = time.perf_counter() - start
    return scored(inputs, sites, seconds, peak_bytes(), whole=whole)


def scored(
    inputs: Inputs, sites: Sites, seconds: float, peak: int, *, whole: bool
) -> dict[str, Any]:
    """Return the figures of a measurement."""
    return {
        "seconds": seconds,
        "peak_bytes": peak,
        "whole": whole,
        "placed": len(sites.pair),
        "outside": outside(inputs, sites),
        "wrong": wrong_pairs(inputs, sites),
        "error": largest_error(inputs, sites),
        "digest": digest(inputs, sites),
    }


def scanline(job: Job) -> dict[str, Any]:
    """Measure the scanline over all countries."""
    shapes, grid = list(read_countries(Path(job.folder) / "countries.parquet").values()), fine()
    start = time.perf_counter()
    cells = sum(center_runs(shape, grid).count for shape in shapes)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_bytes": peak_bytes(), "cells": cells, "others": 0}


def rasterize(job: Job) -> dict[str, Any]:
    """Measure GDAL over all countries, then count the cells that the scanline gives otherwise."""
    from rasterio.features import rasterize as burn
    from rasterio.transform import Affine

    shapes, grid = list(read_countries(Path(job.folder) / "countries.parquet").values()), fine()
    numbered = [(shape, number) for number, shape in enumerate(shapes, 1)]
    start = time.perf_counter()
    found = burn(
        numbered,
        out_shape=(grid.nrows, grid.ncols),
        transform=Affine(grid.a, 0, grid.x0, 0, -grid.b, grid.y0),
        dtype="uint16",
    )
    seconds, peak = time.perf_counter() - start, peak_bytes()
    ours_too = np.zeros_like(found)
    for shape, number in numbered:
        runs = center_runs(shape, grid)
        rows, cols = runs.expand(0, runs.count)
        ours_too[rows, cols] = number
    return {
        "seconds": seconds,
        "peak_bytes": peak,
        "cells": int(np.count_nonzero(found)),
        "others": int(np.count_nonzero(found != ours_too)),
    }


def fine() -> Grid:
    """Return the whole globe at RASTER_ARCSEC."""
    step = RASTER_ARCSEC / 3600
    return Grid(-180.0, 90.0, step, step, round(180 / step), round(360 / step))


def peak_bytes() -> int:
    """Return the largest resident memory that this process has had."""
    # Not ru_maxrss: Linux lets a child begin with that of its parent.
    (line,) = [
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    ]
    return int(line.split()[1]) * 1024


STEPS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "prepare": prepare,
    "segment1b": ours,
    **dict.fromkeys(METHODS, peer),
    "scanline": scanline,
    "rasterize": rasterize,
}

if __name__ == "__main__":
    main()
