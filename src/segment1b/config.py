"""Run settings and policies; the parameter hash that binds policies to reference surfaces."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from segment1b.contracts.locations import (
    POLICIES,
    first_problem,
    nearest,
    read_yaml,
    refuse_unknown,
)
from segment1b.contracts.program import contracts_root
from segment1b.contracts.texts import parse_yaml
from segment1b.contracts.trades import Trades, load_trades
from segment1b.contracts.urls import check_name, url_of
from segment1b.errors import Segment1BError
from segment1b.identity import STATE_NAMES, TOKENS, StateName, canonical_json, sha256_hex

_INVALID = "E_POLICY_INVALID"
_invalid = functools.partial(Segment1BError, _INVALID)
_CONTRACT_FILES = ("prep.yaml", "alloc_plan.yaml", "jitter.yaml", "realism.yaml")
_LIST_OVERLAY = "imported_list.yaml"
#: Engines on this machine; any other engine is the address of a Dask scheduler.
LOCAL_ENGINES = ("serial", "threads", "processes", "dask")
_SCHEDULER = re.compile(r"(?:tcp|tls)://(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")
Share = Field(ge=0, le=1)
#: Realism bounds that a policy document leaves out while they are the contract's: the parameter
#: hash of roots that do not set them is the same as before there were any.
_BOUNDS = (
    *("enforce", "few_sites", "many_sites", "min_collapse_index", "max_tile_error"),
    *("min_distinct_tiles", "min_latitude_span_share", "max_fullest_tile_share"),
    *("min_nearest_outlet_m", "urban_share"),
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _PolicySection(_Section):
    # Strict, so that `true` is not 1; finite, because the parameter hash is taken over JSON.
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class PrepPolicy(_PolicySection):
    """Listing and weighting of tiles, and the excluded countries (S1 to S3)."""

    grid: float | None = Field(gt=0)
    inclusion_rule: Literal["center", "any_overlap"]
    on_empty_country: Literal["any_overlap", "omit", "abort"]
    widen_below: float = Share
    basis: Literal["population", "area_m2", "uniform"]
    dp: int = Field(ge=0, le=15)
    min_units_per_tile: int = Field(ge=0)
    exclude_countries: tuple[str, ...] = Field(strict=False)


class AllocationPolicy(_PolicySection):
    """The allocation method that turns weights into numbers of sites (S4)."""

    law: Literal["largest_remainder", "systematic", "stable", "balanced"]


class CentresPolicy(_PolicySection):
    """The centres at which the outlets of all merchants gather (S2, S6)."""

    people_per_centre: int = Field(12_000, ge=1, le=1_000_000_000)
    radius_m: int = Field(450, ge=1, le=100_000)
    tail_permille: int = Field(50, ge=0, le=1000)


class JitterPolicy(_PolicySection):
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


class RealismPolicy(_PolicySection):
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


class Policy(_Section):
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
            raise _invalid(what, "set prep.basis=population, or remove trade and mcc from the list")
        return self.model_copy(update={"trades": load_trades()})

    @property
    def people_per_centre(self) -> int | None:
        """Return the people of a centre, by which S2 counts a tile's centres; None without any."""
        centres = self.jitter.centres
        return None if centres is None else centres.people_per_centre


@functools.cache
def packaged_bounds() -> dict[str, Any]:
    """Return the contract's values of the realism bounds that a document may leave out."""
    section = read_yaml(contracts_root() / POLICIES / "realism.yaml", _INVALID)["realism"]
    return {name: section[name] for name in _BOUNDS}


def realism_policy(document: Mapping[str, Any]) -> RealismPolicy:
    """Return the realism section of a policy document, whose bounds are those of the contract."""
    section = document.get("realism")
    if section is None:
        return load_policy().realism
    return RealismPolicy.model_validate_json(canonical_json(section))


def load_policy(
    files: Iterable[Path] = (),
    settings: Iterable[str] = (),
    *,
    imported: bool = False,
    base: Policy | None = None,
) -> Policy:
    """Return the policy in force.

    Args:
        files: YAML files with sections (prep, allocation, jitter, realism), later ones win.
        settings: `KEY=VALUE`, where KEY is `section.key` or a key that one section alone has.
        imported: apply the settings of imported lists to the contract first; their centres need
            people, so that on another basis they are on only where files or settings name them.
        base: the policy under files and settings, instead of the contract.

    Raises:
        Segment1BError: E_POLICY_INVALID, naming the file or setting and the nearest known key.
    """
    merged = policy_file(base.document()) if base else {}
    names = () if base else (*_CONTRACT_FILES, *([_LIST_OVERLAY] if imported else []))
    for name in names:
        file = contracts_root() / POLICIES / name
        _overlay(merged, read_yaml(file, _INVALID), str(file))
    given = [(read_yaml(file, _INVALID), str(file)) for file in files]
    given += [(_setting(setting), f"--set {setting}") for setting in settings]
    for document, where in given:
        _overlay(merged, document, where)
    is_named = any("centres" in document.get("jitter", ()) for document, _ in given)
    if merged["prep"]["basis"] != "population" and not is_named:
        merged["jitter"]["centres"] = None
    try:
        policy = Policy.model_validate(merged)
    except ValidationError as error:
        key, problem = first_problem(error)
        value = error.errors()[0]["input"]
        raise _invalid(f"{key} = {value!r}: {problem}", key=key) from None
    if policy.jitter.centres and policy.prep.basis != "population":
        what = f"jitter.centres counts people, and prep.basis is {policy.prep.basis}"
        hint = "set jitter.centres to null, or prep.basis to population"
        raise _invalid(what, hint, key="jitter.centres")
    return policy


def policy_file(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a policy file that gives exactly the policy of a document.

    Centres that the document leaves out are null, whatever the default of an imported list.
    Trades are not in it: a list that has some brings them.
    """
    sections = {name: values for name, values in document.items() if name != "trades"}
    sections["jitter"] = {"centres": None, **document["jitter"]}
    return {**sections, "realism": {**packaged_bounds(), **document["realism"]}}


def as_settings(policy: Policy) -> tuple[str, ...]:
    """Return the settings KEY=VALUE that make a policy, whatever the contract is."""
    return tuple(
        f"{section}.{key}={json.dumps(value)}"
        for section, values in policy_file(policy.document()).items()
        for key, value in values.items()
    )


def usable_cores() -> int:
    """Return the number of cores that this process may use; on macOS, of all cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parameter_document(policy: Policy, surfaces: Mapping[str, str]) -> dict[str, Any]:
    """Return the input of the parameter hash: the policy and the SHA-256 of the surfaces."""
    return {"policy": policy.document(), "surfaces": dict(surfaces)}


def parameter_hash(policy: Policy, surfaces: Mapping[str, str]) -> str:
    """Return the SHA-256 over the canonical JSON of `parameter_document`."""
    return sha256_hex(canonical_json(parameter_document(policy, surfaces)))


def _setting(setting: str) -> dict[str, Any]:
    key, equals, text = setting.partition("=")
    if not equals:
        raise _invalid(f"--set {setting}: no '='", "write KEY=VALUE")
    path = key.strip().split(".")
    if len(path) == 1:
        owners = {name: section for section, names in _fields().items() for name in names}
        refuse_unknown(path, owners, _INVALID, "--set")
        path = [owners[path[0]], path[0]]
    try:
        value: Any = parse_yaml(text)
    except ValueError as error:
        what = f"{key.strip()} = {text!r}: the value is not YAML: {error}"
        raise _invalid(what, key=key.strip()) from None
    for step in reversed(path):
        value = {step: value}
    return dict(value)


def _fields() -> dict[str, set[str]]:
    return {
        name: set(field.annotation.model_fields)  # type: ignore[union-attr]
        for name, field in Policy.model_fields.items()
        if name != "trades"
    }


def _overlay(merged: dict[str, Any], layer: Mapping[str, Any], place: str) -> None:
    fields = _fields()
    refuse_unknown(layer, fields, _INVALID, place, "unknown section '{}'")
    for section, values in layer.items():
        if not isinstance(values, dict):
            raise _invalid(f"{place}: section '{section}' is not a mapping")
        what = f"unknown key '{section}.{{}}'"
        refuse_unknown(values, fields[section], _INVALID, place, what)
        own = merged.setdefault(section, {})
        for key, value in values.items():
            # A part of a mapping, such as one number of the centres, leaves the rest as it was.
            both = isinstance(value, dict) and isinstance(own.get(key), dict)
            own[key] = {**own[key], **value} if both else value


class RunSettings(_Section):
    """The settings of one run, from the command line, YAML files or Python."""

    data_root: Path = Path("segment1b-data")
    outlets: Path | None = None
    since: Path | None = None
    list_name: str | None = None
    columns: str = "all"
    normalise: bool = False
    map_columns: tuple[str, ...] = ()
    world: Path | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**64)
    parameter_hash: str | None = None
    manifest_fingerprint: str | None = None
    validation_bundle: Path | None = None
    dictionary: Path | None = None
    policy_files: tuple[Path, ...] = ()
    settings: tuple[str, ...] = ()
    skip_s0: bool = False
    workers: int | None = Field(default=None, ge=1)
    s1_workers: int | None = Field(default=None, ge=1)
    s4_workers: int | None = Field(default=None, ge=1)
    engine: str = "threads"
    from_state: StateName = "s0"
    to_state: StateName = "s9"
    merchant_summaries: bool = False
    verify: bool = False
    wait_seconds: float = Field(default=0.0, ge=0)

    @field_validator("data_root", "since")
    @classmethod
    def _without_credentials(cls, place: Path | None) -> Path | None:
        # Before summaries, logs and records repeat it. Not a ValueError: the message of pydantic
        # would repeat it too.
        if place is not None:
            url_of(place)
        return place

    @field_validator("list_name")
    @classmethod
    def _well_formed(cls, name: str | None) -> str | None:
        if name is not None:
            check_name(name)
        return name

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, engine: str) -> str:
        found = _SCHEDULER.fullmatch(engine)
        if engine in LOCAL_ENGINES or (found and 0 < int(found[1]) < 65536):
            return engine
        kinds = (*LOCAL_ENGINES, "tcp://HOST:PORT", "tls://HOST:PORT")
        raise PydanticCustomError(
            "engine",
            "there is no engine '{engine}'; {hint}",
            {"engine": engine, "hint": nearest(engine, kinds)},
        )

    @model_validator(mode="after")
    def _complete(self) -> RunSettings:
        for name in ("since", "list_name"):
            if getattr(self, name) is not None and self.outlets is None:
                what = f"{name} is given, but no outlet list"
                raise Segment1BError("E_USAGE", what, "give the list too: --outlets FILE")
        if not self.states:
            what = f"no state lies from {self.from_state} to {self.to_state}"
            hint = "let the first state come before the last; without S0 (skip_s0), start at s1"
            raise Segment1BError("E_USAGE", what, hint)
        return self

    @property
    def tokens(self) -> dict[str, Any]:
        """Return the tokens by name; None for those that the data root decides."""
        return {name: getattr(self, name) for name in TOKENS}

    @property
    def states(self) -> tuple[str, ...]:
        """Return the states of the run, in order."""
        first, last = STATE_NAMES.index(self.from_state), STATE_NAMES.index(self.to_state)
        names = STATE_NAMES[first : last + 1]
        return tuple(name for name in names if not (name == "s0" and self.skip_s0))

    def workers_for(self, state: str, there: int | None = None) -> int:
        """Return the number of workers of a state; by default 1 for S4, else all.

        Args:
            state: s0 to s9.
            there: workers of a running cluster; by default the cores of this machine.
        """
        configured = {"s1": self.s1_workers, "s4": self.s4_workers}.get(state)
        default = 1 if state == "s4" else there or usable_cores()
        return configured or self.workers or default


def run_settings(values: Mapping[str, Any], place: str = "") -> RunSettings:
    """Return the settings of a run from their names and values.

    Args:
        values: fields of RunSettings by name.
        place: the file they come from; empty for the command line.

    Raises:
        Segment1BError: E_USAGE, naming the place, the field and the nearest known one.
    """
    at = f"{place}: " if place else "--"
    refuse_unknown(values, RunSettings.model_fields, "E_USAGE", place or "settings")
    try:
        return RunSettings(**values)
    except ValidationError as error:
        name, problem = first_problem(error)
        shown = name if place else name.replace("_", "-")
        raise Segment1BError("E_USAGE", f"{at}{shown}: {problem}", "see --help") from None
