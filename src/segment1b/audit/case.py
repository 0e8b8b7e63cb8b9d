"""A state under examination, and the checks and preparations that it is examined by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from segment1b.audit.grid import Grid
from segment1b.audit.merchants import in_use
from segment1b.audit.published_files import Published
from segment1b.audit.queries import FOLDER, Script, read_script
from segment1b.audit.results import Found, Row, Rule
from segment1b.audit.session import Session
from segment1b.contracts import StateContract, load_states

RASTER = "population_raster_2025"
POLICY = "parameter_policy_1B"
ISO = "iso3166_canonical_2024"
RECEIPT = "s0_gate_receipt_1B"
COUNTRIES = "world_countries"
# The name of the check that a dataset can be read, before its id.
PREFIX = "readable_"
# What a check needs that reads a dataset's bytes, whatever columns they hold.
BYTES_OF = "bytes of "
_ABSENT = "E_REFERENCE_SURFACE_MISSING"


@dataclass
class Case:
    """One state of one identity under examination."""

    session: Session
    usable: set[str] = field(default_factory=set)
    grid: Grid | None = None

    @property
    def published(self) -> Published:
        """Return the files of the identity."""
        return self.session.published

    @property
    def memo(self) -> dict[str, Any]:
        """Return what one check has read and another may use."""
        return self.published.memo

    def report(self, report_id: str) -> dict[str, Any]:
        """Return a usable run report."""
        report: dict[str, Any] = self.published.document(report_id)
        return report

    def policy(self, section: str) -> dict[str, Any]:
        """Return a section of the usable policy in force."""
        policy: dict[str, Any] = self.published.document(POLICY)["policy"][section]
        return policy

    def sealed(self) -> dict[str, str]:
        """Return the digests that the gate has sealed, by dataset id."""
        return {e["id"]: e["sha256_hex"] for e in self.report(RECEIPT)["sealed_inputs"]}

    def locations_by_country(self) -> dict[str, int]:
        """Return the number of published locations of each country."""
        query = "SELECT legal_country_iso AS code, count(*) AS n FROM site_locations GROUP BY code"
        return {row["code"]: row["n"] for row in self.session.rows(query)}

    def seen(self, name: str, look: Look) -> list[Any]:
        """Return what was seen of all tiles in parts, or else what a look at them shows."""
        seen: list[Any] | None = self.memo.get(name)
        return list(look(self, 0, 1)) if seen is None else seen

    def count(self, query: str) -> int:
        """Return the number that a query counts as n."""
        (row,) = self.session.rows(query)
        return int(row["n"])


Run = Callable[[Case], Iterable[Row] | Found]
#: A look at one part of the tiles: its number, and of how many.
Look = Callable[[Case, int, int], Iterable[Any]]


@dataclass(frozen=True)
class Check(Rule):
    """A check: its rule, what it needs, and the function that gives what offends."""

    needs: tuple[str, ...]
    run: Run
    script: Script | None = None


class Checks(list[Check]):
    """The checks in Python of a state, in the order in which they are run.

    A check is declared by decorating its function, whose docstring is the sentence that it proves.
    """

    def __init__(self, state: str, *checks: Check) -> None:
        super().__init__(checks)
        self.state = state

    def add(
        self, name: str, code: str, *needs: str, scope: str = "R", about: str = ""
    ) -> Callable[[Run], Run]:
        """Return the decorator that adds a function as a check; the sentence is `about` a table."""

        def added(run: Run) -> Run:
            text = " ".join((run.__doc__ or "").split()).removesuffix(".")
            proves = ": ".join(filter(None, (about, text[:1].lower() + text[1:])))
            self.append(Check(self.state, name, code, scope, proves, needs, run))
            return run

        return added


def _always(_case: Case) -> bool:
    return True


def _anew(_case: Case) -> object:
    return object()


def _of_a_trade(case: Case) -> object:
    return case.published.tokens.get("trade")


def _nothing(_case: Case) -> Collection[str]:
    return ()


@dataclass(frozen=True)
class Preparation:
    """A step that makes tables for the checks behind it, where it is wanted.

    Attributes:
        source: gives what the tables are made from beside `needs`; from the same they are not made
            twice. Without it they are always made.
        if_clean: statements that make the tables, which are of what offends, where the checks by
            country have found nothing.
    """

    name: str
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    run: Callable[[Case], None]
    wanted: Callable[[Case], bool] = _always
    script: Script | None = None
    source: Callable[[Case], object] = _anew
    if_clean: str = ""

    def of_clean(self) -> Preparation:
        """Return the step for a state whose checks by country have found nothing."""
        if not self.if_clean:
            return self
        return replace(self, needs=(), run=lambda case: case.session.execute(self.if_clean))


@dataclass(frozen=True)
class StateChecks:
    """All that is checked of one state.

    Attributes:
        id: s0 to s9.
        contract: what the state reads and writes, and the codes of its faults.
        absent: the code for each dataset that is opened, where it is absent.
        preparations, checks: in the order in which they are run.
        unused: datasets that the policy does not use; neither they nor their checks exist.
        settle: gives the names of checks against which nothing offends, by a faster way.
        looks: what is looked at in parts where there are many tiles, by name.
        by_country: names of checks whose verdict on a row depends only on rows of its country: they
            hold for a world where they hold for its countries, some at a time (sites.py).
        also: what checks, by name, need besides where the policy uses it.
    """

    id: str
    contract: StateContract
    absent: Mapping[str, str]
    preparations: Sequence[Preparation]
    checks: Sequence[Check]
    unused: frozenset[str] = frozenset()
    also: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settle: Callable[[Case], Collection[str]] = _nothing
    looks: Mapping[str, Look] = field(default_factory=dict)
    by_country: frozenset[str] = frozenset()

    def needs(self, check: Check) -> tuple[str, ...]:
        """Return what a check needs under the policy in force."""
        return (*check.needs, *(n for n in self.also.get(check.name, ()) if n not in self.unused))

    def without(self, unused: frozenset[str]) -> StateChecks:
        """Return the plan without datasets that the policy in force does not use."""
        absent = {name: code for name, code in self.absent.items() if name not in unused}
        there, kept = {*absent}, []
        for step in self.preparations:
            if there.issuperset(step.needs):
                there.update(step.makes)
                kept.append(step)
        contract = self.contract.without(unused)
        return replace(self, contract=contract, absent=absent, preparations=kept, unused=unused)

    def needed_by(self, checks: Iterable[Check]) -> StateChecks:
        """Return the plan with those preparations alone that make what some checks need."""
        needed, steps = {need for check in checks for need in check.needs}, list[Preparation]()
        for step in reversed(self.preparations):
            if needed & {*step.makes}:
                needed |= {*step.needs}
                steps.insert(0, step)
        return replace(self, preparations=steps)

    @property
    def report(self) -> str:
        """Return the id of the state's run report."""
        return f"{self.id}_run_report"

    @property
    def owns(self) -> tuple[str, ...]:
        """Return the tables that the state publishes with a receipt."""
        return self.contract.tables

    def inputs(self, published: Published) -> set[str]:
        """Return the inputs that are named by digest; the gate has the flag of 1A's bundle."""
        trades = in_use(published)
        surfaces = published.document(POLICY)["surfaces"] if trades else ()
        return {*self.contract.inputs(trades, surfaces)} - {"validation_bundle_1A"}

    def rule(self, name: str, proves: str) -> Rule:
        """Return the rule of a step before the checks."""
        return Rule(self.id, name, self.contract.audit.report, "R", proves)

    def stale(self, dataset_id: str = "") -> str:
        """Return the code for an input whose digest is not that of today."""
        audit = self.contract.audit
        return audit.stale_inputs.get(dataset_id, audit.stale or self.contract.stale)


def state_checks(
    checks: Checks,
    *preparations: Preparation,
    settle: Callable[[Case], Collection[str]] = _nothing,
    looks: Mapping[str, Look] | None = None,
    by_country: Iterable[str] = (),
) -> StateChecks:
    """Return the checks of a state with what the contracts declare of it."""
    contract = load_states()[checks.state]
    audit = contract.audit
    codes = {f"{checks.state}_run_report": audit.report, **contract.missing, **audit.missing}
    absent = {dataset_id: codes.get(dataset_id, _ABSENT) for dataset_id in audit.opens}
    return StateChecks(
        *(checks.state, contract, absent, preparations, checks),
        settle=settle,
        looks=looks or {},
        by_country=frozenset(by_country),
    )


def script_preparation(
    state: str, name: str, wanted: Callable[[Case], bool] = _always, empty: str = ""
) -> Preparation:
    """Return the preparation that a setup file of a state describes.

    `empty` are statements that make its tables where the file is settled.
    """
    script = read_script(FOLDER / state / f"setup_{name}.sql")

    def run(case: Case) -> None:
        case.session.execute(empty if _is_settled(case, script) else script.text)

    return Preparation(
        *(script.stem, script.needs, script.makes, run, wanted, script), source=_of_a_trade
    )


def _is_settled(case: Case, script: Script) -> bool:
    """Return whether tables have the same rows in the same order, by which a script is settled.

    Rows in the same order are compared much faster than a join finds partners for them.
    """
    pairs = script.settled
    return bool(pairs) and all(case.session.same(*pair) for pair in pairs)


def script_check(state: str, script: Script) -> Check:
    """Return the check that a SQL file describes."""

    def run(case: Case) -> Iterable[Row]:
        return () if _is_settled(case, script) else case.session.rows(script.text)

    name = script.stem.partition("_")[2]
    code, scope, proves = (script.header[field] for field in ("code", "scope", "proves"))
    return Check(state, name, code, scope, proves, script.needs, run, script)
