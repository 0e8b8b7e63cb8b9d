"""Trades: which kinds of outlet there are, their MCCs, and how each weights a country's tiles.

The law is docs/spec/trades.md#trades-file; the values are contracts/policies/l1/seg_1B/trades.yaml.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from segment1b.contracts.locations import POLICIES, first_problem, read_yaml
from segment1b.contracts.program import contracts_root
from segment1b.contracts.states import TRADE_WEIGHTS
from segment1b.errors import Segment1BError

#: The trade of a merchant of which nothing is known: its outlets follow people alone.
EVERYTHING = "everything"
#: The layers that a trade mixes, in the order of its weights.
LAYERS = ("population", "area", "urban", "urban_people", "roads")
_LARGEST_CODE = 9999


def weights_of(trade: str) -> str:
    """Return the id of the dataset with the weights of a trade."""
    return "tile_weights" if trade == EVERYTHING else f"{TRADE_WEIGHTS}/{trade}"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trade(_Entry):
    """One trade.

    Attributes:
        id: what lists and paths call it.
        title: what it is, for people.
        mcc: merchant category codes of ISO 18245, numbers and ranges like `3501-3999`.
        network: codes that card networks use and the standard does not list.
        weights: percents of `LAYERS`; they sum to 100.
        basis: what the weights were fitted on, or that they are judged.
        evidence: figures about the fit.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    title: str
    mcc: tuple[int | str, ...] = ()
    network: tuple[int | str, ...] = ()
    weights: tuple[int, int, int, int, int]
    basis: str
    evidence: dict[str, Any] = {}

    @field_validator("weights")
    @classmethod
    def _whole(cls, weights: tuple[int, ...]) -> tuple[int, ...]:
        if sum(weights) != 100 or min(weights) < 0:
            raise ValueError("five percents of at least 0 must sum to 100")
        return weights

    @property
    def codes(self) -> tuple[int, ...]:
        """Return all merchant category codes, ascending."""
        return tuple(sorted({code for text in (*self.mcc, *self.network) for code in _range(text)}))


class Trades(_Entry):
    """All trades, and `boost`: how much more a person in an urban tile may count."""

    boost: int = Field(ge=1, le=1000)
    trades: tuple[Trade, ...]

    @model_validator(mode="after")
    def _unambiguous(self) -> Trades:
        ids = [trade.id for trade in self.trades]
        codes = [code for trade in self.trades for code in trade.codes]
        if len(set(ids)) < len(ids) or len(set(codes)) < len(codes):
            raise ValueError("an id or a code is listed twice")
        first = self.trades[0] if self.trades else None
        if first is None or (first.id, first.weights) != (EVERYTHING, (100, 0, 0, 0, 0)):
            raise ValueError(f"the first must be {EVERYTHING}, with the weights 100, 0, 0, 0, 0")
        return self

    @functools.cached_property
    def percents(self) -> dict[str, tuple[int, ...]]:
        """Return the weights by id, in the order of the file."""
        return {trade.id: trade.weights for trade in self.trades}

    @functools.cached_property
    def by_code(self) -> dict[int, str]:
        """Return the trade of each merchant category code that one lists."""
        return {code: trade.id for trade in self.trades for code in trade.codes}


@functools.cache
def load_trades() -> Trades:
    """Return the packaged trades; E_POLICY_INVALID, naming the key, when they are not valid."""
    path = contracts_root() / POLICIES / "trades.yaml"
    try:
        return Trades.model_validate(read_yaml(path, "E_POLICY_INVALID"))
    except ValidationError as error:
        what = f"{path}: {': '.join(first_problem(error))}"
        raise Segment1BError("E_POLICY_INVALID", what) from None


def _range(text: int | str) -> Iterable[int]:
    first, dash, last = str(text).partition("-")
    if not (first.isdecimal() and (last.isdecimal() or not dash)):
        raise ValueError(f"{text!r} is not a code or a range of codes")
    codes = range(int(first), int(last or first) + 1)
    if not codes or codes[-1] > _LARGEST_CODE:
        raise ValueError(f"{text!r} is not a range of codes up to {_LARGEST_CODE}")
    return codes
