"""Writes the HTML report of one run, or of two side by side, as one self-contained file."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from segment1b.contracts.program import VERSION
from segment1b.errors import file_error
from segment1b.page.content import run_of
from segment1b.page.published import read_world
from segment1b.storage.scratch import replace_file
from segment1b.storage.snapshot import Snapshot

_SCRIPTS = ("data.js", "map.js", "drawing.js", "pointing.js", "tables.js", "page.js")
_VENDORED = ("d3.min.js", "plot.min.js")


def write_page(
    run: Snapshot, out: Path, *, other: Snapshot | None = None, replace: bool = False
) -> Path:
    """Write the page of one run as `out`, or of two side by side; equal roots give equal bytes.

    States that are not published yet are left out.

    Raises:
        Segment1BError: E_USAGE when the file exists, unless `replace`; E_DATA_ROOT_UNUSABLE or
            E_STORAGE_FULL for the file.
    """
    if not replace and os.path.lexists(out):
        what = "exists already"
        raise file_error("E_USAGE", out, what, "remove it, or give another --out, or --replace")
    runs = [run, other] if other else [run]
    replace_file(out, render([run_of(read_world(run)) for run in runs]).encode())
    return out


def render(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the HTML of one run or two."""
    folder = resources.files("segment1b.page") / "files"
    libraries = [(folder / "vendor" / name).read_text("utf-8") for name in _VENDORED]
    scripts = [*libraries, "\n".join((folder / name).read_text("utf-8") for name in _SCRIPTS)]
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((folder / "page.html.jinja").read_text("utf-8"))
    return template.render(
        runs=runs,
        differences=differences(*[run["figures"] for run in runs]) if len(runs) == 2 else [],
        css=Markup((folder / "page.css").read_text("utf-8")),  # noqa: S704 - our own file
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - the package's own files
        hashes=[_hash(script) for script in scripts],
        version=VERSION,
    )


def _hash(script: str) -> str:
    """Return the source expression by which a content security policy allows one inline script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def differences(
    first: Mapping[str, float], second: Mapping[str, float]
) -> list[tuple[str, str, str, str]]:
    """Return name, value of A, value of B and B less A of each figure that either run has."""

    def text(value: float | None, sign: str = "") -> str:
        if value is None:
            return "not known"
        return format(value, f"{sign},.3f" if isinstance(value, float) else f"{sign},")

    rows = []
    for name in dict.fromkeys([*first, *second]):
        a, b = first.get(name), second.get(name)
        less = None if a is None or b is None else b - a
        rows.append((name, text(a), text(b), "none" if less == 0 else text(less, "+")))
    return rows
