"""Nights over small worlds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from segment1b.nightly.night import LOG, run_night
from segment1b.nightly.plan import load_night
from segment1b.pipeline.execution import silent
from worlds import lay_small_world, outlet_list

COUNTRIES = ("NL", "PT", "VA")
Json = dict[str, Any]
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    """Leave the package's log as it was found: commands set up handlers of their own."""
    before = LOG.handlers[:], LOG.propagate, LOG.level
    yield
    LOG.handlers[:], LOG.propagate, LOG.level = before


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small world, `root`, that nothing was run in, and a list."""
    folder = tmp_path_factory.mktemp("night")
    lay_small_world(folder / "root", countries=COUNTRIES)
    outlet_list(folder / "my.csv", countries=COUNTRIES, merchants=20)
    return folder


@pytest.fixture
def desk(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with the list and two data roots, `one` and `two`, with surfaces only."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "reference").symlink_to(world / "root" / "reference")
    (tmp_path / "my.csv").write_text((world / "my.csv").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(desk: Path) -> Write:
    """Return a function that writes a night's file from runs and top-level keys."""

    def made(*runs: Json, **top: Any) -> Path:
        path = desk / "night.yaml"
        # JSON is YAML without aliases.
        path.write_text(json.dumps({"lock": "night.lock", **top, "runs": list(runs)}))
        return path

    return made


def plan(name: str, root: str, **keys: Any) -> Json:
    """Return a run over the list, to S4 unless told otherwise."""
    return {"name": name, "data_root": root, "outlets": "my.csv", "to_state": "s4", **keys}


def night(path: Path, *only: str) -> Json:
    return run_night(path, load_night(path), only, silent)


def events(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def files(root: Path) -> dict[str, bytes]:
    """Return every file below a folder that is no link, with its bytes."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
