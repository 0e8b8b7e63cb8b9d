"""S4: the allocation plan against requirements, weights and the declared law.

`largest_remainder` is derived again in SQL alone, the curve laws by SQL's 128-bit points and a full
sort of each country along the curve (curve_laws.py); no line of it is the producer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.audit.case import (
    ISO,
    POLICY,
    RASTER,
    RECEIPT,
    Case,
    Check,
    Preparation,
    StateChecks,
    script_preparation,
)
from segment1b.audit.results import CheckResult, Row, Rule, differences
from segment1b.audit.s4 import curve_laws
from segment1b.audit.s4.quality import check_quality
from segment1b.contracts.faults import raise_machine_fault
from segment1b.storage.durable import regular_file

_REPORT = "s4_run_report"
_FIELDS = "E415_RUN_REPORT_MISSING_FIELDS"
_RECEIPT_CODE = "E410_NONDETERMINISTIC_OUTPUT"
_MISSING = "E_REFERENCE_SURFACE_MISSING"


def _is_curve_law(case: Case) -> bool:
    return case.policy("allocation")["law"] in curve_laws.LAWS


def _is_largest_remainder(case: Case) -> bool:
    return bool(case.policy("allocation")["law"] == "largest_remainder")


def _known_law(case: Case, rule: Rule) -> CheckResult:
    law = case.policy("allocation")["law"]
    known = _is_curve_law(case) or _is_largest_remainder(case)
    return rule.judge(() if known else [{"found": law}])


def _versions(case: Case, rule: Rule) -> CheckResult:
    expected = {"iso3166": case.published.dataset(ISO).version_tag}
    return rule.judge(differences(case.report(_REPORT)["ingress_versions"], expected))


def _summaries(case: Case, rule: Rule) -> CheckResult:
    """Judge the merchants' lines, wherever they stand; a report may have none."""

    def found() -> Iterator[Row]:
        said = case.report(_REPORT).get("merchant_summaries")
        if said is None:
            return
        lines = said if isinstance(said, list) else _side_file(case, said)
        reported = {line.pop("merchant_id"): line for line in map(dict, lines)}
        counted = case.session.rows(
            "SELECT merchant_id, count(*) AS countries, count(*) AS pairs, "
            "sum(n_sites)::BIGINT AS n_sites_total FROM s3_requirements GROUP BY merchant_id"
        )
        expected = {row.pop("merchant_id"): row for row in counted}
        for merchant in sorted(set(reported) | set(expected)):
            if reported.get(merchant) != expected.get(merchant):
                yield {
                    "merchant_id": merchant,
                    "found": reported.get(merchant),
                    "expected": expected.get(merchant),
                }

    return rule.judge(found())


def _side_file(case: Case, said: dict[str, Any]) -> list[dict[str, Any]]:
    path = case.published.path("s4_merchant_summaries")
    if said["path"] != path.relative_to(case.published.root).as_posix():
        raise ValueError(f"merchant_summaries lie at {path}, the report says {said['path']}")
    try:
        table = pq.read_table(regular_file(path))
    except (pa.ArrowException, OSError) as error:
        raise_machine_fault(error, path)
        raise ValueError(f"{path.name} cannot be read: {error}") from None
    lines: list[dict[str, Any]] = table.to_pylist()
    return lines


def _rule(name: str, code: str, proves: str) -> Rule:
    return Rule("s4", name, code, "R", proves)


PLAN = StateChecks(
    id="s4",
    report=_REPORT,
    report_code=_FIELDS,
    hygiene_code=_RECEIPT_CODE,
    identity_code="E406_TOKEN_MISMATCH",
    owns=("s4_alloc_plan",),
    absent={
        RECEIPT: "E301_NO_PASS_FLAG",
        _REPORT: _FIELDS,
        "s4_alloc_plan": _RECEIPT_CODE,
        "s3_requirements": "E401_NO_S3_REQUIREMENTS",
        "s3_run_report": "E401_NO_S3_REQUIREMENTS",
        "tile_weights": "E402_MISSING_TILE_WEIGHTS",
        "tile_index": "E403_ZERO_TILE_UNIVERSE",
        ISO: _MISSING,
        RASTER: _MISSING,
        POLICY: _MISSING,
    },
    reads=(RECEIPT, "s3_requirements", "tile_weights", "tile_index", ISO, POLICY),
    disallowed_code="E409_DISALLOWED_READ",
    stale={"": "E406_TOKEN_MISMATCH"},
    faults={"s3_run_report": "E401_NO_S3_REQUIREMENTS"},
    preparations=(
        script_preparation("s4", "setup_largest_remainder.sql", _is_largest_remainder),
        Preparation(
            "expected_by_points",
            ("s3_requirements", "tile_weights", RASTER, POLICY),
            ("expected_plan", "solved"),
            curve_laws.make_expected_plan,
            _is_curve_law,
        ),
        script_preparation("s4", "setup_differences.sql"),
    ),
    checks=(
        Check(
            _rule(
                "known_law",
                "E417_LAW_VIOLATION",
                "the policy declares a law that can be derived again",
            ),
            (POLICY,),
            _known_law,
        ),
        Check(
            _rule("versions", _FIELDS, "the run report names the version of its ISO table"),
            (_REPORT,),
            _versions,
        ),
        Check(
            _rule(
                "quality",
                _FIELDS,
                "load errors, collapse index and top-five share are as reported, to 1e-6",
            ),
            (_REPORT, "s4_alloc_plan", "tile_weights", POLICY),
            check_quality,
        ),
        Check(
            _rule(
                "merchant_summaries",
                _FIELDS,
                "where merchants are reported one by one, their figures are those of S3",
            ),
            (_REPORT, "s3_requirements"),
            _summaries,
        ),
    ),
)
