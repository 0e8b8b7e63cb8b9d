"""The command that writes the page: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from segment1b.cli.options import ROOT, tokens


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("page")(page)


def page(
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    data_root: Annotated[Path, typer.Option(help="Folder or s3://bucket/prefix.")] = ROOT,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Two data roots to put side by side.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Unsigned 64-bit.")] = None,
    parameter_hash: Annotated[str | None, typer.Option(help="64 hex digits.")] = None,
    manifest_fingerprint: Annotated[
        str | None, typer.Option(help="64 hex digits; which outlets.")
    ] = None,
    dictionary: Annotated[Path | None, typer.Option(help="Another dataset dictionary.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of a file that exists.")
    ] = False,
) -> None:
    """Write one HTML file that shows a run to a reviewer: map, charts, receipts, checks."""
    from segment1b.page.page import write_comparison, write_page
    from segment1b.pipeline.decide import find_identity
    from segment1b.storage.root import find_root

    given: dict[str, Any] = tokens(seed, parameter_hash, manifest_fingerprint)
    roots = [find_root(root) for root in compare or (data_root,)]
    first, *second = [(root, *find_identity(root, dictionary, given)) for root in roots]
    if second:
        write_comparison(first, second[0], out, replace=replace)
    else:
        write_page(*first, out, replace=replace)
    print(f"page  {out}")
