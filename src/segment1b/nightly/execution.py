"""Executes one nightly run: the states, what they published, then the validators."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.audit import validate
from segment1b.contracts import Dataset
from segment1b.contracts.faults import coded, keep_traceback
from segment1b.identity import TOKENS, Identity
from segment1b.nightly.plan import RunPlan
from segment1b.nightly.summary import error_entry, run_entry, validator_entry
from segment1b.pipeline.execution import Event, Progress, run_pipeline
from segment1b.pipeline.outcome import Outcome
from segment1b.storage.failures import utc_now
from segment1b.storage.root import open_root
from segment1b.storage.scratch import replace_file
from segment1b.storage.snapshot import Snapshot

LOG = logging.getLogger("segment1b")


@dataclass(frozen=True)
class PublishedDataset:
    """A dataset at one identity, with its path and the figures of its receipt."""

    dataset: Dataset
    path: Path
    rows: int | None
    bytes: int | None
    content_sha256_hex: str


@dataclass
class RunRecord:
    """The execution of one run, recorded as it goes on.

    Attributes:
        plan: the run.
        display: shows the progress.
        on_start: called with the name and the time of a state that starts.
        entry: the run's entry in the summary.
        problem: in one line what went wrong; None while nothing did.
        outcomes: of the states that have ended.
        outputs, inputs: datasets by id that each of them published and read.
    """

    plan: RunPlan
    display: Progress
    on_start: Callable[[str, str], None]
    entry: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    outputs: dict[str, dict[str, PublishedDataset]] = field(default_factory=dict)
    inputs: dict[str, dict[str, PublishedDataset]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entry |= run_entry(self.plan, "failed")

    def __call__(self, event: Event) -> None:
        """Record when a state begins and ends; one that is reused never began."""
        if event.kind in ("plan", "published", "reused"):
            self._begin(event.state)
            if event.outcome is not None:
                self.outcomes[event.state] = event.outcome
                end = {"outcome": event.outcome.what, "ended_utc": utc_now()}
                self.entry["states"][event.state] |= end
        self.display(event)

    def _begin(self, state: str) -> None:
        if state not in self.entry["states"]:
            began = utc_now()
            self.entry["states"][state] = {
                "outcome": "failed",
                "began_utc": began,
                "ended_utc": None,
            }
            self.on_start(state, began)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Record an error of the block, and its state; refused inputs end that unbegun."""
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the other runs go on
            failure = coded(error)
            keep_traceback(failure)
            if self.problem is not None:
                LOG.warning("%s", failure)
                return
            self.problem = f"{failure.code}: {failure.message}"
            self.entry["error"] = error_entry(failure)
            if self.entry["identity"] is None and "state" in failure.scope:
                self._begin(failure.scope["state"])
            if self.entry["identity"] is None and failure.scope.keys() >= {*TOKENS}:
                self.entry["identity"] = {name: failure.scope[name] for name in TOKENS}

    def locate(self, state: str, snapshot: Snapshot) -> None:
        """Add the datasets that the run report of a state names, and copy the report."""
        outcome, known = self.outcomes[state], snapshot.contracts
        committed = [dataset for dataset in known if dataset.receipt_in == f"{state}_run_report"]
        receipts = {d.id: outcome.report.get(d.receipt_field) for d in committed}
        self.outputs[state] = {
            name: PublishedDataset(
                known[name],
                snapshot.path(name),
                receipt["rows"],
                sum(file["bytes"] for file in receipt["files"]),
                receipt["content_sha256_hex"],
            )
            for name, receipt in receipts.items()
            if receipt is not None
        }
        self.inputs[state] = {
            name: PublishedDataset(known[name], snapshot.path(name), None, None, digest)
            for name, digest in sorted(outcome.report["input_digests"].items())
        }
        copy = self.plan.report_copy(state)
        self.entry["states"][state] |= {
            "rows": outcome.rows,
            "run_report": str(outcome.report_path),
            "run_report_copy": None if copy is None else str(copy),
            "datasets": {
                name: {
                    "path": str(one.path),
                    "rows": one.rows,
                    "bytes": one.bytes,
                    "content_sha256_hex": one.content_sha256_hex,
                }
                for name, one in self.outputs[state].items()
            },
        }
        if copy is not None:
            replace_file(copy, outcome.report_path.read_bytes())


def execute(plan: RunPlan, display: Progress, on_start: Callable[[str, str], None]) -> RunRecord:
    """Run, copy the reports that are wanted, validate; an error ends this and is recorded."""
    record = RunRecord(plan, display, on_start)
    with record.failing():
        root = open_root(plan.data_root)
        record.entry["identity"] = dict(run_pipeline(plan.run_settings(), record).identity)
    if record.entry["identity"] is not None:
        with record.failing():
            places = Identity(**record.entry["identity"]).places
            snapshot = Snapshot(root, contracts.load(plan.dictionary), places)
            for state in record.outcomes:
                record.locate(state, snapshot)
            if record.problem is None:
                _validate(record, snapshot)
    status = "failed" if record.problem else "passed"
    record.entry |= {"status": status, "ended_utc": utc_now()}
    return record


def _validate(record: RunRecord, snapshot: Snapshot) -> None:
    states, bundle = record.plan.checks, record.plan.validation_bundle
    if not states:
        return
    root, known, identity = snapshot.root, snapshot.contracts, record.entry["identity"]
    checks = validate(root, known, identity, states, bundle=bundle)
    codes = list(dict.fromkeys(check.code for check in checks if not check.ok))
    if codes:
        record.problem = f"validators failed: {', '.join(codes)}"
    for state in states:
        own = validator_entry(state, [check for check in checks if check.state == state])
        record.entry["validators"].append(own)
        bad = [offence["code"] for offence in own["offences"]]
        LOG.log(
            logging.ERROR if bad else logging.INFO,
            "%s validated: %s",
            state,
            f"offences {', '.join(bad)}" if bad else "all checks pass",
            extra={"fields": {"state": state, "event": "validated", "offences": len(bad)}},
        )
