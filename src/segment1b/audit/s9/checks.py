"""S9: the bundle that opens site_locations: files, index, flag, and what its files say."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segment1b.audit.by_trade import MERCHANTS, WEIGHTS, WEIGHTS_BY_TRADE
from segment1b.audit.case import COUNTRIES, POLICY, Case, Checks, state_checks
from segment1b.audit.criteria import REALISM, criteria, proves
from segment1b.audit.logs import ASSIGN, AUDIT, CENTRES, JITTER
from segment1b.audit.results import Row, differences, fields_differ
from segment1b.audit.s0.checks import FLAG, index_faults
from segment1b.audit.s6.checks import accounting, centre_accounting
from segment1b.audit.s9.realism import BUNDLE, check_bounds, check_realism, read
from segment1b.audit.tile_proof import tables
from segment1b.contracts import load_states
from segment1b.contracts.texts import read_regular

CHECKS = Checks("s9")
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
    *(table for number in range(4, 9) for table in load_states()[f"s{number}"].tables),
    *(ASSIGN.trace, JITTER.trace, CENTRES.trace, AUDIT),
)
_UNNAMED = {"MANIFEST.json", "index.json"}
_FLAG = re.compile(rb"(?:sha256_hex = )?([0-9a-f]{64})\n?")
_INDEX = "schemas.ingress.layer1.yaml#/validation/bundle_index"
_REPORT = "s9_run_report"
_CONTENTS = "E908_BUNDLE_CONTENTS_MISSING"
_BAD_FLAG = "E910_FLAG_BAD_OR_MISSING"
_EGRESS = "site_locations"


def _folder(case: Case) -> Path:
    return case.published.path(BUNDLE)


def _unlike(case: Case, name: str, expected: dict[str, Any]) -> Iterator[Row]:
    """Yield what one of the bundle's files says otherwise, objects in it field by field."""
    value = read(case, name)
    if not isinstance(value, dict):
        yield {"path": name, "reason": "is no JSON object"}
        return
    inner = {key for key, own in expected.items() if type(own) is type(value.get(key)) is dict}
    plain = ({k: v for k, v in some.items() if k not in inner} for some in (value, expected))
    yield from differences(*plain, path=name)
    for key in sorted(inner):
        yield from differences(value[key], expected[key], path=name, within=key)


@CHECKS.add("files", _CONTENTS, BUNDLE)
def _files(case: Case) -> Iterator[Row]:
    """The bundle has all files of its design."""
    present = set(_bundle_files(case))
    for name in sorted({*FILES, FLAG} - present):
        yield {"path": name, "reason": "is absent"}
    for name in sorted(present - {*FILES, FLAG}):
        yield {"path": name, "reason": "is not a file of the bundle"}
    for name in sorted(set(FILES) & present):
        try:
            read(case, name)
        except ValueError as error:
            yield {"path": name, "reason": f"is no JSON: {error}"}


@CHECKS.add("index", "E909_INDEX_INVALID", BUNDLE)
def _index(case: Case) -> Iterator[Row]:
    """The index lists every file but the flag once, itself included."""
    index = read(case, "index.json")
    problems = case.published.contracts.schemas.problems(_INDEX, index)
    if problems:
        yield from ({"path": "index.json", "reason": problem} for problem in problems)
        return
    yield from index_faults(_folder(case), index, FILES)
    kinds = {entry["path"]: entry["kind"] for entry in index if entry["path"] in FILES}
    yield from differences(kinds, FILES, path="index.json")


@CHECKS.add("flag", _BAD_FLAG, BUNDLE, _REPORT)
def _flag(case: Case) -> Iterator[Row]:
    """The flag is the SHA-256 over the indexed files in ASCII order of path."""
    written = _FLAG.fullmatch(read_regular(_folder(case) / FLAG))
    whole = hashlib.sha256()
    # An index may name anything: only what lies in the bundle is opened, and once.
    data = {name: read_regular(path) for name, path in _bundle_files(case).items()}
    for name in sorted(entry["path"] for entry in read(case, "index.json")):
        whole.update(data.get(name, b""))
    found = {
        "flag": written.group(1).decode() if written else "malformed",
        "report": case.report(_REPORT)["flag_sha256_hex"],
    }
    return differences(found, dict.fromkeys(found, whole.hexdigest()))


@CHECKS.add("manifest", _CONTENTS, BUNDLE)
def _manifest(case: Case) -> Iterator[Row]:
    """The manifest names this identity, its datasets and the bytes of the other files."""
    published = case.published
    datasets = filter(published.is_used, _DATASETS)
    expected = {
        **published.tokens,
        "datasets": {name: published.dataset(name).locate(published.tokens) for name in datasets},
        "files": {
            file.name: file.sha256
            for file in published.proof(BUNDLE).files
            if file.name not in {*_UNNAMED, FLAG}
        },
    }
    return _unlike(case, "MANIFEST.json", expected)


@CHECKS.add("resolved", "E905_PARTITION_OR_IDENTITY", BUNDLE)
def _resolved(case: Case) -> Iterator[Row]:
    """The resolved tokens are those of this identity."""
    tokens = {
        name: case.published.tokens[name] for name in ("parameter_hash", "manifest_fingerprint")
    }
    hash_only = {"parameter_hash": tokens["parameter_hash"]}
    yield from _unlike(case, "parameter_hash_resolved.json", hash_only)
    yield from _unlike(case, "manifest_fingerprint_resolved.json", tokens)


@CHECKS.add("egress_checksums", "E_EGRESS_CHECKSUM_MISMATCH", BUNDLE, _EGRESS)
def _checksums(case: Case) -> Iterator[Row]:
    """The bytes of site_locations are those that egress_checksums.json names."""
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
    return _unlike(case, "egress_checksums.json", expected)


@CHECKS.add("verdict", _BAD_FLAG, BUNDLE, _REPORT, _EGRESS, POLICY)
def _verdict(case: Case) -> Iterator[Row]:
    """The summary names every acceptance check, all passed, and what site_locations has."""
    law, counted = case.policy("allocation")["law"], case.locations_by_country()
    centres = case.published.is_used(CENTRES.events)
    trades = "trades" in case.published.document(POLICY)["policy"]
    passed = {"verdict": "PASS", "failures_by_code": {}}
    yield from fields_differ(case.report(_REPORT), passed, document=_REPORT)
    summary = {
        "verdict": "PASS",
        "proves": proves(law),
        "tiles": {
            name: case.published.receipt(name)["content_sha256_hex"]
            for name in tables(case.published)
        },
        "rows": sum(counted.values()),
        "by_country": counted,
        "checks": {
            check: {"code": one.code, "failures": 0, "examples": [], "detail": one.passed}
            for check, one in {
                **criteria(law, centres=centres, trades=trades),
                "A916": REALISM,
            }.items()
        },
    }
    yield from _unlike(case, "s9_summary.json", summary)


def _bundle_files(case: Case) -> dict[str, Path]:
    """Return the files of the bundle by relative path."""
    paths = case.published.files(BUNDLE)
    return {path.relative_to(_folder(case)).as_posix(): path for path in paths}


_MEASURED = (
    *(BUNDLE, "site_locations", "s7_site_synthesis", "s4_alloc_plan", "tile_weights"),
    *(COUNTRIES, POLICY, WEIGHTS, MERCHANTS),
)
CHECKS.add("realism", REALISM.code, *_MEASURED)(check_realism)
CHECKS.add("realism_bounds", REALISM.code, *_MEASURED)(check_bounds)


@CHECKS.add(
    *("rng_accounting", "E907_RNG_BUDGET_OR_COUNTERS", BUNDLE, ASSIGN.events, ASSIGN.trace),
    *(JITTER.events, JITTER.trace, "site_locations", POLICY),
)
def _accounting(case: Case) -> Iterator[Row]:
    """The figures of rng_accounting.json are what the event logs add up to."""
    counted = accounting(case)
    events = case.count(f"SELECT count(*) AS n FROM {ASSIGN.events}")  # noqa: S608
    sites = case.count("SELECT count(*) AS n FROM site_locations")
    stable = case.policy("allocation")["law"] == "stable"
    expected: dict[str, Any] = {
        "mismatches": 0,
        ASSIGN.label: {
            "sites": sites,
            "match": "own_point" if stable else "permuted",
            "events": events,
            "blocks": str(events),
            "draws": str(events),
            "trace_sha256_hex": _digest(case, ASSIGN.trace),
        },
        JITTER.label: {
            "sites": sites,
            "events": counted["events_total"],
            "blocks": counted["blocks_total"],
            "draws": counted["draws_total"],
            "attempt_histogram": counted["attempt_histogram"],
            "lanes": counted["lanes"],
            "trace_sha256_hex": _digest(case, JITTER.trace),
        },
    }
    if case.published.is_used(CENTRES.events):
        named = {"events_total": "events", "blocks_total": "blocks", "draws_total": "draws"}
        expected[CENTRES.label] = {
            **{named.get(name, name): value for name, value in centre_accounting(case).items()},
            "trace_sha256_hex": _digest(case, CENTRES.trace),
        }
    return _unlike(case, "rng_accounting.json", expected)


def _digest(case: Case, dataset_id: str) -> str:
    return hashlib.sha256(read_regular(case.published.path(dataset_id))).hexdigest()


@CHECKS.add("report", _BAD_FLAG, BUNDLE, _REPORT)
def _report(case: Case) -> Iterator[Row]:
    """The run report has the receipt of the bundle."""
    report, proof = case.report(_REPORT), case.published.proof(BUNDLE)
    path = case.published.dataset(BUNDLE).locate(case.published.tokens)
    found = report["determinism_receipt"] | {"bundle_path": report["bundle_path"].rstrip("/")}
    expected = {"bundle_path": path, **proof.receipt(path, len(proof.files))}
    return differences(found, expected)


PLAN = state_checks(CHECKS, WEIGHTS_BY_TRADE)
