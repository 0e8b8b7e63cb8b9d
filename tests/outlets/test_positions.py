"""Next month's list moves nobody who stays, except the few that a smaller pair has no room for."""

from __future__ import annotations

import random
from itertools import pairwise

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.outlets.positions import positions

Keys = dict[tuple[int, str], set[str]]
Places = dict[tuple[int, str, str], int]

PAIRS = st.tuples(st.integers(1, 3), st.sampled_from(["DE", "NL"]))
# Few characters, so that lists share keys; the order of the last two is another in UTF-16.
KEYS = st.text("ab\u00e9\uff21\U0001f600", min_size=1, max_size=2)
LISTS = st.dictionaries(PAIRS, st.sets(KEYS, max_size=12), max_size=4)


def listed(keys: Keys) -> pa.Table:
    rows = [(m, c, key) for (m, c), own in keys.items() for key in own]
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    types = {"merchant_id": pa.uint64(), "country_iso": pa.string(), "outlet_id": pa.string()}
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, types.values(), strict=True)],
        names=list(types),
    )


def places(table: pa.Table) -> Places:
    return {
        (row["merchant_id"], row["country_iso"], row["outlet_id"]): row["site_order"]
        for row in table.to_pylist()
    }


def by_hand(now: Keys, was: Places) -> Places:
    """Assign positions one by one, as the law says."""
    found: Places = {}
    for (merchant, country), keys in now.items():
        old = {key: was.get((merchant, country, key)) for key in keys}
        taken = {key: place for key, place in old.items() if place and place <= len(keys)}
        free = [n for n in range(1, len(keys) + 1) if n not in taken.values()]
        stay = sorted((place, key) for key, place in old.items() if place and key not in taken)
        new = sorted((key for key, place in old.items() if not place), key=str.encode)
        taken |= dict(zip([key for _, key in stay] + new, free, strict=True))
        found |= {(merchant, country, key): place for key, place in taken.items()}
    return found


@settings(max_examples=50)
@given(LISTS, LISTS)
def test_positions_are_those_assigned_by_hand(first: Keys, second: Keys) -> None:
    was = positions(listed(first))
    assert places(was) == by_hand(first, {})
    now = positions(listed(second), was)
    assert places(now) == by_hand(second, places(was))


@settings(max_examples=25)
@given(LISTS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(keys: Keys, order: random.Random) -> None:
    table = listed(keys)
    rows = list(range(table.num_rows))
    order.shuffle(rows)
    shuffled = positions(table.take(pa.array(rows, pa.int64())))
    assert shuffled.drop("row").equals(positions(table).drop("row"))


def test_in_a_hundred_months_nobody_moves_but_the_fewest_possible() -> None:
    chance = random.Random(0)
    keys: Keys = {(merchant, "DE"): {f"{merchant}-{n}" for n in range(30)} for merchant in (1, 2)}
    months = [positions(listed(keys))]
    for month in range(100):
        for (merchant, _), own in keys.items():
            own -= set(chance.sample(sorted(own), chance.randrange(min(6, len(own)))))
            own |= {f"{merchant}-{month}-{n}" for n in range(chance.randrange(6))}
        months.append(positions(listed(keys), months[-1]))
        assert places(months[-1]) == by_hand(keys, places(months[-2]))
    for was, now in pairwise(months):
        before, after = places(was), places(now)
        stayed = {key for key in after if key in before and before[key] == after[key]}
        moved = {
            tuple(row.values())[:3]
            for row in now.to_pylist()
            if row["previous"] not in (None, row["site_order"])
        }
        assert after.keys() & before.keys() == stayed | moved
        assert not stayed & moved
        for pair in keys:
            own = {key: place for key, place in after.items() if key[:2] == pair}
            assert sorted(own.values()) == list(range(1, len(own) + 1))
            # Who is above the new size has to move, and nobody else does.
            assert {key for key in moved if key[:2] == pair} == {
                key for key in own if before.get(key, 0) > len(own)
            }
