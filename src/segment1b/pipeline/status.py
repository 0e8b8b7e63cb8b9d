"""Status: what a data root has published, what is stale and why, and what a run would do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from segment1b.config import RunSettings
from segment1b.pipeline.decide import TOKENS, foresee, published_run
from segment1b.pipeline.reuse import Step, plan_of
from segment1b.states import STATES
from segment1b.states.protocol import Run
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
        given = {name: getattr(settings, name) for name in TOKENS}
        run, refusal = published_run(root, settings.dictionary, given)
    return {
        "data_root": root_at(root).location,
        **run.tokens,
        "law": run.policy.allocation.law,
        "refusal": refusal,
        "states": {step.state: _entry(step, run, refusal) for step in plan_of(STATES, run)},
    }


def _entry(step: Step, run: Run, refusal: str) -> dict[str, Any]:
    cache = step.cache
    when = cache.report_path.stat().st_mtime if cache.report else None
    receipts = {
        d: cache.report.get(run.contracts[d].receipt_field) for d in STATES[step.state].writes
    }
    return {
        "published_at_utc": None if when is None else f"{datetime.fromtimestamp(when, UTC):%FT%TZ}",
        "content_sha256_hex": {
            name: receipt.get("content_sha256_hex")
            for name, receipt in receipts.items()
            if isinstance(receipt, dict)
        },
        "why": "" if step.action == "check" else cache.why,
        "changed_inputs": [
            {"dataset": name, "then": then, "now": now or None}
            for name, (then, now) in cache.changed.items()
        ],
        "would": "refuse" if refusal else step.action,
    }
