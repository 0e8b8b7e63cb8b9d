"""S9: the bundle that opens site_locations, and its flag taken again from disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from segment1b.audit.case import COUNTRIES, POLICY, Case, state_checks
from segment1b.audit.criteria import REALISM
from segment1b.audit.logs import ASSIGN, JITTER
from segment1b.audit.results import Row, differences
from segment1b.audit.s6.report import accounting
from segment1b.audit.s9.bundle import BUNDLE, CHECKS, unlike
from segment1b.audit.s9.realism import check_bounds, check_realism
from segment1b.contracts.texts import read_regular

_REPORT = "s9_run_report"
_MEASURED = (
    *(BUNDLE, "site_locations", "s7_site_synthesis", "s4_alloc_plan", "tile_weights"),
    *(COUNTRIES, POLICY),
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
    return unlike(case, "rng_accounting.json", expected)


def _digest(case: Case, dataset_id: str) -> str:
    return hashlib.sha256(read_regular(case.published.path(dataset_id))).hexdigest()


@CHECKS.add("report", "E910_FLAG_BAD_OR_MISSING", BUNDLE, _REPORT)
def _report(case: Case) -> Iterator[Row]:
    """The run report has the receipt of the bundle."""
    report, proof = case.report(_REPORT), case.published.proof(BUNDLE)
    path = case.published.dataset(BUNDLE).locate(case.published.tokens)
    found = report["determinism_receipt"] | {"bundle_path": report["bundle_path"].rstrip("/")}
    expected = {
        "bundle_path": path,
        "partition_path": path,
        "rows": len(proof.files),
        "files": proof.as_json(),
        **dict.fromkeys(("sha256_hex", "content_sha256_hex"), proof.composite),
    }
    return differences(found, expected)


PLAN = state_checks(CHECKS)
