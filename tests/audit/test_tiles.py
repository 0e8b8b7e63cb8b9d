"""Rows of used tiles, read by row group, are those that a join over all rows gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segment1b.audit import tiles
from segment1b.audit.case import Case
from segment1b.audit.session import Session
from segment1b.audit.tiles import BOUNDS, keep_used, rows_of, used_tiles
from spoil import World

SITES, TILES = "s6_site_jitter", "tile_bounds"
JOIN = (
    "SELECT country_iso, tile_id, {columns} FROM tile_bounds AS t SEMI JOIN sites AS s "
    "ON s.legal_country_iso = t.country_iso AND s.tile_id = t.tile_id ORDER BY ALL"
)


#: Ways to write n rows, as the rows in their new order.
ORDERS: dict[str, Callable[[int], list[int]]] = {
    "as_written": lambda n: list(range(n)),
    "backwards": lambda n: list(range(n))[::-1],
    "twice": lambda n: [*range(n), *range(n)],
    "shuffled_groups": lambda n: [*range(1, n, 2), *range(0, n, 2)],
}


@contextmanager
def opened(world: World) -> Iterator[Case]:
    with Session(world.published) as session:
        case = Case(session)
        for dataset_id in (SITES, TILES):
            session.open_table(dataset_id)
        session.execute(f"CREATE TABLE sites AS FROM {SITES}")
        yield case


def kept(case: Case) -> list[dict[str, Any]]:
    keep_used(TILES, ("sites",), BOUNDS).run(case)
    return list(case.session.rows(f"FROM used_{TILES} ORDER BY ALL"))


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("group", [7, 1 << 20])
def test_rows_of_used_tiles_are_those_of_a_join_however_the_file_is_written(
    order: Callable[[int], list[int]],
    statistics: bool,
    group: int,
    world: Callable[[str], World],
) -> None:
    changed = world("permuted")
    folder = changed.path(TILES)
    whole = pa.concat_tables([pq.read_table(path) for path in sorted(folder.iterdir())])
    for path in folder.iterdir():
        path.unlink()
    pq.write_table(
        whole.take(order(len(whole))),
        folder / "part-00000.parquet",
        row_group_size=group,
        write_statistics=statistics,
    )
    with opened(changed) as case:
        joined = list(case.session.rows(JOIN.format(columns=", ".join(BOUNDS))))
        assert joined
        assert kept(case) == joined


def test_a_site_in_a_tile_or_country_that_no_raster_holds_uses_no_row(
    published: Callable[[str], World],
) -> None:
    with opened(published("permuted")) as case:
        before = kept(case)
        case.session.execute(
            "INSERT INTO sites (legal_country_iso, tile_id) VALUES ('PT', 281474976710656), "
            "('PT', 18446744073709551615), ('PT', NULL), (NULL, 5), ('ŁŁ', 5), ('', 5)"
        )
        assert kept(case) == before


def test_without_sites_no_tile_is_used(published: Callable[[str], World]) -> None:
    with opened(published("permuted")) as case:
        case.session.execute("DELETE FROM sites")
        assert used_tiles(case, ["sites"]) == {}
        assert kept(case) == []


def test_rows_with_nulls_are_left_out(
    published: Callable[[str], World], world: Callable[[str], World]
) -> None:
    changed = world("permuted")
    part = changed.part(TILES)
    rows = pq.read_table(part).select(["country_iso", "tile_id"]).to_pylist()
    rows[1]["tile_id"] = None
    schema = pa.schema([("country_iso", pa.string()), ("tile_id", pa.uint64())])
    pq.write_table(pa.Table.from_pylist(rows, schema), part)
    code = rows[1]["country_iso"]
    expected = [r["tile_id"] for r in rows if r["country_iso"] == code and r["tile_id"] is not None]
    with opened(published("permuted")) as case:
        case.published.root = changed.root
        found = [
            i for t in rows_of(case, TILES, code, ["tile_id"]) for i in t["tile_id"].to_pylist()
        ]
    assert found == expected


def test_a_row_group_with_fewer_columns_than_its_file_tells_nothing(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    pq.write_table(pa.table({"country_iso": ["PT"]}), path)
    group, names = pq.read_metadata(path).row_group(0), ["country_iso", "tile_id"]
    assert tiles._span(group, names[:1], "country_iso", str) == ("PT", "PT")
    assert tiles._span(group, names, "tile_id", int) is None


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    for tile in (10, 20):
        pq.write_table(pa.table({"country_iso": ["PT"], "tile_id": pa.array([tile])}), path)
        os.utime(path, (1, 1))
        assert [group.tiles for group in tiles._groups_of(path)] == [(tile, tile)]
