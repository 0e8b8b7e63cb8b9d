"""Executes one nightly run: the states, what they published, then the validators."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.audit import CheckResult, validate
from segment1b.contracts import Dataset
from segment1b.contracts.faults import coded, keep_traceback
from segment1b.errors import Segment1BError
from segment1b.identity import TOKENS, Identity
from segment1b.nightly.plan import RunPlan
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
class StateRecord:
    """The execution of one state.

    Attributes:
        began_utc, ended_utc: RFC 3339; no end while the state works, or where it failed.
        outcome: what became of it, once it has ended.
        outputs, inputs: datasets that it published, and those that it read.
    """

    began_utc: str
    ended_utc: str | None = None
    outcome: Outcome | None = None
    outputs: tuple[PublishedDataset, ...] = ()
    inputs: tuple[PublishedDataset, ...] = ()

    def locate(self, snapshot: Snapshot) -> None:
        """Set the outputs and inputs that the run report names."""
        assert self.outcome is not None
        report, report_id = self.outcome.report, f"{self.outcome.state}_run_report"
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
            if event.outcome is not None:
                record.ended_utc, record.outcome = utc_now(), event.outcome
        self.display(event)

    def _begin(self, state: str) -> StateRecord:
        if state not in self.states:
            self.states[state] = StateRecord(utc_now())
            self.on_start(state, self.states[state].began_utc)
        return self.states[state]

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Record an error of the block, and its state; refused inputs end that unbegun."""
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the other runs go on
            failure = coded(error)
            keep_traceback(failure)
            if self.error is not None:
                LOG.warning("%s", failure)
                return
            self.error = failure
            if self.identity is None and "state" in failure.scope:
                self._begin(failure.scope["state"])
            if self.identity is None and all(name in failure.scope for name in TOKENS):
                self.identity = {name: failure.scope[name] for name in TOKENS}

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
    """Run, copy the reports that are wanted, validate; an error ends this and is recorded."""
    with record.failing():
        record.root = open_root(run.data_root)
        record.identity = dict(run_pipeline(run.run_settings(), record).identity)
    if record.identity is None:
        return
    with record.failing():
        places = Identity(**record.identity).places
        snapshot = Snapshot(record.root, contracts.load(run.dictionary), places)
        for name, state in record.states.items():
            if state.outcome is not None:
                state.locate(snapshot)
                if copy := run.report_copy(name):
                    replace_file(copy, state.outcome.report_path.read_bytes())
        if record.error is None:
            record.checks = _validated(run, record, record.identity)


def _validated(run: RunPlan, record: RunRecord, identity: Mapping[str, Any]) -> list[CheckResult]:
    if not run.checks:
        return []
    known, bundle = contracts.load(run.dictionary), run.validation_bundle
    checks = validate(record.root, known, identity, run.checks, bundle=bundle)
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
