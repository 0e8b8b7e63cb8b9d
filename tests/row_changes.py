"""Changes of rows, each with the check that has to find it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spoil import (
    ASSIGN_LOG,
    ASSIGNED,
    BOUNDS,
    INDEX,
    JITTER_LOG,
    JITTERED,
    JOINED,
    LOCATED,
    NEEDS,
    PLAN,
    WEIGHTS,
    Change,
    Rows,
    add,
    drop,
    exchange,
    middle,
    move_site,
    move_unit,
    put,
    repeat,
    swap,
)


def without_portugal(rows: Rows) -> None:
    rows[:] = [row for row in rows if row["country_iso"] != "PT"]


def exchange_extremes(rows: Rows) -> None:
    """Exchange the least and the greatest weight of a country."""
    country = [row for row in rows if row["country_iso"] == "ZA"]
    least, most = (select(country, key=lambda row: row["weight_fp"]) for select in (min, max))
    least["weight_fp"], most["weight_fp"] = most["weight_fp"], least["weight_fp"]


def flip_bit(rows: Rows) -> None:
    rows[middle(rows)]["word"] ^= 1


def another_lane(rows: Rows) -> None:
    next(row for row in rows if row["lane"] == 0)["lane"] = 1


def unlogged_attempt(rows: Rows) -> None:
    """Log a site that took several attempts as if it had taken one fewer."""
    next(row for row in rows if row["lane"] == 0 and row["blocks"] > 1)["blocks"] -= 1


def move_atolls(rows: Rows) -> None:
    for row in rows:
        if row["legal_country_iso"] == "MV":
            row["delta_lat_deg"] += 1e-12


def leave_the_country(rows: Rows) -> None:
    for row in rows:
        row["delta_lat_deg"] = 0.49


#: By world: the check that finds a change, the table, and the changes.
CHANGES: dict[str, list[tuple[str, str, list[Change]]]] = {
    "stable": [
        ("s1 membership", INDEX, [drop]),
        ("s1 tile_index_sorted", INDEX, [swap]),
        ("s1 tile_id_from_grid", INDEX, [add("tile_id"), add("raster_row"), add("raster_col")]),
        ("s1 centroids", INDEX, [add("centroid_lon"), add("centroid_lat")]),
        ("s1 areas", INDEX, [add("pixel_area_m2")]),
        ("s1 country_codes", INDEX, [put("country_iso", "QQ")]),
        ("s1 one_rule_a_country", INDEX, [put("inclusion_rule", "center")]),
        ("s1 tile_index_unique", INDEX, [repeat]),
        ("s1 bounds_have_the_same_tiles", BOUNDS, [drop]),
        ("s1 tile_bounds_sorted", BOUNDS, [swap]),
        # Each of the other columns is changed in test_exact_tiles.
        ("s1 bounds_from_grid", BOUNDS, [add("tile_id"), add("max_lon_deg")]),
        ("s2 same_tiles", WEIGHTS, [drop, add("tile_id")]),
        ("s2 sorted", WEIGHTS, [swap]),
        ("s2 sums", WEIGHTS, [add("weight_fp")]),
        ("s2 one_dp", WEIGHTS, [add("dp")]),
        ("s2 basis", WEIGHTS, [put("basis", "uniform")]),
        ("s2 law", WEIGHTS, [move_unit("weight_fp")]),
        ("s3 recount", NEEDS, [drop, add("merchant_id"), add("n_sites")]),
        ("s2 monotonic", WEIGHTS, [exchange_extremes]),
        ("s3 unique", NEEDS, [repeat]),
        ("s3 sorted", NEEDS, [swap]),
        ("s3 country_codes", NEEDS, [put("legal_country_iso", "QQ")]),
        ("s3 at_least_one_site", NEEDS, [put("n_sites", 0)]),
        ("s4 weights_there", WEIGHTS, [without_portugal]),
        ("s4 sums", PLAN, [drop, add("n_sites_tile")]),
        ("s4 sorted", PLAN, [swap]),
        ("s4 law", PLAN, [add("tile_id"), move_site]),
        ("s4 tiles_of_the_country", PLAN, [add("tile_id", 10**6)]),
        ("s4 country_codes", PLAN, [put("legal_country_iso", "QQ")]),
        ("s4 unique", PLAN, [repeat]),
        ("s4 no_empty_rows", PLAN, [put("n_sites_tile", 0)]),
        ("s5 quotas", ASSIGNED, [drop]),
        ("s5 unique", ASSIGNED, [repeat]),
        ("s5 own_points", ASSIGNED, [exchange("tile_id")]),
        ("s6 sorted", JITTERED, [swap]),
        ("s6 centre_replay", JITTERED, [add("delta_lat_deg", 1e-12)]),
        ("s6 replay", JITTERED, [move_atolls]),
        ("s6 replay", JITTER_LOG, [unlogged_attempt]),
        ("s7 coverage_missing", JOINED, [drop]),
        ("s7 coordinates", JOINED, [add("lon_deg", 1e-12)]),
        ("s8 coordinates", LOCATED, [exchange("lon_deg")]),
    ],
    "permuted": [
        ("s5 sums", ASSIGNED, [drop, add("site_order", 500)]),
        ("s5 values_s5_site_tile_assignment", ASSIGNED, [put("site_order", 0)]),
        ("s5 sorted", ASSIGNED, [swap]),
        ("s5 quotas", ASSIGNED, [add("tile_id")]),
        ("s5 tiles_of_the_country", ASSIGNED, [add("tile_id", 10**6)]),
        ("s5 country_codes", ASSIGNED, [put("legal_country_iso", "QQ")]),
        ("s5 permutation", ASSIGNED, [exchange("tile_id")]),
        ("s5 events", ASSIGN_LOG, [drop]),
        ("s5 sorted_log", ASSIGN_LOG, [swap]),
        ("s5 unique_log", ASSIGN_LOG, [repeat]),
        ("s5 words", ASSIGN_LOG, [flip_bit, add("merchant_id")]),
        ("s6 rows_missing", JITTERED, [drop]),
        ("s6 unique", JITTERED, [repeat]),
        ("s6 rows_extra", JITTERED, [add("tile_id"), add("merchant_id")]),
        ("s6 tiles_known", JITTERED, [add("tile_id", 10**6), put("legal_country_iso", "QQ")]),
        ("s6 centre_replay", JITTERED, [add("delta_lon_deg", 1e-12)]),
        ("s6 in_tile", JITTERED, [add("delta_lon_deg", 0.99)]),
        ("s6 inside", JITTERED, [leave_the_country]),
        ("s6 fingerprint", JITTERED, [put("manifest_fingerprint", "0" * 64)]),
        ("s6 events", JITTER_LOG, [drop]),
        ("s6 sorted_log", JITTER_LOG, [swap]),
        ("s6 unique_log", JITTER_LOG, [repeat]),
        ("s6 replay", JITTER_LOG, [add("blocks")]),
        ("s6 attempts", JITTER_LOG, [another_lane]),
        ("s7 rows_missing", JOINED, [drop]),
        ("s7 sorted", JOINED, [swap]),
        ("s7 unique", JOINED, [repeat]),
        ("s7 rows_extra", JOINED, [add("tile_id")]),
        ("s7 tiles_known", JOINED, [add("tile_id", 10**6)]),
        ("s7 coverage_missing", JOINED, [add("merchant_id")]),
        ("s7 in_tile", JOINED, [add("lat_deg", 1.0)]),
        ("s8 rows_missing", LOCATED, [drop]),
        ("s8 sorted", LOCATED, [swap]),
        ("s8 unique", LOCATED, [repeat]),
        ("s8 rows_extra", LOCATED, [add("merchant_id")]),
        ("s8 coordinates", LOCATED, [add("lat_deg", 1e-12)]),
        ("s8 values_site_locations", LOCATED, [put("lat_deg", 91.0)]),
    ],
}
#: The code of each check, and the cases by world, table, change, check and code.
LINES = json.loads((Path(__file__).parent / "frozen/checks.json").read_text())
CODE = {f"{state} {name}": code for state, name, code, _ in map(str.split, LINES)}
CASES = [
    (name, table, change, check, CODE[check])
    for name, changes in CHANGES.items()
    for check, table, found_by in changes
    for change in found_by
]


def each_of(cases: list[tuple[str, str, Change, str, str]]) -> pytest.MarkDecorator:
    """Return the mark of a test that takes the fields of each case."""
    names = ("name", "dataset_id", "change", "check", "code")
    ids = [f"{name}-{check}-{dataset_id}" for name, dataset_id, _, check, _ in cases]
    return pytest.mark.parametrize(names, cases, ids=ids)
