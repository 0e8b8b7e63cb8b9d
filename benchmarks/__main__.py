"""Measure a scale: each state beside its floor, then how the cost grows."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.floor import OUTPUTS, floor_seconds
from benchmarks.outlets import write_outlets
from benchmarks.record import keep, machine
from benchmarks.scales import SCALES, Scale
from segment1b import contracts
from segment1b.config import RunSettings
from segment1b.console import LogProgress
from segment1b.outcome import RunResult
from segment1b.pipeline import run_pipeline
from segment1b.resolution import build_reference
from segment1b.states import STATES as REGISTRY

STATES = tuple(REGISTRY)
HEADER = (
    "| state | wall s | CPU s | peak MB | rows | rows/s | bytes/row | floor s | x floor |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
)


@dataclass(frozen=True)
class World:
    """A data root laid for a scale, with its outlet list (None: the embedded sample)."""

    root: Path
    outlets: Path | None


def main() -> None:
    """Parse the command line, measure, print the tables and keep them in results.md."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--repeat", type=int, default=3, help="runs of which medians are taken")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="segment1b-bench-") as folder:
        text = measure(Path(folder), asked.scale, asked.repeat, asked.workers)
    print(text)
    keep(asked.scale, text)


def measure(folder: Path, name: str, repeat: int, workers: int) -> str:
    """Return the tables of one scale as Markdown."""
    scale = SCALES[name]
    world = lay(folder / "world", scale, 1)
    runs = [run_once(world, folder / f"run{k}", workers) for k in range(repeat)]
    text = f"## {name}\n\n{machine()}, {workers} workers, medians of {repeat} runs\n\n" + HEADER
    for state in STATES:
        text += state_row(state, runs, folder, workers)
    text += growth(folder, world, scale, runs, workers)
    return text


def lay(root: Path, scale: Scale, times: int) -> World:
    """Lay the embedded world at the scale's resolution and write its outlet list."""
    root.mkdir(parents=True)
    build_reference(root, scale.arcsec, None)
    outlets = None
    if scale.outlets:
        outlets = root / "outlets.parquet"
        write_outlets(outlets, scale.outlets * times)
    elif times != 1:
        outlets = root / "outlets.csv"
        outlets.write_text(multiplied_sample(times))
    return World(root, outlets)


def multiplied_sample(times: int) -> str:
    """Return the sample list with every count multiplied."""
    from segment1b.reference import embedded

    lines = embedded.SAMPLE_OUTLETS.read_text().splitlines()
    rows = [line.rsplit(",", 1) for line in lines[1:]]
    return "\n".join([lines[0], *(f"{pair},{int(n) * times}" for pair, n in rows)]) + "\n"


def run_once(world: World, root: Path, workers: int) -> RunResult:
    """Run all states from nothing on a copy of the world's surfaces."""
    if root.exists():
        shutil.rmtree(root)
    shutil.copytree(world.root / "reference", root / "reference")
    return run_pipeline(
        RunSettings(data_root=root, outlets=world.outlets, workers=workers, to_state=STATES[-1]),
        LogProgress(),
    )


def state_row(state: str, runs: list[RunResult], folder: Path, workers: int) -> str:
    """Return one line of the table: medians over the runs, the floor timed beside them."""
    outcomes = [next(o for o in run.outcomes if o.state == state) for run in runs]
    used = [o.report["resources"] for o in outcomes]
    wall = statistics.median(u["wall_clock_seconds_total"] for u in used)
    cpu = statistics.median(u["cpu_seconds_total"] for u in used)
    peak = max(u["max_worker_rss_bytes"] for u in used)
    rows = outcomes[-1].rows * max(1, len(OUTPUTS.get(state, [])))
    size = sum(
        f.stat().st_size
        for path in outcomes[-1].datasets
        for f in (path.iterdir() if path.is_dir() else [path])
    )
    scratch = folder / "floor"
    scratch.mkdir(exist_ok=True)
    floors = [
        floor_seconds(run.root, contracts.load(), run.identity, state, scratch, workers)
        for run in runs
    ]
    floor = statistics.median(floors)
    return (
        f"| {state} | {wall:.2f} | {cpu:.2f} | {peak / 1e6:.0f} | {rows:,} | "
        f"{rows / wall:,.0f} | {size / max(1, rows):.2f} | {floor:.2f} | {wall / floor:.1f} |\n"
    )


def growth(folder: Path, world: World, scale: Scale, runs: list[RunResult], workers: int) -> str:
    """Return how the cost grows: finer tiles, twice the sites, one worker against several."""
    finer = scale.arcsec * 2 // 3
    more_tiles = run_once(
        lay(folder / "finer", Scale(finer, scale.outlets), 1), folder / "finer-run", workers
    )
    more_sites = run_once(lay(folder / "double", scale, 2), folder / "double-run", workers)
    alone = run_once(world, folder / "alone-run", 1)
    base = wall_of(runs[-1])
    lines = [
        ("this scale", base, tiles_of(runs[-1]), sites_of(runs[-1])),
        (
            f"tiles x {tiles_of(more_tiles) / tiles_of(runs[-1]):.2f} ({finer} arc-seconds)",
            wall_of(more_tiles),
            tiles_of(more_tiles),
            sites_of(more_tiles),
        ),
        ("sites x 2", wall_of(more_sites), tiles_of(more_sites), sites_of(more_sites)),
        ("1 worker", wall_of(alone), tiles_of(alone), sites_of(alone)),
    ]
    text = "\n| growth | wall s, all states | x | tiles | sites |\n|---|---:|---:|---:|---:|\n"
    for label, wall, tiles, sites in lines:
        text += f"| {label} | {wall:.2f} | {wall / base:.2f} | {tiles:,} | {sites:,} |\n"
    return text


def wall_of(run: RunResult) -> float:
    """Return the seconds of all states of a run."""
    return sum(float(o.report["resources"]["wall_clock_seconds_total"]) for o in run.outcomes)


def tiles_of(run: RunResult) -> int:
    """Return the number of tiles of a run."""
    return next(o.rows for o in run.outcomes if o.state == "s1")


def sites_of(run: RunResult) -> int:
    """Return the number of outlets of a run."""
    return next(o.rows for o in run.outcomes if o.state == "s0")


if __name__ == "__main__":
    main()
