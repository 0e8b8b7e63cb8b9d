"""Every SQL check passes on what was published, and fails on what it is there to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segment1b.audit import open_session
from segment1b.audit.plans import PLANS
from segment1b.audit.queries import FOLDER, Script, checks_of, read_script
from segment1b.audit.session import Session
from spoil import KNOWN, World
from sql_spoils import SPOILS

STATES = [f"s{number}" for number in range(9)]
SCRIPTS = {f"{state}/{s.stem}": s for state in STATES for s in checks_of(state, KNOWN)}
KEYS = {"country_iso", "legal_country_iso", "merchant_id", "tile_id"}
CASES = [(name, *spoil) for name, spoils in SPOILS.items() for spoil in spoils]


@pytest.fixture(scope="module")
def sessions(published: Callable[[str], World]) -> Iterator[dict[str, Session]]:
    opened = {}
    for state in STATES:
        world = published("stable" if state < "s5" else "permuted")
        opened[state] = open_session(world.root, KNOWN, world.tokens, state)
    yield opened
    for session in opened.values():
        session.close()


def rows(session: Session, script: Script) -> list[dict[str, Any]]:
    found = session.connection.execute(script.text)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def spoil(session: Session, table: str, change: str) -> None:
    """Change a table or view by way of a changed copy."""
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
    keys = KEYS | ({"found_in", "found"} if name < "s5" else set())
    assert script.rule.scope in "RD" or keys & set(found[0]), "the rows do not name the place"


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
