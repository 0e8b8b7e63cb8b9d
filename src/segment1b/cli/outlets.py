"""The command that imports outlet lists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from segment1b.cli.options import (
    ROOT,
    AsJson,
    DataRoot,
    Dictionary,
    PolicyFiles,
    Seed,
    Settings,
    given,
    show,
)


def import_list(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet.")],
    data_root: DataRoot = ROOT,
    seed: Seed = None,
    dictionary: Dictionary = None,
    policy_files: PolicyFiles = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Import an outlet list: catalogue, validation bundle, fingerprint."""
    from segment1b.config import run_settings
    from segment1b.pipeline.prepare import import_outlets

    asked = given(
        data_root=data_root,
        outlets=file,
        seed=seed,
        dictionary=dictionary,
        policy_files=policy_files,
        settings=settings,
    )
    run, pairs = import_outlets(run_settings(asked))
    summary = {
        "pairs": len(pairs.n_sites),
        "outlets": int(pairs.n_sites.sum()),
        **run.identity.tokens,
        "ignored_columns": list(pairs.ignored),
    }
    show(summary, _print, as_json=as_json)


def _print(summary: Mapping[str, Any]) -> None:
    for name, value in summary.items():
        print(f"{name:<21} {value}")
