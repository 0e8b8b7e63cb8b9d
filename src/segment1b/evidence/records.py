"""Collects the records of a run, those that differ from run to run apart."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from segment1b.contracts import Contracts
from segment1b.contracts.program import contracts_root
from segment1b.contracts.texts import read_regular
from segment1b.identity import STATE_NAMES, sha256_hex
from segment1b.reference import embedded
from segment1b.storage.failures import utc_now
from segment1b.storage.snapshot import Snapshot, report_id
from segment1b.storage.versions import versions

_REPORTS = tuple(f"{state}_run_report" for state in STATE_NAMES)
_AUDIT = "rng_audit_log"
# Library versions, and the digest of the audit log, whose row has a clock.
_MACHINE = ("versions", "audit_sha256_hex")


def steady_report(published: Snapshot, state: str) -> dict[str, Any]:
    """Return a run report without clocks, library versions and the digests that depend on them."""
    name = f"{state}_run_report"
    body = {k: v for k, v in steady_document(published, name).items() if k not in _MACHINE}
    for dataset in published.receipted():
        if report_id(dataset) == name and dataset.volatile:
            steady = ("partition_path", "rows", "content_sha256_hex", "digest_version")
            receipt = body[dataset.receipt_field]
            body[dataset.receipt_field] = {key: receipt[key] for key in steady}
    inputs = body["input_digests"].items()
    body["input_digests"] = {k: digest for k, digest in inputs if k not in (_AUDIT, *_REPORTS)}
    return body


def steady_document(published: Snapshot, dataset_id: str) -> dict[str, Any]:
    """Return a document without the fields that the dictionary calls volatile."""
    volatile = published.contracts[dataset_id].volatile
    return {k: v for k, v in published.document(dataset_id).items() if k not in volatile}


def originals(published: Snapshot) -> dict[str, bytes]:
    """Return the reports, the gate's receipt and the audit row as they are in the root, by name."""
    ids = (*_REPORTS, "s0_gate_receipt_1B", _AUDIT)
    paths = {dataset_id: published.path(dataset_id) for dataset_id in ids}
    return {f"{name}{path.suffix}": read_regular(path) for name, path in paths.items()}


def machine(published: Snapshot) -> dict[str, Any]:
    """Return time, machine and libraries of the bundle, and the resources that the states used."""
    libraries = {}
    for name in ("duckdb", "jsonschema-rs", "polars", "pydantic", "rasterio"):
        with suppress(metadata.PackageNotFoundError):
            libraries[name] = metadata.version(name)
    return {
        "made_utc": utc_now(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "libraries": versions() | libraries,
        "resources": {
            state: published.document(f"{state}_run_report")["resources"] for state in STATE_NAMES
        },
    }


def datasets(known: Contracts) -> list[dict[str, Any]]:
    """Return path, schema, key, columns, licence and retention of each dataset of the states."""
    return [
        {
            "dataset_id": dataset.id,
            "state": dataset.owner,
            "path": dataset.path,
            "schema_ref": dataset.schema_ref,
            "key": dataset.key,
            "columns": [
                {"name": column.name, "type": column.type}
                | ({"unit": column.unit} if column.unit else {})
                for column in dataset.columns
            ],
            "licence": dataset.licence,
            "retention_days": dataset.retention_days,
        }
        for dataset in known
        if dataset.owner != "all"
    ]


def contract_digests(known: Contracts) -> dict[str, str]:
    """Return the SHA-256 of the dictionary in force and of every packaged schema and policy."""
    root = contracts_root()
    files = sorted(path for path in root.rglob("*.yaml") if path.is_relative_to(root))
    digests = {path.relative_to(root).as_posix(): sha256_hex(read_regular(path)) for path in files}
    return {**digests, "dictionary in force": sha256_hex(read_regular(known.path))}


def embedded_surfaces(surfaces: dict[str, str]) -> list[str]:
    """Return which of the surfaces, given with their SHA-256, ship with the package."""
    shipped = {entry["sha256"] for entry in embedded.manifest()["files"]}
    return sorted(name for name, digest in surfaces.items() if digest in shipped)


def notice() -> str:
    """Return the project's notices, from the wheel or the top of a checkout."""
    packed = Path(__file__).parents[1] / "NOTICE.md"
    path = packed if packed.is_file() else Path(__file__).parents[3] / "NOTICE.md"
    return read_regular(path).decode()
