"""What each state reads and writes, and its error codes for inputs, read from the contracts."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from segment1b.contracts.locations import STATES, read_yaml
from segment1b.contracts.program import contracts_root
from segment1b.errors import Segment1BError

TRADE_WEIGHTS = "trade_weights"
URBAN, ROADS = "urban_cells_2019", "road_metres_2026"
#: Reference surfaces that only runs with trades need.
OPTIONAL_SURFACES = (URBAN, ROADS)
_FAILED = "E_DICTIONARY_RESOLUTION_FAILED"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Countries(_Entry):
    """A check that every country of a table is in another table."""

    code: str
    table: str
    known: str
    select: str
    column: str = "legal_country_iso"
    scope: str = "C"


class Audit(_Entry):
    """What the validator of a state opens, and its error codes; states.1B.yaml explains each."""

    opens: tuple[str, ...]
    report: str
    hygiene: str
    identity: str
    ranking: str = "E312_ORDER_AUTHORITY_VIOLATION"
    tables: tuple[str, ...] | None = None
    stale: str = ""
    stale_inputs: dict[str, str] = {}
    missing: dict[str, str] = {}
    faults: dict[str, str] = {}
    countries: dict[str, Countries] = {}


class StateContract(_Entry):
    """What a state reads and writes, and its error codes for inputs."""

    reads: tuple[str, ...]
    with_trades: tuple[str, ...] = ()
    writes: tuple[str, ...]
    disallowed: str
    stale: str
    missing: dict[str, str] = {}
    audit: Audit

    def inputs(self, trades: Sequence[str], surfaces: Collection[str]) -> tuple[str, ...]:
        """Return the ids that the state may open where merchants have these trades.

        `trade_weights/<trade>` is the partition of one trade; of reference surfaces beside `reads`
        those in `surfaces` count.
        """
        more: list[str] = []
        for name in self.with_trades if trades else ():
            if name == TRADE_WEIGHTS:
                more += [f"{name}/{trade}" for trade in trades]
            elif name in surfaces or name not in OPTIONAL_SURFACES:
                more.append(name)
        return (*self.reads, *more)

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the ids of the tables that the state publishes with a receipt."""
        return self.writes if self.audit.tables is None else self.audit.tables

    def without(self, unused: Collection[str]) -> StateContract:
        """Return the contract without datasets that a policy does not use."""

        def used(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name in names if name not in unused)

        audit = {"opens": used(self.audit.opens), "tables": used(self.tables)}
        return self.model_copy(
            update={
                "reads": used(self.reads),
                "writes": used(self.writes),
                "audit": self.audit.model_copy(update=audit),
            }
        )

    @property
    def datasets(self) -> set[str]:
        """Return the ids of all datasets that the entry names."""
        audit = self.audit
        names = {*self.reads, *self.with_trades, *self.writes, *self.missing}
        names |= {*audit.opens, *self.tables}
        names |= {*audit.stale_inputs, *audit.missing, *audit.faults}
        return names.union(*((one.table, one.known) for one in audit.countries.values()))

    @property
    def codes(self) -> set[str]:
        """Return all error codes that the entry names."""
        audit = self.audit
        codes = {self.disallowed, self.stale, audit.report, audit.hygiene, audit.identity}
        codes |= {audit.ranking, audit.stale or self.stale, *self.missing.values()}
        codes |= {check.code for check in audit.countries.values()}
        return codes.union(
            audit.stale_inputs.values(), audit.missing.values(), audit.faults.values()
        )


@functools.cache
def load_states() -> Mapping[str, StateContract]:
    """Return the packaged entry of each state, s0 to s9.

    Raises:
        Segment1BError: E_DICTIONARY_RESOLUTION_FAILED.
    """
    path = contracts_root() / STATES
    raw: dict[str, Any] = read_yaml(path, _FAILED)
    try:
        return {state: StateContract(**entry) for state, entry in raw.items()}
    except (TypeError, ValidationError) as error:
        raise Segment1BError(_FAILED, f"{path}: {error}", "correct the entry") from None
