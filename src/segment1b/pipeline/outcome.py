"""What a run did: its identity, its policy, and what became of each state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from segment1b.outlets.positions import Succession

Kind = TypeVar("Kind", bound="Outcome")


@dataclass(frozen=True)
class Outcome:
    """What became of one state.

    Attributes:
        state: s0 to s9.
        reused: it was published already, from the inputs of today.
        report_path: its run report.
        report: the run report itself.
        paths: where each dataset lies that the state writes, by dataset id.
    """

    state: str
    reused: bool
    report_path: Path
    report: dict[str, Any]
    paths: Mapping[str, Path]

    @property
    def datasets(self) -> tuple[Path, ...]:
        """Return where the state's datasets lie, in the order in which it declares them."""
        return tuple(self.paths.values())

    @property
    def what(self) -> str:
        """Return reused, unchanged (the gate said the same again), adopted or published."""
        if self.reused:
            return "reused"
        if "adopted_from" in self.report:
            return "adopted"
        return "unchanged" if self.report.get("no_op") else "published"

    @property
    def rows(self) -> int:
        """Return the rows of the state's datasets, or what S0 has seen."""
        return int(self.report.get("rows_emitted", self.report.get("outlet_rows", 0)))

    @property
    def receipts(self) -> dict[str, dict[str, Any]]:
        """Return the receipts that the report carries, by the report's field."""
        return {
            name: value
            for name, value in self.report.items()
            if isinstance(value, dict) and "content_sha256_hex" in value
        }

    @property
    def counters(self) -> dict[str, int]:
        """Return the whole numbers of the report: rows, totals, faults that were counted."""
        return {name: value for name, value in self.report.items() if type(value) is int}


@dataclass(frozen=True)
class PlanOutcome(Outcome):
    """What became of S4: the plan, and whether every pair received its sites."""

    @property
    def alloc_plan_path(self) -> Path:
        """Return the folder of s4_alloc_plan."""
        return self.paths["s4_alloc_plan"]

    @property
    def determinism_receipt(self) -> dict[str, Any]:
        """Return the plan's receipt: files, sizes, SHA-256 and content digest."""
        receipt: dict[str, Any] = self.report["determinism_receipt"]
        return receipt

    @property
    def shortfall_total(self) -> int:
        """Return the units that were given after the floors."""
        return int(self.report["shortfall_total"])

    @property
    def ties_broken_total(self) -> int:
        """Return the units that the tie rule decided."""
        return int(self.report["ties_broken_total"])

    @property
    def alloc_sum_equals_requirements(self) -> bool:
        """Return whether the plan's sites are those of s3_requirements, pair by pair."""
        return bool(self.report["alloc_sum_equals_requirements"])


class _OutcomeOf(Generic[Kind]):
    """The outcome of the state that the attribute is named after."""

    def __set_name__(self, _owner: type, name: str) -> None:
        self._state = name

    def __get__(self, result: Any, _owner: type) -> Kind:
        outcome: Kind = result.state(self._state)
        return outcome


@dataclass(frozen=True)
class RunResult:
    """What a run did.

    Attributes:
        root: the data root.
        identity: seed, manifest_fingerprint and parameter_hash.
        policy: the policies in force.
        outcomes: the states of the run, in order.
        since: how the outlets follow those of an earlier list; None without one.
        s0, ..., s9: the outcome of one state (see `state`).
    """

    root: Path
    identity: dict[str, int | str]
    policy: dict[str, Any]
    outcomes: tuple[Outcome, ...]
    since: Succession | None = None

    def state(self, name: str) -> Outcome:
        """Return what became of a state.

        Raises:
            KeyError: the run had no such state.
        """
        for outcome in self.outcomes:
            if outcome.state == name:
                return outcome
        raise KeyError(f"the run had no state {name!r}: {[o.state for o in self.outcomes]}")

    s0 = _OutcomeOf[Outcome]()
    s1 = _OutcomeOf[Outcome]()
    s2 = _OutcomeOf[Outcome]()
    s3 = _OutcomeOf[Outcome]()
    s4 = _OutcomeOf[PlanOutcome]()
    s5 = _OutcomeOf[Outcome]()
    s6 = _OutcomeOf[Outcome]()
    s7 = _OutcomeOf[Outcome]()
    s8 = _OutcomeOf[Outcome]()
    s9 = _OutcomeOf[Outcome]()
