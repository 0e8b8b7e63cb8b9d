"""The command line: which command is which function."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from segment1b.cli import audit, guide, lists, read, reference, run, starter, trades, world
from segment1b.cli.options import expanded
from segment1b.identity import STATE_NAMES

HELP = "Coordinates of merchants' outlets: on land, in their country, reproducible."
COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "init": starter.init,
    "explain": read.explain,
    "replay": read.replay,
    "export": read.export,
    "diff": read.diff,
    "rng-export": read.rng_export,
    "page": read.page,
    "nightly": run.nightly,
    "realism": audit.realism,
    "evidence": audit.evidence,
    "verify-bundle": audit.verify_bundle,
    "list": lists.list_lists,
    "status": run.status,
    "clean": run.clean,
    "discard": run.discard,
    "remove": lists.remove,
    "outlets import": run.import_outlets,
    "trades": trades.trades,
    "contracts check": audit.check_contracts,
    "reference build": reference.build,
    "reference fill": reference.fill,
    "reference check": reference.check,
    "reference import countries": reference.import_countries,
    "reference import zones": reference.import_zones,
    "reference import population": reference.import_population,
    "reference import codes": reference.import_codes,
    "reference import layer": reference.import_layer,
    "scenario compare": run.compare,
    "world build": world.build,
    "world list": world.list_worlds,
    "world remove": world.remove,
}
GROUPS = {
    "outlets": "Import outlet lists.",
    "contracts": "Dictionary and schemas.",
    "reference": "Reference surfaces.",
    "reference import": "Import your own surfaces.",
    "scenario": "Policies side by side.",
    "world": "Prepared worlds: tiles and weights, computed once.",
}

app = typer.Typer(
    cls=guide.Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=HELP,
)


def _print_version(asked: bool) -> None:
    if asked:
        from segment1b.contracts.program import VERSION

        typer.echo(f"segment1b {VERSION}")
        raise typer.Exit


@app.callback(help=HELP)
def options(
    cache: Annotated[
        Path | None,
        typer.Option(
            envvar="SEGMENT1B_CACHE",
            help="Folder of prepared worlds and of working copies of object stores (s3://...).",
        ),
    ] = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""
    if cache is not None:
        os.environ["SEGMENT1B_CACHE"] = str(cache)


def _add_all() -> None:
    groups = {"": app}
    for path, text in GROUPS.items():
        parent, _, name = path.rpartition(" ")
        groups[path] = typer.Typer(cls=guide.Group, no_args_is_help=True, help=text)
        groups[parent].add_typer(groups[path], name=name, **guide.help_of(path))
    commands: dict[str, tuple[Callable[..., None], str | None]] = {}
    commands |= {path: (command, None) for path, command in COMMANDS.items()}
    commands["validate"] = audit.validator(STATE_NAMES), "Check all published states independently."
    for state in STATE_NAMES:
        text = f"Check {state.upper()} independently."
        commands[f"validate-{state}"] = audit.validator([state]), text
    for path, (command, about) in commands.items():
        parent, _, name = path.rpartition(" ")
        options = {"cls": guide.Command, "help": about, **guide.help_of(path)}
        groups[parent].command(name, **options)(expanded(command))


_add_all()
