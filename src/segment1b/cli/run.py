"""The commands around runs: import outlets, run, nightly, compare, show, clean and discard."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

import segment1b
from segment1b.cli.options import (
    ENGINES,
    EXECUTION,
    OUTPUT,
    ROOT,
    AsJson,
    Bundle,
    DataRoot,
    Dictionary,
    Fingerprint,
    LogFormat,
    MapColumns,
    Normalise,
    ParameterHash,
    PolicyFiles,
    Quiet,
    Seed,
    Settings,
    Verbose,
    Wait,
    Which,
    Workers,
    given,
    option,
    show,
)
from segment1b.errors import Segment1BError

Columns = Annotated[
    str | None,
    option("Columns to carry, and trade or mcc to use: all (default), none, or NAME,NAME."),
]
Since = Annotated[
    Path | None,
    option("Earlier list, ROOT or ROOT:LIST: its outlets that stay keep their position."),
]
Name = Annotated[
    str | None,
    option("Name of the list in the data root; default: the file's, made safe.", "--name"),
]
Engine = Annotated[str, option(ENGINES, rich_help_panel=EXECUTION)]


@dataclass
class Listing:
    """The options that decide how an outlet list is read, by the names of their settings."""

    columns: Columns = None
    normalise: Normalise = False
    map_columns: MapColumns = None


@dataclass
class RunOptions:
    """The options of a run, by the names of its settings."""

    data_root: DataRoot = ROOT
    outlets: Annotated[Path | None, option("Outlet list to import first; - is stdin.")] = None
    since: Since = None
    list_name: Name = None
    world: Annotated[
        Path | None, option("Prepared world: a name of 'world list', or a data root.")
    ] = None
    seed: Seed = None
    parameter_hash: ParameterHash = None
    manifest_fingerprint: Fingerprint = None
    validation_bundle: Bundle = None
    dictionary: Dictionary = None
    policy_files: PolicyFiles = None
    settings: Settings = None
    skip_s0: Annotated[
        bool, option("Trust the published S0 receipt.", "--skip-s0", rich_help_panel=EXECUTION)
    ] = False
    workers: Workers = None
    s1_workers: Annotated[
        int | None, option("Workers of S1.", min=1, rich_help_panel=EXECUTION)
    ] = None
    s4_workers: Annotated[
        int | None, option("Workers of S4 (1).", min=1, rich_help_panel=EXECUTION)
    ] = None
    engine: Engine = "threads"
    from_state: Annotated[str, option("First state.", rich_help_panel=EXECUTION)] = "s0"
    to_state: Annotated[str, option("Last state.", rich_help_panel=EXECUTION)] = "s9"
    merchant_summaries: Annotated[
        bool, option("S4 reports each merchant.", "--merchant-summaries", rich_help_panel=OUTPUT)
    ] = False
    verify: Annotated[
        bool, option("Hash published files before reuse.", "--verify", rich_help_panel=EXECUTION)
    ] = False
    wait_seconds: Wait = 0.0


def run(
    *,
    options: RunOptions,
    listing: Listing,
    as_json: AsJson = False,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run the states; without options the embedded world, into ./segment1b-data."""
    from segment1b.cli import console, summary, tables
    from segment1b.config import run_settings

    asked = run_settings(given(options, listing))
    with console.progress(log_format, quiet=quiet) as progress:
        result = segment1b.run(asked, progress)
    odd = summary.odd_of(result)
    document = {**tables.run_summary(result), "plausible": not odd, "concerns": odd}

    def text(_: object) -> None:
        if verbose:
            tables.print_run(result, odd)
            if since := summary.succession_text(result.since):
                tables.print_fields({"since": since})
        else:
            summary.print_summary(result, asked.dictionary)

    show(document, text, as_json=as_json)


def import_outlets(
    file: Annotated[Path, typer.Argument(help="CSV, JSON, Parquet, Arrow, XLSX; - is stdin.")],
    data_root: DataRoot = ROOT,
    since: Since = None,
    list_name: Name = None,
    *,
    listing: Listing,
    write_fixed: Annotated[
        Path | None, option("Write the rows that --normalise makes valid, and import nothing.")
    ] = None,
    rejects: Annotated[
        Path | None, option("Write the other rows with reasons, and import nothing.")
    ] = None,
    seed: Seed = None,
    dictionary: Dictionary = None,
    policy_files: PolicyFiles = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Import an outlet list: catalogue, validation bundle, fingerprint."""
    from segment1b.cli import console
    from segment1b.cli.summary import succession_text
    from segment1b.cli.tables import print_fields
    from segment1b.config import run_settings
    from segment1b.pipeline.prepare import divide_outlets, import_outlets

    if (write_fixed or rejects) and (since or list_name):
        what = "--write-fixed and --rejects import nothing"
        raise Segment1BError("E_USAGE", what, "leave --since and --name out")
    policy = {"policy_files": policy_files, "settings": settings}
    listed = {"outlets": file, "since": since, "list_name": list_name}
    own = {"data_root": data_root, "seed": seed, "dictionary": dictionary}
    asked = run_settings(given(listing, **listed, **own, **policy))
    if write_fixed or rejects:
        divided = divide_outlets(asked, write_fixed, rejects)
        show(divided, print_fields, as_json=as_json)
        return
    with console.progress("text", quiet=True):  # which prints warnings
        run, pairs, name = import_outlets(asked)
    summary = {
        "name": name,
        "pairs": len(pairs.n_sites),
        "outlets": int(pairs.n_sites.sum()),
        **run.identity.tokens,
        "carried_columns": pairs.directories.carried if pairs.directories else [],
        "ignored_columns": list(pairs.ignored),
        "columns": pairs.findings.columns,
        "corrections": pairs.findings.corrections,
        "since": pairs.since.document if pairs.since else None,
    }
    if pairs.trades is not None:
        summary["trades"] = {
            row["values"]: row["counts"]
            for row in sorted(
                pairs.trades["trade"].value_counts().to_pylist(), key=lambda row: row["values"]
            )
        }
    shown = summary | {"since": succession_text(pairs.since)}
    show(
        summary,
        lambda _: print_fields(
            {n: _listed(v) for n, v in shown.items() if v not in (None, [], {})}
        ),
        as_json=as_json,
    )


def _listed(value: object) -> object:
    """Return lists and mappings as text: `a, b` and `a=1, b=2`."""
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in value.items())
    return ", ".join(value) if isinstance(value, list) else value


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


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="YAML files (name, policy_files, settings), or "
            "largest_remainder, systematic, stable, balanced."
        ),
    ],
    outlets: Annotated[
        Path | None,
        option("Outlet list of all scenarios, or the embedded sample."),
    ] = None,
    *,
    listing: Listing,
    data_root: Annotated[
        Path | None, option("Keep each scenario's data root in this folder.")
    ] = None,
    workers: Workers = None,
    engine: Engine = "threads",
    as_json: AsJson = False,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
) -> None:
    """Run policies over the same outlets, S0 to S8, and tabulate their differences."""
    from segment1b.cli import console, explanations
    from segment1b.config import run_settings
    from segment1b.pipeline import compare as comparison

    common = run_settings(given(listing, outlets=outlets, workers=workers, engine=engine))
    with console.progress(log_format, quiet=quiet) as progress:
        result = comparison.compare(files, common, data_root, progress)
    result["answers"] = explanations.answers(result["scenarios"])
    show(result, explanations.print_comparison, as_json=as_json)


def status(
    *,
    data_root: DataRoot = ROOT,
    outlets: Annotated[Path | None, option("As if a run imported this outlet list.")] = None,
    since: Since = None,
    listing: Listing,
    policy_files: Annotated[
        list[Path] | None, option("As if a run had this policy file.", "--policy")
    ] = None,
    settings: Annotated[
        list[str] | None,
        option("As if a run had this KEY=VALUE over the policy.", "--set"),
    ] = None,
    which: Which,
    as_json: AsJson = False,
) -> None:
    """Show what is published, what is stale and why, and what a run would do; writes nothing."""
    from segment1b.cli import tables
    from segment1b.config import run_settings
    from segment1b.pipeline.status import status

    policy = {"policy_files": policy_files, "settings": settings}
    listed = {"data_root": data_root, "outlets": outlets, "since": since}
    asked = run_settings(given(which, listing, **listed, **policy))
    show(status(asked), tables.print_status, as_json=as_json)


def discard(
    from_state: Annotated[str, option("First state to remove, s0 to s9.")],
    *,
    data_root: DataRoot = ROOT,
    which: Which,
    keep_shared: Annotated[
        bool,
        option("Keep what only parameter_hash determines: tiles.", "--keep-shared"),
    ] = False,
    yes: Annotated[bool, option("Remove without asking.", "--yes")] = False,
    wait_seconds: Wait = 0.0,
    as_json: AsJson = False,
) -> None:
    """Remove what an identity has published from a state on: the flag first, reports too."""
    from segment1b.cli import tables
    from segment1b.config import run_settings
    from segment1b.pipeline.discard import discard

    if as_json and not yes:
        raise Segment1BError("E_USAGE", "--json asks nothing", "give --yes too")
    asked = run_settings(
        given(which, data_root=data_root, from_state=from_state, wait_seconds=wait_seconds)
    )

    def agree(items: Mapping[str, int]) -> bool:
        if not as_json:
            tables.print_items(items)
            tables.print_total(items, "to remove")
        return yes or _confirmed()

    removed = discard(asked, agree, keep_shared=keep_shared)
    listed = [{"path": path, "bytes": size} for path, size in removed.items()]
    result = {"from_state": from_state, "removed": listed, "bytes": sum(removed.values())}
    show(result, lambda _: tables.print_total(removed, "removed"), as_json=as_json)


def clean(
    data_root: DataRoot = ROOT,
    dry_run: Annotated[bool, option("Only list what would be removed.", "--dry-run")] = False,
    older_than_hours: Annotated[
        float, option("In a store: uploads younger than this stay.", min=0)
    ] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Remove what killed runs left: staging, and in a store uploads that no receipt names."""
    from segment1b.cli import tables
    from segment1b.storage.root import find_root, root_at

    root = find_root(data_root)
    left = root_at(root).clean(timedelta(hours=older_than_hours), dry_run=dry_run)
    listed = [{"path": str(one.path), "bytes": one.size} for one in left]
    result = {"dry_run": dry_run, "leftovers": listed, "bytes": sum(one.size for one in left)}
    # An upload has a relative path.
    items = {os.path.relpath(root / one.path, root): one.size for one in left}

    def text(_: object) -> None:
        if not items:
            print("no killed run has left anything")
            return
        tables.print_items(items)
        tables.print_total(items, "would be freed" if dry_run else "freed")

    show(result, text, as_json=as_json)


def _confirmed() -> bool:
    """Ask on the terminal whether to remove; E_USAGE without one."""
    if not sys.stdin.isatty():
        what = "there is no terminal to confirm on"
        raise Segment1BError("E_USAGE", what, "give --yes to remove without asking")
    try:
        return typer.confirm("Remove all of this?", err=True)
    except typer.Abort:
        return False
