"""Sites that are checked some countries at a time give the results of checks of the whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from row_changes import CASES, each_of
from segment1b.audit import CheckResult, criteria, runner, sites, validate_published
from segment1b.audit.case import StateChecks
from segment1b.audit.plans import PLANS
from segment1b.audit.published_files import Published as PublishedFiles
from segment1b.audit.runner import checks_of
from segment1b.audit.sites import SitePart, check_part, copy, copy_in_parts
from spoil import ASSIGNED, JITTERED, JOINED, KNOWN, PLAN, Change, Rows, World, put

STATES = ("s5", "s6", "s7")
OF_SITES = [case for case in CASES if case[3][:2] in STATES]
ALL = {state: PLANS[state].by_country for state in STATES}
Published = Callable[[str], World]


@pytest.fixture(autouse=True)
def three_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "SITES_OF_A_PART", 1)
    monkeypatch.setattr(sites, "MOST_PARTS", 3)


@pytest.fixture
def judged_clean(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The states whose checks by country were not run, since their parts are clean."""
    states, is_clean = set[str](), runner._is_clean

    def noted(plan: StateChecks, case: runner.Case) -> bool:
        clean = is_clean(plan, case)
        states.update([plan.id] if clean else [])
        return clean

    monkeypatch.setattr(runner, "_is_clean", noted)
    return states


def in_parts(world: World) -> list[CheckResult]:
    return validate_published(world.published, STATES, threads=2)


def whole(world: World) -> list[CheckResult]:
    return validate_published(world.published, STATES, threads=1)


def test_only_checks_of_the_state_are_by_country() -> None:
    for state, names in ALL.items():
        assert names <= {check.name for check in checks_of(PLANS[state], KNOWN)}
    assert not any(plan.by_country for name, plan in PLANS.items() if name not in STATES)


def copied(own: PublishedFiles, checks: Mapping[str, Iterable[str]], to: Path) -> list[SitePart]:
    """Copy the sites in parts, one batch after the other."""
    return copy_in_parts(own, checks, to, partial(map, partial(copy, own)))


@pytest.mark.parametrize("name", ["stable", "permuted", "balanced", "trades"])
def test_nothing_is_found_in_parts_where_nothing_offends(
    name: str, published: Published, judged_clean: set[str]
) -> None:
    world = published(name)
    judged_clean.clear()
    assert in_parts(world) == whole(world)
    assert judged_clean == {*STATES}


@each_of(OF_SITES)
def test_what_offends_is_found_in_parts_as_in_the_whole(
    name: str,
    dataset_id: str,
    change: Change,
    check: str,
    code: str,
    world: Published,
    judged_clean: set[str],
) -> None:
    spoiled, (state, _, own) = world(name), check.partition(" ")
    spoiled.forge(dataset_id, change)
    judged_clean.clear()  # of the run that has published the world
    results = in_parts(spoiled)
    assert results == whole(spoiled)
    assert code in {one.code for one in results if one.name == own and not one.ok}
    assert own not in ALL[state] or state not in judged_clean


def test_each_row_is_copied_once_and_countries_are_not_cut(
    world: Published, tmp_path: Path
) -> None:
    spoiled = world("stable")
    spoiled.forge(JITTERED, put("legal_country_iso", "QQ"))  # which no site of S5 has
    parts = copied(spoiled.published, ALL, tmp_path)
    assert len(parts) == 3
    for table in (PLAN, ASSIGNED, JITTERED, JOINED):
        copies = [pq.read_table(tmp_path / table / str(part.number)) for part in parts]
        assert all(map(len, copies))
        rows = [row for copy in copies for row in copy.to_pylist()]
        own = pq.read_table(spoiled.part(table)).to_pylist()
        assert sorted(map(repr, rows)) == sorted(map(repr, own))
        countries = Counter(code for c in copies for code in {*c["legal_country_iso"].to_pylist()})
        assert {*countries.values()} == {1}
        for own in copies if table != JITTERED else ():  # in written order
            keys = [tuple(row[name] for name in KNOWN[table].key) for row in own.to_pylist()]
            assert keys == sorted(keys)


def in_many_files(world: World, dataset_id: str, rows_of_a_file: int) -> None:
    """Write a table in files of so many rows, one row group for each two of them."""
    table, path = pq.read_table(world.part(dataset_id)), world.path(dataset_id)
    for number, first in enumerate(range(0, len(table), rows_of_a_file)):
        part = path / f"part-{number:05d}.parquet"
        pq.write_table(table.slice(first, rows_of_a_file), part, row_group_size=2)


@pytest.mark.parametrize(("batches", "rows"), [(16, 1 << 21), (3, 7), (1, 50)])
def test_a_table_in_many_files_is_copied_in_batches(
    batches: int, rows: int, world: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "MOST_BATCHES", batches)
    monkeypatch.setattr(sites, "ROWS_AT_A_TIME", rows)
    spoiled = world("stable")
    tables = {name: pq.read_table(spoiled.part(name)) for name in (PLAN, ASSIGNED, JOINED)}
    for name in tables:
        in_many_files(spoiled, name, 23)
    folder = tmp_path / "parts"
    parts = copied(spoiled.published, ALL, folder)
    for name, table in tables.items():
        copies = [
            pa.concat_tables(pq.read_table(path) for path in sorted(own.iterdir()))
            for own in (folder / name).iterdir()
        ]
        assert sum(map(len, copies)) == len(table)
        for own in copies:  # in written order
            codes = {*own["legal_country_iso"].to_pylist()}
            mine = [row for row in table.to_pylist() if row["legal_country_iso"] in codes]
            assert own.to_pylist() == mine
    for part in parts:
        assert check_part(spoiled.published, part) == dict.fromkeys(STATES, True)


@pytest.mark.parametrize("kind", [pa.int32(), pa.binary(2)])
def test_a_country_that_is_no_text_has_no_part(
    kind: pa.DataType, world: Published, tmp_path: Path
) -> None:
    spoiled = world("stable")

    def other(table: pa.Table) -> pa.Table:
        codes = [7 if pa.types.is_integer(kind) else b"PT"] * len(table)
        return table.set_column(1, "legal_country_iso", pa.array(codes, kind))

    spoiled.write(ASSIGNED, other)
    assert copied(spoiled.published, ALL, tmp_path) == []
    assert in_parts(spoiled) == whole(spoiled)


def without_a_country(table: pa.Table) -> pa.Table:
    codes = [*table["legal_country_iso"].to_pylist()[1:], None]
    return table.set_column(1, "legal_country_iso", pa.array(codes))


def test_a_row_without_a_country_has_no_part(world: Published, tmp_path: Path) -> None:
    spoiled = world("stable")
    spoiled.write(ASSIGNED, without_a_country)
    spoiled.forge_receipt(ASSIGNED)
    assert copied(spoiled.published, ALL, tmp_path) == []
    assert in_parts(spoiled) == whole(spoiled)


def test_a_country_without_tiles_is_in_a_part(world: Published, judged_clean: set[str]) -> None:
    spoiled = world("stable")
    spoiled.forge(ASSIGNED, put("legal_country_iso", "QQ"))
    judged_clean.clear()
    results = in_parts(spoiled)
    assert results == whole(spoiled)
    assert "s5" not in judged_clean
    assert "tiles_of_the_country" in {one.name for one in results if not one.ok}


def test_there_are_no_more_parts_than_countries(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "MOST_PARTS", 64)
    world = published("stable")
    parts = copied(world.published, ALL, tmp_path)
    codes = pq.read_table(world.part(ASSIGNED))["legal_country_iso"].to_pylist()
    assert len(parts) == len({*codes})
    assert all(all(check_part(world.published, part).values()) for part in parts)


def move_to(tile: int) -> Change:
    """Move a Portuguese site to another tile."""

    def change(rows: Rows) -> None:
        next(row for row in rows if row["legal_country_iso"] == "PT")["tile_id"] = tile

    return change


@pytest.mark.parametrize("first", ["s6", "s7"])
def test_a_state_has_the_same_results_alone_as_behind_others(first: str, world: Published) -> None:
    """The tiles of S5's sites are no longer all that S6 and S7 have sites in."""
    spoiled = world("stable")
    tiles, sites_of_s5 = (pq.read_table(spoiled.part(name)) for name in ("tile_index", ASSIGNED))
    unused = {*tiles["tile_id"].to_pylist()} - {*sites_of_s5["tile_id"].to_pylist()}
    other = min(
        row["tile_id"]
        for row in tiles.to_pylist()
        if row["country_iso"] == "PT" and row["tile_id"] in unused
    )
    for name in (JITTERED, JOINED):
        spoiled.forge(name, move_to(other))
    own = spoiled.published
    alone = validate_published(own, (first,), threads=1)
    behind = validate_published(own, STATES, threads=1)
    assert alone == [one for one in behind if one.state == first]


def test_a_table_that_cannot_be_copied_has_no_parts(world: Published, tmp_path: Path) -> None:
    spoiled = world("stable")
    path = spoiled.part(JITTERED)
    path.write_bytes(path.read_bytes()[:-9])
    assert copied(spoiled.published, ALL, tmp_path) == []
    assert in_parts(spoiled) == whole(spoiled)


def test_a_table_that_is_damaged_where_no_part_reads_it_leaves_its_checks_impossible(
    world: Published,
) -> None:
    spoiled = world("stable")
    path = spoiled.part("tile_index")
    footer, data = pq.read_metadata(path), bytearray(path.read_bytes())
    column = footer.schema.names.index("centroid_lon")
    start = footer.row_group(0).column(column).data_page_offset
    data[start : start + 64] = bytes(64)
    path.write_bytes(data)
    results = in_parts(spoiled)
    assert results == whole(spoiled)
    impossible = {one.name: one.detail for one in results if not one.ok}["readable_tile_index"]
    assert "tiles_known" in impossible


def test_a_part_that_breaks_off_is_not_clean(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = published("stable")
    first, *_ = copied(world.published, ALL, tmp_path)
    assert check_part(world.published, first) == dict.fromkeys(STATES, True)
    monkeypatch.setattr(sites, "run_state", None)
    assert check_part(world.published, first) == dict.fromkeys(STATES, False)


def test_parts_of_s9_run_what_acceptance_asks_for(published: Published, tmp_path: Path) -> None:
    asked = {state: criteria.wanted(state) for state in ("s3", *STATES, "s8")}
    parts = copied(published("stable").published, asked, tmp_path)
    expected = {state: ALL[state] & asked[state] for state in STATES}
    expected["s8"] = {"locations_inside"}
    assert [part.checks for part in parts] == [expected] * 3
    assert "inside" not in expected["s6"]


def test_a_location_outside_its_country_is_found_in_its_part(
    world: Published, tmp_path: Path
) -> None:
    spoiled = world("stable")
    spoiled.forge("site_locations", put("lat_deg", -89.5))
    parts = copied(spoiled.published, {"s8": ["locations_inside"]}, tmp_path / "parts")
    found = [check_part(spoiled.published, part) for part in parts]
    assert sorted(one["s8"] for one in found) == [False, True, True]


def test_s9_refuses_sites_of_a_country_that_is_not_known(world: Published) -> None:
    spoiled = world("stable")
    spoiled.forge(JOINED, put("legal_country_iso", "QQ"))
    spoiled.remove("s9")
    assert spoiled.refused("s9").code == "E918_UPSTREAM_NOT_PROVEN"


def test_s9_refuses_sites_of_a_country_that_s4_does_not_report(world: Published) -> None:
    spoiled = world("stable")
    spoiled.rewrite("s4_run_report", lambda report: report["quality_by_country"].pop("VA"))
    spoiled.remove("s9")
    assert spoiled.refused("s9").code == "E918_UPSTREAM_NOT_PROVEN"


def receipt_of(world: World) -> object:
    return json.loads(world.path("s9_run_report").read_text())["determinism_receipt"]


@pytest.mark.parametrize(("name", "engine"), [("stable", "threads"), ("permuted", "processes")])
def test_s9_in_parts_gives_the_same_bundle(
    name: str, engine: str, world: Published, judged_clean: set[str]
) -> None:
    spoiled = world(name)
    before = receipt_of(spoiled)
    spoiled.path("s9_run_report").unlink()
    judged_clean.clear()
    spoiled.run("s9", engine=engine, workers=2)
    assert receipt_of(spoiled) == before
    assert engine == "processes" or judged_clean == {*STATES, "s8"}


@each_of([case for case in OF_SITES if case[3].partition(" ")[2] in ALL[case[3][:2]]])
def test_s9_in_parts_refuses_what_it_refuses_without(
    name: str,
    dataset_id: str,
    change: Change,
    check: str,
    code: str,
    world: Published,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoiled = world(name)
    spoiled.forge(dataset_id, change)
    refusals = []
    for most in (3, 1):
        monkeypatch.setattr(sites, "MOST_PARTS", most)
        refusals.append(spoiled.refused("s9"))
    one, other = refusals
    assert (one.code, one.message.partition(";")[0]) == (
        other.code,
        other.message.partition(";")[0],
    )
