"""Logs of random numbers: the audit row before the first draw, the trace of the events."""

from __future__ import annotations

import itertools
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.contracts.program import VERSION
from segment1b.identity import canonical_json
from segment1b.states.protocol import Run
from segment1b.storage.failures import utc_now
from segment1b.storage.publisher import create_bytes

_TRACKED_AS = "src/segment1b/states/rng_logs.py"
_JITTER = "1B.S6.jitter"
MODULES = {
    "site_tile_assign": "1B.S5.assigner",
    "in_cell_jitter": _JITTER,
    "centre_jitter": _JITTER,
}


def write_audit(run: Run) -> Path:
    """Write the audit row of a run unless it is there: the only log with a clock."""
    identity = run.identity
    relative = run.contracts["rng_audit_log"].locate(identity.places)
    if not (run.root / relative).exists():
        row = {
            "ts_utc": utc_now(),
            "run_id": identity.run_id,
            **identity.tokens,
            "algorithm": "philox4x64-10",
            "build_commit": _build_commit(),
            "platform": f"{platform.system()} {platform.machine()}",
        }
        create_bytes(run.root, relative, canonical_json(row), run.staging)
    return run.root / relative


def event_totals(run: Run, label: str) -> list[int]:
    """Return the events of each part of an event log: its `blocks`, or one a row."""
    totals = []
    for path in run.part_files(f"rng_event_{label}"):
        with pq.ParquetFile(path) as file:
            if "blocks" in file.schema_arrow.names:
                totals.append(pc.sum(file.read(["blocks"]).column(0)).as_py() or 0)
            else:
                totals.append(file.metadata.num_rows)
    return totals


def trace(run: Run, label: str, events: Sequence[int], draws: int = 1) -> dict[str, bytes]:
    """Return the trace log by dataset id: a JSON line per part of the event log, cumulative.

    `events` are those of each part; an event is a block, of which `draws` words are used.
    """
    totals = itertools.accumulate(events or [0])
    lines = [
        {
            "run_id": run.identity.run_id,
            "seed": run.identity.seed,
            "module": MODULES[label],
            "substream_label": label,
            "part": number,
            "events_total": total,
            "blocks_total": str(total),
            "draws_total": str(draws * total),
        }
        for number, total in enumerate(totals)
    ]
    return {f"rng_trace_{label}": b"".join(map(canonical_json, lines))}


def _build_commit() -> str:
    """Return the commit of the checkout the package runs from, else its version.

    An installed package may lie below the checkout of another project, so this module must be a
    file that the checkout tracks at its path in this project.
    """
    here = Path(__file__)
    try:
        if _git(here.parent, "ls-files", "--full-name", "--", here.name) != _TRACKED_AS:
            return VERSION
        return _git(here.parent, "rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return VERSION


def _git(folder: Path, *words: str) -> str:
    # GIT_DIR, as hooks have it, would name another checkout; fsmonitor runs a program of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
