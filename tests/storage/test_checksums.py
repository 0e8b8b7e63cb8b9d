"""SHA256SUMS: what coreutils accept is written, and what they would not notice is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from segment1b.errors import Segment1BError
from segment1b.storage.checksums import verify_sums, write_sums


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a" / "seed=42").mkdir(parents=True)
    for name in ("a/seed=42/part-00000.parquet", "a/B.json", "b", "Z with space.txt"):
        (tmp_path / name).write_bytes(name.encode())
    write_sums(tmp_path)
    return tmp_path


def test_coreutils_read_it(folder: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True)
    listed = [line[66:] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert listed == ["Z with space.txt", "a/B.json", "a/seed=42/part-00000.parquet", "b"]
    assert list(verify_sums(folder)) == listed


def test_what_coreutils_write_is_read(folder: Path) -> None:
    """In text and in binary mode, when the names are in ASCII order."""
    names = sorted(verify_sums(folder))
    for mode in ("--text", "--binary"):
        done = subprocess.run(
            ["sha256sum", mode, *names], cwd=folder, check=True, capture_output=True
        )
        (folder / "SHA256SUMS").write_bytes(done.stdout)
        assert sorted(verify_sums(folder)) == names


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no digest  b", "line 1 is not"),
        ("0" * 64 + "  ../b", "line 1 is not"),
        ("0" * 64 + "  /b", "line 1 is not"),
        ("0" * 63 + "  b", "line 1 is not"),
        ("0" * 64 + "  Z", "listed but absent"),
    ],
)
def test_a_line_of_another_form_is_refused(folder: Path, line: str, said: str) -> None:
    sums = folder / "SHA256SUMS"
    sums.write_text(f"{line}\n{sums.read_text()}")
    with pytest.raises(Segment1BError, match=said):
        verify_sums(folder)


def test_a_name_below_a_linked_folder_is_refused(folder: Path) -> None:
    (folder / "a").rename(folder.parent / "elsewhere")
    (folder / "a").symlink_to(folder.parent / "elsewhere")
    with pytest.raises(Segment1BError, match="symbolic link"):
        verify_sums(folder)
