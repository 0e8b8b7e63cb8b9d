"""The commands around prepared worlds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from segment1b.cli.options import (
    ENGINES,
    AsJson,
    LogFormat,
    PolicyFiles,
    Quiet,
    Settings,
    Workers,
    given,
    option,
    show,
)


def build(
    resolution_arcsec: Annotated[
        int | None, option("Cell size at which the embedded surfaces are resampled.")
    ] = None,
    world: Annotated[Path | None, option("Data root with surfaces of your own.")] = None,
    name: Annotated[str | None, option("Name in the cache; default: of its content.")] = None,
    policy_files: PolicyFiles = None,
    settings: Settings = None,
    workers: Workers = None,
    engine: Annotated[str, option(ENGINES)] = "threads",
    as_json: AsJson = False,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
) -> None:
    """Prepare tiles and weights once, for all runs over the same surfaces."""
    from segment1b.cli import console
    from segment1b.config import run_settings
    from segment1b.pipeline.world_building import build_world
    from segment1b.pipeline.worlds import describe

    asked = given(
        world=world, policy_files=policy_files, settings=settings, workers=workers, engine=engine
    )
    with console.progress(log_format, quiet=quiet) as progress:
        root = build_world(run_settings(asked), resolution_arcsec, name, progress)
    show(describe(root), lambda one: _print({"worlds": [one]}), as_json=as_json)


def list_worlds(as_json: AsJson = False) -> None:
    """List the prepared worlds of the cache, the last used first."""
    from segment1b.pipeline.worlds import cached_worlds, describe

    show({"worlds": [describe(root) for root in cached_worlds()]}, _print, as_json=as_json)


def remove(name: Annotated[str, typer.Argument(help="As 'world list' shows it.")]) -> None:
    """Remove a prepared world from the cache."""
    from segment1b.pipeline.worlds import remove_world

    remove_world(name)


def _print(found: Mapping[str, Any]) -> None:
    from segment1b.cli.tables import print_table

    print_table(
        [
            {
                "name": one["name"],
                "grid": f"{one['columns']} x {one['rows']}",
                "tiles": f"{one['tiles']:,}",
                "MB": f"{one['bytes'] / 1e6:.1f}",
                "for this version": "yes" if one["current"] else "no",
            }
            for one in found["worlds"]
        ],
        texts=1,
    )
