"""Lists with trades: what they publish, share between lists, adopt, refuse and leave as it was."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from rasterio.windows import from_bounds

import bring
import foreign
import segment1b
import worlds
from segment1b import contracts
from segment1b.audit import validate
from segment1b.config import RunSettings
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.pipeline.discard import discard
from segment1b.pipeline.outcome import RunResult
from segment1b.pipeline.status import status
from segment1b.reference import embedded
from spoil import World

KNOWN = contracts.load()
COUNTRIES = ("LS", "NL", "ZA")
SHAPES = ("everything", "fuel")


def listed(folder: Path, *trades: str, merchants: int = 12) -> Path:
    """Write a list whose merchants have these trades in turn; one without trades where none."""
    path = worlds.outlet_list(folder / f"{'-'.join(trades)}.csv", COUNTRIES, merchants)
    return worlds.add_trades(path, trades) if trades else path


@pytest.fixture(scope="module")
def fueled(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Run three countries at 1 degree to S5, some merchants of the trade fuel."""
    folder = tmp_path_factory.mktemp("fueled")
    root = worlds.lay_small_world(folder / "root", 1.0, COUNTRIES)
    worlds.lay_layers(root)
    return worlds.run(root, outlets=listed(folder, *SHAPES), to_state="s5")


@pytest.fixture
def copied(fueled: RunResult, tmp_path: Path) -> Path:
    return shutil.copytree(fueled.root, tmp_path / "root")


def report_of(root: Path, trade: str) -> dict[str, Any]:
    (path,) = root.glob(f"control/trade_weights/trade={trade}/*/s2_trade_run_report.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def failing(result: RunResult, *states: str) -> list[str]:
    tokens = Identity(**result.identity).tokens  # type: ignore[arg-type]
    results = validate(result.root, KNOWN, tokens, states)
    return [f"{one.state} {one.name}" for one in results if not one.ok]


@pytest.mark.parametrize("law", ["stable", "largest_remainder"])
def test_countries_of_one_trade_and_of_several_are_planned_in_one_shard(
    fueled: RunResult, copied: Path, law: str
) -> None:
    outlets = copied.parent / "uneven.csv"
    outlets.write_text(
        "merchant_id,country_iso,n_outlets,trade\n"
        "1007,LS,5,fuel\n1007,NL,5,fuel\n1007,ZA,5,fuel\n"
        "2007,LS,3,everything\n2007,ZA,3,everything\n"
    )
    root = copied.parent / law
    settings = (f"allocation.law={law}",)
    result = worlds.run(root, world=copied, outlets=outlets, settings=settings, to_state="s8")
    assert failing(result, "s4", "s5", "s6", "s7", "s8") == []


def test_a_list_of_everything_is_the_list_without_trades(fueled: RunResult, copied: Path) -> None:
    folder = copied.parent
    results = [
        worlds.run(copied, outlets=path, to_state="s2")
        for path in (listed(folder), listed(folder, "everything"))
    ]
    assert results[0].identity == results[1].identity != fueled.identity
    assert results[0].identity["parameter_hash"] != fueled.identity["parameter_hash"]
    policy = copied / KNOWN["parameter_policy_1B"].locate(results[0].identity)
    document = json.loads(policy.read_text())
    assert "trades" not in document["policy"]
    assert not {"urban_cells_2019", "road_metres_2026"} & document["surfaces"].keys()


def test_tile_weights_are_those_of_a_list_without_trades(fueled: RunResult, copied: Path) -> None:
    plain = worlds.run(copied, outlets=listed(copied.parent), to_state="s2")
    assert worlds.digests(plain)["s2"] == worlds.digests(fueled)["s2"]


def test_another_list_adds_its_trades_and_changes_nothing_of_the_first(
    fueled: RunResult, copied: Path
) -> None:
    folder = copied.parent
    second = worlds.run(copied, outlets=listed(folder, "fuel", "hotels"), to_state="s5")
    assert second.identity["parameter_hash"] == fueled.identity["parameter_hash"]
    assert report_of(copied, "fuel") == report_of(fueled.root, "fuel")
    assert report_of(copied, "hotels")["trade"] == "hotels"
    first = worlds.run(copied, outlets=listed(folder, *SHAPES), to_state="s5")
    assert [o.what for o in first.outcomes[1:]] == ["reused"] * 5
    assert failing(first, "s2", "s4", "s5") == failing(second, "s2", "s4", "s5") == []


def test_weights_of_trades_are_adopted_from_a_world(fueled: RunResult, tmp_path: Path) -> None:
    result = worlds.run(
        tmp_path / "again",
        world=fueled.root,
        outlets=listed(tmp_path, "fuel", "hotels"),
        settings=("allocation.law=balanced",),
        to_state="s5",
    )
    report = report_of(result.root, "fuel")
    assert report["adopted_from"] == fueled.identity["parameter_hash"]
    assert report["parameter_hash"] == result.identity["parameter_hash"] != report["adopted_from"]
    assert "adopted_from" not in report_of(result.root, "hotels")
    assert failing(result, "s2", "s4", "s5") == []


def test_processes_give_the_weights_and_sites_of_threads(fueled: RunResult, tmp_path: Path) -> None:
    root = worlds.lay_small_world(tmp_path / "root", 1.0, COUNTRIES)
    worlds.lay_layers(root)
    outlets = fueled.root.parent / "everything-fuel.csv"
    result = worlds.run(root, outlets=outlets, engine="processes", workers=2, to_state="s5")
    assert worlds.digests(result) == worlds.digests(fueled)
    both = [report_of(one, "fuel")["determinism_receipt"] for one in (root, fueled.root)]
    assert both[0] == both[1]


def test_a_lost_partition_is_seen_and_made_again(fueled: RunResult, copied: Path) -> None:
    shutil.rmtree(next(copied.glob("data/layer1/1B/trade_weights/*/trade=fuel")))
    settings = RunSettings(data_root=copied)
    assert status(settings)["states"]["s2"]["why"] == "trade fuel: trade_weights is not there"
    worlds.run(copied, to_state="s5")
    assert (
        report_of(copied, "fuel")["determinism_receipt"]
        == report_of(fueled.root, "fuel")["determinism_receipt"]
    )
    assert status(settings)["states"]["s2"]["would"] == "reuse"


def test_a_discard_of_s2_removes_the_weights_of_trades(copied: Path) -> None:
    removed = discard(RunSettings(data_root=copied, from_state="s2"), lambda _: True)
    names = [Path(path).name for path in removed if "trade" in path]
    assert names == ["s2_trade_run_report.json", "trade=fuel"]
    assert not list(copied.glob("data/layer1/1B/trade_weights/*/*"))


@pytest.mark.code("E_REFERENCE_SURFACE_MISSING")
def test_a_trade_without_urban_cells_is_refused_before_anything_is_sealed(
    copied: Path,
) -> None:
    (copied / KNOWN["urban_cells_2019"].locate({})).unlink()
    with pytest.raises(Segment1BError, match=r"E_REFERENCE_SURFACE_MISSING.*urban_cells.*import"):
        worlds.run(copied, outlets=listed(copied.parent, "hotels"), to_state="s2")
    plain = worlds.run(copied, outlets=listed(copied.parent), to_state="s3")
    assert plain.identity["parameter_hash"]


def test_an_absent_road_layer_counts_as_zero_and_is_reported(copied: Path) -> None:
    (copied / KNOWN["road_metres_2026"].locate({})).unlink()
    shutil.rmtree(copied / "control")
    shutil.rmtree(copied / "data")
    result = worlds.run(copied, outlets=listed(copied.parent, *SHAPES), to_state="s5")
    report = report_of(copied, "fuel")
    assert report["road_layer"] is False
    assert report["by_country"]["NL"]["road_metres"] == "0"
    assert report["by_country"]["NL"]["roads"] == 0
    assert failing(result, "s0", "s2", "s4", "s5") == []


def test_a_country_without_people_reports_the_sums_of_its_layers(tmp_path: Path) -> None:
    root = worlds.lay_small_world(tmp_path / "root", 1.0, COUNTRIES)
    worlds.lay_layers(root)
    with rasterio.open(worlds.place(root, "population_raster_2025"), "r+") as raster:
        window = from_bounds(26, -31, 30, -28, raster.transform)
        raster.write(np.zeros((3, 4), np.uint32), 1, window=window)
    result = worlds.run(root, outlets=listed(tmp_path, *SHAPES), to_state="s4")
    country = report_of(root, "fuel")["by_country"]["LS"]
    assert (country["zero_mass_fallback"], country["urban_people_sum"]) == (True, "0")
    assert int(country["road_metres"]) > 0
    assert int(country["urban_cells"]) > 0
    assert failing(result, "s2") == []
    trades = pq.read_table(next(root.rglob("merchant_trades/**/*.parquet"))).to_pylist()
    plan = pq.read_table(next(root.rglob("s4_alloc_plan/**/*.parquet"))).to_pylist()
    fuel = {row["merchant_id"] for row in trades if row["trade"] == "fuel"}
    merchants = {row["merchant_id"] for row in plan if row["legal_country_iso"] == "LS"}
    found = segment1b.explain(root, min(fuel & merchants), "LS")
    assert (found["agrees"], found["percents"]["area"]) == (True, 100)


def test_a_road_layer_that_is_gone_is_named(fueled: RunResult, copied: Path) -> None:
    (copied / KNOWN["road_metres_2026"].locate({})).unlink()
    told = r".*E_REFERENCE_SURFACE_MISSING: road_metres_2026 was [0-9a-f]{8}, is absent"
    assert re.match(told, status(RunSettings(data_root=copied))["refusal"])
    with pytest.raises(Segment1BError, match=told):
        worlds.run(copied, to_state="s5")


@pytest.mark.code("E105_NORMALIZATION")
@pytest.mark.parametrize("degrees", [0.5, 4.0])
def test_a_layer_of_floats_may_lack_values_but_not_hold_parts_of_a_metre(
    tmp_path: Path, degrees: float
) -> None:
    root = worlds.lay_small_world(tmp_path / "root", 1.0, COUNTRIES)
    worlds.lay_layers(root)
    roads = np.full((round(180 / degrees), round(360 / degrees)), np.nan, np.float32)
    roads[::2, :] = 4321
    step = rasterio.Affine(degrees, 0, -180, 0, -degrees, 90)
    path = worlds.place(root, "road_metres_2026")
    bring.raster(path, roads, step, nodata=np.nan)
    result = worlds.run(root, outlets=listed(tmp_path, "fuel"), to_state="s2")
    assert failing(result, "s2") == []
    roads[:, round(200 / degrees) :] = 1.5
    bring.raster(path, roads, step, nodata=np.nan)
    assert "s2 fuel layer_limits" in failing(result, "s2")
    with pytest.raises(Segment1BError, match=r"E105_NORMALIZATION.*holds 1\.5"):
        worlds.run(root, outlets=listed(tmp_path, "fuel", "hotels"), to_state="s2")


@pytest.mark.code("E_POLICY_INVALID")
def test_trades_need_the_basis_population(copied: Path) -> None:
    with pytest.raises(Segment1BError, match=r"E_POLICY_INVALID.*prep.basis = 'area_m2'.*trades"):
        worlds.run(
            copied,
            outlets=listed(copied.parent, *SHAPES),
            settings=("prep.basis=area_m2",),
            to_state="s2",
        )


@pytest.mark.code("E002_RASTER_MISMATCH")
def test_tiles_that_no_layer_fits_are_refused_and_nothing_of_trades_is_published(
    tmp_path: Path,
) -> None:
    root = worlds.lay_small_world(tmp_path / "root", 1.0, ("LS",))
    worlds.lay_layers(root)
    people = np.ones((60, 120), np.uint32)
    step = rasterio.Affine(3.0, 0, -180, 0, -3.0, 90)
    bring.raster(worlds.place(root, "population_raster_2025"), people, step)
    shift = rasterio.Affine(0.3, 0, 26.02, 0, -0.3, -28)
    bring.raster(worlds.place(root, "population_raster_2025"), np.ones((12, 15)), shift)
    outlets = tmp_path / "list.csv"
    outlets.write_text("merchant_id,country_iso,n_outlets,trade\n1,LS,5,fuel\n")
    with pytest.raises(Segment1BError, match=r"E002_RASTER_MISMATCH.*reference import layer"):
        worlds.run(root, outlets=outlets, to_state="s2")
    assert not list(root.glob("data/layer1/1B/trade_weights/*/*"))


@pytest.mark.parametrize("side", [1, 2, 3])
def test_grids_as_fine_as_a_layer_and_finer_have_the_weights_of_the_validator(
    tmp_path: Path, side: int
) -> None:
    """A window of the prior whose tiles begin in the middle of nothing but whole cells."""
    root = worlds.lay_small_world(tmp_path / "root", 1.0, ("LS",))
    worlds.lay_layers(root)
    with rasterio.open(embedded.surface("population_2025_0p05deg.tif")) as source:
        window = from_bounds(26.95, -30.75, 29.55, -28.45, source.transform)
        people, corner = source.read(1, window=window), source.window_transform(window)
    fine = np.kron(people, np.ones((side, side))) / side**2
    step = corner * rasterio.Affine.scale(1 / side)
    bring.raster(worlds.place(root, "population_raster_2025"), fine.astype(np.float32), step)
    outlets = tmp_path / "list.csv"
    rows = [f"{m},LS,{m},{t}" for m, t in enumerate(("fuel", "hotels", "fast_food"), 3)]
    outlets.write_text("\n".join(["merchant_id,country_iso,n_outlets,trade", *rows]) + "\n")
    result = worlds.run(root, outlets=outlets, to_state="s5")
    report = report_of(root, "fast_food")
    assert report["cells_per_tile"] == 1
    assert int(report["by_country"]["LS"]["road_metres"]) > 0
    assert failing(result, "s0", "s1", "s2", "s4", "s5") == []


@pytest.mark.parametrize("name", ["trades", "trades_balanced", "trades_permuted"])
def test_explain_applies_the_weights_of_the_merchants_trade(
    published: Callable[[str], World], name: str
) -> None:
    world = published(name)
    plan = pq.read_table(world.part("s4_alloc_plan"))
    trades = pq.read_table(world.part("merchant_trades")).to_pylist()
    for trade in ("everything", "fuel"):
        merchant = next(row["merchant_id"] for row in trades if row["trade"] == trade)
        at = plan["merchant_id"].to_pylist().index(merchant)
        country = plan["legal_country_iso"][at].as_py()
        found = segment1b.explain(world.root, merchant, country)
        assert found["agrees"]
        assert found.get("trade", "everything") == trade
        if trade == "fuel":
            assert sum(found["percents"].values()) == 100


#: The tokens of a bundle of 1A.
FOREIGN = {"seed": 7, "manifest_fingerprint": "5e" * 32}


def lay_foreign(folder: Path, trades: dict[int, str]) -> Path:
    """Lay a root of 1A with trades of its merchants, written by plain pyarrow."""
    root = worlds.lay_small_world(folder / "root", 1.0, ("LS", "ZA"))
    worlds.lay_layers(root)
    pairs = [(1, "LS", 4), (1, "ZA", 9), (2, "ZA", 5), (3, "ZA", 6)]
    foreign.lay_bundle(root, *FOREIGN.values(), "a7" * 32, pairs)  # type: ignore[arg-type]
    path = root / KNOWN["merchant_trades"].locate(FOREIGN) / "trades.parquet"
    path.parent.mkdir(parents=True)
    columns = {"trade": pa.array(trades.values(), pa.large_string()), "merchant_id": list(trades)}
    pq.write_table(pa.table(columns), path)
    return root


def test_a_root_of_1a_brings_the_trades_of_some_merchants(tmp_path: Path) -> None:
    root = lay_foreign(tmp_path, {1: "fuel", 3: "restaurants_and_coffee"})
    result = worlds.run(root, to_state="s5")
    assert result.identity["parameter_hash"] == "a7" * 32
    receipt = json.loads(next(root.glob("data/layer1/1B/s0_gate_receipt/*/*.json")).read_text())
    sealed = {entry["id"] for entry in receipt["sealed_inputs"]}
    assert {"merchant_trades", "urban_cells_2019", "road_metres_2026"} <= sealed
    assert report_of(root, "fuel")["parameter_hash"] == "a7" * 32
    assert failing(result, "s0", "s2", "s4", "s5") == []


@pytest.mark.code("E_INPUT_SCHEMA_INVALID")
@pytest.mark.parametrize(
    ("trades", "problem"),
    [
        ({1: "fule"}, r"has the trade 'fule': did you mean 'fuel'"),
        ({1: "../../fuel"}, r"has the trade '../../fuel'"),
        ({2: "fuel", 1: "fuel"}, r"has merchants twice or out of order"),
    ],
)
def test_trades_of_1a_that_are_not_valid_are_refused(
    tmp_path: Path, trades: dict[int, str], problem: str
) -> None:
    root = lay_foreign(tmp_path, trades)
    with pytest.raises(Segment1BError, match=rf"E_INPUT_SCHEMA_INVALID.*{problem}"):
        worlds.run(root, to_state="s2")
    assert not (root / "data/layer1/1B").exists()
