"""A flipped bit in a published file is found by whoever says that the data has passed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import typer

import segment1b
from segment1b.cli import tables
from segment1b.cli.app import app as typer_app
from segment1b.errors import Segment1BError
from segment1b.read.gate import verify_bundle
from segment1b.storage.snapshot import Snapshot
from shapes import flip
from spoil import KNOWN, World

Copy = Callable[[str], World]
RECEIPTED = [d.id for d in KNOWN if d.receipt_in or d.receipt_field != "determinism_receipt"]
RECEIPTED.remove("trade_weights")


def test_verify_bundle_names_everything_that_has_a_receipt(published: Copy) -> None:
    world = published("stable")
    assert verify_bundle(Snapshot(world.root, KNOWN, world.tokens))["receipts"] == RECEIPTED
    logs = {"rng_trace_site_tile_assign", "rng_trace_in_cell_jitter"}
    assert {"s0_gate_receipt_1B", "validation_bundle_1B", *logs} < {*RECEIPTED}


def test_verify_bundle_hashes_the_weights_of_trades(world: Copy) -> None:
    spoiled = world("trades")
    weights = ["trade_weights/fuel", "trade_weights/restaurants_and_coffee"]
    run = Snapshot(spoiled.root, KNOWN, spoiled.tokens)
    assert verify_bundle(run)["receipts"] == [*RECEIPTED, *weights]
    flip(spoiled.path(weights[1]))
    with pytest.raises(Segment1BError, match=weights[1]) as caught:
        verify_bundle(run)
    assert caught.value.code == "E107_DETERMINISM"


@pytest.mark.parametrize("name", ["trade_weights/{", "trade_weights/../x", "trade_weights/no"])
def test_verify_bundle_refuses_weights_that_are_not_those_of_a_trade(
    world: Copy, name: str
) -> None:
    spoiled = world("trades")
    spoiled.rewrite("s4_run_report", lambda report: report["input_digests"].update({name: "1"}))
    with pytest.raises(Segment1BError) as caught:
        verify_bundle(Snapshot(spoiled.root, KNOWN, spoiled.tokens))
    assert caught.value.code != "E_INTERNAL"
    assert name in caught.value.message


@pytest.mark.parametrize("dataset_id", RECEIPTED)
def test_verify_bundle_hashes_every_file_that_a_receipt_names(dataset_id: str, world: Copy) -> None:
    spoiled = world("stable")
    flip(spoiled.path(dataset_id))
    with pytest.raises(Segment1BError) as caught:
        verify_bundle(Snapshot(spoiled.root, KNOWN, spoiled.tokens))
    known = {
        "site_locations": "E_EGRESS_CHECKSUM_MISMATCH",
        "validation_bundle_1B": "E910_FLAG_BAD_OR_MISSING",
    }
    assert caught.value.code == known.get(dataset_id, KNOWN[dataset_id].code("receipt"))
    assert str(spoiled.path(dataset_id)) in caught.value.message


def test_sites_are_opened_without_the_files_that_are_not_handed_out(world: Copy) -> None:
    spoiled = world("stable")
    sites = segment1b.read_site_locations(spoiled.root).to_table()
    flip(spoiled.path("s6_site_jitter"))
    assert segment1b.read_site_locations(spoiled.root).to_table().equals(sites)


def test_a_receipt_that_is_lost_is_found(world: Copy) -> None:
    spoiled = world("stable")
    spoiled.rewrite("s5_run_report", lambda report: report.pop("trace_receipt") and None)
    with pytest.raises(Segment1BError) as caught:
        verify_bundle(Snapshot(spoiled.root, KNOWN, spoiled.tokens))
    assert "rng_trace_site_tile_assign" in caught.value.message


@pytest.mark.parametrize("from_state", ["s0", "s9"])
def test_a_run_that_reuses_everything_hashes_the_sites_first(
    world: Copy, from_state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = world("stable")
    result = spoiled.run(from_state)
    assert result.s9.reused
    tables.print_run(result)
    printed = capsys.readouterr().out
    assert f"PASS, proved at {result.s9.report['proved_at_utc']}" in printed
    assert "the sites and the bundle were hashed" in printed
    assert tables.run_summary(result)["proof"]["verdict"] == "PASS"
    flip(spoiled.path("site_locations"))
    with pytest.raises(Segment1BError) as caught:
        spoiled.run(from_state)
    assert caught.value.code == KNOWN["site_locations"].code("receipt")
    assert "segment1b discard --from-state s8" in caught.value.hint


def test_a_run_that_reuses_the_bundle_hashes_it_first(world: Copy) -> None:
    spoiled = world("stable")
    flip(spoiled.path("validation_bundle_1B") / "realism.json")
    with pytest.raises(Segment1BError, match=r"^E910_FLAG_BAD_OR_MISSING:"):
        spoiled.run("s9")


def test_the_command_prints_what_was_hashed(
    published: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    command: typer.Typer = typer_app
    command(["verify-bundle", str(published("stable").root)], standalone_mode=False)
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("hashed against")]
    assert all(name in line for name in RECEIPTED)
    command(["verify-bundle", str(published("stable").root), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["receipts"] == RECEIPTED
