"""What S9 asks before it opens site_locations: the checks of S5 to S8, gathered under A901..A915.

Nothing is proved here a second time: each acceptance check names the checks of the states that
it is made of (place.md, section 6).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segment1b.contracts import Contracts
from segment1b.validators.case import Check, StateChecks
from segment1b.validators.opening import PREFIX
from segment1b.validators.plans import PLANS
from segment1b.validators.published import Published, UnusableError
from segment1b.validators.results import SHOWN_ROWS, CheckResult, Rule
from segment1b.validators.runner import run_state
from segment1b.validators.s6.inside import check_locations_inside
from segment1b.validators.session import Session
from segment1b.validators.tables import generic_checks

STATES = ("s5", "s6", "s7", "s8")
_OUTSIDE = "E915_POINT_OUTSIDE_COUNTRY"
_POLYGONS = "world_countries"
_LOGS = {"s5": "rng_event_site_tile_assign", "s6": "rng_event_in_cell_jitter"}
_TABLES = {
    "s5": "s5_site_tile_assignment",
    "s6": "s6_site_jitter",
    "s7": "s7_site_synthesis",
    "s8": "site_locations",
}
#: Codes of the states that say which of the three ways A901 failed.
_KEYS = {"01": "E901_ROW_MISSING", "02": "E902_ROW_EXTRA", "03": "E903_DUP_KEY"}


@dataclass(frozen=True)
class Acceptance:
    """The verdict of one acceptance check.

    Attributes:
        check: A901 to A905, A911 to A915.
        code: the error code of its failures.
        failures: offending rows, and one for each of its checks that was not possible.
        examples: up to 20 of them, plain JSON values.
        detail: the checks it is made of that failed, or how many passed.
    """

    check: str
    code: str
    failures: int
    examples: list[dict[str, Any]]
    detail: str


def _every(what: str, *, logs: bool = True) -> dict[str, tuple[str, ...]]:
    return {
        state: (f"{what}_{_TABLES[state]}", *([f"{what}_{_LOGS[state]}"] if logs else []))
        if state in _LOGS
        else (f"{what}_{_TABLES[state]}",)
        for state in STATES
    }


def _joined(*some: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {state: tuple(name for one in some for name in one.get(state, ())) for state in STATES}


#: For each acceptance check its code and, by state, the checks that it is made of.
_MADE_OF: dict[str, tuple[str, Mapping[str, tuple[str, ...]]]] = {
    "A901": (
        "E901_ROW_MISSING",
        {
            "s5": ("unique", "sorted", "sums"),
            "s6": ("rows_missing", "rows_extra", "unique", "sorted"),
            "s7": ("rows_missing", "rows_extra", "unique", "sorted"),
            "s8": ("rows_missing", "rows_extra", "unique", "sorted"),
        },
    ),
    "A902": (
        "E904_EGRESS_SCHEMA_VIOLATION",
        _joined(
            _every("columns"),
            _every("values"),
            {
                "s5": ("country_codes", "tiles_of_the_country"),
                "s6": ("tiles_known", "in_tile", "country_codes", "dictionary"),
                "s7": ("tiles_known", "in_tile", "dictionary"),
                "s8": ("dictionary",),
            },
        ),
    ),
    "A903": (
        "E905_PARTITION_OR_IDENTITY",
        _joined(
            dict.fromkeys(STATES, ("tokens", "input_digests")),
            _every("receipt"),
            _every("stray_files"),
            {"s6": ("fingerprint", "log_path"), "s7": ("gate_flag",), "s8": ("resolution",)},
        ),
    ),
    "A904": (
        "E906_WRITER_SORT_VIOLATION",
        _joined(
            dict.fromkeys(STATES, ("sorted",)),
            _every("file_cut"),
            {"s5": ("sorted_log",), "s6": ("sorted_log",)},
        ),
    ),
    "A905": (
        "E907_RNG_BUDGET_OR_COUNTERS",
        {
            "s5": ("events", "unique_log", "trace", "trace_receipt", "audit", "report_totals"),
            "s6": (
                *("events", "unique_log", "attempts", "trace", "trace_receipt", "accounting"),
                "report_by_country",
            ),
        },
    ),
    "A911": (
        "E911_FINALITY_OR_ORDER_LEAK",
        _joined(dict.fromkeys(STATES, ("ranking",)), {"s8": ("final",)}),
    ),
    "A912": (
        "E912_IDENTITY_COHERENCE",
        {"s7": ("tokens",), "s8": ("tokens", "partition_shift", "resolution")},
    ),
    "A913": (
        "E914_DRAW_REPLAY_MISMATCH",
        {
            "s5": ("words", "permutation", "own_points", "quotas"),
            "s6": ("replay",),
            "s7": ("coordinates",),
            "s8": ("coordinates",),
        },
    ),
    "A914": (_OUTSIDE, {"s8": ("locations_inside",)}),
    "A915": (
        "E916_COVERAGE_1A",
        {
            "s7": ("coverage_missing", "coverage_extra", "excluded_as_s3"),
            "s8": ("rows_missing", "rows_extra"),
        },
    ),
}


def examine(
    state: str, root: Path, contracts: Contracts, tokens: Mapping[str, Any], *, threads: int = 1
) -> list[CheckResult]:
    """Run the checks of one state that acceptance is made of, from disk alone.

    Args:
        state: s5 to s8.
        root: the data root.
        contracts: dictionary and schemas.
        tokens: seed, manifest_fingerprint and parameter_hash.
        threads: of the database; changes nothing in the results.

    Returns:
        The results; none when no run report commits S4 to S8, for then nothing is looked into.
    """
    published = Published(root, contracts, tokens)
    if uncommitted(published):
        return []
    plan = _plan_of(state)
    with Session(published, threads) as session:
        generic = generic_checks(plan, published)
        return run_state(plan, published, session, generic, _wanted(state))


def accept(
    root: Path,
    contracts: Contracts,
    tokens: Mapping[str, Any],
    examined: Iterable[CheckResult] | None = None,
) -> list[Acceptance]:
    """Judge what S5 to S8 have published.

    Args:
        root, contracts, tokens: as for `examine`.
        examined: the results of `examine` for all of `STATES`; taken here when absent.

    Returns:
        One verdict for each of A901 to A905 and A911 to A915, in this order. Partitions that no
        run report commits are not looked into; every check that needs them has failed.
    """
    if examined is None:
        examined = [one for state in STATES for one in examine(state, root, contracts, tokens)]
    results = {(result.state, result.name): result for result in examined}
    reason = uncommitted(Published(root, contracts, tokens))
    return [_judge(check, results, reason) for check in _MADE_OF]


def uncommitted(published: Published) -> str:
    """Return why the partitions cannot be looked into, or nothing."""
    for state in ("s4", *STATES):
        try:
            published.document(f"{state}_run_report")
        except UnusableError as error:
            return str(error)
    return ""


def _plan_of(state: str) -> StateChecks:
    """Return a state's plan; the locations themselves are looked for in their countries too."""
    plan = PLANS[state]
    if state != "s8":
        return plan
    inside = Check(
        Rule("s8", "locations_inside", _OUTSIDE, "S", "every location is inside its country"),
        ("site_locations", _POLYGONS),
        check_locations_inside,
    )
    absent = {**plan.absent, _POLYGONS: "E_REFERENCE_SURFACE_MISSING"}
    return replace(plan, absent=absent, checks=(*plan.checks, inside))


def _wanted(state: str) -> set[str]:
    return {name for _, made_of in _MADE_OF.values() for name in made_of.get(state, ())}


def _judge(check: str, results: Mapping[tuple[str, str], CheckResult], reason: str) -> Acceptance:
    code, made_of = _MADE_OF[check]
    names = [(state, name) for state, own in made_of.items() for name in own]
    if check == "A902":
        names += [name for name in results if name[1].startswith(PREFIX)]
    failed = [results[name] for name in names if name in results and not results[name].ok]
    lost = [f"{state} {name}" for state, name in names if (state, name) not in results]
    examples = [
        _plain({"check": f"{one.state} {one.name}", "code": one.code, **row})
        for one in failed
        for row in one.rows
    ]
    examples += [{"check": name, "reason": reason or "was not possible"} for name in lost]
    if check == "A901" and failed:
        code = _KEYS.get(failed[0].code[2:4], code)
    said = [f"{one.state} {one.name} {one.code} ({one.offending})" for one in failed]
    said += [f"{name} not possible" for name in lost]
    return Acceptance(
        check,
        code,
        sum(one.offending for one in failed) + len(lost),
        examples[:SHOWN_ROWS],
        ", ".join(said) or f"{len(names)} checks passed",
    )


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON can hold it."""
    plain: dict[str, Any] = json.loads(json.dumps({k: _finite(v) for k, v in row.items()}))
    return plain


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _finite(one) for name, one in value.items()}
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
