"""Checks an evidence bundle by reading alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segment1b.contracts import Contracts
from segment1b.contracts.faults import raise_machine_fault
from segment1b.read.gate import bundle_tokens
from segment1b.storage.bundles import RULES, check_summary, open_bundle
from segment1b.storage.checksums import SUMS, invalid, verify_sums
from segment1b.storage.durable import read_json, read_object
from segment1b.storage.snapshot import receipted, report_id, weights_used

MANIFEST = "manifest.json"
DETERMINISM = "determinism.json"
CHECKS = "checks.json"
BUNDLE = "validation_bundle"
REPORTS = "reports"
POLICY = "policy/parameter_policy.json"


def is_evidence(folder: Path) -> bool:
    """Return whether a folder is an evidence bundle, whole or damaged."""
    return (folder / SUMS).is_file() or (folder / MANIFEST).is_file()


def verify_evidence(folder: Path, contracts: Contracts) -> dict[str, Any]:
    """Check that an evidence bundle is whole, unchanged and consistent.

    `SHA256SUMS` must match every other file, the validation bundle its index, its flag and the
    manifest; no check may have offending rows; the repeated runs must have the content of the
    receipts in the run reports.

    Returns:
        The tokens, `files`, `flag_sha256_hex`, `bundle_files`, `checks`, `datasets`.

    Raises:
        Segment1BError: E_EVIDENCE_INVALID; E908_BUNDLE_CONTENTS_MISSING, E909_INDEX_INVALID or
            E910_FLAG_BAD_OR_MISSING for the validation bundle inside.
    """
    sums = verify_sums(folder)
    names, flag = open_bundle(contracts, folder / BUNDLE, RULES)
    check_summary(folder / BUNDLE)
    try:
        result = _agree(folder, contracts, flag)
    except (KeyError, TypeError, AttributeError, OSError) as error:
        raise_machine_fault(error, folder)
        raise invalid(folder, f"is no whole evidence bundle: {error!r}") from None
    return {**result, "files": len(sums) + 1, "flag_sha256_hex": flag, "bundle_files": len(names)}


def _agree(folder: Path, contracts: Contracts, flag: str) -> dict[str, Any]:
    manifest = read_json(folder / MANIFEST)
    tokens = bundle_tokens(folder / BUNDLE)
    for name, value in {**tokens, "flag_sha256_hex": flag}.items():
        if manifest[name] != value:
            what = f"says {name} {manifest[name]}, the validation bundle {value}"
            raise invalid(folder / MANIFEST, what)
    checks = read_json(folder / CHECKS)["checks"]
    failed = [check["name"] for check in checks if check["offending"]]
    if failed or not checks:
        raise invalid(folder / CHECKS, f"has checks that do not pass: {', '.join(failed)}")
    entries = read_json(folder / DETERMINISM)["datasets"]
    digests = {entry["dataset_id"]: entry["content_sha256_hex"] for entry in entries}
    policy = read_json(folder / POLICY)["policy"]
    plan = read_object(folder / REPORTS / "s4_run_report.json")
    for dataset in (*receipted(contracts, policy), *weights_used(contracts, plan)):
        path = folder / REPORTS / f"{report_id(dataset)}.json"
        if not path.is_file():
            raise invalid(path, "is absent")
        published = read_json(path)[dataset.receipt_field]["content_sha256_hex"]
        if set(digests.get(dataset.id, ())) != {published}:
            what = f"does not repeat {dataset.id} as its run report has it, {published}"
            raise invalid(folder / DETERMINISM, what)
    sites = read_json(folder / BUNDLE / "egress_checksums.json")
    if digests["site_locations"][0] != sites["content_sha256_hex"]:
        raise invalid(folder / DETERMINISM, "is about other sites than the validation bundle")
    return {**tokens, "checks": len(checks), "datasets": len(digests)}
