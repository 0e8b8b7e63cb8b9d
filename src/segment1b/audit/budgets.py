"""Budgets of bytes, time, memory and files (prepare.md, section 0), from the run reports."""

from __future__ import annotations

from collections.abc import Iterator

from segment1b.audit.case import Case, Check, StateChecks
from segment1b.audit.results import CheckResult, Row, Rule

_CODES = {"s1": "E009_PERF_BUDGET", "s2": "E109_PERF_BUDGET"}
_READ_FACTOR = 1.25
_TIME_FACTOR, _TIME_ALLOWANCE = 1.75, 300.0
_WORKER_BYTES = 1 << 30
_OPEN_FILES = 256


def budget_checks(plan: StateChecks) -> list[Check]:
    """Return the budget check of a state; only S1 and S2 have budgets."""
    if plan.id not in _CODES:
        return []
    proves = "bytes read, wall time, memory of a worker and open files kept their budgets"
    rule = Rule(plan.id, "budgets", _CODES[plan.id], "R", proves)

    def run(case: Case, rule: Rule) -> CheckResult:
        return rule.judge(_breaches(plan, case))

    return [Check(rule, (plan.report,), run)]


def _breaches(plan: StateChecks, case: Case) -> Iterator[Row]:
    used = case.report(plan.report)["resources"]
    allowed_seconds = _TIME_ALLOWANCE
    for dataset_id in plan.reads:
        read = used.get(f"bytes_read_{dataset_id}", 0)
        size = sum(path.stat().st_size for path in case.published.files(dataset_id))
        if read > _READ_FACTOR * size:
            yield _row(f"bytes_read_{dataset_id}", read, _READ_FACTOR * size)
        speed = used.get(f"io_baseline_{dataset_id}_bps", 0)
        allowed_seconds += _TIME_FACTOR * read / speed if speed else 0.0
    for name, limit in (
        ("wall_clock_seconds_total", allowed_seconds),
        ("max_worker_rss_bytes", _WORKER_BYTES),
        ("open_files_peak", _OPEN_FILES),
    ):
        if used[name] > limit:
            yield _row(name, used[name], limit)


def _row(field: str, found: float, limit: float) -> Row:
    return {"field": field, "found": found, "expected_at_most": limit}
