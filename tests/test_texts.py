"""Strict JSON and YAML: what is refused, what is kept, and regular files alone."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segment1b.contracts.program import contracts_root
from segment1b.contracts.texts import (
    MAX_DEPTH,
    MAX_JSON_BYTES,
    open_regular,
    parse_json,
    parse_yaml,
    read_bounded,
)
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.storage.durable import read_json, regular_file

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=20,
)


@given(_values)
def test_whatever_is_written_as_json_is_read_back(value: Any) -> None:
    assert parse_json(canonical_json(value)) == value
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"a": 1, "b": 2, "a": 1}', "key 'a' is repeated"),
        (b'[{"x": {"seed": 1, "seed": 2}}]', "key 'seed' is repeated"),
        (b'{"a": 1, "\\u0061": 2}', "key 'a' is repeated"),
        (b'{"seed": NaN}', "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[1e999]", "'1e999' is not a finite number"),
        (b"1" * 65, "an integer of 65 characters"),
        (b"9" * 6000, "an integer of 6,000 characters"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper than 64"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "nested deeper than 64"),
        (b"[" * 1_000_000, "nested deeper than 64"),
        (b'"\\ud800"', "surrogates not allowed"),
        (b'{"\\uDFFF": 1}', "surrogates not allowed"),
        (b'"\xff"', "can't decode byte 0xff"),
        ('{"a": 1}'.encode("utf-16"), "can't decode"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"", "Expecting value"),
        (b"{} {}", "Extra data"),
    ],
)
def test_json_that_two_readers_could_read_differently_is_refused(text: bytes, says: str) -> None:
    with pytest.raises(ValueError, match="(?s)" + says):
        parse_json(text)


def test_json_at_the_limits_is_read() -> None:
    assert parse_json(b"1" * 64) == int("1" * 64)
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert parse_json(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"
    assert parse_json(b"[" + b"[]," * 1000 + b"{}]") == [*([[]] * 1000), {}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # Norway stays a string; true and false are the only booleans.
        ("[NO, SE, on, off, yes, Y]", ["NO", "SE", "on", "off", "yes", "Y"]),
        ("{NO: 1}", {"NO": 1}),
        ("[true, false, True, FALSE]", [True, False, "True", "FALSE"]),
        ("[1, 0.5, null, ~, 'NO', 0x10, -7]", [1, 0.5, None, None, "NO", 16, -7]),
        # What YAML 1.2 does not have is text.
        ("[2024-13-45, 2024-01-01, =]", ["2024-13-45", "2024-01-01", "="]),
        ("{<<: {a: 1}, a: 2}", {"<<": {"a": 1}, "a": 2}),
    ],
)
def test_scalars_keep_their_types_of_yaml_1_2(text: str, value: object) -> None:
    assert parse_yaml(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("010", 10), ("-007", -7), ("+1", 1), ("0o17", 15), ("0xfF", 255)),
        *(("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-1.5E-2", -0.015), ("08.5", 8.5)),
        *((text, text) for text in ("1:30", "1:30.5", "1_000", "1_0.5", "0b1", "0b_", "-0x1")),
        *((text, text) for text in ("+", ".", ".e3", "1e", "1.2.3", "0o8", "\u0661")),
    ],
)
def test_numbers_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = parse_yaml(f"b: {text}")["b"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", "line 3, column 1: key 'a' is repeated"),
        ("runs:\n  - {name: x, seed: 1, name: y}", "line 2, column 24: key 'name' is repeated"),
        ("a: &x [1]\nb: *x", "line 2, column 4: aliases"),
        ("a: &x [*x]", "aliases"),
        ("a: .nan", "line 1, column 4: '.nan' is not a finite number"),
        ("a: -.inf", "not a finite number"),
        ("a: 1.0e+999", "not a finite number"),
        ("a: " + "9" * 6000, "line 1, column 4: an integer of 6,000 characters"),
        ("a: 0x" + "f" * 6000, "an integer of 6,002 characters"),
        ("a: !!set {b}", "tag 'tag:yaml.org,2002:set' is not supported"),
        ("a: !!binary x", "not supported"),
        ("a: !!bool maybe", "not supported"),
        ("a: !!python/name:os.system", "not supported"),
        ("[" * 65 + "]" * 65, "line 1, column 65: nested deeper than 64"),
        ("[" * 500_000, "nest"),
        ("- x\n" * 100_001, "more than 100,000 values"),
        ("? [a]\n: b", "unhashable key"),
        ("a: 1\n---\nb: 1", "another document"),
        ("a: [", "line 2, column 1: did not find expected"),
        ("a: \x07", "control characters are not allowed"),
        ('a: "\\ud800"', "invalid Unicode"),
    ],
)
def test_yaml_beyond_plain_values_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="(?s)" + says):
        parse_yaml(text)


def test_aliases_cannot_multiply() -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    with pytest.raises(ValueError, match="aliases"):
        parse_yaml("\n".join(lines))


def test_the_shipped_files_mean_what_any_yaml_reader_reads() -> None:
    config = Path(__file__).parents[1] / "config"
    files = sorted([*contracts_root().rglob("*.yaml"), *config.rglob("*.yaml")])
    assert len(files) > 10
    for path in files:
        text = path.read_text("utf-8")
        assert parse_yaml(text) == yaml.safe_load(text), path


def test_a_regular_file_and_a_link_to_one_are_taken(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "link.json").symlink_to("a.json")
    for path in (tmp_path / "a.json", tmp_path / "link.json"):
        assert regular_file(path) == path
        assert read_json(path) == {}


def test_pipes_sockets_devices_and_folders_are_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    # A socket's path must be short.
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/socket")
        for path, kind in (
            (tmp_path / "pipe", "a named pipe"),
            (tmp_path / "link", "a named pipe"),
            (Path(short) / "socket", "a socket"),
            (Path("/dev/zero"), "a character device"),
            (tmp_path, "a folder"),
        ):
            for read in (regular_file, open_regular, read_json):
                with pytest.raises(Segment1BError, match=f"{path.name} is {kind}") as caught:
                    read(path)
                assert caught.value.code == "E_INPUT_UNREADABLE"
                assert caught.value.scope["path"] == str(path)


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    before = (tmp_path / "file").stat()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: before)
    assert stat.S_ISREG((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(Segment1BError, match="named pipe"):
        open_regular(tmp_path / "pipe")


def test_a_file_above_its_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)
    with pytest.raises(Segment1BError, match="larger than 33,554,432 bytes"):
        read_json(path)
    (tmp_path / "small").write_bytes(b"12345")
    assert read_bounded(tmp_path / "small", 5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        read_bounded(tmp_path / "small", 4)


def test_a_missing_file_stays_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "absent.json")
