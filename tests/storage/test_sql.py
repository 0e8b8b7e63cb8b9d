"""Queries of published tables spill to disk, clean up, and raise errors with codes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from published import raises
from segment1b.storage import sql
from segment1b.storage.sql import open_database, parquet_table


def test_a_query_that_needs_more_memory_spills_to_disk_and_cleans_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sql, "_MEMORY_BYTES", 64 << 20)
    with open_database() as database:
        rows = database.execute(
            "SELECT range, md5(range::TEXT) AS text FROM range(1500000) ORDER BY text"
        )
        assert len(rows.fetchmany(10)) == 10
        assert any(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"PAR1" * 7])
def test_an_error_of_the_database_has_a_code(tmp_path: Path, data: bytes) -> None:
    part = tmp_path / "part-00000.parquet"
    part.write_bytes(data)
    with raises("E_INPUT_UNREADABLE"), open_database() as database:
        database.execute(f"FROM {parquet_table([part])}").fetchall()


def test_other_errors_pass_through_unchanged() -> None:
    with pytest.raises(KeyboardInterrupt), open_database():
        raise KeyboardInterrupt
