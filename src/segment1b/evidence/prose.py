"""Renders the Markdown texts of an evidence bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from segment1b.contracts import Contracts
from segment1b.evidence.records import datasets, embedded_surfaces, notice

Rows = list[dict[str, Any]]


def readme(manifest: dict[str, Any], pairs: int, story: Rows) -> str:
    """Return README.md; `story` has one outlet's rows from requirement to location."""
    names = ("need", "plan", "assigned", "offset", "tile", "location")
    return _render(
        "README.md",
        manifest=manifest,
        counts=manifest["counts"],
        repeated=_repeated(manifest["determinism"]["repeats"]),
        pairs=pairs,
        **dict(zip(names, story, strict=True)),
    )


def determinism(proof: dict[str, Any]) -> str:
    """Return determinism.md, the proof of determinism as a table."""
    return _render("determinism.md", proof=proof, repeated=_repeated(proof["repeats"]))


def notices(known: Contracts, surfaces: dict[str, str]) -> str:
    """Return NOTICE.md: licences of datasets, and notices of the surfaces (id to SHA-256)."""
    return _render(
        "NOTICE.md",
        datasets=datasets(known),
        surfaces=sorted(surfaces.items()),
        own=embedded_surfaces(surfaces),
        notice=notice().replace("# ", "## ", 1).rstrip(),
    )


def _repeated(repeats: Rows) -> str:
    """Return the engines and workers of the repeats as text."""
    ways = []
    for repeat in repeats:
        workers = "1 worker" if repeat["workers"] == 1 else f"{repeat['workers']} workers"
        ways.append(f"with the engine `{repeat['engine']}` and {workers}")
    return " and ".join(ways)


def _render(name: str, **values: Any) -> str:
    """Render a Markdown template, so nothing is escaped for HTML."""
    environment = jinja2.Environment(  # noqa: S701
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("texts")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{name}.jinja").render(**values)
