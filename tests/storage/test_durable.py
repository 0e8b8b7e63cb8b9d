"""Writes that survive a crash, and the operating system's refusals as coded errors."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
import uuid
from pathlib import Path

import pytest

from published import raises
from segment1b.errors import Segment1BError
from segment1b.pipeline.worlds import link_files
from segment1b.storage.durable import (
    coded_os_errors,
    is_temporary,
    make_folder,
    make_temporary,
    read_json,
    regular_file,
    remove_temporary,
    replace_bytes,
    replace_json,
)
from shapes import without_privilege


def test_a_file_is_written_with_its_folders_and_replaced_for_new_readers(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    target = tmp_path / "a/b/c.bin"
    replace_bytes(target, b"\0old" * 1000, scratch)
    with target.open("rb") as old:
        replace_bytes(target, b"new", scratch)
        assert old.read() == b"\0old" * 1000
    assert target.read_bytes() == b"new"
    assert list(scratch.iterdir()) == []


def test_json_is_written_in_its_canonical_form(tmp_path: Path) -> None:
    replace_json(tmp_path / "a.json", {"b": 1, "a": "Å"}, tmp_path)
    assert (tmp_path / "a.json").read_bytes() == '{"a":"Å","b":1}\n'.encode()
    assert read_json(tmp_path / "a.json") == {"a": "Å", "b": 1}


def test_a_full_disk_is_named_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "a.json"
    replace_json(target, {"a": 1}, tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with raises("E_STORAGE_FULL", "No space left"):
        replace_json(target, {"a": 2}, tmp_path)
    assert read_json(target) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_no_link_laid_for_the_file_on_its_way_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, victim = tmp_path / "a.json", tmp_path / "victim"
    victim.write_bytes(b"precious")
    # The name that another process could guess in the past, and one that it has seen.
    (tmp_path / f"a.json.{os.getpid()}.tmp").symlink_to(victim)
    replace_bytes(target, b"new", tmp_path)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=1))
    seen = tmp_path / f".{uuid.uuid4().hex}.tmp"
    seen.symlink_to(victim)
    with pytest.raises(Segment1BError, match="File exists"):
        replace_bytes(target, b"newer", tmp_path)
    assert (target.read_bytes(), victim.read_bytes()) == (b"new", b"precious")
    assert seen.is_symlink()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_file_has_the_mode_that_the_umask_gives(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        replace_bytes(tmp_path / "a", b"", tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


def test_a_file_in_place_of_a_folder_and_a_folder_in_place_of_a_file_are_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "taken").write_text("a file")
    for inside in (tmp_path / "taken", tmp_path / "taken/a", tmp_path / "taken/a/b"):
        with raises("E_DATA_ROOT_UNUSABLE", "taken"):
            make_folder(inside)
    assert (tmp_path / "taken").read_text() == "a file"
    (tmp_path / "report.json").mkdir()
    with raises("E_DATA_ROOT_UNUSABLE", r"report\.json"):
        replace_bytes(tmp_path / "report.json", b"x", tmp_path)


@pytest.mark.parametrize("mode", [0o555, 0o400])
def test_a_folder_that_may_not_be_written_or_entered_is_refused(mode: int) -> None:
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(mode)
        with without_privilege(), raises("E_DATA_ROOT_UNUSABLE"):
            make_folder(Path(base) / "a/b")


def test_folders_are_made_once(tmp_path: Path) -> None:
    make_folder(tmp_path / "a/b")
    (tmp_path / "a/b/file").touch()
    make_folder(tmp_path / "a/b")
    assert (tmp_path / "a/b/file").exists()


@pytest.mark.parametrize(
    ("code", "number"),
    [
        *(("E_STORAGE_FULL", number) for number in (errno.ENOSPC, errno.EDQUOT)),
        *(
            ("E_DATA_ROOT_UNUSABLE", number)
            for number in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR)
        ),
    ],
)
def test_an_error_of_the_system_has_a_code_and_a_place(
    tmp_path: Path, code: str, number: int
) -> None:
    with raises(code, str(tmp_path)), coded_os_errors(tmp_path):
        raise OSError(number, os.strerror(number))


def test_an_error_that_carries_no_number_passes_through(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no GeoTIFF"), coded_os_errors(tmp_path):
        raise OSError("no GeoTIFF")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": ' + b"1" * 5000 + b"}"]
)
def test_what_is_no_json_is_refused_by_name(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with raises("E_INPUT_UNREADABLE", r"a\.json is not JSON"):
        read_json(tmp_path / "a.json")


def test_a_regular_file_is_accepted_by_name_or_link_and_nothing_else_is_opened(
    tmp_path: Path,
) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").symlink_to("a")
    for path in (tmp_path / "a", tmp_path / "b"):
        assert regular_file(path) == path
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "broken").symlink_to("absent")
    names = (
        "",
        "absent",
        "broken",
        "fifo",
        "a\0b",
        "/dev/zero",
        "/vsicurl/http://127.0.0.1:1/a.tif",
    )
    for path in (tmp_path / name for name in names):
        with raises("E_INPUT_UNREADABLE"):
            regular_file(path)


def test_what_is_temporary_is_not_flushed_until_it_is_linked_to_what_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: flushed.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
    )
    folder = make_temporary("segment1b-test-")
    try:
        replace_bytes(folder / "a/b.bin", b"1", folder)
        assert (folder / "a/b.bin").read_bytes() == b"1"
        link_files(folder / "a", folder / "linked", ["b.bin"])
        assert flushed == []
        link_files(folder / "a", tmp_path / "kept", ["b.bin"])
        assert str(tmp_path / "kept/b.bin") in flushed
    finally:
        remove_temporary(folder)
    assert (folder.exists(), is_temporary(folder / "a")) == (False, False)


def test_a_path_is_asked_for_while_temporary_folders_come_and_go(tmp_path: Path) -> None:
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            remove_temporary(make_temporary("segment1b-test-"))

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert not any(is_temporary(tmp_path) for _ in range(20_000))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
