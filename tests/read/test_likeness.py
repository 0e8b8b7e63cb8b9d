"""The figures of a comparison are those computed by hand, and those of plain definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.geo.grid import Grid
from segment1b.read import likeness, sphere
from segment1b.read.cells import Country, cell_grid, cells_at
from segment1b.read.likeness import Side, compare, ks
from segment1b.read.sphere import Points, other_chain_km, own_chain

# Four cells of 100 km2 in a row on the equator, 0.1 degree wide; people live in the first three.
PEOPLE = np.array([0.7, 0.2, 0.1, 0.0])
TRADE = np.array([0.4, 0.4, 0.1, 0.1])
AREA = np.full(4, 100.0)
COUNTRY = Country(np.arange(4), AREA, PEOPLE, {"everything": PEOPLE, "fuel": TRADE})
# Longitudes of two chains; a degree of the equator has 6371 * pi / 180 = 111.195 km.
REAL = ([0.050, 0.060, 0.150, 0.052, 0.350], [0, 0, 0, 1, 1], [0, 0, 1, 0, 3])
PLACED = ([0.010, 0.110, 0.170, 0.112, 0.610], [0, 0, 0, 1, 1], [0, 1, 1, 1, 3])


def side(lon: list[float], chain: list[int] | None, cell: list[int]) -> Side:
    cells, n = np.array(cell), len(lon)
    return Side(
        np.array(lon),
        np.zeros(n),
        np.zeros(n, np.int64),
        None if chain is None else np.array(chain),
        np.full(n, "fuel", object),
        cells,
        cells == 0,
    )


def figures(real: Any = REAL, placed: Any = PLACED) -> dict[str, Any]:
    sides = {"real": side(*real), "placed": side(*placed)}
    everyone = {name: np.ones(len(one.lon), np.bool_) for name, one in sides.items()}
    return compare(sides, everyone, [("AA", COUNTRY)])


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "LARGE", 5)


def test_shares_of_cells_are_those_counted_by_hand() -> None:
    found = figures()
    # The top 1 % of four cells is one, the first; it is also the urban one: 3 and 1 of 5 outlets.
    assert found["top_1_percent_share"] == {"real": 0.6, "placed": 0.2}
    assert found["urban_share"] == {"real": 0.6, "placed": 0.2}
    # The first block of half a degree has all real outlets and 4 of 5 placed ones.
    assert found["overlap_half_degree"] == 0.8
    assert (found["outlets"], found["countries"]) == ({"real": 5, "placed": 5}, 1)


def test_bits_are_those_of_the_formula() -> None:
    # Three real outlets in the first cell, one in the second, one in the last.
    mixed = [
        (0.9999 * q + 0.000025, 0.9999 * p + 0.000025) for q, p in zip(TRADE, PEOPLE, strict=True)
    ]
    bits = [math.log2(q / p) for q, p in mixed]
    expected = (3 * bits[0] + bits[1] + bits[3]) / 5
    assert figures()["bits"] == pytest.approx(expected, rel=1e-8)


def test_distances_are_those_measured_by_hand() -> None:
    found = figures()
    # Degrees to the nearest of the chain, real: .01 .01 .09 .298 .298; placed .06 .06 .1 .498
    # .498. Between .01 and .06, 2 of 5 and none are as near; no difference is larger.
    assert found["nearest_own_ks"] == 0.4
    # Of 3*2 + 2*1 = 8 ordered pairs, real: none within 1 km, .05-.06 within 5 km (both ways), the
    # whole first chain within 20 km, all within 50 km; placed: none, none, the first chain twice.
    for distance, real, placed in (("1", 0, 0), ("5", 2, 0), ("20", 6, 6), ("50", 8, 6)):
        row = found["ripley_l_km"][distance]
        assert row["real"] == pytest.approx(math.sqrt(400 * real / (8 * math.pi)), rel=1e-8)
        assert row["placed"] == pytest.approx(math.sqrt(400 * placed / (8 * math.pi)), rel=1e-8)
    # Real: .050 and .052 are 222 m apart, .052 and .060 890 m. Placed: .110 and .112.
    assert found["colocated_m"] == {
        "250": {"real": 0.4, "placed": 0.4},
        "500": {"real": 0.4, "placed": 0.4},
        "1000": {"real": 0.6, "placed": 0.4},
    }


def test_shares_of_placed_outlets_are_weighted_by_real_ones() -> None:
    # In country 0 4 real and 1 placed outlet, in country 1 1 and 3; all placed ones of the first
    # are in its urban cell, none of the second: 4/5, though 1 of 4 placed outlets is urban.
    def two(country: list[int], cell: list[int]) -> Side:
        one = side([0.0] * len(country), [0] * len(country), cell)
        return Side(one.lon, one.lat, np.array(country), *tuple(vars(one).values())[3:])

    sides = {
        "real": two([0, 0, 0, 0, 1], [0, 0, 1, 1, 0]),
        "placed": two([0, 1, 1, 1], [0, 1, 1, 1]),
    }
    everyone = {name: np.ones(len(one.lon), np.bool_) for name, one in sides.items()}
    found = compare(sides, everyone, [("AA", COUNTRY), ("BB", COUNTRY)])
    assert found["urban_share"] == {"real": 0.6, "placed": 0.8}
    assert found["large_countries"] == 0
    assert found["overlap_half_degree"] is None


def test_outlets_outside_the_cells_of_their_country_have_no_bits_and_no_rank() -> None:
    found = figures(([0.05, 9.0], [0, 0], [0, -1]))
    assert found["by_country"]["AA"]["outside"] == {"real": 1, "placed": 0}
    assert found["top_1_percent_share"]["real"] == 0.5
    expected = math.log2((0.9999 * 0.4 + 0.000025) / (0.9999 * 0.7 + 0.000025))
    assert found["bits"] == pytest.approx(expected, rel=1e-8)


def test_without_chains_there_are_no_distances() -> None:
    found = figures(([0.05, 0.06], None, [0, 0]))
    assert found["nearest_own_ks"] is found["ripley_l_km"] is found["colocated_m"] is None
    one_chain = figures(([0.05, 0.06], [0, 0], [0, 0]))
    assert one_chain["colocated_m"] is None
    assert one_chain["nearest_own_ks"] is not None


def km_between(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the distance by the haversine formula."""
    (x, y), (u, v) = (tuple(map(math.radians, point)) for point in (one, other))
    h = math.sin((v - y) / 2) ** 2 + math.cos(y) * math.cos(v) * math.sin((u - x) / 2) ** 2
    return 2 * 6371 * math.asin(min(1, math.sqrt(h)))


# Around the date line, both poles and the equator, so that outlets are near each other.
_LON = st.sampled_from([-180.0, -179.9999, 179.9999, 180.0, 0.0, 0.001, 90.0])
_LAT = st.sampled_from([-90.0, -89.9999, 0.0, 0.0005, 60.0, 60.002, 89.9999, 90.0])
_ROW = st.tuples(_LON, _LAT, st.integers(0, 1), st.integers(0, 2))


def points_of(rows: list[tuple[float, float, int, int]]) -> Points:
    rows = sorted(rows, key=lambda row: (row[3], row[2], row[0], row[1]))
    lon, lat, country, chain = (np.array(column) for column in zip(*rows, strict=True))
    return Points(lon, lat, country, chain)


@settings(max_examples=40)
@given(st.lists(_ROW, min_size=2, max_size=12))
def test_distances_are_those_of_every_pair(rows: list[tuple[float, float, int, int]]) -> None:
    points = points_of(rows)
    all_ = list(zip(*(column.tolist() for column in points), strict=True))
    # No distance of these points is within a metre of a limit.
    found = own_chain(points, 2, (1.0, 50.0))
    others = other_chain_km(points, np.arange(len(all_)), 1.0)
    nearest, near, pairs = [], np.zeros((2, 2), int), np.zeros(2, int)
    for i, (x, y, country, chain) in enumerate(all_):
        rest = [(km_between((x, y), (u, v)), c, k) for j, (u, v, c, k) in enumerate(all_) if j != i]
        own = [(km, c) for km, c, k in rest if k == chain]
        if own:
            nearest.append(min(own)[0])
        near[country] += [sum(km <= d and c == country for km, c in own) for d in (1.0, 50.0)]
        pairs[country] += sum(c == country for _, c in own)
        other = min([km for km, _, k in rest if k != chain and km <= 1.0], default=math.inf)
        assert others[i] == pytest.approx(other, abs=1e-6)
    # Points that are nearly opposite have few digits.
    assert np.sort(found.nearest_km) == pytest.approx(sorted(nearest), abs=1e-4)
    assert found.near.tolist() == near.tolist()
    assert found.pairs.tolist() == pairs.tolist()


def test_a_sample_is_measured_against_all(monkeypatch: pytest.MonkeyPatch) -> None:
    points = points_of([(0.001 * k, 0.0, 0, 0) for k in range(10)])
    monkeypatch.setattr(sphere, "SAMPLE", 5)
    found = own_chain(points, 1, (0.15, 50.0))
    assert len(found.nearest_km) == 5
    assert found.pairs.tolist() == [5 * 9]
    # Every second outlet, from the first: that at the end has one neighbour, the others two.
    assert found.near.tolist() == [[9, 45]]


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=9),
    st.lists(st.integers(0, 9), min_size=1, max_size=9),
)
def test_ks_is_the_largest_difference_of_shares(one: list[int], other: list[int]) -> None:
    shares = [[sum(v <= at for v in s) / len(s) for at in range(10)] for s in (one, other)]
    expected = max(abs(a - b) for a, b in zip(*shares, strict=True))
    assert ks(np.sort(np.float64(one)), np.sort(np.float64(other))) == pytest.approx(expected)


def test_cells_are_whole_tiles_of_about_a_tenth_of_a_degree() -> None:
    for size, side_ in ((0.1, 1), (0.05, 2), (1 / 120, 12), (0.5, 1)):
        tiles = Grid(-180.0, 90.0, size, size, round(180 / size), round(360 / size))
        grid, tiles_wide = cell_grid(tiles)
        assert tiles_wide == side_
        assert grid.a == pytest.approx(size * side_)
    grid, _ = cell_grid(Grid(-180.0, 90.0, 0.5, 0.5, 360, 720))
    # East and south of a border, and at 180 degrees the first column.
    found = cells_at(grid, np.array([0.0, 180.0, -0.1]), np.array([0.0, 90.0, 89.9]))
    assert found.tolist() == [180 * 720 + 360, 0, 359]
    regional = Grid(0.0, 10.0, 0.5, 0.5, 4, 4)
    assert cells_at(regional, np.array([1.9, 2.1, 1.0]), np.array([9.0, 9.0, 7.9])).tolist() == [
        2 * 4 + 3,
        -1,
        -1,
    ]


def test_the_top_cells_are_a_share_of_all_rounded_up_with_ties_by_cell() -> None:
    people = np.array([0.2, 0.3, 0.3, 0.2])
    country = Country(np.arange(4), AREA, people, {})
    assert country.top(0.01).tolist() == [False, True, False, False]
    assert country.top(0.6).tolist() == [True, True, True, False]
