"""S0: the gate law, the seal and the receipt, derived again with hashlib alone."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from segment1b.audit.case import POLICY, RECEIPT, Case, Checks, state_checks
from segment1b.audit.proofs import prove_bytes
from segment1b.audit.published_files import UnusableError
from segment1b.audit.results import Found, RefusedError, Row, differences, fields_differ
from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.texts import MAX_JSON_BYTES, parse_json, read_bounded, read_regular
from segment1b.errors import Segment1BError

CHECKS = Checks("s0")
FLAG = "_passed.flag"
_MINIMUM = (
    "MANIFEST.json",
    "parameter_hash_resolved.json",
    "manifest_fingerprint_resolved.json",
    "rng_accounting.json",
    "s9_summary.json",
    "egress_checksums.json",
    "index.json",
)
_PLAIN = re.compile(r"(?!.*(?:^|/)\.{0,2}(?:/|$))[!-~]{1,1024}\Z")


def _folder(case: Case) -> Path:
    return case.published.path("validation_bundle_1A")


def indexed(case: Case) -> list[str]:
    """Return the indexed paths in ASCII order, or raise RefusedError; steps 1 and 2."""
    bundle = _folder(case)
    if not bundle.is_dir():
        raise RefusedError("E_BUNDLE_MISSING", {"path": str(bundle)})
    index = bundle / "index.json"
    if not index.is_file():
        raise RefusedError("E_INDEX_MISSING", {"path": str(index)})
    try:
        entries = parse_json(read_bounded(index, MAX_JSON_BYTES))
        problems = case.published.contracts.schemas.problems(
            "schemas.ingress.layer1.yaml#/validation/bundle_index", entries
        )
    except ValueError as error:
        problems = [str(error)]
    if problems:
        raise RefusedError("E_INDEX_INVALID", {"path": str(index), "reason": problems[0]})
    paths = [entry["path"] for entry in entries]
    artifacts = [entry["artifact_id"] for entry in entries]
    faults = [
        {"path": str(index), "name": name, "reason": reason}
        for reason, name in _index_faults(bundle, paths, artifacts)
    ]
    if faults:
        raise RefusedError("E_INDEX_INVALID", *faults)
    return sorted(paths)


def _index_faults(
    bundle: Path, paths: list[str], artifacts: list[str]
) -> Iterator[tuple[str, str]]:
    for path in paths:
        if not _PLAIN.match(path) or "\\" in path or ":" in path:
            yield "not a plain relative path", path
    for names in (paths, artifacts):
        counts = Counter(names)
        yield from (("stands twice", name) for name in sorted(counts) if counts[name] > 1)
    present = set()
    for one in bundle.rglob("*"):
        name = one.relative_to(bundle).as_posix()
        if one.is_symlink():
            yield "is a symbolic link", name
        elif one.is_dir() or name == FLAG:
            continue
        elif not one.is_file():
            yield "is not a regular file", name
        else:
            present.add(name)
    yield from (("is not indexed", name) for name in sorted(present - set(paths)))
    yield from (("is indexed but absent", name) for name in sorted(set(paths) - present))
    yield from (("belongs to the minimum", name) for name in sorted(set(_MINIMUM) - set(paths)))


@CHECKS.add("bundle_index", "E_INDEX_INVALID")
def _index(case: Case) -> Iterator[Row]:
    """The bundle is present, and its index names all its files by plain paths."""
    indexed(case)
    return iter(())


@CHECKS.add("bundle_flag", "E_FLAG_HASH_MISMATCH")
def _flag(case: Case) -> Iterator[Row]:
    """The indexed files joined in ASCII order hash to _passed.flag and to the receipt."""
    path = _folder(case) / FLAG
    if not path.is_file():
        raise RefusedError("E_PASS_MISSING", {"path": str(path)})
    written = re.fullmatch(rb"sha256_hex = ([0-9a-f]{64})\n?", read_regular(path))
    if written is None:
        raise RefusedError("E_FLAG_FORMAT_INVALID", {"path": str(path)})
    flag = written.group(1).decode()
    digest = hashlib.sha256()
    for name in indexed(case):
        digest.update(read_regular(_folder(case) / name))
    found = {"the bundle's bytes": digest.hexdigest()}
    if RECEIPT in case.usable:
        found[RECEIPT] = case.report(RECEIPT)["flag_sha256_hex"]
    return differences(found, dict.fromkeys(found, flag), path=str(path))


@CHECKS.add("resolved_tokens", "E_PATH_EMBED_MISMATCH")
def _tokens(case: Case) -> Iterator[Row]:
    """The bundle resolved the parameter_hash and manifest_fingerprint of this identity."""
    for token in ("parameter_hash", "manifest_fingerprint"):
        path = _folder(case) / f"{token}_resolved.json"
        found = {token: _read_object(path).get(token)}
        yield from differences(found, {token: case.published.tokens[token]}, path=str(path))
    path = _folder(case) / "MANIFEST.json"
    tokens = {
        token: str(case.published.tokens[token])
        for token in ("seed", "manifest_fingerprint", "parameter_hash")
    }
    named = {token: str(value) for token, value in _manifest(path).items() if token in tokens}
    yield from differences(named, {token: tokens[token] for token in named}, path=str(path))


@CHECKS.add("egress_checksums", "E_EGRESS_CHECKSUM_MISMATCH")
def _egress(case: Case) -> Iterator[Row]:
    """The outlet files are exactly those whose digests the bundle vouches for."""
    path = _folder(case) / "egress_checksums.json"
    checksums = _read_object(path)
    problems = case.published.contracts.schemas.problems(
        "schemas.ingress.layer1.yaml#/validation/egress_checksums", checksums
    )
    if problems:
        raise RefusedError("E_EGRESS_CHECKSUM_MISMATCH", {"path": str(path), "reason": problems[0]})
    tokens = {t: str(case.published.tokens[t]) for t in ("seed", "manifest_fingerprint")}
    faults = list(differences({t: str(checksums[t]) for t in tokens}, tokens, path=str(path)))
    if faults:
        raise RefusedError("E_PATH_EMBED_MISMATCH", *faults)
    try:
        proof = case.published.proof("outlet_catalogue")
    except UnusableError as error:
        raise RefusedError("E_PARTITION_MISPLACED", error.row()) from None
    prefix = case.published.dataset("outlet_catalogue").locate(case.published.tokens) + "/"
    listed = {
        f["path"].removeprefix(prefix): (f["size_bytes"], f["sha256_hex"])
        for f in checksums["files"]
    }
    found = {file.name: (file.size, file.sha256) for file in proof.files}
    for name in sorted(set(listed) | set(found)):
        if listed.get(name) != found.get(name):
            yield {"path": name, "found": found.get(name), "expected": listed.get(name)}
    if checksums["composite_sha256_hex"] != proof.composite:
        yield {
            "path": "all files joined",
            "found": proof.composite,
            "expected": checksums["composite_sha256_hex"],
        }


def _manifest(path: Path) -> dict[str, Any]:
    """Return the bundle's MANIFEST; one that could name two identities is refused."""
    try:
        return _object(path)
    except FileNotFoundError:
        return {}  # The check of the index reports it.
    except (OSError, ValueError, Segment1BError) as error:
        raise_machine_fault(error, path)
        row = {"path": str(path), "reason": f"cannot be read: {error}"}
        raise RefusedError("E_PATH_EMBED_MISMATCH", row) from None


def _read_object(path: Path) -> dict[str, Any]:
    """Return a JSON object of the bundle, empty when there is none that can be read."""
    try:
        return _object(path)
    except (OSError, ValueError, Segment1BError) as error:
        raise_machine_fault(error, path)
        return {}


def _object(path: Path) -> dict[str, Any]:
    value = parse_json(read_bounded(path, MAX_JSON_BYTES))
    return value if isinstance(value, dict) else {}


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
    relative = path.parent.relative_to(case.published.root).as_posix()
    found = proof.receipt(relative, 1, case.published.digest_today(RECEIPT))
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
