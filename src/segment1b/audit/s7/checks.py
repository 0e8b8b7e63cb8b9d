"""S7: one coordinate a site, from S5, S6 and the grid, for the outlets of the catalogue."""

from __future__ import annotations

from segment1b.audit.case import (
    POLICY,
    RECEIPT,
    Case,
    Check,
    StateChecks,
    script_preparation,
)
from segment1b.audit.results import CheckResult, Rule, differences
from segment1b.audit.schemas import schema_check
from segment1b.audit.tiles import BOUNDS, keep_used

_REPORT = "s7_run_report"
_LOST = "E515_RUN_REPORT_MISSING_FIELDS"
_MISSING = "E_REFERENCE_SURFACE_MISSING"
_READS = (
    RECEIPT,
    "s5_site_tile_assignment",
    "s6_site_jitter",
    "tile_bounds",
    "outlet_catalogue",
    "s3_run_report",
)


def _flag(case: Case, rule: Rule) -> CheckResult:
    expected = {"flag_sha256_hex": case.report(RECEIPT)["flag_sha256_hex"]}
    found = {name: case.report(_REPORT)[name] for name in expected}
    return rule.judge(differences(found, expected))


PLAN = StateChecks(
    id="s7",
    report=_REPORT,
    report_code=_LOST,
    hygiene_code="E705_PARTITION_OR_IDENTITY",
    identity_code="E705_PARTITION_OR_IDENTITY",
    owns=("s7_site_synthesis",),
    absent={
        RECEIPT: "E301_NO_PASS_FLAG",
        _REPORT: _LOST,
        "s7_site_synthesis": "E701_ROW_MISSING",
        "s5_site_tile_assignment": "E701_ROW_MISSING",
        "s6_site_jitter": "E701_ROW_MISSING",
        "tile_bounds": "E709_TILE_FK_VIOLATION",
        "outlet_catalogue": "E708_1A_COVERAGE_FAIL",
        "s3_run_report": "E401_NO_S3_REQUIREMENTS",
        POLICY: _MISSING,
    },
    reads=_READS,
    disallowed_code="E510_DISALLOWED_READ",
    stale={"": "E508_TOKEN_MISMATCH"},
    ranking_code="E710_ORDER_LEAK",
    preparations=(
        keep_used("tile_bounds", ("s6_site_jitter", "s7_site_synthesis"), BOUNDS),
        script_preparation("s7", "setup_tested.sql"),
        script_preparation("s7", "setup_uncatalogued.sql"),
    ),
    checks=(
        Check(
            Rule(
                "s7",
                "gate_flag",
                "E705_PARTITION_OR_IDENTITY",
                "R",
                "the run report carries the upstream flag that the gate has sealed",
            ),
            (RECEIPT, _REPORT),
            _flag,
        ),
        schema_check("s7", "E711_DICT_SCHEMA_MISMATCH", ("s7_site_synthesis",)),
    ),
)
