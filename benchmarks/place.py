"""Measures `segment1b.place` with the cached world, in processes of their own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from benchmarks.record import keep, machine

#: A few large countries, as the list of a real portfolio has them.
FEW = ("BR", "CA", "DE", "ES", "FR", "GB", "IN", "IT", "JP", "NL", "PL", "US")
#: Countries (none: all of the sample), outlets, and the seconds of a call on two idle cores.
CASES = ((FEW, 1_000, "1"), ((), 1_000, ""), ((), 60_000, "3"))
HEADER = (
    "\n| place, world in the cache | outlets | wall s | CPU s | mark | import wall s | CPU s |\n"
    "|---|---:|---:|---:|---:|---:|---:|\n"
)
#: The first call warms nothing: each process calls it once, as a notebook does.
_PROGRAM = """
import json, sys, time
begin = time.perf_counter(), time.process_time()
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import segment1b
from segment1b.read import placed
from segment1b.reference.embedded import SAMPLE_OUTLETS
between = time.perf_counter(), time.process_time()
table = pyarrow.csv.read_csv(SAMPLE_OUTLETS).drop_columns("mcc")
if countries := sys.argv[2:]:
    table = table.filter(pc.is_in(table.column("country_iso"), pa.array(countries)))
if int(sys.argv[1]) < 60_000:
    pairs = int(sys.argv[1]) // 4
    table = table.slice(0, pairs).set_column(2, "n_outlets", pa.array([4] * pairs))
start = time.perf_counter(), time.process_time()
rows = segment1b.place(table).sites.num_rows
end = time.perf_counter(), time.process_time()
figures = [rows]
figures += [b - a for a, b in (*zip(start, end), *zip(begin, between))]
print(json.dumps(figures))
"""


def main() -> None:
    """Measure, print the table and keep it in results.md."""
    with tempfile.TemporaryDirectory(prefix="segment1b-bench-") as folder:
        text = measure(Path(folder), 3)
    print(text)
    keep("place", text)


def measure(folder: Path, repeat: int) -> str:
    """Return the table of `place`; the prepared world is made first, in a cache of its own."""
    environment = {**os.environ, "SEGMENT1B_CACHE": str(folder / "place-cache")}
    load = f"load average {os.getloadavg()[0]:.1f} before"
    text = f"## place\n\n{machine()}, {date.today()}, {load}, medians of {repeat} runs\n" + HEADER
    _figures(FEW, 1_000, environment)
    for countries, outlets, mark in CASES:
        runs = [_figures(countries, outlets, environment) for _ in range(repeat)]
        rows, *used = (statistics.median(values) for values in zip(*runs, strict=True))
        wall, cpu, import_wall, import_cpu = used
        text += (
            f"| {len(countries) or 'all'} countries | {rows:,.0f} | {wall:.2f} | {cpu:.2f} | "
            f"{mark} | {import_wall:.2f} | {import_cpu:.2f} |\n"
        )
    return text


def _figures(countries: Sequence[str], outlets: int, environment: Mapping[str, str]) -> list[float]:
    command = [sys.executable, "-c", _PROGRAM, str(outlets), *countries]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    figures: list[float] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    main()
