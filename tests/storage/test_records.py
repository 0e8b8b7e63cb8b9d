"""Staged records, and the one function that writes files: no error of the disk is lost."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from published import raises
from segment1b.storage.durable import write_file
from segment1b.storage.records import read_records, write_records

PAIR = np.dtype([("a", np.uint64), ("b", np.int64)])
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
