"""Names of lists: what can be one, what a name or prefix finds, which list is the default."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segment1b import contracts
from segment1b.config import RunSettings
from segment1b.contracts.urls import check_name, split_list
from segment1b.errors import Segment1BError
from segment1b.outlets import list_names
from segment1b.outlets.list_names import (
    default_list,
    find_list,
    named_tokens,
    outlet_lists,
    record_list,
)

KNOWN = contracts.load()
A, B, C = "ab12" + "0" * 60, "ab13" + "0" * 60, "c" * 64


def hold(root: Path, *fingerprints: str, dataset: str = "validation_bundle_1A") -> Path:
    """Lay an empty folder where a list has a dataset."""
    for one in fingerprints:
        tokens = {"manifest_fingerprint": one, "seed": 42}
        (root / KNOWN[dataset].locate(tokens)).mkdir(parents=True)
    return root


def record(root: Path, fingerprint: str, name: str | None = None, file: str = "my.csv") -> str:
    (root / ".staging").mkdir(parents=True, exist_ok=True)
    return record_list(root, KNOWN, fingerprint, name, Path(file), root / ".staging")


@given(st.text() | st.from_regex(r"[a-zA-Z0-9._-]{1,66}", fullmatch=True))
def test_a_name_is_1_to_64_safe_characters_and_no_prefix_of_a_fingerprint(name: str) -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    safe = 1 <= len(name) <= 64 and set(name) <= set(letters + "._-") and name[0] in letters
    hexadecimal = len(name) >= 4 and set(name) <= set("0123456789abcdefABCDEF")
    if safe and not hexadecimal:
        check_name(name)
        assert split_list(f"absent:{name}") == (Path("absent"), name)
        assert RunSettings(outlets=Path("a.csv"), list_name=name).list_name == name
        return
    with pytest.raises(Segment1BError, match=r"(?s)^E_USAGE: .* cannot be the name of a list"):
        RunSettings(outlets=Path("a.csv"), list_name=name)


@given(st.text(min_size=1).filter(lambda text: "/" not in text and "\0" not in text))
def test_the_name_of_any_file_can_be_one(stem: str) -> None:
    check_name(list_names.safe_name(Path(stem)))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("q3-portfolio.csv", "q3-portfolio"),
        ("a/b/March list (2).parquet", "March-list-2"),
        ("2024.csv", "list-2024"),
        ("été.csv", "t"),
        ("-", "list"),
        ("..csv", "list"),
        ("x" * 80, "x" * 64),
    ],
)
def test_the_default_name_is_the_stem_made_safe(tmp_path: Path, file: str, name: str) -> None:
    assert record(hold(tmp_path, C), C, file=file) == name
    (found,) = outlet_lists(tmp_path, KNOWN)
    assert (found.name, found.file, found.is_whole) == (name, Path(file).name, True)


def test_a_list_is_found_by_name_fingerprint_and_unique_prefix(tmp_path: Path) -> None:
    record(hold(tmp_path, A, B, C), A, "q3-portfolio")
    for text in ("q3-portfolio", "ab12", "AB12", A[:20], A):
        assert find_list(tmp_path, KNOWN, text) == A
        assert named_tokens(tmp_path, KNOWN, {"list": text}) == {"manifest_fingerprint": A}
    assert find_list(tmp_path, KNOWN, "cccc") == C
    # A whole fingerprint is for its reader to judge.
    assert find_list(tmp_path, KNOWN, "e" * 64) == "e" * 64


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("q3-portfolo", r"holds no outlet list 'q3-portfolo' \(did you mean 'q3-portfolio'\?\)"),
        ("nothing", r"holds no outlet list 'nothing' \(known: ab130000, cccccccc, q3-portfolio\)"),
        ("ab1", "holds no outlet list 'ab1'"),
        ("dddd", "holds no outlet list 'dddd'"),
        ("../q3-portfolio", "holds no outlet list '../q3-portfolio'"),
        ("\x1b[2J", r"holds no outlet list '\\x1b\[2J'"),
        ("*", r"holds no outlet list '\*'"),
    ],
)
@pytest.mark.code("E_USAGE")
def test_an_unknown_name_is_answered_with_the_nearest(
    tmp_path: Path, text: str, problem: str
) -> None:
    record(hold(tmp_path, A, B, C), A, "q3-portfolio")
    with pytest.raises(Segment1BError, match=f"^E_USAGE: .* {problem}"):
        find_list(tmp_path, KNOWN, text)


def test_an_ambiguous_prefix_names_both_lists(tmp_path: Path) -> None:
    record(hold(tmp_path, C, A, "ab12" + "1" * 60), A, "mine")
    with pytest.raises(Segment1BError, match=rf"ab121111 \(ab12.* and mine \({A}\) \(give more"):
        find_list(tmp_path, KNOWN, "ab12")


def test_a_root_without_lists_says_how_to_import_one(tmp_path: Path) -> None:
    with pytest.raises(Segment1BError, match="segment1b outlets import"):
        find_list(tmp_path / "absent", KNOWN, "mine")


@pytest.mark.code("E_LIST_NAME_TAKEN")
def test_the_name_of_another_list_is_refused_and_a_default_that_is_taken_extended(
    tmp_path: Path,
) -> None:
    record(hold(tmp_path, A, B), A, "mine")
    with pytest.raises(Segment1BError, match=f"^E_LIST_NAME_TAKEN: .*{A}.*--name"):
        record(tmp_path, B, "mine")
    assert [one.name for one in outlet_lists(tmp_path, KNOWN)] == [None, "mine"]
    assert record(tmp_path, B, file="mine.csv") == f"mine-{B[:8]}"


def test_a_default_name_is_extended_until_it_is_free(tmp_path: Path) -> None:
    other = B[:8] + "1" * 56
    record(hold(tmp_path, A, B, C), A, "mine")
    record(tmp_path, C, f"mine-{B[:8]}")
    assert record(tmp_path, B, file="mine.csv") == f"mine-{B[:9]}"
    record(hold(tmp_path, other), other, "x" * 64)
    remaining = hold(tmp_path, "d" * 64)
    assert record(remaining, "d" * 64, file="x" * 70) == "x" * 55 + "-dddddddd"


def test_of_two_lists_with_one_name_none_is_renamed_and_the_fingerprint_tells_them_apart(
    tmp_path: Path,
) -> None:
    for fingerprint in (A, B):
        record(hold(tmp_path, fingerprint), fingerprint, f"list-{fingerprint[:4]}")
        path = tmp_path / KNOWN["outlet_list"].locate({"manifest_fingerprint": fingerprint})
        path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "mine"}))
    with pytest.raises(Segment1BError, match=rf"{A}.*{B}.*\(give the fingerprint\)"):
        find_list(tmp_path, KNOWN, "mine")
    for fingerprint in (A, B, A):
        assert record(tmp_path, fingerprint, file="other.csv") == "mine"
    with pytest.raises(Segment1BError, match=f"^E_LIST_NAME_TAKEN: .*{B}"):
        record(tmp_path, A, "mine")


def test_a_list_keeps_its_name_until_it_is_given_another(tmp_path: Path) -> None:
    record(hold(tmp_path, A), A, "mine")
    assert record(tmp_path, A, file="other.csv") == "mine"
    assert record(tmp_path, A, "yours") == "yours"
    with pytest.raises(Segment1BError, match="holds no outlet list 'mine'"):
        find_list(tmp_path, KNOWN, "mine")


def test_an_import_that_is_repeated_changes_nothing(tmp_path: Path) -> None:
    record(hold(tmp_path, A), A)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    record(tmp_path, A)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


def test_the_list_imported_last_is_the_default_and_named_in_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hold(tmp_path, A, B, C)
    for fingerprint in (A, B, A):
        record(tmp_path, fingerprint, f"list-{fingerprint[:4]}")
        caplog.clear()
        assert default_list(tmp_path, KNOWN, [C]) == fingerprint
        (line,) = caplog.records
        assert line.levelno == logging.WARNING
        assert f"using outlet list list-{fingerprint[:4]}, imported last of 3" in line.message


def test_one_list_is_the_default_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert default_list(tmp_path, KNOWN, []) is None
    assert default_list(hold(tmp_path, A), KNOWN, [A]) == A
    assert caplog.records == []


def test_without_dates_the_only_list_that_fits_is_taken_and_several_are_refused(
    tmp_path: Path,
) -> None:
    hold(tmp_path, A, B)
    assert default_list(tmp_path, KNOWN, [B]) == B
    with pytest.raises(Segment1BError, match=f"^E_USAGE: .*several outlet lists: {A}, {B}.*--list"):
        default_list(tmp_path, KNOWN, [A, B])


def test_other_tokens_narrow_the_choice(tmp_path: Path) -> None:
    hold(tmp_path, A, B, C)
    for fingerprint in (A, B, C):
        record(tmp_path, fingerprint, f"list-{fingerprint[:4]}")
    assert default_list(tmp_path, KNOWN, [A, B], narrowed=True) == B


def test_what_a_killed_import_left_is_found_and_never_the_default(tmp_path: Path) -> None:
    record(hold(tmp_path, A), A)
    hold(tmp_path, B, dataset="outlet_catalogue")
    assert default_list(tmp_path, KNOWN, [A]) == A
    assert find_list(tmp_path, KNOWN, "ab13") == B


@pytest.mark.parametrize(
    "damage",
    [
        *("cut", "fifo", "[]", {"name": "../x"}, {"name": "abcd"}, {"sequence": "1"}),
        *({"sequence": 2**53 + 1}, {"file": "x" * 2049}),
    ],
)
def test_a_damaged_record_leaves_its_list_alone_without_a_name(
    tmp_path: Path, damage: str | dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    hold(tmp_path, A, B, C)
    for fingerprint in (C, A, B):
        record(tmp_path, fingerprint, f"list-{fingerprint[:4]}")
    path = tmp_path / KNOWN["outlet_list"].locate({"manifest_fingerprint": A})
    text = path.read_text()
    path.unlink()
    if damage == "fifo":
        os.mkfifo(path)
    elif isinstance(damage, dict):
        path.write_text(json.dumps(json.loads(text) | damage))
    else:
        path.write_text(text[:20] if damage == "cut" else damage)
    for _ in range(2):
        found = [(one.name, one.fingerprint) for one in outlet_lists(tmp_path, KNOWN)]
        assert found == [(None, A), ("list-cccc", C), ("list-ab13", B)]
    (line,) = caplog.messages
    assert str(path) in line
    assert line.endswith("; remove this file, and import the list again to name it")
    assert find_list(tmp_path, KNOWN, "list-cccc") == C
    assert find_list(tmp_path, KNOWN, A[:6]) == A
    assert default_list(tmp_path, KNOWN, []) == B
    assert record(tmp_path, C, "another") == "another"
    assert record(tmp_path, A, "again") == "again"
    assert outlet_lists(tmp_path, KNOWN)[-1].name == "again"
