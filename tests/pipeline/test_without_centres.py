"""A policy without centres publishes what runs published before there were any."""

from __future__ import annotations

from pathlib import Path

import pytest

import worlds
from segment1b.pipeline.outcome import RunResult

COUNTRIES = ("FJ", "LS", "NL", "VA", "ZA")
#: Content digests of the frozen small world from before there were centres.
DIGESTS = {
    "s2.determinism_receipt": "34111bd10ac7b6c68dc91dec35a33295bddbdb31b08333e19cb39a57b94ba35c",
    "s5.determinism_receipt": "8b209416c837917dae0a85f6fa8479dbcab1cd30327c245adb70c2d8ca5b6d71",
    "s5.event_log_receipt": "9fb03d22515ca48e57b578de80bbc1e75d5126dbb2de6db177947c3da3b2276f",
    "s6.determinism_receipt": "7ff220f234a3bf6b74ab0a064a58fd2181500cd0db156f5cf0e41fb08553910a",
    "s6.event_log_receipt": "0dd098790142d6a94ba2e60ebbdc491c515f9669b6bb7bcc600b23c9b57757ea",
    "s7.determinism_receipt": "84cad7931cab81a5230c467e94bbe72627e4cf6c323228d3e9a157ddebc40e0c",
    "s8.determinism_receipt": "4cdb1ed9acd0e4fa5ae7e296ebff7f579e1b814bb0a94a79a2dec95a8c57aaf0",
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
