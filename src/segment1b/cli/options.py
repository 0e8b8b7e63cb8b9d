"""Options that several commands share, each with its one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

DataRoot = Annotated[Path, typer.Option(help="Folder or s3://bucket/prefix; all lies there.")]
Seed = Annotated[int | None, typer.Option(help="Unsigned 64-bit; taken from what is there.")]
ParameterHash = Annotated[str | None, typer.Option(help="64 hex digits; taken from what is there.")]
Fingerprint = Annotated[str | None, typer.Option(help="64 hex digits; which outlets.")]
Dictionary = Annotated[Path | None, typer.Option(help="Another dataset dictionary.")]
PolicyFiles = Annotated[list[Path] | None, typer.Option("--policy", help="YAML over the contract.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="KEY=VALUE over the policy, for example allocation.law=largest_remainder."
    ),
]
LogFormat = Annotated[Literal["text", "json"], typer.Option(help="Of the lines on stderr.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
ROOT = Path("segment1b-data")


def tokens(
    seed: int | None, parameter_hash: str | None, manifest_fingerprint: str | None
) -> dict[str, Any]:
    """Return what was asked for of an identity, by token; None is taken from what is there."""
    return {
        "seed": seed,
        "parameter_hash": parameter_hash,
        "manifest_fingerprint": manifest_fingerprint,
    }
