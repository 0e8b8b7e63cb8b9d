"""The command that a scheduler starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segment1b.cli.options import LogFormat, Quiet, option, show


def nightly(
    config: Annotated[Path, option("YAML file of runs.")],
    dry_run: Annotated[bool, option("Only print what would run.", "--dry-run")] = False,
    summary: Annotated[Path | None, option("Path of the summary; overrides the file's.")] = None,
    fail_fast: Annotated[bool, option("Stop after a run that failed.", "--fail-fast")] = False,
    only: Annotated[list[str] | None, option("Only this run; may be repeated.")] = None,
    log_format: LogFormat = "text",
    openlineage: Annotated[
        str | None, option("File or URL for lineage events; overrides the file's.")
    ] = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, option("The summary on stdout.", "--json")] = False,
) -> None:
    """Execute the runs of a file in order, with their validators."""
    from segment1b.cli import console, tables
    from segment1b.nightly import night as nightly
    from segment1b.nightly import plan

    night = plan.load_night(config)
    night = plan.overridden(night, fail_fast=fail_fast, summary=summary, openlineage=openlineage)
    if dry_run:
        show(nightly.dry_run(config, night, only or ()), tables.print_dry_run, as_json=as_json)
        return
    with console.progress(log_format, quiet=quiet) as progress:
        result = nightly.run_night(config, night, only or (), progress)
    show(result, tables.print_night, as_json=as_json)
    if result["status"] == "failed":
        raise typer.Exit(1)
