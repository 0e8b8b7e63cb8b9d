"""S9 and the validators refuse locations, dictionaries and bundles that are wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segment1b import contracts
from segment1b.audit import validate
from segment1b.states import STATES
from spoil import (
    JOINED,
    LOCATED,
    World,
    first,
    no_inputs,
)

Copy = Callable[[str], World]


def other_dictionary(folder: Path, dataset_id: str, text: str) -> Path:
    """Write the packaged dictionary without a line of a dataset's entry."""
    packaged = contracts.load().path.read_text(encoding="utf-8")
    head, mark, tail = packaged.partition(f"  {dataset_id}:\n")
    assert text in tail
    path = folder / f"{dataset_id}.yaml"
    path.write_text(head + mark + tail.replace(text, "", 1), encoding="utf-8")
    return path


@pytest.mark.code("E902_ROW_EXTRA")
def test_a_location_too_many_is_e902(world: Copy) -> None:
    spoiled = world("stable")
    spoiled.remove("s9")
    spoiled.forge(LOCATED, lambda rows: rows.append(rows[-1] | {"site_order": 9999}))
    error = spoiled.refused("s9")
    assert "E902_ROW_EXTRA" in error.message or error.code == "E902_ROW_EXTRA"


def test_a_failed_bundle_goes_aside_and_carries_no_flag(world: Copy) -> None:
    """So it cannot hold the place of the bundle of a later run that passes."""
    spoiled = world("stable")
    spoiled.remove("s9")
    whole = {
        path: path.read_bytes() for path in (spoiled.part(LOCATED), spoiled.path("s8_run_report"))
    }
    fingerprint = spoiled.tokens["manifest_fingerprint"]
    failed = spoiled.root / f"data/layer1/1B/validation_failed/fingerprint={fingerprint}"
    spoiled.forge(LOCATED, first(lat_deg=0.5))
    for attempt in (1, 2):
        spoiled.refused("s9")
        assert len(list(failed.iterdir())) == attempt
        assert not list(failed.rglob("_passed.flag"))
        summary = json.loads((failed / f"attempt={attempt}" / "s9_summary.json").read_text())
        assert summary["verdict"] == "FAIL"
    for path, data in whole.items():
        path.write_bytes(data)
    spoiled.run("s9")
    assert (spoiled.path("validation_bundle_1B") / "_passed.flag").stat().st_size == 78


@pytest.mark.code("E912_IDENTITY_COHERENCE")
def test_locations_of_another_policy_are_e912(world: Copy) -> None:
    spoiled = world("stable")
    spoiled.rewrite(
        "s8_run_report", lambda report: report.update(parameter_hash_consumed="ab" * 32)
    )
    assert spoiled.refused("s9").code == "E912_IDENTITY_COHERENCE"


@pytest.mark.code("E811_FINAL_FLAG_MISMATCH", "E911_FINALITY_OR_ORDER_LEAK")
def test_a_dictionary_without_finality_is_e811_and_e911(world: Copy, tmp_path: Path) -> None:
    spoiled = world("stable")
    spoiled.remove("s9")
    given = other_dictionary(tmp_path, LOCATED, "    final_in_layer: true\n")
    assert spoiled.refused("s9", dictionary=given).code == "E911_FINALITY_OR_ORDER_LEAK"
    spoiled.path("s8_run_report").unlink()
    assert spoiled.refused("s8", dictionary=given).code == "E811_FINAL_FLAG_MISMATCH"


@pytest.mark.parametrize(
    ("dataset_id", "state", "code"),
    [
        (JOINED, "s7", "E711_DICT_SCHEMA_MISMATCH"),
        (LOCATED, "s8", "E808_DICT_SCHEMA_MISMATCH"),
    ],
)
def test_a_dictionary_that_disagrees_with_its_schema_is_found_by_the_validator(
    published: Copy, tmp_path: Path, dataset_id: str, state: str, code: str
) -> None:
    world = published("stable")
    given = other_dictionary(tmp_path, dataset_id, "      lon_deg: BYTE_STREAM_SPLIT\n")
    results = validate(world.root, contracts.load(str(given)), world.tokens, [state])
    assert {result.code for result in results if not result.ok} == {code}


@pytest.mark.code("E913_ATOMIC_PUBLISH_VIOLATION")
def test_another_bundle_is_never_overwritten(world: Copy) -> None:
    spoiled = world("stable")
    path = spoiled.path("validation_bundle_1B") / "realism.json"
    path.write_bytes(path.read_bytes().replace(b"}", b" }", 1))
    before = path.read_bytes()
    spoiled.rewrite("s9_run_report", no_inputs)
    assert spoiled.refused("s9").code == "E913_ATOMIC_PUBLISH_VIOLATION"
    assert path.read_bytes() == before


def test_a_run_that_is_interrupted_says_so_and_goes_on_later(
    world: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    spoiled = world("stable")
    spoiled.remove("s9")
    monkeypatch.setattr(STATES["s9"], "report", interrupt)
    error = spoiled.refused("s9")
    assert error.code == "E_INTERRUPTED"
    assert not spoiled.path("validation_bundle_1B").exists()
    monkeypatch.undo()
    spoiled.run("s9")
