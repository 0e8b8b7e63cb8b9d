"""What the command line says of data roots in object stores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the option that all commands share."""
    app.callback()(options)


def options(
    cache: Annotated[
        Path | None,
        typer.Option(
            envvar="SEGMENT1B_CACHE",
            help="Where working copies of data roots in object stores (s3://...) lie.",
        ),
    ] = None,
) -> None:
    """Merchants' outlets on the planet: exact, reproducible, provable."""
    if cache is not None:
        os.environ["SEGMENT1B_CACHE"] = str(cache)
