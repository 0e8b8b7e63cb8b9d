"""Every SQL check passes on what was published, and fails on what it is there to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segment1b import contracts
from segment1b.audit import open_session
from segment1b.audit.plans import PLANS
from segment1b.audit.queries import FOLDER, Script, checks_of, read_script
from segment1b.audit.session import Session
from spoil import World

STATES = ("s0", "s1", "s2", "s3", "s4")
KNOWN = contracts.load()
SCRIPTS = {f"{state}/{s.stem}": s for state in STATES for s in checks_of(state, KNOWN)}
SWAP = "UPDATE {t} SET part_row = 3 - part_row WHERE part_row IN (1, 2)"
TWICE = "INSERT INTO {t} FROM {t} LIMIT 1"
DROP = "DELETE FROM {t} WHERE part_row = 1"
STRANGE = "UPDATE {t} SET {c} = 'QQ' WHERE part_row = 1"
NUDGE = "UPDATE {t} SET {c} = {c} + 1e-6 WHERE part_row = 1"
SET = "UPDATE {t} SET {c}"
KEYS = {"country_iso", "legal_country_iso", "merchant_id", "tile_id", "found_in", "found"}

#: For each check, the tables that are spoiled and how; each must make it fail by itself.
SPOILS: dict[str, list[tuple[str, str]]] = {
    "s0/10_outlet_tokens": [
        ("outlet_catalogue", "UPDATE {t} SET global_seed = 7 WHERE part_row = 3"),
        ("outlet_catalogue", "UPDATE {t} SET manifest_fingerprint = 'aa' WHERE part_row = 3"),
    ],
    "s1/10_tile_index_sorted": [("tile_index", SWAP)],
    "s1/11_tile_index_unique": [("tile_index", TWICE)],
    "s1/12_tile_bounds_sorted": [("tile_bounds", SWAP)],
    "s1/13_tile_bounds_unique": [("tile_bounds", TWICE)],
    "s1/20_tile_id_from_grid": [
        ("tile_index", "UPDATE {t} SET raster_col = raster_col + 1 WHERE part_row = 1"),
        ("tile_index", "UPDATE {t} SET raster_row = 180, tile_id = 180 * 360 + raster_col"),
    ],
    "s1/21_centroids": [
        ("tile_index", "UPDATE {t} SET centroid_lon = centroid_lon + 1e-6 WHERE part_row = 1"),
        ("tile_index", "UPDATE {t} SET centroid_lat = centroid_lat - 1 WHERE part_row = 1"),
        ("tile_index", "UPDATE {t} SET centroid_lon = centroid_lon + 360 WHERE part_row = 1"),
        ("tile_index", "UPDATE {t} SET centroid_lat = 'nan'::DOUBLE WHERE part_row = 1"),
    ],
    "s1/22_areas": [
        ("tile_index", "UPDATE {t} SET pixel_area_m2 = pixel_area_m2 * (1 + 1e-10)"),
        ("tile_index", "UPDATE {t} SET pixel_area_m2 = -1 WHERE part_row = 1"),
        ("tile_index", "UPDATE {t} SET raster_row = 400 WHERE part_row = 1"),
    ],
    "s1/23_one_rule_a_country": [
        ("tile_index", "UPDATE {t} SET inclusion_rule = 'nearest' WHERE country_iso = 'PT'"),
        (
            "tile_index",
            "UPDATE {t} SET inclusion_rule = 'any_overlap' WHERE tile_id IN "
            "(SELECT max(tile_id) FROM {t} WHERE country_iso = 'ZA')",
        ),
    ],
    "s1/24_country_codes": [
        ("tile_index", STRANGE.replace("{c}", "country_iso")),
        ("world_countries", STRANGE.replace("{c}", "country_iso")),
    ],
    "s1/25_cell_size": [
        ("run", "CREATE OR REPLACE TABLE {t} AS SELECT * REPLACE (0.3 AS grid) FROM {t}"),
    ],
    "s1/30_bounds_have_the_same_tiles": [("tile_index", DROP), ("tile_bounds", DROP)],
    "s1/31_bounds_from_grid": [
        *(
            ("tile_bounds", NUDGE.replace("{c}", name))
            for name in (
                "min_lon_deg",
                "max_lon_deg",
                "centroid_lon_deg",
                "min_lat_deg",
                "max_lat_deg",
                "centroid_lat_deg",
            )
        ),
        ("tile_bounds", "UPDATE {t} SET max_lon_deg = -180 WHERE max_lon_deg = 180"),
    ],
    "s1/40_report_by_country": [
        ("s1_run_report_by_country", "UPDATE {t} SET tile_id_max = 1 WHERE country_iso = 'PT'"),
        ("s1_run_report_by_country", "UPDATE {t} SET cells_visited = 0 WHERE country_iso = 'PT'"),
        ("s1_run_report_by_country", "DELETE FROM {t} WHERE country_iso = 'PT'"),
        ("tile_index", DROP),
    ],
    "s1/41_report_totals": [
        ("s1_run_report", "UPDATE {t} SET rows_emitted = rows_emitted + 1"),
        ("s1_run_report", "UPDATE {t} SET predicate = 'any_overlap'"),
        ("s1_run_report_grid_dims", "UPDATE {t} SET nrows = nrows + 1"),
    ],
    "s1/42_report_lists": [
        ("s1_run_report_widened_countries", "INSERT INTO {t} VALUES ('ZA')"),
        ("s1_run_report_widened_countries", "DELETE FROM {t}"),
        ("s1_run_report_countries_without_polygon", "DELETE FROM {t} WHERE country_iso = 'DE'"),
        ("s1_run_report_countries_without_tiles", "INSERT INTO {t} VALUES ('PT')"),
    ],
    "s2/10_sorted": [("tile_weights", SWAP)],
    "s2/11_unique": [("tile_weights", TWICE)],
    "s2/12_same_tiles": [("tile_weights", DROP), ("tile_index", DROP)],
    "s2/13_country_codes": [("tile_weights", STRANGE.replace("{c}", "country_iso"))],
    "s2/20_one_dp": [("tile_weights", "UPDATE {t} SET dp = 11 WHERE part_row = 1")],
    "s2/21_sums": [
        ("tile_weights", "UPDATE {t} SET weight_fp = weight_fp + 1 WHERE part_row = 1"),
    ],
    "s2/22_enough_units": [("run", "UPDATE {t} SET min_units_per_tile = K")],
    "s2/23_good_cells": [("bad_cells", "INSERT INTO {t} SELECT tile_id, -1 FROM tile_index")],
    "s2/24_mass_limit": [
        ("weighed_countries", "UPDATE {t} SET mass_sum = 4611686018427387904"),
    ],
    "s2/30_law": [
        (
            "tile_weights",
            "UPDATE {t} SET weight_fp = weight_fp + CASE part_row WHEN 1 THEN 1 "
            "ELSE -1 END WHERE part_row IN (1, 2)",
        ),
    ],
    "s2/31_monotonic": [
        (
            "tile_weights",
            "UPDATE {t} SET weight_fp = 0 WHERE weight_fp IN "
            "(SELECT max(weight_fp) FROM {t} WHERE country_iso = 'ZA')",
        ),
        # Equal masses: the one with the higher tile_id is given the unit.
        ("weighed", "UPDATE {t} SET mass = 5 WHERE country_iso = 'ZA'"),
        (
            "tile_weights",
            "UPDATE {t} SET weight_fp = weight_fp + 1 WHERE tile_id IN "
            "(SELECT max(tile_id) FROM weighed WHERE mass = 0) AND weight_fp = 0",
        ),
    ],
    "s2/32_basis": [
        ("tile_weights", "UPDATE {t} SET basis = 'uniform' WHERE country_iso = 'PT'"),
        ("weighed_countries", "UPDATE {t} SET zero_mass_fallback = true"),
        ("s2_run_report_by_country", "UPDATE {t} SET zero_mass_fallback = true"),
    ],
    "s2/40_report_by_country": [
        ("s2_run_report_by_country", "UPDATE {t} SET mass_sum = '1' WHERE country_iso = 'PT'"),
        ("s2_run_report_by_country", "UPDATE {t} SET residue_allocations = 1000"),
        ("s2_run_report_by_country", "UPDATE {t} SET zero_weight_tiles = 1000"),
        ("s2_run_report_by_country", "UPDATE {t} SET postquant_sum_fp = 7"),
        ("s2_run_report_by_country", "DELETE FROM {t} WHERE country_iso = 'PT'"),
    ],
    "s2/41_report_totals": [
        ("s2_run_report", SET.replace("{c}", change))
        for change in (
            "rows_emitted = 1",
            "countries_total = 1",
            "basis = 'uniform'",
            "dp = 3",
            "K = 1000",
            "mass_scale = 1",
        )
    ],
    "s3/10_sorted": [("s3_requirements", SWAP)],
    "s3/11_unique": [("s3_requirements", TWICE)],
    "s3/12_at_least_one_site": [
        ("s3_requirements", "UPDATE {t} SET n_sites = 0 WHERE part_row = 1"),
    ],
    "s3/13_country_codes": [
        ("s3_requirements", STRANGE.replace("{c}", "legal_country_iso")),
        ("outlet_catalogue", STRANGE.replace("{c}", "legal_country_iso")),
    ],
    "s3/20_recount": [
        ("s3_requirements", "UPDATE {t} SET n_sites = n_sites + 1 WHERE part_row = 1"),
        ("s3_requirements", DROP),
        ("counted", "DELETE FROM {t} WHERE legal_country_iso = 'PT'"),
        ("counted", "UPDATE {t} SET excluded = true WHERE legal_country_iso = 'PT'"),
    ],
    "s3/21_declared_counts": [
        ("counted", "UPDATE {t} SET most_declared = most_declared + 1"),
        ("counted", "UPDATE {t} SET undeclared = 1"),
    ],
    "s3/22_dense_sites": [
        ("counted", "UPDATE {t} SET first_order = 2"),
        ("counted", "UPDATE {t} SET last_order = last_order + 1"),
        ("counted", "UPDATE {t} SET distinct_orders = distinct_orders - 1"),
    ],
    "s3/23_site_ids": [("counted", "UPDATE {t} SET bad_site_ids = 1")],
    "s3/30_excluded_codes": [("excluded_countries", "INSERT INTO {t} VALUES ('QQ')")],
    "s3/31_excluded_outlets": [
        ("s3_run_report_excluded_by_policy", "INSERT INTO {t} VALUES ('PT', 1, 1)"),
        ("counted", "UPDATE {t} SET excluded = true WHERE legal_country_iso = 'PT'"),
    ],
    "s3/40_report_totals": [
        *(
            ("s3_run_report", SET.replace("{c}", f"{name} = {name} + 1"))
            for name in (
                "rows_emitted",
                "merchants_total",
                "countries_total",
                "source_rows_total",
                "max_n_sites",
            )
        ),
        ("s3_requirements", "UPDATE {t} SET n_sites = n_sites - 1 WHERE part_row = 1"),
    ],
    "s3/50_weights_cover": [("tile_weights", "DELETE FROM {t} WHERE country_iso = 'PT'")],
    "s4/10_sorted": [("s4_alloc_plan", SWAP)],
    "s4/11_unique": [("s4_alloc_plan", TWICE)],
    "s4/12_no_empty_rows": [
        ("s4_alloc_plan", "UPDATE {t} SET n_sites_tile = 0 WHERE part_row = 1"),
    ],
    "s4/13_country_codes": [("s4_alloc_plan", STRANGE.replace("{c}", "legal_country_iso"))],
    "s4/20_weights_there": [("tile_weights", "DELETE FROM {t} WHERE country_iso = 'PT'")],
    "s4/21_tiles_there": [("tile_index", "DELETE FROM {t} WHERE country_iso = 'PT'")],
    "s4/22_weights_whole": [
        ("tile_weights", "UPDATE {t} SET weight_fp = weight_fp + 1 WHERE part_row = 1"),
        ("tile_weights", "UPDATE {t} SET dp = 11 WHERE country_iso = 'PT'"),
    ],
    "s4/30_sums": [
        ("s4_alloc_plan", "UPDATE {t} SET n_sites_tile = n_sites_tile + 1 WHERE part_row = 1"),
        ("s4_alloc_plan", "DELETE FROM {t} WHERE legal_country_iso = 'PT'"),
        ("s3_requirements", "DELETE FROM {t} WHERE legal_country_iso = 'PT'"),
    ],
    "s4/31_tiles_of_the_country": [
        ("s4_alloc_plan", "UPDATE {t} SET tile_id = tile_id + 1000000 WHERE part_row = 1"),
        ("tile_index", "DELETE FROM {t} WHERE country_iso = 'PT'"),
    ],
    "s4/40_tie_rule": [
        (
            "plan_differences",
            "INSERT INTO {t} BY NAME (SELECT 17 AS merchant_id, "
            "'PT' AS legal_country_iso, 5 AS tile_id, true AS only_ties)",
        )
    ],
    "s4/41_law": [
        (
            "plan_differences",
            "INSERT INTO {t} BY NAME (SELECT 17 AS merchant_id, "
            "'PT' AS legal_country_iso, 5 AS tile_id, false AS only_ties)",
        )
    ],
    "s4/50_report_totals": [
        ("s4_run_report", SET.replace("{c}", change))
        for change in (
            "rows_emitted = 1",
            "merchants_total = 1",
            "pairs_total = 1",
            "sites_total = 1",
            "law = 'balanced'",
            "dp = 3",
        )
    ],
    "s4/51_report_by_country": [
        ("s4_run_report_quality_by_country", "UPDATE {t} SET sites = 1 WHERE country_iso = 'PT'"),
        ("s4_run_report_quality_by_country", "UPDATE {t} SET distinct_tiles = 1000"),
        ("s4_run_report_country_timings", "UPDATE {t} SET rows = 1 WHERE country_iso = 'PT'"),
        ("s4_run_report_country_timings", "DELETE FROM {t} WHERE country_iso = 'PT'"),
    ],
    "s4/52_report_units": [
        ("s4_run_report", "UPDATE {t} SET shortfall_total = shortfall_total + 1"),
        ("s4_run_report", "UPDATE {t} SET ties_broken_total = ties_broken_total + 1"),
    ],
}
CASES = [(name, *spoil) for name, spoils in SPOILS.items() for spoil in spoils]


@pytest.fixture(scope="module")
def sessions(published: Callable[[str], World]) -> Iterator[dict[str, Session]]:
    world = published("stable")
    known = contracts.load()
    opened = {state: open_session(world.root, known, world.tokens, state) for state in STATES}
    yield opened
    for session in opened.values():
        session.close()


def rows(session: Session, script: Script) -> list[dict[str, Any]]:
    found = session.connection.execute(script.text)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def spoil(session: Session, table: str, change: str) -> None:
    """Change a table, or a view by way of a changed copy."""
    run = session.connection.execute
    is_view = run("SELECT count(*) FROM duckdb_views() WHERE view_name = ?", [table]).fetchone()
    if is_view == (0,):
        run(change.format(t=table))
        return
    run(f"CREATE TABLE spoiled AS FROM {table}")
    run(change.format(t="spoiled"))
    run(f"CREATE OR REPLACE VIEW {table} AS FROM spoiled")


def test_every_query_has_a_way_to_fail() -> None:
    assert set(SPOILS) == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_query_finds_nothing_in_what_was_published(
    name: str, sessions: dict[str, Session]
) -> None:
    assert rows(sessions[name[:2]], SCRIPTS[name]) == []


@pytest.mark.parametrize(("name", "table", "change"), CASES)
def test_a_query_finds_what_it_is_there_to_find(
    name: str, table: str, change: str, sessions: dict[str, Session]
) -> None:
    session, script = sessions[name[:2]], SCRIPTS[name]
    session.connection.execute("BEGIN")
    try:
        spoil(session, table, change)
        found = rows(session, script)
    finally:
        session.connection.execute("ROLLBACK")
    assert found
    if script.rule.scope != "R":
        assert KEYS & set(found[0]), "the rows do not name the place"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_query_needs_only_what_its_state_opens_or_makes(name: str) -> None:
    plan = PLANS[name[:2]]
    made = {one for step in plan.preparations for one in step.makes}
    assert set(SCRIPTS[name].needs) <= set(plan.absent) | made
    assert SCRIPTS[name].rule.proves


@pytest.mark.parametrize("state", PLANS)
def test_checks_in_python_need_only_what_their_state_opens_or_makes(state: str) -> None:
    plan = PLANS[state]
    made = {one for step in plan.preparations for one in step.makes}
    for one in (*plan.checks, *plan.preparations):
        assert set(one.needs) <= set(plan.absent) | made
    assert set(plan.owns) | {plan.report} <= set(plan.absent)


def test_setup_files_say_what_they_make() -> None:
    for path in FOLDER.glob("s?/setup_*.sql"):
        script = read_script(path)
        assert script.makes
        assert script.needs
