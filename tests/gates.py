"""A root that passes the gate, and the gate's refusal of one that does not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import foreign
from segment1b.config import load_policy, parameter_document
from segment1b.contracts import load
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.pipeline.engines import Pool, SerialExecutor
from segment1b.pipeline.workers import Workers
from segment1b.states.protocol import Report, Run
from segment1b.states.s0_gate import S0Gate
from segment1b.storage.publisher import publish_document
from segment1b.storage.root import open_root
from shapes import tree

SEED, F, P = 42, "1" * 64, "2" * 64
PAIRS = [(17, "NO", 3), (17, "SE", 1), (18, "DE", 2), (2**63 - 1, "NO", 1)]
REFERENCES = {
    "iso3166_canonical_2024": "reference/layer1/iso3166_canonical/2024/iso3166.parquet",
    "world_countries": "reference/spatial/world_countries/2024/world_countries.parquet",
    "population_raster_2025": "reference/spatial/population/2025/population.tif",
    "tz_world_2025a": "reference/spatial/tz_world/2025a/tz_world.parquet",
}
POLICY_PATH = f"data/layer1/1B/parameter_policy/parameter_hash={P}/parameter_policy.json"
KNOWN = load()


def lay(root: Path, seed: int = SEED, **more: Any) -> Path:
    """Lay a world that passes the gate; S0 only hashes the references. Return the bundle."""
    open_root(root)
    for dataset_id, path in REFERENCES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(f"the bytes of {dataset_id}".encode())
    entry = KNOWN["parameter_policy_1B"]
    document = parameter_document(load_policy(), {})
    publish_document(root, KNOWN, entry, {"parameter_hash": P}, document, root / ".staging")
    return foreign.lay_bundle(root, seed, F, P, PAIRS, **more)


def a_run(root: Path, seed: int = SEED, f: str = F, p: str = P, **more: Any) -> Run:
    """Return a run of that identity."""
    return Run(root, Identity(seed, f, p), load_policy(), {}, root / ".staging", **more)


def shards_of(run: Run) -> Sequence[str]:
    """Return what the gate has to hash."""
    state = S0Gate()
    on_workers = Workers(state, run, Pool(SerialExecutor(), 1), 1)
    return state.shards(run, run.reader(state), on_workers)


def gate(run: Run) -> Report:
    """Go through the gate as the pipeline does."""
    state = S0Gate()
    reader = run.reader(state)
    results = [state.work(run, reader, shard) for shard in shards_of(run)]
    return state.report(run, reader, sum(result.rows for result in results), [])


def refused(run: Run) -> Segment1BError:
    """Return the error at the gate; nothing may have been written."""
    before = tree(run.root)
    with pytest.raises(Segment1BError) as caught:
        gate(run)
    assert tree(run.root) == before
    return caught.value


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file; a change that returns a value replaces the whole."""
    value = json.loads(path.read_bytes())
    changed = change(value)
    foreign.write_json(path, value if changed is None else changed)


# ------------------------------------------------------------------ changes of a bundle

#: Changes a bundle, or what lies beside it in the root.
Spoil = Callable[[Path], object]


def flagged(name: str, change: Callable[[Any], object]) -> Spoil:
    """Change a file of the bundle, and the flag to fit."""

    def spoil(bundle: Path) -> None:
        edit(bundle / name, change)
        foreign.write_flag(bundle)

    return spoil


def write(name: str, data: bytes) -> Spoil:
    return lambda bundle: (bundle / name).write_bytes(data)


def remove(name: str) -> Spoil:
    return lambda bundle: (bundle / name).unlink()


def pipe_for(name: str) -> Spoil:
    def spoil(bundle: Path) -> None:
        (bundle / name).unlink()
        os.mkfifo(bundle / name)

    return spoil
