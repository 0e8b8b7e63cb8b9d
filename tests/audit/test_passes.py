"""A pass over the tile datasets settles the checks it knows, and none that finds something."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.audit import runner
from segment1b.audit.case import Case, StateChecks
from segment1b.audit.passes import UnsettledError, sum_of
from segment1b.audit.plans import PLANS
from segment1b.audit.s2.settled import Country, rounded
from segment1b.audit.session import Session
from spoil import (
    CENTRES,
    INDEX,
    KNOWN,
    WEIGHTS,
    Change,
    Rows,
    World,
    move_unit,
)
from tile_tables import CASES, OWN, rewrite

#: What no pass looks into: the checks themselves are cheap, or are made in another way.
LEFT = {
    "s1": {"cell_size", "crs", "membership", "polygons", "versions"},
    "s2": {"report_centres", "report_policy"},
}
OF_FILES = ("columns", "receipt", "stray_files")
OF_STATES = {"disallowed_reads", "input_digests", "ranking", "tokens"}
World_ = Callable[[str], World]


@contextmanager
def opened(world: World, state: str) -> Iterator[Case]:
    with Session(world.published) as session:
        case = Case(session)
        runner._open_state(plan_of(world, state), case)
        yield case


def plan_of(world: World, state: str) -> StateChecks:
    return PLANS[state].without(world.published.unused)


def settled(world: World, state: str) -> set[str]:
    with opened(world, state) as case:
        return set(runner._settled(plan_of(world, state), case))


def expected(world: World, state: str) -> set[str]:
    left = LEFT[state] | OF_STATES | {f"{w}_{table}" for w in OF_FILES for table in OWN[state]}
    return {one.name for one in runner.checks_of(plan_of(world, state), KNOWN)} - left


@pytest.mark.parametrize("state", OWN)
@pytest.mark.parametrize("name", ["permuted", "ties"])
def test_a_pass_settles_every_check_of_tiles_that_have_nothing_to_find(
    state: str, name: str, published: World_
) -> None:
    assert settled(published(name), state) == expected(published(name), state)


@pytest.mark.parametrize(("state", "name", "table", "change"), CASES)
def test_a_pass_does_not_settle_a_check_that_finds_something(
    state: str, name: str, table: str, change: str, world: World_
) -> None:
    spoiled = world("permuted")
    rewrite(spoiled, table, "SELECT 1")
    assert name in settled(spoiled, state)
    rewrite(spoiled, table, change)
    assert name not in settled(spoiled, state)


def of_country(field: str, value: Any) -> Change:
    return lambda report: report["by_country"]["PT"].update({field: value})


def without_a_country(report: dict[str, Any]) -> None:
    del report["by_country"]["PT"]


def listing(field: str, *codes: str) -> Change:
    return lambda report: report.update({field: list(codes)})


@pytest.mark.parametrize(
    ("state", "names", "change"),
    [
        ("s1", {"report_by_country"}, of_country("tile_id_max", 1)),
        ("s1", {"report_by_country"}, of_country("cells_visited", 0)),
        ("s1", {"report_by_country"}, without_a_country),
        ("s1", {"report_totals"}, lambda report: report.update(rows_emitted=1)),
        ("s1", {"report_totals"}, lambda report: report.update(predicate="any_overlap")),
        ("s1", {"report_totals"}, lambda report: report["grid_dims"].update(nrows=1)),
        ("s1", {"report_lists"}, listing("widened_countries")),
        ("s1", {"report_lists"}, listing("countries_without_polygon", "DE")),
        ("s1", {"report_lists"}, listing("countries_without_tiles", "PT")),
        ("s2", {"law", "monotonic", "report_by_country"}, of_country("mass_sum", "1")),
        ("s2", {"basis", "law"}, of_country("zero_mass_fallback", True)),
        ("s2", {"report_by_country"}, of_country("residue_allocations", 1000)),
        ("s2", {"report_by_country"}, of_country("zero_weight_tiles", 1000)),
        ("s2", {"report_by_country"}, of_country("postquant_sum_fp", 7)),
        ("s2", {"report_by_country", "law"}, without_a_country),
        *(
            ("s2", {"report_totals"}, lambda report, change=change: report.update(change))
            for change in (
                *({"rows_emitted": 1}, {"countries_total": 1}, {"basis": "uniform"}, {"dp": 3}),
                *({"K": 1000}, {"mass_scale": 1}),
            )
        ),
    ],
)
def test_a_pass_does_not_settle_what_a_run_report_says_otherwise(
    state: str, names: set[str], change: Change, world: World_
) -> None:
    spoiled = world("permuted")
    spoiled.rewrite(f"{state}_run_report", lambda report: change(report) and None)
    assert not names & settled(spoiled, state)


def test_what_is_wrong_with_a_column_leaves_the_checks_of_others_settled(world: World_) -> None:
    spoiled = world("permuted")
    rewrite(spoiled, INDEX, "UPDATE {t} SET pixel_area_m2 = 1.0 WHERE part_row = 1")
    assert expected(spoiled, "s1") - settled(spoiled, "s1") == {"areas"}


def test_checks_that_are_not_settled_find_what_they_found_before(world: World_) -> None:
    spoiled = world("permuted")
    spoiled.forge(WEIGHTS, move_unit("weight_fp"))
    failing = spoiled.failing("s2")
    assert len(failing["s2 law"].rows) == 2


@pytest.mark.parametrize("tile", [10**9, 2**50, 2**63])
def test_a_tile_beyond_the_raster_is_a_finding_at_once(tile: int, world: World_) -> None:
    spoiled = world("permuted")

    def beyond(rows: Rows) -> None:
        rows[-1]["tile_id"] = tile

    for table in (INDEX, WEIGHTS, CENTRES):
        spoiled.forge(table, beyond)
    assert "law" not in settled(spoiled, "s2")
    assert "s1 tile_id_from_grid" in spoiled.failing("s1", "s2")


masses = st.lists(st.integers(0, 2**53), min_size=1, max_size=12).filter(any)


@given(masses=masses, dp=st.integers(0, 15), scale=st.integers(0, 50), cut=st.integers(1, 11))
@settings(max_examples=300, deadline=None)
def test_weights_are_settled_exactly_when_they_are_the_largest_remainders(
    masses: list[int], dp: int, scale: int, cut: int
) -> None:
    masses = [mass >> scale for mass in masses]
    if not any(masses):
        return
    total, units = sum(masses), 10**dp
    weights = [mass * units // total for mass in masses]
    rest = sorted(range(len(masses)), key=lambda at: (-(masses[at] * units % total), at))
    for at in rest[: units - sum(weights)]:
        weights[at] += 1
    assert are_settled(masses, weights, total, units, cut)
    for one, other in itertools.permutations(range(len(masses)), 2):
        moved = [*weights]
        moved[one], moved[other] = moved[one] + 1, moved[other] - 1
        assert not are_settled(masses, moved, total, units, cut)


def are_settled(masses: list[int], weights: list[int], total: int, units: int, cut: int) -> bool:
    """Return whether weights are settled, as figures of two row groups."""
    whole = Country()
    with suppress(UnsettledError):
        for part in (slice(0, cut), slice(cut, None)):
            if masses[part]:
                tiles = np.arange(len(masses), dtype=np.uint64)[part]
                own = (np.array(numbers[part], np.int64) for numbers in (masses, weights))
                whole.add(rounded(tiles, *own, total, units))
        return whole.is_by_remainders and (whole.mass, whole.units) == (total, units)
    return False


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_sums_of_64_bit_numbers_are_exact(values: list[int]) -> None:
    assert sum_of(np.array(values, np.int64)) == sum(values)
