"""Every SQL check passes on what was published, and fails on what it is there to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segment1b.audit.case import BYTES_OF, Case, StateChecks
from segment1b.audit.plans import PLANS
from segment1b.audit.queries import FOLDER
from segment1b.audit.runner import checks_of, prepare_state
from segment1b.audit.session import Session
from segment1b.errors import CODES
from segment1b.storage import sql
from spoil import KNOWN, World
from sql_changes import spoil
from sql_spoils import SPOILS

STATES = [f"s{number}" for number in range(9)]
CHECKS = {
    f"{state}/{check.script.stem}": check
    for state in STATES
    for check in checks_of(PLANS[state], KNOWN)
    if check.script
}
SCRIPTS = {name: check.script for name, check in CHECKS.items()}
KEYS = {"country_iso", "legal_country_iso", "merchant_id", "tile_id"}
Sessions = dict[str, Session]
CASES = [(name, *spoil) for name, spoils in SPOILS.items() for spoil in spoils]


@pytest.fixture(scope="module")
def sessions(published: Callable[[str], World]) -> Iterator[Sessions]:
    opened = {}
    for state in STATES:
        world = published("stable" if state < "s5" else "permuted")
        opened[state] = Session(world.published)
        prepare_state(PLANS[state], Case(opened[state]))
    yield opened
    for session in opened.values():
        session.close()


def test_every_query_has_a_way_to_fail() -> None:
    assert set(SPOILS) == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_query_finds_nothing_in_what_was_published(name: str, sessions: Sessions) -> None:
    assert not sessions[name[:2]].connection.execute(SCRIPTS[name].text).fetchall()


@pytest.mark.parametrize(("name", "table", "change"), CASES)
def test_a_query_finds_what_it_is_there_to_find(
    name: str, table: str, change: str, sessions: Sessions
) -> None:
    session, script = sessions[name[:2]], SCRIPTS[name]
    session.connection.execute("BEGIN")
    try:
        spoil(session.connection, table, change)
        for step in PLANS[name[:2]].preparations:
            if step.script and table in step.needs:
                step.run(Case(session))
        found = session.connection.sql(script.text)
        columns, rows = set(found.columns), found.fetchall()
        session.compared.clear()
        settled = bool(script.settled) and all(session.same(*pair) for pair in script.settled)
    finally:
        session.connection.execute("ROLLBACK")
        session.compared.clear()
    assert rows
    assert not settled
    keys = KEYS | ({"found_in", "found"} if name < "s5" else set())
    assert CHECKS[name].scope in "RD" or keys & columns, "the rows do not name the place"


@pytest.mark.slow
def test_ten_million_outlets_are_counted_in_forty_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: Callable[[str], World]
) -> None:
    catalogue = tmp_path / "catalogue.parquet"
    monkeypatch.setattr(sql, "_MEMORY_BYTES", 40 << 20)
    with Session(published("stable").published, threads=1) as session:
        session.open_run(None, None)
        outlets = (
            "(SELECT i // 10 AS merchant_id, 'PT' AS legal_country_iso, i % 10 + 1 AS site_order, "
            "lpad((i % 10 + 1)::VARCHAR, 6, '0') AS site_id, 10 AS final_country_outlet_count "
            "FROM range(10_000_000) AS t (i))"
        )
        session.execute(sql.parquet_copy(outlets, catalogue))
        session.make_view("outlet_catalogue", f"FROM read_parquet('{catalogue}')")
        counted = next(step for step in PLANS["s3"].preparations if step.makes == ("counted",))
        counted.run(Case(session))
        assert not session.connection.execute(SCRIPTS["s3/22_dense_sites"].text).fetchall()
        assert session.connection.execute("SELECT count(*) FROM counted").fetchall() == [(10**6,)]


def test_what_was_published_is_settled_without_a_join(sessions: Sessions) -> None:
    pairs = {(name[:2], pair) for name, script in SCRIPTS.items() for pair in script.settled}
    assert len(pairs) == 6
    others = [pair for state, pair in pairs if not sessions[state].same(*pair)]
    # The policy excludes a country of the catalogue.
    assert others == [("outlet_catalogue", "s7_site_synthesis", ())]


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
    change: str, same: bool, sessions: Sessions
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


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_checks_need_only_what_their_state_opens_or_makes(plan: StateChecks) -> None:
    known = set(plan.absent).union(*(step.makes for step in plan.preparations))
    checks = checks_of(plan, KNOWN, perf=True)
    for one in (*checks, *plan.preparations):
        assert {need.removeprefix(BYTES_OF) for need in one.needs} <= known
    for check in checks:
        assert check.code in CODES
        assert check.proves
        pairs = check.script.settled if check.script else []
        assert {table for pair in pairs for table in pair[:2]} <= set(check.needs)
    assert {*plan.owns, plan.report} <= set(plan.absent)
    assert all(step.makes and step.needs for step in plan.preparations)
    scripts = {step.name for step in plan.preparations if step.script}
    for step in plan.preparations:
        for one, other, _ in step.script.settled if step.script else ():
            assert {one, other} <= {*step.needs}
            assert one != other
    assert scripts >= {path.stem for path in FOLDER.glob(f"{plan.id}/setup_*.sql")}
