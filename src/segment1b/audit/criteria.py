"""Acceptance criteria of S9: which checks of which states each is made of, and their codes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from segment1b.contracts.locations import CRITERIA, read_yaml
from segment1b.contracts.program import contracts_root

STATES = ("s5", "s6", "s7", "s8")
#: The check of S0 that S9 runs too where merchants have trades.
OF_TRADES = {"s0": ("merchant_trades",)}
_UPSTREAM = "E918_UPSTREAM_NOT_PROVEN"


@dataclass(frozen=True)
class Criterion:
    """One acceptance check.

    Attributes:
        code: the error code of its failures, unless the failed check has one of its own.
        checks: by state, names of the checks that it is made of.
        with_centres: the same, of checks that exist only where the policy has centres.
        codes: by name, error codes of checks whose failure means something else than `code`.
        whole: states of which every check counts.
        detail: what a passed criterion says.
    """

    code: str
    checks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    with_centres: Mapping[str, Sequence[str]] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)
    whole: tuple[str, ...] = ()
    detail: str = ""

    @property
    def joined(self) -> Criterion:
        """Return the criterion with the checks of centres among the others."""
        states = dict.fromkeys((*self.checks, *self.with_centres))
        checks = {s: (*self.checks.get(s, ()), *self.with_centres.get(s, ())) for s in states}
        return replace(self, checks=checks, with_centres={})

    @property
    def names(self) -> list[tuple[str, str]]:
        """Return (state, name) of each check, in order."""
        return [(state, name) for state, names in self.checks.items() for name in names]

    @property
    def passed(self) -> str:
        """Return the detail of the criterion when nothing failed."""
        return self.detail or f"{len(self.names)} checks passed"


REALISM = Criterion("E917_REALISM_BOUND", detail="every figure is within the policy's bounds")


@functools.cache
def _declared() -> dict[str, Criterion]:
    entries = read_yaml(contracts_root() / CRITERIA, "E_DICTIONARY_RESOLUTION_FAILED")
    return {name: Criterion(**entry) for name, entry in entries.items()}


def whole_states(law: str) -> tuple[str, ...]:
    """Return the states before S5 whose every check S9 runs.

    Under the law `stable` S5's checks derive each count of S4 again, from the points of its sites.
    """
    return ("s3",) if law == "stable" else ("s3", "s4")


def criteria(law: str, *, centres: bool, trades: bool) -> dict[str, Criterion]:
    """Return the criteria that are made of checks, by id; with those of centres and of trades."""
    whole = whole_states(law)
    listed = " and ".join(state.upper() for state in whole)
    tiles = "every check of S1 and S2 passed on these files"
    return {
        **{name: one.joined if centres else one for name, one in _declared().items()},
        "A917": Criterion(
            _UPSTREAM,
            checks=OF_TRADES if trades else {},
            whole=whole,
            detail=f"every check of {listed} passed" + (", and that of trades" if trades else ""),
        ),
        "A918": Criterion(_UPSTREAM, whole=("s1", "s2"), detail=tiles),
    }


def proves(law: str) -> dict[str, str]:
    """Return what S9 proves of each state, by state."""
    once = "every check of the validator, once for the tile files named here"
    every = "every check of the validator"
    gathered = "the checks gathered under A901 to A915"
    points = "the sites of each tile, derived again from the points of S5; not its run report"
    return {
        **dict.fromkeys(("s1", "s2"), once),
        "s3": every,
        "s4": points if law == "stable" else every,
        **dict.fromkeys(STATES, gathered),
    }


def wanted(state: str) -> set[str]:
    """Return the names of a state's checks that the criteria are made of."""
    declared = {n for one in _declared().values() for n in one.joined.checks.get(state, ())}
    return declared.union(OF_TRADES.get(state, ()))
