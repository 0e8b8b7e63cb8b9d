"""The small world of half a degree, run under two laws once."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import worlds
from segment1b.pipeline.outcome import RunResult


@pytest.fixture(scope="session")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.lay_small_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def outlets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.outlet_list(tmp_path_factory.mktemp("list") / "outlets.csv")


@pytest.fixture(scope="session")
def undisturbed(
    surfaces: Path, outlets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], RunResult]:
    """Return a function that runs the world under a law to S9, once and serially."""

    @functools.cache
    def run(law: str) -> RunResult:
        root = shutil.copytree(surfaces, tmp_path_factory.mktemp(law) / "root")
        settings = (f"allocation.law={law}",)
        return worlds.run(
            root, outlets=outlets, settings=settings, workers=1, engine="serial", to_state="s9"
        )

    return run
