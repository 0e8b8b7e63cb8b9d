"""What a run relies on is hashed: inputs that it reads, logs, and the bundle that it reuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from segment1b.errors import Segment1BError
from segment1b.read import gate
from segment1b.states import STATES
from segment1b.storage import durable
from segment1b.storage.snapshot import Snapshot
from shapes import flip
from spoil import ASSIGNED, BOUNDS, JOINED, KNOWN, LOCATED, NEEDS, PLAN, WEIGHTS, World


@pytest.fixture
def spoiled(world: Callable[[str], World]) -> World:
    return world("permuted")


@pytest.mark.parametrize(
    ("state", "dataset_id"),
    [
        ("s4", NEEDS),
        ("s4", WEIGHTS),
        ("s5", PLAN),
        ("s6", ASSIGNED),
        ("s7", BOUNDS),
        ("s8", JOINED),
    ],
)
def test_a_flipped_bit_in_what_a_state_reads_stops_it(
    spoiled: World, state: str, dataset_id: str
) -> None:
    flip(spoiled.part(dataset_id))
    spoiled.path(f"{state}_run_report").unlink()
    with pytest.raises(Segment1BError) as caught:
        spoiled.run("s0", state)
    assert caught.value.scope["dataset"] == dataset_id
    assert "do not hash to its receipt" in caught.value.message
    assert not spoiled.path(f"{state}_run_report").exists()


def test_a_log_that_is_gone_is_written_again_and_a_changed_one_is_refused(spoiled: World) -> None:
    log = spoiled.path("rng_trace_in_cell_jitter")
    data = log.read_bytes()
    log.unlink()
    again = spoiled.run("s0")
    assert [o.state for o in again.outcomes if not o.reused] == ["s0", "s6"]
    assert log.read_bytes() == data
    flip(log)
    with pytest.raises(Segment1BError, match="do not hash"):
        spoiled.run("s0", verify=True)


@pytest.mark.parametrize("state", list(STATES)[1:])
def test_a_report_that_does_not_fit_its_schema_is_made_again(spoiled: World, state: str) -> None:
    spoiled.rewrite(f"{state}_run_report", lambda report: report.pop("resources") and None)
    again = spoiled.run("s0")
    assert state in [o.state for o in again.outcomes if not o.reused]
    assert "resources" in durable.read_json(spoiled.path(f"{state}_run_report"))


def test_a_run_to_s8_hashes_the_sites_that_it_reuses(spoiled: World) -> None:
    flip(spoiled.part(LOCATED))
    with pytest.raises(Segment1BError, match="do not hash"):
        spoiled.run("s0", "s8")


@pytest.mark.parametrize("dataset_id", [ASSIGNED, "rng_trace_in_cell_jitter"])
def test_data_that_is_gone_while_its_report_is_there_does_not_pass_the_gate(
    spoiled: World, dataset_id: str
) -> None:
    run = Snapshot(spoiled.root, KNOWN, spoiled.tokens)
    assert dataset_id in gate.verify_bundle(run)["receipts"]
    path = spoiled.path(dataset_id)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(Segment1BError, match="is absent, and its run report is here"):
        gate.verify_bundle(run)
