"""S9 passes no world whose tiles, requirements or plan were changed with receipts to fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import segment1b
from segment1b.audit import parts, tile_proof
from segment1b.audit.parts import Part
from segment1b.cli.app import app
from segment1b.contracts import program
from shapes import flip
from spoil import World, move_site, move_unit

Copy = Callable[[str], World]
PROOF = tile_proof.DATASET


def is_stored(world: World) -> bool:
    return tile_proof.is_stored(world.published)


def validate(world: World, *states: str) -> bool:
    checks = segment1b.validate(world.root, states, **world.identity)
    return all(check.ok for check in checks)


def other_weights(world: World) -> None:
    world.forge("tile_weights", move_unit("weight_fp"))


def other_report(world: World) -> None:
    world.rewrite("s3_run_report", lambda report: report.update(max_n_sites=1))


def other_plan(world: World) -> None:
    """Forge a plan of no law, and let all behind it be made from it."""
    world.forge("s4_alloc_plan", move_site)
    world.remove("s5", "s6", "s7", "s8", "s9")


@pytest.mark.code("E918_UPSTREAM_NOT_PROVEN")
@pytest.mark.parametrize(
    ("name", "change", "from_state", "check"),
    [
        ("stable", other_weights, "s3", "A918"),
        ("stable", other_report, "s7", "A917"),
        ("permuted", other_plan, "s5", "A917"),
    ],
)
def test_what_was_forged_before_s5_does_not_pass_s9(
    name: str, change: Callable[[World], None], from_state: str, check: str, world: Copy
) -> None:
    spoiled = world(name)
    change(spoiled)
    refusal = spoiled.refused(from_state, "s9")
    assert refusal.code == "E918_UPSTREAM_NOT_PROVEN"
    assert check in refusal.message


def test_tiles_are_proven_once_and_the_bundle_is_the_same_either_way(world: Copy) -> None:
    spoiled = world("stable")
    receipts = []
    for stored in (True, False, True):
        spoiled.path("s9_run_report").unlink()
        if not stored:
            before = spoiled.path(PROOF).read_bytes()
            spoiled.path(PROOF).unlink()
        report = spoiled.run("s9").s9.report
        assert report["resources"]["tile_proof_stored"] is stored
        assert report["resources"]["tile_proof_seconds"] > 0
        receipts.append(report["determinism_receipt"])
    assert spoiled.path(PROOF).read_bytes() == before
    assert receipts[0] == receipts[1] == receipts[2]


def three_parts(_: object, state: str) -> list[Part]:
    return [Part(state, number, 3) for number in range(3)] if state in tile_proof.STATES else []


def test_tiles_proven_in_parts_give_the_same_proof_and_bundle(
    world: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled = world("stable")
    proof = spoiled.path(PROOF).read_bytes()
    receipt = json.loads(spoiled.path("s9_run_report").read_text())["determinism_receipt"]
    for path in (spoiled.path(PROOF), spoiled.path("s9_run_report")):
        path.unlink()
    monkeypatch.setattr(parts, "parts_of", three_parts)
    report = spoiled.run("s9").s9.report
    assert report["determinism_receipt"] == receipt
    assert spoiled.path(PROOF).read_bytes() == proof


def test_forged_tiles_do_not_pass_s9_in_parts(world: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled = world("stable")
    other_weights(spoiled)
    monkeypatch.setattr(parts, "parts_of", three_parts)
    assert spoiled.refused("s3", "s9").code == "E918_UPSTREAM_NOT_PROVEN"


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
def test_a_proof_of_anything_else_does_not_hold(change: Callable[..., Any], world: Copy) -> None:
    spoiled = world("stable")
    assert is_stored(spoiled)
    spoiled.rewrite(PROOF, lambda proof: change(proof) and None)
    assert not is_stored(spoiled)


@pytest.mark.parametrize("name", ["tile_index", "tile_bounds", "tile_weights"])
def test_a_proof_does_not_hold_for_files_with_another_byte(name: str, world: Copy) -> None:
    spoiled = world("stable")
    flip(spoiled.part(name))
    assert not is_stored(spoiled)


def test_validate_stores_the_proof_when_s1_and_s2_pass(world: Copy) -> None:
    spoiled = world("stable")
    proof = spoiled.path(PROOF).read_bytes()
    spoiled.path(PROOF).unlink()
    assert validate(spoiled, "s2")
    assert not spoiled.path(PROOF).exists()
    assert validate(spoiled, "s1", "s2")
    assert spoiled.path(PROOF).read_bytes() == proof
    spoiled.path(PROOF).unlink()
    other_weights(spoiled)
    assert not validate(spoiled, "s1", "s2")
    assert not spoiled.path(PROOF).exists()


def test_validate_passes_where_the_proof_cannot_be_stored(
    world: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = world("stable")
    folder = spoiled.path(PROOF).parent.parent
    shutil.rmtree(folder)
    folder.write_text("a file where the folder should be")
    assert not app(["validate", "--data-root", str(spoiled.root), "--json"], standalone_mode=False)
    printed = capsys.readouterr()
    assert json.loads(printed.out)["ok"]
    assert "tile proof is not stored" in printed.err


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
