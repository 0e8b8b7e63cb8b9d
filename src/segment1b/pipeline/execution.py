"""The pipeline: which states run, in which order, what is reused; all that states share."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from segment1b import contracts
from segment1b.config import RunSettings, load_policy, usable_cores
from segment1b.contracts import Dataset
from segment1b.contracts.faults import coded, keep_traceback
from segment1b.contracts.program import program
from segment1b.errors import Segment1BError
from segment1b.outlets.merchant_names import Naming
from segment1b.pipeline import trade_weights, worlds
from segment1b.pipeline.engines import Pool, opened
from segment1b.pipeline.outcome import Outcome, PlanOutcome, RunResult
from segment1b.pipeline.prepare import lay_and_decide, prepare
from segment1b.pipeline.reuse import cache_status, input_digests, report_path, verify_inputs
from segment1b.pipeline.since import continued
from segment1b.pipeline.workers import Workers
from segment1b.states import STATES
from segment1b.states.protocol import Report, Run, State
from segment1b.storage.bundles import check_summary
from segment1b.storage.failures import record_failure
from segment1b.storage.gather import FinalPart, cut_parts, merge_part
from segment1b.storage.locks import identity_lock
from segment1b.storage.meter import Meter, read_baseline
from segment1b.storage.parts import FILE_ROWS, part_name
from segment1b.storage.proofs import Proof
from segment1b.storage.publisher import (
    publish_document,
    publish_folder,
    publish_once,
    publish_report,
)
from segment1b.storage.reader import Reader
from segment1b.storage.root import open_root, root_at
from segment1b.storage.staging import staging

LOG = logging.getLogger("segment1b")


@dataclasses.dataclass(frozen=True)
class Event:
    """One step of the progress of a run.

    Attributes:
        kind: plan (a state starts to divide its work), begin (the work starts), advance (one more
            shard is done), published or reused (the state has ended).
        state: s0 to s9.
        count: of shards when the work begins, of rows when it advances.
        outcome: what became of a state that has ended.
    """

    kind: Literal["plan", "begin", "advance", "published", "reused"]
    state: str
    count: int = 0
    outcome: Outcome | None = None


#: Called with every event of a run.
Progress: TypeAlias = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Ignore the progress of a run."""


def run_pipeline(settings: RunSettings, progress: Progress = silent) -> RunResult:
    """Run the states that the settings ask for; what is published and current is reused.

    Raises:
        Segment1BError: whatever stops the run; it is recorded under control/failures/ and nothing
            of the failed state is published.
    """
    chosen = [STATES[name] for name in settings.states]
    settings = continued(settings)
    load_policy(settings.policy_files, settings.settings)  # a bad policy makes no data root
    root = open_root(settings.data_root)
    with staging(root) as scratch:
        with _recorded(root, settings):
            decision = lay_and_decide(root, settings, scratch)
        run = decision.run
        with identity_lock(root, run.identity, settings.wait_seconds), ExitStack() as work:
            with _recorded(root, settings):
                prepare(decision, settings)
                most = max(settings.workers_for(state.id) for state in chosen)
                pool = work.enter_context(opened(settings.engine, most, scratch, run.dictionary))
            outcomes = []
            verified = set[str]()
            for state in chosen:
                with _recorded(root, settings, state.id, run):
                    outcomes.append(run_state(state, run, settings, pool, progress, verified))
    since = decision.pairs.since if decision.pairs else None
    return RunResult(root, run.tokens, run.policy.document(), tuple(outcomes), since)


def run_state(
    state: State,
    run: Run,
    settings: RunSettings,
    pool: Pool,
    progress: Progress,
    verified: set[str],
) -> Outcome:
    """Run one state, or reuse what is there; `verified` is that of `reuse.verify_inputs`."""
    workers = settings.workers_for(state.id, pool.size if pool.existed else None)
    threads = min(workers, usable_cores())
    run = dataclasses.replace(run, staging=run.staging / state.id, threads=threads)
    run.staging.mkdir()
    inputs = input_digests(state, run)
    # Who reads that a run has ended well goes on to read the sites: their bytes are hashed.
    last = state.id == settings.to_state and state.id in ("s8", "s9")
    cache = cache_status(state, run, inputs, verify=settings.verify or last)
    reused, report = not cache.why, cache.report
    if reused:
        if state.id == "s9":
            check_summary(run.snapshot.path("validation_bundle_1B"))
        run.staging.rmdir()
    elif state.id in worlds.ADOPTED and (
        adopted := worlds.adopt(state, run, inputs, settings.world)
    ):
        report = adopted
        _publish_report(state, run, report)
    else:
        if cache.report and state.id != "s0":
            LOG.info("%s runs again: %s", state.id, cache.why)
        verify_inputs(state, run, verified)
        report = _work_and_publish(state, run, workers, inputs, pool, progress)
        verified.update(state.writes)
    if state.id == "s2":
        own = dataclasses.replace(run, staging=run.staging.with_name("s2_trade"))
        trade_weights.provide(own, pool, workers, settings.world, verify=settings.verify)
    paths = {dataset_id: run.snapshot.path(dataset_id) for dataset_id in run.used(state.writes)}
    kind = PlanOutcome if state.id == "s4" else Outcome
    outcome = kind(state.id, reused, cache.report_path, report, paths)
    progress(Event("reused" if reused else "published", state.id, outcome=outcome))
    return outcome


def _work_and_publish(
    state: State,
    run: Run,
    workers: int,
    inputs: Mapping[str, str],
    pool: Pool,
    progress: Progress,
) -> dict[str, Any]:
    """Work, gather, take receipts, publish, report; return the run report."""
    on_workers = Workers(state, run, pool, workers)
    # What earlier states have freed goes back to the system: each state's peak is its own.
    pa.default_memory_pool().release_unused()
    with Meter(children=not pool.within) as meter:
        progress(Event("plan", state.id))
        reader = run.reader(state)
        reader.fetch(state.inputs(run))
        shards = state.shards(run, reader, on_workers)
        on_workers.read.update(reader.bytes_read)
        progress(Event("begin", state.id, len(shards)))
        rows, counters, staged = 0, [], Counter[str]()
        proofs: dict[str, list[Proof]] = {}
        for result in on_workers.shards(
            shards, lambda result: progress(Event("advance", state.id, result.rows))
        ):
            staged.update(result.staged)
            for dataset_id, own in result.proofs.items():
                proofs.setdefault(dataset_id, []).extend(own)
            counters.append(result.counters)
            rows += result.rows
        proofs |= _gather(state, run, len(shards), on_workers)
        report = state.report(run, run.reader(state), rows, counters)
        body = dict(report.body)
        body |= _publish(state, run, report, staged, proofs)
    body.setdefault("input_digests", inputs)
    body["program"] = program()
    body["resources"] = {
        **meter.resources(workers, FILE_ROWS, *_reading(state, run, on_workers.read)),
        **report.resources,
    }
    for dataset_id, data in report.side_files.items():
        side_file = run.contracts[dataset_id].locate(run.places)
        root_at(run.root).replace(side_file, data, run.staging)
    _publish_report(state, run, body)
    return body


def _publish_report(state: State, run: Run, body: dict[str, Any]) -> None:
    """Publish a run report, which commits its datasets, and remove what was staged."""
    entry = run.contracts[f"{state.id}_run_report"]
    publish_report(run.root, run.contracts, entry, run.places, body, run.staging)
    # A worker that was given up may still write there; the run's own folder goes at its end.
    shutil.rmtree(run.staging, ignore_errors=True)


def _gather(state: State, run: Run, pieces: int, on_workers: Workers) -> dict[str, list[Proof]]:
    """Merge the pieces of tables cut by rows into their final parts, still staged; prove these."""

    def cut(dataset: Dataset) -> Iterator[FinalPart]:
        run.parts(dataset.id).mkdir()
        return cut_parts(_pieces(run, dataset, pieces), dataset)

    gathered = [dataset for dataset in _written(state, run) if _is_gathered(state, dataset)]
    parts = itertools.chain.from_iterable(map(cut, gathered))
    proofs: dict[str, list[Proof]] = {}
    for dataset_id, proof in on_workers.results(partial(_merge, pieces), parts):
        proofs.setdefault(dataset_id, []).append(proof)
    return proofs


def _merge(pieces: int, run: Run, _reader: Reader, part: FinalPart) -> tuple[str, Proof]:
    dataset = run.contracts[part.dataset_id]
    path = run.parts(dataset.id) / part_name(part.number)
    return dataset.id, merge_part(part, _pieces(run, dataset, pieces), dataset, path)


def _pieces(run: Run, dataset: Dataset, count: int) -> list[Path]:
    return [run.staged(dataset.id, number) for number in range(count)]


def _written(state: State, run: Run) -> list[Dataset]:
    return [run.contracts[dataset_id] for dataset_id in run.used(state.writes)]


def _publish(
    state: State,
    run: Run,
    report: Report,
    rows: Mapping[str, int],
    proofs: Mapping[str, Sequence[Proof]],
) -> dict[str, Any]:
    """Publish a state's logs and datasets; return the receipts by their field in the report."""
    receipts: dict[str, Any] = {}
    is_committed = report_path(state, run).exists()
    for dataset_id, data in report.logs.items():
        log = run.contracts[dataset_id]
        receipts[log.receipt_field] = publish_once(
            run.root, log, run.places, data, run.staging, is_committed=is_committed
        ).as_json()
    for dataset in _written(state, run):
        if dataset.id in report.documents:
            document = report.documents[dataset.id]
            receipt, receipts["no_op"] = publish_document(
                run.root, run.contracts, dataset, run.places, document, run.staging
            )
            receipts["input_digests"] = {
                entry["id"]: entry["sha256_hex"] for entry in document["sealed_inputs"]
            }
        else:
            gathered = _is_gathered(state, dataset)
            folder = run.parts(dataset.id) if gathered else run.staging / dataset.id
            folder.mkdir(exist_ok=True)
            receipt = publish_folder(
                run.root,
                dataset,
                run.places,
                folder,
                run.threads,
                rows[dataset.id] if dataset.kind == "table" else None,
                is_committed=is_committed,
                proofs=proofs.get(dataset.id, ()),
            )
        receipts[dataset.receipt_field] = receipt.as_json()
    return receipts


def _is_gathered(state: State, dataset: Dataset) -> bool:
    return dataset.kind == "table" and dataset.cut == "rows" and not state.stages_parts


def _reading(state: State, run: Run, read: Counter[str]) -> tuple[dict[str, int], dict[str, float]]:
    """Return bytes read and a plain-read baseline by the short name of each input."""
    count, baselines = {}, {}
    for dataset_id in state.inputs(run):
        path = run.snapshot.path(dataset_id)
        name = state.meters.get(dataset_id, dataset_id)
        count[name] = read[dataset_id]
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        baselines[name] = read_baseline([file for file in files if file.exists()])
    return count, baselines


@contextmanager
def _recorded(
    root: Path, settings: RunSettings, state: str | None = None, run: Run | None = None
) -> Iterator[None]:
    """Record what fails in the block under control/failures/, and raise it with a code."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        failure = coded(error)
        tokens = run.tokens if run else {}
        if run:
            fingerprint = run.identity.manifest_fingerprint
            failure = Naming(run.root, run.contracts, fingerprint).error(failure)
        with suppress(Exception):  # what failed the run may fail its record too
            try:
                known = contracts.load(settings.dictionary)
            except Segment1BError:  # the dictionary itself
                known = contracts.load()
            keep_traceback(failure, record_failure(root, known, failure, state, tokens))
        if state:  # whoever catches it learns the state, and where the others are published
            failure.scope = {**tokens, "state": state, **failure.scope}
        if failure is error:
            raise
        raise failure from error
