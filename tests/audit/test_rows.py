"""A changed row is found by its receipt, and by a check of its meaning when the receipt fits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spoil import (
    ASSIGN_LOG,
    ASSIGNED,
    BOUNDS,
    INDEX,
    JITTER_LOG,
    JITTERED,
    JOINED,
    KNOWN,
    LOCATED,
    NEEDS,
    PLAN,
    STATE,
    WEIGHTS,
    Change,
    Rows,
    World,
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


#: By world: the table, what is changed in it, the check that finds it, and its code.
CHANGES: dict[str, list[tuple[str, Change, str, str]]] = {
    "stable": [
        (INDEX, drop, "s1 membership", "E008_INCLUSION_RULE"),
        (INDEX, swap, "s1 tile_index_sorted", "E108_WRITER_HYGIENE"),
        (INDEX, add("tile_id"), "s1 tile_id_from_grid", "E002_RASTER_MISMATCH"),
        (INDEX, add("raster_row"), "s1 tile_id_from_grid", "E002_RASTER_MISMATCH"),
        (INDEX, add("raster_col"), "s1 tile_id_from_grid", "E002_RASTER_MISMATCH"),
        (INDEX, add("centroid_lon"), "s1 centroids", "E004_BOUNDS"),
        (INDEX, add("centroid_lat"), "s1 centroids", "E004_BOUNDS"),
        (INDEX, add("pixel_area_m2"), "s1 areas", "E006_AREA_NONPOS"),
        (INDEX, put("country_iso", "QQ"), "s1 country_codes", "E005_ISO_FK"),
        (INDEX, put("inclusion_rule", "center"), "s1 one_rule_a_country", "E008_INCLUSION_RULE"),
        (INDEX, repeat, "s1 tile_index_unique", "E003_DUP_TILE"),
        (BOUNDS, drop, "s1 bounds_have_the_same_tiles", "E108_WRITER_HYGIENE"),
        (BOUNDS, swap, "s1 tile_bounds_sorted", "E108_WRITER_HYGIENE"),
        (BOUNDS, add("tile_id"), "s1 bounds_from_grid", "E004_BOUNDS"),
        (BOUNDS, add("min_lat_deg"), "s1 bounds_from_grid", "E004_BOUNDS"),
        (BOUNDS, add("max_lat_deg"), "s1 bounds_from_grid", "E004_BOUNDS"),
        (BOUNDS, add("min_lon_deg"), "s1 bounds_from_grid", "E004_BOUNDS"),
        (BOUNDS, add("max_lon_deg"), "s1 bounds_from_grid", "E004_BOUNDS"),
        (BOUNDS, add("centroid_lat_deg"), "s1 bounds_from_grid", "E004_BOUNDS"),
        (BOUNDS, add("centroid_lon_deg"), "s1 bounds_from_grid", "E004_BOUNDS"),
        (WEIGHTS, drop, "s2 same_tiles", "E102_FK_MISMATCH"),
        (WEIGHTS, swap, "s2 sorted", "E108_WRITER_HYGIENE"),
        (WEIGHTS, add("tile_id"), "s2 same_tiles", "E102_FK_MISMATCH"),
        (WEIGHTS, add("weight_fp"), "s2 sums", "E105_NORMALIZATION"),
        (WEIGHTS, add("dp"), "s2 one_dp", "E105_NORMALIZATION"),
        (WEIGHTS, put("basis", "uniform"), "s2 basis", "E104_ZERO_MASS"),
        (WEIGHTS, move_unit("weight_fp"), "s2 law", "E105_NORMALIZATION"),
        (NEEDS, drop, "s3 recount", "E308_COUNTS_MISMATCH"),
        (WEIGHTS, exchange_extremes, "s2 monotonic", "E106_MONOTONICITY"),
        (NEEDS, repeat, "s3 unique", "E307_PK_DUPLICATE"),
        (NEEDS, swap, "s3 sorted", "E310_UNSORTED"),
        (NEEDS, add("merchant_id"), "s3 recount", "E308_COUNTS_MISMATCH"),
        (NEEDS, add("n_sites"), "s3 recount", "E308_COUNTS_MISMATCH"),
        (NEEDS, put("legal_country_iso", "QQ"), "s3 country_codes", "E302_FK_COUNTRY"),
        (NEEDS, put("n_sites", 0), "s3 at_least_one_site", "E304_ZERO_SITES_ROW"),
        (WEIGHTS, without_portugal, "s4 weights_there", "E402_MISSING_TILE_WEIGHTS"),
        (PLAN, drop, "s4 sums", "E404_ALLOCATION_MISMATCH"),
        (PLAN, swap, "s4 sorted", "E408_UNSORTED"),
        (PLAN, add("n_sites_tile"), "s4 sums", "E404_ALLOCATION_MISMATCH"),
        (PLAN, add("tile_id"), "s4 law", "E417_LAW_VIOLATION"),
        (PLAN, add("tile_id", 10**6), "s4 tiles_of_the_country", "E413_TILE_NOT_IN_INDEX"),
        (PLAN, put("legal_country_iso", "QQ"), "s4 country_codes", "E302_FK_COUNTRY"),
        (PLAN, move_site, "s4 law", "E417_LAW_VIOLATION"),
        (PLAN, repeat, "s4 unique", "E407_PK_DUPLICATE"),
        (PLAN, put("n_sites_tile", 0), "s4 no_empty_rows", "E412_ZERO_ROW_EMITTED"),
        (ASSIGNED, drop, "s5 quotas", "E503_TILE_QUOTA_MISMATCH"),
        (ASSIGNED, repeat, "s5 unique", "E502_PK_DUPLICATE_SITE"),
        (ASSIGNED, exchange("tile_id"), "s5 own_points", "E503_TILE_QUOTA_MISMATCH"),
        (JITTERED, swap, "s6 sorted", "E605_SORT_VIOLATION"),
        (JITTERED, add("delta_lat_deg", 1e-12), "s6 replay", "E610_RNG_BUDGET_OR_COUNTERS"),
        (JITTERED, move_atolls, "s6 replay", "E610_RNG_BUDGET_OR_COUNTERS"),
        (JITTER_LOG, unlogged_attempt, "s6 replay", "E610_RNG_BUDGET_OR_COUNTERS"),
        (JOINED, drop, "s7 coverage_missing", "E708_1A_COVERAGE_FAIL"),
        (JOINED, add("lon_deg", 1e-12), "s7 coordinates", "E702_ROW_EXTRA"),
        (LOCATED, exchange("lon_deg"), "s8 coordinates", "E802_ROW_EXTRA"),
    ],
    "permuted": [
        (ASSIGNED, drop, "s5 sums", "E504_SUM_TO_N_MISMATCH"),
        (
            ASSIGNED,
            put("site_order", 0),
            "s5 values_s5_site_tile_assignment",
            "E506_SCHEMA_INVALID",
        ),
        (ASSIGNED, swap, "s5 sorted", "E509_UNSORTED"),
        (ASSIGNED, add("tile_id"), "s5 quotas", "E503_TILE_QUOTA_MISMATCH"),
        (ASSIGNED, add("tile_id", 10**6), "s5 tiles_of_the_country", "E505_TILE_NOT_IN_INDEX"),
        (ASSIGNED, add("site_order", 500), "s5 sums", "E504_SUM_TO_N_MISMATCH"),
        (ASSIGNED, put("legal_country_iso", "QQ"), "s5 country_codes", "E302_FK_COUNTRY"),
        (ASSIGNED, exchange("tile_id"), "s5 permutation", "E507_RNG_EVENT_MISMATCH"),
        (ASSIGN_LOG, drop, "s5 events", "E507_RNG_EVENT_MISMATCH"),
        (ASSIGN_LOG, swap, "s5 sorted_log", "E507_RNG_EVENT_MISMATCH"),
        (ASSIGN_LOG, repeat, "s5 unique_log", "E507_RNG_EVENT_MISMATCH"),
        (ASSIGN_LOG, flip_bit, "s5 words", "E507_RNG_EVENT_MISMATCH"),
        (ASSIGN_LOG, add("merchant_id"), "s5 words", "E507_RNG_EVENT_MISMATCH"),
        (JITTERED, drop, "s6 rows_missing", "E601_ROW_MISSING"),
        (JITTERED, repeat, "s6 unique", "E603_DUP_KEY"),
        (JITTERED, add("tile_id"), "s6 rows_extra", "E602_ROW_EXTRA"),
        (JITTERED, add("tile_id", 10**6), "s6 tiles_known", "E606_FK_TILE_INDEX"),
        (JITTERED, add("merchant_id"), "s6 rows_extra", "E602_ROW_EXTRA"),
        (JITTERED, add("delta_lon_deg", 1e-12), "s6 replay", "E610_RNG_BUDGET_OR_COUNTERS"),
        (JITTERED, add("delta_lon_deg", 0.99), "s6 in_tile", "E607_POINT_OUTSIDE_PIXEL"),
        (JITTERED, leave_the_country, "s6 inside", "E608_POINT_OUTSIDE_COUNTRY"),
        (
            JITTERED,
            put("manifest_fingerprint", "0" * 64),
            "s6 fingerprint",
            "E604_PARTITION_OR_IDENTITY",
        ),
        (JITTERED, put("legal_country_iso", "QQ"), "s6 tiles_known", "E606_FK_TILE_INDEX"),
        (JITTER_LOG, drop, "s6 events", "E609_RNG_EVENT_COUNT"),
        (JITTER_LOG, swap, "s6 sorted_log", "E609_RNG_EVENT_COUNT"),
        (JITTER_LOG, repeat, "s6 unique_log", "E609_RNG_EVENT_COUNT"),
        (JITTER_LOG, add("blocks"), "s6 replay", "E610_RNG_BUDGET_OR_COUNTERS"),
        (JITTER_LOG, another_lane, "s6 attempts", "E610_RNG_BUDGET_OR_COUNTERS"),
        (JOINED, drop, "s7 rows_missing", "E701_ROW_MISSING"),
        (JOINED, swap, "s7 sorted", "E706_WRITER_SORT_VIOLATION"),
        (JOINED, repeat, "s7 unique", "E703_DUP_KEY"),
        (JOINED, add("tile_id"), "s7 rows_extra", "E702_ROW_EXTRA"),
        (JOINED, add("tile_id", 10**6), "s7 tiles_known", "E709_TILE_FK_VIOLATION"),
        (JOINED, add("merchant_id"), "s7 coverage_missing", "E708_1A_COVERAGE_FAIL"),
        (JOINED, add("lat_deg", 1.0), "s7 in_tile", "E707_POINT_OUTSIDE_PIXEL"),
        (LOCATED, drop, "s8 rows_missing", "E801_ROW_MISSING"),
        (LOCATED, swap, "s8 sorted", "E806_WRITER_SORT_VIOLATION"),
        (LOCATED, repeat, "s8 unique", "E803_DUP_KEY"),
        (LOCATED, add("merchant_id"), "s8 rows_extra", "E802_ROW_EXTRA"),
        (LOCATED, add("lat_deg", 1e-12), "s8 coordinates", "E802_ROW_EXTRA"),
        (LOCATED, put("lat_deg", 91.0), "s8 values_site_locations", "E804_SCHEMA_VIOLATION"),
    ],
}
CASES = [(name, *change) for name, changes in CHANGES.items() for change in changes]
RECEIPT_CODE = {
    **dict.fromkeys(STATE, "E410_NONDETERMINISTIC_OUTPUT"),
    **dict.fromkeys((INDEX, BOUNDS, WEIGHTS), "E107_DETERMINISM"),
    NEEDS: "E313_NONDETERMINISTIC_OUTPUT",
}


@pytest.mark.parametrize(("dataset_id", "code"), RECEIPT_CODE.items())
def test_exchanged_rows_are_found_by_the_receipt(
    dataset_id: str, code: str, world: Callable[[str], World]
) -> None:
    spoiled, state = world("permuted"), STATE[dataset_id]
    spoiled.edit(dataset_id, swap)
    found = spoiled.failing(state)[f"{state} receipt_{dataset_id}"]
    assert (found.code, found.rows[0]["path"]) == (code, "part-00000.parquet")


@pytest.mark.parametrize(
    ("name", "dataset_id", "change", "check", "code"),
    CASES,
    ids=[f"{name}-{check}-{dataset_id}" for name, dataset_id, _, check, _ in CASES],
)
def test_a_changed_row_is_found_though_its_receipt_fits(
    name: str,
    dataset_id: str,
    change: Change,
    check: str,
    code: str,
    world: Callable[[str], World],
) -> None:
    spoiled = world(name)
    spoiled.forge(dataset_id, change)
    failing = spoiled.failing(check.partition(" ")[0])
    assert f"{STATE[dataset_id]} receipt_{dataset_id}" not in failing
    assert failing[check].code == code
    place = {"tile_id", "country_iso", "legal_country_iso", "merchant_id"}
    assert place & set().union(*failing[check].rows)


# ------------------------------------------------------------------ counters of run reports

#: The check of each counter that must be zero, which counts it again.
RECOUNTED = {
    ("s4", "fk_country_violations"): "country_codes",
    ("s4", "coverage_missing_countries"): "weights_there",
    ("s4", "tile_not_in_index"): "tiles_of_the_country",
    ("s5", "quota_mismatches"): "quotas",
    ("s5", "dup_sites"): "unique",
    ("s5", "tile_not_in_index"): "tiles_of_the_country",
    ("s5", "fk_country_violations"): "country_codes",
    ("s6", "fk_tile_index_failures"): "tiles_known",
    ("s6", "point_outside_pixel"): "in_tile",
    ("s6", "point_outside_country"): "inside",
    ("s6", "path_embed_mismatches"): "fingerprint",
    ("s7", "fk_tile_fail_count"): "tiles_known",
    ("s7", "inside_pixel_fail_count"): "in_tile",
    ("s7", "coverage_1a_miss_count"): "coverage_missing",
    ("s8", "schema_fail_count"): "values_site_locations",
    ("s8", "writer_sort_violations"): "sorted",
    # These count for a report or a column: see test_reports and test_files.
    ("s8", "path_embed_mismatches"): "tokens",
    ("s8", "order_leak_indicators"): "ranking",
}


def test_every_counter_that_must_be_zero_is_counted_again() -> None:
    checks = {check for _, _, _, check, _ in CASES} | {"s8 tokens", "s8 ranking"}
    assert {f"{state} {check}" for (state, _), check in RECOUNTED.items()} <= checks
    zeros = set()
    for state in (f"s{number}" for number in range(10)):
        node = KNOWN.schemas._node(KNOWN[f"{state}_run_report"].schema_ref)
        fields = node["schema"]["properties"].items()
        zeros |= {(state, name) for name, field in fields if field.get("const") == 0}
    assert zeros == RECOUNTED.keys()


@pytest.mark.parametrize(("state", "counter"), RECOUNTED)
def test_a_counter_that_is_not_zero_is_found(
    state: str, counter: str, world: Callable[[str], World]
) -> None:
    spoiled = world("permuted")
    spoiled.rewrite(f"{state}_run_report", lambda report: report.update({counter: 1}))
    assert f"{state} readable_{state}_run_report" in spoiled.failing(state)
