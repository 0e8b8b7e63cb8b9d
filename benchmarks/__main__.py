"""Measure a scale: each state beside its floor, then how the cost grows."""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import place
from benchmarks.control import two_cores
from benchmarks.floor import OUTPUTS, floor_seconds
from benchmarks.outlets import write_outlets
from benchmarks.record import keep, machine
from benchmarks.scales import SCALES, Scale
from segment1b import contracts
from segment1b.cli.console import LogProgress
from segment1b.config import run_settings, usable_cores
from segment1b.pipeline.execution import run_pipeline
from segment1b.pipeline.outcome import RunResult
from segment1b.pipeline.prepare import build_reference
from segment1b.states import STATES as REGISTRY

STATES = tuple(REGISTRY)
# Proving is no work that grows by itself: it is measured once, in the table of states.
_GROWN = ("s1", "s8")
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
    parser.add_argument("--repeat", type=int, help="runs of which medians are taken")
    parser.add_argument("--workers", type=int, default=usable_cores())
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="segment1b-bench-") as folder:
        repeat = asked.repeat or SCALES[asked.scale].repeat
        text = measure(Path(folder), asked.scale, repeat, asked.workers)
    print(text)
    keep(asked.scale, text)
    if asked.scale == "small":
        place.main()


def measure(folder: Path, name: str, repeat: int, workers: int) -> str:
    """Return the tables of one scale as Markdown."""
    scale = SCALES[name]
    world = lay(folder / "world", scale, 1)
    runs = [run_once(world, folder / f"run{k}", workers) for k in range(repeat)]
    text = f"## {name}\n\n{machine()}, {workers} workers, medians of {repeat} runs\n\n" + HEADER
    for state in STATES:
        text += state_row(state, runs, folder, workers)
    text += marks(scale, runs)
    if scale.grows:
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
    """Return the sample list without trades, with every count multiplied."""
    from segment1b.reference import embedded

    lines = embedded.SAMPLE_OUTLETS.read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    multiplied = (f"{merchant},{code},{int(n) * times}" for merchant, code, n, _ in rows)
    return "\n".join(["merchant_id,country_iso,n_outlets", *multiplied]) + "\n"


def run_once(world: World, root: Path, workers: int, to_state: str = STATES[-1]) -> RunResult:
    """Run the states from nothing on a copy of the world's surfaces."""
    if root.exists():
        shutil.rmtree(root)
    shutil.copytree(world.root / "reference", root / "reference")
    asked = {"data_root": root, "outlets": world.outlets, "workers": workers, "to_state": to_state}
    return run_pipeline(run_settings(asked), LogProgress())


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


def marks(scale: Scale, runs: list[RunResult]) -> str:
    """Return what is to be reached, beside what was."""
    if not scale.marks:
        return ""
    text = "\n| stretch | wall s | mark | peak GB | mark |\n|---|---:|---:|---:|---:|\n"
    for mark in scale.marks:
        wall = statistics.median(wall_of(run, mark.first, mark.last) for run in runs)
        peak = max(peak_of(run, mark.first, mark.last) for run in runs)
        text += (
            f"| {mark.first} to {mark.last} | {wall:.1f} | {mark.seconds:.0f} | "
            f"{peak / 1e9:.2f} | {mark.peak_bytes / 1e9:.1f} |\n"
        )
    return text


def growth(folder: Path, world: World, scale: Scale, runs: list[RunResult], workers: int) -> str:
    """Return how the cost grows: other tiles, twice the sites, one worker against several."""
    base = wall_of(runs[-1], *_GROWN)
    text = "\n| growth | wall s, S1 to S8 | x | tiles | sites |\n|---|---:|---:|---:|---:|\n"
    text += growth_row("this scale", runs[-1], base)
    other = replace(scale, arcsec=scale.other_arcsec)
    tiles = run_once(lay(folder / "tiles", other, 1), folder / "again", workers, _GROWN[1])
    times = tiles_of(tiles) / tiles_of(runs[-1])
    text += growth_row(f"tiles x {times:.2f} ({other.arcsec} arc-seconds)", tiles, base)
    sites = run_once(lay(folder / "double", scale, 2), folder / "again", workers, _GROWN[1])
    text += growth_row("sites x 2", sites, base)
    alone = run_once(world, folder / "again", 1, _GROWN[1])
    text += growth_row("1 worker", alone, base)
    one = wall_of(alone, *_GROWN)
    return text + (
        f"\nS1 to S8: {one:.1f} s with 1 worker, {base:.1f} s with {workers}: "
        f"{one / base:.2f} times faster. Control: two plain processes do {two_cores():.2f} "
        "times the work of one in its time.\n"
    )


def growth_row(label: str, run: RunResult, base: float) -> str:
    """Return one line of the growth table."""
    wall = wall_of(run, *_GROWN)
    return f"| {label} | {wall:.2f} | {wall / base:.2f} | {tiles_of(run):,} | {sites_of(run):,} |\n"


def wall_of(run: RunResult, first: str = "s0", last: str = "s9") -> float:
    """Return the seconds of a stretch of states of a run."""
    return sum(
        float(o.report["resources"]["wall_clock_seconds_total"])
        for o in run.outcomes
        if first <= o.state <= last
    )


def peak_of(run: RunResult, first: str, last: str) -> int:
    """Return the largest memory of a stretch of states of a run, bytes."""
    return max(
        int(o.report["resources"]["max_worker_rss_bytes"])
        for o in run.outcomes
        if first <= o.state <= last
    )


def tiles_of(run: RunResult) -> int:
    """Return the number of tiles of a run."""
    return next(o.rows for o in run.outcomes if o.state == "s1")


def sites_of(run: RunResult) -> int:
    """Return the number of outlets of a run."""
    return next(o.rows for o in run.outcomes if o.state == "s0")


if __name__ == "__main__":
    main()
