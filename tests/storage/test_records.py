"""Staged records, and the one function that writes files: no error of the disk is lost."""

from __future__ import annotations

import ast
import itertools
import string
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from published import raises
from segment1b.contracts import load
from segment1b.storage import records
from segment1b.storage.durable import write_file
from segment1b.storage.records import Split, read_records, write_records

PAIR = np.dtype([("a", np.uint64), ("b", np.int64)])
PLAN = load()["s4_alloc_plan"]
SOURCE = Path(__file__).parents[2] / "src/segment1b"

#: Calls that can lose the error of a write, or leave a file unsynced, and what to use instead.
LOSSY = {"tofile", "save", "savez", "savez_compressed", "savetxt", "write_text", "write_bytes"}


def pairs(count: int) -> np.ndarray:
    rows = np.zeros(count, PAIR)
    rows["a"], rows["b"] = np.arange(count), -np.arange(count)
    return rows


def test_records_come_back_as_they_were_written_whole_or_a_stretch(tmp_path: Path) -> None:
    path, rows = tmp_path / "rows", pairs(1000)
    write_records(path, pairs(7))
    write_records(path, rows)
    assert (read_records(path, PAIR, 1000) == rows).all()
    assert (read_records(path, PAIR, 1000, (990, 10)) == rows[990:]).all()
    assert len(read_records(tmp_path / "absent", PAIR, 0)) == 0
    assert [one.name for one in tmp_path.iterdir()] == ["rows"]


def test_a_few_bytes_on_a_full_disk_raise() -> None:
    # 384 bytes fit every buffer: the error comes with the flush.
    with raises("E_STORAGE_FULL"):
        write_file(Path("/dev/full"), pairs(24).tobytes(), sync=False)


def test_records_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.mkdir()
    with raises("E_DATA_ROOT_UNUSABLE"):
        write_records(path, pairs(3))
    assert [one.name for one in tmp_path.iterdir()] == ["rows"]


def test_a_file_that_is_shorter_than_what_was_written_is_a_full_disk() -> None:
    with raises("E_STORAGE_FULL"):
        write_file(Path("/dev/null"), b"24 bytes that are lost..", sync=False)


@pytest.mark.parametrize("size", [0, 15, 16, 47, 49, 64])
@pytest.mark.code("E_STAGING_DAMAGED")
def test_records_of_another_size_than_was_written_are_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "rows"
    path.write_bytes(bytes(size))
    with raises("E_STAGING_DAMAGED") as caught:
        read_records(path, PAIR, 3)
    assert caught.value.scope["path"] == str(path)


def split(path: Path, *codes: str) -> tuple[Split, dict[str, list[int]]]:
    """Stage tables of rows of some countries; return the split and the rows by country."""
    tables, written = list[pa.Table](), dict[str, list[int]]()
    for some in map(str.split, codes):
        first = sum(map(len, tables))
        rows = pa.array(range(first, first + len(some)), pa.uint64())
        country = pa.array(some, pa.string()).dictionary_encode()
        tables.append(pa.table({"merchant_id": rows, records.COUNTRY: country}))
        for code, row in zip(some, rows.to_pylist(), strict=True):
            written.setdefault(code, []).append(row)
    return records.split_by_country(path, PLAN, ["merchant_id"], tables), written


@pytest.mark.parametrize("rows_of_a_file", [1, 2, 3, 100])
def test_rows_of_several_tables_come_back_by_country_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_of_a_file: int
) -> None:
    monkeypatch.setattr(records, "FILE_ROWS", rows_of_a_file)
    staged, written = split(tmp_path / "0", "GB DE GB FR XX", "DE", "", "FR AT GB")
    assert records.rows_of(staged) == {code: len(rows) for code, rows in written.items()}
    found = records.read_split(PLAN, ["merchant_id"], staged)
    assert {code: own["merchant_id"].tolist() for code, own in found.items()} == written


def test_many_countries_keep_the_order_of_their_rows(tmp_path: Path) -> None:
    codes = [f"{a}{b}" for a, b in itertools.product(string.ascii_uppercase, repeat=2)]
    listed = np.random.default_rng(1).permutation(codes * 20).tolist()
    staged, written = split(tmp_path / "0", " ".join(listed))
    found = records.read_split(PLAN, ["merchant_id"], staged)
    assert {code: own["merchant_id"].tolist() for code, own in found.items()} == written
    assert len(found) == len(codes) > 256


def test_two_writers_of_one_file_leave_it_whole(tmp_path: Path) -> None:
    path, rows = tmp_path / "rows", pairs(100_000)
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write_records, path, rows) for _ in range(20)]
        while any(not writer.done() for writer in writers):
            if path.exists():
                assert (read_records(path, PAIR, len(rows)) == rows).all()
    assert [one.name for one in tmp_path.iterdir()] == ["rows"]


def test_a_table_without_rows_has_no_country(tmp_path: Path) -> None:
    assert split(tmp_path / "0", "", "")[0] == {}


@pytest.mark.code("E_STAGING_DAMAGED")
def test_a_staged_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    staged, _ = split(tmp_path / "0", "DE DE FR")
    path = staged["DE"][0].path
    path.write_bytes(path.read_bytes() + bytes(8))
    with raises("E_STAGING_DAMAGED"):
        records.read_split(PLAN, ["merchant_id"], staged)


def test_no_call_in_the_program_can_lose_the_error_of_a_write() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno} {node.func.attr}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LOSSY
    ]
    assert found == []
