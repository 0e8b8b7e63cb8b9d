"""Reading: declared and committed data only, of today's surfaces, with a count of the bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from published import KNOWN, S3, TOKENS, commit, publish, raises, requirements
from segment1b.storage import reader as storage_reader
from segment1b.storage import snapshot
from segment1b.storage.durable import read_json, replace_json
from segment1b.storage.reader import Reader, matching_groups
from segment1b.storage.snapshot import Partition, Snapshot
from shapes import dataset, flip, write_files

FILES = [
    [requirements((1, "NO", 2), (1, "SE", 1)), requirements((2, "AD", 5), (3, "NO", 1))],
    [requirements((4, "NO", 7)), requirements((2**63 - 1, "VA", 8))],
]
SURFACES = {"world_countries": "3" * 64}


def reader(root: Path, **more: Any) -> Reader:
    """Return the reader of a state that reads s3_requirements and one surface."""
    given: dict[str, Any] = {
        "snapshot": Snapshot(root, KNOWN, more.pop("tokens", TOKENS)),
        "allowed": ("s3_requirements", "world_countries"),
        "disallowed_code": "E409_DISALLOWED_READ",
        "missing": {"s3_requirements": "E401_NO_S3_REQUIREMENTS"},
        "surfaces": SURFACES,
        "stale_code": "E406_TOKEN_MISMATCH",
    }
    return Reader(**{**given, **more})


def laid(root: Path) -> Path:
    """Publish and commit s3_requirements; return its folder."""
    commit(root, publish(root, *FILES))
    return root / S3.locate(TOKENS)


def rows(tables: list[pa.Table]) -> list[tuple[int, str, int]]:
    return [row for t in tables for row in zip(*(c.to_pylist() for c in t.columns), strict=True)]


ALL = rows([group for file in FILES for group in file])
COLUMNS = ["merchant_id", "legal_country_iso", "n_sites"]


def test_a_dataset_that_the_state_has_not_declared_is_refused_by_its_code(tmp_path: Path) -> None:
    laid(tmp_path)
    for act in (
        lambda: reader(tmp_path, allowed=("tile_index",)).partition("s3_requirements"),
        lambda: reader(tmp_path).file("iso3166_canonical_2024"),
        lambda: reader(tmp_path).dataset("no_such_dataset"),
    ):
        with raises("E409_DISALLOWED_READ"):
            act()


def test_what_is_absent_is_refused_by_the_code_for_it_with_its_path(tmp_path: Path) -> None:
    with raises("E401_NO_S3_REQUIREMENTS", S3.locate(TOKENS)) as caught:
        reader(tmp_path).partition("s3_requirements")
    assert caught.value.hint == "run S3 first"
    with raises("E_REFERENCE_SURFACE_MISSING", KNOWN["world_countries"].locate({})):
        reader(tmp_path).file("world_countries")


def test_a_partition_needs_its_report_and_a_report_its_partition(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path, KNOWN, TOKENS)
    receipt = publish(tmp_path, *FILES)
    assert snapshot.partition(S3.id) is None
    with raises("E401_NO_S3_REQUIREMENTS"):
        reader(tmp_path).partition("s3_requirements")
    commit(tmp_path, receipt)
    assert snapshot.partition(S3.id) is not None
    (tmp_path / S3.locate(TOKENS)).rename(tmp_path / "gone")
    assert snapshot.partition(S3.id) is None


def test_a_committed_partition_is_found_at_its_own_identity_alone(tmp_path: Path) -> None:
    laid(tmp_path)
    found = Snapshot(tmp_path, KNOWN, TOKENS).partition(S3.id)
    assert found is not None
    assert [path.name for path in found.paths] == ["part-00000.parquet", "part-00001.parquet"]
    assert found.receipt.rows == len(ALL)
    assert Snapshot(tmp_path, KNOWN, TOKENS | {"seed": 43}).partition(S3.id) is None


@pytest.mark.parametrize(
    "hurt",
    [
        lambda first, _: first.write_bytes(first.read_bytes() + b"x"),
        lambda _, second: second.unlink(),
        lambda _, second: shutil.copy(second, second.with_name("part-00002.parquet")),
        lambda _, second: second.rename(second.with_name("part-00009.parquet")),
    ],
    ids=["longer", "fewer", "more", "renamed"],
)
def test_files_that_are_not_those_of_the_receipt_are_refused(
    tmp_path: Path, hurt: Callable[[Path, Path], object]
) -> None:
    hurt(*sorted(laid(tmp_path).iterdir()))
    with raises("E313_NONDETERMINISTIC_OUTPUT"):
        reader(tmp_path).partition("s3_requirements")


def test_a_byte_flipped_in_place_is_found_when_the_bytes_are_verified(tmp_path: Path) -> None:
    part = laid(tmp_path) / "part-00000.parquet"
    assert Snapshot(tmp_path, KNOWN, TOKENS).partition(S3.id, verify=True) is not None
    flip(part)
    assert Snapshot(tmp_path, KNOWN, TOKENS).partition(S3.id) is not None
    with raises("E313_NONDETERMINISTIC_OUTPUT"):
        Snapshot(tmp_path, KNOWN, TOKENS).partition(S3.id, verify=True)


def edited(edit: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """Return a function that edits a report's value."""

    def spoil(data: bytes) -> bytes:
        report = json.loads(data)
        edit(report)
        return json.dumps(report).encode()

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        edited(lambda report: report.pop("determinism_receipt")),
        edited(lambda report: report["determinism_receipt"].pop("files")),
        edited(lambda report: report.update(determinism_receipt=None)),
        edited(lambda report: report["determinism_receipt"].update(files=[1])),
        edited(lambda report: report.pop("input_digests")),
        edited(lambda report: report.update(input_digests=[])),
        *(lambda _, text=text: text for text in (b"", b"[]", b"{", b"7")),
    ],
)
def test_a_report_that_carries_no_receipt_or_is_none_is_named(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    laid(tmp_path)
    path = tmp_path / KNOWN["s3_run_report"].locate(TOKENS)
    path.write_bytes(spoil(path.read_bytes()))
    with raises("E_INPUT_UNREADABLE", str(path)):
        reader(tmp_path).partition("s3_requirements")


def test_a_partition_made_from_another_surface_is_stale(tmp_path: Path) -> None:
    laid(tmp_path)
    assert reader(tmp_path).partition("s3_requirements").receipt.rows == len(ALL)
    changed = reader(tmp_path, surfaces={"world_countries": "9" * 64})
    with raises("E406_TOKEN_MISMATCH", f"{'3' * 64}.*{'9' * 64}") as caught:
        changed.partition("s3_requirements")
    assert caught.value.scope["surface"] == "world_countries"


def test_a_surface_that_a_partition_never_saw_cannot_make_it_stale(tmp_path: Path) -> None:
    laid(tmp_path)
    other = reader(tmp_path, surfaces={"tz_world_2025a": "9" * 64})
    assert other.partition("s3_requirements").receipt.rows == len(ALL)


def read(
    root: Path, where: dict[str, Any] | None = None, columns: list[str] | None = None, **more: Any
) -> tuple[list[pa.Table], int, Partition]:
    """Read the partition; return its tables and the bytes that were counted."""
    mine = reader(root)
    found = mine.partition("s3_requirements")
    tables = list(mine.row_groups(found, columns or COLUMNS, where, **more))
    return tables, mine.bytes_read["s3_requirements"], found


def chunk_bytes(part: Partition, groups: list[tuple[int, int]], columns: list[str]) -> int:
    """Return the compressed bytes of columns in row groups (file, group)."""
    total = 0
    for file, group in groups:
        info = pq.read_metadata(part.paths[file]).row_group(group)
        chunks = [info.column(at) for at in range(info.num_columns)]
        total += sum(c.total_compressed_size for c in chunks if c.path_in_schema in columns)
    return total


def test_row_groups_come_in_writer_order_with_their_strings_as_dictionaries(
    tmp_path: Path,
) -> None:
    laid(tmp_path)
    tables, _, _ = read(tmp_path)
    assert rows(tables) == ALL
    assert [table.num_rows for table in tables] == [2, 2, 1, 1]
    assert all(pa.types.is_dictionary(t.column("legal_country_iso").type) for t in tables)


@pytest.mark.parametrize(
    ("where", "groups"),
    [
        ({}, [(0, 0), (0, 1), (1, 0), (1, 1)]),
        ({"merchant_id": (2, 3)}, [(0, 1)]),
        ({"merchant_id": (1, 2)}, [(0, 0), (0, 1)]),
        ({"merchant_id": (5, 2**63 - 2)}, []),
        ({"merchant_id": (2**63 - 1, 2**64 - 1)}, [(1, 1)]),
        ({"legal_country_iso": ("VA", "VA")}, [(1, 1)]),
        ({"legal_country_iso": ("AD", "AD")}, [(0, 1)]),
        ({"merchant_id": (3, 4), "legal_country_iso": ("NO", "NO")}, [(0, 1), (1, 0)]),
        ({"merchant_id": (3, 4), "legal_country_iso": ("SE", "SE")}, []),
    ],
)
def test_only_row_groups_that_can_match_are_read_and_counted(
    tmp_path: Path, where: dict[str, Any], groups: list[tuple[int, int]]
) -> None:
    laid(tmp_path)
    tables, count, part = read(tmp_path, where)
    assert rows(tables) == rows([FILES[file][group] for file, group in groups])
    assert count == chunk_bytes(part, groups, COLUMNS)


def test_only_the_wanted_columns_are_read_and_counted(tmp_path: Path) -> None:
    laid(tmp_path)
    tables, count, part = read(tmp_path, columns=["n_sites"])
    assert all(table.column_names == ["n_sites"] for table in tables)
    assert count == chunk_bytes(part, [(0, 0), (0, 1), (1, 0), (1, 1)], ["n_sites"])
    assert 0 < count < read(tmp_path)[1]


def test_only_the_files_asked_for_are_opened(tmp_path: Path) -> None:
    folder = laid(tmp_path)
    (folder / "part-00000.parquet").write_bytes(
        b"x" * (folder / "part-00000.parquet").stat().st_size
    )
    tables, _, _ = read(tmp_path, files=[1])
    assert rows(tables) == rows(FILES[1])


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    part = laid(tmp_path) / "part-00001.parquet"
    part.write_bytes(b"x" * part.stat().st_size)
    with raises("E_INPUT_UNREADABLE", str(part)):
        read(tmp_path)


def test_a_file_that_is_read_from_end_to_end_counts_its_size(tmp_path: Path) -> None:
    path = tmp_path / KNOWN["world_countries"].locate({})
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 777)
    mine = reader(tmp_path)
    assert mine.file("world_countries") == path
    assert mine.bytes_read["world_countries"] == 0
    assert mine.whole_file("world_countries") == path
    assert mine.bytes_read["world_countries"] == 777


def test_statistics_of_unsigned_numbers_prune_above_two_to_the_63(tmp_path: Path) -> None:
    of = dataset({"tile_id": "uint64"}, ["tile_id"])
    groups = pa.table([[1, 2, 2**63 + 5, 2**64 - 1]], schema=of.arrow_schema)
    write_files(tmp_path, [groups], row_group_size=2)
    with pq.ParquetFile(tmp_path / "part-00000.parquet") as file:
        found = {
            bounds: [group for group, _ in matching_groups(file, ["tile_id"], {"tile_id": bounds})]
            for bounds in [(0, 5), (2**63, 2**64 - 1), (3, 2**63 + 4), (2, 2**63 + 5)]
        }
    assert found == {
        (0, 5): [0],
        (2**63, 2**64 - 1): [1],
        (3, 2**63 + 4): [],
        (2, 2**63 + 5): [0, 1],
    }


def test_a_file_without_statistics_is_read_whole(tmp_path: Path) -> None:
    of = dataset({"tile_id": "uint64"}, ["tile_id"])
    groups = pa.table([[1, 2, 3, 4]], schema=of.arrow_schema)
    write_files(tmp_path, [groups], row_group_size=2, write_statistics=False)
    with pq.ParquetFile(tmp_path / "part-00000.parquet") as file:
        found = list(matching_groups(file, ["tile_id"], {"tile_id": (9, 9)}))
    assert [group for group, _ in found] == [0, 1]


@pytest.mark.parametrize(
    ("words", "groups"), [({"SE"}, [0]), ({"AD", "VA"}, [1, 3]), ({"NO"}, [0, 1, 2]), ({"ZZ"}, [])]
)
def test_groups_that_hold_none_of_some_words_are_not_read(
    tmp_path: Path, words: set[str], groups: list[int]
) -> None:
    laid(tmp_path)
    tables, count, found = read(tmp_path, {"legal_country_iso": frozenset(words)})
    assert rows(tables) == rows([[*FILES[0], *FILES[1]][group] for group in groups])
    assert count == chunk_bytes(found, [divmod(group, 2) for group in groups], COLUMNS)


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_tables_are_the_row_groups_however_many_are_read_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    laid(tmp_path)
    whole = read(tmp_path)
    monkeypatch.setattr(storage_reader, "GROUP_ROWS", most)
    tables, count, _ = read(tmp_path)
    assert [table.num_rows for table in tables] == [2, 2, 1, 1]
    assert (rows(tables), count) == (ALL, whole[1])


def test_a_run_report_is_parsed_again_when_it_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, parsed = tmp_path / "s3_run_report.json", list[Path]()

    def parse(path: Path) -> Any:
        parsed.append(path)
        return read_json(path)

    monkeypatch.setattr(snapshot, "read_json", parse)
    for value, count in (({"a": 1}, 1), ({"a": 2}, 2)):
        replace_json(path, value, tmp_path)
        assert snapshot.read_report(path) == snapshot.read_report(path) == value
        assert len(parsed) == count
