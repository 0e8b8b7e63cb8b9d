"""The night itself: one run after another, each with its validators, none in another's way."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError
from segment1b.nightly.execution import Course, follow
from segment1b.nightly.lineage import Job, Kind, Lineage, child_job, night_job
from segment1b.nightly.plan import Night, RunPlan
from segment1b.nightly.summary import (
    error_entry,
    night_summary,
    run_entry,
    state_entry,
    validator_entries,
    write_summary,
)
from segment1b.nightly.tracking import TracedProgress
from segment1b.nightly.transport import outbox
from segment1b.pipeline.execution import Progress
from segment1b.storage.durable import make_folder
from segment1b.storage.failures import utc_now
from segment1b.storage.locks import owned_lock

LOG = logging.getLogger("segment1b")
Json = dict[str, Any]


def run_night(config: Path, night: Night, only: Collection[str], progress: Progress) -> Json:
    """Do a night's runs under its lock; return the summary, which is written too if asked for.

    Args:
        config: the night's file, for the summary.
        night: what to do.
        only: names of the runs to do; all where empty.
        progress: the display behind which the states' courses are noted.

    Raises:
        Segment1BError: E_LOCKED when another night is at work, E_USAGE for an unknown name in
            `only`, E_DATA_ROOT_UNUSABLE when lock or summary cannot be written. A run that
            fails raises nothing: the summary says so.
    """
    check_names(night, only)
    for path in filter(None, (night.lock, night.summary)):
        make_folder(path.absolute().parent)
    busy = f"another night is at work ({night.lock})"
    hint = "wait for it, or give nights that may overlap different locks"
    with owned_lock(night.lock.absolute(), 0, busy, hint), terminable():
        summary = _night(config, night, only, progress)
        if night.summary is not None:
            write_summary(night.summary, summary)
    return summary


def dry_run(config: Path, night: Night, only: Collection[str]) -> Json:
    """Return the summary of a night that does nothing and writes nothing."""
    check_names(night, only)
    now = utc_now()
    runs = [run_entry(run, "dry-run" if _wanted(run, only) else "skipped") for run in night.runs]
    return night_summary(config, night, None, runs, {"began_utc": now, "ended_utc": now})


def check_names(night: Night, only: Collection[str]) -> None:
    """Refuse the name of a run that the night does not have."""
    names = [run.name for run in night.runs]
    for name in only:
        if name not in names:
            raise Segment1BError(
                "E_USAGE", f"--only: there is no run '{name}'", nearest(name, names)
            )


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end a night as Ctrl-C does: the run stops whole and the summary is written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def logged_as(run: str) -> Iterator[None]:
    """Let every log record carry the name of the run."""

    def named(record: logging.LogRecord) -> bool:
        record.fields = {"run": run} | getattr(record, "fields", {})
        return True

    LOG.addFilter(named)
    try:
        yield
    finally:
        LOG.removeFilter(named)


def _night(config: Path, night: Night, only: Collection[str], progress: Progress) -> Json:
    began, job = utc_now(), night_job()
    plan = night.openlineage
    lineage = Lineage(outbox(plan), plan.namespace) if plan else None
    if lineage:
        lineage.send("START", job, began)
    runs: list[Json] = []
    stopped = False
    for run in night.runs:
        if stopped or not _wanted(run, only):
            runs.append(run_entry(run, "skipped"))
            continue
        with logged_as(run.name):
            entry = _one(run, child_job(job, run.name), lineage, progress)
        runs.append(entry)
        interrupted = entry["error"] is not None and entry["error"]["code"] == "E_INTERRUPTED"
        stopped = interrupted or (night.fail_fast and entry["status"] == "failed")
    ended = utc_now()
    summary = night_summary(
        config, night, job.run_id, runs, {"began_utc": began, "ended_utc": ended}
    )
    if plan and lineage:
        failed = [run["name"] for run in runs if run["status"] == "failed"]
        error = f"failed: {', '.join(failed)}" if failed else None
        lineage.send("FAIL" if failed else "COMPLETE", job, ended, error)
        box = lineage.outbox
        summary["openlineage"] = {"to": box.name, "sent": box.sent, "unsent": box.unsent}
        unused = [f"openlineage: {key} has no effect on a file" for key in plan.unused]
        summary["warnings"] += [*unused, *box.warnings]
        for warning in summary["warnings"]:
            LOG.warning("%s", warning, extra={"fields": {"event": "warning"}})
    return summary


def _one(run: RunPlan, job: Job, lineage: Lineage | None, progress: Progress) -> Json:
    """Do one run with its validators; return its entry in the summary."""
    began = utc_now()
    LOG.info("run %s starts", run.name, extra={"fields": {"event": "run_start"}})

    def state_starts(state: str, at: str) -> None:
        if lineage:
            lineage.send("START", child_job(job, state), at)

    if lineage:
        lineage.send("START", job, began)
    traced = TracedProgress(progress, state_starts)
    course = follow(run, traced)
    ended = utc_now()
    if lineage:
        _send_ends(lineage, job, ended, traced, course)
    entry = run_entry(run, "failed" if course.problem else "passed")
    entry |= {
        "began_utc": began,
        "ended_utc": ended,
        "identity": course.identity,
        "error": None if course.error is None else error_entry(course.error),
        "validators": validator_entries(course.checks),
        "states": {
            state: state_entry(trace, course.published.get(state), run.report_copy(state))
            for state, trace in traced.states.items()
        },
    }
    LOG.log(
        logging.ERROR if course.problem else logging.INFO,
        "run %s %s",
        run.name,
        f"failed: {course.problem}" if course.problem else "passed",
        extra={"fields": {"event": f"run_{entry['status']}"}},
    )
    return entry


def _send_ends(
    lineage: Lineage, job: Job, ended: str, traced: TracedProgress, course: Course
) -> None:
    """Send how each state ended, when it did, and then the run's own end."""
    for state, trace in traced.states.items():
        own, found = child_job(job, state), course.published.get(state)
        if trace.ended_utc is None:
            lineage.send("FAIL", own, ended, course.problem)
        else:
            read, made = (found.inputs, found.outputs) if found else ((), ())
            lineage.send("COMPLETE", own, trace.ended_utc, None, read, made)
    kind: Kind = "FAIL" if course.problem else "COMPLETE"
    lineage.send(kind, job, ended, course.problem, course.inputs, course.outputs)


def _wanted(run: RunPlan, only: Collection[str]) -> bool:
    return not only or run.name in only
