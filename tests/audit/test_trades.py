"""Weights of trades: a change of layers, percents or weights is found, in S2 and behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
import rasterio

from segment1b.audit import validate
from segment1b.audit.acceptance import accept, examine
from spoil import (
    ASSIGNED,
    KNOWN,
    PLAN,
    Change,
    World,
    add,
    drop,
    exchange,
    move_site,
    move_unit,
    put,
    repeat,
    swap,
)

FUEL = "trade_weights/fuel"
REPORT = "s2_trade_run_report/fuel"


def codes(world: World, *states: str) -> dict[str, str]:
    return {name: result.code for name, result in world.failing(*states).items()}


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("trades", [f"s{number}" for number in range(10)]),
        ("trades_balanced", ["s2", "s4", "s5"]),
        ("trades_permuted", ["s2", "s4", "s5"]),
    ],
)
def test_every_check_holds_where_merchants_have_trades(
    published: Callable[[str], World], name: str, states: list[str]
) -> None:
    assert codes(published(name), *states) == {}


def test_each_trade_in_use_is_checked_and_everything_by_tile_weights(
    published: Callable[[str], World],
) -> None:
    world = published("trades")
    names = [r.name for r in validate(world.root, KNOWN, world.tokens, ["s2"]) if r.state == "s2"]
    traded = {name.split()[0] for name in names if " " in name}
    assert traded == {"fuel", "restaurants_and_coffee"}
    assert {"fuel law", "fuel percents", "fuel receipt_trade_weights"} <= set(names)


@pytest.mark.code("E105_NORMALIZATION")
def test_a_weight_that_is_moved_is_found_by_the_law_and_by_who_reads_it(
    world: Callable[[str], World],
) -> None:
    changed = world("trades")
    changed.forge(FUEL, move_unit("weight_fp"))
    assert changed.failing("s2")["s2 fuel law"].code == "E105_NORMALIZATION"
    assert "s4 input_digests" in changed.failing("s4")


@pytest.mark.code("E107_DETERMINISM")
@pytest.mark.code("E402_MISSING_TILE_WEIGHTS")
def test_a_weight_that_is_moved_without_a_receipt_is_found(world: Callable[[str], World]) -> None:
    changed = world("trades")
    changed.edit(FUEL, move_unit("weight_fp"))
    assert changed.failing("s2")["s2 fuel receipt_trade_weights"].code == "E107_DETERMINISM"
    for state in ("s4", "s5"):
        found = changed.failing(state)[f"{state} trades_weighed"]
        assert found.code == "E402_MISSING_TILE_WEIGHTS"


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (drop, "same_tiles"),
        (put("dp", 11), "one_dp"),
        (add("weight_fp"), "sums"),
        (put("basis", "area_m2"), "basis"),
        (swap, "sorted"),
        (repeat, "unique"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_rule_of_the_rows_finds_what_breaks_it(
    world: Callable[[str], World], change: Change, check: str
) -> None:
    changed = world("trades")
    changed.forge(FUEL, change)
    assert f"s2 fuel {check}" in changed.failing("s2")


@pytest.mark.parametrize(
    ("field", "check"),
    [("boost", "report_totals"), ("cells_per_tile", "report_totals"), ("parameter_hash", "tokens")],
)
def test_a_forged_figure_of_the_report_is_found(
    world: Callable[[str], World], field: str, check: str
) -> None:
    changed = world("trades")
    forged = "1" * 64 if field == "parameter_hash" else 13
    changed.rewrite(REPORT, lambda report: report.update({field: forged}))
    assert f"s2 fuel {check}" in changed.failing("s2")


def test_a_road_layer_that_is_denied_is_found(world: Callable[[str], World]) -> None:
    changed = world("trades")
    changed.rewrite(REPORT, lambda report: report.update(road_layer=False))
    assert "s2 fuel report_layers" in changed.failing("s2")


def test_absent_weights_of_a_trade_are_found(world: Callable[[str], World]) -> None:
    changed = world("trades")
    changed.part(FUEL).unlink()
    assert changed.failing("s2")["s2 fuel readable_trade_weights"].code == "E108_WRITER_HYGIENE"
    assert "s4 trades_weighed" in changed.failing("s4")


@pytest.mark.parametrize("layer", ["urban_cells_2019", "road_metres_2026"])
def test_a_changed_layer_is_found_by_its_digest_and_by_the_law(
    world: Callable[[str], World], layer: str
) -> None:
    changed = world("trades")
    with rasterio.open(changed.path(layer), "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        cells = raster.read(1)
        cells[cells > 0] += 1
        raster.write(cells, 1)
    failing = changed.failing("s0", "s2")
    assert "s0 sealed_inputs" in failing
    assert "s2 fuel input_digests" in failing
    weighed = "restaurants_and_coffee" if layer == "urban_cells_2019" else "fuel"
    assert f"s2 {weighed} law" in failing
    assert "s2 fuel report_by_country" in failing


def test_a_forged_percent_is_found_in_the_report_and_in_the_policy(
    world: Callable[[str], World],
) -> None:
    changed = world("trades")
    changed.rewrite(REPORT, lambda report: report["by_country"]["PT"].update(roads=39, area=6))
    rows = changed.failing("s2")["s2 fuel percents"].rows
    assert [(row["country_iso"], row["field"], row["found"]) for row in rows] == [
        ("PT", "area", "6"),
        ("PT", "roads", "39"),
    ]


def test_a_forged_percent_of_the_policy_is_found_by_the_law(world: Callable[[str], World]) -> None:
    changed = world("trades")

    def forge(document: dict[str, Any]) -> None:
        (fuel,) = (t for t in document["policy"]["trades"]["trades"] if t["id"] == "fuel")
        fuel["weights"] = [60, 5, 0, 0, 35]

    changed.rewrite("parameter_policy_1B", forge)
    failing = changed.failing("s2")
    assert {"s2 fuel percents", "s2 fuel law", "s2 fuel input_digests"} <= set(failing)


@pytest.mark.parametrize("name", ["trades", "trades_balanced", "trades_permuted"])
def test_a_site_moved_between_tiles_is_found_by_the_weights_of_its_trade(
    world: Callable[[str], World], name: str
) -> None:
    changed = world(name)
    changed.forge(PLAN, move_site)
    assert "s4 law" in changed.failing("s4")


def test_sites_that_exchange_tiles_are_found_by_their_own_points(
    world: Callable[[str], World],
) -> None:
    changed = world("trades")
    changed.forge(ASSIGNED, exchange("tile_id"))
    assert "s5 own_points" in changed.failing("s5")


@pytest.mark.code("E_EGRESS_CHECKSUM_MISMATCH")
def test_another_trade_of_a_merchant_is_found_by_gate_and_plan(
    world: Callable[[str], World],
) -> None:
    changed = world("trades")

    def refuel(rows: list[dict[str, Any]]) -> None:
        rows[0]["trade"] = "fuel" if rows[0]["trade"] != "fuel" else "everything"

    changed.edit("merchant_trades", refuel)
    failing = changed.failing("s0", "s4")
    assert failing["s0 merchant_trades"].code == "E_EGRESS_CHECKSUM_MISMATCH"
    assert "s0 sealed_inputs" in failing
    assert "s4 law" in failing


def exchange_first_trades(world: World, *datasets: str) -> None:
    """Exchange the trades of the first two merchants that have different ones."""

    def change(rows: list[dict[str, Any]]) -> None:
        other = next(row for row in rows if row["trade"] != rows[0]["trade"])
        rows[0]["trade"], other["trade"] = other["trade"], rows[0]["trade"]

    for dataset in datasets:
        world.edit(dataset, change)


@pytest.mark.code("E_EGRESS_CHECKSUM_MISMATCH")
@pytest.mark.parametrize(
    "datasets",
    [("merchant_trades",), ("merchant_directory",), ("merchant_trades", "merchant_directory")],
)
def test_exchanged_trades_are_refused_by_gate_validator_and_proof(
    world: Callable[[str], World], datasets: tuple[str, ...]
) -> None:
    changed = world("trades")
    exchange_first_trades(changed, *datasets)
    assert changed.failing("s0")["s0 merchant_trades"].code == "E_EGRESS_CHECKSUM_MISMATCH"
    (check,) = examine("s0", changed.published)[1:]
    assert (check.name, check.ok) == ("merchant_trades", False)
    verdict = next(one for one in accept(changed.published, [check]) if one.check == "A917")
    assert verdict.failures
    assert verdict.detail.startswith("s0 merchant_trades")
    changed.remove("s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9")
    assert changed.refused("s0").code == "E_EGRESS_CHECKSUM_MISMATCH"


def test_a_directory_without_its_trades_is_found(world: Callable[[str], World]) -> None:
    changed = world("trades")
    changed.write("merchant_directory", lambda table: table.drop_columns(["trade"]))
    rows = changed.failing("s0")["s0 merchant_trades"].rows
    assert any(row.get("expected") is None and row.get("found") for row in rows)
    assert changed.refused("s0").code == "E_EGRESS_CHECKSUM_MISMATCH"


def test_quality_counts_each_trade_by_its_own_weights(published: Callable[[str], World]) -> None:
    """Expected tiles: the sum over tiles of 1 - the product over trades of (1 - p)^T."""
    world = published("trades")
    report = json.loads(world.path("s4_run_report").read_text())
    trades = dict(zip(*world_rows(world, "merchant_trades", "merchant_id", "trade"), strict=True))
    plan = world_rows(world, PLAN, "merchant_id", "legal_country_iso", "tile_id", "n_sites_tile")
    sites: dict[tuple[str, str], int] = {}
    for merchant, country, _, n in zip(*plan, strict=True):
        key = country, trades[merchant]
        sites[key] = sites.get(key, 0) + n
    missed: dict[tuple[str, int], float] = {}
    for trade in ("everything", "fuel", "restaurants_and_coffee"):
        name = "tile_weights" if trade == "everything" else f"trade_weights/{trade}"
        rows = world_rows(world, name, "country_iso", "tile_id", "weight_fp")
        for country, tile, weight in zip(*rows, strict=True):
            n = sites.get((country, trade), 0)
            place = country, tile
            missed[place] = missed.get(place, 1.0) * (1 - weight / 10**12) ** n
    expected = sum(1 - chance for chance in missed.values())
    used = len(set(zip(plan[1], plan[2], strict=True)))
    assert report["collapse_index"] == pytest.approx(used / expected, rel=1e-6)


def world_rows(world: World, dataset_id: str, *columns: str) -> list[list[Any]]:
    table = pq.read_table(world.part(dataset_id), columns=list(columns))
    return [table[name].to_pylist() for name in columns]
