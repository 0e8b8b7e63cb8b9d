"""Nightly execution: runs the configured jobs in order; a failing job does not stop the others."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segment1b.contracts.locations import refuse_unknown
from segment1b.nightly.execution import PublishedDataset, execute
from segment1b.nightly.lineage import Job, child_job, end_event, night_job, start_event
from segment1b.nightly.plan import Night, RunPlan
from segment1b.nightly.summary import night_summary, run_entry, write_summary
from segment1b.nightly.transport import Outbox, outbox
from segment1b.pipeline.execution import Progress
from segment1b.storage.durable import make_folder
from segment1b.storage.failures import utc_now
from segment1b.storage.locks import owned_lock

LOG = logging.getLogger("segment1b")
Json = dict[str, Any]


def run_night(config: Path, night: Night, only: Collection[str], progress: Progress) -> Json:
    """Execute the runs of a night under its lock; return the summary, and write it if configured.

    `only` names the runs to execute; all if it is empty.

    Raises:
        Segment1BError: E_LOCKED while another night runs, E_USAGE for an unknown name in `only`,
            E_DATA_ROOT_UNUSABLE when lock or summary cannot be written. A run that fails raises
            nothing: it is in the summary.
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
    """Return the summary of a night without executing or writing anything."""
    check_names(night, only)
    now = utc_now()
    runs = [run_entry(run, "dry-run" if _wanted(run, only) else "skipped") for run in night.runs]
    return night_summary(config, night, None, runs, {"began_utc": now, "ended_utc": now})


def check_names(night: Night, only: Collection[str]) -> None:
    """Refuse a name that is not that of a run."""
    names = [run.name for run in night.runs]
    refuse_unknown(only, names, "E_USAGE", "--only", "there is no run '{}'")


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end a night as Ctrl-C does: the run stops cleanly and the summary is written."""
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
    """Add the name of the run to every log record."""

    def named(record: logging.LogRecord) -> bool:
        record.fields = {"run": run} | getattr(record, "fields", {})
        return True

    LOG.addFilter(named)
    try:
        yield
    finally:
        LOG.removeFilter(named)


def _night(config: Path, night: Night, only: Collection[str], progress: Progress) -> Json:
    began, plan = utc_now(), night.openlineage
    job = night_job(plan.namespace if plan else "")
    box = outbox(plan) if plan else Outbox(lambda _event: None, "")
    box.send(start_event(job, began))
    runs: list[Json] = []
    stopped = False
    for run in night.runs:
        if stopped or not _wanted(run, only):
            runs.append(run_entry(run, "skipped"))
            continue
        with logged_as(run.name):
            entry = _run(run, child_job(job, run.name), box, progress)
        runs.append(entry)
        interrupted = entry["error"] is not None and entry["error"]["code"] == "E_INTERRUPTED"
        stopped = interrupted or (night.fail_fast and entry["status"] == "failed")
    ended = utc_now()
    failed = [run["name"] for run in runs if run["status"] == "failed"]
    box.send(end_event(job, ended, f"failed: {', '.join(failed)}" if failed else None))
    times = {"began_utc": began, "ended_utc": ended}
    summary = night_summary(config, night, job.run_id, runs, times)
    if plan:
        summary["openlineage"] = {"to": box.name, "sent": box.sent, "unsent": box.unsent}
        unused = [f"openlineage: {key} has no effect on a file" for key in plan.unused]
        summary["warnings"] += [*unused, *box.warnings]
    for warning in summary["warnings"]:
        LOG.warning("%s", warning, extra={"fields": {"event": "warning"}})
    return summary


def _run(run: RunPlan, job: Job, box: Outbox, progress: Progress) -> Json:
    """Execute one run with its validators; return its entry in the summary."""
    began = utc_now()
    LOG.info("run %s starts", run.name, extra={"fields": {"event": "run_start"}})
    box.send(start_event(job, began))

    def state_starts(state: str, at: str) -> None:
        box.send(start_event(child_job(job, state), at))

    record = execute(run, progress, state_starts)
    ended, problem = record.entry["ended_utc"], record.problem
    inputs: dict[str, PublishedDataset] = {}
    outputs: dict[str, PublishedDataset] = {}
    for name, state in record.entry["states"].items():
        own, at = child_job(job, name), state["ended_utc"] or ended
        failure = problem if state["outcome"] == "failed" else None
        read, made = record.inputs.get(name, {}), record.outputs.get(name, {})
        box.send(end_event(own, at, failure, read.values(), made.values()))
        inputs |= read
        outputs |= made
    # What one of its states has made is no input of the run.
    brought = [one for name, one in inputs.items() if name not in outputs]
    box.send(end_event(job, ended, problem, brought, outputs.values()))
    LOG.log(
        logging.ERROR if problem else logging.INFO,
        "run %s %s",
        run.name,
        f"failed: {problem}" if problem else "passed",
        extra={"fields": {"event": "run_failed" if problem else "run_passed"}},
    )
    return record.entry | {"began_utc": began}


def _wanted(run: RunPlan, only: Collection[str]) -> bool:
    return not only or run.name in only
