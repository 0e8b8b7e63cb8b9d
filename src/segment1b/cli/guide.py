"""What `--help` shows beside the options: panels of commands, and an example for each command."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

PANELS = {
    "Place outlets": ("init", "run", "outlets", "trades", "scenario", "world"),
    "Read the result": ("export", "page", "explain", "replay", "diff", "rng-export"),
    "Check and prove": ("validate", "realism", "evidence", "verify-bundle", "contracts"),
    "Maintain a data root": (
        "list",
        "status",
        "clean",
        "discard",
        "remove",
        "reference",
        "nightly",
    ),
}
ONE_STATE = "Check one state"
EXAMPLES = {
    "run": "segment1b run --outlets my.csv --data-root mine",
    "init": "segment1b init my-project",
    "explain": "segment1b explain --merchant 259 --country DE",
    "replay": "segment1b replay --merchant 259 --country DE --site 3",
    "export": "segment1b export --out outlets.csv",
    "diff": "segment1b diff mine:january mine:february",
    "rng-export": "segment1b rng-export --stream in_cell_jitter --out draws.jsonl",
    "page": "segment1b page --out report.html --replace",
    "nightly": "segment1b nightly --config nights.yaml --dry-run",
    "realism": "segment1b realism --against stores.csv --data-root mine",
    "evidence": "segment1b evidence --out evidence",
    "verify-bundle": "segment1b verify-bundle evidence",
    "list": "segment1b list --data-root mine",
    "status": "segment1b status --data-root mine",
    "clean": "segment1b clean --data-root mine --dry-run",
    "discard": "segment1b discard --from-state s4 --data-root mine",
    "remove": "segment1b remove q3-portfolio --data-root mine --dry-run",
    "outlets import": (
        "segment1b outlets import february.csv --name february --since mine --data-root mine"
    ),
    "trades": "segment1b trades",
    "contracts check": "segment1b contracts check",
    "reference build": "segment1b reference build --resolution-arcsec 180 --data-root mine",
    "reference fill": "segment1b reference fill --data-root mine",
    "reference check": "segment1b reference check --data-root mine",
    "reference import countries": (
        "segment1b reference import countries borders.gpkg --column country_iso=ISO_A2 "
        "--licence CC0-1.0 --attribution 'Natural Earth' --data-root mine"
    ),
    "reference import zones": (
        "segment1b reference import zones zones.geojson "
        "--licence ODbL-1.0 --attribution OpenStreetMap --data-root mine"
    ),
    "reference import population": (
        "segment1b reference import population people.tif "
        "--licence CC-BY-4.0 --attribution WorldPop --data-root mine"
    ),
    "reference import codes": (
        "segment1b reference import codes codes.csv "
        "--licence CC0-1.0 --attribution 'My company' --data-root mine"
    ),
    "reference import layer": (
        "segment1b reference import layer roads.tif --name roads "
        "--licence ODbL-1.0 --attribution OpenStreetMap --data-root mine"
    ),
    "scenario compare": "segment1b scenario compare stable balanced --outlets my.csv",
    "world build": "segment1b world build --resolution-arcsec 360",
    "world list": "segment1b world list",
    "world remove": "segment1b world remove my-world",
    "validate": "segment1b validate --data-root mine",
    **{f"validate-s{n}": f"segment1b validate-s{n} --data-root mine" for n in range(10)},
}


def help_of(path: str) -> dict[str, Any]:
    """Return the options of typer that give a command its panel and its example."""
    panel = next((name for name, members in PANELS.items() if path in members), None)
    if path.startswith("validate-"):
        panel = ONE_STATE
    example = EXAMPLES.get(path)
    return {"rich_help_panel": panel, "epilog": example and f"Example:  {example}"}


class Command(TyperCommand):
    """A command whose flags are shown without a type, as they take no value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters."""
        return _without_type(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands; its flags are shown without a type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters."""
        return _without_type(super().get_params(ctx))


def _without_type(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters
