"""What a state has published, as its run report tells: for the summary and for lineage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segment1b.contracts import Dataset
from segment1b.storage.durable import read_object
from segment1b.storage.snapshot import Snapshot


@dataclass(frozen=True)
class PublishedDataset:
    """One dataset at one identity: its dictionary entry, place and receipt."""

    dataset: Dataset
    path: Path
    rows: int | None
    bytes: int | None
    content_sha256_hex: str


@dataclass(frozen=True)
class PublishedState:
    """A state's report on disk, with the datasets it commits and those it was made from."""

    report_path: Path
    report: dict[str, Any]
    outputs: tuple[PublishedDataset, ...]
    inputs: tuple[PublishedDataset, ...]

    @property
    def rows(self) -> int:
        """Return the rows of the state's own dataset, or the outlets that S0 has seen."""
        return int(self.report.get("rows_emitted", self.report.get("outlet_rows", 0)))


def published_state(snapshot: Snapshot, state: str) -> PublishedState:
    """Read what a state that has ended has published at one identity.

    Raises:
        Segment1BError: E_INPUT_UNREADABLE for a damaged report.
    """
    report_id = f"{state}_run_report"
    report = read_object(snapshot.path(report_id))
    outputs = []
    for dataset in snapshot.contracts:
        receipt = report.get(dataset.receipt_field) if dataset.receipt_in == report_id else None
        if receipt is not None:
            size = sum(file["bytes"] for file in receipt["files"])
            path, digest = snapshot.path(dataset.id), receipt["content_sha256_hex"]
            outputs.append(PublishedDataset(dataset, path, receipt["rows"], size, digest))
    inputs = tuple(
        PublishedDataset(snapshot.contracts[name], snapshot.path(name), None, None, digest)
        for name, digest in sorted(report["input_digests"].items())
    )
    return PublishedState(snapshot.path(report_id), report, tuple(outputs), inputs)
