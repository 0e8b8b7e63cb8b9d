"""The SQL of one check as a text that DuckDB runs by itself, with the views and tables it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from segment1b.audit.case import Case, Check, Preparation, StateChecks
from segment1b.audit.merchants import in_use, of_trade
from segment1b.audit.plans import PLANS, TRADES
from segment1b.audit.published_files import Published, UnusableError
from segment1b.audit.runner import checks_of, prepare_state
from segment1b.audit.session import Session
from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError
from segment1b.storage.sql import parquet_table

#: The identity whose files a check reads, the plan of its state, and the check.
_Found: TypeAlias = tuple[Published, StateChecks, Check]


def sql_of(published: Published, states: Sequence[str], name: str, folder: Path) -> str:
    """Return the SQL of a check, to be run by DuckDB alone; it gives the offending rows.

    Args:
        published: the identity whose files the SQL reads.
        states: among whose checks `name` is looked for.
        name: of the check, with its state in front where several states have one: "s4 sums"; of
            the weights of a trade with the trade, "s2 fuel law".
        folder: for the Parquet files of tables that are made in Python, if the SQL needs any.

    Returns:
        SQL; a check that is not made in SQL gives a comment with the name of its module.

    Raises:
        Segment1BError: E_USAGE, or the code of an input that is absent or cannot be read.
    """
    full_name, (own, plan, check) = _find(published, states, name)
    if check.script is None:
        return f"-- {full_name} is checked in Python, in {check.run.__module__}\n"
    with Session(own) as session:
        case, part = Case(session), _needed_by(check, plan)
        for result in prepare_state(part, case)[0]:
            if not result.ok:
                place = ", ".join(f"{key}: {value}" for key, value in result.rows[0].items())
                raise Segment1BError(result.code, f"{result.name} failed: {place}")
        makers = {made: s for s in part.preparations if s.wanted(case) for made in s.makes}
        return "\n".join(_statements(session, check.script.text, makers, folder, set()))


def _find(published: Published, states: Sequence[str], name: str) -> tuple[str, _Found]:
    """Return a check by its name, with the name in full."""
    known = dict(_all_checks(published, states))
    wanted = name.replace("/", " ")
    hits = [wanted] if wanted in known else [one for one in known if _without_state(one) == wanted]
    if not hits:
        names = {*known, *map(_without_state, known)}
        raise Segment1BError("E_USAGE", f"there is no check '{name}'", nearest(wanted, names))
    if len(hits) > 1:
        what = f"several states have a check '{name}'"
        raise Segment1BError("E_USAGE", what, f"name one: {', '.join(hits)}")
    return hits[0], known[hits[0]]


def _without_state(name: str) -> str:
    return name.partition(" ")[2]


def _all_checks(published: Published, states: Sequence[str]) -> Iterator[tuple[str, _Found]]:
    """Yield all checks, named as in the results, each with the identity whose files it reads."""
    plans = [(state, published, PLANS[state]) for state in states]
    if "s2" in states:
        try:
            trades = in_use(published)
        except UnusableError as error:
            raise Segment1BError(TRADES.contract.stale, str(error)) from None
        plans += [(f"s2 {trade}", of_trade(published, trade), TRADES) for trade in trades]
    for prefix, own, plan in plans:
        used = plan.without(own.unused)
        for check in checks_of(used, own.contracts):
            yield f"{prefix} {check.name}", (own, used, check)


def _needed_by(check: Check, plan: StateChecks) -> StateChecks:
    """Return the part of a plan that makes what a check needs."""
    part = plan.needed_by([check])
    needed = {*check.needs}.union(*(step.needs for step in part.preparations))
    return replace(part, absent={n: code for n, code in plan.absent.items() if n in needed})


def _statements(
    session: Session, text: str, makers: dict[str, Preparation], folder: Path, done: set[str]
) -> Iterator[str]:
    """Yield the statements that make what a text names, each once, and then the text."""
    for name in (*session.statements, *makers):
        if name in done or not re.search(rf"\b{name}\b", text):
            continue
        done.add(name)
        if name in session.statements:
            view = f"{session.statements[name]};"
            yield from _statements(session, view, makers, folder, done)
        elif script := makers[name].script:
            done.update(script.makes)
            yield from _statements(session, script.text, makers, folder, done)
        else:
            source = parquet_table([session.copy_out(name, folder)])
            yield f"CREATE OR REPLACE TABLE {name} AS FROM {source};"
    yield text
