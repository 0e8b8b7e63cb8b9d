"""Laws that permute the sites of a pair: explained and replayed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pyarrow.parquet import read_table

from segment1b.cli.explanations import print_explanation
from segment1b.read.explanation import explain
from segment1b.read.replay import replay
from spoil import LOCATED, PLAN, World


@pytest.fixture(params=["systematic", "balanced"])
def result(request: pytest.FixtureRequest, published: Callable[[str], World]) -> World:
    return published(request.param)


def rows(result: World, dataset_id: str) -> list[dict[str, Any]]:
    return read_table(result.part(dataset_id)).to_pylist()


def test_sites_are_permuted_and_each_has_its_event(result: World) -> None:
    report = json.loads(result.path("s5_run_report").read_text())
    assert report["match"] == "permuted"
    assert report["rng_events_emitted"] == report["rows_emitted"] > 0


def test_explain_derives_every_pairs_plan(
    result: World, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = rows(result, PLAN)
    law = result.name
    for merchant, country in sorted({(r["merchant_id"], r["legal_country_iso"]) for r in plan})[:9]:
        found = explain(result.root, merchant, country, **result.identity)
        assert found["agrees"]
        assert found["law"] == law
        numbers = sorted(k for tile in found["tiles"] for k in tile["numbers"])
        assert len(numbers) == found["n_sites"]
        assert law == "balanced" or numbers == list(range(found["n_sites"]))
        print_explanation(found)
    printed = capsys.readouterr().out
    assert "agrees with the published plan" in printed
    assert ("the k-th takes the point" if law == "balanced" else "offset U = 0x") in printed


def test_replay_agrees_with_the_published_coordinate(result: World) -> None:
    sites = rows(result, LOCATED)[::40]
    assert len(sites) > 5
    for row in sites:
        site = row["merchant_id"], row["legal_country_iso"], row["site_order"]
        found = replay(result.root, *site, **result.identity)
        assert found["agrees"]
        assert found["s5"]["match"] == "permuted"
