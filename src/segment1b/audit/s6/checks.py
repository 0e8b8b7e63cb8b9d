"""S6: the offsets against S5, tiles, countries, the replayed draws and their logs."""

from __future__ import annotations

from collections.abc import Callable

from segment1b.audit.case import (
    POLICY,
    RECEIPT,
    Case,
    Check,
    Preparation,
    StateChecks,
    script_preparation,
)
from segment1b.audit.logs import JITTER, log_checks
from segment1b.audit.results import CheckResult, Rule
from segment1b.audit.s6.inside import check_inside
from segment1b.audit.s6.replay import check_replay, make_jitter_policy
from segment1b.audit.s6.report import check_accounting, check_countries, check_tiles
from segment1b.audit.schemas import run_id_check, schema_check
from segment1b.audit.tiles import BOUNDS, keep_used

_REPORT = "s6_run_report"
_LOST = "E515_RUN_REPORT_MISSING_FIELDS"
_BUDGET = "E610_RNG_BUDGET_OR_COUNTERS"
_TILE = "E606_FK_TILE_INDEX"


def _check(
    name: str,
    code: str,
    proves: str,
    needs: tuple[str, ...],
    run: Callable[[Case, Rule], CheckResult],
) -> Check:
    return Check(Rule("s6", name, code, "S", proves), needs, run)


PLAN = StateChecks(
    id="s6",
    report=_REPORT,
    report_code=_LOST,
    hygiene_code="E604_PARTITION_OR_IDENTITY",
    identity_code="E604_PARTITION_OR_IDENTITY",
    owns=("s6_site_jitter", JITTER.events),
    absent={
        RECEIPT: "E301_NO_PASS_FLAG",
        _REPORT: _LOST,
        "s6_site_jitter": "E601_ROW_MISSING",
        JITTER.events: "E611_LOG_PARTITION_LAW",
        JITTER.trace: "E611_LOG_PARTITION_LAW",
        "s5_site_tile_assignment": "E601_ROW_MISSING",
        "tile_bounds": _TILE,
        "tile_index": _TILE,
        "world_countries": "E_REFERENCE_SURFACE_MISSING",
        POLICY: "E_REFERENCE_SURFACE_MISSING",
    },
    reads=(
        RECEIPT,
        "s5_site_tile_assignment",
        "tile_bounds",
        "tile_index",
        "world_countries",
        POLICY,
    ),
    disallowed_code="E510_DISALLOWED_READ",
    stale={"": "E508_TOKEN_MISMATCH"},
    faults={JITTER.trace: _BUDGET},
    preparations=(
        keep_used("tile_index", ("s6_site_jitter",), ()),
        keep_used("tile_bounds", ("s6_site_jitter",), BOUNDS),
        script_preparation("s6", "setup_points.sql"),
        Preparation("jitter_policy", (POLICY,), ("jitter_policy",), make_jitter_policy),
    ),
    checks=(
        _check(
            "inside",
            "E608_POINT_OUTSIDE_COUNTRY",
            "every reconstructed point is strictly inside its country",
            ("jittered", "world_countries"),
            check_inside,
        ),
        _check(
            "replay",
            _BUDGET,
            "drawn again with numpy's Philox, each attempt before the last fails and the last one "
            "gives the stored offsets bit for bit",
            ("jittered", "world_countries", JITTER.events, "jitter_policy"),
            check_replay,
        ),
        _check(
            "accounting",
            _BUDGET,
            "events, blocks and draws of log, trace and report are the same, and so are attempts "
            "and lanes",
            (JITTER.events, JITTER.trace, _REPORT),
            check_accounting,
        ),
        _check(
            "report_by_country",
            _LOST,
            "rows, and sites, attempts and lanes of each country are as reported",
            ("s6_site_jitter", JITTER.events, _REPORT),
            check_countries,
        ),
        _check(
            "report_tiles",
            _LOST,
            "tiles properly inside their country and tiles at its border are as many as reported",
            ("used_tile_bounds", "world_countries", _REPORT),
            check_tiles,
        ),
        *log_checks(JITTER),
        run_id_check("s6", "E611_LOG_PARTITION_LAW", _REPORT, JITTER.events),
        schema_check("s6", "E612_DICT_SCHEMA_MISMATCH", ("s6_site_jitter", JITTER.events)),
    ),
)
