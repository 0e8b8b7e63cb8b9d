"""What a state has read is what the reports of its inputs name, or nothing is published."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import worlds
from segment1b.errors import Segment1BError
from segment1b.states import STATES, s3_requirements, s7_synthesis
from segment1b.storage import durable, records, split
from segment1b.storage.reader import Reader

LAWS = ("stable", "balanced")
SPLIT_BY = {
    "s4": "s3_requirements",
    "s5": "s4_alloc_plan",
    "s6": "s5_site_tile_assignment",
    "s7": "s6_site_jitter",
    "s9": "s7_site_synthesis",
}
READS = {"s2": "tile_index", **SPLIT_BY, "s8": "s7_site_synthesis"}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = worlds.lay_small_world(tmp_path_factory.mktemp("conserved") / "root", degrees=1.0)
    worlds.run(root, outlets=worlds.outlet_list(root.parent / "list.csv"), to_state="s8")
    return root


def before(published: Path, tmp_path: Path, state: str) -> Path:
    """Return a copy of the root as it is before a state runs."""
    root = tmp_path / "root"
    shutil.copytree(published, root)
    for name in list(STATES)[int(state[1:]) :]:
        for report in root.glob(f"control/**/{name}_run_report.json"):
            report.unlink()
    return root


def refusal(root: Path, state: str) -> str:
    with pytest.raises(Segment1BError) as caught:
        worlds.run(root, from_state=state, to_state=state)
    assert not list(root.glob(f"control/**/{state}_run_report.json"))
    return caught.value.code


@pytest.mark.parametrize(("state", "dataset"), READS.items())
@pytest.mark.code("E_NOT_CONSERVED")
def test_a_row_group_that_is_not_read_stops_the_state(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, dataset: str
) -> None:
    root, plain = before(published, tmp_path, state), Reader.row_groups

    def short(self: Reader, partition: Any, *args: Any, **kwargs: Any) -> Iterator[pa.Table]:
        for table in plain(self, partition, *args, **kwargs):
            lost = partition.dataset.id == dataset and table.num_rows > 1
            yield table.slice(1) if lost else table

    monkeypatch.setattr(Reader, "row_groups", short)
    assert refusal(root, state) in ("E_NOT_CONSERVED", "E702_ROW_EXTRA", "E701_ROW_MISSING")


@pytest.mark.parametrize(("state", "module"), [("s3", s3_requirements), ("s7", s7_synthesis)])
def test_outlets_that_are_not_read_stop_the_state(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, module: Any
) -> None:
    root, plain = before(published, tmp_path, state), module.ingress_groups

    def nothing(*args: Any, **kwargs: Any) -> Iterator[pa.Table]:
        return iter([table.slice(0, 0) for table in plain(*args, **kwargs)])

    monkeypatch.setattr(module, "ingress_groups", nothing)
    assert refusal(root, state) == ("E_NOT_CONSERVED" if state == "s3" else "E708_1A_COVERAGE_FAIL")


@pytest.mark.parametrize("state", SPLIT_BY)
def test_a_staged_file_that_lost_its_last_write_stops_the_state(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """As `ndarray.tofile` on a disk that is full for a moment: no error, and rows are missing."""
    root, plain = before(published, tmp_path, state), durable.write_file
    done: list[Path] = []

    def losing(path: Path, data: Any, **how: Any) -> int:
        if SPLIT_BY[state] in path.parent.name and not done:
            done.append(path)
            path.touch()
            return len(data)
        return plain(path, data, **how)

    monkeypatch.setattr(records, "write_file", losing)
    assert refusal(root, state) == "E_STAGING_DAMAGED"
    monkeypatch.undo()
    assert done
    worlds.run(root, from_state=state, to_state=state)


@pytest.mark.parametrize("law", LAWS)
def test_a_disk_that_is_full_for_a_moment_publishes_no_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, law: str
) -> None:
    root = worlds.lay_small_world(tmp_path / "root", degrees=1.0)
    settings = (f"allocation.law={law}",)
    worlds.run(root, outlets=worlds.outlet_list(tmp_path / "list.csv"), settings=settings)
    undisturbed = worlds.digests(worlds.run(root, settings=settings))
    shutil.rmtree(root / "data/layer1/1B/s4_alloc_plan")
    shutil.rmtree(root / "control/s4_alloc_plan")
    full = iter([Path("/dev/full")])
    plain = split.write_records

    def momentarily_full(path: Path, rows: Any, *, append: bool = False) -> int:
        return plain(next(full, path), rows, append=append)

    monkeypatch.setattr(split, "write_records", momentarily_full)
    with pytest.raises(Segment1BError, match=r"^E_STORAGE_FULL:"):
        worlds.run(root, settings=settings)
    assert worlds.digests(worlds.run(root, settings=settings)) == undisturbed


def test_a_plan_whose_report_names_other_sites_stops_s5(published: Path, tmp_path: Path) -> None:
    root = before(published, tmp_path, "s5")
    path = next(root.glob("control/**/s4_run_report.json"))
    report = durable.read_json(path)
    durable.replace_json(path, report | {"sites_total": report["sites_total"] - 1}, path.parent)
    assert refusal(root, "s5") == "E_NOT_CONSERVED"
