"""Part files: the cut into files and row groups, encodings, equal bytes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from published import raises
from segment1b.contracts import Column, Dataset, load
from segment1b.storage.parts import FILE_ROWS, GROUP_ROWS, constant, cut_tiles, groups, part_name
from segment1b.storage.parts import write_part as write

MILLION = 1_048_576
CODES = ["AD", "BR", "CA", "FJ", "LS", "MV", "NL", "NO", "RU", "VA"]
COUNTS = (
    st.integers(0, 3)
    | st.integers(0, MILLION // 3)
    | st.integers(MILLION - 2, MILLION + 2)
    | st.integers(MILLION, 5 * MILLION)
)
LAW = settings(deadline=None, derandomize=True, max_examples=300)


def counts() -> st.SearchStrategy[dict[str, int]]:
    """Draw the number of tiles of some countries, in key order."""
    return st.lists(COUNTS, max_size=len(CODES)).map(
        lambda drawn: dict(zip(CODES, drawn, strict=False))
    )


def naive_cut(tiles: Mapping[str, int]) -> list[list[tuple[str, int, int]]]:
    """Pack whole countries until the next would pass a million rows; cut larger ones alone."""
    files: list[list[tuple[str, int, int]]] = []
    open_file: list[tuple[str, int, int]] = []
    for country, count in tiles.items():
        if count == 0:
            continue
        held = sum(stop for _, _, stop in open_file)
        if open_file and (count > MILLION or held + count > MILLION):
            files.append(open_file)
            open_file = []
        if count <= MILLION:
            open_file.append((country, 0, count))
            continue
        start = 0
        while start < count:
            files.append([(country, start, min(start + MILLION, count))])
            start += MILLION
    return [*files, open_file] if open_file else files


def test_files_and_row_groups_have_their_sizes() -> None:
    assert (FILE_ROWS, GROUP_ROWS) == (1_048_576, 131_072)


def test_part_names_sort_as_their_numbers() -> None:
    numbers = [0, 1, 9, 10, 99, 100, 9_999, 10_000, 99_999]
    names = [part_name(number) for number in numbers]
    assert names[0] == "part-00000.parquet"
    assert sorted(names) == names


@LAW
@given(counts())
def test_the_cut_is_that_of_a_plain_loop_with_every_tile_once_and_in_order(
    tiles: dict[str, int],
) -> None:
    files = cut_tiles(tiles)
    assert [list(file.stretches) for file in files] == naive_cut(tiles)
    assert [file.number for file in files] == list(range(len(files)))
    assert all(0 < file.rows <= MILLION for file in files)
    held: dict[str, int] = {}
    for country, start, stop in (s for file in files for s in file.stretches):
        assert start == held.get(country, 0)
        held[country] = stop
    assert list(held.items()) == [pair for pair in tiles.items() if pair[1]]


@pytest.mark.parametrize(
    ("tiles", "expected"),
    [
        ({}, []),
        ({"NO": 0}, []),
        ({"NO": MILLION}, [[("NO", 0, MILLION)]]),
        ({"NO": MILLION + 1}, [[("NO", 0, MILLION)], [("NO", MILLION, MILLION + 1)]]),
        (
            {"NO": 1, "RU": MILLION + 1, "VA": 1},
            [
                [("NO", 0, 1)],
                [("RU", 0, MILLION)],
                [("RU", MILLION, MILLION + 1)],
                [("VA", 0, 1)],
            ],
        ),
        ({"NO": MILLION - 1, "VA": 1}, [[("NO", 0, MILLION - 1), ("VA", 0, 1)]]),
        ({"NO": MILLION, "VA": 1}, [[("NO", 0, MILLION)], [("VA", 0, 1)]]),
    ],
)
def test_worked_cuts(tiles: dict[str, int], expected: list[list[tuple[str, int, int]]]) -> None:
    assert [list(file.stretches) for file in cut_tiles(tiles)] == expected


@LAW
@given(st.integers(0, MILLION), st.integers(0, MILLION))
def test_row_groups_cover_their_stretch_in_pieces_of_the_full_size(start: int, rows: int) -> None:
    cut = list(groups(start, start + rows))
    assert [row for low, high in cut for row in (low, high)][1:-1] == [
        edge for edge in range(start + 131_072, start + rows, 131_072) for _ in (0, 1)
    ]
    if rows:
        assert (cut[0][0], cut[-1][1]) == (start, start + rows)
    else:
        assert cut == []


WORDS = {"inclusion_rule": "center", "basis": "population", "site_id": "000001"}


def values(column: Column, rows: int) -> list[Any]:
    """Return values that the column may hold."""
    if column.type == "string":
        word = WORDS.get(column.name, "0" * 64 if "fingerprint" in column.name else "NO")
        return [word] * rows
    if column.type == "bool":
        return [True] * rows
    # dp, blocks and lane are narrow.
    limit = {"uint8": 12, "uint16": 1000}.get(column.type, rows or 1)
    return [number % limit for number in range(rows)]


def filled(dataset: Dataset, rows: int) -> pa.Table:
    """Return a table of a dataset with that many rows."""
    return pa.table(
        [pa.array(values(c, rows), c.arrow_type) for c in dataset.columns],
        schema=dataset.arrow_schema,
    )


PACKED = {dataset.id: dataset for dataset in load() if dataset.encodings}
PLAN = PACKED["s4_alloc_plan"]


@pytest.mark.parametrize("dataset", PACKED.values(), ids=PACKED)
def test_a_part_has_the_encodings_that_the_dictionary_names(
    tmp_path: Path, dataset: Dataset
) -> None:
    assert write(tmp_path / "a.parquet", dataset, [filled(dataset, 9)]) == 9
    group = pq.read_metadata(tmp_path / "a.parquet").row_group(0)
    for at, column in enumerate(dataset.columns):
        chunk, how = group.column(at), dataset.encodings[column.name]
        assert chunk.compression == "ZSTD"
        assert chunk.has_dictionary_page == (how == "DICTIONARY")
        wanted = "RLE_DICTIONARY" if how == "DICTIONARY" else how
        assert wanted in chunk.encodings, (column.name, chunk.encodings)


def test_the_datasets_that_states_publish_all_name_their_encodings() -> None:
    tiles = {"tile_index", "tile_bounds", "tile_weights"}
    assert PACKED.keys() >= tiles | {"s3_requirements", "s4_alloc_plan"}


def test_a_part_has_a_row_group_for_each_table_with_statistics_and_reads_back(
    tmp_path: Path,
) -> None:
    tables = [filled(PLAN, 3), filled(PLAN, 1), filled(PLAN, 5)]
    assert write(tmp_path / "a.parquet", PLAN, iter(tables)) == 9
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        assert file.schema_arrow.equals(PLAN.arrow_schema)
        assert file.metadata.metadata is None, "nothing of the library's own schema"
        assert file.num_row_groups == 3
        assert [file.read_row_group(number) for number in range(3)] == tables
        found = [file.metadata.row_group(0).column(at).statistics for at in range(4)]
    assert [(s.min, s.max) for s in found] == [(0, 2), ("NO", "NO"), (0, 2), (0, 2)]


def test_a_part_without_rows_is_a_file_that_says_so(tmp_path: Path) -> None:
    assert write(tmp_path / "a.parquet", PLAN, [PLAN.arrow_schema.empty_table()]) == 0
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 0


@pytest.mark.parametrize("dataset", PACKED.values(), ids=PACKED)
def test_the_same_rows_have_the_same_bytes_however_they_lie_in_memory(
    tmp_path: Path, dataset: Dataset
) -> None:
    rows = filled(dataset, 3000)
    held = [
        rows,
        pa.concat_tables([filled(dataset, 3000).slice(0, 1000), rows.slice(1000)]).combine_chunks(),
        pa.concat_tables([filled(dataset, 7), rows]).slice(7),
    ]
    written = set()
    for number, table in enumerate(held):
        path = tmp_path / f"{number}.parquet"
        write(path, dataset, [table])
        written.add(path.read_bytes())
    assert len(written) == 1


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(int=7))
    (tmp_path / f"set-{uuid.UUID(int=7).hex}.unfinished").symlink_to("/dev/full")
    with raises("E_STORAGE_FULL", r"a\.parquet"):
        write(tmp_path / "set/a.parquet", PLAN, [filled(PLAN, 9)])
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_two_workers_may_write_the_same_part_at_once(tmp_path: Path) -> None:
    path = tmp_path / "set/a.parquet"
    path.parent.mkdir()
    table = filled(PLAN, 9)
    seen = []

    def slowly() -> Iterator[pa.Table]:
        yield table
        # The other one starts later, ends earlier, and what it wrote stays readable.
        assert not path.exists()
        write(path, PLAN, [table, table])
        seen.append(path.read_bytes())
        yield table

    write(path, PLAN, slowly())
    assert seen == [path.read_bytes()]
    assert pq.read_table(path).num_rows == 18
    assert [file.name for file in tmp_path.rglob("*")] == ["set", "a.parquet"]


def test_a_part_that_cannot_be_finished_leaves_the_one_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "set/a.parquet"
    path.parent.mkdir()
    write(path, PLAN, [filled(PLAN, 9)])
    whole = path.read_bytes()

    def broken() -> Iterator[pa.Table]:
        yield filled(PLAN, 5)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        write(path, PLAN, broken())
    assert path.read_bytes() == whole
    assert [file.name for file in tmp_path.rglob("*")] == ["set", "a.parquet"]


def test_a_part_in_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with raises("E_DATA_ROOT_UNUSABLE", "taken"):
        write(tmp_path / "taken/a.parquet", PLAN, [filled(PLAN, 9)])


def test_a_constant_column_holds_one_value_in_all_rows() -> None:
    assert constant("NO", 3).to_pylist() == ["NO", "NO", "NO"]
    assert constant("NO", 0).to_pylist() == []
