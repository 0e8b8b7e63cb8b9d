"""S9: the bundle that opens site_locations, and its flag taken again from disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from segment1b.audit.case import (
    ISO,
    POLICY,
    RASTER,
    RECEIPT,
    Case,
    Check,
    StateChecks,
)
from segment1b.audit.logs import ASSIGN, JITTER
from segment1b.audit.results import CheckResult, Rule, differences
from segment1b.audit.s6.report import accounting
from segment1b.audit.s9 import bundle
from segment1b.audit.s9.realism import check_bounds, check_realism
from segment1b.contracts.texts import read_regular

_REPORT = "s9_run_report"
_LOST = "E515_RUN_REPORT_MISSING_FIELDS"
_NUMBERS = "E907_RNG_BUDGET_OR_COUNTERS"
_IDENTITY = "E905_PARTITION_OR_IDENTITY"
_FLAG = "E910_FLAG_BAD_OR_MISSING"
_REALISM = "E917_REALISM_BOUND"
_MISSING = "E_REFERENCE_SURFACE_MISSING"
_MEASURED = (
    *("site_locations", "s7_site_synthesis", "s4_alloc_plan", "tile_weights"),
    *("world_countries", POLICY),
)


def _accounting(case: Case, rule: Rule) -> CheckResult:
    """rng_accounting.json, counted again from the event logs."""
    counted = accounting(case)
    (events,) = case.session.rows(f"SELECT count(*) AS n FROM {ASSIGN.events}")  # noqa: S608
    (sites,) = case.session.rows("SELECT count(*) AS n FROM site_locations")
    stable = case.policy("allocation")["law"] == "stable"
    expected: dict[str, Any] = {
        "mismatches": 0,
        ASSIGN.label: {
            "sites": sites["n"],
            "match": "own_point" if stable else "permuted",
            "events": events["n"],
            "blocks": str(events["n"]),
            "draws": str(events["n"]),
            "trace_sha256_hex": _digest(case, ASSIGN.trace),
        },
        JITTER.label: {
            "sites": sites["n"],
            "events": counted["events_total"],
            "blocks": counted["blocks_total"],
            "draws": counted["draws_total"],
            "attempt_histogram": counted["attempt_histogram"],
            "lanes": counted["lanes"],
            "trace_sha256_hex": _digest(case, JITTER.trace),
        },
    }
    return rule.judge(bundle.unlike(case, "rng_accounting.json", expected))


def _digest(case: Case, dataset_id: str) -> str:
    return hashlib.sha256(read_regular(case.published.path(dataset_id))).hexdigest()


def _report(case: Case, rule: Rule) -> CheckResult:
    """The report's receipt and path are those of the bundle on disk."""
    report, proof = case.report(_REPORT), case.published.proof(bundle.BUNDLE)
    path = case.published.dataset(bundle.BUNDLE).locate(case.published.tokens)
    found = report["determinism_receipt"] | {"bundle_path": report["bundle_path"].rstrip("/")}
    expected = {
        "bundle_path": path,
        "partition_path": path,
        "rows": len(proof.files),
        "files": [{"path": f.name, "bytes": f.size, "sha256_hex": f.sha256} for f in proof.files],
        **dict.fromkeys(("sha256_hex", "content_sha256_hex"), proof.composite),
    }
    return rule.judge(differences(found, expected))


def _check(
    name: str,
    code: str,
    proves: str,
    run: Callable[[Case, Rule], CheckResult],
    needs: tuple[str, ...] = (),
) -> Check:
    return Check(Rule("s9", name, code, "R", proves), (bundle.BUNDLE, *needs), run)


PLAN = StateChecks(
    id="s9",
    report=_REPORT,
    report_code=_LOST,
    hygiene_code="E908_BUNDLE_CONTENTS_MISSING",
    identity_code=_IDENTITY,
    owns=(),
    absent={
        RECEIPT: "E301_NO_PASS_FLAG",
        _REPORT: _LOST,
        bundle.BUNDLE: "E908_BUNDLE_CONTENTS_MISSING",
        "site_locations": "E901_ROW_MISSING",
        ASSIGN.events: _NUMBERS,
        ASSIGN.trace: _NUMBERS,
        JITTER.events: _NUMBERS,
        JITTER.trace: _NUMBERS,
        POLICY: _MISSING,
        "world_countries": _MISSING,
        "tile_weights": "E402_MISSING_TILE_WEIGHTS",
        "s4_alloc_plan": "E501_NO_S4_ALLOC_PLAN",
        "s7_site_synthesis": "E801_ROW_MISSING",
    },
    reads=(
        RECEIPT,
        "tile_index",
        "s3_requirements",
        "s4_alloc_plan",
        "s5_site_tile_assignment",
        "s6_site_jitter",
        "s7_site_synthesis",
        "site_locations",
        ASSIGN.events,
        JITTER.events,
        "tile_weights",
        "tile_bounds",
        "world_countries",
        ISO,
        RASTER,
        "outlet_catalogue",
        "s1_run_report",
        "s2_run_report",
        "s3_run_report",
        "s4_run_report",
        "s5_run_report",
        "s6_run_report",
        "s8_run_report",
        POLICY,
    ),
    disallowed_code="E510_DISALLOWED_READ",
    stale={"": _IDENTITY},
    faults={ASSIGN.trace: _NUMBERS, JITTER.trace: _NUMBERS},
    checks=(
        _check(
            "files",
            "E908_BUNDLE_CONTENTS_MISSING",
            "the bundle has all files of its design",
            bundle.check_files,
        ),
        _check(
            "index",
            "E909_INDEX_INVALID",
            "the index lists every file but the flag once, itself included",
            bundle.check_index,
        ),
        _check(
            "flag",
            _FLAG,
            "the flag is the SHA-256 over the indexed files in ASCII order of path",
            bundle.check_flag,
            (_REPORT,),
        ),
        _check(
            "manifest",
            "E908_BUNDLE_CONTENTS_MISSING",
            "the manifest names this identity, its datasets and the bytes of the other files",
            bundle.check_manifest,
        ),
        _check(
            "resolved",
            _IDENTITY,
            "the resolved tokens are those of this identity",
            bundle.check_resolved,
        ),
        _check(
            "egress_checksums",
            "E_EGRESS_CHECKSUM_MISMATCH",
            "egress_checksums.json names the bytes of site_locations",
            bundle.check_checksums,
            ("site_locations",),
        ),
        _check(
            "verdict",
            _FLAG,
            "the summary names every acceptance check, all passed, and what site_locations has",
            bundle.check_verdict,
            (_REPORT, "site_locations", POLICY),
        ),
        _check(
            "realism",
            _REALISM,
            "every figure of realism.json is what locations, polygons, weights and plan give",
            check_realism,
            _MEASURED,
        ),
        _check(
            "realism_bounds",
            _REALISM,
            "the figures are within the bounds of the policy",
            check_bounds,
            _MEASURED,
        ),
        _check(
            "rng_accounting",
            _NUMBERS,
            "rng_accounting.json is what the event logs add up to",
            _accounting,
            (ASSIGN.events, ASSIGN.trace, JITTER.events, JITTER.trace, "site_locations", POLICY),
        ),
        _check(
            "report", _FLAG, "the run report has the receipt of the bundle", _report, (_REPORT,)
        ),
    ),
)
