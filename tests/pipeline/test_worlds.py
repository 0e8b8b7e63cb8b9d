"""Prepared worlds: tiles and weights are adopted where they would be the same, and only there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import segment1b
import worlds as small
from segment1b.config import RunSettings
from segment1b.errors import Segment1BError
from segment1b.pipeline import compare, worlds
from segment1b.pipeline.outcome import RunResult
from segment1b.pipeline.world_building import build_world

SYSTEMATIC = ("allocation.law=systematic",)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Run S0 to S3 over three countries."""
    folder = tmp_path_factory.mktemp("prepared")
    countries = ("LS", "NL", "ZA")
    outlets = small.outlet_list(folder / "outlets.csv", countries)
    root = small.lay_small_world(folder / "root", countries=countries)
    return small.run(root, outlets=outlets, to_state="s3")


@pytest.fixture
def again(prepared: RunResult, tmp_path: Path) -> Callable[..., RunResult]:
    """Return a function that runs the same list in an empty root over the prepared world."""
    outlets = prepared.root.parent / "outlets.csv"

    def run(**settings: Any) -> RunResult:
        settings = {"world": prepared.root, "outlets": outlets, "to_state": "s3"} | settings
        return small.run(tmp_path / "again", **settings)

    return run


def kinds(result: RunResult) -> list[str]:
    return [outcome.what for outcome in result.outcomes]


@pytest.mark.parametrize("settings", [(), SYSTEMATIC])
def test_a_world_gives_an_empty_root_its_surfaces_tiles_and_weights(
    prepared: RunResult, again: Callable[..., RunResult], settings: tuple[str, ...]
) -> None:
    result = again(settings=settings)
    assert kinds(result) == ["published", "adopted", "adopted", "published"]
    assert small.digests(result) == small.digests(prepared)
    for now in result.outcomes[1:3]:
        assert now.report["parameter_hash"] == result.identity["parameter_hash"]
        assert now.report["adopted_from"] == prepared.identity["parameter_hash"]
    assert kinds(again(settings=settings)) == ["unchanged", *["reused"] * 3]


@pytest.mark.slow
def test_what_is_adopted_proves_as_what_is_computed(
    again: Callable[..., RunResult],
) -> None:
    root = again(settings=SYSTEMATIC, to_state="s9").root
    assert [check for check in segment1b.validate(root) if not check.ok] == []


def test_another_law_in_the_same_root_adopts(prepared: RunResult, tmp_path: Path) -> None:
    root = small.lay_small_world(tmp_path / "root", countries=("NL",))
    first = small.outlet_list(tmp_path / "first.csv", ("NL",), 9)
    second = small.outlet_list(tmp_path / "second.csv", ("NL",), 12)
    small.run(root, outlets=first, to_state="s2")
    result = small.run(root, outlets=second, to_state="s2", settings=SYSTEMATIC)
    assert kinds(result)[1:] == ["adopted", "adopted"]


def other_program(_: RunResult, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(worlds, "program", lambda: {"version": "0", "source_sha256_hex": "0" * 64})


def damaged(prepared: RunResult, _: pytest.MonkeyPatch) -> None:
    path = next(prepared.outcomes[1].paths["tile_bounds"].iterdir())
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])


def without_report(prepared: RunResult, _: pytest.MonkeyPatch) -> None:
    prepared.outcomes[1].report_path.write_text("[]")


def other_digests(prepared: RunResult, _: pytest.MonkeyPatch) -> None:
    report = json.loads(prepared.outcomes[1].report_path.read_text())
    del report["determinism_receipt"]["digest_version"]
    prepared.outcomes[1].report_path.write_text(json.dumps(report))


@pytest.mark.parametrize("spoil", [other_program, other_digests, damaged, without_report])
def test_a_world_that_does_not_fit_is_not_adopted(
    spoil: Callable[[RunResult, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    outlets = small.outlet_list(tmp_path / "outlets.csv", ("NL",), 9)
    root = small.lay_small_world(tmp_path / "prepared", countries=("NL",))
    prepared = small.run(root, outlets=outlets, to_state="s2")
    spoil(prepared, monkeypatch)
    result = small.run(tmp_path / "again", outlets=outlets, world=root, to_state="s2")
    assert kinds(result)[1] == "published"
    assert small.digests(result) == small.digests(prepared)


def test_another_preparation_policy_is_computed(again: Callable[..., RunResult]) -> None:
    result = again(settings=("prep.inclusion_rule=any_overlap",))
    assert kinds(result)[1:3] == ["published", "published"]


@pytest.mark.code("E_REFERENCE_SURFACE_MISSING")
def test_a_folder_without_surfaces_is_no_world(
    again: Callable[..., RunResult], tmp_path: Path
) -> None:
    with pytest.raises(Segment1BError, match="E_REFERENCE_SURFACE_MISSING") as caught:
        again(world=tmp_path / "nothing")
    assert "is no prepared world" in caught.value.message


def test_a_world_in_the_cache_has_a_name_and_serves_every_run(
    prepared: RunResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "cache"))
    build_world(RunSettings(world=prepared.root), name="three-countries")
    (world,) = map(worlds.describe, worlds.cached_worlds())
    tiles = prepared.outcomes[1].rows
    assert (world["name"], world["tiles"], world["current"]) == ("three-countries", tiles, True)
    outlets = prepared.root.parent / "outlets.csv"
    named = small.run(tmp_path / "named", outlets=outlets, world="three-countries", to_state="s2")
    os.utime(worlds.worlds_folder() / "three-countries", (1, 1))
    root = small.lay_small_world(tmp_path / "found", countries=("LS", "NL", "ZA"))
    found = small.run(root, outlets=outlets, to_state="s2")
    assert kinds(named)[1:] == kinds(found)[1:] == ["adopted", "adopted"]
    assert (worlds.worlds_folder() / "three-countries").stat().st_mtime > 1
    worlds.remove_world("three-countries")
    assert worlds.cached_worlds() == []


@pytest.mark.code("E_USAGE")
@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "x" * 65, "gone"])
def test_only_worlds_of_the_cache_are_removed(name: str) -> None:
    with pytest.raises(Segment1BError, match="E_USAGE"):
        worlds.remove_world(name)


@pytest.mark.code("E_USAGE")
def test_a_limit_of_the_cache_that_is_no_number_is_refused(
    prepared: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SEGMENT1B_CACHE_GB", "many")
    with pytest.raises(Segment1BError, match="E_USAGE: SEGMENT1B_CACHE_GB"):
        build_world(RunSettings(world=prepared.root), name="a")


def test_the_cache_drops_the_worlds_used_longest_ago(
    prepared: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "cache"))
    for number, name in enumerate(("a", "b", "c")):
        root = build_world(RunSettings(world=prepared.root), name=name)
        os.utime(root.parent, (number, number))
    size = worlds.world_bytes(root)
    monkeypatch.setenv("SEGMENT1B_CACHE_GB", f"{2.5 * size / 1e9:.9f}")
    build_world(RunSettings(world=prepared.root), name="a")
    assert {path.parent.name for path in worlds.cached_worlds()} == {"a", "c"}


def test_a_comparison_prepares_tiles_and_weights_once(
    prepared: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    adopt = worlds.adopt

    def counted(*given: Any) -> Any:
        result = adopt(*given)
        computed.append(result is None)
        return result

    monkeypatch.setattr(worlds, "adopt", counted)
    files = []
    for law in ("stable", "systematic", "largest_remainder"):
        files.append(tmp_path / f"{law}.yaml")
        files[-1].write_text(json.dumps({"settings": [f"allocation.law={law}", "prep.grid=0.5"]}))
        small.lay_small_world(tmp_path / "roots" / law, countries=("NL",))
    outlets = small.outlet_list(tmp_path / "outlets.csv", ("NL",), 9)
    compare.compare(files, RunSettings(outlets=outlets), tmp_path / "roots")
    assert (sum(computed), len(computed)) == (2, 12)
