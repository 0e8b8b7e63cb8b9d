"""The commands around runs: what is there, what is left over: parse, call, print."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from segment1b.cli.options import (
    ROOT,
    AsJson,
    DataRoot,
    Dictionary,
    Fingerprint,
    LogFormat,
    ParameterHash,
    Seed,
    tokens,
)
from segment1b.errors import Segment1BError

Outlets = Annotated[Path | None, typer.Option(help="As if a run brought this outlet list in.")]
PolicyFiles = Annotated[
    list[Path] | None, typer.Option("--policy", help="As if a run had this policy file.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="As if a run had this KEY=VALUE over the policy.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    scenarios = typer.Typer(no_args_is_help=True, help="Policies side by side.")
    scenarios.command("compare")(compare)
    app.add_typer(scenarios, name="scenario")
    app.command("status")(status)
    app.command("clean")(clean)
    app.command("discard")(discard)


def compare(
    files: Annotated[list[Path], typer.Argument(help="YAML files: name, policy_files, settings.")],
    outlets: Annotated[
        Path | None, typer.Option(help="Outlet list of all scenarios; the embedded sample.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Keep each scenario's data root in this folder.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers of all states.")] = None,
    engine: Annotated[
        str, typer.Option(help="serial, threads, processes, dask or tcp://HOST:PORT.")
    ] = "threads",
    as_json: AsJson = False,
    log_format: LogFormat = "text",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, warnings only.")] = False,
) -> None:
    """Run policies over the same outlets, S0 to S8, and tabulate what sets them apart."""
    from segment1b.cli import conclusions as verdicts
    from segment1b.cli import console
    from segment1b.config import run_settings
    from segment1b.pipeline import compare as comparison

    common = run_settings({"outlets": outlets, "workers": workers, "engine": engine})
    console.set_up_logs(log_format, quiet=quiet)
    with console.progress(log_format, quiet=quiet) as progress:
        found = comparison.compare(files, common, data_root, progress)
    if as_json:
        console.print_json({**found, "answers": verdicts.answers(found["scenarios"])})
    else:
        verdicts.print_comparison(found)


def status(
    data_root: DataRoot = ROOT,
    outlets: Outlets = None,
    policy: PolicyFiles = None,
    settings: Settings = None,
    seed: Seed = None,
    parameter_hash: ParameterHash = None,
    manifest_fingerprint: Fingerprint = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Show what is published, what is stale and why, and what a run would do; write nothing."""
    from segment1b.cli import console
    from segment1b.config import run_settings
    from segment1b.pipeline import status as standing

    asked = run_settings(
        {
            "data_root": data_root,
            "outlets": outlets,
            "policy_files": tuple(policy or ()),
            "settings": tuple(settings or ()),
            "seed": seed,
            "parameter_hash": parameter_hash,
            "manifest_fingerprint": manifest_fingerprint,
            "dictionary": dictionary,
        }
    )
    found = standing.status(asked)
    if as_json:
        console.print_json(found)
    else:
        standing.print_status(found)


def discard(
    from_state: Annotated[str, typer.Option(help="First state to take back, s0 to s9.")],
    data_root: DataRoot = ROOT,
    seed: Seed = None,
    parameter_hash: ParameterHash = None,
    manifest_fingerprint: Fingerprint = None,
    dictionary: Dictionary = None,
    keep_shared: Annotated[
        bool, typer.Option("--keep-shared", help="Keep what only parameter_hash names: tiles.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a lock.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Take back what an identity has published from a state on: the flag first, reports too."""
    from segment1b.cli import console
    from segment1b.pipeline import discard as discarding

    if as_json and not yes:
        raise Segment1BError("E_USAGE", "--json asks nothing", "give --yes too")
    given = tokens(seed, parameter_hash, manifest_fingerprint)
    asked = discarding.Request(data_root, from_state, given, dictionary, wait, keep_shared)

    def agree(found: Mapping[str, int]) -> bool:
        if not as_json:
            discarding.print_items(found)
            discarding.print_total(found, "to remove")
        return yes or discarding.confirmed()

    removed = discarding.discard(asked, agree)
    if as_json:
        listed = [{"path": path, "bytes": size} for path, size in removed.items()]
        console.print_json(
            {"from_state": from_state, "removed": listed, "bytes": sum(removed.values())}
        )
    else:
        discarding.print_total(removed, "removed")


def clean(
    data_root: DataRoot = ROOT,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    older_than_hours: Annotated[
        float, typer.Option(min=0, help="In a store: uploads younger than this stay.")
    ] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Remove what killed runs have left: staging, and in a store uploads that no receipt names."""
    from segment1b.cli import console
    from segment1b.storage.root import find_root, root_at

    root = find_root(data_root)
    found = root_at(root).clean(timedelta(hours=older_than_hours), dry_run=dry_run)
    freed = sum(one.size for one in found)
    if as_json:
        listed = [{"path": str(one.path), "bytes": one.size} for one in found]
        console.print_json({"dry_run": dry_run, "leftovers": listed, "bytes": freed})
        return
    for one in found:
        shown = one.path.relative_to(root) if one.path.is_absolute() else one.path
        print(f"{one.size:>15,} bytes  {shown}")
    done = "would be freed" if dry_run else "freed"
    print(f"{freed:>15,} bytes {done}" if found else "no killed run has left anything")
