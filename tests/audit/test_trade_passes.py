"""One pass settles the checks of all trades' weights, and none that finds something."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

import bring
from segment1b.audit import runner
from segment1b.audit.case import Case
from segment1b.audit.merchants import in_use, of_trade
from segment1b.audit.passes import UnsettledError
from segment1b.audit.plans import TRADES
from segment1b.audit.s2_trade.layer_cells import Placed
from segment1b.audit.s2_trade.layers import _values, root, shares_of
from segment1b.audit.session import Session
from segment1b.errors import Segment1BError
from spoil import KNOWN, Change, World, add, drop, move_unit, put, repeat, swap

FUEL = "trade_weights/fuel"
REPORT = "s2_trade_run_report/fuel"
#: What no pass looks into: files, receipts and the report's heading.
LEFT = {
    *("tokens", "disallowed_reads", "input_digests", "ranking", "report_layers"),
    *(f"{what}_trade_weights" for what in ("receipt", "stray_files", "columns")),
}
World_ = Callable[[str], World]


def settled(world: World) -> dict[str, Collection[str]]:
    """Return what a pass settles, by trade."""
    plan = TRADES.without(world.published.unused)
    found = {}
    with Session(world.published) as session:
        session.trades = [of_trade(world.published, one) for one in in_use(world.published)]
        for own in session.trades:
            session.published = own
            case = Case(session)
            runner._open_state(plan, case)
            found[own.tokens["trade"]] = runner._settled(plan, case)
    return found


@pytest.mark.parametrize("name", ["trades", "trades_balanced", "trades_permuted"])
def test_a_pass_settles_every_check_of_weights_that_have_nothing_to_find(
    name: str, published: World_
) -> None:
    world = published(name)
    plan = TRADES.without(world.published.unused)
    expected = {one.name for one in runner.checks_of(plan, KNOWN)} - LEFT
    assert settled(world) == dict.fromkeys(("fuel", "restaurants_and_coffee"), expected)


def of_country(**changed: Any) -> Change:
    return lambda report: report["by_country"]["PT"].update(changed)


def without_a_country(report: dict[str, Any]) -> None:
    del report["by_country"]["PT"]


@pytest.mark.parametrize(
    ("table", "change", "checks"),
    [
        (FUEL, drop, {"same_tiles"}),
        (FUEL, put("dp", 11), {"one_dp"}),
        (FUEL, put("dp", 77), {"one_dp", "values_trade_weights"}),
        (FUEL, add("weight_fp"), {"sums", "law"}),
        (FUEL, move_unit("weight_fp"), {"law"}),
        (FUEL, put("basis", "area_m2"), {"basis"}),
        (FUEL, swap, {"sorted"}),
        (FUEL, repeat, {"unique", "sorted"}),
        (REPORT, of_country(roads=39, area=6), {"percents"}),
        (REPORT, of_country(zero_mass_fallback=True), {"basis"}),
        (REPORT, of_country(tiles=1), {"report_by_country"}),
        (REPORT, of_country(zero_weight_tiles=10**6), {"report_by_country"}),
        (REPORT, of_country(urban_cells="1"), {"report_by_country"}),
        (REPORT, of_country(urban_people_sum="1"), {"report_by_country"}),
        (REPORT, of_country(road_metres="1"), {"report_by_country"}),
        (REPORT, without_a_country, {"report_by_country", "percents"}),
        *(
            (REPORT, lambda report, name=name: report.update({name: 13}), {"report_totals"})
            for name in ("rows_emitted", "countries_total", "dp", "K", "boost", "cells_per_tile")
        ),
    ],
)
def test_a_pass_does_not_settle_what_finds_something_and_leaves_other_trades_alone(
    table: str,
    change: Change,
    checks: set[str],
    published: World_,
    world: World_,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoiled = world("trades")
    spoil: Callable[[str, Change], None] = spoiled.edit if table == FUEL else spoiled.rewrite
    spoil(table, lambda rows: change(rows) and None)
    found = settled(spoiled)
    assert not checks & {*found["fuel"]}
    other = "restaurants_and_coffee"
    assert found[other] == settled(published("trades"))[other]
    monkeypatch.setattr(runner, "_settled", lambda *_: ())
    by_queries = {name.removeprefix("s2 fuel ") for name in spoiled.failing("s2")}
    assert not by_queries & {*found["fuel"]}


@pytest.mark.parametrize("layer", ["urban_cells_2019", "road_metres_2026"])
def test_a_pass_does_not_settle_weights_by_other_layers(layer: str, world: World_) -> None:
    spoiled = world("trades")
    with rasterio.open(spoiled.path(layer), "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        cells = raster.read(1)
        cells[cells > 0] += 1
        raster.write(cells, 1)
    found = settled(spoiled)
    weighed = "restaurants_and_coffee" if layer == "urban_cells_2019" else "fuel"
    assert "law" not in found[weighed]
    assert "report_by_country" not in found["fuel"]


masses = st.lists(st.integers(0, 2**53), min_size=1, max_size=12)


@given(masses, st.integers(0, 15), st.integers(0, 50))
@settings(max_examples=300, deadline=None)
def test_shares_go_to_the_largest_remainders_equal_ones_in_order(
    masses: list[int], dp: int, scale: int
) -> None:
    masses = [mass >> scale for mass in masses]
    total, units = sum(masses), 10**dp
    found = shares_of(np.array(masses, np.int64), total, units)
    if not total:
        assert found is None
        return
    shares = [mass * units // total for mass in masses]
    rest = sorted(range(len(masses)), key=lambda at: (-(masses[at] * units % total), at))
    for at in rest[: units - sum(shares)]:
        shares[at] += 1
    assert found is not None
    assert found.tolist() == shares


@given(st.lists(st.one_of(st.integers(0, 2**61), st.integers(0, 2**30).map(lambda s: s * s))))
def test_roots_are_whole_and_rounded_down(values: list[int]) -> None:
    assert root(np.array(values, np.int64)).tolist() == [math.isqrt(value) for value in values]


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("dealt", [True, False])
@pytest.mark.parametrize(("side", "first_row", "first_col"), [(1, 0, 0), (3, 3, 21), (2, 1, 5)])
def test_values_of_layers_are_those_of_the_definition(
    tmp_path: Path, side: int, first_row: int, first_col: int, holds: bool, dealt: bool
) -> None:
    """Rows of tiles begin inside the layer; columns go around the globe."""
    cells = np.random.default_rng(side).integers(0, 100, (30, 24)).astype(np.uint32)
    path = bring.raster(tmp_path / "layer.tif", cells, from_origin(-180, 90, 15, 6))
    turn = 24 * (1 if holds else side)
    row, col = (part.astype(np.int64) for part in np.nonzero(np.ones((5, turn // 3), np.bool_)))
    with rasterio.open(path) as source:
        placed = Placed(holds, side, first_row, first_col, turn)
        found = np.concatenate([*_values(source, placed, row, col, dealt=dealt)])
    expected = [
        value(cells, placed, *place, dealt=dealt)
        for place in zip(row.tolist(), col.tolist(), strict=True)
    ]
    assert found.tolist() == expected


def value(cells: Any, placed: Placed, row: int, col: int, *, dealt: bool) -> int:
    """Return a tile's value in Python integers."""
    side = placed.side
    if placed.holds:
        return sum(
            int(cells[placed.first_row + row * side + i, (placed.first_col + col * side + j) % 24])
            for i in range(side)
            for j in range(side)
        )
    row, col = row + placed.first_row, (col + placed.first_col) % placed.turn
    whole = int(cells[row // side, col // side])
    if not dealt:
        return whole
    return whole // side**2 + ((row % side) * side + col % side < whole % side**2)


def test_a_cell_that_is_no_count_is_not_settled(tmp_path: Path) -> None:
    path = bring.raster(
        tmp_path / "layer.tif", np.array([[1.5]], np.float32), from_origin(0, 1, 1, 1)
    )
    with rasterio.open(path) as source, pytest.raises(UnsettledError):
        list(_values(source, Placed(True, 1, 0, 0, 1), *[np.zeros(1, np.int64)] * 2, dealt=False))


def test_a_pass_does_not_settle_the_cut_of_a_trade_that_has_an_empty_file_more(
    world: World_,
) -> None:
    spoiled = world("trades")
    schema = pq.read_schema(spoiled.part(FUEL))
    pq.ParquetWriter(spoiled.path(FUEL) / "part-00001.parquet", schema).close()
    spoiled.forge_receipt(FUEL)
    assert "s2 fuel file_cut_trade_weights" in spoiled.failing("s2")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        # Half of the world: its cells are not those of the tiles on the other side.
        ({"width": 3600}, "s2 fuel layer_cells"),
        ({"crs": "EPSG:3857"}, "s2 fuel layer_cells"),
    ],
    ids=str,
)
def test_a_layer_that_does_not_fit_is_a_finding_and_settles_nothing(
    change: dict[str, Any], found: str, world: World_
) -> None:
    spoiled = world("trades")
    path = spoiled.path("road_metres_2026")
    with rasterio.open(path) as raster:
        profile, cells = {**raster.profile, **change}, raster.read(1)
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(cells[:, : profile["width"]], 1)
    assert settled(spoiled)["fuel"] == ()
    assert found in spoiled.failing("s2")


def test_a_trade_that_the_policy_lists_twice_is_not_settled(world: World_) -> None:
    spoiled = world("trades")

    def twice(document: dict[str, Any]) -> None:
        trades = document["policy"]["trades"]["trades"]
        trades.insert(0, {**next(t for t in trades if t["id"] == "fuel"), "title": "other"})

    spoiled.rewrite("parameter_policy_1B", twice)
    assert "law" not in settled(spoiled)["fuel"]


@pytest.mark.code("E_DIGEST_VERSION")
def test_the_weights_of_a_trade_by_another_digest_version_are_refused(world: World_) -> None:
    spoiled = world("trades")
    spoiled.rewrite(REPORT, lambda report: report["determinism_receipt"].update(digest_version=1))
    with pytest.raises(Segment1BError, match="E_DIGEST_VERSION"):
        spoiled.failing("s2")
