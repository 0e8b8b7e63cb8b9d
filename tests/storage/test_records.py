"""Staged records, and the one function that writes files: no error of the disk is lost."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from published import raises
from segment1b.contracts import load
from segment1b.storage import records
from segment1b.storage.durable import write_file
from segment1b.storage.records import read_records, write_records

PAIR = np.dtype([("a", np.uint64), ("b", np.int64)])
PLAN = load()["s4_alloc_plan"]
#: Countries with tiles and the number of the file of each.
FILES = {"AT": 0, "DE": 0, "FR": 0, "GB": 3}
SOURCE = Path(__file__).parents[2] / "src/segment1b"

#: Calls that can lose the error of a write, or leave a file unsynced, and what to use instead.
LOSSY = {"tofile", "save", "savez", "savez_compressed", "savetxt", "write_text", "write_bytes"}


def pairs(count: int) -> np.ndarray:
    rows = np.zeros(count, PAIR)
    rows["a"], rows["b"] = np.arange(count), -np.arange(count)
    return rows


def test_records_come_back_as_they_were_appended(tmp_path: Path) -> None:
    path, rows = tmp_path / "rows", pairs(1000)
    assert write_records(path, rows[:1]) == 16
    assert write_records(path, rows[1:500], append=True) == 500 * 16
    assert write_records(path, rows[500:], append=True) == 1000 * 16
    assert (read_records(path, PAIR, 1000) == rows).all()
    assert len(read_records(tmp_path / "absent", PAIR, 0)) == 0


@pytest.mark.parametrize("append", [False, True])
def test_records_on_a_full_disk_raise_however_few_they_are(append: bool) -> None:
    # 384 bytes fit every buffer: the error comes with the flush.
    with raises("E_STORAGE_FULL"):
        write_records(Path("/dev/full"), pairs(24), append=append)


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


def split(folder: Path, *codes: str) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Stage tables of rows of some countries; return the counts and the rows by country."""
    tables, written = list[pa.Table](), dict[str, list[int]]()
    for some in map(str.split, codes):
        first = sum(map(len, tables))
        rows = pa.array(range(first, first + len(some)), pa.uint64())
        country = pa.array(some).dictionary_encode()
        tables.append(pa.table({"merchant_id": rows, records.COUNTRY: country}))
        for code, row in zip(some, rows.to_pylist(), strict=True):
            written.setdefault(code, []).append(row)
    return records.split_by_country(folder, PLAN, ["merchant_id"], tables, FILES), written


def read_back(folder: Path, file: int, rows: dict[str, int]) -> dict[str, list[int]]:
    found = records.read_split(folder, PLAN, ["merchant_id"], file, rows)
    return {code: own["merchant_id"].tolist() for code, own in found.items()}


def test_rows_of_several_tables_come_back_by_country_in_their_order(tmp_path: Path) -> None:
    counts, written = split(tmp_path, "GB DE GB FR XX", "DE", "FR AT GB")
    assert counts == {code: len(rows) for code, rows in written.items()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "3"]
    for file in (0, 3):
        codes = [code for code in FILES if FILES[code] == file]
        found = read_back(tmp_path, file, {code: counts[code] for code in codes})
        assert found == {code: written[code] for code in codes}


@pytest.mark.parametrize("rows", [{"DE": 1, "FR": 2}, {"DE": 3}, {"AT": 1, "DE": 1, "FR": 1}])
@pytest.mark.code("E_STAGING_DAMAGED")
def test_rows_of_other_countries_than_were_written_are_refused(
    tmp_path: Path, rows: dict[str, int]
) -> None:
    split(tmp_path, "DE DE FR")
    with raises("E_STAGING_DAMAGED"):
        read_back(tmp_path, 0, rows)


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
