"""Run settings and policies; the parameter hash that binds policies to reference surfaces."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import (
    Field,
    ValidationError,
    field_validator,
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
from segment1b.contracts.policy import INVALID, Policy, RealismPolicy, Section, packaged_bounds
from segment1b.contracts.program import contracts_root
from segment1b.contracts.texts import parse_yaml
from segment1b.contracts.urls import check_name, url_of
from segment1b.errors import Segment1BError
from segment1b.identity import STATE_NAMES, TOKENS, StateName, canonical_json, sha256_hex

_invalid = functools.partial(Segment1BError, INVALID)
_CONTRACT_FILES = ("prep.yaml", "alloc_plan.yaml", "jitter.yaml", "realism.yaml")
_LIST_OVERLAY = "imported_list.yaml"
#: Engines on this machine; any other engine is the address of a Dask scheduler.
LOCAL_ENGINES = ("serial", "threads", "processes", "dask")
_SCHEDULER = re.compile(r"(?:tcp|tls)://(?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")


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
        _overlay(merged, read_yaml(file, INVALID), str(file))
    given = [(read_yaml(file, INVALID), str(file)) for file in files]
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
        refuse_unknown(path, owners, INVALID, "--set")
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
    refuse_unknown(layer, fields, INVALID, place, "unknown section '{}'")
    for section, values in layer.items():
        if not isinstance(values, dict):
            raise _invalid(f"{place}: section '{section}' is not a mapping")
        what = f"unknown key '{section}.{{}}'"
        refuse_unknown(values, fields[section], INVALID, place, what)
        own = merged.setdefault(section, {})
        for key, value in values.items():
            # A part of a mapping, such as one number of the centres, leaves the rest as it was.
            both = isinstance(value, dict) and isinstance(own.get(key), dict)
            own[key] = {**own[key], **value} if both else value


class RunSettings(Section):
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
