"""Renders the Markdown texts of an evidence bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from segment1b.contracts import Contracts
from segment1b.evidence.records import datasets, embedded_surfaces, notice

_TEXTS = ("README.md", "determinism.md", "NOTICE.md")


def texts(
    known: Contracts,
    surfaces: dict[str, str],
    manifest: dict[str, Any],
    proof: dict[str, Any],
    pairs: int,
    story: dict[str, Any],
) -> dict[str, str]:
    """Return the texts by name.

    Args:
        known: the dictionary, whose licences NOTICE.md lists.
        surfaces: SHA-256 of each reference surface.
        manifest: manifest.json.
        proof: determinism.json.
        pairs: pairs in the sample.
        story: the rows of one outlet, from its requirement to its location.
    """
    # Markdown: nothing is escaped for HTML.
    environment = jinja2.Environment(  # noqa: S701
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("texts")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    values = {
        "manifest": manifest,
        "counts": manifest["counts"],
        "proof": proof,
        "repeated": _repeated(proof["repeats"]),
        "pairs": pairs,
        "datasets": datasets(known),
        "surfaces": sorted(surfaces.items()),
        "own": embedded_surfaces(surfaces),
        "notice": notice().replace("# ", "## ", 1).rstrip(),
        **story,
    }
    return {name: environment.get_template(f"{name}.jinja").render(values) for name in _TEXTS}


def _repeated(repeats: list[dict[str, Any]]) -> str:
    """Return the engines and workers of the repeats as text."""
    ways = []
    for repeat in repeats:
        workers = "1 worker" if repeat["workers"] == 1 else f"{repeat['workers']} workers"
        ways.append(f"with the engine `{repeat['engine']}` and {workers}")
    return " and ".join(ways)
