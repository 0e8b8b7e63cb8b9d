"""Gather: pieces by country become one table by merchant, cut by row count alone."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.contracts import load
from segment1b.storage import gather as room
from segment1b.storage.gather import cut_parts, merge_part, write_piece
from segment1b.storage.parts import part_name, write_part
from segment1b.storage.proofs import Proof, joined_receipt, take_receipt

PLAN = load()["s4_alloc_plan"]
COUNTRIES = ["AD", "FJ", "NL", "NO", "VA"]
Row = tuple[int, str, int, int]
FEW = settings(deadline=None, derandomize=True, max_examples=60)

MERCHANTS = st.integers(1, 6) | st.integers(1, 2**63 - 1)
ROWS = st.dictionaries(
    st.tuples(MERCHANTS, st.sampled_from(COUNTRIES), st.integers(0, 2**64 - 1)),
    st.integers(1, 9),
    max_size=60,
).map(lambda drawn: sorted((*key, n) for key, n in drawn.items()))


@contextmanager
def small_sizes(file_rows: int, group_rows: int) -> Iterator[None]:
    """Make files and row groups small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "FILE_ROWS", file_rows)
        patch.setattr(room, "GROUP_ROWS", group_rows)
        yield


def plan(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table of the plan."""
    columns = zip(*rows, strict=True) if rows else [[] for _ in range(4)]
    return pa.table([list(column) for column in columns], schema=PLAN.arrow_schema)


def piece(path: Path, rows: Sequence[Row], group: int = 5) -> Path:
    """Write one sorted piece in row groups of some size."""
    whole = plan(rows)
    write_piece(path, PLAN, [whole.slice(at, group) for at in range(0, max(1, len(rows)), group)])
    return path


def by_country(rows: Sequence[Row]) -> list[list[Row]]:
    """Deal rows into a piece for each country, empty ones included."""
    return [[row for row in rows if row[1] == country] for country in COUNTRIES]


def gather(pieces: Sequence[Path], parts: Path) -> list[Proof]:
    """Merge the pieces into the final parts, one after the other."""
    cut = cut_parts(pieces, PLAN)
    return [merge_part(one, pieces, PLAN, parts / part_name(one.number)) for one in cut]


def gathered(base: Path, dealt: Sequence[Sequence[Row]]) -> list[Path]:
    """Write the pieces, gather them and return the part files."""
    pieces = base / "pieces"
    parts = base / "parts"
    pieces.mkdir(parents=True)
    parts.mkdir()
    paths = [piece(pieces / part_name(n), rows) for n, rows in enumerate(dealt)]
    proofs = gather(paths, parts)
    total = sum(len(rows) for rows in dealt)
    edges = [*range(0, total, room.FILE_ROWS), total] if total else [0, 0]
    assert [proof.rows for proof in proofs] == [b - a for a, b in itertools.pairwise(edges)]
    assert joined_receipt(parts, PLAN, "x", proofs) == take_receipt(parts, PLAN, "x", 1)
    return sorted(parts.iterdir())


def rows_of(paths: Sequence[Path]) -> list[Row]:
    table = pa.concat_tables([pq.read_table(path) for path in paths])
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@FEW
@given(ROWS)
def test_pieces_by_country_become_one_sorted_table_cut_by_row_count_alone(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as base, small_sizes(12, 4):
        paths = gathered(Path(base), by_country(rows))
        assert rows_of(paths) == rows
        metas = [pq.read_metadata(path) for path in paths]
    sizes = [[m.row_group(g).num_rows for g in range(m.num_row_groups)] for m in metas]
    flat = [group for file in sizes for group in file]
    assert all(group == 4 for group in flat[:-1])
    assert 0 <= flat[-1] <= 4
    assert all(len(file) == 3 for file in sizes[:-1])
    assert len(sizes) == max(1, -(-len(rows) // 12))
    assert [path.name for path in paths] == [part_name(n) for n in range(len(paths))]


@FEW
@given(st.data(), ROWS)
def test_the_bytes_do_not_depend_on_how_rows_were_dealt_into_pieces(
    data: st.DataObject, rows: list[Row]
) -> None:
    edges = sorted(data.draw(st.lists(st.integers(0, len(COUNTRIES)), max_size=3)))
    blocks = [
        [row for row in rows if low <= COUNTRIES.index(row[1]) < high]
        for low, high in itertools.pairwise([0, *edges, len(COUNTRIES)])
    ]
    borders = sorted(data.draw(st.lists(MERCHANTS, max_size=3)))
    ranges = [
        [row for row in rows if low <= row[0] < high]
        for low, high in itertools.pairwise([0, *borders, 2**64])
    ]
    deals = [by_country(rows), blocks, ranges, [rows]]
    with tempfile.TemporaryDirectory() as base:
        written = []
        for number, dealt in enumerate(deals):
            with small_sizes(12, 4):
                paths = gathered(Path(base) / str(number), dealt)
            written.append([path.read_bytes() for path in paths])
    assert all(one == written[0] for one in written)


@FEW
@given(ROWS)
def test_a_piece_of_several_countries_is_sorted_by_merchant(rows: list[Row]) -> None:
    countries = by_country(rows)
    with tempfile.TemporaryDirectory() as base, small_sizes(12, 4):
        path = Path(base) / "piece.parquet"
        written = write_piece(path, PLAN, map(plan, countries), stretches=len(countries))
        assert written == len(rows)
        assert rows_of([path]) == rows


@pytest.mark.parametrize("stretches", [1, 2])
def test_a_piece_has_its_rows_in_the_strict_schema_also_when_they_came_nullable(
    tmp_path: Path, stretches: int
) -> None:
    rows = [(1, "NO", 5, 1), (2, "NO", 1, 2)]
    loose = pa.schema([field.with_nullable(True) for field in PLAN.arrow_schema])
    tables = [pa.table(plan([row]).to_pydict(), schema=loose) for row in rows]
    path = tmp_path / "piece.parquet"
    assert write_piece(path, PLAN, tables, stretches) == 2
    assert pq.read_schema(path).equals(PLAN.arrow_schema)
    assert rows_of([path]) == rows


@pytest.mark.parametrize(
    "dealt",
    [
        [],
        [[], []],
        by_country([(7, country, tile, 1) for country in COUNTRIES for tile in range(30)]),
        by_country(
            [(2**63 - 2, "NO", 1, 1), (2**63 - 1, "AD", 1, 1), (2**63 - 1, "NO", 2**64 - 1, 1)]
        ),
    ],
    ids=["no pieces", "no rows", "a merchant with more rows than a file", "largest numbers"],
)
def test_unusual_pieces_are_gathered(tmp_path: Path, dealt: list[list[Row]]) -> None:
    with small_sizes(12, 4):
        paths = gathered(tmp_path, dealt)
    assert rows_of(paths) == sorted(itertools.chain.from_iterable(dealt))
    assert pq.read_schema(paths[0]).equals(PLAN.arrow_schema)


def test_full_sizes_give_a_full_file_and_the_rest(tmp_path: Path) -> None:
    merchant = np.arange(1, 1_048_576 + 11, dtype=np.uint64)
    pieces = []
    for number, (country, mine) in enumerate(
        [("AD", merchant % 3 == 0), ("NO", merchant % 3 != 0)]
    ):
        own = merchant[mine]
        table = pa.table(
            [own, pa.repeat(country, len(own)), own, np.ones(len(own), np.int64)],
            schema=PLAN.arrow_schema,
        )
        pieces.append(tmp_path / f"piece-{number}.parquet")
        write_part(
            pieces[-1], PLAN, [table.slice(at, 131_072) for at in range(0, len(own), 131_072)]
        )
    parts = tmp_path / "parts"
    parts.mkdir()
    proofs = gather(pieces, parts)
    assert [proof.rows for proof in proofs] == [1_048_576, 10]
    assert joined_receipt(parts, PLAN, "x", proofs) == take_receipt(parts, PLAN, "x", 2)
    metas = [pq.read_metadata(path) for path in sorted(parts.iterdir())]
    assert [[m.row_group(g).num_rows for g in range(m.num_row_groups)] for m in metas] == [
        [131_072] * 8,
        [10],
    ]
    found = pq.read_table(parts, columns=["merchant_id"]).column(0).to_numpy()
    assert (np.sort(found) == merchant).all()
    assert (found[1:] > found[:-1]).all()
