"""The SQL of one check as a text that DuckDB runs by itself, with the views and tables it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from segment1b.audit.case import Case, Check, Preparation, StateChecks
from segment1b.audit.plans import PLANS
from segment1b.audit.published_files import Published
from segment1b.audit.runner import checks_of, prepare_state
from segment1b.audit.session import Session
from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError
from segment1b.storage.sql import parquet_table


def sql_of(published: Published, states: Sequence[str], name: str, folder: Path) -> str:
    """Return the SQL of a check, to be run by DuckDB alone; it gives the offending rows.

    Args:
        published: the identity whose files the SQL reads.
        states: among whose checks `name` is looked for.
        name: of the check, with its state in front where several states have one: "s4 sums".
        folder: for the Parquet files of tables that are made in Python, if the SQL needs any.

    Returns:
        SQL; a check that is not made in SQL gives a comment with the name of its module.

    Raises:
        Segment1BError: E_USAGE, or the code of an input that is absent or cannot be read.
    """
    plan, check = _find(published, states, name)
    if check.script is None:
        return f"-- {plan.id} {check.name} is checked in Python, in {check.run.__module__}\n"
    with Session(published) as session:
        case, part = Case(session), _needed_by(check, plan)
        for result in prepare_state(part, case)[0]:
            if not result.ok:
                place = ", ".join(f"{key}: {value}" for key, value in result.rows[0].items())
                raise Segment1BError(result.code, f"{result.name} failed: {place}")
        makers = {made: s for s in part.preparations if s.wanted(case) for made in s.makes}
        return "\n".join(_statements(session, check.script.text, makers, folder, set()))


def _find(published: Published, states: Sequence[str], name: str) -> tuple[StateChecks, Check]:
    known = {
        f"{plan.id} {check.name}": (plan, check)
        for plan in (PLANS[state].without(published.unused) for state in states)
        for check in checks_of(plan, published.contracts)
    }
    wanted = name.replace("/", " ")
    hits = [wanted] if wanted in known else [one for one in known if one.split()[1] == wanted]
    if not hits:
        names = {*known, *(one.split()[1] for one in known)}
        raise Segment1BError("E_USAGE", f"there is no check '{name}'", nearest(wanted, names))
    if len(hits) > 1:
        what = f"several states have a check '{name}'"
        raise Segment1BError("E_USAGE", what, f"name one: {', '.join(hits)}")
    return known[hits[0]]


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
