"""A part of S7 becomes a part of S8 with the same rows."""

from __future__ import annotations

import json
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


def test_s8_cuts_row_groups_itself(small_files: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s8_egress, "FILE_ROWS", ROWS_OF_A_FILE)
    monkeypatch.setattr(s8_egress, "GROUP_ROWS", 40)
    small_files.run("s8", "s8")
    footer = pq.read_metadata(small_files.part(LOCATED))
    sizes = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
    assert sizes == [40, 40, 20]


@pytest.mark.code("E_NOT_CONSERVED")
@pytest.mark.parametrize("rows", [ROWS_OF_A_FILE - 1, ROWS_OF_A_FILE + 1])
def test_files_of_s7_of_another_cut_are_refused(
    rows: int, small_files: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s8_egress, "FILE_ROWS", rows)
    refusal = small_files.refused("s8")
    assert refusal.code == "E_NOT_CONSERVED"
    assert "part-00000.parquet of s7_site_synthesis" in refusal.message


@pytest.mark.parametrize("at", [0, -2, -1])
def test_a_file_that_lost_a_row_is_refused_wherever_it_is(
    at: int, small_files: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s8_egress, "FILE_ROWS", ROWS_OF_A_FILE)
    files = sorted(small_files.path(JOINED).iterdir())
    table = pq.read_table(files[at])
    pq.write_table(table.slice(1), files[at])
    report = json.loads(small_files.path("s7_run_report").read_text())
    rows = report["determinism_receipt"]["rows"]
    small_files.forge_receipt(JOINED)
    small_files.rewrite(
        "s7_run_report", lambda report: report["determinism_receipt"].update(rows=rows)
    )
    assert small_files.refused("s8").code == "E_NOT_CONSERVED"
