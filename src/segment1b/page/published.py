"""What the page reads: reports, the verdict, and tables by way of a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from segment1b.contracts import Contracts
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.read.gate import proven_paths
from segment1b.storage.durable import read_object
from segment1b.storage.reader import committed
from segment1b.storage.root import root_at
from segment1b.storage.sql import parquet_table

STATES = tuple(f"s{number}" for number in range(10))


@dataclass(frozen=True)
class World:
    """One identity of a data root, as far as it is published.

    Attributes:
        root: the data root.
        contracts: dictionary and schemas.
        identity: seed, manifest_fingerprint, parameter_hash.
        policy: the policy in force; empty when the root names none.
        reports: run reports by state, of the states that have one.
        unproven: why the locations are not proven; empty when the flag opens them.
        checks: the acceptance checks of S9 by name; empty without a bundle.
        realism: S9's figures of how the planet looks; empty without a bundle.
        failed: where below the root the bundle lies when it is one that S9 put aside as failed.
    """

    root: Path
    contracts: Contracts
    identity: Identity
    policy: dict[str, Any]
    reports: dict[str, dict[str, Any]]
    unproven: str
    checks: dict[str, dict[str, Any]]
    realism: dict[str, Any]
    failed: str

    def path(self, dataset_id: str) -> Path:
        """Return where a dataset lies at this identity."""
        return self.root / self.contracts[dataset_id].locate(self.identity.places)

    def parts(self, dataset_id: str) -> list[Path]:
        """Return the files of a committed table; none when it is not published."""
        dataset = self.contracts[dataset_id]
        root_at(self.root).fetch([dataset.locate(self.identity.places)])
        found = committed(self.root, self.contracts, dataset, self.identity.places)
        return found.paths if found else []


def read_world(root: Path, contracts: Contracts, identity: Identity) -> World:
    """Return what a data root has published at one identity; what is missing is left empty.

    Args:
        root: the data root.
        contracts: dictionary and schemas.
        identity: which run.
    """
    reports = {}
    for state in STATES:
        path = root / contracts[f"{state}_run_report"].locate(identity.places)
        if path.exists():
            reports[state] = read_object(path)
    try:
        proven_paths(root, contracts, identity.places)
        unproven = ""
    except Segment1BError as error:
        # The same world elsewhere gives the same page.
        unproven = f"{error.code}: {error.message}".replace(f"{root}/", "")
    bundle, failed = _bundle(root, contracts, identity)
    policy = root / contracts["parameter_policy_1B"].locate(identity.places)
    return World(
        root,
        contracts,
        identity,
        read_object(policy)["policy"] if policy.exists() else {},
        reports,
        unproven,
        _in_bundle(bundle / "s9_summary.json").get("checks", {}),
        _in_bundle(bundle / "realism.json"),
        failed,
    )


def _bundle(root: Path, contracts: Contracts, identity: Identity) -> tuple[Path, str]:
    """Return where S9's bundle lies, and the same below the root when it was put aside."""
    bundle = root / contracts["validation_bundle_1B"].locate(identity.places)
    if (bundle / "s9_summary.json").exists():
        return bundle, ""
    dataset = contracts["validation_failed_1B"]
    anywhere = dataset.locate({**identity.places, "attempt": "*"})
    root_at(root).fetch([anywhere])
    latest = (0, bundle, "")
    for folder in root.glob(anywhere):
        said = _in_bundle(folder / "MANIFEST.json")
        number = int(folder.name.partition("=")[2])
        # Runs with other parameters put theirs into the same folder.
        own = all(said.get(name) == value for name, value in identity.tokens.items())
        if own and number > latest[0]:
            latest = (number, folder, folder.relative_to(root).as_posix())
    return latest[1], latest[2]


def _in_bundle(path: Path) -> dict[str, Any]:
    return dict(read_object(path)) if path.exists() else {}


def open_tables(world: World, dataset_ids: Sequence[str]) -> duckdb.DuckDBPyConnection:
    """Return a database with a view over each published table among those named.

    Every view has `row_number`, the row's number in written order, from 0.
    """
    database = duckdb.connect()
    for name, value in {"threads": "2", "memory_limit": "'2GB'", "TimeZone": "'UTC'"}.items():
        database.execute(f"SET {name} = {value}")
    database.execute("SET autoinstall_known_extensions = false")
    for dataset_id in dataset_ids:
        paths = world.parts(dataset_id)
        if paths:
            source = parquet_table(paths, "file_row_number = true")
            database.execute(
                f"CREATE VIEW {dataset_id} AS SELECT *, "  # noqa: S608 - names of the contracts
                f"file_index * 1048576::BIGINT + file_row_number AS row_number FROM {source}"
            )
    return database
