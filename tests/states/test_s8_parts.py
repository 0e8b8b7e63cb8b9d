"""A part of S7 becomes a part of S8 with the same rows."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow.parquet as pq
import pytest

from segment1b.states import s8_egress
from segment1b.storage import gather
from spoil import JOINED, LOCATED, World

ROWS_OF_A_FILE, ROWS_OF_A_GROUP = 100, 50


@pytest.fixture
def small_files(world: Callable[[str], World], monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose S7 has files of 100 rows, and nothing behind it."""
    own = world("stable")
    monkeypatch.setattr(gather, "FILE_ROWS", ROWS_OF_A_FILE)
    monkeypatch.setattr(gather, "GROUP_ROWS", ROWS_OF_A_GROUP)
    own.remove("s7", "s8", "s9")
    own.run("s7", "s7")
    return own


def rows_of_files(world: World, dataset_id: str) -> list[int]:
    paths = sorted(world.path(dataset_id).iterdir())
    return [pq.read_metadata(path).num_rows for path in paths]


def test_s8_has_the_files_of_s7(small_files: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s8_egress, "FILE_ROWS", ROWS_OF_A_FILE)
    outcome = small_files.run("s8", "s8").s8
    files = rows_of_files(small_files, LOCATED)
    assert files == rows_of_files(small_files, JOINED)
    assert len(files) > 2
    assert {*files[:-1]} == {ROWS_OF_A_FILE}
    synthesis, sites = (pq.read_table(small_files.path(name)) for name in (JOINED, LOCATED))
    assert sites.equals(synthesis.select(sites.column_names))
    assert outcome.report["rows_s8"] == len(sites)


@pytest.mark.code("E_NOT_CONSERVED")
def test_files_of_s7_that_are_not_full_are_refused(small_files: World) -> None:
    refusal = small_files.refused("s8")
    assert refusal.code == "E_NOT_CONSERVED"
    assert "part-00000.parquet of s7_site_synthesis" in refusal.message
