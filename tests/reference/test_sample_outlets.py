"""The sample outlets: made again byte for byte, and of the shape that is promised."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from make_sample_outlets import (
    draw_reach,
    draw_size,
    inhabited,
    sample_outlets,
    tenth_root,
    write_csv,
)
from segment1b.reference import embedded


@pytest.fixture(scope="module")
def rows() -> list[tuple[int, str, int]]:
    with embedded.SAMPLE_OUTLETS.open(newline="") as file:
        read = csv.reader(file)
        assert next(read) == ["merchant_id", "country_iso", "n_outlets"]
        return [(int(merchant), code, int(n)) for merchant, code, n in read]


def test_made_again_byte_for_byte(tmp_path: Path) -> None:
    write_csv(tmp_path / "again.csv", sample_outlets())
    assert (tmp_path / "again.csv").read_bytes() == embedded.SAMPLE_OUTLETS.read_bytes()


def test_another_seed_makes_another_list() -> None:
    assert sample_outlets(5) != sample_outlets(6)


def test_rows_are_sorted_pairs(rows: list[tuple[int, str, int]]) -> None:
    pairs = [(merchant, code) for merchant, code, _ in rows]
    assert pairs == sorted(set(pairs))
    assert min(n for _, _, n in rows) == 1


def test_every_inhabited_country_has_an_outlet(rows: list[tuple[int, str, int]]) -> None:
    assert {code for _, code, _ in rows} == set(inhabited())
    assert {"AQ", "BV", "HM", "UM"}.isdisjoint(inhabited())


def test_sizes_have_a_heavy_tail(rows: list[tuple[int, str, int]]) -> None:
    size, reach = Counter[int](), Counter[int]()
    for merchant, _, n in rows:
        size[merchant] += n
        reach[merchant] += 1
    assert len(size) == 3000
    assert 55_000 < size.total() < 65_000
    assert sum(n == 1 for n in size.values()) > 1200
    assert sum(n >= 1000 for n in size.values()) >= 4
    assert 2_300 < max(n for _, _, n in rows) < 2_900
    assert sum(n > 1 for n in reach.values()) > 500


def test_small_countries_get_few(rows: list[tuple[int, str, int]]) -> None:
    people, outlets = inhabited(), Counter[str]()
    for _, code, n in rows:
        outlets[code] += n
    assert all(
        n == 1 or people[code] / n > 10_000 for code, n in outlets.items() if people[code] < 200_000
    )
    assert outlets["CN"] > outlets["US"] > outlets["NR"] == 1


def test_numbers_are_exact() -> None:
    assert [tenth_root(n) for n in (0, 1, 1023, 1024, 59048, 59049)] == [0, 1, 1, 2, 2, 3]
    assert tenth_root((10**9) ** 7) == 1_995_262  # 10^6.3
    top = (1 << 64) - 1
    assert (draw_size(0), draw_size(1 << 63), draw_size(top)) == (4499, 1, 1)
    assert (draw_reach(0), draw_reach(top)) == (40, 1)
