"""S8: the egress against S7, its place in the dictionary and the identity it was made under."""

from __future__ import annotations

from collections.abc import Callable

from segment1b.audit.case import RECEIPT, Case, Check, StateChecks
from segment1b.audit.results import CheckResult, Rule, differences
from segment1b.audit.schemas import schema_check

_REPORT = "s8_run_report"
_EGRESS = "site_locations"
_LOST = "E515_RUN_REPORT_MISSING_FIELDS"
_SHIFT = "E809_PARTITION_SHIFT_VIOLATION"


def _partition_shift(case: Case, rule: Rule) -> CheckResult:
    """The parameter hash is the receipt's, and in no path of the egress."""
    sealed, report = case.report(RECEIPT)["parameter_hash"], case.report(_REPORT)
    path = case.published.receipt(_EGRESS)["partition_path"]
    found = {
        "parameter_hash_consumed": report["parameter_hash_consumed"],
        "parameter_hash": report["parameter_hash"],
        "tokens": list(case.published.dataset(_EGRESS).tokens),
        "parameter_hash in path": "parameter_hash" in path or sealed in path,
    }
    expected = {
        "parameter_hash_consumed": sealed,
        "parameter_hash": sealed,
        "tokens": ["seed", "manifest_fingerprint"],
        "parameter_hash in path": False,
    }
    return rule.judge(differences(found, expected))


def _final(case: Case, rule: Rule) -> CheckResult:
    found = {"final_in_layer": case.published.dataset(_EGRESS).final_in_layer}
    return rule.judge(differences(found, {"final_in_layer": True}, dataset=_EGRESS))


def _resolution(case: Case, rule: Rule) -> CheckResult:
    located = case.published.dataset(_EGRESS).locate(case.published.tokens)
    found = {"partition_path": case.published.receipt(_EGRESS)["partition_path"]}
    return rule.judge(differences(found, {"partition_path": located}, dataset=_EGRESS))


def _by_country(case: Case, rule: Rule) -> CheckResult:
    counted = {
        row["code"]: row["n"]
        for row in case.session.rows(
            "SELECT legal_country_iso AS code, count(*) AS n FROM site_locations GROUP BY code"
        )
    }
    return rule.judge(differences(case.report(_REPORT)["by_country"], counted))


def _check(
    name: str,
    code: str,
    proves: str,
    needs: tuple[str, ...],
    run: Callable[[Case, Rule], CheckResult],
) -> Check:
    return Check(Rule("s8", name, code, "R", proves), needs, run)


PLAN = StateChecks(
    id="s8",
    report=_REPORT,
    report_code=_LOST,
    hygiene_code="E805_PARTITION_OR_IDENTITY",
    identity_code="E805_PARTITION_OR_IDENTITY",
    owns=(_EGRESS,),
    absent={
        RECEIPT: "E301_NO_PASS_FLAG",
        _REPORT: _LOST,
        _EGRESS: "E801_ROW_MISSING",
        "s7_site_synthesis": "E801_ROW_MISSING",
    },
    reads=(RECEIPT, "s7_site_synthesis"),
    disallowed_code="E510_DISALLOWED_READ",
    stale={"": "E508_TOKEN_MISMATCH"},
    ranking_code="E807_ORDER_LEAK",
    checks=(
        _check(
            "partition_shift",
            _SHIFT,
            "parameter_hash is the gate's and has left the path",
            (RECEIPT, _REPORT),
            _partition_shift,
        ),
        _check(
            "final",
            "E811_FINAL_FLAG_MISMATCH",
            "the dictionary declares site_locations final in its layer",
            (),
            _final,
        ),
        _check(
            "resolution",
            "E812_RESOLUTION_DISCIPLINE",
            "site_locations lies where the dictionary says",
            (_REPORT,),
            _resolution,
        ),
        _check(
            "report_by_country",
            _LOST,
            "the locations of each country are as many as reported",
            (_EGRESS, _REPORT),
            _by_country,
        ),
        schema_check("s8", "E808_DICT_SCHEMA_MISMATCH", (_EGRESS,)),
    ),
)
