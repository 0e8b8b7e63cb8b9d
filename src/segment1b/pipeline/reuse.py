"""Cache status of a state: valid, stale (and why) or missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segment1b.contracts.program import program
from segment1b.errors import Segment1BError
from segment1b.states.protocol import Run, State
from segment1b.storage.durable import read_json
from segment1b.storage.receipts import document_receipt, hash_files
from segment1b.storage.snapshot import receipted


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


@dataclass(frozen=True)
class Step:
    """What a run would do with a state.

    `action` is check (the gate), reuse, run, depends (run if its inputs change), stop (with the
    fault of its cache status) or never (after a stop).
    """

    state: str
    cache: CacheStatus
    action: str


def cache_status(state: State, run: Run, inputs: Mapping[str, str], *, verify: bool) -> CacheStatus:
    """Return whether a state can be reused, given the `input_digests` of today.

    `verify` hashes published files instead of comparing sizes, and those of `site_locations` for a
    state that reads them.
    """
    path = report_path(state, run)
    report = read_json(path) if path.exists() else None
    if not isinstance(report, dict):
        return CacheStatus(path, {}, "it has no run report")
    if state.id == "s0":
        return CacheStatus(path, report, "the gate is checked at every run")
    then = report.get("input_digests")
    changed = _changed(then if isinstance(then, dict) else {}, inputs)
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


def _other_program(report: dict[str, Any]) -> str:
    """Return that other code than today's wrote a report; empty where it was this one."""
    then, now = report.get("program"), program()
    if then == now:
        return ""
    made = then if isinstance(then, dict) else {}
    return (
        f"it was made by segment1b {made.get('version')}, source "
        f"{_short(made.get('source_sha256_hex'))}; this is {now['version']}, source "
        f"{_short(now['source_sha256_hex'])}"
    )


def _malformed(state: State, run: Run, report: dict[str, Any]) -> str:
    schema_ref = run.contracts[f"{state.id}_run_report"].schema_ref
    problems = run.contracts.schemas.problems(schema_ref, report)
    return f"its run report does not fit its schema: {problems[0]}" if problems else ""


def _missing_output(state: State, run: Run, report: dict[str, Any], *, verify: bool) -> str:
    if run.merchant_summaries and state.id == "s4" and "merchant_summaries" not in report:
        return "its report has no merchant summaries"
    final = [name for name in state.reads if verify and run.contracts[name].final_in_layer]
    for dataset_id in (*state.writes, *final):
        if run.snapshot.partition(dataset_id, verify=verify) is None:
            return f"{dataset_id} is not there"
    for log in (d for d in receipted(run.contracts) if d.kind == "file"):
        own = log.owner == state.id.upper()
        if own and not run.snapshot.file_receipt(log.id, verify=verify):
            return f"{log.id} is not there"
    return ""


def verify_inputs(state: State, run: Run, verified: set[str]) -> None:
    """Hash the published datasets that a state is about to read, unless they are in `verified`."""
    for dataset in (run.contracts[name] for name in state.reads):
        if dataset.receipt_in and dataset.kind != "document" and dataset.id not in verified:
            run.snapshot.partition(dataset.id, verify=True)
            verified.add(dataset.id)


def _changed(
    then: Mapping[str, str], now: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    names = {**now, **then}
    return {n: (then.get(n), now.get(n)) for n in names if then.get(n) != now.get(n)}


def _first_change(changed: Mapping[str, tuple[str | None, str | None]]) -> str:
    if not changed:
        return ""
    name, (then, now) = next(iter(changed.items()))
    more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{name} was {_short(then)}, is {_short(now)}{more}"


def _short(digest: object) -> str:
    return f"{digest}"[:8] if digest else "absent"


def input_digests(state: State, run: Run) -> dict[str, str]:
    """Return the digest of each dataset a state reads, as it is today.

    Published datasets give the content digest of their receipt, documents that of their content
    without clocks, reference surfaces and foreign folders the SHA-256 over their bytes.
    """
    reader, digests = run.reader(state), {}
    # Receipts tell what has changed; rows are brought when the state has work to do.
    entries = [run.contracts[dataset_id] for dataset_id in state.reads]
    reader.fetch(e.id for e in entries if e.kind == "document" or not e.receipt_in)
    for dataset_id, dataset in zip(state.reads, entries, strict=True):
        if dataset_id in run.surfaces:
            digests[dataset_id] = run.surfaces[dataset_id]
        elif dataset.kind == "document":
            data = reader.file(dataset_id).read_bytes()
            digests[dataset_id] = document_receipt("", data, dataset.volatile).content_sha256_hex
        elif dataset.receipt_in:
            digests[dataset_id] = reader.partition(dataset_id).receipt.content_sha256_hex
        else:
            digests[dataset_id] = _folder_digest(reader.file(dataset_id))
    return digests


def plan_of(states: Mapping[str, State], run: Run) -> list[Step]:
    """Return what a run would do with each state; nothing is written.

    After a state that will run, one that reads what it makes is reused exactly when that one
    publishes what is there already.
    """
    steps: list[Step] = []
    made: set[str] = set()
    for name, state in states.items():
        cache = _status_or_fault(state, run)
        stopped = bool(steps) and steps[-1].action in ("stop", "never")
        action = "never" if stopped else _action(state, cache, made)
        if action in ("run", "depends"):
            made |= {*state.writes, f"{name}_run_report"}
        steps.append(Step(name, cache, action))
    return steps


def _status_or_fault(state: State, run: Run) -> CacheStatus:
    """Return the cache status of a state, with what would stop it as its fault."""
    path, report = report_path(state, run), {}
    if not path.exists():
        return CacheStatus(path, {}, "it has no run report")
    try:
        report = dict(read_json(path))
        inputs = {} if state.id == "s0" else input_digests(state, run)
        return cache_status(state, run, inputs, verify=False)
    except Segment1BError as error:
        return CacheStatus(path, report, f"{error.code}: {error.message}", fault=error)


def _action(state: State, cache: CacheStatus, made: set[str]) -> str:
    if state.id == "s0" and cache.report:
        return "check"
    if cache.fault is not None:
        return "depends" if cache.fault.scope.get("dataset") in made & {*state.reads} else "stop"
    if cache.why and not (cache.changed and made.issuperset(cache.changed)):
        return "run"
    return "depends" if made & {*state.reads} else "reuse"


def _folder_digest(path: Path) -> str:
    names = [p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()]
    return hash_files(path, names)[1]
