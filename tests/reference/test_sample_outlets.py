"""The sample outlets: made again byte for byte, and of the shape that is promised."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from make_sample_outlets import (
    CHAIN,
    CHAIN_MCCS,
    OTHER_MCCS,
    draw_mcc,
    draw_reach,
    draw_size,
    inhabited,
    sample_outlets,
    tenth_root,
    write_csv,
)
from segment1b.contracts.trades import load_trades
from segment1b.reference import embedded

Row = tuple[int, str, int, int]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    with embedded.SAMPLE_OUTLETS.open(newline="") as file:
        read = csv.reader(file)
        assert next(read) == ["merchant_id", "country_iso", "n_outlets", "mcc"]
        return [(int(merchant), code, int(n), int(mcc)) for merchant, code, n, mcc in read]


def test_made_again_byte_for_byte(tmp_path: Path) -> None:
    write_csv(tmp_path / "again.csv", sample_outlets())
    assert (tmp_path / "again.csv").read_bytes() == embedded.SAMPLE_OUTLETS.read_bytes()


def test_another_seed_makes_another_list() -> None:
    assert sample_outlets(5) != sample_outlets(6)


def test_rows_are_sorted_pairs(rows: list[Row]) -> None:
    pairs = [(merchant, code) for merchant, code, _, _ in rows]
    assert pairs == sorted(set(pairs))
    assert min(n for _, _, n, _ in rows) == 1


def test_every_inhabited_country_has_an_outlet(rows: list[Row]) -> None:
    assert {code for _, code, _, _ in rows} == set(inhabited())
    assert {"AQ", "BV", "HM", "UM"}.isdisjoint(inhabited())


def test_sizes_have_a_heavy_tail(rows: list[Row]) -> None:
    size, reach = Counter[int](), Counter[int]()
    for merchant, _, n, _ in rows:
        size[merchant] += n
        reach[merchant] += 1
    assert len(size) == 3000
    assert 55_000 < size.total() < 65_000
    assert sum(n == 1 for n in size.values()) > 1200
    assert sum(n >= 1000 for n in size.values()) >= 4
    assert 2_300 < max(n for _, _, n, _ in rows) < 2_900
    assert sum(n > 1 for n in reach.values()) > 500


def test_small_countries_get_few(rows: list[Row]) -> None:
    people, outlets = inhabited(), Counter[str]()
    for _, code, n, _ in rows:
        outlets[code] += n
    assert all(
        n == 1 or people[code] / n > 10_000 for code, n in outlets.items() if people[code] < 200_000
    )
    assert outlets["CN"] > outlets["US"] > outlets["NR"] == 1


def test_most_outlets_are_of_chains_in_mass_market_trades_and_few_have_none(
    rows: list[Row],
) -> None:
    trades, own, outlets = load_trades().by_code, dict[int, set[int]](), Counter[str]()
    for merchant, _, n, mcc in rows:
        own.setdefault(merchant, set()).add(mcc)
        outlets[trades.get(mcc, "everything")] += n
    assert all(len(codes) == 1 for codes in own.values())
    share = {trade: n / outlets.total() for trade, n in outlets.items()}
    mass = ("groceries_and_convenience", "fast_food", "fuel", "restaurants_and_coffee")
    assert sum(share[trade] for trade in mass) > 0.6
    assert 0.01 < share["everything"] < 0.1
    assert len(share) >= 10


def test_a_chain_and_a_small_merchant_draw_from_tables_of_a_thousand() -> None:
    assert sum(CHAIN_MCCS.values()) == sum(OTHER_MCCS.values()) == 1000
    top = (1 << 64) - 1
    assert (draw_mcc(0, CHAIN), draw_mcc(top, CHAIN)) == (5814, 5552)
    assert (draw_mcc(0, CHAIN - 1), draw_mcc(top, CHAIN - 1)) == (5812, 8099)


def test_numbers_are_exact() -> None:
    assert [tenth_root(n) for n in (0, 1, 1023, 1024, 59048, 59049)] == [0, 1, 1, 2, 2, 3]
    assert tenth_root((10**9) ** 7) == 1_995_262  # 10^6.3
    top = (1 << 64) - 1
    assert (draw_size(0), draw_size(1 << 63), draw_size(top)) == (4499, 1, 1)
    assert (draw_reach(0), draw_reach(top)) == (40, 1)
