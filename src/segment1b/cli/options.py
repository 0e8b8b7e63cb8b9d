"""Options that several commands share, each with its one help text."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from segment1b.storage.snapshot import Snapshot

ROOT = Path("segment1b-data")
# Panels of --help.
IDENTITY, POLICY, EXECUTION, OUTPUT = "Which outlets", "Policy", "Execution", "Output"
ENGINES = "serial, threads, processes, dask, or a Dask scheduler: tcp://HOST:PORT."


def option(text: str, *names: str, **limits: Any) -> Any:
    """Return an option with its help text; a flag needs its name, or typer adds `--no-...`."""
    return typer.Option(*names, help=text, **limits)


DataRoot = Annotated[Path, option("Folder or s3://bucket/prefix of all datasets.")]
Seed = Annotated[
    int | None, option("Unsigned 64-bit; default: the data root's.", rich_help_panel=IDENTITY)
]
ParameterHash = Annotated[
    str | None, option("64 hex digits; default: the data root's.", rich_help_panel=IDENTITY)
]
Fingerprint = Annotated[
    str | None,
    option(
        "Name or fingerprint of the outlet list (its first 4 digits will do); default: the last "
        "imported.",
        "--manifest-fingerprint",
        "--list",
        rich_help_panel=IDENTITY,
    ),
]
Dictionary = Annotated[Path | None, option("Another dataset dictionary.", rich_help_panel=IDENTITY)]
Bundle = Annotated[
    Path | None, option("1A's bundle, if not in the data root.", rich_help_panel=IDENTITY)
]
PolicyFiles = Annotated[
    list[Path] | None,
    option("YAML over the contract.", "--policy", metavar="FILE", rich_help_panel=POLICY),
]
Settings = Annotated[
    list[str] | None,
    option(
        "KEY=VALUE over the policy, for example allocation.law=largest_remainder.",
        "--set",
        metavar="KEY=VALUE",
        rich_help_panel=POLICY,
    ),
]
Normalise = Annotated[
    bool, option("Correct spaces, numbers, codes and names of countries.", "--normalise")
]
MapColumns = Annotated[
    list[str] | None,
    option(
        "COLUMN=NAME in the list, for example country_iso=Land.", "--map", metavar="COLUMN=NAME"
    ),
]
Workers = Annotated[int | None, option("Workers of all states.", min=1, rich_help_panel=EXECUTION)]
Wait = Annotated[
    float, option("Seconds to wait for a lock.", "--wait", min=0, rich_help_panel=EXECUTION)
]
AsJson = Annotated[bool, option("One JSON object on stdout.", "--json", rich_help_panel=OUTPUT)]
Verbose = Annotated[bool, option("All lines, hashes in full.", "--verbose", rich_help_panel=OUTPUT)]
LogFormat = Annotated[
    Literal["text", "json"], option("Format of the lines on stderr.", rich_help_panel=OUTPUT)
]
Quiet = Annotated[bool, option("No progress, warnings only.", "--quiet", rich_help_panel=OUTPUT)]


@dataclass
class Which:
    """The options that choose an identity; as keywords of the Python interface."""

    seed: Seed = None
    parameter_hash: ParameterHash = None
    manifest_fingerprint: Fingerprint = None
    dictionary: Dictionary = None

    @property
    def tokens(self) -> dict[str, Any]:
        """Return the tokens by name; None for that of the data root."""
        return {name: value for name, value in vars(self).items() if name != "dictionary"}

    def find(self, data_root: Path) -> Snapshot:
        """Return the identity of a data root that was chosen."""
        from segment1b.pipeline.finding import find_identity
        from segment1b.storage.root import find_root
        from segment1b.storage.snapshot import Snapshot

        root = find_root(data_root)
        known, identity = find_identity(root, self.dictionary, self.tokens)
        return Snapshot(root, known, identity.places)


def given(*options: object, **more: object) -> dict[str, Any]:
    """Return the values of option groups and of single options that were given, by name."""
    values: dict[str, Any] = {}
    for group in options:
        values |= vars(group)
    return {name: value for name, value in (values | more).items() if value is not None}


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter of a command that is a dataclass by options for its fields."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if not is_dataclass(parameter.annotation):
            parameters.append(parameter)
            continue
        groups[parameter.name] = parameter.annotation
        parameters += inspect.signature(groups[parameter.name], eval_str=True).parameters.values()

    @functools.wraps(command)
    def wrapper(**options: Any) -> None:
        for name, group in groups.items():
            values = {field.name: options.pop(field.name) for field in fields(group)}
            options[name] = group(**values)
        command(**options)

    by_name = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    wrapper.__signature__ = inspect.Signature(by_name)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in by_name}
    return wrapper


def show(
    result: Mapping[str, Any], text: Callable[[Mapping[str, Any]], None], *, as_json: bool
) -> None:
    """Print the result of a command, as one JSON object or as text."""
    from segment1b.cli.terminal import print_json

    if as_json:
        print_json(result)
    else:
        text(result)
