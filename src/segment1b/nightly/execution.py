"""The course of one run of a night: run, look at what is published, validate."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.audit import CheckResult, validate
from segment1b.contracts import Contracts
from segment1b.contracts.faults import coded, keep_traceback
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.nightly.plan import RunPlan
from segment1b.nightly.published import PublishedDataset, PublishedState, published_state
from segment1b.nightly.tracking import TracedProgress
from segment1b.pipeline.execution import run_pipeline
from segment1b.storage.root import open_root
from segment1b.storage.scratch import replace_file
from segment1b.storage.snapshot import Snapshot

LOG = logging.getLogger("segment1b")
TOKENS = ("seed", "manifest_fingerprint", "parameter_hash")


@dataclass
class Course:
    """What becomes known of a run while it goes on.

    Attributes:
        root: the data root.
        identity: seed, manifest_fingerprint and parameter_hash; None where the run failed before
            they were known.
        published: what each state that ended has published.
        checks: the verdicts of the validators.
        error: what ended the run, None when nothing did.
    """

    root: Path
    identity: dict[str, Any] | None = None
    published: dict[str, PublishedState] = field(default_factory=dict)
    checks: list[CheckResult] = field(default_factory=list)
    error: Segment1BError | None = None

    @property
    def problem(self) -> str | None:
        """Return in one line what went wrong, None when run and validators all passed."""
        if self.error is not None:
            return f"{self.error.code}: {self.error.message}"
        codes = list(dict.fromkeys(check.code for check in self.checks if not check.ok))
        return f"validators failed: {', '.join(codes)}" if codes else None

    @property
    def outputs(self) -> list[PublishedDataset]:
        """Return all that the run's states have published."""
        return [one for state in self.published.values() for one in state.outputs]

    @property
    def inputs(self) -> list[PublishedDataset]:
        """Return what the run as a whole reads: inputs that none of its states has made."""
        made = {one.dataset.id for one in self.outputs}
        read = {one.dataset.id: one for state in self.published.values() for one in state.inputs}
        return [one for dataset_id, one in read.items() if dataset_id not in made]


def follow(run: RunPlan, traced: TracedProgress) -> Course:
    """Run, look at what is published, validate it; an error ends this and is kept."""
    course = Course(run.data_root)
    try:
        result = run_pipeline(run.run_settings(), traced)
        course.root, course.identity = result.root, dict(result.identity)
        _look(run, course, traced)
        course.checks = _validated(run, course)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the other runs go on
        course.error = coded(error)
        keep_traceback(course.error)
    if course.identity is None and course.error is not None:
        _look_after_failure(run, course, traced)
    return course


def _look(run: RunPlan, course: Course, traced: TracedProgress) -> None:
    """Read what the states that ended have published, and put the wanted copies of reports."""
    assert course.identity is not None
    snapshot = Snapshot(course.root, _contracts(run), Identity(**course.identity).places)
    for state, trace in traced.states.items():
        if trace.ended_utc is None:
            continue
        found = published_state(snapshot, state)
        course.published[state] = found
        copy = run.report_copy(state)
        if copy is not None:
            replace_file(copy, found.report_path.read_bytes())


def _look_after_failure(run: RunPlan, course: Course, traced: TracedProgress) -> None:
    """Do so for a run that failed, as far as its error names the identity."""
    assert course.error is not None
    if "state" in course.error.scope:
        traced.fail(course.error.scope["state"])
    if all(name in course.error.scope for name in TOKENS):
        course.identity = {name: course.error.scope[name] for name in TOKENS}
        try:
            course.root = open_root(run.data_root)
            _look(run, course, traced)
        except Segment1BError as error:
            LOG.warning("what run %s has published cannot be told: %s", run.name, error)


def _validated(run: RunPlan, course: Course) -> list[CheckResult]:
    if not run.checks:
        return []
    assert course.identity is not None
    bundle = run.validation_bundle
    checks = validate(course.root, _contracts(run), course.identity, run.checks, bundle=bundle)
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
