"""The commands around runs: what is there, what is left over: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataRoot = Annotated[Path, typer.Option(help="Folder or s3://bucket/prefix; all lies there.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
ROOT = Path("segment1b-data")


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("clean")(clean)


def clean(
    data_root: DataRoot = ROOT,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what killed runs have left in the staging area, and nothing else."""
    from segment1b import console
    from segment1b.storage.root import find_root, leftovers, sweep_staging

    root = find_root(data_root)
    found = leftovers(root) if dry_run else sweep_staging(root)
    freed = sum(one.size for one in found)
    if as_json:
        listed = [{"path": str(one.path), "bytes": one.size} for one in found]
        console.print_json({"dry_run": dry_run, "leftovers": listed, "bytes": freed})
        return
    for one in found:
        print(f"{one.size:>15,} bytes  {one.path.relative_to(root)}")
    done = "would be freed" if dry_run else "freed"
    print(f"{freed:>15,} bytes {done}" if found else "no killed run has left anything")
