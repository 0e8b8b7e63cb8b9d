"""A small run that has passed, for evidence."""

from __future__ import annotations

import pytest

import worlds
from segment1b.evidence import proof
from segment1b.evidence.proof import ProvedRun
from segment1b.pipeline.finding import find_identity


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> ProvedRun:
    """Run a tiny world through S9."""
    folder = tmp_path_factory.mktemp("evidence")
    root = worlds.lay_small_world(folder / "root", countries=("FJ", "LS", "VA"))
    outlets = worlds.outlet_list(folder / "outlets.csv", ("FJ", "LS", "VA"), merchants=20)
    worlds.run(root, outlets=outlets, to_state="s9")
    known, identity = find_identity(root, None, {})
    return ProvedRun(root, known, identity.places)


@pytest.fixture
def one_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat in this process alone, where a test is about something else."""
    monkeypatch.setattr(proof, "REPEATS", (("serial", 1),))
