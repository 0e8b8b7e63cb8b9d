"""S6: the offsets against S5, tiles, countries, the replayed draws and their logs."""

from __future__ import annotations

from segment1b.audit.case import (
    COUNTRIES,
    POLICY,
    Checks,
    Preparation,
    script_preparation,
    state_checks,
)
from segment1b.audit.logs import (
    JITTER,
    add_dictionary_check,
    add_log_checks,
    add_run_id_check,
)
from segment1b.audit.s6 import report
from segment1b.audit.s6.inside import check_inside
from segment1b.audit.s6.replay import check_replay, make_jitter_policy
from segment1b.audit.tiles import BOUNDS, keep_used

CHECKS = Checks("s6")
_SITES, _REPORT = "s6_site_jitter", JITTER.report
_EVENTS, _BUDGET = JITTER.events, JITTER.code
_LOST = "E515_RUN_REPORT_MISSING_FIELDS"

for _run, _name, _code, *_needs in (
    (check_inside, "inside", "E608_POINT_OUTSIDE_COUNTRY", "jittered", COUNTRIES),
    (check_replay, "replay", _BUDGET, "jittered", COUNTRIES, _EVENTS, "jitter_policy"),
    (report.check_accounting, "accounting", _BUDGET, _EVENTS, JITTER.trace, _REPORT),
    (report.check_countries, "report_by_country", _LOST, _SITES, _EVENTS, _REPORT),
    (report.check_tiles, "report_tiles", _LOST, "used_tile_bounds", COUNTRIES, _REPORT),
):
    CHECKS.add(_name, _code, *_needs, scope="S")(_run)
add_log_checks(CHECKS, JITTER)
add_run_id_check(CHECKS, "E611_LOG_PARTITION_LAW", _REPORT, _EVENTS)
add_dictionary_check(CHECKS, "E612_DICT_SCHEMA_MISMATCH", _SITES, _EVENTS)

PLAN = state_checks(
    CHECKS,
    keep_used("tile_index", (_SITES,), ()),
    keep_used("tile_bounds", (_SITES,), BOUNDS),
    script_preparation("s6", "points"),
    Preparation("jitter_policy", (POLICY,), ("jitter_policy",), make_jitter_policy),
)
