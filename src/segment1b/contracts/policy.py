"""Policies: how tiles are prepared, sites allocated and placed, and what realism is bounded by."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from segment1b.contracts.locations import POLICIES, read_yaml
from segment1b.contracts.program import contracts_root
from segment1b.contracts.trades import Trades, load_trades
from segment1b.errors import Segment1BError

INVALID = "E_POLICY_INVALID"
Share = Field(ge=0, le=1)
#: Realism bounds that a policy document leaves out while they are the contract's: the parameter
#: hash of roots that do not set them is the same as before there were any.
_BOUNDS = (
    *("enforce", "few_sites", "many_sites", "min_collapse_index", "max_tile_error"),
    *("min_distinct_tiles", "min_latitude_span_share", "max_fullest_tile_share"),
    *("min_nearest_outlet_m", "urban_share"),
)


class Section(BaseModel):
    """A part of a policy or of settings: known keys alone, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PolicySection(Section):
    """A section of a policy file."""

    # Strict, so that `true` is not 1; finite, because the parameter hash is taken over JSON.
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class PrepPolicy(PolicySection):
    """Listing and weighting of tiles, and the excluded countries (S1 to S3)."""

    grid: float | None = Field(gt=0)
    inclusion_rule: Literal["center", "any_overlap"]
    on_empty_country: Literal["any_overlap", "omit", "abort"]
    widen_below: float = Share
    basis: Literal["population", "area_m2", "uniform"]
    dp: int = Field(ge=0, le=15)
    min_units_per_tile: int = Field(ge=0)
    exclude_countries: tuple[str, ...] = Field(strict=False)


class AllocationPolicy(PolicySection):
    """The allocation method that turns weights into numbers of sites (S4)."""

    law: Literal["largest_remainder", "systematic", "stable", "balanced"]


class CentresPolicy(PolicySection):
    """The centres at which the outlets of all merchants gather (S2, S6)."""

    people_per_centre: int = Field(12_000, ge=1, le=1_000_000_000)
    radius_m: int = Field(450, ge=1, le=100_000)
    tail_permille: int = Field(50, ge=0, le=1000)


class JitterPolicy(PolicySection):
    """The number of attempts to place a point in a tile, and the centres (S6)."""

    max_attempts_tile: int = Field(ge=1, le=65535)
    max_attempts_clip: int = Field(ge=0, le=65535)
    centres: CentresPolicy | None = None

    @model_serializer(mode="wrap")
    def _without_unused(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A policy without centres has the document, and so the parameter hash, it has always had.
        document: dict[str, Any] = serialise(self)
        if self.centres is None:
            del document["centres"]
        return document

    @model_validator(mode="after")
    def _counted_in_sixteen_bits(self) -> JitterPolicy:
        if self.max_attempts_tile + self.max_attempts_clip > 65535:
            raise ValueError("max_attempts_tile + max_attempts_clip must not exceed 65535")
        return self


class RealismPolicy(PolicySection):
    """Bounds on realism figures (S9); null means that a figure is reported only."""

    max_country_gini: float | None = Share
    max_top_one_percent_share: float | None = Share
    min_countries_with_sites_share: float | None = Share
    min_southern_share: float | None = Share
    max_southern_share: float | None = Share
    max_tile_load_error: float | None = Field(ge=0)
    collapse_flag_below: float = Share
    neighbour_sample: int = Field(ge=1)
    enforce: bool
    few_sites: int = Field(ge=1)
    many_sites: int = Field(ge=1)
    min_collapse_index: float | None = Field(ge=0)
    max_tile_error: float | None = Field(ge=0)
    min_distinct_tiles: int | None = Field(ge=1)
    min_latitude_span_share: float | None = Share
    max_fullest_tile_share: float | None = Share
    min_nearest_outlet_m: float | None = Field(ge=0)
    urban_share: dict[str, Annotated[tuple[float, float], Field(strict=False)]]

    @model_validator(mode="before")
    @classmethod
    def _with_bounds(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {**packaged_bounds(), **values}

    @field_validator("urban_share")
    @classmethod
    def _of_trades(cls, bounds: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for trade, (low, high) in bounds.items():
            if trade not in load_trades().percents:
                raise ValueError(f"no trade is called {trade}")
            if not 0 <= low <= high <= 1:
                raise ValueError(f"{trade}: give two shares from 0 to 1, the lower first")
        return bounds


class Policy(Section):
    """All policies in force; part of the parameter hash."""

    prep: PrepPolicy
    allocation: AllocationPolicy
    jitter: JitterPolicy
    realism: RealismPolicy
    trades: Trades | None = None  # where merchants have trades

    def document(self) -> dict[str, Any]:
        """Return the policies as JSON holds them, without the trades where none is in use.

        Bounds on realism that are those of the contract are left out too.
        """
        held = self.model_dump(mode="json", exclude=set() if self.trades else {"trades"})
        for name, value in packaged_bounds().items():
            if held["realism"][name] == value:
                del held["realism"][name]
        return held

    def with_trades(self) -> Policy:
        """Return these policies with the packaged trades; E_POLICY_INVALID unless by population."""
        if self.prep.basis != "population":
            what = f"prep.basis = {self.prep.basis!r}: merchants with trades need 'population'"
            raise Segment1BError(
                INVALID, what, "set prep.basis=population, or remove trade and mcc from the list"
            )
        return self.model_copy(update={"trades": load_trades()})

    @property
    def people_per_centre(self) -> int | None:
        """Return the people of a centre, by which S2 counts a tile's centres; None without any."""
        centres = self.jitter.centres
        return None if centres is None else centres.people_per_centre


@functools.cache
def packaged_bounds() -> dict[str, Any]:
    """Return the contract's values of the realism bounds that a document may leave out."""
    section = read_yaml(contracts_root() / POLICIES / "realism.yaml", INVALID)["realism"]
    return {name: section[name] for name in _BOUNDS}
