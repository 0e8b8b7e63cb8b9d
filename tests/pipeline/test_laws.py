"""Each law from the list to the bundle: validated, explained and replayed."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq
import pytest

import worlds
from segment1b import contracts
from segment1b.audit import validate
from segment1b.cli.explanations import print_explanation
from segment1b.identity import Identity
from segment1b.pipeline.execution import RunResult
from segment1b.read.explanation import explain
from segment1b.read.replay import replay


@pytest.fixture(scope="module", params=["systematic", "balanced"])
def result(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp(request.param)
    root = worlds.lay_small_world(folder / "root", degrees=1.0)
    outlets = worlds.outlet_list(folder / "outlets.csv", merchants=30)
    law = (f"allocation.law={request.param}",)
    return worlds.run(root, outlets=outlets, settings=law, to_state="s9")


def rows(result: RunResult, state: str, dataset: int = -1) -> list[dict[str, Any]]:
    outcome = next(o for o in result.outcomes if o.state == state)
    return pq.ParquetDataset(outcome.datasets[dataset]).read().to_pylist()


def test_every_check_of_every_state_passes(result: RunResult) -> None:
    states = [f"s{number}" for number in range(10)]
    tokens = Identity(**result.identity).places  # type: ignore[arg-type]
    found = validate(result.root, contracts.load(), tokens, states)
    assert not [check for check in found if not check.ok]
    assert {check.state for check in found} == set(states)


def test_sites_are_permuted_and_each_has_its_event(result: RunResult) -> None:
    report = next(o.report for o in result.outcomes if o.state == "s5")
    assert report["match"] == "permuted"
    assert report["rng_events_emitted"] == report["rows_emitted"] > 0


def test_explain_derives_every_pairs_plan(
    result: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = rows(result, "s4")
    law = result.policy["allocation"]["law"]
    for merchant, country in sorted({(r["merchant_id"], r["legal_country_iso"]) for r in plan})[:9]:
        found = explain(result.root, merchant, country, result.identity, None)
        assert found["agrees"]
        assert found["law"] == law
        numbers = sorted(k for tile in found["tiles"] for k in tile["numbers"])
        assert len(numbers) == found["n_sites"]
        assert law == "balanced" or numbers == list(range(found["n_sites"]))
        print_explanation(found)
    printed = capsys.readouterr().out
    assert "agrees with the published plan" in printed
    assert ("the k-th takes the point" if law == "balanced" else "offset U = 0x") in printed


def test_replay_agrees_with_the_published_coordinate(result: RunResult) -> None:
    for row in rows(result, "s8")[::120]:
        site = row["merchant_id"], row["legal_country_iso"], row["site_order"]
        found = replay(result.root, *site, result.identity, None)
        assert found["agrees"]
        assert found["s5"]["match"] == "permuted"
