"""The embedded world, as `segment1b run` without options makes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import worlds
from segment1b import contracts
from segment1b.audit import validate
from segment1b.pipeline.outcome import RunResult


@pytest.fixture
def result(embedded_world: RunResult) -> RunResult:
    return embedded_world


def keyed(country: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return country and a number below 2^44 as one sortable number."""
    letters = np.array([int.from_bytes(c.encode(), "big") for c in country.tolist()], np.uint64)
    return (letters << np.uint64(44)) + number.astype(np.uint64)


def columns(result: RunResult, state: int, *names: str) -> list[np.ndarray]:
    table = pq.read_table(result.outcomes[state].datasets[0], partitioning=None)
    return [np.asarray(table.column(name).to_numpy(zero_copy_only=False)) for name in names]


def test_every_pair_receives_exactly_its_sites(result: RunResult) -> None:
    country, merchant, n = columns(result, 3, "legal_country_iso", "merchant_id", "n_sites")
    country4, merchant4, sites = columns(
        result, 4, "legal_country_iso", "merchant_id", "n_sites_tile"
    )
    required, planned = keyed(country, merchant), keyed(country4, merchant4)
    order = np.argsort(required)
    at = np.searchsorted(required[order], planned)
    assert np.array_equal(np.bincount(at, sites, len(n)), n[order])


@pytest.mark.slow
def test_stable_keeps_every_tile_of_every_pair_within_three_sites_of_its_quota(
    result: RunResult,
) -> None:
    assert result.policy["allocation"]["law"] == "stable"
    requirements = columns(result, 3, "legal_country_iso", "merchant_id", "n_sites")
    plan = columns(result, 4, "legal_country_iso", "merchant_id", "tile_id", "n_sites_tile")
    data = Path(result.root) / "data" / "layer1"
    listed = pq.read_table(next(data.glob("1A/merchant_trades/*/*")), partitioning=None)
    trades = dict(zip(listed["merchant_id"].to_pylist(), listed["trade"].to_pylist(), strict=True))
    folders = {path.name.partition("=")[2]: path for path in data.glob("1B/trade_weights/*/*")}
    folders["everything"] = Path(result.outcomes[2].datasets[0])
    assert len(folders) == len(set(trades.values())) > 5
    for trade, folder in folders.items():
        mine = [m for m, own in trades.items() if own == trade]
        parts = [[c[np.isin(table[1], mine)] for c in table] for table in (requirements, plan)]
        within_three_sites(*parts, folder)


def within_three_sites(
    requirements: list[np.ndarray], plan: list[np.ndarray], folder: Path
) -> None:
    """Check the plan of one trade's merchants against the weights of the trade."""
    names = ["country_iso", "tile_id", "weight_fp"]
    table = pq.read_table(folder, columns=names, partitioning=None)
    wcountry, wtile, weight = (table[name].to_numpy() for name in names)
    (country, merchant, n), (pcountry, pmerchant, ptile, sites) = requirements, plan
    pairs, planned = keyed(country, merchant), keyed(pcountry, pmerchant)
    order = np.argsort(pairs)
    n_of = n[order][np.searchsorted(pairs[order], planned)]
    share = weight[np.searchsorted(keyed(wcountry, wtile), keyed(pcountry, ptile))] / 10**12
    assert np.abs(sites - n_of * share).max() < 3
    # Tiles without a site of the pair: their quota is what they miss.
    heaviest = {c: weight[wcountry == c].max() / 10**12 for c in np.unique(country).tolist()}
    rows = set(zip(planned.tolist(), ptile.tolist(), strict=True))
    for code, own, count in zip(country.tolist(), pairs.tolist(), n.tolist(), strict=True):
        if count * heaviest[code] < 3:
            continue
        mine = wcountry == code
        heavy = wtile[mine][count * weight[mine] / 10**12 >= 3]
        assert all((own, tile) in rows for tile in heavy.tolist())


@pytest.mark.slow
def test_all_checks_pass_by_other_means(result: RunResult) -> None:
    found = validate(
        Path(result.root),
        contracts.load(),
        result.identity,
        [f"s{number}" for number in range(10)],
    )
    assert [check for check in found if check.offending] == []
    assert len(found) > 250


def test_a_second_run_reuses_every_state_behind_the_gate(result: RunResult, tmp_path: Path) -> None:
    shutil.copytree(result.root, tmp_path / "root")
    again = worlds.run(tmp_path / "root", verify=True, to_state="s9")
    assert [o.what for o in again.outcomes] == ["unchanged", *["reused"] * 9]
