"""Cache status of a state: valid, stale (and why) or missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segment1b.contracts.program import program
from segment1b.errors import Segment1BError
from segment1b.states.protocol import Run, State
from segment1b.storage.receipts import document_receipt, hash_files
from segment1b.storage.snapshot import check_version, read_report, receipted


@dataclass(frozen=True)
class CacheStatus:
    """Whether a state can be reused.

    Attributes:
        report_path: where its run report is or would be.
        report: the run report; empty where there is none.
        why: why the state has to run; empty when what is published can be reused.
        changed: digests (then, now) of the inputs that differ, by dataset id; None for absent.
        fault: what would stop a run here, unless a state before it repairs it.
    """

    report_path: Path
    report: dict[str, Any]
    why: str
    changed: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    fault: Segment1BError | None = None


def cache_status(state: State, run: Run, inputs: Mapping[str, str], *, verify: bool) -> CacheStatus:
    """Return whether a state can be reused, given the `input_digests` of today.

    `verify` hashes published files instead of comparing sizes, and those of `site_locations` for a
    state that reads them.

    Raises:
        Segment1BError: E_DIGEST_VERSION for a run report of another version; the code of a dataset
            whose files are not those of its receipt.
    """
    path, report = report_path(state, run), run_report(state, run)
    if not report:
        return CacheStatus(path, {}, "it has no run report")
    if state.id == "s0":
        return CacheStatus(path, report, "the gate is checked at every run")
    check_version(path, report)
    then = report.get("input_digests")
    then = then if isinstance(then, dict) else {}
    names = [name for name in {**inputs, **then} if then.get(name) != inputs.get(name)]
    changed = {name: (then.get(name), inputs.get(name)) for name in names}
    why = (
        _first_change(changed)
        or _other_program(report)
        or _malformed(state, run, report)
        or _missing_output(state, run, report, verify=verify)
    )
    return CacheStatus(path, report, why, changed)


def report_path(state: State, run: Run) -> Path:
    """Return where a state's run report is or would be."""
    return run.snapshot.path(f"{state.id}_run_report")


def run_report(state: State, run: Run) -> dict[str, Any]:
    """Return the published run report of a state; empty where there is none."""
    path = report_path(state, run)
    report = read_report(path) if path.exists() else None
    return dict(report) if isinstance(report, dict) else {}


def _other_program(report: dict[str, Any]) -> str:
    """Return that other code than today's wrote a report; empty where it was this one."""
    then, now = report.get("program"), program()
    if then == now:
        return ""
    named = [
        f"{one.get('version')}, source {_short(one.get('source_sha256_hex'))}"
        for one in (then if isinstance(then, dict) else {}, now)
    ]
    return f"it was made by segment1b {'; this is '.join(named)}"


def _malformed(state: State, run: Run, report: dict[str, Any]) -> str:
    schema_ref = run.contracts[f"{state.id}_run_report"].schema_ref
    problems = run.contracts.schemas.problems(schema_ref, report)
    return f"its run report does not fit its schema: {problems[0]}" if problems else ""


def _missing_output(state: State, run: Run, report: dict[str, Any], *, verify: bool) -> str:
    if run.merchant_summaries and state.id == "s4" and "merchant_summaries" not in report:
        return "its report has no merchant summaries"
    final = [name for name in state.reads if verify and run.contracts[name].final_in_layer]
    for dataset_id in (*run.used(state.writes), *final):
        if run.snapshot.partition(dataset_id, verify=verify) is None:
            return f"{dataset_id} is not there"
    for log in receipted(run.contracts, run.policy.model_dump(mode="json")):
        own = log.kind == "file" and log.owner == state.id.upper()
        if own and not run.snapshot.file_receipt(log.id, verify=verify):
            return f"{log.id} is not there"
    return ""


def verify_inputs(state: State, run: Run, verified: set[str]) -> None:
    """Hash the published datasets that a state is about to read, unless they are in `verified`."""
    for dataset in (run.contracts[name] for name in state.inputs(run)):
        if dataset.receipt_in and dataset.kind != "document" and dataset.id not in verified:
            run.snapshot.partition(dataset.id, verify=True)
            verified.add(dataset.id)


def _first_change(changed: Mapping[str, tuple[str | None, str | None]]) -> str:
    if not changed:
        return ""
    name, (then, now) = next(iter(changed.items()))
    more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{name} was {_short(then)}, is {_short(now)}{more}"


def _short(digest: object) -> str:
    return f"{digest}"[:8] if digest else "absent"


def input_digests(state: State, run: Run) -> dict[str, str]:
    """Return the digest of each dataset a state reads, as it is today; none for the gate.

    Published datasets give the content digest of their receipt, documents that of their content
    without clocks, reference surfaces and foreign folders the SHA-256 over their bytes.
    """
    if state.id == "s0":
        return {}
    reader, digests = run.reader(state), {}
    # Receipts tell what has changed; rows are brought when the state has work to do.
    entries = [run.contracts[dataset_id] for dataset_id in state.inputs(run)]
    reader.fetch(e.id for e in entries if e.kind == "document" or not e.receipt_in)
    for dataset_id, dataset in zip(state.inputs(run), entries, strict=True):
        if dataset_id in run.surfaces:
            digests[dataset_id] = run.surfaces[dataset_id]
        elif dataset.kind == "document":
            data = reader.file(dataset_id).read_bytes()
            digests[dataset_id] = document_receipt("", data, dataset.volatile).content_sha256_hex
        elif dataset.receipt_in:
            digests[dataset_id] = reader.partition(dataset_id).receipt.content_sha256_hex
        else:
            folder = reader.file(dataset_id)
            files = [path for path in folder.rglob("*") if path.is_file()]
            names = [path.relative_to(folder).as_posix() for path in files]
            digests[dataset_id] = hash_files(folder, names)[1]
    return digests
