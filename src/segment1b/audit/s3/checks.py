"""S3: the requirements against the outlets they count, and the seal."""

from __future__ import annotations

from segment1b.audit.case import ISO, POLICY, RECEIPT, Case, Check, StateChecks
from segment1b.audit.case import script_preparation as script
from segment1b.audit.results import CheckResult, Rule, differences

_REPORT = "s3_run_report"
_DIGESTS = "E306_TOKEN_MISMATCH"
_RECEIPT_CODE = "E313_NONDETERMINISTIC_OUTPUT"
_MISSING = "E_REFERENCE_SURFACE_MISSING"


def _sealed(case: Case, rule: Rule) -> CheckResult:
    sealed = {entry["id"]: entry["sha256_hex"] for entry in case.report(RECEIPT)["sealed_inputs"]}
    read = {n: d for n, d in case.report(_REPORT)["input_digests"].items() if n in sealed}
    return rule.judge(differences(read, {name: sealed[name] for name in read}))


def _unsealed(case: Case, rule: Rule) -> CheckResult:
    sealed = {entry["id"] for entry in case.report(RECEIPT)["sealed_inputs"]}
    made = {RECEIPT, "tile_weights"}
    return rule.judge(
        {"dataset": name, "reason": "was read and is not sealed"}
        for name in sorted(set(case.report(_REPORT)["input_digests"]) - sealed - made)
    )


def _versions(case: Case, rule: Rule) -> CheckResult:
    expected = {"iso3166": case.published.dataset(ISO).version_tag}
    return rule.judge(differences(case.report(_REPORT)["ingress_versions"], expected))


PLAN = StateChecks(
    id="s3",
    report=_REPORT,
    report_code=_RECEIPT_CODE,
    hygiene_code=_RECEIPT_CODE,
    identity_code=_DIGESTS,
    owns=("s3_requirements",),
    absent={
        RECEIPT: "E301_NO_PASS_FLAG",
        _REPORT: _RECEIPT_CODE,
        "s3_requirements": _RECEIPT_CODE,
        "outlet_catalogue": "E_PARTITION_MISPLACED",
        "tile_weights": "E303_MISSING_WEIGHTS",
        ISO: _MISSING,
        POLICY: _MISSING,
    },
    reads=(RECEIPT, "outlet_catalogue", ISO, "tile_weights", POLICY),
    disallowed_code="E311_DISALLOWED_READ",
    stale={"": _DIGESTS},
    preparations=(script("s3", "setup_counted.sql"),),
    checks=(
        Check(
            Rule(
                "s3",
                "sealed_digests",
                _DIGESTS,
                "R",
                "what was read hashes to what the gate has sealed",
            ),
            (RECEIPT, _REPORT),
            _sealed,
        ),
        Check(
            Rule(
                "s3",
                "unsealed_reads",
                "E311_DISALLOWED_READ",
                "R",
                "nothing was read that the gate has not sealed or an earlier state made",
            ),
            (RECEIPT, _REPORT),
            _unsealed,
        ),
        Check(
            Rule(
                "s3", "versions", _DIGESTS, "R", "the run report names the version of its ISO table"
            ),
            (_REPORT,),
            _versions,
        ),
    ),
)
