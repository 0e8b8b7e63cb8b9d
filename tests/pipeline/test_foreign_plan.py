"""A partition that comes from another run, with its own run report, is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import worlds
from segment1b.config import load_policy
from segment1b.errors import Segment1BError
from segment1b.pipeline.finding import find_identity


@pytest.mark.parametrize(
    ("state", "code"), [("s3", "E406_TOKEN_MISMATCH"), ("s4", "E508_TOKEN_MISMATCH")]
)
def test_a_partition_whose_report_is_about_another_seed_is_a_token_mismatch(
    tmp_path: Path, state: str, code: str
) -> None:
    outlets = worlds.outlet_list(tmp_path / "outlets.csv")
    mine = worlds.run(worlds.lay_small_world(tmp_path / "mine"), outlets=outlets, to_state=state)
    other = worlds.run(
        worlds.lay_small_world(tmp_path / "other"), outlets=outlets, seed=7, to_state=state
    )
    ours, theirs = mine.outcomes[-1], other.outcomes[-1]
    shutil.rmtree(ours.datasets[0])
    shutil.copytree(theirs.datasets[0], ours.datasets[0])
    shutil.copy(theirs.report_path, ours.report_path)
    after = f"s{int(state[1]) + 1}"
    with pytest.raises(Segment1BError) as caught:
        worlds.run(mine.root, from_state=after, to_state=after)
    assert caught.value.code == code
    assert "seed 7" in caught.value.message


def test_attempts_are_bounded_by_what_their_counter_holds() -> None:
    with pytest.raises(Segment1BError, match="65535"):
        load_policy(settings=["max_attempts_tile=65000"])


def test_the_identity_of_a_root_is_found_without_any_token(tmp_path: Path) -> None:
    outlets = worlds.outlet_list(tmp_path / "outlets.csv")
    root = worlds.lay_small_world(tmp_path / "root")
    result = worlds.run(root, outlets=outlets, to_state="s0")
    assert find_identity(root, None, {})[1].tokens == result.identity
