"""Forged centres, counts of centres and log rows are found, however well they fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pyarrow.parquet import read_table

from segment1b.read.redraw import BOUNDS as DEGREES
from segment1b.read.redraw import Jitter, Tile
from segment1b.read.redraw_centres import ATTEMPTS, CentreDraws, CentreTile
from segment1b.storage.reader import Reader
from segment1b.storage.snapshot import Snapshot
from spoil import (
    BOUNDS,
    CENTRE_LOG,
    CENTRES,
    INDEX,
    JITTER_LOG,
    JITTERED,
    KNOWN,
    Change,
    Rows,
    World,
    add,
    drop,
    repeat,
    swap,
)

Copy = Callable[[str], World]
Key = tuple[Any, ...]


def key(row: dict[str, Any]) -> Key:
    return row["merchant_id"], row["legal_country_iso"], row["site_order"]


def placed(row: dict[str, Any]) -> bool:
    return bool(row["centre"] > 0)


def on_placed(**values: Any) -> Change:
    """Change fields of the first row that is at a centre; a function is given the value."""

    def change(rows: Rows) -> None:
        row = next(filter(placed, rows))
        row.update({n: v(row[n]) if callable(v) else v for n, v in values.items()})

    return change


def by_key(world: World, dataset_id: str) -> dict[Key, dict[str, Any]]:
    return {key(row): row for row in read_table(world.part(dataset_id)).to_pylist()}


@pytest.mark.parametrize(
    ("check", "dataset_id", "change"),
    [
        ("s2 centres", CENTRES, add("centres")),
        ("s2 centres", CENTRES, drop),
        ("s2 tile_centres_sorted", CENTRES, swap),
        ("s6 centre_replay", CENTRE_LOG, on_placed(centre=lambda one: one % 2 + 1)),
        ("s6 centre_replay", CENTRE_LOG, on_placed(blocks=lambda one: one + 1)),
        ("s6 events", CENTRE_LOG, on_placed(blocks=1, centre=0)),
        ("s6 centre_replay", CENTRE_LOG, on_placed(blocks=64, centre=0)),
        ("s6 centre_events", CENTRE_LOG, drop),
        ("s6 rng_event_centre_jitter_unique_log", CENTRE_LOG, repeat),
        ("s6 rng_event_centre_jitter_sorted_log", CENTRE_LOG, swap),
        ("s6 centre_attempts", CENTRE_LOG, on_placed(centre=512)),
        ("s6 centre_accounting", CENTRE_LOG, on_placed(blocks=lambda one: one + 1)),
    ],
)
def test_a_forged_row_with_its_receipt_is_found(
    check: str, dataset_id: str, change: Change, world: Copy
) -> None:
    spoiled = world("permuted")
    spoiled.forge(dataset_id, change)
    assert check in spoiled.failing(check[:2])


def test_an_offset_at_a_centre_is_proven_to_the_last_bit(world: Copy) -> None:
    spoiled = world("permuted")
    one = next(key(row) for row in by_key(spoiled, CENTRE_LOG).values() if placed(row))

    def move(rows: Rows) -> None:
        row = next(row for row in rows if key(row) == one)
        row["delta_lat_deg"] = row["delta_lat_deg"] + 2.0**-50

    spoiled.forge(JITTERED, move)
    assert [key(row) for row in spoiled.failing("s6")["s6 centre_replay"].rows] == [one]


def redrawn(world: World) -> Iterator[tuple[Key, int, list[Any]]]:
    """Yield sites at a centre, the logged attempt, and all 64 drawn again."""
    reader = Reader(Snapshot(world.root, KNOWN, world.tokens), [*map(str, KNOWN._datasets)])
    policy = reader.snapshot.bound_policy["jitter"]["centres"]
    draws = CentreDraws(Jitter(reader, 42), policy, 42)
    tiles = {
        dataset_id: {
            (row["country_iso"], row["tile_id"]): row
            for row in read_table(world.part(dataset_id)).to_pylist()
        }
        for dataset_id in (BOUNDS, INDEX, CENTRES)
    }
    sites = by_key(world, JITTERED)
    for site, row in by_key(world, CENTRE_LOG).items():
        if placed(row):
            at = (row["legal_country_iso"], sites[site]["tile_id"])
            tile = Tile(*(tiles[BOUNDS][at][name] for name in DEGREES))
            area, count = tiles[INDEX][at]["pixel_area_m2"], tiles[CENTRES][at]["centres"]
            place = CentreTile(tile, at[1], area, count)
            merchant, country, order = site
            attempts = draws.attempts((merchant, country, order), place, ATTEMPTS)
            yield site, row["blocks"], list(attempts)


def test_a_site_that_leaves_its_centre_without_an_earlier_one_there_is_found(world: Copy) -> None:
    """The site takes its next good attempt: draws, offsets, log and sums fit together."""
    spoiled = world("permuted")
    site, later = next(
        (site, attempt)
        for site, blocks, attempts in redrawn(spoiled)
        for attempt in attempts[blocks:8]
        if attempt.verdict == "accepted" and blocks < 8
    )

    def log(rows: Rows) -> None:
        row = next(row for row in rows if key(row) == site)
        row.update(blocks=later.number, centre=later.rank)

    def move(rows: Rows) -> None:
        row = next(row for row in rows if key(row) == site)
        row.update(delta_lon_deg=later.offset[0], delta_lat_deg=later.offset[1])

    spoiled.forge(CENTRE_LOG, log)
    spoiled.forge(JITTERED, move)
    result = spoiled.failing("s6")["s6 centre_replay"]
    assert {row["reason"] for row in result.rows} == {
        "no earlier site is at the centre that the attempt gives"
    }


def test_a_site_that_is_moved_to_the_tail_with_a_point_of_its_own_is_found(world: Copy) -> None:
    spoiled = world("permuted")
    site = next(key(row) for row in by_key(spoiled, CENTRE_LOG).values() if placed(row))

    def log(rows: Rows) -> None:
        next(row for row in rows if key(row) == site).update(blocks=1, centre=0)

    def more(rows: Rows) -> None:
        names = ("merchant_id", "legal_country_iso", "site_order")
        rows.append({**dict(zip(names, site, strict=True)), "blocks": 1, "lane": 0, "_group": 0})
        rows.sort(key=key)

    spoiled.forge(CENTRE_LOG, log)
    spoiled.forge(JITTER_LOG, more)
    failing = spoiled.failing("s6")
    assert "s6 centre_replay" in failing
    assert "s6 events" not in failing
