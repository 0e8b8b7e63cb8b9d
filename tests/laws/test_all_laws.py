"""All four laws, one suite: what each promises, against its definition in Python integers."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.errors import Segment1BError
from segment1b.laws.apportionment import quantise
from segment1b.laws.philox import alloc_offsets
from segment1b.states import s4_alloc_plan
from segment1b.states.quality import country_quality

LAWS = ("largest_remainder", "systematic", "stable", "balanced")
OF_A_PAIR = ("largest_remainder", "systematic", "stable")
SOME = settings(max_examples=60, deadline=None, derandomize=True)
GOLDEN = 0x9E3779B97F4A7C15
CODE = "GB"

Plan = dict[tuple[int, int], int]


class Country(NamedTuple):
    """Tiles and pairs: ids uint64[t], weights int64[t] summing to 10^dp, sites by merchant."""

    nrows: int
    ncols: int
    dp: int
    ids: np.ndarray
    weights: np.ndarray
    n: dict[int, int]
    seed: int


@st.composite
def countries(draw: st.DrawFn) -> Country:
    """Small rasters and some of several blocks; equal weights, zeros and heavy tails."""
    nrows = draw(st.one_of(st.integers(1, 6), st.integers(60, 150)))
    ncols = draw(st.one_of(st.integers(1, 6), st.integers(60, 150)))
    dp = draw(st.sampled_from([0, 1, 3, 12, 15]))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    size = draw(st.integers(1, min(nrows * ncols, 300)))
    ids = np.sort(rng.choice(nrows * ncols, size, replace=False)).astype(np.uint64)
    masses = rng.integers(0, draw(st.sampled_from([1, 2, 1000])) + 1, size) ** 2
    masses[rng.integers(size)] += 1
    merchants = st.one_of(st.integers(1, 30), st.integers(1, (1 << 63) - 1))
    n = draw(st.dictionaries(merchants, st.integers(1, 40), min_size=1, max_size=8))
    seed = draw(st.integers(0, (1 << 64) - 1))
    weights, _ = quantise(masses, 10**dp)
    return Country(nrows, ncols, dp, ids, weights, dict(sorted(n.items())), seed)


def plans(law: str, country: Country) -> list[s4_alloc_plan.Plan]:
    run: Any = SimpleNamespace(
        policy=SimpleNamespace(
            prep=SimpleNamespace(dp=country.dp), allocation=SimpleNamespace(law=law)
        ),
    )
    merchants, n = np.array(list(country.n), np.uint64), np.array(list(country.n.values()))
    pairs = s4_alloc_plan.Pairs(merchants, n, alloc_offsets(country.seed, merchants, CODE))
    grid, tiles = (country.nrows, country.ncols), (country.ids, country.weights)
    return list(s4_alloc_plan.allocate(run, CODE, grid, pairs, tiles))


def solve(law: str, country: Country) -> Plan:
    """Return sites by (merchant, tile position), by the law as S4 applies it."""
    merchants = list(country.n)
    return {
        (merchants[pair], tile): sites
        for plan in plans(law, country)
        for pair, tile, sites in zip(
            plan.pair.tolist(), plan.tile.tolist(), plan.sites.tolist(), strict=True
        )
    }


# ------------------------------------------------------------------ the definitions, by hand


def place(row: int, col: int, side: int) -> int:
    """Return the place of a cell on the Hilbert curve of a square, quadrant by quadrant."""
    if side == 1:
        return 0
    half = side // 2
    right, low = col >= half, row >= half
    inner_row, inner_col = row % half, col % half
    if not low:
        far = half - 1 if right else 0
        inner_row, inner_col = abs(far - inner_col), abs(far - inner_row)
    quarter = {(False, False): 0, (True, False): 1, (True, True): 2, (False, True): 3}[low, right]
    return quarter * half * half + place(inner_row, inner_col, half)


def along(country: Country) -> list[int]:
    """Return the tiles' positions in the order of the curve."""
    side = 1
    while side < max(country.nrows, country.ncols):
        side *= 2
    places = [place(*divmod(tile, country.ncols), side) for tile in country.ids.tolist()]
    return sorted(range(len(places)), key=places.__getitem__)


def under(country: Country, points: list[tuple[int, int]]) -> Plan:
    """Count (merchant, point) by the tile that holds the point."""
    line = [tile for tile in along(country) if country.weights[tile]]
    ends = np.cumsum(country.weights[line])
    at = np.searchsorted(ends, [x for _, x in points], "right").tolist()
    return Counter((m, line[t]) for (m, _), t in zip(points, at, strict=True))


def by_largest_remainder(country: Country, K: int) -> Plan:
    plan = {}
    for m, n in country.n.items():
        parts = [divmod(n * w, K) for w in country.weights.tolist()]
        short = n - sum(whole for whole, _ in parts)
        first = sorted(range(len(parts)), key=lambda t: (-parts[t][1], t))[:short]
        plan |= {(m, t): whole + (t in first) for t, (whole, _) in enumerate(parts)}
    return {key: sites for key, sites in plan.items() if sites}


def by_offset(law: str, country: Country, K: int) -> Plan:
    points = []
    for m, n in country.n.items():
        U = int(alloc_offsets(country.seed, np.array([m], np.uint64), CODE)[0])
        if law == "stable":
            points += [(m, (U + j * GOLDEN) % 2**64 * K // 2**64) for j in range(1, n + 1)]
        else:
            points += [(m, (j * 2**64 + U) * K // (n * 2**64)) for j in range(n)]
    return under(country, points)


def by_ranks(country: Country, K: int) -> Plan:
    T, big = sum(country.n.values()), np.lcm.reduce(np.array(list(country.n.values()), object))
    ranked = sorted(
        ((j * 2**64 + (m + 1) * GOLDEN % 2**64) * (big // n), merchant, j)
        for m, (merchant, n) in enumerate(country.n.items())
        for j in range(n)
    )
    points = [(m, (2 * k + 1) * K // (2 * T)) for k, (_, m, _) in enumerate(ranked)]
    return under(country, points)


def define(law: str, country: Country) -> Plan:
    K = 10**country.dp
    if law == "largest_remainder":
        return by_largest_remainder(country, K)
    return by_ranks(country, K) if law == "balanced" else by_offset(law, country, K)


# ------------------------------------------------------------------ every law


@pytest.mark.parametrize("law", LAWS)
@SOME
@given(country=countries())
def test_the_plan_is_the_laws_definition(law: str, country: Country) -> None:
    assert solve(law, country) == define(law, country)


@pytest.mark.parametrize("law", LAWS)
@SOME
@given(country=countries())
def test_every_pair_gets_its_sites_in_rows_that_ascend(law: str, country: Country) -> None:
    plan = solve(law, country)
    assert list(plan) == sorted(plan)
    assert min(plan.values()) >= 1
    given_out: Counter[int] = Counter()
    for (merchant, tile), sites in plan.items():
        assert country.weights[tile] > 0
        given_out[merchant] += sites
    assert given_out == country.n


@pytest.mark.parametrize("law", LAWS)
@SOME
@given(country=countries(), at_once=st.integers(1, 50))
def test_stretches_of_any_length_give_the_same_rows(
    law: str, country: Country, at_once: int
) -> None:
    whole = solve(law, country)
    with mock.patch.object(s4_alloc_plan, "_CHUNK_SITES", at_once):
        assert solve(law, country) == whole
        if len(country.n) > 1 and sum(country.n.values()) > at_once and law != LAWS[0]:
            assert len(plans(law, country)) > 1


@pytest.mark.parametrize("law", OF_A_PAIR)
@SOME
@given(country=countries(), data=st.data())
def test_a_merchants_tiles_do_not_depend_on_other_merchants(
    law: str, country: Country, data: st.DataObject
) -> None:
    some = data.draw(st.sets(st.sampled_from(list(country.n)), min_size=1))
    alone = country._replace(n={m: n for m, n in country.n.items() if m in some})
    assert solve(law, alone) == {key: v for key, v in solve(law, country).items() if key[0] in some}


# ------------------------------------------------------------------ what only some promise


def line_of_sites(country: Country, plan: Plan, merchants: set[int]) -> tuple[list[int], int]:
    """Return sites along the curve's tiles of some merchants, and how many there are."""
    counts: Counter[int] = Counter()
    for (merchant, tile), sites in plan.items():
        counts[tile] += sites * (merchant in merchants)
    return [counts[tile] for tile in along(country)], sum(counts.values())


@pytest.mark.parametrize("law", ["largest_remainder", "systematic", "balanced"])
@SOME
@given(country=countries())
def test_a_tile_gets_its_quota_rounded_down_or_up(law: str, country: Country) -> None:
    """Of each pair, or under `balanced` of all the country's pairs together."""
    plan, K = solve(law, country), 10**country.dp
    groups = [set(country.n)] if law == "balanced" else [{m} for m in country.n]
    for merchants in groups:
        counts, n = line_of_sites(country, plan, merchants)
        for sites, tile in zip(counts, along(country), strict=True):
            assert abs(sites * K - n * int(country.weights[tile])) < K


@pytest.mark.parametrize("law", ["systematic", "balanced"])
@SOME
@given(country=countries())
def test_any_stretch_of_the_curve_is_within_one_site_of_its_share(
    law: str, country: Country
) -> None:
    """All stretches at once: no two prefixes differ in surplus by a whole site."""
    plan, K = solve(law, country), 10**country.dp
    weights = country.weights[along(country)].tolist()
    groups = [set(country.n)] if law == "balanced" else [{m} for m in country.n]
    for merchants in groups:
        counts, n = line_of_sites(country, plan, merchants)
        surplus = [0]
        for sites, weight in zip(counts, weights, strict=True):
            surplus.append(surplus[-1] + sites * K - n * weight)
        assert max(surplus) - min(surplus) < K


# ------------------------------------------------------------------ worked by hand

# Four tiles of a 2 x 2 raster, along the curve A, C, D, B; weights of 1000.
SQUARE = Country(
    2, 2, 3, np.arange(4, dtype=np.uint64), np.array([400, 100, 300, 200]), {5: 4, 7: 1, 8: 2}, 42
)


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        # Quotas of 4 sites 1.6, 0.4, 1.2, 0.8; of 1 and 2 the heaviest first.
        (
            "largest_remainder",
            {(5, 0): 2, (5, 2): 1, (5, 3): 1, (7, 0): 1, (8, 0): 1, (8, 2): 1},
        ),
        # Seven sites at 71, 214, 357, 500, 642, 785, 928 on A 0-399, C -699, D -899, B -999. Ranks
        # of merchant 5: 0.1545, 0.4045, 0.6545, 0.9045; of 7: 0.2361; of 8: 0.4271, 0.9271. In
        # order 5, 7, 5 (A), 8, 5 (C), 5 (D), 8 (B).
        (
            "balanced",
            {(5, 0): 2, (5, 2): 1, (5, 3): 1, (7, 0): 1, (8, 1): 1, (8, 2): 1},
        ),
    ],
)
def test_a_country_of_four_tiles_worked_by_hand(law: str, expected: Plan) -> None:
    assert solve(law, SQUARE) == expected


@pytest.mark.parametrize(
    ("law", "offset", "expected"),
    [
        # 4 sites at 125, 375, 625, 875; A holds 0-399, C 400-699, D 700-899, B 900-999.
        ("systematic", 1 << 63, {(5, 0): 2, (5, 2): 1, (5, 3): 1}),
        ("systematic", 0, {(5, 0): 2, (5, 2): 1, (5, 3): 1}),
        # U/2^64 = 0.8, so the first point lies at 0.8 of a step of 250: 200, 450, 700, 950.
        ("systematic", 0xCCCCCCCCCCCCD000, {(5, 0): 1, (5, 1): 1, (5, 2): 1, (5, 3): 1}),
        # 618, 236, 854 and 472 of 1000.
        ("stable", 0, {(5, 0): 1, (5, 2): 2, (5, 3): 1}),
    ],
)
def test_one_pair_of_four_sites_worked_by_hand(law: str, offset: int, expected: Plan) -> None:
    drawn = np.array([offset], np.uint64)
    with mock.patch(f"{__name__}.alloc_offsets", return_value=drawn):
        assert solve(law, SQUARE._replace(n={5: 4})) == expected


# ------------------------------------------------------------------ many merchants, heavy tail


@pytest.fixture(scope="module")
def quality() -> dict[str, dict[str, Any]]:
    """Give each law's quality figures on 40,000 Pareto tiles and 400 merchants' short lists.

    The table of docs/spec/s4-allocation.md#quality, at a smaller size.
    """
    rng = np.random.default_rng(20251)
    side, dp = 200, 12
    masses = ((1 / (1 - rng.random(side * side))) ** (1 / 1.1) * 1e6).astype(np.int64)
    n = np.minimum((1 / (1 - rng.random(400))) ** 1.2, 150).astype(np.int64)
    pairs = dict(zip(range(1, 401), n.tolist(), strict=True))
    weights = quantise(masses, 10**dp)[0]
    ids = np.arange(side * side, dtype=np.uint64)
    country = Country(side, side, dp, ids, weights, pairs, 42)
    found = {}
    for law in LAWS:
        total = np.zeros(len(ids), np.int64)
        for plan in plans(law, country):
            np.add.at(total, plan.tile, plan.sites)
        found[law] = country_quality(total, weights, 10**dp, len(ids))
    found["prior"] = {"top_five_share": np.sort(weights)[-5:].sum() / 10**dp}
    return found


@pytest.mark.parametrize("law", ["systematic", "stable", "balanced"])
def test_a_curve_law_spreads_a_heavy_tailed_country(law: str, quality: dict[str, Any]) -> None:
    assert 0.95 < quality[law]["collapse_index"] < 1.2
    prior = quality["prior"]["top_five_share"]
    assert quality[law]["top_five_share"] == pytest.approx(prior, abs=0.02)


def test_largest_remainder_collapses_a_heavy_tailed_country(quality: dict[str, Any]) -> None:
    assert quality["largest_remainder"]["collapse_index"] < 0.5
    prior = quality["prior"]["top_five_share"]
    assert quality["largest_remainder"]["top_five_share"] > prior + 0.1


def test_balanced_alone_is_within_a_site_in_every_tile(quality: dict[str, Any]) -> None:
    errors = {law: quality[law]["tile_load_error_max"] for law in LAWS}
    assert errors["balanced"] < 1
    assert 1 < errors["systematic"] < errors["largest_remainder"]
    assert 1 < errors["stable"] < errors["largest_remainder"]


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize("law", ["systematic", "balanced"])
def test_a_pair_too_large_for_exact_points_is_refused(law: str) -> None:
    with pytest.raises(Segment1BError, match="below 2\\^31") as caught:
        plans(law, SQUARE._replace(n={5: 1 << 31}))
    assert caught.value.code == "E416_NUMERIC_OVERFLOW"
