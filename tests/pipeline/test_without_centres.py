"""A policy without centres publishes what runs published before there were any."""

from __future__ import annotations

from pathlib import Path

import pytest

import worlds
from segment1b.pipeline.outcome import RunResult

COUNTRIES = ("FJ", "LS", "NL", "VA", "ZA")
#: Content digests of the frozen small world from before there were centres.
DIGESTS = {
    "s2.determinism_receipt": "2286d7a8c9452e9472a2ef76dd42cf8db5b4cf3178c90e2ac418d34ea3f77391",
    "s5.determinism_receipt": "b3b9054ca9a2337b0f602528c5a906d456e58ae63613cc348e1a48e89e333521",
    "s5.event_log_receipt": "05e646176bf24855a593c537962da47879ca48d9bb45604c5a9a9f4c6f03e232",
    "s6.determinism_receipt": "fe8c45fa32b4c6f9a5187f653e5597bed36d98e83de772c1e5b6fa3b1dbb6349",
    "s6.event_log_receipt": "12ff2eae8924fc8186363ca5af11e011755cbd3e083f241b091ba363e28abf32",
    "s7.determinism_receipt": "eedf9b24dc215f3f28cc551f88eb31e034433d6c19a3e43d5d08a0ada1365c3e",
    "s8.determinism_receipt": "51f2d089c34b921c7c5d2524bd8507462e1f7ae532f516d8c34bde94bc1c84d2",
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("uniform")
    root = worlds.lay_small_world(folder / "root", 1.0, COUNTRIES)
    outlets = worlds.outlet_list(folder / "my.csv", COUNTRIES, 20)
    return worlds.run(root, outlets=outlets, settings=("jitter.centres=null",), to_state="s9")


def test_the_points_are_those_of_runs_before_there_were_centres(result: RunResult) -> None:
    found = {
        f"{outcome.state}.{field}": value["content_sha256_hex"]
        for outcome in result.outcomes
        for field, value in outcome.report.items()
        if field.endswith("_receipt") and "trace" not in field
    }
    assert {name: found[name] for name in DIGESTS} == DIGESTS
    assert not [name for name in found if "centre" in name]


def test_nothing_of_centres_is_published_or_named(result: RunResult) -> None:
    assert not [path for path in result.root.rglob("*centre*") if path.name[:4] != "part"]
    for outcome in result.outcomes:
        assert "centres" not in outcome.report
        assert not [name for name in outcome.report.get("input_digests", ()) if "centre" in name]
    bundle = Path(result.root, "data/layer1/1B/validation")
    assert not [p for p in bundle.rglob("*.json") if b"centre_jitter" in p.read_bytes()]


def test_another_policy_adopts_only_what_its_centres_fit(
    result: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a world with 12,000 people a centre: none, the same, and another number."""
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "cache"))
    outlets = worlds.outlet_list(tmp_path / "my.csv", COUNTRIES, 3)

    def prepared(name: str, *settings: str, world: Path | None = None) -> RunResult:
        return worlds.run(
            tmp_path / name, outlets=outlets, settings=settings, world=world, to_state="s2"
        )

    worlds.lay_small_world(tmp_path / "first", 1.0, COUNTRIES)
    first = prepared("first")
    source = first.outcomes[2].report
    for name, settings, adopted, receipt in (
        ("none", ["jitter.centres=null"], True, None),
        ("same", ["jitter.centres.radius_m=300"], True, source["tile_centres_receipt"]),
        ("other", ["jitter.centres.people_per_centre=500"], False, None),
    ):
        report = prepared(name, *settings, world=first.root).outcomes[2].report
        assert ("adopted_from" in report) is adopted
        if receipt is None and adopted:
            assert not [field for field in report if "centre" in field]
        elif receipt:
            content = "content_sha256_hex"
            assert report["tile_centres_receipt"][content] == receipt[content]
        else:
            assert report["centres"]["people_per_centre"] == 500
            assert report["centres"]["centres_total"] > source["centres"]["centres_total"]
    again = prepared("again", world=result.root).outcomes
    # Tiles are the same; a world without centres has none to give.
    assert [("adopted_from" in outcome.report) for outcome in again[1:3]] == [True, False]
