"""Every SQL check of S5 to S8 passes on what was published, and fails on what it is there for."""

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

STATES = ("s5", "s6", "s7", "s8")
KNOWN = contracts.load()
SCRIPTS = {f"{state}/{s.stem}": s for state in STATES for s in checks_of(state, KNOWN)}
SWAP = "UPDATE {t} SET part_row = 3 - part_row WHERE part_row IN (1, 2)"
TWICE = "INSERT INTO {t} FROM {t} LIMIT 1"
DROP = "DELETE FROM {t} WHERE part_row = 1"
STRANGE = "UPDATE {t} SET legal_country_iso = 'QQ' WHERE part_row = 1"
ONE = "UPDATE {t} SET {c} = {c} + 1 WHERE part_row = 1"
NUDGE = "UPDATE {t} SET {c} = {c} + 1e-12 WHERE part_row = 1"
KEYS = {"country_iso", "legal_country_iso", "merchant_id", "tile_id"}

ASSIGNED, ASSIGN_LOG = "s5_site_tile_assignment", "rng_event_site_tile_assign"
JITTERED, JITTER_LOG = "s6_site_jitter", "rng_event_in_cell_jitter"
JOINED, LOCATED = "s7_site_synthesis", "site_locations"


def raised(report: str, *fields: str) -> list[tuple[str, str]]:
    return [(report, f"UPDATE {{t}} SET {field} = {field} + 1") for field in fields]  # noqa: S608


#: For each check, the tables that are spoiled and how; each must make it fail by itself.
SPOILS: dict[str, list[tuple[str, str]]] = {
    "s5/10_sorted": [(ASSIGNED, SWAP)],
    "s5/11_unique": [(ASSIGNED, TWICE)],
    "s5/12_country_codes": [(ASSIGNED, STRANGE)],
    "s5/13_plan_there": [("s4_alloc_plan", "DELETE FROM {t}")],
    "s5/14_plan_positive": [
        ("s4_alloc_plan", "UPDATE {t} SET n_sites_tile = 0 WHERE part_row = 1")
    ],
    "s5/20_quotas": [
        (ASSIGNED, DROP),
        (ASSIGNED, ONE.replace("{c}", "tile_id")),
        ("s4_alloc_plan", ONE.replace("{c}", "n_sites_tile")),
        ("s4_alloc_plan", DROP),
    ],
    "s5/21_sums": [
        (ASSIGNED, DROP),
        (ASSIGNED, TWICE),
        (ASSIGNED, "UPDATE {t} SET site_order = site_order + 100 WHERE part_row = 1"),
        ("s4_alloc_plan", "DELETE FROM {t} WHERE legal_country_iso = 'PT'"),
    ],
    "s5/22_tiles_of_the_country": [
        ("used_tile_index", "DELETE FROM {t} WHERE country_iso = 'PT'"),
        (ASSIGNED, "UPDATE {t} SET tile_id = tile_id + 1000000 WHERE part_row = 1"),
    ],
    "s5/30_sorted_log": [(ASSIGN_LOG, SWAP)],
    "s5/31_unique_log": [(ASSIGN_LOG, TWICE)],
    "s5/32_events": [
        (ASSIGN_LOG, DROP),
        (ASSIGNED, DROP),
        ("run", "UPDATE {t} SET law = 'stable'"),
    ],
    "s5/40_permutation": [
        (ASSIGN_LOG, "UPDATE {t} SET word = 18446744073709551615 - word"),
        (ASSIGN_LOG, "UPDATE {t} SET word = 0"),
        (ASSIGNED, ONE.replace("{c}", "tile_id")),
        ("s4_alloc_plan", DROP),
    ],
    "s5/41_own_points": [("run", "UPDATE {t} SET law = 'stable'")],
    "s5/50_report_totals": [
        *raised(
            "s5_run_report",
            "rows_emitted",
            "pairs_total",
            "rng_events_emitted",
            "ties_broken_total",
        ),
        ("s5_run_report", "UPDATE {t} SET match = 'own_point'"),
        (ASSIGN_LOG, "UPDATE {t} SET word = 0"),
    ],
    "s6/10_sorted": [(JITTERED, SWAP)],
    "s6/11_unique": [(JITTERED, TWICE)],
    "s6/12_rows_missing": [(JITTERED, DROP)],
    "s6/13_rows_extra": [(ASSIGNED, DROP), (JITTERED, ONE.replace("{c}", "tile_id"))],
    "s6/14_fingerprint": [
        (JITTERED, "UPDATE {t} SET manifest_fingerprint = 'aa' WHERE part_row = 1")
    ],
    "s6/15_country_codes": [
        (JITTERED, STRANGE),
        ("world_countries", "DELETE FROM {t} WHERE country_iso = 'PT'"),
    ],
    "s6/20_tiles_known": [
        ("used_tile_index", "DELETE FROM {t} WHERE country_iso = 'PT'"),
        ("used_tile_bounds", "DELETE FROM {t} WHERE country_iso = 'PT'"),
    ],
    "s6/21_in_tile": [
        (JITTERED, "UPDATE {t} SET delta_lon_deg = 0.6 WHERE part_row = 1"),
        (JITTERED, "UPDATE {t} SET delta_lat_deg = -0.6 WHERE part_row = 1"),
        (JITTERED, "UPDATE {t} SET delta_lat_deg = 'nan'::DOUBLE WHERE part_row = 1"),
        ("used_tile_bounds", "DELETE FROM {t} WHERE country_iso = 'PT'"),
    ],
    "s6/30_sorted_log": [(JITTER_LOG, SWAP)],
    "s6/31_unique_log": [(JITTER_LOG, TWICE)],
    "s6/32_events": [(JITTER_LOG, DROP), (JITTERED, DROP)],
    "s6/33_attempts": [
        (JITTER_LOG, "UPDATE {t} SET blocks = 65 WHERE lane = 0"),
        (JITTER_LOG, "UPDATE {t} SET blocks = 64 WHERE lane = 1"),
        (JITTER_LOG, "UPDATE {t} SET blocks = 0 WHERE part_row = 1"),
        (JITTER_LOG, "UPDATE {t} SET lane = 3 WHERE part_row = 1"),
    ],
    "s7/10_sorted": [(JOINED, SWAP)],
    "s7/11_unique": [(JOINED, TWICE)],
    "s7/12_rows_missing": [(JOINED, DROP)],
    "s7/13_rows_extra": [
        (ASSIGNED, DROP),
        (JITTERED, DROP),
        (JITTERED, ONE.replace("{c}", "tile_id")),
        (JOINED, ONE.replace("{c}", "tile_id")),
    ],
    "s7/20_tiles_known": [("used_tile_bounds", "DELETE FROM {t} WHERE country_iso = 'PT'")],
    "s7/21_in_tile": [
        (JOINED, ONE.replace("{c}", "lat_deg")),
        (JOINED, "UPDATE {t} SET lon_deg = lon_deg + 360"),
        (JOINED, "UPDATE {t} SET lon_deg = 'nan'::DOUBLE WHERE part_row = 1"),
    ],
    "s7/22_coordinates": [
        (JOINED, NUDGE.replace("{c}", "lon_deg")),
        (JOINED, NUDGE.replace("{c}", "lat_deg")),
        (JITTERED, NUDGE.replace("{c}", "delta_lon_deg")),
        ("used_tile_bounds", "UPDATE {t} SET centroid_lat_deg = centroid_lat_deg + 1e-12"),
    ],
    "s7/30_coverage_missing": [(JOINED, DROP), ("excluded_countries", "DELETE FROM {t}")],
    "s7/31_coverage_extra": [
        ("outlet_catalogue", "DELETE FROM {t} WHERE legal_country_iso = 'PT'"),
        ("excluded_countries", "INSERT INTO {t} VALUES ('PT')"),
    ],
    "s7/32_excluded_as_s3": [
        ("s7_run_report_excluded_by_policy", "INSERT INTO {t} VALUES ('PT', 1, 1)"),
        ("s7_run_report_excluded_by_policy", "DELETE FROM {t}"),
        ("excluded_countries", "DELETE FROM {t}"),
    ],
    "s7/40_report_totals": [
        *raised(
            "s7_run_report",
            *("rows_emitted", "sites_total_s5", "sites_total_s6", "sites_total_s7"),
            *("fk_tile_ok_count", "inside_pixel_ok_count", "coverage_1a_ok_count"),
            *("fk_tile_fail_count", "inside_pixel_fail_count"),
        ),
        ("used_tile_bounds", "DELETE FROM {t} WHERE country_iso = 'PT'"),
        (JOINED, ONE.replace("{c}", "lat_deg")),
        ("outlet_catalogue", "DELETE FROM {t} WHERE legal_country_iso = 'PT'"),
        (ASSIGNED, DROP),
        (JITTERED, DROP),
        (JOINED, DROP),
    ],
    "s7/41_report_by_country": [
        ("s7_run_report_by_country", "UPDATE {t} SET sites = 1 WHERE country_iso = 'PT'"),
        ("s7_run_report_by_country", "UPDATE {t} SET tiles = 1000 WHERE country_iso = 'PT'"),
        ("s7_run_report_by_country", "UPDATE {t} SET inside = inside - 1 WHERE country_iso = 'PT'"),
        ("used_tile_bounds", "DELETE FROM {t} WHERE country_iso = 'PT'"),
        (JOINED, ONE.replace("{c}", "lat_deg")),
        ("s7_run_report_by_country", "DELETE FROM {t} WHERE country_iso = 'PT'"),
    ],
    "s8/10_sorted": [(LOCATED, SWAP)],
    "s8/11_unique": [(LOCATED, TWICE)],
    "s8/12_rows_missing": [(LOCATED, DROP)],
    "s8/13_rows_extra": [(JOINED, DROP)],
    "s8/14_coordinates": [
        (LOCATED, NUDGE.replace("{c}", "lon_deg")),
        (JOINED, NUDGE.replace("{c}", "lat_deg")),
    ],
    "s8/40_report_totals": raised("s8_run_report", "rows_s7", "rows_s8", "rows_emitted"),
}
CASES = [(name, *spoil) for name, spoils in SPOILS.items() for spoil in spoils]


@pytest.fixture(scope="module")
def sessions(published: Callable[[str], World]) -> Iterator[dict[str, Session]]:
    world, known = published("permuted"), contracts.load()
    opened = {state: open_session(world.root, known, world.tokens, state) for state in STATES}
    yield opened
    for session in opened.values():
        session.close()


def rows(session: Session, script: Script) -> list[dict[str, Any]]:
    found = session.connection.execute(script.text)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def spoil(session: Session, table: str, change: str) -> None:
    """Change a view by way of a changed copy."""
    run = session.connection.execute
    run(f"CREATE TABLE spoiled AS FROM {table}")
    run(change.format(t="spoiled"))
    if run("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [table]).fetchall():
        run(f"DROP TABLE {table}")
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
        for path in sorted(FOLDER.glob(f"{name[:2]}/setup_*.sql")):
            if table in read_script(path).needs:
                session.execute(path.read_text())
        found = rows(session, script)
        session.compared.clear()
        settled = bool(script.settled) and all(session.same(*pair) for pair in script.settled)
    finally:
        session.connection.execute("ROLLBACK")
        session.compared.clear()
    assert found
    assert not settled
    if script.rule.scope not in "RD":
        assert KEYS & set(found[0]), "the rows do not name the place"


def test_what_was_published_is_settled_without_a_join(sessions: dict[str, Session]) -> None:
    pairs = {(name[:2], pair) for name, script in SCRIPTS.items() for pair in script.settled}
    assert len(pairs) == 5
    assert all(sessions[state].same(*pair) for state, pair in pairs)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ("SELECT 1", True),
        ("UPDATE {t} SET lon_deg = 0.0", True),
        ("UPDATE {t} SET lon_deg = 5; UPDATE {t} SET lon_deg = '-0.0'::DOUBLE", False),
        ("UPDATE {t} SET lon_deg = NULL", False),
        ("UPDATE {t} SET legal_country_iso = 'PT'", False),
        ("DELETE FROM {t}", False),
        ("INSERT INTO {t} FROM {t}", False),
    ],
)
def test_rows_are_the_same_only_bit_for_bit_and_one_to_one(
    change: str, same: bool, sessions: dict[str, Session]
) -> None:
    session = sessions["s8"]
    run = session.connection.execute
    run("BEGIN")
    try:
        for table in ("left_rows", "right_rows"):
            run(
                f"CREATE TABLE {table} AS SELECT 7 AS merchant_id, 'ES' AS legal_country_iso, "
                "1 AS site_order, 0.0::DOUBLE AS lon_deg"
            )
        run(change.format(t="right_rows"))
        assert session.same("left_rows", "right_rows", ["lon_deg"]) is same
        assert session.same("left_rows", "left_rows", ["lon_deg"])
    finally:
        run("ROLLBACK")
        session.compared.clear()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_query_needs_only_what_its_state_opens_or_makes(name: str) -> None:
    plan = PLANS[name[:2]]
    made = {one for step in plan.preparations for one in step.makes}
    assert set(SCRIPTS[name].needs) <= set(plan.absent) | made
    compared = {table for pair in SCRIPTS[name].settled for table in pair[:2]}
    assert compared <= set(SCRIPTS[name].needs)
    assert SCRIPTS[name].rule.proves
