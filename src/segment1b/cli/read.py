"""The commands of people who take data away: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segment1b.cli.options import (
    ROOT,
    AsJson,
    DataRoot,
    Dictionary,
    Fingerprint,
    ParameterHash,
    Seed,
    tokens,
)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("export")(export)
    app.command("diff")(diff)
    app.command("rng-export")(rng_export)


def export(
    out: Annotated[Path, typer.Option(help="The file to write; must not exist.")],
    fmt: Annotated[
        str, typer.Option("--format", help="geoparquet, csv, geojsonseq or flatgeobuf.")
    ] = "geoparquet",
    country: Annotated[
        list[str] | None, typer.Option(help="Only this country; may be repeated.")
    ] = None,
    merchant: Annotated[
        list[int] | None, typer.Option(help="Only this merchant; may be repeated.")
    ] = None,
    data_root: DataRoot = ROOT,
    seed: Seed = None,
    parameter_hash: ParameterHash = None,
    manifest_fingerprint: Fingerprint = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Write the proven sites as one file for maps, tables and scripts."""
    from segment1b import contracts
    from segment1b.cli import console
    from segment1b.read import export as exports
    from segment1b.read import gate
    from segment1b.storage.root import find_root

    root = find_root(data_root)
    known = contracts.load(str(dictionary) if dictionary else None)
    given = tokens(seed, parameter_hash, manifest_fingerprint)
    places = gate.find_places(root, known, given)
    rows = exports.export(root, known, places, fmt, out, country or (), merchant or ())
    if as_json:
        console.print_json({"rows": rows, "format": fmt, "out": str(out)})
    else:
        print(f"{rows:,} sites in {out}")


def diff(
    old: Annotated[Path, typer.Argument(help="A data root.")],
    new: Annotated[Path, typer.Argument(help="The same or another data root.")],
    old_fingerprint: Annotated[str | None, typer.Option(help="Which outlets of OLD.")] = None,
    new_fingerprint: Annotated[str | None, typer.Option(help="Which outlets of NEW.")] = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Report which sites were added, removed and moved, by country, with distances."""
    from segment1b.cli import console
    from segment1b.read import diff as growth
    from segment1b.storage.root import find_root

    found = growth.diff(
        find_root(old),
        find_root(new),
        old={"manifest_fingerprint": old_fingerprint},
        new={"manifest_fingerprint": new_fingerprint},
        dictionary=dictionary,
    )
    if as_json:
        console.print_json(found)
        return
    for line in growth.lines(found):
        print(line)


def rng_export(
    stream: Annotated[str, typer.Option(help="site_tile_assign or in_cell_jitter.")],
    out: Annotated[Path, typer.Option(help="The file to write; must not exist.")],
    data_root: DataRoot = ROOT,
    seed: Seed = None,
    parameter_hash: ParameterHash = None,
    manifest_fingerprint: Fingerprint = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Write the random draws of a stream as JSON lines, one per event."""
    from segment1b.cli import console
    from segment1b.pipeline.decide import find_identity
    from segment1b.read import rng_export as rng_log
    from segment1b.storage.root import find_root

    root = find_root(data_root)
    given = tokens(seed, parameter_hash, manifest_fingerprint)
    known, identity = find_identity(root, dictionary, given)
    events = rng_log.rng_export(root, known, identity.places, stream, out)
    if as_json:
        console.print_json({"events": events, "stream": stream, "out": str(out)})
    else:
        print(f"{events:,} events in {out}")
