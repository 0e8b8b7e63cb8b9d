"""Status: what a data root has published, what is stale and why, and what a run would do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from segment1b.config import RunSettings
from segment1b.errors import Segment1BError
from segment1b.pipeline import trade_weights
from segment1b.pipeline.decide import foresee, published_run
from segment1b.pipeline.reuse import (
    CacheStatus,
    cache_status,
    input_digests,
    report_path,
    run_report,
)
from segment1b.states import STATES
from segment1b.states.protocol import Run, State
from segment1b.storage.root import find_root, root_at


def status(settings: RunSettings) -> dict[str, Any]:
    """Return how a data root stands; nothing is written into it.

    Args:
        settings: data_root and dictionary; tokens choose among several fingerprints. With
            outlets, policy_files or settings the answer is about the run that these would be;
            without, about the run that made what is published, with its own policy.

    Returns:
        `data_root`, the tokens, `law`, `refusal` (why a run would not start; empty) and `states`:
        by state `published_at_utc` (when its report was written, or put into its store; None
        without one),
        `content_sha256_hex` by dataset id, `why` (why it has to run; empty), `changed_inputs`
        (dataset, then, now) and `would`: check, reuse, run, depends, stop, never or refuse.

    Raises:
        Segment1BError: as `published_run` or `foresee`.
    """
    root = find_root(settings.data_root)
    if settings.outlets or settings.policy_files or settings.settings:
        run, refusal = foresee(root, settings)
    else:
        run, refusal = published_run(root, settings.dictionary, settings.tokens)
    return {
        "data_root": root_at(root).location,
        **run.tokens,
        "law": run.policy.allocation.law,
        "refusal": refusal,
        "states": _states(run, refused=bool(refusal)),
    }


def _states(run: Run, *, refused: bool) -> dict[str, dict[str, Any]]:
    """Return by state what is published, and what a run would do.

    After a state that will run, one that reads what it makes is reused exactly when that one
    publishes what is there already.
    """
    entries: dict[str, dict[str, Any]] = {}
    made: set[str] = set()
    stopped = False
    for name, state in STATES.items():
        cache = _with_trades(state, run, _status_or_fault(state, run))
        action = "never" if stopped else _action(state, cache, made)
        stopped = action in ("stop", "never")
        if action in ("run", "depends"):
            made |= {*state.writes, f"{name}_run_report"}
        entries[name] = _entry(state, cache, run) | {"would": "refuse" if refused else action}
        if action == "check":
            entries[name]["why"] = ""
    return entries


def _status_or_fault(state: State, run: Run) -> CacheStatus:
    """Return the cache status of a state, with what would stop it as its fault."""
    report: dict[str, Any] = {}
    try:
        report = run_report(state, run)
        return cache_status(state, run, input_digests(state, run) if report else {}, verify=False)
    except Segment1BError as error:
        why = f"{error.code}: {error.message}"
        return CacheStatus(report_path(state, run), report, why, fault=error)


def _with_trades(state: State, run: Run, cache: CacheStatus) -> CacheStatus:
    """Return the status of S2 with that of the weights of trades, which it makes too."""
    if state.id != "s2" or cache.why:
        return cache
    try:
        missing = trade_weights.lacking(run)
    except Segment1BError as error:
        return replace(cache, why=f"{error.code}: {error.message}", fault=error)
    reasons = [f"trade {trade}: {why}" for trade, why in missing.items()]
    return replace(cache, why="; ".join(reasons))


def _action(state: State, cache: CacheStatus, made: set[str]) -> str:
    """Return check (the gate), reuse, run, depends (run if inputs change) or stop (a fault)."""
    if state.id == "s0" and cache.report:
        return "check"
    if cache.fault is not None:
        return "depends" if cache.fault.scope.get("dataset") in made & {*state.reads} else "stop"
    if cache.why and not (cache.changed and made.issuperset(cache.changed)):
        return "run"
    return "depends" if made & {*state.reads} else "reuse"


def _entry(state: State, cache: CacheStatus, run: Run) -> dict[str, Any]:
    when = cache.report_path.stat().st_mtime if cache.report else None
    receipts = {d: cache.report.get(run.contracts[d].receipt_field) for d in state.writes}
    return {
        "published_at_utc": None if when is None else f"{datetime.fromtimestamp(when, UTC):%FT%TZ}",
        "content_sha256_hex": {
            name: receipt.get("content_sha256_hex")
            for name, receipt in receipts.items()
            if isinstance(receipt, dict)
        },
        "why": cache.why,
        "changed_inputs": [
            {"dataset": name, "then": then, "now": now or None}
            for name, (then, now) in cache.changed.items()
        ],
    }
