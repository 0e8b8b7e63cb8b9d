"""Executes one nightly run: the states, what they published, then the validators."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.audit import CheckResult, validate
from segment1b.contracts import Contracts, Dataset
from segment1b.contracts.faults import coded, keep_traceback
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.nightly.plan import RunPlan
from segment1b.pipeline.execution import Event, Progress, run_pipeline
from segment1b.storage.durable import read_object
from segment1b.storage.failures import utc_now
from segment1b.storage.root import open_root
from segment1b.storage.scratch import replace_file
from segment1b.storage.snapshot import Snapshot

LOG = logging.getLogger("segment1b")
TOKENS = ("seed", "manifest_fingerprint", "parameter_hash")


@dataclass(frozen=True)
class PublishedDataset:
    """A dataset at one identity, with its path and the figures of its receipt."""

    dataset: Dataset
    path: Path
    rows: int | None
    bytes: int | None
    content_sha256_hex: str


@dataclass
class StateRecord:
    """The execution of one state.

    Attributes:
        began_utc, ended_utc: RFC 3339; no end while the state works.
        outcome: failed until the state ends; then published, unchanged or reused.
        report_path: its run report on disk; None until `read` finds it.
        rows: of its datasets, or the outlets that S0 has seen.
        outputs, inputs: datasets that it published, and those that it read.
    """

    began_utc: str
    ended_utc: str | None = None
    outcome: str = "failed"
    report_path: Path | None = None
    rows: int = 0
    outputs: tuple[PublishedDataset, ...] = ()
    inputs: tuple[PublishedDataset, ...] = ()

    def read(self, snapshot: Snapshot, state: str) -> None:
        """Read the run report of a state that has ended; E_INPUT_UNREADABLE for a damaged one."""
        report_id = f"{state}_run_report"
        report = read_object(snapshot.path(report_id))
        if self.outcome == "published" and report.get("no_op"):
            self.outcome = "unchanged"
        self.rows = int(report.get("rows_emitted", report.get("outlet_rows", 0)))
        committed = [d for d in snapshot.contracts if d.receipt_in == report_id]
        receipts = [(dataset, report.get(dataset.receipt_field)) for dataset in committed]
        self.outputs = tuple(
            PublishedDataset(
                dataset,
                snapshot.path(dataset.id),
                receipt["rows"],
                sum(file["bytes"] for file in receipt["files"]),
                receipt["content_sha256_hex"],
            )
            for dataset, receipt in receipts
            if receipt is not None
        )
        self.inputs = tuple(
            PublishedDataset(snapshot.contracts[name], snapshot.path(name), None, None, digest)
            for name, digest in sorted(report["input_digests"].items())
        )
        self.report_path = snapshot.path(report_id)


@dataclass
class RunRecord:
    """The execution of one run, recorded as it goes on.

    Attributes:
        root: the data root.
        display: shows the progress.
        on_start: called with the name and the time of a state that starts.
        identity: seed, manifest_fingerprint and parameter_hash; None where the run failed before
            they were known.
        states: the states that began, in order.
        checks: the results of the validators.
        error: what ended the run, None when nothing did.
    """

    root: Path
    display: Progress
    on_start: Callable[[str, str], None]
    identity: dict[str, Any] | None = None
    states: dict[str, StateRecord] = field(default_factory=dict)
    checks: list[CheckResult] = field(default_factory=list)
    error: Segment1BError | None = None

    def __call__(self, event: Event) -> None:
        """Record when a state begins and ends; one that is reused never began."""
        if event.kind in ("plan", "published", "reused"):
            record = self._begin(event.state)
            if event.kind != "plan":
                record.ended_utc, record.outcome = utc_now(), event.kind
        self.display(event)

    def _begin(self, state: str) -> StateRecord:
        if state not in self.states:
            self.states[state] = StateRecord(utc_now())
            self.on_start(state, self.states[state].began_utc)
        return self.states[state]

    def fail(self, error: Segment1BError) -> None:
        """Record the error that ended the run, and its state; refused inputs end it unbegun."""
        self.error = error
        if self.identity is None and "state" in error.scope:
            self._begin(error.scope["state"])
        if self.identity is None and all(name in error.scope for name in TOKENS):
            self.identity = {name: error.scope[name] for name in TOKENS}

    @property
    def problem(self) -> str | None:
        """Return in one line what went wrong, None when run and validators passed."""
        if self.error is not None:
            return f"{self.error.code}: {self.error.message}"
        codes = list(dict.fromkeys(check.code for check in self.checks if not check.ok))
        return f"validators failed: {', '.join(codes)}" if codes else None

    @property
    def outputs(self) -> list[PublishedDataset]:
        """Return the datasets that the run's states have published."""
        return [one for state in self.states.values() for one in state.outputs]

    @property
    def inputs(self) -> list[PublishedDataset]:
        """Return the datasets that the run read and none of its states made."""
        made = {one.dataset.id for one in self.outputs}
        read = {one.dataset.id: one for state in self.states.values() for one in state.inputs}
        return [one for dataset_id, one in read.items() if dataset_id not in made]


def execute(run: RunPlan, record: RunRecord) -> None:
    """Run, read what was published, validate; an error ends this and is recorded."""
    try:
        result = run_pipeline(run.run_settings(), record)
        record.root, record.identity = result.root, dict(result.identity)
        _read_published(run, record)
        record.checks = _validated(run, record)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the other runs go on
        failure = coded(error)
        keep_traceback(failure)
        known_before = record.identity
        record.fail(failure)
        if known_before is None and record.identity is not None:
            _read_after_failure(run, record)


def _read_published(run: RunPlan, record: RunRecord) -> None:
    """Read the reports of the states that ended, and write the copies that are configured."""
    assert record.identity is not None
    places = Identity(**record.identity).places
    snapshot = Snapshot(record.root, _contracts(run), places)
    for name, state in record.states.items():
        if state.ended_utc is None:
            continue
        state.read(snapshot, name)
        copy = run.report_copy(name)
        if copy is not None and state.report_path is not None:
            replace_file(copy, state.report_path.read_bytes())


def _read_after_failure(run: RunPlan, record: RunRecord) -> None:
    try:
        record.root = open_root(run.data_root)
        _read_published(run, record)
    except Segment1BError as error:
        LOG.warning("what run %s has published cannot be read: %s", run.name, error)


def _validated(run: RunPlan, record: RunRecord) -> list[CheckResult]:
    if not run.checks:
        return []
    assert record.identity is not None
    bundle = run.validation_bundle
    checks = validate(record.root, _contracts(run), record.identity, run.checks, bundle=bundle)
    for state in run.checks:
        bad = [check.code for check in checks if check.state == state and not check.ok]
        LOG.log(
            logging.ERROR if bad else logging.INFO,
            "%s validated: %s",
            state,
            f"offences {', '.join(bad)}" if bad else "all checks pass",
            extra={"fields": {"state": state, "event": "validated", "offences": len(bad)}},
        )
    return checks


def _contracts(run: RunPlan) -> Contracts:
    return contracts.load(str(run.dictionary) if run.dictionary else None)
