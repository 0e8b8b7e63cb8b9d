"""The texts of an evidence bundle: what a person reads before opening any of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from segment1b.contracts import Contracts
from segment1b.evidence.records import datasets, embedded_surfaces, notice

Rows = list[dict[str, Any]]


def readme(manifest: dict[str, Any], pairs: int, story: Rows) -> str:
    """Return the index: what the bundle says, and how a reviewer checks it.

    Args:
        manifest: the bundle's manifest.
        pairs: how many pairs the data sample has.
        story: the sampled rows of one outlet, a row each of requirements, plan, assignment, offset,
            tile and location.
    """
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
    """Return the proof of determinism as a table that a person can read."""
    return _render("determinism.md", proof=proof, repeated=_repeated(proof["repeats"]))


def notices(known: Contracts, surfaces: dict[str, str]) -> str:
    """Return licences of the datasets, and the notices of the surfaces that ship with the project.

    Args:
        known: the dictionary.
        surfaces: SHA-256 of the reference surfaces in force, by dataset id.
    """
    return _render(
        "NOTICE.md",
        datasets=datasets(known),
        surfaces=sorted(surfaces.items()),
        own=embedded_surfaces(surfaces),
        notice=notice().replace("# ", "## ", 1).rstrip(),
    )


def _repeated(repeats: Rows) -> str:
    """Say how the run was made again."""
    ways = []
    for repeat in repeats:
        workers = "1 worker" if repeat["workers"] == 1 else f"{repeat['workers']} workers"
        ways.append(f"with the engine `{repeat['engine']}` and {workers}")
    return " and ".join(ways)


def _render(name: str, **values: Any) -> str:
    """Fill one of the texts beside this module; Markdown, so nothing is escaped for HTML."""
    environment = jinja2.Environment(  # noqa: S701
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("texts")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{name}.jinja").render(**values)
