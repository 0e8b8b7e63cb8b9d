"""Measure what single shards cost, and what is left to the client: for sizing a cluster."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.__main__ import lay, run_once, wall_of
from benchmarks.record import keep, machine
from benchmarks.scales import SCALES
from segment1b.pipeline import execution as pipeline
from segment1b.pipeline.outcome import RunResult
from segment1b.states import STATES

Spans = dict[str, list[tuple[float, float]]]
HEADER = (
    "| state | shards | median s | longest s | all s | share of the longest | client s |\n"
    "|---|---:|---:|---:|---:|---:|---:|\n"
)


def main() -> None:
    """Parse the command line, measure with one thread, print the table and keep it."""
    parser = argparse.ArgumentParser(prog="benchmarks.shards", description=__doc__)
    parser.add_argument("--scale", choices=SCALES, default="small")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="segment1b-bench-") as folder:
        world = lay(Path(folder) / "world", SCALES[asked.scale], 1)
        with noted() as spans:
            run = run_once(world, Path(folder) / "run", 1)
    text = f"## shards\n\n{machine()}, scale {asked.scale}, 1 worker\n\n" + HEADER
    text += "".join(row(state, spans[state], run) for state in STATES if spans[state])
    print(text)
    keep("shards", text)


@contextmanager
def noted() -> Iterator[Spans]:
    """Note when each shard began and ended, by state, while the block lasts; threads alone."""
    spans: Spans = defaultdict(list)
    work = pipeline._work

    def timed(state: str, *rest: Any) -> Any:
        begun = time.perf_counter()
        result = work(state, *rest)
        spans[state].append((begun, time.perf_counter()))
        return result

    with mock.patch.object(pipeline, "_work", timed):
        yield spans


def row(state: str, spans: list[tuple[float, float]], run: RunResult) -> str:
    """Return one line: the client's part is the state's wall time without that of its shards."""
    seconds = [end - begun for begun, end in spans]
    longest, whole = max(seconds), sum(seconds)
    client = wall_of(run, state, state) - whole
    return (
        f"| {state} | {len(seconds)} | {statistics.median(seconds):.2f} | {longest:.2f} | "
        f"{whole:.2f} | {longest / whole:.2f} | {client:.2f} |\n"
    )


if __name__ == "__main__":
    main()
