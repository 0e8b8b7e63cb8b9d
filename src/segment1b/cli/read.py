"""The commands that read and explain what has passed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

import segment1b
from segment1b.cli.options import ROOT, AsJson, DataRoot, Dictionary, Which, option, show
from segment1b.errors import Segment1BError

Merchant = Annotated[str, option("Its merchant_id in the list.")]
Country = Annotated[str, option("Two upper-case letters.")]
NewFile = Annotated[Path, option("The file to write; must not exist.")]


def explain(
    merchant: Merchant,
    country: Country,
    *,
    data_root: DataRoot = ROOT,
    which: Which,
    as_json: AsJson = False,
) -> None:
    """Explain how the sites of one merchant in one country were allotted to tiles."""
    from segment1b.cli.explanations import print_explanation

    result = segment1b.explain(data_root, merchant, country, **vars(which))
    show(result, print_explanation, as_json=as_json)


def replay(
    merchant: Merchant,
    country: Country,
    site: Annotated[int, option("site_order.")],
    *,
    data_root: DataRoot = ROOT,
    which: Which,
    as_json: AsJson = False,
) -> None:
    """Derive the coordinate of one outlet again, draw by draw."""
    from segment1b.cli.explanations import print_replay

    result = segment1b.replay(data_root, merchant, country, site, **vars(which))
    show(result, print_replay, as_json=as_json)


def export(
    out: Annotated[
        Path, option("The file to write; must not exist. '-' is stdout: csv or geojsonseq.")
    ],
    fmt: Annotated[
        str | None,
        option("geoparquet, csv, geojsonseq or flatgeobuf; default: by the name.", "--format"),
    ] = None,
    country: Annotated[list[str] | None, option("Only this country; may be repeated.")] = None,
    merchant: Annotated[list[str] | None, option("Only this merchant; may be repeated.")] = None,
    with_columns: Annotated[
        str | None,
        option(
            "Columns to add: tzid, tile_id, weight_fp, pixel_area_m2.",
            "--with",
            metavar="NAME,NAME",
        ),
    ] = None,
    *,
    data_root: DataRoot = ROOT,
    which: Which,
    as_json: AsJson = False,
) -> None:
    """Write the sites that passed to one file for maps, tables and scripts."""
    from segment1b.cli.terminal import write_file_to_stdout
    from segment1b.read.export import format_of

    form = format_of(out, fmt)

    def write(file: Path) -> int:
        return segment1b.export(
            data_root,
            file,
            format=form,
            countries=country or (),
            merchants=merchant or (),
            with_columns=[name.strip() for name in with_columns.split(",")] if with_columns else (),
            **vars(which),
        )

    if str(out) != "-":
        result = {"rows": write(out), "format": form, "out": str(out)}
        show(result, lambda one: print(f"{one['rows']:,} sites in {out}"), as_json=as_json)
        return
    if as_json:
        what = "--json and --out - both write to stdout"
        raise Segment1BError("E_USAGE", what, "give a file, or leave --json out")
    with tempfile.TemporaryDirectory(prefix="segment1b-export-") as folder:
        write(Path(folder) / "sites")
        write_file_to_stdout(Path(folder) / "sites")


def diff(
    old: Annotated[Path, typer.Argument(help="A data root, or ROOT:LIST for a list in it.")],
    new: Annotated[Path, typer.Argument(help="The same or another data root.")],
    old_fingerprint: Annotated[
        str | None, option("Name or fingerprint of the list in OLD (its first 4 digits will do).")
    ] = None,
    new_fingerprint: Annotated[
        str | None, option("Name or fingerprint of the list in NEW (its first 4 digits will do).")
    ] = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Report which sites were added, removed and moved, by country, and outlets by outlet_id."""
    from segment1b.cli.tables import print_diff

    result = segment1b.diff(
        old,
        new,
        old_fingerprint=old_fingerprint,
        new_fingerprint=new_fingerprint,
        dictionary=dictionary,
    )
    show(result, print_diff, as_json=as_json)


def rng_export(
    stream: Annotated[str, option("site_tile_assign, in_cell_jitter or centre_jitter.")],
    out: NewFile,
    *,
    data_root: DataRoot = ROOT,
    which: Which,
    as_json: AsJson = False,
) -> None:
    """Write the random draws of a stream as JSON lines, one per event."""
    from segment1b.read.rng_export import rng_export

    events = rng_export(which.find(data_root), stream, out)
    result = {"events": events, "stream": stream, "out": str(out)}
    show(result, lambda _: print(f"{events:,} events in {out}"), as_json=as_json)


def page(
    out: Annotated[Path, option("The HTML file to write.")] = Path("report.html"),
    *,
    data_root: DataRoot = ROOT,
    compare: Annotated[
        tuple[Path, Path] | None, option("Two data roots to put side by side.")
    ] = None,
    which: Which,
    replace: Annotated[bool, option("Replace an existing file.", "--replace")] = False,
    as_json: AsJson = False,
) -> None:
    """Write one HTML file that shows a run to a reviewer: map, charts, receipts, checks."""
    from segment1b.page.page import write_page

    first, *second = [which.find(root) for root in compare or (data_root,)]
    write_page(first, out, other=second[0] if second else None, replace=replace)
    result = {"out": str(out), "bytes": out.stat().st_size}
    show(result, lambda _: print(f"page  {out}"), as_json=as_json)
