"""What a run relies on is hashed: inputs that it reads, logs, and the bundle that it reuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import worlds
from segment1b import contracts
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.read import gate
from segment1b.states import STATES
from segment1b.storage import durable


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = worlds.lay_small_world(tmp_path_factory.mktemp("reread") / "root", degrees=1.0)
    worlds.run(root, outlets=worlds.outlet_list(root.parent / "list.csv"), to_state="s9")
    return root


@pytest.fixture
def root(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "root"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def forget(root: Path, *states: str) -> None:
    for state in states:
        for report in root.glob(f"control/**/{state}_run_report.json"):
            report.unlink()


@pytest.mark.parametrize(
    ("state", "dataset"),
    [
        ("s4", "s3_requirements"),
        ("s4", "tile_weights"),
        ("s5", "s4_alloc_plan"),
        ("s6", "s5_site_tile_assignment"),
        ("s7", "tile_bounds"),
        ("s8", "s7_site_synthesis"),
    ],
)
def test_a_flipped_bit_in_what_a_state_reads_stops_it(root: Path, state: str, dataset: str) -> None:
    flip(next(root.glob(f"data/layer1/1B/{dataset}/**/part-00000.parquet")))
    forget(root, state)
    with pytest.raises(Segment1BError) as caught:
        worlds.run(root, to_state=state)
    assert caught.value.scope["dataset"] == dataset
    assert "do not hash to its receipt" in caught.value.message
    assert not list(root.glob(f"control/**/{state}_run_report.json"))


def test_a_log_that_is_gone_is_written_again_and_a_changed_one_is_refused(root: Path) -> None:
    log = next(root.glob("logs/rng/trace/**/in_cell_jitter.jsonl"))
    data = log.read_bytes()
    log.unlink()
    again = worlds.run(root, to_state="s9")
    assert [o.state for o in again.outcomes if not o.reused] == ["s0", "s6"]
    assert log.read_bytes() == data
    flip(log)
    with pytest.raises(Segment1BError, match="do not hash"):
        worlds.run(root, to_state="s9", verify=True)


@pytest.mark.parametrize("state", list(STATES)[1:])
def test_a_report_that_does_not_fit_its_schema_is_made_again(root: Path, state: str) -> None:
    path = next(root.glob(f"control/**/{state}_run_report.json"))
    report = durable.read_json(path)
    del report["resources"]
    durable.replace_json(path, report, path.parent)
    again = worlds.run(root, to_state="s9")
    assert state in [o.state for o in again.outcomes if not o.reused]
    assert "resources" in durable.read_json(path)


def test_a_run_to_s8_hashes_the_sites_that_it_reuses(root: Path) -> None:
    flip(next(root.glob("data/layer1/1B/site_locations/**/part-00000.parquet")))
    with pytest.raises(Segment1BError, match="do not hash"):
        worlds.run(root, to_state="s8")


@pytest.mark.parametrize("dataset", ["s5_site_tile_assignment", "rng_trace_in_cell_jitter"])
def test_data_that_is_gone_while_its_report_is_there_does_not_pass_the_gate(
    root: Path, dataset: str
) -> None:
    known = contracts.load()
    identity = Identity(**worlds.run(root, to_state="s9").identity)
    assert dataset in gate.verify_bundle(root, known, identity.places)["receipts"]
    path = root / known[dataset].locate(identity.places)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(Segment1BError, match="is absent, and its run report is here"):
        gate.verify_bundle(root, known, identity.places)
