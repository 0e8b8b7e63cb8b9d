"""A plan that its curve law did not make is told by the points derived again, in 128-bit SQL."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segment1b.audit import session
from segment1b.audit.s4 import curve_laws
from spoil import Rows, World

LAWS = ("systematic", "stable", "balanced")


def move(rows: Rows, sites: int) -> None:
    """Move some sites of a pair from its fullest tile to its emptiest."""
    by_pair = itertools.groupby(rows, lambda row: (row["merchant_id"], row["legal_country_iso"]))
    pairs = [sorted(own, key=lambda row: row["n_sites_tile"]) for _, own in by_pair]
    taker, *_, giver = next(p for p in pairs if len(p) > 1 and p[-1]["n_sites_tile"] > sites)
    giver["n_sites_tile"] -= sites
    taker["n_sites_tile"] += sites


def one_moved(rows: Rows) -> None:
    move(rows, 1)


def two_too_many(rows: Rows) -> None:
    move(rows, 2)


def swap_two_pairs(rows: Rows) -> None:
    """Let a site each of two merchants change places, so that all sums of tiles agree."""
    pairs: dict[tuple[str, int], Rows] = {}
    for row in rows:
        pairs.setdefault((row["legal_country_iso"], row["merchant_id"]), []).append(row)
    mine, theirs = next(
        (pairs[one], pairs[other])
        for one, other in itertools.pairwise(sorted(pairs))
        if one[0] == other[0]
        and pairs[one][0]["n_sites_tile"] == pairs[other][0]["n_sites_tile"] == 1
        and {row["tile_id"] for row in pairs[one]}.isdisjoint(r["tile_id"] for r in pairs[other])
    )
    mine[0]["tile_id"], theirs[0]["tile_id"] = theirs[0]["tile_id"], mine[0]["tile_id"]
    for own in (mine, theirs):
        held = sorted((row["tile_id"], row["n_sites_tile"]) for row in own)
        for row, (tile_id, n) in zip(own, held, strict=True):
            row["tile_id"], row["n_sites_tile"] = tile_id, n


def sites(rows: Rows) -> dict[tuple[Any, ...], int]:
    names = ("merchant_id", "legal_country_iso", "tile_id")
    return {tuple(row[name] for name in names): row["n_sites_tile"] for row in rows}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("change", [one_moved, two_too_many, swap_two_pairs])
def test_every_site_in_another_tile_is_found_where_sums_and_receipt_agree(
    law: str, change: Callable[[Rows], None], world: Callable[[str], World]
) -> None:
    spoiled, seen = world(law), []

    def spoil(rows: Rows) -> None:
        seen.append(sites(rows))
        change(rows)
        seen.append(sites(rows))

    spoiled.forge("s4_alloc_plan", spoil)
    failing = spoiled.failing("s4")
    # The tiles' figures may give a move away, but not whose it was; they cannot show a swap.
    assert {"s4 law"} <= set(failing) <= {"s4 law", "s4 quality"}
    assert change is not swap_two_pairs or len(failing) == 1
    before, after = seen
    changed = {key for key in {*before, *after} if before.get(key, 0) != after.get(key, 0)}
    found = sites([{**r, "n_sites_tile": r["found"]} for r in failing.rows("E417_LAW_VIOLATION")])
    assert found == {key: after.get(key, 0) for key in changed}
    expected = {tuple(r.values())[:3]: r["expected"] for r in failing.rows("E417_LAW_VIOLATION")}
    assert expected == {key: before.get(key, 0) for key in changed}


@pytest.mark.parametrize(("law", "other"), [(law, LAWS[at - 1]) for at, law in enumerate(LAWS)])
def test_a_plan_of_another_curve_law_is_found(
    law: str, other: str, world: Callable[[str], World]
) -> None:
    spoiled = world(law)
    spoiled.rewrite(
        "parameter_policy_1B", lambda sealed: sealed["policy"]["allocation"].update(law=other)
    )
    assert spoiled.failing("s4").of_code("E417_LAW_VIOLATION").rows


@pytest.mark.parametrize("at_once", [1, 7, 40])
def test_a_plan_that_is_derived_in_many_parts_is_the_same(
    published: Callable[[str], World], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve_laws, "_SITES_AT_ONCE", at_once)
    monkeypatch.setattr(session, "_ROWS_TOGETHER", at_once)
    assert published("stable").failing("s4", "s5") == {}


def test_a_pair_without_a_number_of_sites_is_a_finding(world: Callable[[str], World]) -> None:
    spoiled = world("stable")

    def forget(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index("n_sites")
        numbers = [None, *table.column("n_sites").to_pylist()[1:]]
        return table.set_column(at, "n_sites", pa.array(numbers, table.schema.types[at]))

    spoiled.write("s3_requirements", forget)
    assert "s4 expected_by_points" in spoiled.failing("s4")


@given(
    st.lists(st.integers(0, 2**32 - 1), unique=True, max_size=60)
    | st.lists(st.integers(2**16 - 9, 2**16 + 9), unique=True)
)
@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_places_are_put_in_order(kind: type[np.unsignedinteger[Any]], places: list[int]) -> None:
    order = curve_laws._in_order(np.array(places, kind))
    assert [places[at] for at in order] == sorted(places)
