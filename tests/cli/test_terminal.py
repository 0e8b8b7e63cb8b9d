"""What reaches a terminal: no control character of a file, a path or a key."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from segment1b.__main__ import main
from segment1b.cli import console, tables
from segment1b.cli.terminal import Output, json_line, print_error
from segment1b.errors import Segment1BError, visible
from segment1b.pipeline.outcome import Outcome, PlanOutcome, RunResult

#: C0 but tab and newline, DEL, C1, the marks of reordered text, line separators, surrogates.
OBEYED = [
    *map(chr, [*range(9), *range(11, 32), *range(127, 160)]),
    *"\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    "\ud800",
    "\udcff",
    "\udfff",
]
TEXT = st.text(st.one_of(st.characters(), st.sampled_from(OBEYED)))
HOSTILE = "\x1b[2J\x9b31m\u202ered\udcff\x7f"
SHOWN = r"\x1b[2J\x9b31m\u202ered\udcff\x7f"


@given(TEXT)
def test_no_text_holds_what_a_terminal_obeys(text: str) -> None:
    shown = visible(text)
    assert not set(shown) & set(OBEYED)
    shown.encode()
    assert visible(shown) == shown
    if not set(text) & set(OBEYED) and text.isascii():
        assert shown == text


def test_each_character_has_its_escape() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("\x00\r\ttab\nline é 漢 \U0001f600") == "\\x00\\r\ttab\nline é 漢 \U0001f600"


@given(st.dictionaries(TEXT, TEXT))
def test_json_means_the_same_and_holds_nothing_that_is_obeyed(value: dict[str, str]) -> None:
    line = json_line(value)
    assert not set(line) & set(OBEYED)
    assert json.loads(line) == value


def test_tables_and_lines_of_rich_are_escaped_and_keep_their_own_colours() -> None:
    file = io.StringIO()
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE, no_wrap=True)
    table.add_row(f"[red]{HOSTILE}[/]")
    out = console.Terminal(file=file, width=200, force_terminal=True, color_system="standard")
    out.print(table)
    out.print(f"[bold]{HOSTILE}[/]", HOSTILE)
    text = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())
    assert "\x1b[31m" in file.getvalue()
    assert text.count(SHOWN) == 5
    assert not set(text) & set(OBEYED)


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    before = console.LOG.handlers[:], console.LOG.propagate, console.LOG.level
    yield console.LOG
    console.LOG.handlers[:], console.LOG.propagate, console.LOG.level = before


@pytest.mark.parametrize("form", ["text", "json"])
def test_logs_are_escaped(
    form: str, log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    console.set_up_logs(form, quiet=False)
    log.info("read %s", HOSTILE, extra={"fields": {HOSTILE: HOSTILE}})
    line = capsys.readouterr().err
    assert not set(line) & set(OBEYED)
    if form == "text":
        assert line == f"read {SHOWN}\n"
    else:
        assert json.loads(line)[HOSTILE] == HOSTILE


def test_errors_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    error = Segment1BError("E_USAGE", f"no {HOSTILE}", f"give {HOSTILE}", path=Path(HOSTILE))
    print_error(error, as_json=False)
    assert capsys.readouterr().err == f"E_USAGE no {SHOWN}\n  what to do: give {SHOWN}\n"
    print_error(error, as_json=True)
    said = capsys.readouterr().out
    assert not set(said) & set(OBEYED)
    assert json.loads(said)["error"]["scope"] == {"path": HOSTILE}


def test_a_name_with_a_line_break_cannot_look_like_a_line(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    console.set_up_logs("text", quiet=False)
    log.info("a\nPASS")
    print_error(Segment1BError("E_USAGE", "no a\nPASS", "b\nPASS"), as_json=False)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["a", "    PASS", "E_USAGE no a", "    PASS", "  what to do: b", "    PASS"]


def test_a_stream_escapes_what_is_printed_and_spares_what_rich_prints() -> None:
    file = io.TextIOWrapper(io.BytesIO(), "ascii")
    output = Output(file)
    print(HOSTILE, "é", file=output)
    output.rich_proxied_file.write("\x1b[0m")
    output.flush()
    assert file.buffer.getvalue() == (SHOWN + " \\xe9\n\x1b[0m").encode()
    assert output.encoding == "ascii"


def test_a_stream_keeps_its_first_error_and_is_quiet_afterwards() -> None:
    with Path("/dev/full").open("w") as file:
        output = Output(file)
        output.write("lost")
        assert output.lost is None
        output.flush()
        assert output.lost is not None
        assert output.lost.strerror == "No space left on device"
        output.write("more")
        output.flush()
    # Closing it has raised nothing: its descriptor leads to /dev/null now.


def test_no_name_becomes_an_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    out = console.Terminal(width=200)
    table = Table(title=":smile:")
    table.add_column(":smile:")
    table.add_row(":smile:")
    out.print(table, "[bold]:smile:[/]")
    assert capsys.readouterr().out.count(":smile:") == 4


@pytest.mark.parametrize("name", ["a[red]b[/red]", "x[bold red]y :smile:", "z\\"])
def test_a_root_that_is_named_like_markup_is_printed_as_it_is(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / name
    plan = {"law": "stable", "dp": 1, "alloc_sum_equals_requirements": True, "sites_total": 1}
    plan |= {"pairs_total": 1, "shortfall_total": 0, "ties_broken_total": 0, "collapse_index": 1.0}
    plan |= {"rows_emitted": 1, "resources": {}}
    made = [
        PlanOutcome("s4", True, root / "s4.json", plan, {"s4_alloc_plan": root / "plan"}),
        Outcome("s8", True, root / "s8.json", plan, {"site_locations": root / name}),
    ]
    tables.print_run(RunResult(root, {"seed": 1}, {}, tuple(made)))
    out = capsys.readouterr().out
    assert out.count(str(root)) == 3
    assert f"s8{'':<20}{name}\n" in out
    # A closing tag was an error.
    tables.print_run(RunResult(tmp_path / "x[" / "red]", {"seed": 1}, {}, ()))
    assert "x[/red]" in capsys.readouterr().out


OUTLETS = "merchant_id,country_iso,n_outlets\n"
FILES = {
    "country": ("outlets", OUTLETS + f"7,{HOSTILE[:-2]},1\n"),
    "merchant": ("outlets", OUTLETS + f"{HOSTILE[:-2]} ,NL,1\n"),
    "column": ("outlets", OUTLETS.replace("country_iso", HOSTILE[:-2]) + "7,NL,1\n"),
    "key": ("policy", 'prep: {"\\e[2J\\x9b31m": 1}\n'),
    "section": ("policy", '"\\e[2J\\x9b31m": {}\n'),
}


@pytest.mark.parametrize("where", FILES)
def test_what_files_hold_is_never_obeyed(
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    option, text = FILES[where]
    file = tmp_path / "a\x1b[31m.csv"
    file.write_text(text, encoding="utf-8")
    words = ["run", f"--{option}", str(file), "--data-root", str(tmp_path / "r\x1b[31m")]
    monkeypatch.setattr(sys, "argv", ["segment1b", *words])
    with pytest.raises(SystemExit) as left:
        main()
    said = "".join(capsys.readouterr())
    assert left.value.code in (2, 3)
    assert r"\x1b[2J\x9b31m" in said
    assert not set(said) & set(OBEYED)
