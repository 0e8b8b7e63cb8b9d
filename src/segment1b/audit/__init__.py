"""Independent checks of what the states have published.

No producer's code is used here. Each state has a folder of SQL files that DuckDB runs over the
published Parquet; checks that SQL cannot express are in Python beside them. Each check returns the
rows that offend. Checks of tiles that a pass over the tables (passes.py) has settled are not run.
`segment1b validate --print-sql CHECK` prints a check for DuckDB alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segment1b.audit.merchants import each_trade
from segment1b.audit.parts import look_at_all
from segment1b.audit.plans import PLANS, TRADES
from segment1b.audit.published_files import Published, UnusableError
from segment1b.audit.results import CheckResult
from segment1b.audit.runner import Progress, run_state, run_trades, silent
from segment1b.audit.session import Session
from segment1b.audit.sites import check_in_parts
from segment1b.contracts import Contracts
from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import Segment1BError
from segment1b.storage.durable import read_object
from segment1b.storage.snapshot import check_version

__all__ = ["TRADES", "CheckResult", "validate", "validate_published", "with_trades"]


def validate(
    root: Path,
    contracts: Contracts,
    tokens: Mapping[str, Any],
    states: Sequence[str],
    *,
    bundle: Path | None = None,
    perf: bool = False,
) -> list[CheckResult]:
    """Check the published datasets of some states at one identity.

    Args:
        root: the data root.
        contracts: dictionary and schemas.
        tokens: seed (int), manifest_fingerprint and parameter_hash (64 hex digits).
        states: of s0 to s9.
        bundle: the validation bundle's folder when it is not where the dictionary says.
        perf: check the budgets of time, memory, files and bytes too.

    Returns:
        One result for each check, in a fixed order. A dataset that cannot be read is one result
        with a row that says why, and names the checks that were not possible for it.

    Raises:
        Segment1BError: E_DIGEST_VERSION for a run report whose content digests follow another rule.
    """
    published = Published(root, contracts, tokens, bundle)
    return validate_published(published, with_trades(states), perf=perf)


def validate_published(
    published: Published,
    states: Sequence[str],
    *,
    perf: bool = False,
    threads: int = 2,
    progress: Progress = silent,
) -> list[CheckResult]:
    """Check the published datasets of some states; `published` keeps the digests of their bytes.

    The weights of trades, which are checked with S2, can be asked for alone: as TRADES.id.
    """
    for state in states:
        parts = _trades_of(published) if state == TRADES.id else [published]
        for part in parts:
            _check_version(part, f"{state}_run_report")
    results: list[CheckResult] = []
    with Session(published, threads) as session:
        for state in states:
            if state == TRADES.id:
                results += run_trades(TRADES, session)
            else:
                if threads > 1:
                    look_at_all(published, state, threads)
                    check_in_parts(published, state, states, threads)
                results += run_state(PLANS[state], session, perf=perf, progress=progress)
    return results


def with_trades(states: Sequence[str]) -> list[str]:
    """Return states with the weights of trades behind S2."""
    return [
        part for state in states for part in ((state, TRADES.id) if state == "s2" else (state,))
    ]


def _trades_of(published: Published) -> list[Published]:
    """Return the identity by trade; nothing where trades cannot be read, which has a check."""
    try:
        return each_trade(published)
    except UnusableError:
        return []


def _check_version(published: Published, report_id: str) -> None:
    """Refuse digests of another version; what cannot be read has a check of its own."""
    path = published.path(report_id)
    try:
        report = read_object(path)
    except (OSError, Segment1BError) as error:
        raise_machine_fault(error, path)
        return
    check_version(path, report)
