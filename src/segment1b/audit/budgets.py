"""Budgets of bytes, time, memory and files (prepare.md, section 0), from the run reports."""

from __future__ import annotations

from collections.abc import Iterator

from segment1b.audit.case import Case, Check, Checks, StateChecks
from segment1b.audit.results import Row

_CODES = {"s1": "E009_PERF_BUDGET", "s2": "E109_PERF_BUDGET"}
_READ_FACTOR = 1.25
_TIME_FACTOR, _TIME_ALLOWANCE = 1.75, 300.0
_WORKER_BYTES = 1 << 30
_OPEN_FILES = 256


def budget_checks(plan: StateChecks) -> list[Check]:
    """Return the budget check of a state; only S1 and S2 have budgets."""
    checks = Checks(plan.id)
    if plan.id in _CODES:

        @checks.add("budgets", _CODES[plan.id], plan.report)
        def budgets(case: Case) -> Iterator[Row]:
            """Bytes read, wall time, memory of a worker and open files kept their budgets."""
            for field, found, limit in _spent(plan, case):
                if found > limit:
                    yield {"field": field, "found": found, "expected_at_most": limit}

    return checks


def _spent(plan: StateChecks, case: Case) -> Iterator[tuple[str, float, float]]:
    """Yield each field with what was used and its limit."""
    used = case.report(plan.report)["resources"]
    seconds = _TIME_ALLOWANCE
    for dataset_id in plan.contract.reads:
        read = used.get(f"bytes_read_{dataset_id}", 0)
        size = sum(path.stat().st_size for path in case.published.files(dataset_id))
        yield f"bytes_read_{dataset_id}", read, _READ_FACTOR * size
        speed = used.get(f"io_baseline_{dataset_id}_bps", 0)
        seconds += _TIME_FACTOR * read / speed if speed else 0.0
    yield "wall_clock_seconds_total", used["wall_clock_seconds_total"], seconds
    yield "max_worker_rss_bytes", used["max_worker_rss_bytes"], _WORKER_BYTES
    yield "open_files_peak", used["open_files_peak"], _OPEN_FILES
