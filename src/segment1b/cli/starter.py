"""The command that writes the first files of a project: a list, a night, scenarios."""

from __future__ import annotations

import os
import shlex
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from segment1b.cli.options import AsJson, show
from segment1b.errors import file_error

FILES = (
    "outlets.csv",
    "nightly.yaml",
    "scenarios/balanced.yaml",
    "scenarios/largest_remainder.yaml",
    "scenarios/stable.yaml",
    "scenarios/systematic.yaml",
)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write into.")],
    as_json: AsJson = False,
) -> None:
    """Write a template of an outlet list, a nightly file and scenarios; overwrites nothing."""
    from segment1b.storage.durable import make_folder
    from segment1b.storage.scratch import replace_file

    folder = Path(os.path.abspath(folder))
    for path in (folder / name for name in FILES):
        if os.path.lexists(path):
            raise file_error("E_USAGE", path, "exists already", "give another folder, or move it")
    make_folder(folder / "scenarios")
    for name in FILES:
        source = resources.files("segment1b") / "starter" / name
        replace_file(folder / name, source.read_bytes())

    def text(_: object) -> None:
        for name in FILES:
            print(f"wrote {folder / name}")
        print(f"next:\n  cd {shlex.quote(str(folder))}")
        print("  segment1b run --outlets outlets.csv")

    show({"folder": str(folder), "files": list(FILES)}, text, as_json=as_json)
