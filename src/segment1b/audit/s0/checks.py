"""S0: the gate law, the seal and the receipt, derived again with hashlib alone."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from segment1b.audit.case import ISO, POLICY, RASTER, RECEIPT, Case, Check, StateChecks
from segment1b.audit.proofs import prove_bytes
from segment1b.audit.published import UnusableError
from segment1b.audit.results import CheckResult, Row, Rule, differences
from segment1b.audit.s0 import gate

_REPORT = "s0_run_report"
_REUSED = "E_PARAMETER_HASH_REUSED"
_SEALED = (
    ISO,
    "outlet_catalogue",
    POLICY,
    RASTER,
    "s3_candidate_set",
    "tz_world_2025a",
    "world_countries",
)


def _sealed_ids(case: Case, rule: Rule) -> CheckResult:
    entries = [entry["id"] for entry in case.report(RECEIPT)["sealed_inputs"]]
    counts = Counter(entries)
    rows = [
        {"dataset": name, "found": counts[name], "expected": int(name in _SEALED)}
        for name in sorted({*counts, *_SEALED})
        if counts[name] != int(name in _SEALED)
    ]
    if entries != sorted(entries):
        rows.append({"found": entries, "expected": sorted(entries)})
    return rule.judge(rows)


def _sealed_bytes(case: Case, rule: Rule) -> CheckResult:
    """Judge under the code of what kind of input differs first."""
    rows, codes = [], []
    for entry in case.report(RECEIPT)["sealed_inputs"]:
        if entry["id"] not in _SEALED:
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
        code = "E_EGRESS_CHECKSUM_MISMATCH" if entry["id"] == "outlet_catalogue" else _REUSED
        try:
            proof = case.published.proof(entry["id"])
            expected |= {"size_bytes": proof.size, "sha256_hex": proof.composite}
        except UnusableError:
            code = "E_REFERENCE_SURFACE_MISSING"
        sealed = {name: entry[name] for name in expected}
        found = list(differences(sealed, expected, dataset=entry["id"]))
        rows += found
        codes += [code] * len(found)
    return rule.judge(rows, code=codes[0] if codes else "")


def _policy_binding(case: Case, rule: Rule) -> CheckResult:
    bound = case.published.document(POLICY)["surfaces"]
    sealed = {entry["id"]: entry["sha256_hex"] for entry in case.report(RECEIPT)["sealed_inputs"]}
    return rule.judge(differences({name: sealed.get(name) for name in bound}, bound))


def _receipt_bytes(case: Case, rule: Rule) -> CheckResult:
    def found() -> Iterator[Row]:
        said = case.report(_REPORT)["determinism_receipt"]
        path = case.published.path(RECEIPT)
        proof = prove_bytes(path.parent, [path])
        files = [{"path": f.name, "bytes": f.size, "sha256_hex": f.sha256} for f in proof.files]
        relative = path.parent.relative_to(case.published.root).as_posix()
        taken = {
            "partition_path": relative,
            "rows": 1,
            "files": files,
            "sha256_hex": proof.composite,
            "content_sha256_hex": case.published.digest_today(RECEIPT),
        }
        yield from differences(taken, said, path=str(path))
        others = sorted(one.name for one in path.parent.iterdir() if one != path)
        yield from ({"path": name, "reason": "a stray file"} for name in others)

    return rule.judge(found())


def _report(case: Case, rule: Rule) -> CheckResult:
    report, receipt = case.report(_REPORT), case.report(RECEIPT)
    counted = next(case.session.rows("SELECT count(*) AS n FROM outlet_catalogue"))
    taken = {"flag_sha256_hex": receipt["flag_sha256_hex"], "outlet_rows": counted["n"]}
    # A bundle that cannot be counted is reported by its own check.
    with suppress(gate.GateError):
        taken["bundle_files"] = len(gate.indexed(case))
    return rule.judge(differences({name: report[name] for name in taken}, taken))


def _rule(name: str, code: str, proves: str) -> Rule:
    return Rule("s0", name, code, "R", proves)


PLAN = StateChecks(
    id="s0",
    report=_REPORT,
    report_code="E_RECEIPT_SCHEMA_INVALID",
    hygiene_code="E_RECEIPT_SCHEMA_INVALID",
    identity_code="E_PATH_EMBED_MISMATCH",
    owns=(),
    absent={
        RECEIPT: "E301_NO_PASS_FLAG",
        _REPORT: "E_RECEIPT_SCHEMA_INVALID",
        POLICY: "E_REFERENCE_SURFACE_MISSING",
        "outlet_catalogue": "E_PARTITION_MISPLACED",
    },
    reads=_SEALED,
    disallowed_code="E_FORBIDDEN_SURFACE_READ",
    stale={"": _REUSED, "outlet_catalogue": "E_EGRESS_CHECKSUM_MISMATCH"},
    faults={RECEIPT: "E_RECEIPT_SCHEMA_INVALID"},
    checks=(
        Check(
            _rule(
                "bundle_index",
                "E_INDEX_INVALID",
                "the bundle is there, and its index names all its files by plain paths",
            ),
            (),
            functools.partial(gate.judged, gate.index_holds),
        ),
        Check(
            _rule(
                "bundle_flag",
                "E_FLAG_HASH_MISMATCH",
                "the indexed files joined in ASCII order hash to _passed.flag and to the receipt",
            ),
            (),
            functools.partial(gate.judged, gate.flag_holds),
        ),
        Check(
            _rule(
                "resolved_tokens",
                "E_PATH_EMBED_MISMATCH",
                "the bundle resolved the parameter_hash and manifest_fingerprint of this identity",
            ),
            (),
            functools.partial(gate.judged, gate.tokens_hold),
        ),
        Check(
            _rule(
                "egress_checksums",
                "E_EGRESS_CHECKSUM_MISMATCH",
                "the outlet files are exactly those whose digests the bundle vouches for",
            ),
            (),
            functools.partial(gate.judged, gate.egress_holds),
        ),
        Check(
            _rule(
                "sealed_ids",
                "E_FORBIDDEN_SURFACE_READ",
                "the receipt seals every input a later state opens, once, and nothing else",
            ),
            (RECEIPT,),
            _sealed_ids,
        ),
        Check(
            _rule(
                "sealed_inputs",
                _REUSED,
                "paths, sizes and SHA-256 of the sealed inputs are those of today's bytes",
            ),
            (RECEIPT,),
            _sealed_bytes,
        ),
        Check(
            _rule(
                "policy_binding",
                _REUSED,
                "the parameter_hash is bound to the very surfaces that are sealed",
            ),
            (RECEIPT, POLICY),
            _policy_binding,
        ),
        Check(
            _rule(
                "receipt_bytes",
                "E_RECEIPT_SCHEMA_INVALID",
                "the gate receipt is, byte for byte, the one its run report has committed",
            ),
            (RECEIPT, _REPORT),
            _receipt_bytes,
        ),
        Check(
            _rule(
                "report_figures",
                "E_RECEIPT_SCHEMA_INVALID",
                "flag, bundle files and outlet rows of the run report are those found today",
            ),
            (RECEIPT, _REPORT, "outlet_catalogue"),
            _report,
        ),
    ),
)
