"""What is beyond a bound of the policy is named, and fails S9 where the policy enforces it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import worlds
from segment1b.config import load_policy, parameter_hash, realism_policy
from segment1b.errors import Segment1BError
from segment1b.read.plausibility import concerns as sentences
from segment1b.states.bounds import Located, add_bounded, concerns
from segment1b.states.s9_validation import _broken, _within_bounds
from spoil import WORLDS, World

#: Nothing odd: figures of the world, and of a country, in a plan and in realism.json.
PLAN: dict[str, Any] = {
    "collapse_index": 1.0,
    "quality_by_country": {
        "LS": {
            "sites": 300,
            "collapse_index": 1.0,
            "distinct_tiles": 100,
            "tile_load_error_max": 1.0,
        }
    },
}
SPREAD: dict[str, Any] = {
    "nearest_neighbour_km": {"p50": 2.0},
    "fullest_tile_share": 0.1,
    "urban_share": {"fuel": {"sites": 300, "share": 0.5}},
    "by_country": {
        "LS": {
            "sites": 300,
            "latitude_span_share": 0.9,
            "fullest_tile_share": 0.2,
            "nearest_outlet_m": 1000.0,
            "urban_share": {"fuel": {"sites": 300, "share": 0.4}},
        }
    },
}
BEYOND = [
    ("min_collapse_index=1.1", ["", "LS"], "outlets pile up: collapse index 1.000"),
    ("max_tile_error=0.05", ["LS"], "a cell of LS (1 of 300 off) is far from its share"),
    ("min_distinct_tiles=101", ["LS"], "all outlets of LS (300 in 100) lie in few cells"),
    ("min_latitude_span_share=0.95", ["LS"], "the outlets of LS (90% of its height) leave"),
    (
        "max_fullest_tile_share=0.05",
        ["", "LS"],
        "one cell holds too many outlets of the world (10%)",
    ),
    ("max_fullest_tile_share=0.15", ["LS"], "one cell holds too many outlets of LS (20%)"),
    ("min_nearest_outlet_m=1500", ["LS"], "outlets are too close to each other in LS (median 1,0"),
    ("min_nearest_outlet_m=2500", ["", "LS"], "outlets are too close to each other in the world"),
    ("urban_share={fuel: [0.45, 1]}", ["LS"], "too few or too many outlets are urban in LS (fuel"),
    ("urban_share={fuel: [0, 0.45]}", [""], "too few or too many outlets are urban in the world"),
]


def policy(*settings: str) -> Any:
    """Return realism bounds over which nothing of the figures above is odd."""
    loose = ("urban_share={fuel: [0, 1]}", *settings)
    return load_policy(settings=[f"realism.{one}" for one in loose])


@pytest.mark.parametrize(("setting", "places", "sentence"), BEYOND)
def test_each_bound_warns_and_fails_once_it_is_enforced(
    setting: str, places: list[str], sentence: str
) -> None:
    assert concerns(PLAN, SPREAD, policy().realism) == []
    own = policy(setting)
    assert [one.country for one in concerns(PLAN, SPREAD, own.realism)] == places
    (said,) = sentences(PLAN, SPREAD, own.document())
    assert said.startswith(sentence)
    figures = {
        **SPREAD,
        "by_country": {"LS": {**SPREAD["by_country"]["LS"], "tile_load_error_max": 1}},
    }
    assert _within_bounds(_broken(PLAN, figures, own.realism)).failures == 0
    enforced = _within_bounds(_broken(PLAN, figures, policy(setting, "enforce=true").realism))
    assert (enforced.code, enforced.failures) == ("E917_REALISM_BOUND", len(places))
    assert setting.partition("=")[0] in enforced.detail


def test_countries_with_few_outlets_are_not_judged() -> None:
    for setting, _, _ in BEYOND:
        found = concerns(PLAN, SPREAD, policy(setting, "few_sites=301").realism)
        assert [one.country for one in found] in ([], [""])
        assert concerns({}, {}, policy(setting).realism) == []


def test_null_bounds_nothing() -> None:
    names = (
        "min_collapse_index",
        "max_tile_error",
        "min_distinct_tiles",
        "min_latitude_span_share",
    )
    odd = {"sites": 300, "collapse_index": 0.0, "distinct_tiles": 1, "tile_load_error_max": 299.0}
    plan = {"collapse_index": 0.0, "quality_by_country": {"LS": odd}}
    spread = {"by_country": {"LS": {"sites": 300, "latitude_span_share": 0.0}}}
    assert len(concerns(plan, spread, load_policy().realism)) == 5
    assert concerns(plan, spread, policy(*(f"{name}=null" for name in names)).realism) == []


def test_bounds_of_the_contract_are_not_in_the_parameter_hash() -> None:
    surfaces = {"world_countries": "1" * 64}
    # The hash of the same policy before there were such bounds.
    assert sorted(load_policy().document()["realism"]) == [
        *("collapse_flag_below", "max_country_gini", "max_southern_share", "max_tile_load_error"),
        *("max_top_one_percent_share", "min_countries_with_sites_share", "min_southern_share"),
        "neighbour_sample",
    ]
    same = load_policy(settings=["realism.few_sites=30", "realism.enforce=false"])
    assert parameter_hash(same, surfaces) == parameter_hash(load_policy(), surfaces)
    other = load_policy(settings=["realism.enforce=true"])
    assert parameter_hash(other, surfaces) != parameter_hash(load_policy(), surfaces)
    assert realism_policy(other.document()) == other.realism
    assert realism_policy(load_policy().document()) == load_policy().realism


@pytest.mark.parametrize(
    "bounds", ["{fuell: [0, 1]}", "{fuel: [0.5, 0.4]}", "{fuel: [0, 1.1]}", "{fuel: 0.5}"]
)
@pytest.mark.code("E_POLICY_INVALID")
def test_bounds_on_urban_shares_are_of_trades_and_in_order(bounds: str) -> None:
    with pytest.raises(Segment1BError, match=r"^E_POLICY_INVALID: realism"):
        load_policy(settings=[f"realism.urban_share={bounds}"])


@pytest.mark.code("E_POLICY_INVALID")
def test_bounds_on_urban_shares_need_trades(tmp_path: Path) -> None:
    root = worlds.lay_small_world(tmp_path / "root", 1.0)
    outlets = worlds.outlet_list(tmp_path / "outlets.csv", merchants=3)
    with pytest.raises(Segment1BError, match="no merchant has one"):
        worlds.run(root, outlets=outlets, settings=["realism.urban_share={fuel: [0, 1]}"])


def test_bounded_figures_are_those_counted_by_hand() -> None:
    # On the equator: three sites of two tiles 1 km apart each, and one site far away.
    km = 180 / np.pi / 6371.0088
    one = Located(np.array([0.0, km, 3 * km]), np.zeros(3), np.array([7, 7, 8], np.uint64))
    two = Located(np.array([90.0]), np.zeros(1), np.array([9], np.uint64))
    figures: dict[str, Any] = {"by_country": {"AA": {}, "BB": {}}}
    bounds = policy("max_fullest_tile_share=1", "min_nearest_outlet_m=0").realism
    add_bounded(figures, {"AA": one, "BB": two}, bounds, 42)
    assert figures == {
        "fullest_tile_share": 0.5,
        "by_country": {
            # To the nearest other: 1, 1 and 2 km.
            "AA": {"fullest_tile_share": 0.666666667, "nearest_outlet_m": 1000.0},
            "BB": {"fullest_tile_share": 1.0, "nearest_outlet_m": 0.0},
        },
    }


@pytest.mark.slow
def test_bounded_figures_are_published_and_checked_independently(
    published: Callable[[str], World], world: Callable[[str], World]
) -> None:
    bounded = published("trades_bounded")
    path = bounded.path("validation_bundle_1B") / "realism.json"
    figures = json.loads(path.read_bytes())
    assert bounded.failing("s9") == {}
    sites = pq.read_table(bounded.part("s7_site_synthesis"))
    counts = sites.group_by(["legal_country_iso", "tile_id"]).aggregate([([], "count_all")])
    assert figures["fullest_tile_share"] == pytest.approx(
        max(counts["count_all"].to_pylist()) / sites.num_rows, rel=1e-8
    )
    assert sorted(figures["urban_share"]) == ["everything", "fuel"]
    assert any(0 < own["share"] < 1 for own in figures["urban_share"].values())
    assert all("nearest_outlet_m" in row for row in figures["by_country"].values())
    spoiled = world("trades_bounded")
    for change in (
        lambda v: v["by_country"]["NL"].update(nearest_outlet_m=1.0),
        lambda v: v["by_country"]["NL"].update(fullest_tile_share=0.5),
        lambda v: v["urban_share"]["fuel"].update(share=0.123),
        lambda v: v["by_country"]["NL"]["urban_share"]["fuel"].update(sites=1),
    ):
        spoiled.rewrite("validation_bundle_1B", change, "realism.json")
        assert "s9 realism" in spoiled.failing("s9")
        path_ = spoiled.path("validation_bundle_1B") / "realism.json"
        path_.write_bytes(path.read_bytes())
    # The validator finds as much beyond the bounds, once they are enforced.
    policy_ = json.loads(spoiled.path("parameter_policy_1B").read_bytes())["policy"]
    plan = json.loads(spoiled.path("s4_run_report").read_bytes())
    odd = concerns(plan, figures, realism_policy(policy_))
    spoiled.rewrite("parameter_policy_1B", lambda v: v["policy"]["realism"].update(enforce=True))
    assert len(odd) > 10
    assert spoiled.failing("s9")["s9 realism_bounds"].offending == len(odd)


@pytest.mark.code("E917_REALISM_BOUND")
def test_enforced_bounds_fail_s9(tmp_path: Path) -> None:
    root = worlds.lay_small_world(tmp_path / "root", 1.0)
    outlets = worlds.outlet_list(tmp_path / "outlets.csv", merchants=20)
    worlds.lay_layers(root)
    worlds.add_trades(outlets)
    settings = [*WORLDS["trades_bounded"][1:], "realism.enforce=true"]
    with pytest.raises(Segment1BError, match=r"^E917_REALISM_BOUND") as caught:
        worlds.run(root, outlets=outlets, settings=settings, to_state="s9")
    assert "A916 E917_REALISM_BOUND" in caught.value.message
    summary = json.loads((Path(caught.value.scope["path"]) / "s9_summary.json").read_bytes())
    named = {one["bound"] for one in summary["checks"]["A916"]["examples"]}
    assert {"max_fullest_tile_share", "min_nearest_outlet_m", "urban_share"} <= named
