"""Reuse: whether what a state has published is what it would publish today, and if not, why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segment1b.errors import Segment1BError
from segment1b.states.protocol import Run, State
from segment1b.storage.durable import read_json
from segment1b.storage.reader import committed
from segment1b.storage.receipts import document_receipt, hash_files


@dataclass(frozen=True)
class Standing:
    """How a state stands.

    Attributes:
        report_path: where its run report is or would be.
        report: the run report; empty where there is none.
        why: why the state has to run; empty when what is there can be reused.
    """

    report_path: Path
    report: dict[str, Any]
    why: str


def standing(state: State, run: Run, inputs: Mapping[str, str], *, verify: bool) -> Standing:
    """Return how a state stands, given the digests of its inputs as they are today.

    Args:
        state: which state.
        run: root, identity and policy.
        inputs: what `input_digests` returns; not asked for S0, which always looks again.
        verify: hash published files instead of comparing sizes.

    Raises:
        Segment1BError: published files are not those of their receipt.
    """
    path = run.root / run.contracts[f"{state.id}_run_report"].locate(run.places)
    found = read_json(path) if path.exists() else None
    if not isinstance(found, dict):
        return Standing(path, {}, "it has no run report")
    return Standing(path, found, _why(state, run, inputs, found, verify=verify))


def _why(
    state: State, run: Run, inputs: Mapping[str, str], report: dict[str, Any], *, verify: bool
) -> str:
    if state.id == "s0":
        return "the gate is checked at every run"
    then = report.get("input_digests")
    if then != inputs:
        return _changed(then if isinstance(then, dict) else {}, inputs)
    if run.merchant_summaries and state.id == "s4" and "merchant_summaries" not in report:
        return "its report has no merchant summaries"
    for dataset_id in state.writes:
        dataset = run.contracts[dataset_id]
        if committed(run.root, run.contracts, dataset, run.places, verify=verify) is None:
            return f"{dataset_id} is not there"
    return ""


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    differing = [name for name in {**now, **then} if then.get(name) != now.get(name)]
    name = differing[0]
    more = f", and {len(differing) - 1} more" if len(differing) > 1 else ""
    return f"{name} was {_short(then.get(name))}, is {_short(now.get(name))}{more}"


def _short(digest: object) -> str:
    return f"{digest}"[:8] if digest else "absent"


def input_digests(state: State, run: Run) -> dict[str, str]:
    """Return the digest of each dataset a state reads, as it is today.

    Published datasets give the content digest of their receipt, documents that of their content
    without clocks, reference surfaces and foreign folders the SHA-256 over their bytes.

    Raises:
        Segment1BError: the state's code for an input that is absent or not committed.
    """
    reader, digests = run.reader(state), {}
    for dataset_id in state.reads:
        dataset = run.contracts[dataset_id]
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


def plan_of(states: Mapping[str, State], run: Run) -> list[tuple[str, Standing, str]]:
    """Return (state, standing, what a run would do) for each state; nothing is written.

    What a run would do is check (the gate), reuse, run, or unknown: behind a state that will run,
    a state is reused exactly when that one publishes what is there already.
    """
    plan: list[tuple[str, Standing, str]] = []
    ahead = False
    for name, state in states.items():
        try:
            inputs = {} if name == "s0" else input_digests(state, run)
            own = standing(state, run, inputs, verify=False)
        except Segment1BError as error:
            path = run.root / run.contracts[f"{name}_run_report"].locate(run.places)
            own = Standing(path, {}, f"{error.code}: {error.message}")
        act = "check" if name == "s0" and own.report else "run" if own.why else "reuse"
        if act == "reuse" and ahead:
            act = "unknown"
        ahead = ahead or act == "run"
        plan.append((name, own, act))
    return plan


def _folder_digest(path: Path) -> str:
    names = [p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()]
    return hash_files(path, names)[1]
