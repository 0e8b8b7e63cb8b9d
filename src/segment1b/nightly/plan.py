"""Models of the YAML file of a night, read and checked as a whole."""

from __future__ import annotations

import functools
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from segment1b import contracts
from segment1b.config import RunSettings, load_policy
from segment1b.contracts.locations import first_problem, nearest, read_yaml, refuse_unknown
from segment1b.contracts.texts import parse_yaml
from segment1b.contracts.urls import check_name
from segment1b.errors import Segment1BError
from segment1b.identity import STATE_NAMES, Identity, StateName

DEFAULT_LOCK = Path("segment1b-data/nightly.lock")
Model = TypeVar("Model", bound=BaseModel)
_usage = functools.partial(Segment1BError, "E_USAGE")
_REFERENCE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(:-([^{}]*))?\}|(\{))")


class RunPlan(RunSettings):
    """One run of a night: the options of `segment1b run`, and what happens to the result.

    Attributes:
        name: in summary, logs and lineage; unique in its night.
        notes: free text for the summary.
        basis, dp: short for the settings `prep.basis` and `prep.dp`.
        checks: states whose validators follow the run (`validate` in the file).
        s0_run_report to s9_run_report: the path of a copy of that state's published report.
    """

    model_config = ConfigDict(strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    notes: str = ""
    data_root: Path
    policy_files: tuple[Path, ...] = Field(default=(), alias="policy")
    basis: str | None = None
    dp: int | None = None
    checks: tuple[StateName, ...] = Field(default=(), alias="validate")
    s0_run_report: Path | None = None
    s1_run_report: Path | None = None
    s2_run_report: Path | None = None
    s3_run_report: Path | None = None
    s4_run_report: Path | None = None
    s5_run_report: Path | None = None
    s6_run_report: Path | None = None
    s7_run_report: Path | None = None
    s8_run_report: Path | None = None
    s9_run_report: Path | None = None

    @property
    def overrides(self) -> tuple[str, ...]:
        """Return the policy settings in force, `basis` and `dp` last; all are hashed."""
        short = (("prep.basis", self.basis), ("prep.dp", self.dp))
        given = tuple(f"{key}={value}" for key, value in short if value is not None)
        return self.settings + given

    def run_settings(self) -> RunSettings:
        """Return the settings of the run itself."""
        fields = {name: getattr(self, name) for name in RunSettings.model_fields}
        return RunSettings(**{**fields, "settings": self.overrides})

    def report_copy(self, state: str) -> Path | None:
        """Return the path of the configured copy of a state's run report."""
        path: Path | None = getattr(self, f"{state}_run_report")
        return path


class LineagePlan(BaseModel):
    """The destination of OpenLineage events.

    Attributes:
        to: a regular file for one JSON object a line, or an http(s) URL; the path is
            /api/v1/lineage if it has none.
        api_key: sent as a bearer token, printable ASCII; write it as `${NAME}`.
        timeout_seconds: of one attempt.
        tries: attempts for one event.
        namespace: of the jobs.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    to: str = Field(min_length=1)
    api_key: str | None = Field(default=None, repr=False, pattern=r"^[!-~]+$")
    timeout_seconds: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    tries: int = Field(default=3, ge=1)
    namespace: str = Field(default="segment1b", min_length=1)

    @property
    def is_url(self) -> bool:
        """Return whether the destination is an endpoint, not a file."""
        return urlsplit(self.to).scheme in ("http", "https")

    @property
    def unused(self) -> list[str]:
        """Return the keys that were given and have no effect on a file."""
        fields = type(self).model_fields
        names = () if self.is_url else ("api_key", "timeout_seconds", "tries")
        return [name for name in names if getattr(self, name) != fields[name].default]

    @field_validator("to")
    @classmethod
    def _reachable(cls, to: str) -> str:
        # No message repeats the URL: it may hold a secret.
        if not re.match(r"https?:|[a-z][a-z0-9+.-]*://", to, re.IGNORECASE):
            return to
        if not re.fullmatch("https?://[!-~]+", to, re.IGNORECASE):
            raise ValueError("only http:// and https:// URLs in printable ASCII take events")
        try:
            parts = urlsplit(to)
            named = bool(parts.hostname) and parts.port != 0
        except ValueError:
            raise ValueError("host or port of the URL is malformed") from None
        if not named:
            raise ValueError("the URL names no host")
        if "@" in parts.netloc:
            raise ValueError("no user or password in the URL; give api_key")
        return to


class Night(BaseModel):
    """A whole night.

    Attributes:
        runs: in the order of execution.
        fail_fast: skip the runs after one that failed.
        lock: the file that one night at a time holds.
        summary: the file of the summary, if any.
        openlineage: the destination of lineage events, if any.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    runs: tuple[RunPlan, ...] = Field(min_length=1)
    fail_fast: bool = False
    lock: Path = DEFAULT_LOCK
    summary: Path | None = None
    openlineage: LineagePlan | None = None


def load_night(path: Path, environment: Mapping[str, str] = os.environ) -> Night:
    """Read and check a night's file; relative paths start at the working directory.

    Checked before the first run: keys, types, variables, names, states, policies, tokens,
    dictionaries.

    Raises:
        Segment1BError: E_USAGE or E_POLICY_INVALID, naming the file, the run and the key.
    """
    raw = read_yaml(path, "E_USAGE")
    refuse_unknown(raw, {*Night.model_fields, "defaults"}, "E_USAGE", str(path))
    defaults = _mapping(raw.get("defaults", {}), f"{path}, defaults")
    refuse_unknown(defaults, set(_keys(RunPlan)) - {"name"}, "E_USAGE", f"{path}, defaults")
    listed = raw.get("runs")
    if not isinstance(listed, list) or not listed:
        raise _usage(f"{path}, key runs: not a list with at least one run", "see docs/automation")
    runs = [_run(path, number, run, defaults, environment) for number, run in enumerate(listed)]
    names = Counter(run.name for run in runs)
    if len(names) < len(runs):
        name = names.most_common(1)[0][0]
        raise _usage(f"{path}: two runs are called '{name}'", "give each its own name")
    rest = {key: value for key, value in raw.items() if key not in ("runs", "defaults")}
    rest = substitute(rest, environment, str(path))
    lineage = rest.get("openlineage")
    if isinstance(lineage, str):
        lineage = {"to": lineage}
    if isinstance(lineage, dict):
        plan = _checked(LineagePlan, lineage, f"{path}, openlineage")
        rest["openlineage"] = plan.model_dump()
    night = _checked(Night, {**rest, "runs": [_FIRST]}, str(path))
    return night.model_copy(update={"runs": tuple(runs)})


def overridden(
    night: Night, *, fail_fast: bool, summary: Path | None, openlineage: str | None
) -> Night:
    """Return a night with the options of the command line over its file; lineage keeps the rest."""
    update: dict[str, Any] = {"fail_fast": fail_fast or night.fail_fast}
    update["summary"] = summary or night.summary
    if openlineage is not None:
        lineage = night.openlineage.model_dump() if night.openlineage else {}
        lineage["to"] = openlineage
        update["openlineage"] = _checked(LineagePlan, lineage, "--openlineage")
    return night.model_copy(update=update)


#: A placeholder for the runs, which are checked one by one so that errors can name them.
_FIRST = {"name": "first", "data_root": "."}


def _run(
    path: Path, number: int, given: Any, defaults: dict[str, Any], environment: Mapping[str, str]
) -> RunPlan:
    place = f"{path}, run {number + 1}"
    raw = given = _mapping(given, place)
    if isinstance(raw.get("name"), str):
        place = f"{path}, run '{raw['name']}'"
    raw = substitute({**defaults, **raw}, environment, place)
    if isinstance(raw.get("policy"), str):
        raw["policy"] = [raw["policy"]]
    if raw.get("validate") == "all":
        last = raw.get("to_state", "s9")
        upto = STATE_NAMES.index(last) + 1 if last in STATE_NAMES else 0
        raw["validate"] = list(STATE_NAMES[:upto])
    run = _checked(RunPlan, raw, place)
    try:
        load_policy(run.policy_files, run.overrides)
        if run.list_name is not None:
            check_name(run.list_name)
        # The list may be named, and be imported by an earlier run of the night.
        Identity(run.seed or 0, "0" * 64, run.parameter_hash or "0" * 64)
        contracts.load(run.dictionary)
    except Segment1BError as error:
        code = error.code if error.code == "E_POLICY_INVALID" else "E_USAGE"
        raise Segment1BError(code, f"{place}: {error.message}", error.hint, **error.scope) from None
    for state in STATE_NAMES:
        for key in (f"{state}_run_report", f"{state}_workers"):
            if key in given and state not in run.states:
                raise _usage(
                    f"{place}, key {key}: the run leaves {state} out",
                    "leave the key out, or change from_state, to_state or skip_s0",
                    key=key,
                )
    in_order = sorted(set(run.checks), key=STATE_NAMES.index)
    return run.model_copy(update={"checks": tuple(in_order)})


def _checked(model: type[Model], raw: dict[str, Any], place: str) -> Model:
    refuse_unknown(raw, _keys(model), "E_USAGE", place)
    for key, value in raw.items():
        if value == "" and key != "notes":
            raise _usage(f"{place}, key {key}: it is empty", "give a value or leave the key out")
    try:
        # JSON has no paths and tuples: strict validation accepts strings and arrays for them.
        return model.model_validate_json(json.dumps(_numbers(model, raw), default=str))
    except ValidationError as error:
        key, problem = first_problem(error)
        hint = "see docs/automation for what each key takes"
        raise _usage(f"{place}, key {key}: {problem}", hint) from None
    except Segment1BError as error:
        raise _usage(f"{place}: {error.message}", error.hint) from None


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _numbers(model: type[BaseModel], raw: dict[str, Any]) -> dict[str, Any]:
    """Read strings as numbers or booleans where only these fit: variables are always strings."""
    read = dict(raw)
    for name, field in model.model_fields.items():
        key, kinds = field.alias or name, {field.annotation, *get_args(field.annotation)}
        if isinstance(raw.get(key), str) and kinds & {int, float, bool} and str not in kinds:
            with suppress(ValueError):  # The model refuses the string with the key's name.
                read[key] = parse_yaml(raw[key])
    return read


def _mapping(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _usage(f"{place}: not a mapping", "write 'key: value' lines")
    return value


def substitute(value: Any, environment: Mapping[str, str], place: str) -> Any:
    """Return a YAML value with the references in its strings replaced; keys stay as they are.

    `${NAME}` is the variable's value, `${NAME:-default}` the default when the variable is unset
    or empty, `$$` a dollar; any other dollar stays. Replacements are not searched for references.

    Raises:
        Segment1BError: E_USAGE, naming the place, for an unset variable or an incomplete `${`.
    """
    if isinstance(value, dict):
        return {
            key: substitute(item, environment, f"{place}, key {key}") for key, item in value.items()
        }
    if isinstance(value, list):
        return [substitute(item, environment, place) for item in value]
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _replacement(match, environment, place), value)
    return value


def _replacement(match: re.Match[str], environment: Mapping[str, str], place: str) -> str:
    dollar, name, has_default, default, broken = match.groups()
    if dollar:
        return "$"
    if broken:
        what = f"{place}: '${{' without a name and '}}' after it"
        raise _usage(what, "write ${NAME}, ${NAME:-default}, or $$ for a dollar")
    if has_default:
        return environment.get(name) or default
    if name not in environment:
        near = nearest(name, environment)
        # The names of all variables do not help, and may be secret.
        also = f"; {near}" if near.startswith("did you mean") else ""
        what = f"{place}: the environment variable {name} is not set"
        hint = f"set it, or write ${{{name}:-default}}{also}"
        raise _usage(what, hint, variable=name)
    return environment[name]
