"""Tiles that are looked at in parts give the results of one look at all of them."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segment1b.audit import parts, proofs, published_files, runner, validate_published
from segment1b.audit.case import Case
from segment1b.audit.parts import Part, look_at, put_together
from segment1b.audit.plans import PLANS
from segment1b.audit.proofs import values_of_file
from segment1b.audit.results import CheckResult
from segment1b.audit.s1 import membership
from segment1b.audit.s1 import settled as settled_s1
from segment1b.audit.s1.cells import windows_of
from segment1b.audit.s1.settled import TALLIES
from segment1b.audit.s2 import settled as settled_s2
from segment1b.audit.session import Session
from segment1b.audit.tiles import rows_of
from spoil import World
from tile_tables import CASES, OWN, rewrite, write

STATES = sorted(OWN)
Published = Callable[[str], World]


def in_parts(world: World, state: str, of: int = 3) -> list[CheckResult]:
    """Return the results of a state whose tiles were looked at in so many parts."""
    published = world.published
    seen = [look_at(published, Part(state, number, of)) for number in range(of)]
    put_together(published, seen)
    return validate_published(published, (state,), threads=1)


def in_one(world: World, state: str) -> list[CheckResult]:
    return validate_published(world.published, (state,), threads=1)


def judged(results: list[CheckResult]) -> list[tuple[str, str, int]]:
    return [(one.name, one.code, one.offending) for one in results]


def cut_in_files(world: World, table: str) -> None:
    """Write each row group of a table to a file of its own."""
    path = world.part(table)
    with pq.ParquetFile(path) as file:
        groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
    for number, group in enumerate(groups):
        pq.write_table(group, path.with_name(f"part-{number:05d}.parquet"))


@pytest.mark.parametrize("state", STATES)
def test_what_parts_have_seen_is_not_looked_at_again(
    state: str, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = in_one(published("permuted"), state)
    own = published("permuted").published
    put_together(own, [look_at(own, Part(state, number, 2)) for number in range(2)])

    def again(*_: object, **__: object) -> None:
        raise AssertionError  # which no check and no pass takes for a finding

    for module, name in (
        *((proofs, "values_of_file"), (membership, "cells_of")),
        *((settled_s1, "each_file"), (settled_s2, "each_file")),
    ):
        monkeypatch.setattr(module, name, again)
    assert validate_published(own, (state,), threads=1) == expected


@pytest.mark.parametrize("state", STATES)
def test_validate_looks_at_parts_side_by_side(
    state: str, world: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled, looked = world("permuted"), list[Part]()
    for own in ("tile_index", "tile_bounds", "tile_weights"):
        cut_in_files(spoiled, own)
    expected = in_one(spoiled, state)

    def noted(published: object, part: Part) -> parts.Seen:
        looked.append(part)
        return look_at(published, part)

    monkeypatch.setattr(parts, "FILES_OF_A_PART", 1)
    monkeypatch.setattr(parts, "look_at", noted)
    assert validate_published(spoiled.published, (state,), threads=2) == expected
    files = len(spoiled.published.files("tile_index"))
    assert sorted(looked) == [Part(state, number, files) for number in range(files)]
    assert files > 1


@pytest.mark.parametrize("state", STATES)
def test_without_a_raster_parts_are_left_to_the_checks(state: str, world: Published) -> None:
    spoiled = world("permuted")
    spoiled.path("population_raster_2025").unlink()
    results = in_parts(spoiled, state)
    assert results == in_one(spoiled, state)
    assert "E_REFERENCE_SURFACE_MISSING" in {one.code for one in results if not one.ok}


def test_a_country_that_its_polygons_got_after_the_look_is_an_offence(world: Published) -> None:
    spoiled = world("permuted")
    published, path = spoiled.published, spoiled.path("world_countries")
    seen = [look_at(published, Part("s1", 0, 1))]
    table = pq.read_table(path)
    codes = ["XX", *table["country_iso"].to_pylist()[1:]]
    at = table.column_names.index("country_iso")
    pq.write_table(table.set_column(at, table.schema.field(at), [codes]), path)
    put_together(published, seen)
    failed = [one for one in validate_published(published, ("s1",), threads=1) if not one.ok]
    assert "membership" in {one.name for one in failed}


def test_a_column_of_parts_before_the_others_is_a_finding(world: Published) -> None:
    spoiled = world("permuted")
    path = spoiled.part("tile_index")
    table = pq.read_table(path)
    nested = pa.array([{"a": "x", "b": "y"}] * len(table))
    pq.write_table(table.add_column(0, "zz", nested), path)
    assert "columns_tile_index" in {one.name for one in in_one(spoiled, "s1") if not one.ok}


def test_tiles_of_another_type_are_findings(world: Published) -> None:
    spoiled = world("permuted")
    path = spoiled.part("tile_index")
    table = pq.read_table(path)
    at = table.column_names.index("tile_id")
    texts = table["tile_id"].cast(pa.string())
    pq.write_table(table.set_column(at, pa.field("tile_id", pa.string()), texts), path)
    with Session(spoiled.published) as session:
        case = Case(session)
        with pytest.raises(ValueError, match="tile_id is not made of int"):
            list(rows_of(case, "tile_index", "PT", ["tile_id"]))
    failed = {one.name for one in in_parts(spoiled, "s1") if not one.ok}
    assert failed >= {"receipt_tile_index"}


def test_a_part_reads_no_bytes_of_other_parts(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, read = published("permuted").published, list[Path]()

    def noted(path: Path, *more: Any) -> proofs.FileValues:
        read.append(path)
        return values_of_file(path, *more)

    monkeypatch.setattr(published_files, "prove_bytes", None)
    monkeypatch.setattr(published_files, "values_of_file", noted)
    seen = [look_at(own, Part("s1", number, 2)) for number in range(2)]
    names = {"tallies of s1", "membership", "values of tile_index", "values of tile_bounds"}
    assert set(seen[0]) == set(seen[1]) == names
    assert sorted(read) == sorted(own.files("tile_index") + own.files("tile_bounds"))


def test_a_look_that_breaks_off_is_left_to_the_checks(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = published("permuted").published
    broken = monkeypatch.context
    with broken() as change:
        change.setattr(membership, "cells_of", None)
        seen = [look_at(own, Part("s1", 0, 2))]
    seen.append(look_at(own, Part("s1", 1, 2)))
    put_together(own, seen)
    assert "membership" not in own.memo
    assert "tallies of s1" in own.memo
    assert all(one.ok for one in validate_published(own, ("s1",), threads=1))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", ["permuted", "ties"])
def test_parts_find_nothing_where_there_is_nothing_to_find(
    state: str, name: str, published: Published
) -> None:
    results = in_parts(published(name), state)
    assert results == in_one(published(name), state)
    assert all(one.ok for one in results)


@pytest.mark.parametrize(("state", "name", "table", "change"), CASES)
def test_parts_find_what_one_look_finds(
    state: str,
    name: str,
    table: str,
    change: str,
    world: Published,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoiled = world("permuted")
    rewrite(spoiled, table, change)
    for own in ("tile_index", "tile_bounds", "tile_weights"):
        cut_in_files(spoiled, own)
    results, expected = in_parts(spoiled, state), in_one(spoiled, state)
    assert repr(results) == repr(expected)  # NaN differs from itself
    few = functools.partial(windows_of, cells_at_once=200)
    monkeypatch.setattr(membership, "windows_of", few)
    assert judged(in_parts(spoiled, state)) == judged(expected)
    assert name in {one.name for one in results if not one.ok}


def forge_statistics(path: Path, old: int, new: int) -> None:
    """Let the footer of a Parquet file tell another tile."""
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    forged = data[footer:].replace(struct.pack("<Q", old), struct.pack("<Q", new))
    assert forged != data[footer:]
    path.write_bytes(data[:footer] + forged)


def hide_a_tile(world: World, dataset_id: str) -> None:
    """Add a tile to Portugal of which the statistics of its row group do not tell."""
    path = world.part(dataset_id)
    rows = pq.read_table(path)
    end = max(at for at, code in enumerate(rows["country_iso"].to_pylist()) if code == "PT") + 1
    (row,) = rows.slice(end - 1, 1).to_pylist()
    last, hidden = row["tile_id"], row["tile_id"] + 3 * 360
    extra = pa.Table.from_pylist([{**row, "tile_id": hidden}], rows.schema)
    write(path, pa.concat_tables([rows.slice(0, end), extra, rows.slice(end)]))
    forge_statistics(path, hidden, last)


@pytest.mark.parametrize("counted_in_passes", [False, True])
def test_a_tile_that_the_statistics_of_its_row_group_hide_is_found(
    counted_in_passes: bool, world: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "windows_of", functools.partial(windows_of, cells_at_once=1))
    spoiled = world("permuted")
    hide_a_tile(spoiled, "tile_index")
    published = spoiled.published
    if counted_in_passes:  # a pass comes to its end where both tables have the tile
        hide_a_tile(spoiled, "tile_bounds")
        parts.put_together(published, [look_at(published, Part("s1", 0, 1))])
    assert (TALLIES in published.memo) is counted_in_passes
    with Session(published) as session:
        (found,) = runner.run_state(PLANS["s1"], session, {"membership"})[-1:]
    assert found.name == "membership"
    assert found.offending
