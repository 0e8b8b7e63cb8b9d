"""What a state has read is what the reports of its inputs name, or nothing is published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from segment1b.states import STATES, s3_requirements, s7_synthesis
from segment1b.storage import durable, records
from segment1b.storage.reader import Reader
from shapes import tree
from spoil import PLAN, World

Copy = Callable[[str], World]
SPLIT_BY = {
    "s4": "s3_requirements",
    "s5": "s4_alloc_plan",
    "s6": "s5_site_tile_assignment",
    "s7": "s6_site_jitter",
    "s9": "s7_site_synthesis",
}
READS = {"s2": "tile_index", **SPLIT_BY, "s8": "s7_site_synthesis"}


def before(world: World, state: str) -> World:
    """Return a world as it is before a state runs."""
    for name in list(STATES)[int(state[1:]) :]:
        world.path(f"{name}_run_report").unlink()
    return world


def refusal(world: World, state: str) -> str:
    code = world.refused(state).code
    assert not world.path(f"{state}_run_report").exists()
    return code


@pytest.mark.parametrize(("state", "dataset"), READS.items())
@pytest.mark.code("E_NOT_CONSERVED")
def test_a_row_group_that_is_not_read_stops_the_state(
    world: Copy, monkeypatch: pytest.MonkeyPatch, state: str, dataset: str
) -> None:
    spoiled, plain = before(world("permuted"), state), Reader.row_groups

    def short(self: Reader, partition: Any, *args: Any, **kwargs: Any) -> Iterator[pa.Table]:
        for table in plain(self, partition, *args, **kwargs):
            lost = partition.dataset.id == dataset and table.num_rows > 1
            yield table.slice(1) if lost else table

    monkeypatch.setattr(Reader, "row_groups", short)
    assert refusal(spoiled, state) in ("E_NOT_CONSERVED", "E702_ROW_EXTRA", "E701_ROW_MISSING")


@pytest.mark.parametrize(
    ("state", "module", "code"),
    [
        ("s3", s3_requirements, "E_NOT_CONSERVED"),
        ("s7", s7_synthesis, "E708_1A_COVERAGE_FAIL"),
    ],
)
def test_outlets_that_are_not_read_stop_the_state(
    world: Copy, monkeypatch: pytest.MonkeyPatch, state: str, module: Any, code: str
) -> None:
    spoiled, plain = before(world("permuted"), state), module.ingress_groups

    def nothing(*args: Any, **kwargs: Any) -> Iterator[pa.Table]:
        return iter([table.slice(0, 0) for table in plain(*args, **kwargs)])

    monkeypatch.setattr(module, "ingress_groups", nothing)
    assert refusal(spoiled, state) == code


@pytest.mark.parametrize("state", SPLIT_BY)
def test_a_staged_file_that_lost_its_last_write_stops_the_state(
    world: Copy, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """As `ndarray.tofile` on a disk that is full for a moment: no error, and rows are missing."""
    spoiled, plain = before(world("permuted"), state), durable.write_file
    done: list[Path] = []

    def losing(path: Path, data: Any, **how: Any) -> None:
        if SPLIT_BY[state] in path.parent.name and not done:
            done.append(path)
            path.touch()
        else:
            plain(path, data, **how)

    monkeypatch.setattr(records, "write_file", losing)
    assert refusal(spoiled, state) == "E_STAGING_DAMAGED"
    monkeypatch.undo()
    assert done
    spoiled.run(state, state)


@pytest.mark.parametrize("name", ["stable", "balanced"])
def test_a_disk_that_is_full_for_a_moment_publishes_no_plan(
    world: Copy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spoiled = world(name)
    plan = tree(spoiled.path(PLAN))
    spoiled.remove("s4")
    full = iter([Path("/dev/full")])
    plain = records.write_file

    def momentarily_full(path: Path, data: Any, **how: Any) -> None:
        plain(next(full, path), data, **how)

    monkeypatch.setattr(records, "write_file", momentarily_full)
    assert spoiled.refused("s4").code == "E_STORAGE_FULL"
    assert not spoiled.path(PLAN).exists()
    spoiled.run("s4", "s4")
    assert [data for *_, data in tree(spoiled.path(PLAN)).values()] == [
        data for *_, data in plan.values()
    ]


def test_a_plan_whose_report_names_other_sites_stops_s5(world: Copy) -> None:
    spoiled = before(world("permuted"), "s5")
    spoiled.rewrite(
        "s4_run_report", lambda report: report.update(sites_total=report["sites_total"] - 1)
    )
    assert refusal(spoiled, "s5") == "E_NOT_CONSERVED"
