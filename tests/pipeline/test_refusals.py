"""A state refuses what a state before it, or somebody between them, got wrong."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow.parquet import read_table

import worlds
from segment1b.errors import Segment1BError
from segment1b.read.replay import replay
from shapes import flip
from spoil import (
    ASSIGN_LOG,
    ASSIGNED,
    BOUNDS,
    CENTRE_LOG,
    INDEX,
    JITTER_LOG,
    JITTERED,
    JOINED,
    LOCATED,
    NEEDS,
    PAIR,
    PLAN,
    Change,
    Rows,
    World,
    first,
    move_site,
    no_inputs,
)

Copy = Callable[[str], World]
LAWS = ("stable", "permuted")
OTHER = "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"


Spoil = Callable[[World], object]


def gone(dataset_id: str) -> Spoil:
    """Remove a dataset or file."""

    def spoil(spoiled: World) -> None:
        path = spoiled.path(dataset_id)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def forged(dataset_id: str, change: Change) -> Spoil:
    """Change rows of a dataset, and its receipt to fit."""
    return lambda spoiled: spoiled.forge(dataset_id, change)


def resealed(spoiled: World) -> None:
    spoiled.rewrite("s0_gate_receipt_1B", lambda seal: seal.update(parameter_hash="ab" * 32))


def swap_in_pair(rows: Rows) -> None:
    at = next(
        at
        for at, (row, after) in enumerate(itertools.pairwise(rows))
        if all(row[n] == after[n] for n in PAIR)
    )
    rows[at], rows[at + 1] = rows[at + 1], rows[at]


IMPOSSIBLE = {
    "zero": (forged(PLAN, first(n_sites_tile=0)), "E414_WEIGHT_TAMPER"),
    "unsorted": (forged(PLAN, swap_in_pair), "E509_UNSORTED"),
    "no code": (forged(PLAN, first(legal_country_iso="QQ")), "E302_FK_COUNTRY"),
    "empty": (forged(PLAN, lambda rows: rows.clear()), "E501_NO_S4_ALLOC_PLAN"),
}
EXTRA = forged(JITTERED, lambda rows: rows.append(rows[-1] | {"site_order": 9999}))


@pytest.mark.parametrize(
    ("name", "state", "spoil", "code"),
    [
        # An absent input
        ("stable", "s5", gone(PLAN), "E501_NO_S4_ALLOC_PLAN"),
        ("stable", "s6", gone(ASSIGNED), "E601_ROW_MISSING"),
        ("stable", "s7", gone(JITTERED), "E701_ROW_MISSING"),
        ("stable", "s8", gone(JOINED), "E801_ROW_MISSING"),
        ("stable", "s9", gone(LOCATED), "E901_ROW_MISSING"),
        # No seal, or that of another policy
        *(
            ("stable", state, gone("s0_gate_receipt_1B"), "E301_NO_PASS_FLAG")
            for state in ("s5", "s6", "s7", "s8", "s9")
        ),
        *(("stable", state, resealed, "E508_TOKEN_MISMATCH") for state in ("s5", "s6", "s7")),
        ("stable", "s8", resealed, "E809_PARTITION_SHIFT_VIOLATION"),
        ("stable", "s9", resealed, "E905_PARTITION_OR_IDENTITY"),
        # Rows that cannot be
        *((name, "s5", *case) for name in LAWS for case in IMPOSSIBLE.values()),
        ("permuted", "s4", forged(NEEDS, first(n_sites=2**62)), "E416_NUMERIC_OVERFLOW"),
        # Rows of S6 that are not those of S5, or leave their tile
        ("stable", "s7", forged(JITTERED, lambda rows: rows.pop()), "E701_ROW_MISSING"),
        ("stable", "s7", EXTRA, "E702_ROW_EXTRA"),
        ("stable", "s7", forged(JITTERED, first(site_order=9999)), "E701_ROW_MISSING"),
        ("stable", "s7", forged(JITTERED, first(tile_id=1)), "E702_ROW_EXTRA"),
        ("stable", "s7", forged(JITTERED, first(delta_lat_deg=1.0)), "E707_POINT_OUTSIDE_PIXEL"),
        ("stable", "s7", forged(JITTERED, first(delta_lon_deg=-0.51)), "E707_POINT_OUTSIDE_PIXEL"),
    ],
)
def test_a_wrong_input_has_its_code(
    world: Copy, name: str, state: str, spoil: Spoil, code: str
) -> None:
    spoiled = world(name)
    spoil(spoiled)
    assert spoiled.refused(state).code == code


@pytest.mark.parametrize("name", LAWS)
def test_plan_files_of_another_list_are_e410(world: Copy, tmp_path: Path, name: str) -> None:
    spoiled = world(name)
    outlets = worlds.outlet_list(tmp_path / "other.csv", ("NL",), merchants=3)
    other = spoiled.run("s0", "s5", outlets=outlets)
    plan = spoiled.path(PLAN)
    shutil.rmtree(plan)
    shutil.copytree(other.s4.paths[PLAN], plan)
    given = {"manifest_fingerprint": spoiled.tokens["manifest_fingerprint"]}
    assert spoiled.refused("s5", **given).code == "E410_NONDETERMINISTIC_OUTPUT"


@pytest.mark.parametrize("change", [move_site, first(n_sites_tile=77)])
def test_an_edited_plan_is_e410_and_e503_when_its_receipt_was_forged(
    world: Copy, change: Change
) -> None:
    spoiled = world("stable")
    spoiled.edit(PLAN, change)
    assert spoiled.refused("s5", verify=True).code == "E410_NONDETERMINISTIC_OUTPUT"
    spoiled.forge_receipt(PLAN)
    error = spoiled.refused("s5")
    assert error.code == "E503_TILE_QUOTA_MISMATCH"
    assert {"merchant_id", "country_iso", "tile_id"} <= set(error.scope)


def test_a_plan_that_is_one_site_too_long_is_found_by_coverage(world: Copy) -> None:
    """Under a law that has no points of its own, S5 fills whatever quotas it is given."""
    spoiled = world("permuted")
    more = []

    def lengthen(rows: Rows) -> None:
        more.append(77 - rows[0]["n_sites_tile"])
        rows[0]["n_sites_tile"] = 77

    spoiled.forge(PLAN, lengthen)
    spoiled.rewrite(
        "s4_run_report", lambda report: report.update(sites_total=report["sites_total"] + more[0])
    )
    spoiled.remove("s5", "s6", "s7")
    assert spoiled.refused("s5", "s7").code == "E708_1A_COVERAGE_FAIL"


def without(tile_id: int) -> Change:
    """Drop a tile of South Africa."""

    def change(rows: Rows) -> None:
        rows[:] = [r for r in rows if (r["country_iso"], r["tile_id"]) != ("ZA", tile_id)]

    return change


def used_tile(spoiled: World) -> int:
    rows = read_table(spoiled.part(ASSIGNED)).to_pylist()
    return next(r["tile_id"] for r in rows if r["legal_country_iso"] == "ZA")


@pytest.mark.parametrize("name", LAWS)
def test_a_tile_that_left_the_index_is_e505_and_e606(world: Copy, name: str) -> None:
    spoiled = world(name)
    spoiled.forge(INDEX, without(used_tile(spoiled)))
    for state, code in (("s5", "E505_TILE_NOT_IN_INDEX"), ("s6", "E606_FK_TILE_INDEX")):
        error = spoiled.refused(state)
        assert (error.code, error.scope["country_iso"]) == (code, "ZA")


def test_a_tile_without_bounds_is_e606_and_e709(world: Copy) -> None:
    spoiled = world("stable")
    tile = used_tile(spoiled)
    spoiled.forge(BOUNDS, without(tile))
    for state, code in (("s6", "E606_FK_TILE_INDEX"), ("s7", "E709_TILE_FK_VIOLATION")):
        error = spoiled.refused(state)
        assert (error.code, error.scope["tile_id"]) == (code, tile)


def test_a_country_without_a_shape_is_e606(world: Copy) -> None:
    spoiled = world("stable")
    spoiled.forge(ASSIGNED, first(legal_country_iso="DE"))
    error = spoiled.refused("s6")
    assert (error.code, error.scope["country_iso"]) == ("E606_FK_TILE_INDEX", "DE")


@pytest.mark.code("E613_RESAMPLE_EXHAUSTED")
def test_a_tile_that_lies_elsewhere_than_its_country_is_e613(world: Copy) -> None:
    spoiled = world("stable")
    tile = used_tile(spoiled)

    def north(rows: Rows) -> None:
        for row in rows:
            if (row["country_iso"], row["tile_id"]) == ("ZA", tile):
                for name in ("min_lat_deg", "max_lat_deg", "centroid_lat_deg"):
                    row[name] += 60.0

    spoiled.forge(BOUNDS, north)
    error = spoiled.refused("s6")
    assert (error.code, error.scope["tile_id"]) == ("E613_RESAMPLE_EXHAUSTED", tile)


@pytest.mark.parametrize(
    ("dataset_id", "state", "change", "code"),
    [
        (JOINED, "s7", first(lat_deg=1.0), "E712_ATOMIC_PUBLISH_VIOLATION"),
        (LOCATED, "s8", first(lat_deg=1.0), "E810_PUBLISH_POSTURE"),
        (ASSIGNED, "s5", first(tile_id=1), OTHER),
        (JITTERED, "s6", first(delta_lat_deg=0.0), OTHER),
        (JITTER_LOG, "s6", first(blocks=9), OTHER),
    ],
)
def test_other_content_that_is_committed_is_never_overwritten(
    world: Copy, dataset_id: str, state: str, change: Change, code: str
) -> None:
    spoiled = world("stable")
    spoiled.forge(dataset_id, change)
    spoiled.rewrite(f"{state}_run_report", no_inputs)
    part = spoiled.part(dataset_id)
    before = part.read_bytes()
    assert spoiled.refused(state).code == code
    assert part.read_bytes() == before


def test_another_trace_is_never_overwritten_where_a_report_commits_it(world: Copy) -> None:
    spoiled = world("stable")
    trace = spoiled.path("rng_trace_in_cell_jitter")
    own = trace.read_bytes()
    trace.write_bytes(own * 2)
    spoiled.rewrite("s6_run_report", no_inputs)
    error = spoiled.refused("s6")
    assert error.code == OTHER
    assert trace.name in error.message
    spoiled.path("s6_run_report").unlink()
    spoiled.run("s6", "s6")
    assert trace.read_bytes() == own


@pytest.mark.parametrize(
    ("dataset_id", "name", "state"),
    [
        (JITTER_LOG, "stable", "s6"),
        (CENTRE_LOG, "stable", "s6"),
        (ASSIGN_LOG, "permuted", "s5"),
    ],
)
@pytest.mark.parametrize("change", [lambda rows: rows.pop(3), lambda rows: rows.insert(3, rows[3])])
@pytest.mark.code("E410_NONDETERMINISTIC_OUTPUT")
def test_event_rows_that_were_removed_or_doubled_are_refused_when_read(
    world: Copy, dataset_id: str, name: str, state: str, change: Change
) -> None:
    spoiled = world(name)
    site = list(read_table(spoiled.part(dataset_id)).to_pylist()[0].values())[:3]
    spoiled.edit(dataset_id, change)
    error = spoiled.refused(state)
    assert error.code == "E410_NONDETERMINISTIC_OUTPUT"
    assert dataset_id in error.message
    if dataset_id != ASSIGN_LOG:
        with pytest.raises(Segment1BError, match=r"^E410_NONDETERMINISTIC_OUTPUT:"):
            replay(spoiled.root, *site, **spoiled.identity)


def test_a_flipped_bit_of_an_event_is_refused_by_verify(world: Copy) -> None:
    spoiled = world("stable")
    flip(spoiled.part(JITTER_LOG))
    assert spoiled.refused("s6", verify=True).code == "E410_NONDETERMINISTIC_OUTPUT"


@pytest.mark.parametrize("site", [(1007, "NL", 10**6), (5, "NL", 1), (1007, "nl", 1)])
def test_replay_of_a_site_that_does_not_exist_is_a_usage_error(
    published: Copy, site: tuple[int, str, int]
) -> None:
    world = published("stable")
    with pytest.raises(Segment1BError, match=r"^E_USAGE:"):
        replay(world.root, *site, **world.identity)
