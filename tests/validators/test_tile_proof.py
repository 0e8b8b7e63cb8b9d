"""S9 passes no world whose tiles, requirements or plan were changed with receipts to fit."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import worlds
from segment1b import contracts
from segment1b.audit import tile_proof
from segment1b.audit.published import Published
from segment1b.cli.validation import run_validators
from segment1b.contracts import program
from segment1b.errors import Segment1BError
from segment1b.pipeline.outcome import RunResult

Rows = list[dict[str, Any]]
World = Any  # of conftest.py, which the import mode keeps out of reach
Copy = Callable[..., World]
PROOF = tile_proof.DATASET
LAWS = {"own_point": ("allocation.law=stable",)}
LAWS["permuted"] = ("allocation.law=largest_remainder", "prep.exclude_countries=[LS]")


def run(world: World, from_state: str, name: str = "own_point") -> RunResult:
    return worlds.run(world.root, settings=LAWS[name], from_state=from_state, to_state="s9")


def is_stored(world: World) -> bool:
    return tile_proof.is_stored(Published(world.root, contracts.load(), world.tokens))


def validate(world: World, *states: str) -> bool:
    names = ("seed", "parameter_hash", "manifest_fingerprint")
    options = {
        "data_root": world.root,
        "dictionary": None,
        "validation_bundle": None,
        "perf": False,
        **{name: world.tokens[name] for name in names},
    }
    return run_validators(states, options, as_json=True)


def move_unit(rows: Rows) -> None:
    """Move one unit of weight from a Portuguese tile to its neighbour."""
    for row, after in itertools.pairwise(rows):
        if row["country_iso"] == after["country_iso"] == "PT" and row["weight_fp"] > 0:
            row["weight_fp"] -= 1
            after["weight_fp"] += 1
            return


@pytest.mark.code("E918_UPSTREAM_NOT_PROVEN")
def test_a_moved_weight_whose_receipts_were_forged_does_not_pass_s9(place: Copy) -> None:
    spoiled = place("own_point")
    spoiled.edit("tile_weights", move_unit)
    spoiled.forge_receipt("tile_weights")
    with pytest.raises(Segment1BError) as caught:
        run(spoiled, "s3")
    assert caught.value.code == "E918_UPSTREAM_NOT_PROVEN"
    assert "A918" in caught.value.message


def test_requirements_whose_report_was_forged_do_not_pass_s9(place: Copy) -> None:
    spoiled = place("own_point")
    spoiled.rewrite("s3_run_report", lambda report: report.update(max_n_sites=1))
    with pytest.raises(Segment1BError) as caught:
        run(spoiled, "s7")
    assert caught.value.code == "E918_UPSTREAM_NOT_PROVEN"
    assert "A917" in caught.value.message


def test_a_plan_of_no_law_does_not_pass_s9_when_all_behind_it_was_made_from_it(
    place: Copy,
) -> None:
    spoiled = place("permuted")

    def move_site(rows: Rows) -> None:
        for row, after in itertools.pairwise(rows):
            pair = ("merchant_id", "legal_country_iso")
            if row["n_sites_tile"] > 1 and all(row[name] == after[name] for name in pair):
                row["n_sites_tile"] -= 1
                after["n_sites_tile"] += 1
                return

    spoiled.edit("s4_alloc_plan", move_site)
    spoiled.forge_receipt("s4_alloc_plan")
    made = ("s5_site_tile_assignment", "s6_site_jitter", "s7_site_synthesis", "site_locations")
    for name in (*made, "validation_bundle_1B"):
        shutil.rmtree(spoiled.path(name))
    shutil.rmtree(spoiled.root / "logs")
    for state in ("s5", "s6", "s7", "s8", "s9"):
        spoiled.path(f"{state}_run_report").unlink()
    with pytest.raises(Segment1BError) as caught:
        run(spoiled, "s5", "permuted")
    assert caught.value.code == "E918_UPSTREAM_NOT_PROVEN"
    assert "s4 law" in caught.value.message or "A917" in caught.value.message


def test_tiles_are_proven_once_and_the_bundle_is_the_same_either_way(place: Copy) -> None:
    world = place("own_point")
    receipts = []
    for stored in (True, False, True):
        world.path("s9_run_report").unlink()
        if not stored:
            before = world.path(PROOF).read_bytes()
            world.path(PROOF).unlink()
        report = run(world, "s9").s9.report
        assert report["resources"]["tile_proof_stored"] is stored
        assert report["resources"]["tile_proof_seconds"] > 0
        receipts.append(report["determinism_receipt"])
    assert world.path(PROOF).read_bytes() == before
    assert receipts[0] == receipts[1] == receipts[2]


@pytest.mark.parametrize(
    "change",
    [
        lambda proof: proof.update(program_sha256_hex="0" * 64),
        lambda proof: proof.update(dictionary_sha256_hex="0" * 64),
        lambda proof: proof.update(parameter_hash="0" * 64),
        lambda proof: proof["inputs"].update(world_countries="0" * 64),
        lambda proof: proof["inputs"].pop("s2_run_report"),
        lambda proof: proof["tables"]["tile_bounds"].update(sha256_hex="0" * 64),
        lambda proof: proof["tables"].pop("tile_weights"),
        lambda proof: proof.update(note="later"),
        lambda proof: proof.clear(),
    ],
)
def test_a_proof_of_anything_else_does_not_hold(change: Callable[..., Any], place: Copy) -> None:
    world = place("own_point")
    assert is_stored(world)
    world.rewrite(PROOF, lambda proof: change(proof) and None)
    assert not is_stored(world)


@pytest.mark.parametrize("name", ["tile_index", "tile_bounds", "tile_weights"])
def test_a_proof_does_not_hold_for_files_with_another_byte(name: str, place: Copy) -> None:
    world = place("own_point")
    data = bytearray(world.part(name).read_bytes())
    data[len(data) // 2] ^= 1
    world.part(name).write_bytes(data)
    assert not is_stored(world)


def test_validate_stores_the_proof_when_s1_and_s2_pass(
    place: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    world = place("own_point")
    proof = world.path(PROOF).read_bytes()
    world.path(PROOF).unlink()
    assert validate(world, "s2")
    assert not world.path(PROOF).exists()
    assert validate(world, "s1", "s2")
    assert world.path(PROOF).read_bytes() == proof
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["ok"]
    world.path(PROOF).unlink()
    world.edit("tile_weights", move_unit)
    world.forge_receipt("tile_weights")
    assert not validate(world, "s1", "s2")
    assert not world.path(PROOF).exists()


def test_validate_passes_where_the_proof_cannot_be_stored(
    place: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    world = place("own_point")
    folder = world.path(PROOF).parent.parent
    shutil.rmtree(folder)
    folder.write_text("a file where the folder should be")
    assert validate(world, "s1", "s2")
    assert "tile proof is not stored" in capsys.readouterr().err


def test_the_digest_of_the_program_covers_names_and_bytes_of_source_and_contracts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "src/package"
    monkeypatch.setattr(program, "_PACKAGE", package)
    digests = set()
    source = [("a.py", "1"), ("a.py", "2"), ("s/b.sql", ""), ("s/c.sql", "")]
    for name, text in [*source, ("../../contracts/d.yaml", ""), ("../../contracts/d.yaml", "e: 1")]:
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
        digests.add(program.digest.__wrapped__())
    (package / "notes.txt").write_text("no source")
    digests.add(program.digest.__wrapped__())
    assert len(digests) == 6
