"""Publishes the weights of the trades that a run uses and its parameter hash lacks."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segment1b.contracts.program import program
from segment1b.contracts.states import TRADE_WEIGHTS
from segment1b.pipeline import worlds
from segment1b.pipeline.engines import Pool
from segment1b.pipeline.reuse import cache_status, input_digests
from segment1b.pipeline.workers import Workers
from segment1b.states import TRADES
from segment1b.states.protocol import Run
from segment1b.storage.meter import Meter
from segment1b.storage.parts import FILE_ROWS
from segment1b.storage.proofs import Proof
from segment1b.storage.publisher import publish_folder, publish_report
from segment1b.storage.receipts import Receipt


def lacking(run: Run, *, verify: bool = False) -> dict[str, str]:
    """Return the trades of a run whose weights have to be made, each with the reason."""
    if not run.trades:
        return {}
    inputs = input_digests(TRADES, run)
    found = {
        trade: cache_status(TRADES, replace(run, trade=trade), inputs, verify=verify).why
        for trade in run.trades
    }
    return {trade: why for trade, why in found.items() if why}


def provide(run: Run, pool: Pool, workers: int, world: Path | None, *, verify: bool) -> None:
    """Publish the weights of the trades of a run that are not there: adopted, else computed.

    Args:
        run: the run, S1 and S2 of which are published; its staging folder is made and removed.
        pool, workers: as for a state.
        world: the data root of a prepared world, looked at before the cache.
        verify: hash what is published.
    """
    lacks = lacking(run, verify=verify)
    if not lacks:
        return
    run.staging.mkdir()
    inputs, made = input_digests(TRADES, run), []
    for trade in lacks:
        own = _of_trade(run, trade)
        if (report := worlds.adopt(TRADES, own, inputs, world)) is not None:
            _commit(own, report)
        else:
            made.append(trade)
    if made:
        _compute(replace(run, trades=tuple(made)), pool, workers, inputs)
    shutil.rmtree(run.staging)


def _compute(run: Run, pool: Pool, workers: int, inputs: Mapping[str, str]) -> None:
    """Weigh all tiles by several trades in one pass; publish and commit each trade."""
    on_workers = Workers(TRADES, run, pool, workers)
    staged, counters = Counter[str](), []
    proofs: dict[str, list[Proof]] = {trade: [] for trade in run.trades}
    with Meter(children=not pool.within) as meter:
        reader = run.reader(TRADES)
        reader.fetch(TRADES.inputs(run))
        for result in on_workers.shards(TRADES.shards(run, reader, on_workers)):
            staged.update(result.staged)
            for trade, proven in result.proofs.items():
                proofs[trade].extend(proven)
            counters.append(result.counters)
        receipts = {
            trade: _publish(_of_trade(run, trade), staged[trade], proofs[trade])
            for trade in run.trades
        }
    resources = meter.resources(workers, FILE_ROWS, dict(on_workers.read), {})
    for trade, receipt in receipts.items():
        own = _of_trade(run, trade)
        body = {**TRADES.report(own, own.reader(TRADES), staged[trade], counters).body}
        body |= {"determinism_receipt": receipt.as_json(), "input_digests": dict(inputs)}
        _commit(own, body | {"program": program(), "resources": resources})


def _publish(run: Run, rows: int, proofs: Sequence[Proof]) -> Receipt:
    """Publish the staged weights of a run's trade."""
    return publish_folder(
        run.root,
        run.contracts[TRADE_WEIGHTS],
        run.places,
        run.staging.parent / f"{TRADE_WEIGHTS}-{run.trade}",
        run.threads,
        rows,
        is_committed=run.snapshot.path(f"{TRADES.id}_run_report").exists(),
        proofs=proofs,
    )


def _of_trade(run: Run, trade: str) -> Run:
    staging = run.staging / f"of-{trade}"
    staging.mkdir(exist_ok=True)
    return replace(run, trade=trade, staging=staging)


def _commit(run: Run, body: dict[str, Any]) -> None:
    entry = run.contracts[f"{TRADES.id}_run_report"]
    publish_report(run.root, run.contracts, entry, run.places, body, run.staging)
