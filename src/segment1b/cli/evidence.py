"""The commands of people who review a run: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

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
    app.command("evidence")(evidence)
    app.command("verify-bundle")(verify_bundle)


def evidence(
    out: Annotated[Path, typer.Option(help="The bundle's folder; absent or empty.")],
    data_root: DataRoot = ROOT,
    seed: Seed = None,
    parameter_hash: ParameterHash = None,
    manifest_fingerprint: Fingerprint = None,
    dictionary: Dictionary = None,
    validation_bundle: Annotated[Path | None, typer.Option(help="1A's bundle elsewhere.")] = None,
    sample_rows: Annotated[
        int, typer.Option(min=1, help="At most so many outlets in the data sample.")
    ] = 200,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of older evidence.")
    ] = False,
    without_page: Annotated[
        bool, typer.Option("--without-page", help="Leave the page out: 10 MB less.")
    ] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No steps on stderr.")] = False,
) -> None:
    """Write what reviewers need: sample, reports, checks, checksums, and the run made again."""
    from segment1b.cli import console
    from segment1b.evidence.bundle import write_evidence
    from segment1b.evidence.proof import Published
    from segment1b.pipeline.decide import find_identity
    from segment1b.storage.root import find_root

    root = find_root(data_root)
    given = tokens(seed, parameter_hash, manifest_fingerprint)
    known, identity = find_identity(root, dictionary, given)
    found = write_evidence(
        Published(root, known, identity.places, dictionary, validation_bundle),
        out,
        sample_sites=sample_rows,
        replace=replace,
        with_page=not without_page,
        say=lambda step: None if quiet else print(f"{step} ...", file=sys.stderr),
    )
    if as_json:
        console.print_json({**found, "out": str(out)})
        return
    _print_evidence(found)
    print(f"start reading at        {out / 'README.md'}")


def verify_bundle(
    folder: Annotated[Path, typer.Argument(help="A data root, or an evidence bundle.")] = ROOT,
    seed: Seed = None,
    parameter_hash: ParameterHash = None,
    manifest_fingerprint: Fingerprint = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Check flag, summary and checksums of what was handed over; hash what receipts name."""
    from segment1b import contracts
    from segment1b.cli import console
    from segment1b.read import evidence as bundles
    from segment1b.read import gate
    from segment1b.storage.root import find_root

    root = find_root(folder)
    known = contracts.load(str(dictionary) if dictionary else None)
    if bundles.is_evidence(root):
        found = bundles.verify_evidence(root, known)
        printed = _print_evidence
    else:
        given = tokens(seed, parameter_hash, manifest_fingerprint)
        found = gate.verify_bundle(root, known, gate.find_places(root, known, given))
        printed = _print_root
    if as_json:
        console.print_json(found)
    else:
        printed(found)


def _print_root(found: dict[str, Any]) -> None:
    egress = found["egress"]
    print(f"passed: flag {found['flag_sha256_hex']} over {found['bundle_files']} bundle files")
    print(f"{egress['path']}: {egress['files']} files, {egress['bytes']:,} bytes as they passed")
    print(f"hashed against receipts: {', '.join(found['receipts']) or 'no other dataset is here'}")


def _print_evidence(found: dict[str, Any]) -> None:
    print(f"evidence holds          {found['files']} files as SHA256SUMS has them")
    print(
        f"validation bundle       flag {found['flag_sha256_hex']} over "
        f"{found['bundle_files']} files"
    )
    print(f"checks                  {found['checks']}, none with offending rows")
    print(f"made again              {found['datasets']} datasets and logs, content equal")
