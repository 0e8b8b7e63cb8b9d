"""The validation bundle: its files, its index, its flag, and what its files say."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segment1b.audit.case import Case
from segment1b.audit.criteria import REALISM, Criterion, criteria, proves
from segment1b.audit.results import CheckResult, Row, Rule, differences
from segment1b.audit.tile_proof import TABLES
from segment1b.contracts.texts import MAX_JSON_BYTES, parse_json, read_bounded, read_regular

BUNDLE = "validation_bundle_1B"
FLAG = "_passed.flag"
#: The files beside the flag, and the kind by which the index names each.
FILES = {
    "MANIFEST.json": "summary",
    "egress_checksums.json": "table",
    "index.json": "table",
    "manifest_fingerprint_resolved.json": "text",
    "parameter_hash_resolved.json": "text",
    "realism.json": "table",
    "rng_accounting.json": "table",
    "s9_summary.json": "summary",
}
_DATASETS = (
    "s4_alloc_plan",
    "s5_site_tile_assignment",
    "s6_site_jitter",
    "s7_site_synthesis",
    "site_locations",
    "rng_event_site_tile_assign",
    "rng_event_in_cell_jitter",
    "rng_trace_site_tile_assign",
    "rng_trace_in_cell_jitter",
    "rng_audit_log",
)
_UNNAMED = {"MANIFEST.json", "index.json"}
_HEX64 = "[0-9a-f]{64}"
_FLAG = re.compile(rf"(?:sha256_hex = )?({_HEX64})\n?".encode())
_INDEX = "schemas.ingress.layer1.yaml#/validation/bundle_index"
_EGRESS = "site_locations"
_FINGERPRINT = "manifest_fingerprint"


def folder_of(case: Case) -> Path:
    """Return where the bundle lies."""
    return case.published.path(BUNDLE)


def read(case: Case, name: str) -> Any:
    """Return the value of one of the bundle's JSON files; raises OSError or ValueError."""
    return parse_json(read_bounded(folder_of(case) / name, MAX_JSON_BYTES))


def unlike(case: Case, name: str, expected: dict[str, Any]) -> Iterator[Row]:
    """Yield what one of the bundle's files says otherwise, objects in it field by field."""
    said = read(case, name)
    if not isinstance(said, dict):
        yield {"path": name, "reason": "is no JSON object"}
        return
    inner = {key for key, own in expected.items() if type(own) is type(said.get(key)) is dict}
    own, wanted = ({k: v for k, v in one.items() if k not in inner} for one in (said, expected))
    yield from differences(own, wanted, path=name)
    for key in sorted(inner):
        yield from differences(said[key], expected[key], path=name, within=key)


def check_files(case: Case, rule: Rule) -> CheckResult:
    """Judge that the bundle has the files of the design and no other, each JSON but the flag."""

    def wrong() -> Iterator[Row]:
        there = {path.relative_to(folder_of(case)).as_posix() for path in _there(case)}
        for name in sorted({*FILES, FLAG} - there):
            yield {"path": name, "reason": "is absent"}
        for name in sorted(there - {*FILES, FLAG}):
            yield {"path": name, "reason": "is no file of the bundle"}
        for name in sorted(set(FILES) & there):
            try:
                read(case, name)
            except ValueError as error:
                yield {"path": name, "reason": f"is no JSON: {error}"}

    return rule.judge(wrong())


def check_index(case: Case, rule: Rule) -> CheckResult:
    """Judge that the index lists every file but the flag once, by safe relative paths."""

    def wrong() -> Iterator[Row]:
        index = read(case, "index.json")
        problems = case.published.contracts.schemas.problems(_INDEX, index)
        if problems:
            yield from ({"path": "index.json", "reason": problem} for problem in problems)
            return
        paths = Counter(entry["path"] for entry in index)
        there = {path.relative_to(folder_of(case)).as_posix() for path in _there(case)} - {FLAG}
        for path in sorted({*paths, *there}):
            if paths[path] != int(path in there):
                yield {"path": path, "found": paths[path], "expected": int(path in there)}
            if (folder_of(case) / path).is_symlink():
                yield {"path": path, "reason": "is a symbolic link"}
            if not path.isascii() or path.startswith("/") or ".." in path.split("/"):
                yield {"path": path, "reason": "is not a relative ASCII path"}
        names = Counter(entry["artifact_id"] for entry in index)
        for name in sorted(names):
            if names[name] > 1:
                yield {"artifact_id": name, "found": names[name], "expected": 1}
        kinds = {entry["path"]: entry["kind"] for entry in index if entry["path"] in FILES}
        yield from differences(kinds, FILES, path="index.json")

    return rule.judge(wrong())


def check_flag(case: Case, rule: Rule) -> CheckResult:
    """Judge the flag against the bytes of all indexed files, and against the run report."""
    written = _FLAG.fullmatch(read_regular(folder_of(case) / FLAG))
    whole = hashlib.sha256()
    # An index may name anything: only what lies in the bundle is opened, and once.
    data = {
        path.relative_to(folder_of(case)).as_posix(): read_regular(path) for path in _there(case)
    }
    for name in sorted(entry["path"] for entry in read(case, "index.json")):
        whole.update(data.get(name, b""))
    found = {
        "flag": written.group(1).decode() if written else "malformed",
        "report": case.report("s9_run_report")["flag_sha256_hex"],
    }
    return rule.judge(differences(found, dict.fromkeys(found, whole.hexdigest())))


def check_manifest(case: Case, rule: Rule) -> CheckResult:
    """Judge tokens, dataset paths and the digests of the other files but the index."""
    published = case.published
    expected = {
        **published.tokens,
        "datasets": {name: published.dataset(name).locate(published.tokens) for name in _DATASETS},
        "files": {
            path.name: hashlib.sha256(read_regular(path)).hexdigest()
            for path in _there(case)
            if path.name not in {*_UNNAMED, FLAG}
        },
    }
    return rule.judge(unlike(case, "MANIFEST.json", expected))


def check_resolved(case: Case, rule: Rule) -> CheckResult:
    """Judge the two files that name parameter_hash and manifest_fingerprint."""
    both = {name: case.published.tokens[name] for name in ("parameter_hash", _FINGERPRINT)}
    hash_only = {"parameter_hash": both["parameter_hash"]}

    def wrong() -> Iterator[Row]:
        yield from unlike(case, "parameter_hash_resolved.json", hash_only)
        yield from unlike(case, "manifest_fingerprint_resolved.json", both)

    return rule.judge(wrong())


def check_checksums(case: Case, rule: Rule) -> CheckResult:
    """Judge egress_checksums.json against the bytes of site_locations as they are today."""
    proof, tokens = case.published.proof(_EGRESS), case.published.tokens
    expected = {
        "dataset_id": _EGRESS,
        "seed": tokens["seed"],
        "manifest_fingerprint": tokens["manifest_fingerprint"],
        "files": [
            {"path": file.name, "sha256_hex": file.sha256, "size_bytes": file.size}
            for file in proof.files
        ],
        "composite_sha256_hex": proof.composite,
        "content_sha256_hex": proof.content,
    }
    return rule.judge(unlike(case, "egress_checksums.json", expected))


def check_verdict(case: Case, rule: Rule) -> CheckResult:
    """Judge that summary and report say PASS, and every field of the summary."""
    report, law = case.report("s9_run_report"), case.policy("allocation")["law"]
    checks = {check: _passed(criterion) for check, criterion in criteria(law).items()}
    checks["A916"] = _passed(REALISM)

    def wrong() -> Iterator[Row]:
        said = {name: report[name] for name in ("verdict", "failures_by_code")}
        passed = {"verdict": "PASS", "failures_by_code": {}}
        yield from differences(said, passed, document="s9_run_report")
        yield from unlike(case, "s9_summary.json", _summary(case) | {"checks": checks})

    return rule.judge(wrong())


def _summary(case: Case) -> dict[str, Any]:
    """Return what the summary says beside its checks."""
    counted = {
        row["code"]: row["n"]
        for row in case.session.rows(
            "SELECT legal_country_iso AS code, count(*) AS n FROM site_locations GROUP BY code"
        )
    }
    return {
        "verdict": "PASS",
        "proves": proves(case.policy("allocation")["law"]),
        "tiles": {name: case.published.receipt(name)["content_sha256_hex"] for name in TABLES},
        "rows": sum(counted.values()),
        "by_country": counted,
    }


def _passed(criterion: Criterion) -> dict[str, Any]:
    return {"code": criterion.code, "failures": 0, "examples": [], "detail": criterion.passed}


def _there(case: Case) -> list[Path]:
    return case.published.files(BUNDLE)
