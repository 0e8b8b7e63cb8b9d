"""S5: which site stands in which tile, against the plan, the words and the declared match."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from segment1b.audit.case import (
    ISO,
    POLICY,
    RASTER,
    RECEIPT,
    Case,
    Check,
    Preparation,
    StateChecks,
)
from segment1b.audit.logs import ASSIGN, AUDIT, audit_check, log_checks
from segment1b.audit.results import CheckResult, Row, Rule
from segment1b.audit.s4.curve_laws import points_by_country
from segment1b.audit.session import repeated
from segment1b.audit.strides import COUNTRY, site_key
from segment1b.audit.tiles import keep_used
from segment1b.audit.words import key_of, words

_REPORT = "s5_run_report"
_EVENTS = "rng_event_site_tile_assign"
_MISMATCH = "E507_RNG_EVENT_MISMATCH"
_LOST = "E515_RUN_REPORT_MISSING_FIELDS"
_MISSING = "E_REFERENCE_SURFACE_MISSING"

_LOG = f"SELECT merchant_id, site_order, word, {COUNTRY} FROM {_EVENTS}"  # noqa: S608


def _make_own_points(case: Case) -> None:
    """Make own_points (key, tile_id); empty unless the law is `stable`."""
    case.session.execute(
        "CREATE OR REPLACE TABLE own_points (merchant_id UBIGINT, legal_country_iso VARCHAR, "
        "site_order BIGINT, tile_id UBIGINT); "
        "CREATE OR REPLACE TABLE planned_pairs AS SELECT merchant_id, legal_country_iso, "
        "sum(n_sites_tile)::BIGINT AS n_sites FROM s4_alloc_plan GROUP BY ALL"
    )
    if case.policy("allocation")["law"] != "stable":
        return
    for code, points in points_by_country(case, "planned_pairs"):
        case.session.append(
            "own_points",
            {
                "merchant_id": points["merchant_id"],
                "legal_country_iso": repeated(code, len(points["tile_id"])),
                "site_order": points["site_order"],
                "tile_id": points["tile_id"],
            },
        )


def _replay(case: Case, rule: Rule) -> CheckResult:
    key = key_of(ASSIGN.label, int(case.published.tokens["seed"]))

    def unlike() -> Iterator[Row]:
        for log in case.session.batches(_LOG):
            expected = words(key, log["site_order"], log["merchant_id"], log["country"])[:, 0]
            for at in np.flatnonzero(expected != log["word"]).tolist():
                yield {
                    **site_key(log, at),
                    "found": int(log["word"][at]),
                    "expected": int(expected[at]),
                }

    return rule.judge(unlike())


PLAN = StateChecks(
    id="s5",
    report=_REPORT,
    report_code=_LOST,
    hygiene_code="E410_NONDETERMINISTIC_OUTPUT",
    identity_code="E508_TOKEN_MISMATCH",
    owns=("s5_site_tile_assignment", _EVENTS),
    absent={
        RECEIPT: "E301_NO_PASS_FLAG",
        _REPORT: _LOST,
        "s5_site_tile_assignment": "E410_NONDETERMINISTIC_OUTPUT",
        _EVENTS: _MISMATCH,
        ASSIGN.trace: _MISMATCH,
        AUDIT: _MISMATCH,
        "s4_alloc_plan": "E501_NO_S4_ALLOC_PLAN",
        "tile_index": "E505_TILE_NOT_IN_INDEX",
        "tile_weights": "E402_MISSING_TILE_WEIGHTS",
        ISO: _MISSING,
        RASTER: _MISSING,
        POLICY: _MISSING,
    },
    reads=(RECEIPT, "s4_alloc_plan", "tile_index", "tile_weights", ISO, POLICY),
    disallowed_code="E510_DISALLOWED_READ",
    stale={"": "E508_TOKEN_MISMATCH"},
    faults={ASSIGN.trace: _MISMATCH, AUDIT: _MISMATCH},
    preparations=(
        keep_used("tile_index", ("s5_site_tile_assignment",), ()),
        Preparation(
            "own_points",
            ("s4_alloc_plan", "tile_weights", RASTER, POLICY),
            ("own_points",),
            _make_own_points,
        ),
    ),
    checks=(
        Check(
            Rule(
                "s5",
                "words",
                _MISMATCH,
                "S",
                "every logged word is the first of the site's block as numpy's Philox gives it",
            ),
            (_EVENTS,),
            _replay,
        ),
        *log_checks(ASSIGN),
        audit_check("s5", _MISMATCH, _REPORT),
    ),
)
