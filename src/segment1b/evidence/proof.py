"""Determinism proof: repeats the run on other engines and compares digests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segment1b.config import RunSettings, policy_file
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.pipeline.execution import run_pipeline
from segment1b.reference.installing import LAYERS, SURFACES
from segment1b.storage.durable import write_file
from segment1b.storage.receipts import DIGEST_VERSION
from segment1b.storage.snapshot import Snapshot, report_id

#: Engine and workers of each repeat.
REPEATS: tuple[tuple[str, int], ...] = (("serial", 1), ("processes", 3))


@dataclass(frozen=True)
class ProvedRun(Snapshot):
    """A run that is repeated.

    Attributes:
        dictionary: the dictionary's path where it is not the packaged one.
        bundle: 1A's validation bundle where it is not in the root.
    """

    dictionary: Path | None = None
    bundle: Path | None = None


def prove(published: ProvedRun) -> dict[str, Any]:
    """Repeat a run in temporary roots, once for each of `REPEATS`, and compare.

    Returns:
        `repeats` (engine, workers), `digest_version` (of the content digests) and `datasets`: of
        each dataset and log its rows and the lists `content_sha256_hex` and, unless it has clocks,
        `sha256_hex`, as published and repeated.

    Raises:
        Segment1BError: E_EVIDENCE_NOT_REPRODUCED where content differs; what a repeat raises.
    """
    runs = [_receipts(published)]
    for engine, workers in REPEATS:
        with tempfile.TemporaryDirectory(prefix="segment1b-repeat-") as folder:
            runs.append(_repeat(published, engine, workers, Path(folder)))
    datasets = [_compared(dataset_id, [run[dataset_id] for run in runs]) for dataset_id in runs[0]]
    return {
        "repeats": [{"engine": engine, "workers": workers} for engine, workers in REPEATS],
        "digest_version": DIGEST_VERSION,
        "datasets": datasets,
    }


def _repeat(
    published: ProvedRun, engine: str, workers: int, folder: Path
) -> dict[str, dict[str, Any]]:
    root = folder / "root"
    upstream = [dataset.id for dataset in published.contracts if dataset.owner == "1A"]
    for dataset_id in (*SURFACES, *LAYERS, *upstream):
        source = published.path(dataset_id)
        if source.exists():
            _bring(source, root / source.relative_to(published.root))
    policy = folder / "policy.yaml"  # JSON is YAML
    repeated = policy_file(published.bound_policy)
    write_file(policy, canonical_json(repeated))
    run_pipeline(
        RunSettings(
            data_root=root,
            **published.identity.tokens,  # type: ignore[arg-type]
            dictionary=published.dictionary,
            validation_bundle=published.bundle,
            policy_files=(policy,),
            engine=engine,
            workers=workers,
        )
    )
    return _receipts(Snapshot(root, published.contracts, published.tokens))


def _bring(source: Path, target: Path) -> None:
    """Link or copy a file or folder; a run never changes what it reads."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_or_copy)
    else:
        _link_or_copy(str(source), str(target))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _receipts(published: Snapshot) -> dict[str, dict[str, Any]]:
    """Return what is compared of each receipt, by dataset id."""
    receipts = {}
    for dataset in published.receipted():
        receipt = published.document(report_id(dataset))[dataset.receipt_field]
        names = ("rows", "content_sha256_hex", *(() if dataset.volatile else ("sha256_hex",)))
        receipts[dataset.id] = {"state": dataset.owner} | {name: receipt[name] for name in names}
    return receipts


def _compared(dataset_id: str, runs: list[Mapping[str, Any]]) -> dict[str, Any]:
    content = [run["content_sha256_hex"] for run in runs]
    if len(set(content)) > 1:
        at = next(number for number, digest in enumerate(content) if digest != content[0])
        engine, workers = REPEATS[at - 1]
        raise Segment1BError(
            "E_EVIDENCE_NOT_REPRODUCED",
            f"{dataset_id} as published has content {content[0]}, made again with engine {engine} "
            f"and {workers} workers {content[at]}",
            "find out what made the published run: another program version, or changed data "
            "('segment1b validate' tells); keep the root and report it if neither",
            dataset=dataset_id,
        )
    first = runs[0]
    compared = {"dataset_id": dataset_id, "state": first["state"], "rows": first["rows"]}
    compared["content_sha256_hex"] = content
    if "sha256_hex" in first:
        compared["sha256_hex"] = [run["sha256_hex"] for run in runs]
    return compared
