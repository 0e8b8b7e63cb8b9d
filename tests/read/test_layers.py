"""`explain` shows the layers behind the weights of a trade, from which they can be derived."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import segment1b
from segment1b.cli.app import app
from spoil import World

LAYERS = ("population", "area", "urban", "urban_people", "roads")
Published = Callable[[str], World]


def pair_of(world: World, trade: str) -> tuple[int, str]:
    """Return a merchant of the trade and its country with the most tiles in the plan."""
    trades = pq.read_table(world.part("merchant_trades")).to_pylist()
    merchants = {row["merchant_id"] for row in trades if row["trade"] == trade}
    plan = pq.read_table(world.part("s4_alloc_plan")).to_pylist()
    pairs = [(row["merchant_id"], row["legal_country_iso"]) for row in plan]
    return max((pair for pair in pairs if pair[0] in merchants), key=pairs.count)


def brought_to(units: int, value: int, total: int, tile: int, cut: dict[str, int] | None) -> int:
    """Return a tile's part of the units by largest remainder, given who got the last one."""
    whole, rest = divmod(value * units, total)
    extra = cut is not None and (rest, -tile) >= (cut["remainder"], -cut["tile_id"])
    return whole + extra


def weight_of(found: dict[str, Any], row: dict[str, Any]) -> int:
    """Derive a tile's weight as docs/spec/trades.md#by-hand does."""
    sums, tile, units = found["sums"], row["tile_id"], found["K"]
    percents = {name: p if sums[name] else 0 for name, p in found["trade_percents"].items()}
    people = found["cells_per_tile"] * sums["population"]
    for name in ("urban", "urban_people"):
        percents[name] = percents[name] * min(found["boost"] * sums["urban_people"], people)
        percents[name] //= people
    percents["population"] = 100 - sum(percents[name] for name in LAYERS[1:])
    assert percents == found["percents"]
    mass = 0
    for name in LAYERS:
        if percents[name]:
            cut = found["cuts"][name]
            mass += percents[name] * brought_to(units, row["layers"][name], sums[name], tile, cut)
    return brought_to(units, mass, 100 * units, tile, found["cuts"]["mass"])


@pytest.mark.parametrize("name", ["trades", "trades_balanced", "trades_permuted"])
@pytest.mark.parametrize("trade", ["fuel", "restaurants_and_coffee"])
def test_a_weight_can_be_derived_from_what_explain_shows(
    published: Published, name: str, trade: str
) -> None:
    world = published(name)
    merchant, country = pair_of(world, trade)
    line = f"explain --data-root {world.root} --merchant {merchant} --country {country} --json"
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["agrees"]
    assert len(found["tiles"]) > 5
    for row in found["tiles"]:
        layers = row["layers"]
        assert layers["urban_people"] == layers["population"] * layers["urban"]
        assert weight_of(found, row) == row["weight"]


def test_sums_and_percents_are_those_of_the_report(published: Published) -> None:
    world = published("trades")
    merchant, country = pair_of(world, "fuel")
    found = segment1b.explain(world.root, merchant, country)
    report = json.loads(world.path("s2_trade_run_report/fuel").read_text())["by_country"][country]
    assert str(found["sums"]["urban"]) == report["urban_cells"]
    assert str(found["sums"]["urban_people"]) == report["urban_people_sum"]
    assert found["percents"] == {name: report[name] for name in LAYERS}


def test_a_weight_that_the_layers_do_not_give_is_seen(world: Callable[[str], World]) -> None:
    changed = world("trades")
    merchant, country = pair_of(changed, "fuel")
    before = segment1b.explain(changed.root, merchant, country)
    tile = before["tiles"][0]["tile_id"]

    def move(rows: list[dict[str, Any]]) -> None:
        at = next(i for i, row in enumerate(rows) if row["tile_id"] == tile)
        rows[at]["weight_fp"] -= 1
        rows[at + 1]["weight_fp"] += 1

    changed.forge("trade_weights/fuel", move)
    assert before["agrees"]
    assert not segment1b.explain(changed.root, merchant, country)["agrees"]


def test_the_layers_are_printed_where_the_trade_uses_them(published: Published) -> None:
    world = published("trades")
    merchant, country = pair_of(world, "restaurants_and_coffee")
    line = f"explain --data-root {world.root} --merchant {merchant} --country {country}"
    result = CliRunner().invoke(app, line.split())
    assert f" in {country} " in result.stdout
    assert "urban_people" in result.stdout
    assert " area " not in result.stdout


def test_a_merchant_without_a_trade_has_no_layers(published: Published) -> None:
    world = published("trades")
    found = segment1b.explain(world.root, *pair_of(world, "everything"))
    assert "sums" not in found
    assert "layers" not in found["tiles"][0]


def test_a_root_without_its_rasters_is_explained_without_layers(
    world: Callable[[str], World],
) -> None:
    bare = world("trades")
    merchant, country = pair_of(bare, "fuel")
    whole = segment1b.explain(bare.root, merchant, country)
    bare.path("urban_cells_2019").unlink()
    found = segment1b.explain(bare.root, merchant, country)
    assert found["agrees"]
    assert "urban_cells_2019" in found["layers_missing"]
    assert [row["weight"] for row in found["tiles"]] == [row["weight"] for row in whole["tiles"]]
    line = f"explain --data-root {bare.root} --merchant {merchant} --country {country}"
    shown = CliRunner().invoke(app, line.split())
    assert shown.exit_code == 0
    assert "its layers are not shown" in shown.stdout
