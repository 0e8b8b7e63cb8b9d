"""A state under examination, and what its checks are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segment1b.audit.grid import Grid
from segment1b.audit.published import Published
from segment1b.audit.queries import FOLDER, Script, read_script
from segment1b.audit.results import CheckResult, Rule
from segment1b.audit.session import Session

RASTER = "population_raster_2025"
POLICY = "parameter_policy_1B"
ISO = "iso3166_canonical_2024"
RECEIPT = "s0_gate_receipt_1B"


@dataclass
class Case:
    """One state of one identity under examination.

    Attributes:
        published: the identity.
        session: its database.
        usable: datasets, reports and made tables that checks can look into.
        grid: the population raster's grid, once that is usable.
    """

    published: Published
    session: Session
    usable: set[str] = field(default_factory=set)
    grid: Grid | None = None

    @property
    def memo(self) -> dict[str, Any]:
        """Return what one check has read and another may use."""
        return self.published.memo

    def report(self, report_id: str) -> dict[str, Any]:
        """Return a usable run report."""
        found: dict[str, Any] = self.published.document(report_id)
        return found

    def policy(self, section: str) -> dict[str, Any]:
        """Return a section of the usable policy in force."""
        found: dict[str, Any] = self.published.document(POLICY)["policy"][section]
        return found


def _always(_case: Case) -> bool:
    return True


@dataclass(frozen=True)
class Check:
    """A check in Python: its rule, what it needs, and the function that gives the verdict."""

    rule: Rule
    needs: tuple[str, ...]
    run: Callable[[Case, Rule], CheckResult]


@dataclass(frozen=True)
class Preparation:
    """A step that makes tables for the checks behind it, where it is wanted."""

    name: str
    needs: tuple[str, ...]
    makes: tuple[str, ...]
    run: Callable[[Case], None]
    wanted: Callable[[Case], bool] = _always
    script: Script | None = None


@dataclass(frozen=True)
class StateChecks:
    """All that is checked of one state.

    Attributes:
        id: s0 to s9.
        report: its run report.
        report_code: for a run report that is damaged or of another shape.
        hygiene_code: for stray files and another cut into files.
        identity_code: for tokens in a path, report or receipt that are not those of the run.
        owns: the tables it has published.
        absent: for each dataset that is looked into, the code when it is not there.
        reads: the inputs that its design allows.
        disallowed_code: for a report that names any other input.
        ranking_code: for a column that ranks countries.
        stale: the code for an input whose digest is not that of today; under "" that of the rest.
        faults: for datasets whose damage has a code of this state's own, that code.
        preparations, checks: in the order in which they are run.
    """

    id: str
    report: str
    report_code: str
    hygiene_code: str
    identity_code: str
    owns: tuple[str, ...]
    absent: Mapping[str, str]
    reads: tuple[str, ...]
    disallowed_code: str
    stale: Mapping[str, str]
    faults: Mapping[str, str] = field(default_factory=dict)
    ranking_code: str = "E312_ORDER_AUTHORITY_VIOLATION"
    preparations: Sequence[Preparation] = ()
    checks: Sequence[Check] = ()


def script_preparation(
    state: str, name: str, wanted: Callable[[Case], bool] = _always
) -> Preparation:
    """Return the preparation that a setup file of a state describes."""
    script = read_script(FOLDER / state / name)
    return Preparation(
        name.removesuffix(".sql"),
        script.needs,
        script.makes,
        lambda case: case.session.execute(script.text),
        wanted,
        script,
    )
