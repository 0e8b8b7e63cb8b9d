"""Two lists in one data root: every command is about the last imported, or the one named."""

from __future__ import annotations

import itertools
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import segment1b
import worlds
from segment1b import contracts
from segment1b.cli.app import app
from segment1b.errors import Segment1BError
from segment1b.evidence import bundle
from segment1b.outlets.list_names import outlet_lists

KNOWN = contracts.load()
COUNTRIES = ("NL", "PT")
NAMES = ("first", "second")
STATES = [f"s{number}" for number in range(10)]
#: Command lines by what is tested; ROOT is the data root, and the list is chosen at the end.
LINES = {
    "run": "run --data-root ROOT --json --quiet",
    "status": "status --data-root ROOT --json",
    "explain": "explain --merchant 1007 --country PT --data-root ROOT --json",
    "replay": "replay --merchant 1007 --country PT --site 1 --data-root ROOT --json",
    "export": "export --out OUT.csv --data-root ROOT --json",
    "rng-export": "rng-export --stream in_cell_jitter --out OUT.jsonl --data-root ROOT --json",
    "page": "page --out OUT.html --data-root ROOT --json",
    "evidence": "evidence --out OUT --without-page --quiet --data-root ROOT --json",
    "verify-bundle": "verify-bundle ROOT --json",
    "discard": "discard --from-state s9 --yes --data-root ROOT --json",
    "validate": "validate --data-root ROOT --json",
    "validate-s4": "validate-s4 --data-root ROOT --json",
    "status --set": "status --set dp=9 --data-root ROOT --json",
    "diff": "diff ROOT ROOT --json",
}
#: What belongs to one list and what every command has to read some of.
READ = [
    "outlet_catalogue",
    "site_locations",
    *(f"{state}_run_report" for state in ("s0", *STATES[3:])),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish two lists in one root, `second` last."""
    folder = tmp_path_factory.mktemp("lists")
    root = worlds.lay_small_world(folder / "root", 1.0, COUNTRIES)
    for number, name in enumerate(NAMES):
        outlets = worlds.outlet_list(folder / f"{name}.csv", COUNTRIES, merchants=6 - number)
        worlds.run(root, outlets=outlets, to_state="s9")
    return root


@pytest.fixture
def root(both: Path, tmp_path: Path) -> Path:
    """Copy the data root for a test that changes it."""
    return Path(shutil.copytree(both, tmp_path / "root"))


@pytest.fixture(autouse=True)
def _plain_log() -> Iterator[None]:
    """Undo what a command has set up: the next one's stderr is another."""
    log = logging.getLogger("segment1b")
    yield
    log.handlers.clear()
    log.propagate = True
    log.setLevel(logging.NOTSET)


def fingerprint(root: Path, name: str) -> str:
    return next(one.fingerprint for one in outlet_lists(root, KNOWN) if one.name == name)


def call(line: str, root: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    """Run a command line in this process; return the JSON on stdout, and stderr."""
    capsys.readouterr()
    words = line.replace("ROOT", str(root)).replace("OUT", str(out)).split()
    assert not app(words, standalone_mode=False)
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


@pytest.mark.parametrize(
    ("command", "named"),
    # What is removed has to be named.
    [pair for pair in itertools.product(LINES, [None, *NAMES]) if pair != ("discard", None)],
)
def test_every_command_is_about_the_last_list_or_the_one_that_is_named(
    root: Path,
    tmp_path: Path,
    command: str,
    named: str | None,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The run that is repeated takes its time, and is about what is passed.
    monkeypatch.setattr(bundle, "write_evidence", lambda run, *_, **__: run.tokens)
    wanted = named or "second"
    (other,) = {*NAMES} - {wanted}
    line = LINES[command]
    if named is not None:
        options = ("--old-fingerprint", "--new-fingerprint") if command == "diff" else ("--list",)
        line += "".join(f" {option} {named}" for option in options)
    ours, theirs = (fingerprint(root, name) for name in (wanted, other))
    for dataset_id in READ:  # without it, a command that took the other list fails
        tokens = {"manifest_fingerprint": theirs, "seed": 42, "parameter_hash": "*"}
        for path in root.glob(KNOWN[dataset_id].locate(tokens)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    found, err = call(line, root, tmp_path / "out", capsys)
    assert theirs not in json.dumps(found)
    assert found.get("manifest_fingerprint", ours) == ours
    if command in ("status", "discard", "diff", "verify-bundle", "run"):
        assert ours in json.dumps(found)
    if command == "export":
        assert found["rows"] == {"first": 30, "second": 21}[wanted]
    choice = "ROOT:LIST" if command == "diff" else "--list"
    notice = f"using outlet list second, imported last of 2 in {root}; {choice} chooses another"
    notices = (err + caplog.text).count(notice)
    assert notices == (0 if named else 2 if command == "diff" else 1)


def test_a_list_of_diff_that_is_named_twice_is_refused(both: Path) -> None:
    for side in ("old", "new"):
        places = {"old": both, "new": both} | {side: f"{both}:first"}
        with pytest.raises(Segment1BError, match=r"^E_USAGE: .*names the list first, .* second"):
            segment1b.diff(**places, **{f"{side}_fingerprint": "second"})  # type: ignore[arg-type]


def test_what_a_record_holds_is_printed_in_one_line(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / KNOWN["outlet_list"].locate({"manifest_fingerprint": fingerprint(root, "first")})
    path.write_text(json.dumps(json.loads(path.read_text()) | {"file": "a\nb\tc\x1b[2J"}))
    assert not app(["list", "--data-root", str(root)], standalone_mode=False)
    assert "a\\nb\\tc\\x1b[2J" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--write-fixed", "--rejects"])
@pytest.mark.parametrize("more", ["--name", "--since"])
def test_a_division_of_a_list_takes_no_option_of_an_import(option: str, more: str) -> None:
    with pytest.raises(Segment1BError, match=r"^E_USAGE: .*import nothing"):
        app(["outlets", "import", "a.csv", option, "b.csv", more, "c"], standalone_mode=False)


def test_a_merchant_that_the_list_does_not_have_is_named_as_it_was_given(both: Path) -> None:
    for command in (segment1b.explain, lambda *words: segment1b.replay(*words, 1)):
        with pytest.raises(Segment1BError, match=r"merchant Café \(4153337992202400132\) has no"):
            command(both, "Café", "PT")


def test_added_columns_may_have_spaces_around_their_commas(both: Path, tmp_path: Path) -> None:
    words = ["export", "--data-root", str(both), "--list", "first", "--with"]
    for name, columns in (("a.csv", "tile_id,weight_fp"), ("b.csv", " tile_id, weight_fp")):
        assert not app([*words, columns, "--out", str(tmp_path / name)], standalone_mode=False)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_an_import_prints_no_empty_fields(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = worlds.outlet_list(tmp_path / "my.csv", COUNTRIES, merchants=3)
    words = ["outlets", "import", str(own), "--data-root", str(root)]
    assert not app(words, standalone_mode=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert "pairs" in [line[0] for line in lines]
    assert all(len(line) > 1 for line in lines)


def test_the_python_interface_takes_names(both: Path) -> None:
    for name, rows in (("first", 30), ("second", 21), (None, 21)):
        assert segment1b.open(both, list=name).sites.num_rows == rows
        assert segment1b.open(both, manifest_fingerprint=name).sites.num_rows == rows
        assert segment1b.read_site_locations(both, list=name).count_rows() == rows
        assert all(check.ok for check in segment1b.validate(both, ["s8"], list=name))
        explained = segment1b.explain(both, 1007, "PT", list=name)
        assert explained == segment1b.explain(both, 1007, "PT", list=name or "second")
    compared = segment1b.diff(both, both, old_fingerprint="first", new_fingerprint="second")
    assert [compared[side]["rows"] for side in ("old", "new")] == [30, 21]
    with pytest.raises(Segment1BError, match="did you mean 'first'"):
        segment1b.open(both, list="fist")


def test_the_program_names_the_default_in_one_line_on_stderr(both: Path) -> None:
    words = [sys.executable, "-m", "segment1b", "explain", "--merchant", "1007", "--country", "PT"]
    words += ["--json", "--data-root", str(both)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["country_iso"] == "PT"
    assert done.stderr == (
        f"using outlet list second, imported last of 2 in {both}; --list chooses another\n"
    )
    quiet = subprocess.run([*words, "--list", "first"], capture_output=True, text=True)
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_an_earlier_list_that_is_run_by_name_is_named_in_the_next_commands(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not app(["run", "--list", "first", "--data-root", str(root)], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert all(line.count("--list first") == 1 for line in lines)


def test_the_default_that_was_not_run_is_never_replaced_by_another_list(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    third = worlds.outlet_list(tmp_path / "my.csv", COUNTRIES, merchants=3)
    line = f"outlets import {third} --name q3-portfolio --data-root ROOT --json"
    found, _ = call(line, root, tmp_path, capsys)
    assert found["name"] == "q3-portfolio"
    with pytest.raises(
        Segment1BError, match=f"^E301_NO_PASS_FLAG: .*{found['manifest_fingerprint'][:8]}"
    ):
        segment1b.explain(root, 1007, "PT")
    with pytest.raises(Segment1BError, match=r"^E908_BUNDLE_CONTENTS_MISSING: "):
        segment1b.open(root)
    listed, _ = call("list --data-root ROOT --json", root, tmp_path, capsys)
    assert [(one["name"], one["state"]) for one in listed["lists"]] == [
        ("q3-portfolio", None),
        ("second", "s9"),
        ("first", "s9"),
    ]
