"""The validators' own geometry, areas, curve and digests, against worked values and each other."""

from __future__ import annotations

import hashlib
import struct
from fractions import Fraction

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from shapely import MultiPolygon, Polygon

from segment1b.audit.grid import Grid
from segment1b.audit.proofs import values_of
from segment1b.audit.s1.axes import grid_rows
from segment1b.audit.s1.cells import cells_of, runs_through, windows_of
from segment1b.audit.s1.membership import expected_rule
from segment1b.audit.s1.polygons import Country, read_countries
from segment1b.audit.s4.curve_laws import offsets
from segment1b.audit.s4.hilbert import order_of, places
from segment1b.audit.shapes import pack
from segment1b.laws.curves import hilbert_index

GLOBE = Grid(180, 360, -180.0, 90.0, 1.0, 1.0)
HALVES = Grid(360, 720, 0.0, 90.0, 0.5, 0.5)


def included(country: Country, grid: Grid, rule: str) -> set[tuple[int, int]]:
    found = set()
    for window in windows_of(country, grid):
        none = np.zeros(window.shape, np.bool_)
        cells = cells_of(country, window, none, by_overlap=rule == "any_overlap")
        mask = cells.overlap if rule == "any_overlap" else cells.center
        found |= {(int(r) + window.first, int(c) + window.left) for r, c in np.argwhere(mask)}
    return found


def country(*parts: Polygon) -> Country:
    return Country("QQ", MultiPolygon(list(parts)))


def read(tmp_path, *parts: Polygon) -> Country:
    table = pa.table({"country_iso": ["QQ"], "geom": [shapely.to_wkb(MultiPolygon(list(parts)))]})
    pq.write_table(table, tmp_path / "countries.parquet")
    (found,) = read_countries(tmp_path / "countries.parquet")
    assert not found.fault
    return found


@pytest.mark.parametrize("grid", [GLOBE, HALVES], ids=["from -180", "from 0"])
@pytest.mark.parametrize("rule", ["center", "any_overlap"])
def test_a_ring_across_the_date_line_includes_what_its_two_halves_include(
    tmp_path, grid: Grid, rule: str
) -> None:
    uncut = Polygon([(177.3, -20), (-176.8, -19.2), (-178, -15.1), (178.6, -14)])
    whole = Polygon([(177.3, -20), (183.2, -19.2), (182, -15.1), (178.6, -14)])
    west = whole.intersection(shapely.box(170, -30, 180, 0))
    east = whole.intersection(shapely.box(180, -30, 190, 0))
    east = shapely.transform(east, lambda points: points - [360, 0])
    found = included(read(tmp_path, uncut), grid, rule)
    assert found == included(country(west, east), grid, rule)
    assert {col for _, col in found} > {0, 359} if grid is GLOBE else {358, 361}


@pytest.mark.parametrize("rule", ["center", "any_overlap"])
def test_a_ring_round_the_pole_is_closed_over_it(tmp_path, rule: str) -> None:
    lon = np.arange(-175.0, 180, 10)
    lat = -70 + 4 * np.sin(np.radians(3 * lon))
    uncut = Polygon(np.stack([lon, lat], 1))
    edge = (lat[0] + lat[-1]) / 2
    ring = [(-180, -90), (-180, edge), *zip(lon, lat, strict=True), (180, edge), (180, -90)]
    found = included(read(tmp_path, uncut), GLOBE, rule)
    assert found == included(country(Polygon(ring)), GLOBE, rule)
    assert {(179, col) for col in range(360)} <= found


def test_a_centre_on_a_shell_is_in_and_one_on_a_hole_is_out() -> None:
    shell = [(0.5, 0.5), (6.5, 0.5), (6.5, 6.5), (0.5, 6.5)]
    hole = [(2.5, 2.5), (4.5, 2.5), (4.5, 4.5), (2.5, 4.5)]
    found = included(country(Polygon(shell, [hole])), GLOBE, "center")
    # Rows 83..89 and columns 180..186 have their centres on or in the shell.
    assert len(found) == 7 * 7 - 3 * 3
    assert (86, 183) not in found
    assert (87, 182) not in found
    assert (89, 180) in found


def test_touching_cells_do_not_overlap() -> None:
    square = country(shapely.box(2, 2, 4, 4))
    assert included(square, GLOBE, "any_overlap") == {(r, c) for r in (86, 87) for c in (182, 183)}
    diamond = country(Polygon([(3, 1), (5, 3), (3, 5), (1, 3)]))
    assert len(included(diamond, GLOBE, "any_overlap")) == 12


def test_an_edge_along_a_parallel_enters_a_cell_by_the_last_bit() -> None:
    top, bottom = np.nextafter(4.0, 5.0), np.nextafter(2.0, 1.0)
    for low, high, rows in (
        (2.0, 4.0, (86, 87)),
        (2.0, top, (85, 86, 87)),
        (bottom, 4.0, (86, 87, 88)),
    ):
        found = included(country(shapely.box(2, low, 4, high)), GLOBE, "any_overlap")
        assert found == {(row, col) for row in rows for col in (182, 183)}


def test_a_segment_that_passes_a_corner_by_less_than_rounding_is_decided_exactly() -> None:
    box = tuple(map(Fraction, (0, 0, 1, 1)))
    start, corner = np.array([-1.0, 2.0]), np.array([1.0, 0.0])
    outside, inside = np.array([3.0, -2.0]), np.array([3.0, np.nextafter(-2.0, -3.0)])
    assert runs_through(start, corner, box)
    assert not runs_through(np.array([0.0, 2.0]), np.array([2.0, 0.0]), box)
    assert runs_through(np.array([0.0, 2.0]), np.array([2.0, -5e-324]), box)
    assert not runs_through(np.array([0.0, -1.0]), np.array([0.0, 2.0]), box)
    assert runs_through(start, outside, box)
    assert runs_through(start, inside, box)


@pytest.mark.parametrize(
    ("policy", "center", "overlap", "rule"),
    [
        ({}, 5, 10, "center"),
        ({}, 4, 10, "any_overlap"),
        ({}, 0, 3, "any_overlap"),
        ({"widen_below": 0.0}, 1, 10, "center"),
        ({"on_empty_country": "omit"}, 0, 3, None),
        ({"inclusion_rule": "any_overlap"}, 9, 10, "any_overlap"),
    ],
)
def test_a_country_is_widened_below_the_policys_share(policy, center, overlap, rule) -> None:
    base = {"inclusion_rule": "center", "on_empty_country": "any_overlap", "widen_below": 0.5}
    assert expected_rule(base | policy, center, overlap) == rule


def test_areas_are_those_worked_by_hand() -> None:
    step = 1 / 120
    areas = grid_rows(Grid(21600, 43200, -180.0, 90.0, step, step))["area_m2"]
    assert areas[10799] == pytest.approx(854796.669240, abs=1e-5)
    assert areas[3599] == pytest.approx(431668.611289, abs=1e-5)
    assert areas.sum() * 43200 == pytest.approx(510065621724088, rel=1e-14)


def test_the_curve_starts_and_ends_as_the_design_says_and_never_jumps() -> None:
    assert places(*np.indices((2, 2), np.uint64).reshape(2, -1), 1).tolist() == [0, 3, 1, 2]
    rows, cols = np.indices((32, 32), np.uint64).reshape(2, -1)
    place = places(rows, cols, 5)
    assert sorted(place.tolist()) == list(range(1024))
    along = np.argsort(place)
    steps = np.abs(np.diff(rows[along].astype(int))) + np.abs(np.diff(cols[along].astype(int)))
    assert set(steps.tolist()) == {1}
    assert (rows[along[-1]], cols[along[-1]]) == (0, 31)
    assert [order_of(1, 1), order_of(2, 1), order_of(1800, 3600)] == [0, 1, 12]


def naive_curve(order: int) -> list[tuple[int, int]]:
    """Return the cells in the order of the curve: four smaller curves, the outer two mirrored."""
    if not order:
        return [(0, 0)]
    inner, half = naive_curve(order - 1), 1 << order - 1
    return [
        *((c, r) for r, c in inner),
        *((r + half, c) for r, c in inner),
        *((r + half, c + half) for r, c in inner),
        *((half - 1 - c, 2 * half - 1 - r) for r, c in inner),
    ]


@pytest.mark.parametrize("order", range(8))
def test_the_curve_is_that_of_its_recursive_definition(order: int) -> None:
    rows, cols = np.array(naive_curve(order), np.int64).reshape(-1, 2).T
    assert places(rows, cols, order).tolist() == list(range(4**order))


@pytest.mark.parametrize("order", [9, 12, 15, 16, 17, 18, 27, 31])
def test_the_curve_is_the_producers_on_large_rasters(order: int) -> None:
    random = np.random.default_rng(order)
    rows, cols = random.integers(0, 1 << order, (2, 5000))
    assert places(rows, cols, order).tolist() == hilbert_index(rows, cols, order).tolist()


def test_an_offset_is_a_word_of_a_keyed_block_that_anybody_can_replay() -> None:
    key = hashlib.sha256(b"segment1b\0alloc_offset\0" + struct.pack("<Q", 42)).digest()
    # A list of two words would pass through float64 when just one of them has its highest bit set.
    words = np.array(struct.unpack("<2Q", key[:16]), np.uint64)
    block = np.random.Philox(key=words, counter=[0, 0, 101, 18242]).random_raw(4)
    assert int(block[0]) == 11106767893407723055
    assert offsets(42, np.array([101], np.uint64), "GB").tolist() == [int(block[0])]


def test_files_are_packed_with_whole_countries() -> None:
    counts = {"AA": 1_000_000, "AB": 48_576, "AC": 1, "BB": 2_097_153, "CC": 5}
    assert pack(counts) == [
        [("AA", 1_000_000), ("AB", 48_576)],
        [("AC", 1)],
        [("BB", 1_048_576)],
        [("BB", 1_048_576)],
        [("BB", 1)],
        [("CC", 5)],
    ]


def test_values_are_hashed_as_the_specification_says() -> None:
    def values(*chunks: pa.Array) -> bytes:
        return values_of(pa.chunked_array(chunks))

    assert values(pa.array([1, 2], pa.uint32())) == bytes([1, 0, 0, 0, 2, 0, 0, 0])
    assert values(pa.array([True, False])) == b"\1\0"
    one, two = b"\1\0\0\0\1\0\0\0a", b"\2\0\0\0\1\0\0\0a\3\0\0\0\xc3\x9fx"
    assert values(pa.array(["a", "a"])) == one
    assert values(pa.array(["a", "ßx", "a"])) == two + b"\0\1\0"
    many = pa.array(["z", "a", "ßx", "a"]).dictionary_encode()[1:]
    assert values(many) == values(many[:1], many[1:]) == two + b"\0\1\0"
    # A dictionary may have a word twice.
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", "ßx", "a"]))
    assert values(twice) == two + b"\0\1\0"


def test_the_database_rounds_half_to_even_as_the_law_of_masses_asks() -> None:
    query = "SELECT CAST(x AS BIGINT) FROM (VALUES (0.5::DOUBLE), (1.5), (2.5), (3.5)) AS t(x)"
    assert [row[0] for row in duckdb.sql(query).fetchall()] == [0, 2, 2, 4]
