"""Deciding which run is asked for writes nothing; preparing writes what the run needs, once."""

from __future__ import annotations

from pathlib import Path

import pytest

import worlds
from segment1b.config import RunSettings
from segment1b.errors import Segment1BError
from segment1b.pipeline.decide import decide, named_outlets
from segment1b.pipeline.prepare import import_outlets, lay_and_decide, prepare
from segment1b.storage.root import open_root
from segment1b.storage.staging import staging
from shapes import tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return open_root(worlds.lay_small_world(tmp_path / "root", countries=("FJ", "VA")))


@pytest.fixture
def settings(root: Path, tmp_path: Path) -> RunSettings:
    outlets = worlds.outlet_list(tmp_path / "outlets.csv", ("FJ", "VA"), merchants=3)
    return RunSettings(data_root=root, outlets=outlets, seed=7)


def test_deciding_writes_nothing(root: Path, settings: RunSettings) -> None:
    before = tree(root)
    given = named_outlets(root, settings)
    decision = decide(root, settings, given, root / ".staging")
    assert tree(root) == before
    assert decision.run.identity.seed == 7
    assert decision.pairs is given


def test_what_was_prepared_is_decided_again_without_the_list(
    root: Path, settings: RunSettings
) -> None:
    run, *_ = import_outlets(settings)
    with staging(root) as scratch:
        prepare(decide(root, settings, named_outlets(root, settings), scratch), settings)
    prepared = {name: own for name, own in tree(root).items() if not name.startswith(".")}
    without = RunSettings(data_root=root)
    again = decide(root, without, None, root / ".staging")
    assert again.run.identity == run.identity
    assert again.pairs is None
    with staging(root) as scratch:
        prepare(decide(root, without, None, scratch), without)
    assert {name: own for name, own in tree(root).items() if not name.startswith(".")} == prepared


def test_a_list_that_is_refused_leaves_the_root_without_surfaces(tmp_path: Path) -> None:
    root, bad = open_root(tmp_path / "root"), tmp_path / "bad.csv"
    bad.write_text("merchant_id,country_iso,n_sites\n1,XX,1\n")
    with pytest.raises(Segment1BError, match=r"^E_OUTLETS_INVALID:"):
        lay_and_decide(root, RunSettings(data_root=root, outlets=bad), root / ".staging")
    assert [name for name in tree(root) if not name.startswith(".")] == []


def test_a_root_without_bundle_or_list_is_refused(root: Path) -> None:
    with pytest.raises(Segment1BError, match=r"^E_BUNDLE_MISSING:"):
        decide(root, RunSettings(data_root=root), None, root / ".staging")
