"""The command that a scheduler starts: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segment1b.cli.options import LogFormat

AsJson = Annotated[bool, typer.Option("--json", help="The summary on stdout.")]


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("nightly")(nightly)


def nightly(
    config: Annotated[Path, typer.Option(help="YAML file of runs.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run.")] = False,
    summary: Annotated[
        Path | None, typer.Option(help="Where the summary goes; over the file's own.")
    ] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="No more runs after one that failed.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only this run; may be repeated.")] = None,
    log_format: LogFormat = "text",
    openlineage: Annotated[
        str | None, typer.Option(help="File or URL for lineage events; over the file's own.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, warnings only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Do the runs of a file, one after another, with their validators."""
    from segment1b.cli import console
    from segment1b.cli import nightly as display
    from segment1b.nightly import night as nightly
    from segment1b.nightly import plan

    night = plan.load_night(config)
    night = plan.overridden(night, fail_fast=fail_fast, summary=summary, openlineage=openlineage)
    console.set_up_logs(log_format, quiet=quiet)
    if dry_run:
        found = nightly.dry_run(config, night, only or ())
    else:
        with console.progress(log_format, quiet=quiet) as progress:
            found = nightly.run_night(config, night, only or (), progress)
    if as_json:
        console.print_json(found)
    elif dry_run:
        display.print_dry_run(found)
    else:
        display.print_night(found)
    if found["status"] == "failed":
        raise typer.Exit(1)
