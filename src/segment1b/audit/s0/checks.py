"""S0: the seal and the receipt, derived again with hashlib alone; gate.py has the gate law."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from segment1b.audit.case import POLICY, RECEIPT, Case, state_checks
from segment1b.audit.proofs import prove_bytes
from segment1b.audit.published import UnusableError
from segment1b.audit.results import Found, RefusedError, Row, differences, fields_differ
from segment1b.audit.s0.gate import CHECKS, indexed

_REPORT = "s0_run_report"
_REUSED = "E_PARAMETER_HASH_REUSED"
_DAMAGED = "E_RECEIPT_SCHEMA_INVALID"


@CHECKS.add("sealed_ids", "E_FORBIDDEN_SURFACE_READ", RECEIPT)
def _sealed_ids(case: Case) -> Iterator[Row]:
    """The receipt seals every input a later state opens, once, and nothing else."""
    entries = [entry["id"] for entry in case.report(RECEIPT)["sealed_inputs"]]
    counts, sealable = Counter(entries), PLAN.inputs
    for name in sorted({*counts, *sealable}):
        if counts[name] != int(name in sealable):
            yield {"dataset": name, "found": counts[name], "expected": int(name in sealable)}
    if entries != sorted(entries):
        yield {"found": entries, "expected": sorted(entries)}


@CHECKS.add("sealed_inputs", _REUSED, RECEIPT)
def _sealed_bytes(case: Case) -> Found:
    """Paths, sizes and SHA-256 of the sealed inputs are those of today's bytes."""
    rows: list[Row] = []
    first = ""
    for entry in case.report(RECEIPT)["sealed_inputs"]:
        if entry["id"] not in PLAN.inputs:
            continue
        dataset = case.published.dataset(entry["id"])
        expected: dict[str, Any] = {
            "path": dataset.locate(case.published.tokens),
            "partition": dataset.partition(case.published.tokens),
            "schema_ref": dataset.schema_ref,
            "version_tag": dataset.version_tag,
            "size_bytes": None,
            "sha256_hex": None,
        }
        code = PLAN.stale(entry["id"])
        try:
            proof = case.published.proof(entry["id"])
            expected |= {"size_bytes": proof.size, "sha256_hex": proof.composite}
        except UnusableError:
            code = "E_REFERENCE_SURFACE_MISSING"
        wrong = list(fields_differ(entry, expected, dataset=entry["id"]))
        first = first or (code if wrong else "")
        rows += wrong
    return Found(rows, first)


@CHECKS.add("policy_binding", _REUSED, RECEIPT, POLICY)
def _policy_binding(case: Case) -> Iterator[Row]:
    """The parameter_hash is bound to the very surfaces that are sealed."""
    bound, sealed = case.published.document(POLICY)["surfaces"], case.sealed()
    return differences({name: sealed.get(name) for name in bound}, bound)


@CHECKS.add("receipt_bytes", _DAMAGED, RECEIPT, _REPORT)
def _receipt_bytes(case: Case) -> Iterator[Row]:
    """The gate receipt is, byte for byte, the one its run report has committed."""
    path = case.published.path(RECEIPT)
    proof = prove_bytes(path.parent, [path])
    found = {
        "partition_path": path.parent.relative_to(case.published.root).as_posix(),
        "rows": 1,
        "files": proof.as_json(),
        "sha256_hex": proof.composite,
        "content_sha256_hex": case.published.digest_today(RECEIPT),
    }
    yield from differences(found, case.report(_REPORT)["determinism_receipt"], path=str(path))
    for name in sorted(other.name for other in path.parent.iterdir() if other != path):
        yield {"path": name, "reason": "a stray file"}


@CHECKS.add("report_figures", _DAMAGED, RECEIPT, _REPORT, "outlet_catalogue")
def _report(case: Case) -> Iterator[Row]:
    """Flag, bundle files and outlet rows of the run report are those found today."""
    expected = {
        "flag_sha256_hex": case.report(RECEIPT)["flag_sha256_hex"],
        "outlet_rows": case.count("SELECT count(*) AS n FROM outlet_catalogue"),
    }
    # A bundle that cannot be counted is reported by its own check.
    with suppress(RefusedError):
        expected["bundle_files"] = len(indexed(case))
    return fields_differ(case.report(_REPORT), expected)


PLAN = state_checks(CHECKS)
