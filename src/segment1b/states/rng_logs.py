"""Logs of random numbers: the audit row before the first draw, the trace of the events."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segment1b.contracts import Contracts
from segment1b.contracts.program import VERSION
from segment1b.identity import Identity, canonical_json
from segment1b.storage.failures import utc_now
from segment1b.storage.publisher import create_bytes

_TRACKED_AS = "src/segment1b/states/rng_logs.py"
MODULES = {"site_tile_assign": "1B.S5.assigner", "in_cell_jitter": "1B.S6.jitter"}


def write_audit(root: Path, contracts: Contracts, identity: Identity, scratch: Path) -> Path:
    """Write the audit row of a run unless it is there: the only log with a clock."""
    relative = contracts["rng_audit_log"].locate(identity.places)
    if not (root / relative).exists():
        row = {
            "ts_utc": utc_now(),
            "run_id": identity.run_id,
            **identity.tokens,
            "algorithm": "philox4x64-10",
            "build_commit": _build_commit(),
            "platform": f"{platform.system()} {platform.machine()}",
        }
        create_bytes(root, relative, canonical_json(row), scratch)
    return root / relative


def trace(identity: Identity, label: str, parts: Sequence[tuple[int, int, int]]) -> bytes:
    """Return a JSON line per part of an event log, cumulative; parts: (events, blocks, draws)."""
    lines, total = [], np.zeros(3, np.int64)
    for number, part in enumerate(parts or [(0, 0, 0)]):
        total += part
        line = {
            "run_id": identity.run_id,
            "seed": identity.seed,
            "module": MODULES[label],
            "substream_label": label,
            "part": number,
            "events_total": int(total[0]),
            "blocks_total": str(total[1]),
            "draws_total": str(total[2]),
        }
        lines.append(canonical_json(line))
    return b"".join(lines)


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
