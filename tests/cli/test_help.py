"""Help, version, completion, and the nearest of a mistyped name."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import segment1b
from segment1b.__main__ import main
from segment1b.cli import guide
from segment1b.cli.app import app


def commands(group: Any = None, path: str = "") -> dict[str, Any]:
    """Return every command that is no group, by its path."""
    group = group or typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():
        own = f"{path} {name}".strip()
        found |= commands(command, own) if hasattr(command, "commands") else {own: command}
    return found


COMMANDS = commands()


@pytest.mark.parametrize("path", COMMANDS)
def test_a_help_shows_flags_without_a_type_and_an_example_that_parses(path: str) -> None:
    words = shlex.split(guide.EXAMPLES[path])
    assert words[: 1 + len(path.split())] == ["segment1b", *path.split()]
    command = COMMANDS[path]
    command.make_context(path, words[1 + len(path.split()) :])
    shown = CliRunner().invoke(app, [*path.split(), "-h"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert f"Example:  {guide.EXAMPLES[path]}" in shown.output
    assert "<bool>" not in shown.output
    assert "--no-" not in shown.output


def test_every_command_is_in_one_panel() -> None:
    members = [name for names in guide.PANELS.values() for name in names]
    assert len(members) == len(set(members))
    tops = {path.split()[0] for path in COMMANDS if not path.startswith("validate-")}
    assert tops == set(members)
    shown = CliRunner().invoke(app, ["--help"]).output
    assert all(f"─ {panel} ─" in shown for panel in (*guide.PANELS, guide.ONE_STATE))


def test_the_version_is_that_of_the_package() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert shown.output == f"segment1b {segment1b.__version__}\n"


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ("rnu", "run"),
        ("outlets imprt", "import"),
        ("run --workes 3", "--workers"),
        ("page --replcae", "--replace"),
        ("--verson", "--version"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(
    line: str, near: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["segment1b", *line.split()])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert f"Did you mean '{near}'?" in capsys.readouterr().err


def test_a_shell_completes_commands_and_options() -> None:
    source = str(Path(segment1b.__file__).parents[1])
    program = "import sys; sys.argv[0] = 'segment1b'; from segment1b.__main__ import main; main()"

    def completed(words: str) -> list[str]:
        asked = {"_SEGMENT1B_COMPLETE": "complete_bash", "COMP_WORDS": words}
        position = {"COMP_CWORD": str(len(words.split(" ")) - 1)}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": source, **asked, **position},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    assert "replay" in completed("segment1b re")
    assert completed("segment1b export --fo") == ["--format"]


def modules_after(program: str) -> set[str]:
    """Return the modules that a program of its own has imported."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; print(*sys.modules)"],
        env={**os.environ, "PYTHONPATH": str(Path(segment1b.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_no_command_imports_what_libraries_import_when_it_is_installed() -> None:
    program = "from segment1b.__main__ import _without_unused\nwith _without_unused():\n"
    program += "    import pyarrow, rasterio; pyarrow.array([1])"
    assert not {"pandas", "boto3"} & modules_after(program)


def test_the_help_does_not_import_what_computes() -> None:
    heavy = {"numpy", "pyarrow", "shapely", "rasterio", "duckdb", "plotly", "pydantic", "yaml"}
    found = modules_after(
        "from typer.testing import CliRunner; from segment1b.cli.app import app; "
        "CliRunner().invoke(app, ['--help'])"
    )
    assert "segment1b.cli.app" in found
    assert not heavy & found


def test_explain_and_replay_do_not_import_what_runs() -> None:
    """These libraries together take longer to import than an outlet to explain."""
    heavy = {"rasterio", "duckdb", "boto3", "plotly", "pyarrow.dataset", "segment1b.states"}
    found = modules_after(
        "import segment1b.read.explanation, segment1b.read.replay, segment1b.cli.explanations"
    )
    assert "pyarrow" in found
    assert not heavy & found
