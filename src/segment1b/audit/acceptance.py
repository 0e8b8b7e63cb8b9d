"""Acceptance by S9: the checks of S1 to S8, gathered under A901 to A918.

Nothing is proved here a second time: each acceptance check names the checks of the states that
it is made of (criteria.py; docs/spec/s9-proof.md#checks).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from segment1b.audit import tile_proof
from segment1b.audit.case import COUNTRIES, POLICY, PREFIX, Checks, StateChecks
from segment1b.audit.criteria import OF_TRADES, STATES, Criterion, criteria, wanted, whole_states
from segment1b.audit.logs import CENTRES
from segment1b.audit.plans import PLANS
from segment1b.audit.published_files import Published, UnusableError
from segment1b.audit.results import SHOWN_ROWS, CheckResult
from segment1b.audit.runner import clean_name, run_state
from segment1b.audit.s6.checks import check_locations_inside
from segment1b.audit.session import Session


@dataclass(frozen=True)
class Acceptance:
    """The verdict of one acceptance check."""

    check: str
    code: str
    failures: int
    examples: list[dict[str, Any]]
    detail: str


def examined_states(law: str, *, trades: bool) -> tuple[str, ...]:
    """Return the states that S9 examines at every run, by law and whether merchants have trades."""
    return (*(OF_TRADES if trades else ()), *whole_states(law), *STATES)


def examine(state: str, published: Published, *, in_parts: bool = False) -> list[CheckResult]:
    """Run the checks of one state that acceptance is made of, from disk alone.

    With `in_parts` the checks by country are run elsewhere, and here taken as passed: the results
    hold only if those find nothing.
    """
    if uncommitted(published):
        return []
    published.memo[clean_name(state)] = in_parts
    with Session(published, threads=1) as session:
        return run_state(plan_of(state), session, wanted(state) or None)


def accept(
    published: Published, examined: Iterable[CheckResult], *, tiles_proven: bool = False
) -> list[Acceptance]:
    """Judge what S1 to S8 have published.

    Args:
        published: the identity.
        examined: the results of `examine` for `examined_states`, and those of every check of S1
            and S2 unless the tiles were proven earlier.
        tiles_proven: the data root holds the tile proof of the files as they are.

    Returns:
        One verdict for each of A901 to A905, A911 to A915, A917 and A918, in this order.
        Partitions that no run report commits are not looked into; every check that needs them
        has failed.
    """
    results = {(result.state, result.name): result for result in examined}
    reason = uncommitted(published)
    states = {state for state, _ in results} | {*(tile_proof.STATES if tiles_proven else ())}
    return [
        _judge(check, criterion, results, reason, states)
        for check, criterion in criteria_of(published).items()
    ]


def criteria_of(published: Published) -> dict[str, Criterion]:
    """Return the criteria of an identity, by its policy."""
    try:
        policy = published.document(POLICY)["policy"]
        law, trades = str(policy["allocation"]["law"]), "trades" in policy
    except (UnusableError, KeyError):
        law, trades = "", False
    return criteria(law, centres=published.is_used(CENTRES.events), trades=trades)


def uncommitted(published: Published) -> str:
    """Return why the partitions cannot be looked into, or nothing."""
    for state in ("s4", *STATES):
        try:
            published.document(f"{state}_run_report")
        except UnusableError as error:
            return str(error)
    return ""


def plan_of(state: str) -> StateChecks:
    """Return a state's plan; the locations themselves are looked for in their countries too."""
    plan = PLANS[state]
    if state == "s0":  # its one check here reads no outlets
        return replace(plan, absent={POLICY: plan.absent[POLICY]})
    if state != "s8":
        return plan
    checks = Checks("s8", *plan.checks)
    checks.add(
        *("locations_inside", "E915_POINT_OUTSIDE_COUNTRY", "site_locations", COUNTRIES), scope="S"
    )(check_locations_inside)
    absent = {**plan.absent, COUNTRIES: "E_REFERENCE_SURFACE_MISSING"}
    by_country = frozenset({*plan.by_country, "locations_inside"})
    return replace(plan, absent=absent, checks=checks, by_country=by_country)


def _judge(
    check: str,
    criterion: Criterion,
    results: Mapping[tuple[str, str], CheckResult],
    reason: str,
    examined: set[str],
) -> Acceptance:
    names = criterion.names
    if check == "A902":
        names += [name for name in results if name[0] in STATES and name[1].startswith(PREFIX)]
    names += [name for name in results if name[0] in criterion.whole]
    failed = [results[name] for name in names if name in results and not results[name].ok]
    lost = [f"{state} {name}" for state, name in names if (state, name) not in results]
    lost += [f"{state} (every check)" for state in criterion.whole if state not in examined]
    examples = [
        _plain({"check": f"{one.state} {one.name}", "code": one.code, **row})
        for one in failed
        for row in one.rows
    ]
    examples += [{"check": name, "reason": reason or "was not possible"} for name in lost]
    faults = [f"{one.state} {one.name} {one.code} ({one.offending})" for one in failed]
    faults += [f"{name} not possible" for name in lost]
    code = criterion.code
    return Acceptance(
        check,
        criterion.codes.get(failed[0].name, code) if failed else code,
        sum(one.offending for one in failed) + len(lost),
        examples[:SHOWN_ROWS],
        ", ".join(faults) or criterion.passed,
    )


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
