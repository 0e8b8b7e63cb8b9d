"""Reads the reports, the verdict and the tables of one run for the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection as Database

from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import Segment1BError
from segment1b.identity import STATE_NAMES
from segment1b.outlets.pairs import read_outlets
from segment1b.read.gate import proven_paths
from segment1b.reference import embedded
from segment1b.reference.installing import is_embedded, provenance_path
from segment1b.storage.durable import read_object
from segment1b.storage.snapshot import Snapshot
from segment1b.storage.sql import open_database, parquet_table

_BASES = {
    "area_m2": "The weights are areas: no population was used.",
    "uniform": "All cells of a country weigh the same: no population was used.",
}


@dataclass(frozen=True)
class World(Snapshot):
    """One identity of a data root, as far as it is published.

    Attributes:
        policy: the policy in force; empty when the root names none.
        reports: run reports by state, of the states that have one.
        unproven: why the locations are not proven; empty when they are.
        checks: the acceptance checks of S9 by name; empty without a bundle.
        realism: the realism figures of S9; empty without a bundle.
        failed: path below the root of the bundle that failed; empty when S9 passed.
        notes: a sentence for each part of the input that is no real data.
    """

    policy: dict[str, Any]
    reports: dict[str, dict[str, Any]]
    unproven: str
    checks: dict[str, dict[str, Any]]
    realism: dict[str, Any]
    failed: str
    notes: tuple[str, ...]

    def parts(self, dataset_id: str) -> list[Path]:
        """Return the files of a committed table; none when it is not published."""
        self.fetch([dataset_id])
        partition = self.partition(dataset_id)
        return partition.paths if partition else []


def read_world(snapshot: Snapshot) -> World:
    """Return what a data root has published at one identity; what is missing is left empty."""
    reports = {state: read_optional(snapshot.path(f"{state}_run_report")) for state in STATE_NAMES}
    try:
        proven_paths(snapshot)
        unproven = ""
    except Segment1BError as error:
        raise_machine_fault(error)
        # The page must not depend on where the root is.
        unproven = f"{error.code}: {error.message}".replace(f"{snapshot.root}/", "")
    bundle, failed = _bundle(snapshot)
    policy = read_optional(snapshot.path("parameter_policy_1B"))
    return World(
        snapshot.root,
        snapshot.contracts,
        snapshot.tokens,
        policy["policy"] if policy else {},
        {state: report for state, report in reports.items() if report},
        unproven,
        read_optional(bundle / "s9_summary.json").get("checks", {}),
        read_optional(bundle / "realism.json"),
        failed,
        _notes(snapshot, policy.get("policy", {}), policy.get("surfaces", {})),
    )


def _notes(snapshot: Snapshot, policy: dict[str, Any], surfaces: dict[str, str]) -> tuple[str, ...]:
    """Return sentences about this run's population and merchants, each only where it is true."""
    basis = policy.get("prep", {}).get("basis")
    raster = snapshot.path("population_raster_2025")
    notes = []
    if basis == "population" and is_embedded(surfaces) and not provenance_path(raster).exists():
        notes.append("The population is a synthetic prior, not a census.")
    elif basis in _BASES:
        notes.append(_BASES[basis])
    if snapshot.tokens.get("manifest_fingerprint") == _sample_fingerprint():
        notes.append("The merchants of the sample are made up.")
    return tuple(notes)


@lru_cache(maxsize=1)
def _sample_fingerprint() -> str:
    codes = pq.read_table(embedded.surface("iso3166.parquet"))["country_iso"].to_pylist()
    return str(read_outlets(embedded.SAMPLE_OUTLETS, set(codes)).fingerprint)


def _bundle(snapshot: Snapshot) -> tuple[Path, str]:
    """Return the path of S9's bundle, and its path below the root when it failed."""
    bundle = snapshot.path("validation_bundle_1B")
    if (bundle / "s9_summary.json").exists():
        return bundle, ""
    attempts = replace(snapshot, tokens={**snapshot.tokens, "attempt": "*"})
    attempts.fetch(["validation_failed_1B"])
    latest = (0, bundle, "")
    dataset = snapshot.contracts["validation_failed_1B"]
    for path in snapshot.root.glob(dataset.locate(attempts.tokens)):
        manifest = read_optional(path / "MANIFEST.json")
        number = int(path.name.partition("=")[2])
        # Runs with other parameters share the folder.
        same = all(manifest.get(name) == value for name, value in snapshot.identity.tokens.items())
        if same and number > latest[0]:
            latest = (number, path, path.relative_to(snapshot.root).as_posix())
    return latest[1], latest[2]


def read_optional(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file, or an empty dict if the file does not exist."""
    return read_object(path) if path.exists() else {}


@contextmanager
def open_tables(world: World, dataset_ids: Sequence[str]) -> Iterator[tuple[Database, set[str]]]:
    """Open a database with a view over each table that is published; yield it and their names.

    Every view has `row_number`, the row's number in written order, from 0.
    """
    with open_database() as database:
        views = {name: paths for name in dataset_ids if (paths := world.parts(name))}
        for dataset_id, paths in views.items():
            source = parquet_table(paths, "file_row_number = true")
            database.execute(
                f'CREATE VIEW "{dataset_id}" AS SELECT *, '  # noqa: S608 - names of the contracts
                f"file_index * 1048576::BIGINT + file_row_number AS row_number FROM {source}"
            )
        yield database, set(views)
