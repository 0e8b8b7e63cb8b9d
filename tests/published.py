"""Published partitions and run reports for tests of storage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from segment1b.contracts import Contracts, Dataset, load
from segment1b.contracts.program import program
from segment1b.errors import Segment1BError
from segment1b.storage.parts import part_name, write_part
from segment1b.storage.publisher import publish_folder, publish_report
from segment1b.storage.receipts import Receipt

TOKENS: dict[str, Any] = {
    "seed": 42,
    "manifest_fingerprint": "1" * 64,
    "parameter_hash": "2" * 64,
}
KNOWN: Contracts = load()
S3 = KNOWN["s3_requirements"]
RESOURCES = {
    "wall_clock_seconds_total": 0.5,
    "cpu_seconds_total": 0.4,
    "max_worker_rss_bytes": 1,
    "open_files_peak": 1,
    "workers_used": 1,
    "chunk_size": 1,
}


def raises(code: str, text: str = "") -> pytest.RaisesExc[Segment1BError]:
    """Expect an error with that code, and with a text that matches."""
    return pytest.raises(Segment1BError, match=rf"(?s)^{code}: .*{text}")


def requirements(*rows: tuple[int, str, int]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [[], [], []]
    return pa.table([list(column) for column in columns], schema=S3.arrow_schema)


#: Two versions of the one part of a partition, and where it is published.
ONE = [requirements((1, "NO", 2), (1, "SE", 1), (2, "NO", 5))]
OTHER = [requirements((1, "NO", 2), (1, "SE", 1), (2, "NO", 6))]
TARGET = S3.locate(TOKENS)
IMMUTABLE = "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"


def stage(folder: Path, dataset: Dataset, files: Sequence[Sequence[pa.Table]]) -> Path:
    """Write part files, each from its row groups; return the folder."""
    folder.mkdir(parents=True)
    for number, groups in enumerate(files):
        write_part(folder / part_name(number), dataset, groups)
    return folder


def publish(
    root: Path,
    *files: Sequence[pa.Table],
    dataset: Dataset = S3,
    is_committed: bool = False,
    replace: bool = False,
) -> Receipt:
    """Stage part files in a folder of their own and publish them."""
    stages = root / ".staging"
    stages.mkdir(parents=True, exist_ok=True)
    staged = stage(stages / f"stage-{len(list(stages.iterdir()))}", dataset, files)
    return publish_folder(
        root, dataset, TOKENS, staged, 2, is_committed=is_committed, replace=replace
    )


def s3_report(receipt: Receipt, **more: Any) -> dict[str, Any]:
    """Return the run report that commits s3_requirements."""
    return {
        **TOKENS,
        "rows_emitted": receipt.rows,
        "merchants_total": 1,
        "countries_total": 1,
        "source_rows_total": 1,
        "excluded_by_policy": {},
        "max_n_sites": 1,
        "ingress_versions": {"iso3166": "2024"},
        "input_digests": {"world_countries": "3" * 64, "s0_gate_receipt_1B": "4" * 64},
        "determinism_receipt": receipt.as_json(),
        "program": program(),
        "resources": RESOURCES,
        **more,
    }


def commit(root: Path, receipt: Receipt, **more: Any) -> Path:
    """Write the run report of s3_requirements; return its path."""
    entry = KNOWN["s3_run_report"]
    return publish_report(root, KNOWN, entry, TOKENS, s3_report(receipt, **more), root / ".staging")
