"""The commands that check what was published, and hand it to reviewers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

import segment1b
from segment1b.cli.options import (
    OUTPUT,
    ROOT,
    AsJson,
    Bundle,
    DataRoot,
    Dictionary,
    Quiet,
    Which,
    option,
    show,
)


def validator(states: Sequence[str]) -> Callable[..., None]:
    """Return the command that validates some states."""

    def command(
        *,
        data_root: DataRoot = ROOT,
        which: Which,
        validation_bundle: Bundle = None,
        perf: Annotated[bool, option("Check budgets of time and memory too.", "--perf")] = False,
        print_sql: Annotated[
            str | None, option("Only print a check's SQL, for DuckDB to run.", metavar="CHECK")
        ] = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
        verbose: Annotated[
            bool, option("A line a check.", "--verbose", rich_help_panel=OUTPUT)
        ] = False,
    ) -> None:
        from segment1b.cli import console, tables

        if print_sql:
            _print_sql(print_sql, states, data_root, which, validation_bundle)
            return
        options = {"validation_bundle": validation_bundle, "perf": perf, **vars(which)}
        with console.check_progress(quiet=quiet or as_json) as progress:
            results = segment1b.validate(data_root, states, progress=progress, **options)
        result = tables.check_summary(results)
        text = tables.print_checks if verbose else tables.print_states
        show(result, text, as_json=as_json)
        if not result["ok"]:
            raise typer.Exit(1)

    return command


def _print_sql(
    check: str, states: Sequence[str], data_root: Path, which: Which, bundle: Path | None
) -> None:
    """Print the SQL of one check; tables that Python makes are saved to segment1b-sql/."""
    from segment1b.audit.printed import sql_of
    from segment1b.audit.published_files import Published

    run = which.find(data_root)
    published = Published(run.root, run.contracts, run.identity.tokens, bundle)
    typer.echo(sql_of(published, states, check, Path.cwd() / "segment1b-sql"), nl=False)


def realism(
    against: Annotated[Path, option("Real outlets: lon, lat, country, and chain or trade.")],
    *,
    data_root: DataRoot = ROOT,
    country: Annotated[list[str] | None, option("Only this country; may be repeated.")] = None,
    merchant: Annotated[list[str] | None, option("Only this merchant; may be repeated.")] = None,
    map_columns: Annotated[
        list[str] | None,
        option("COLUMN=NAME in the file, for example lon=x.", "--map", metavar="COLUMN=NAME"),
    ] = None,
    which: Which,
    plot: Annotated[
        Path | None, option("An HTML file to write, with charts.", rich_help_panel=OUTPUT)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the sites that passed with real outlets: how alike is where they are?"""
    from segment1b.cli.comparison import print_realism
    from segment1b.outlets.column_names import parse_map
    from segment1b.read.real_outlets import COLUMNS

    result = segment1b.realism(
        data_root,
        against,
        plot=plot,
        countries=country or (),
        merchants=merchant or (),
        columns=parse_map(map_columns or (), COLUMNS),
        **vars(which),
    )
    show(result, print_realism, as_json=as_json)


def evidence(
    out: Annotated[Path, option("The bundle's folder; absent or empty.")],
    *,
    data_root: DataRoot = ROOT,
    which: Which,
    validation_bundle: Bundle = None,
    sample_rows: Annotated[int, option("At most so many outlets in the data sample.", min=1)] = 200,
    replace: Annotated[bool, option("Replace older evidence.", "--replace")] = False,
    without_page: Annotated[
        bool, option("Leave the page out: some 3 MB less.", "--without-page")
    ] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, option("No steps on stderr.", "--quiet")] = False,
) -> None:
    """Write evidence for reviewers: sample, reports, checks, checksums, and a repeated run."""
    from segment1b.cli import tables
    from segment1b.evidence.bundle import write_evidence
    from segment1b.evidence.proof import ProvedRun

    run = which.find(data_root)
    result = write_evidence(
        ProvedRun(**vars(run), dictionary=which.dictionary, bundle=validation_bundle),
        out,
        sample_sites=sample_rows,
        replace=replace,
        with_page=not without_page,
        say=lambda step: None if quiet else print(f"{step} ...", file=sys.stderr),
    )
    show({**result, "out": str(out)}, tables.print_evidence, as_json=as_json)


def verify_bundle(
    folder: Annotated[Path, typer.Argument(help="A data root, or an evidence bundle.")] = ROOT,
    *,
    which: Which,
    as_json: AsJson = False,
) -> None:
    """Check flag, summary and checksums of a data root or bundle; hash what receipts name."""
    from segment1b import contracts
    from segment1b.cli import tables
    from segment1b.evidence import verification
    from segment1b.read import gate
    from segment1b.storage.root import find_root
    from segment1b.storage.snapshot import Snapshot

    root = find_root(folder)
    known = contracts.load(str(which.dictionary) if which.dictionary else None)
    if verification.is_evidence(root):
        show(verification.verify_evidence(root, known), tables.print_evidence, as_json=as_json)
    else:
        run = Snapshot(root, known, gate.find_places(root, known, which.tokens))
        show(gate.verify_bundle(run), tables.print_proof, as_json=as_json)


def check_contracts(dictionary: Dictionary = None, as_json: AsJson = False) -> None:
    """Check that dictionary and schemas agree."""
    from segment1b import contracts

    known = contracts.load(str(dictionary) if dictionary else None)
    problems = list(known.check())
    result = {"ok": not problems, "datasets": len(list(known)), "problems": problems}

    def text(_: object) -> None:
        for line in problems:
            print(line)
        if not problems:
            print(f"{result['datasets']} datasets agree with their schemas")

    show(result, text, as_json=as_json)
    if problems:
        raise typer.Exit(1)
