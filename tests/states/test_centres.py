"""Sites at centres are those of the plain definition, site by site, and growth moves none."""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import count
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.contracts.policy import CentresPolicy
from segment1b.geo.grid import read_grid
from segment1b.laws.centres import centres_of
from segment1b.laws.jitter import Tiles, inside_tile, point
from segment1b.laws.philox import country_word
from segment1b.reference import embedded
from segment1b.states.centres import CentredSites, Ground

SIDE = 0.1
AREA = (SIDE * 111_195.0) ** 2
IDS = (7, 1348181, 6_000_000)
#: West and south of each tile; the second lies across the date line.
CORNERS = ((10.0, 0.0), (179.95, 1.0), (-20.0, -0.05))


class Case(NamedTuple):
    """Some tiles with centres, and the part of them that is in the country."""

    seed: int
    centres: tuple[int, ...]
    tail: int
    land: float

    def tiles(self) -> Tiles:
        west, south = (np.array(side) for side in zip(*CORNERS, strict=True))
        east = np.where(west + SIDE >= 180, west + SIDE - 360, west + SIDE)
        return Tiles(south, south + SIDE, west, east, south + SIDE / 2, west + SIDE / 2)

    def accepted(self, tile: np.ndarray, d_lon: np.ndarray, d_lat: np.ndarray) -> np.ndarray:
        tiles = self.tiles().at(tile)
        inside = inside_tile(*point(d_lon, d_lat, tiles), tiles)
        return inside & (d_lon + d_lat < self.land)

    def ground(self) -> Ground:
        policy = CentresPolicy(tail_permille=self.tail)
        ids, areas = np.array(IDS, np.uint64), np.full(len(IDS), AREA)
        counts = np.array(self.centres)
        country = np.full(len(IDS), country_word("FJ"), np.uint64)
        place = (country, ids, self.tiles(), areas)
        return Ground(self.seed, policy, *place, counts, self.accepted)


def worked_ground() -> Ground:
    """Return tile 1348181 of the embedded world at 0.1 degree, all of it in the country."""
    grid = read_grid(embedded.surface("population_2025_0p1deg.tif"))
    row, col = ([number] for number in divmod(1348181, grid.ncols))
    edges = (grid.south(row), grid.north(row), grid.west(col), grid.east(col))
    tiles = Tiles(*edges, grid.centre_lat(row), grid.centre_lon(col))
    ids, people = np.array([1348181], np.uint64), np.array([239_098_000_000])
    counts = centres_of(people, 12_000).astype(np.int64)
    country = np.array([country_word("GB")], np.uint64)
    return Ground(
        *(42, CentresPolicy(), country, ids, tiles, grid.area_m2(row), counts),
        lambda tile, lon, lat: inside_tile(*point(lon, lat, tiles.at(tile)), tiles.at(tile)),
    )


def test_the_worked_site_of_the_specification() -> None:
    ground = worked_ground()
    assert (ground.centres.tolist(), ground.admitted.tolist()) == ([20], [True])
    assert (float(ground.tiles.west[0]), float(ground.tiles.lon[0])) == (
        -1.8999999999999773,
        -1.8499999999999943,
    )
    sites = CentredSites(ground, np.array([0]), np.array([101], np.uint64), np.array([1]))
    sites.place()
    assert (sites.blocks.tolist(), sites.centre.tolist()) == ([1], [5])
    lon, lat = point(sites.d_lon, sites.d_lat, ground.tiles)
    assert (float(lon[0]), float(lat[0])) == (-1.8410460078879218, 52.57654218993424)


Site = tuple[int, int, int]
CASES = st.builds(
    Case,
    st.integers(0, 2**64 - 1),
    st.tuples(*[st.integers(1, 6)] * 3),
    st.sampled_from([0, 50, 500]),
    st.sampled_from([1.0, 0.0, -0.05, -0.0999, -1.0]),
)
#: Merchants with some sites in few tiles, so that many share a centre.
SITES = st.dictionaries(
    st.integers(1, 2**63 - 1), st.lists(st.integers(0, 2), min_size=1, max_size=25), max_size=4
).map(
    lambda merchants: [
        (merchant, order, tile)
        for merchant, tiles in sorted(merchants.items())
        for order, tile in enumerate(tiles, 1)
    ]
)


def words(label: str, seed: int, *counter: int) -> list[int]:
    digest = hashlib.sha256(f"segment1b\0{label}\0".encode() + seed.to_bytes(8, "little")).digest()
    key, before = np.frombuffer(digest[:16], "<u8"), np.array(counter, np.uint64)
    before[0] -= 1
    return [int(word) for word in np.random.Philox(key=key, counter=before).random_raw(4)]


def u01(word: int) -> float:
    return ((word >> 12) + 0.5) * 2.0**-52


def plain(case: Case, sites: list[Site]) -> list[tuple[int, int, float, float]]:
    """Return blocks, centre and offset of each site, one after another."""
    tiles, held = case.tiles(), set[tuple[int, int, int]]()
    country = 256 * ord("F") + ord("J")

    def good(tile: int, lon: float, lat: float) -> bool:
        return bool(case.accepted(np.array([tile]), np.array([lon]), np.array([lat]))[0])

    @cache
    def centre(tile: int, rank: int) -> tuple[float, float] | None:
        width = tiles.east[tile] - tiles.west[tile]
        width += 360 if width < 0 else 0
        for attempt in range(1, 65):
            w0, w1, *_ = words("tile_centres", case.seed, attempt, rank, IDS[tile], country)
            lon = (u01(w0) - 0.5) * width
            lat = (u01(w1) - 0.5) * (tiles.north[tile] - tiles.south[tile])
            if good(tile, lon, lat):
                return lon, lat
        return None

    def site(merchant: int, order: int, tile: int) -> tuple[int, int, float, float]:
        total = sum(2**40 // i for i in range(1, case.centres[tile] + 1))
        height = tiles.north[tile] - tiles.south[tile]
        degrees = tiles.east[tile] - tiles.west[tile]
        degrees += 360 if degrees < 0 else 0
        width = AREA / (height * 111195.0)
        for attempt in range(1, 65):
            w = words("centre_jitter", case.seed, attempt, order, merchant, country)
            if attempt == 1 and w[0] < case.tail * (2**64 // 1000):
                return 1, 0, 0.0, 0.0
            x = w[1] * total // 2**64
            rank = next(i for i in count(1) if sum(2**40 // j for j in range(1, i + 1)) > x)
            at, dx, dy = centre(tile, rank), 2 * u01(w[2]) - 1, 2 * u01(w[3]) - 1
            if at is None or dx * dx + dy * dy > 1:
                continue
            lon, lat = at[0] + dx * (450 * (degrees / width)), at[1] + dy * (450 / 111195.0)
            taken = attempt <= 8 and (merchant, tile, rank) in held
            if good(tile, lon, lat) and not taken:
                held.add((merchant, tile, rank))
                return attempt, rank, float(lon), float(lat)
        return 64, 0, 0.0, 0.0

    return [site(*one) for one in sites]


def placed(case: Case, sites: list[Site]) -> list[tuple[int, int, float, float]]:
    columns = list(zip(*sites, strict=True)) or [(), (), ()]
    merchant, order, tile = (
        np.array(column, kind)
        for column, kind in zip(columns, (np.uint64, np.int64, np.int64), strict=True)
    )
    found = CentredSites(case.ground(), tile, merchant, order)
    found.place()
    values = (found.blocks, found.centre, found.d_lon, found.d_lat)
    return list(zip(*(column.tolist() for column in values), strict=True))


@settings(max_examples=30)
@given(CASES, SITES)
def test_sites_are_placed_as_the_plain_definition_says(case: Case, sites: list[Site]) -> None:
    assert placed(case, sites) == plain(case, sites)


@given(CASES, SITES, st.randoms())
def test_a_site_depends_on_no_later_site_no_other_merchant_and_no_order(
    case: Case, sites: list[Site], random: object
) -> None:
    whole = dict(zip(sites, placed(case, sites), strict=True))
    shuffled = list(sites)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert dict(zip(shuffled, placed(case, shuffled), strict=True)) == whole
    fewer = [one for one in sites if one[0] % 2 and one[1] <= 12]
    assert placed(case, fewer) == [whole[one] for one in fewer]
