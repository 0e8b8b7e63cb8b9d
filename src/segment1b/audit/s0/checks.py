"""S0: the gate law, the seal and the receipt, derived again with hashlib alone."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.audit.case import POLICY, RECEIPT, Case, Checks, state_checks
from segment1b.audit.merchants import in_use, merchants_of
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
_DIRECTORY = "merchant_directory"
_IDENTITY = ("seed", "manifest_fingerprint", "parameter_hash")
# Printable ASCII but : and the backslash, without empty steps, . and ..
_PLAIN = re.compile(r"(?!.*(?:^|/)\.{0,2}(?:/|$))[!-9;-\[\]-~]{1,1024}\Z")


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
    faults = list(index_faults(bundle, entries, _MINIMUM))
    if faults:
        raise RefusedError("E_INDEX_INVALID", *faults)
    return sorted(entry["path"] for entry in entries)


def index_faults(
    bundle: Path, entries: list[dict[str, str]], minimum: Collection[str]
) -> Iterator[Row]:
    """Yield where a bundle's index does not name each file but the flag once, by a plain path."""
    paths = Counter(entry["path"] for entry in entries)
    artifacts = Counter(entry["artifact_id"] for entry in entries)
    kinds: dict[str, list[str]] = {"link": [], "other": [], "file": []}
    for one in bundle.rglob("*"):
        kind = "link" if one.is_symlink() else "file" if one.is_file() else "other"
        if kind == "link" or not one.is_dir():
            kinds[kind].append(one.relative_to(bundle).as_posix())
    present = {*kinds["file"]} - {FLAG}
    faults: dict[str, Iterable[str]] = {
        "is not a relative ASCII path": (path for path in paths if not _PLAIN.match(path)),
        "stands twice": (name for name, n in [*paths.items(), *artifacts.items()] if n > 1),
        "is a symbolic link": kinds["link"],
        "is not a regular file": {*kinds["other"]} - {FLAG},
        "is not indexed": present - paths.keys(),
        "is indexed but absent": paths.keys() - present,
        "belongs to the minimum": {*minimum} - paths.keys(),
    }
    for reason, names in faults.items():
        yield from ({"path": name, "reason": reason} for name in sorted(names))


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
    tokens = case.published.tokens
    for token in ("parameter_hash", "manifest_fingerprint"):
        path = _folder(case) / f"{token}_resolved.json"
        found = {token: _read_object(path).get(token)}
        yield from differences(found, {token: tokens[token]}, path=str(path))
    # A manifest that could name two identities is refused.
    path = _folder(case) / "MANIFEST.json"
    manifest = _read_object(path, "E_PATH_EMBED_MISMATCH")
    named = {token: str(manifest[token]) for token in _IDENTITY if token in manifest}
    expected = {token: str(tokens[token]) for token in named}
    yield from differences(named, expected, path=str(path))


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
    yield from differences(found, listed, dataset="outlet_catalogue")
    joined = {"all files joined": proof.composite}
    yield from differences(joined, {"all files joined": checksums["composite_sha256_hex"]})


def _read_object(path: Path, code: str = "") -> dict[str, Any]:
    """Return a JSON object of the bundle, or an empty one.

    An absent file is reported by the check of the index; with a code, a damaged one is refused.
    """
    try:
        value = parse_json(read_bounded(path, MAX_JSON_BYTES))
    except (OSError, ValueError, Segment1BError) as error:
        raise_machine_fault(error, path)
        if code and not isinstance(error, FileNotFoundError):
            row = {"path": str(path), "reason": f"cannot be read: {error}"}
            raise RefusedError(code, row) from None
        return {}
    return value if isinstance(value, dict) else {}


_REPORT = "s0_run_report"
_REUSED = "E_PARAMETER_HASH_REUSED"
_DAMAGED = "E_RECEIPT_SCHEMA_INVALID"


@CHECKS.add("sealed_ids", "E_FORBIDDEN_SURFACE_READ", RECEIPT)
def _sealed_ids(case: Case) -> Iterator[Row]:
    """The receipt seals every input a later state opens, once, and nothing else."""
    entries = [entry["id"] for entry in case.report(RECEIPT)["sealed_inputs"]]
    wanted = PLAN.inputs(case.published)
    yield from differences({**Counter(entries)}, dict.fromkeys(wanted, 1))
    if entries != sorted(entries):
        yield {"found": entries, "expected": sorted(entries)}


@CHECKS.add("sealed_inputs", _REUSED, RECEIPT)
def _sealed_bytes(case: Case) -> Found:
    """Paths, sizes and SHA-256 of the sealed inputs are those of today's bytes."""
    rows: list[Row] = []
    first = ""
    inputs = PLAN.inputs(case.published)
    for entry in case.report(RECEIPT)["sealed_inputs"]:
        if entry["id"] not in inputs:
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


@CHECKS.add("merchant_trades", "E_EGRESS_CHECKSUM_MISMATCH", POLICY)
def _merchant_trades(case: Case) -> Iterator[Row]:
    """Trades are known, by ascending merchant, and those of the directory that the bundle seals."""
    table = merchants_of(case.published)
    known = case.published.document(POLICY)["policy"].get("trades")
    trades = dict[int, str]() if table is None else dict(zip(*_columns(table), strict=True))
    if (known is not None) != bool(in_use(case.published)):
        yield {"found": sorted(set(trades.values())), "in_policy": known is not None}
    if table is not None:
        merchants = table["merchant_id"].to_pylist()
        if merchants != sorted(trades):
            yield {"reason": "merchants are there twice or out of order"}
    ids = {trade["id"] for trade in (known or {}).get("trades", ())}
    listed = _listed_trades(case)
    if trades or listed:
        yield from _directory_faults(case)
    for merchant, trade in trades.items():
        expected = trade if listed is None else listed.get(merchant)
        if trade not in ids or trade != expected:
            yield {"merchant_id": merchant, "found": trade, "expected": expected}
    for merchant in sorted((listed or {}).keys() - trades.keys()):
        yield {"merchant_id": merchant, "found": None, "expected": (listed or {})[merchant]}


def _directory_faults(case: Case) -> Iterator[Row]:
    """Yield where the files of the merchants' directory are not those that the bundle names."""
    sealed = _read_object(_folder(case) / "directories.json").get(_DIRECTORY, {"files": ()})
    try:
        expected = {f["path"]: (f["size_bytes"], f["sha256_hex"]) for f in sealed["files"]}
    except (KeyError, TypeError) as error:
        raise ValueError(f"directories.json names no files: {error}") from None
    folder, present = case.published.path(_DIRECTORY), case.published.files(_DIRECTORY)
    found = {file.name: (file.size, file.sha256) for file in prove_bytes(folder, present).files}
    yield from differences(found, expected, dataset=_DIRECTORY)


def _listed_trades(case: Case) -> dict[int, str] | None:
    """Return the trades in the directory of an imported list; None where there is no directory."""
    files = case.published.files(_DIRECTORY)
    try:
        if not files:
            return None
        if "trade" not in pq.read_schema(files[0]).names:
            return {}
        table = pa.concat_tables(
            [pq.read_table(file, columns=["merchant_id", "trade"]) for file in files]
        )
    except (pa.ArrowException, OSError) as error:
        raise_machine_fault(error)
        raise ValueError(f"merchant_directory cannot be read: {error}") from None
    return dict(zip(*_columns(table), strict=True))


def _columns(table: pa.Table) -> tuple[list[int], list[str]]:
    return table["merchant_id"].to_pylist(), table["trade"].to_pylist()


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
