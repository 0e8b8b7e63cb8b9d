"""Measure what shards cost and what is left to the client, and model runs on more workers."""

from __future__ import annotations

import argparse
import heapq
import itertools
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from benchmarks.__main__ import World, lay, run_once, wall_of
from benchmarks.record import keep, machine
from benchmarks.scales import SCALES
from segment1b.pipeline import engines
from segment1b.pipeline import workers as on_workers
from segment1b.pipeline.outcome import RunResult
from segment1b.states import STATES

#: The seconds of each shard of a state, in the groups of shards that wait for each other.
Spans = dict[str, list[list[float]]]
WORKERS = (1, 2, 4, 16, 64)
#: A real run and its control are made with so many workers.
REAL = 2
HEADER = (
    "| state | shards | median s | longest s | all s | share of the longest | client s | "
    "longest, of the run | client, of the run |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
)


class Measured(NamedTuple):
    """The seconds of a state: those of its groups of shards in order, and those of the client."""

    groups: Sequence[Sequence[float]]
    client: float

    @property
    def shards(self) -> list[float]:
        """Return the seconds of all shards."""
        return list(itertools.chain.from_iterable(self.groups))

    def on(self, workers: int) -> float:
        """Return the seconds on some workers by the schedule model.

        Shards start in their order, each on the worker that is free first, and take as long as
        alone; a group begins when the one before it has ended, and the client works between them.
        """
        seconds = self.client
        for group in self.groups:
            free = [0.0] * workers
            for shard in group:
                heapq.heapreplace(free, free[0] + shard)
            seconds += max(free)
        return seconds


def main() -> None:
    """Parse the command line, measure with one worker, print the tables and keep them."""
    parser = argparse.ArgumentParser(prog="benchmarks.shards", description=__doc__)
    parser.add_argument("--scale", choices=SCALES, default="small")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="segment1b-bench-") as name:
        folder = Path(name)
        world = lay(folder / "world", SCALES[asked.scale], 1)
        with noted() as spans:
            run = run_once(world, folder / "run", 1)
        states = {state: measured(state, spans[state], run) for state in STATES if spans[state]}
        text = f"## shards\n\n{machine()}, scale {asked.scale}, 1 worker\n\n" + HEADER
        whole = sum(one.on(1) for one in states.values())
        text += "".join(row(state, one, whole) for state, one in states.items())
        text += schedule(states)
        print(text, flush=True)  # what follows takes as long again
        fact = real(world, folder, whole)
    print(fact)
    keep("shards", text + fact)


@contextmanager
def noted() -> Iterator[Spans]:
    """Note the seconds of each shard, by state, while the block lasts; one worker alone."""
    spans: Spans = defaultdict(list)
    in_order = engines.in_order

    def timed(pool: Any, work: Any, items: Any, count: int) -> Iterator[Any]:
        group: list[float] = []
        spans[work.args[0]].append(group)

        def call(item: Any) -> Any:
            begun = time.perf_counter()
            result = work(item)
            group.append(time.perf_counter() - begun)
            return result

        return in_order(pool, call, items, count)

    with mock.patch.object(on_workers, "in_order", timed):
        yield spans


def measured(state: str, groups: Sequence[Sequence[float]], run: RunResult) -> Measured:
    """Return the seconds of a state: the client's are its wall time without that of its shards."""
    found = Measured(groups, 0)
    return found._replace(client=wall_of(run, state, state) - sum(found.shards))


def row(state: str, one: Measured, whole: float) -> str:
    """Return a state's line of the table."""
    longest, all_of_them = max(one.shards), sum(one.shards)
    return (
        f"| {state} | {len(one.shards)} | {statistics.median(one.shards):.2f} | {longest:.2f} | "
        f"{all_of_them:.2f} | {longest / all_of_them:.2f} | {one.client:.2f} | "
        f"{longest / whole:.3f} | {one.client / whole:.3f} |\n"
    )


def schedule(states: Mapping[str, Measured]) -> str:
    """Return the table of the modelled seconds of the states on more workers."""
    names = " | ".join(states)
    text = f"\n| workers, modelled | {names} | all s | speed-up |\n"
    text += "|---:|" + "---:|" * (len(states) + 2) + "\n"
    whole = sum(one.on(1) for one in states.values())
    for workers in WORKERS:
        seconds = [one.on(workers) for one in states.values()]
        figures = " | ".join(f"{own:.2f}" for own in seconds)
        text += f"| {workers} | {figures} | {sum(seconds):.1f} | {whole / sum(seconds):.2f} |\n"
    return text


def real(world: World, folder: Path, alone: float) -> str:
    """Return the speed-up of a real run, and of its control: as many whole runs side by side."""
    wall = wall_of(run_once(world, folder / "run", REAL))
    roots = [folder / f"run-{number}" for number in range(REAL)]
    with ProcessPoolExecutor(REAL) as pool:
        together = max(pool.map(_alone, [world] * REAL, roots))
    return (
        f"\n{REAL} workers in fact: {wall:.1f} s, speed-up {alone / wall:.2f}. Control, "
        f"{REAL} runs of one worker at once: {REAL * alone / together:.2f}.\n"
    )


def _alone(world: World, root: Path) -> float:
    """Return the seconds of a run with one worker."""
    return wall_of(run_once(world, root, 1))


if __name__ == "__main__":
    main()
