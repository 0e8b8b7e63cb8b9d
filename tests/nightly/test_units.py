"""The ready-made units and the file that is shipped: they name what exists."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from nightly.conftest import Write, night, plan
from segment1b.cli.app import app
from segment1b.nightly.plan import LineagePlan, Night, RunPlan, load_night

REPOSITORY = Path(__file__).parents[2]
UNITS = REPOSITORY / "docs" / "automation"
README = (UNITS / "README.md").read_text(encoding="utf-8")
SHIPPED = REPOSITORY / "config" / "runs" / "segment1b_nightly.yaml"


def nightly_options(words: list[str]) -> dict[str, object]:
    """Return the options of a `segment1b nightly` command line; an unknown one raises."""
    assert Path(words[0]).name == "segment1b"
    assert words[1] == "nightly"
    command = typer.main.get_command(app).commands["nightly"]  # type: ignore[attr-defined]
    return dict(command.make_context("nightly", words[2:]).params)


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name)
    return parser


def shipped(path: object, folder: str) -> bool:
    """Return whether a path of a unit is a file of this repository, checked out at `folder`."""
    return (REPOSITORY / Path(folder, str(path)).relative_to(folder)).is_file()


def test_the_service_starts_a_command_that_exists() -> None:
    service = unit("segment1b-nightly.service")["Service"]
    words = shlex.split(service["ExecStart"])
    folder = service["WorkingDirectory"]
    assert words[0] == f"{folder}/.venv/bin/segment1b"  # where `make demo` installs it
    assert shipped(nightly_options(words)["config"], folder)
    assert service["Type"] == "oneshot"
    assert service["SuccessExitStatus"] == "4"
    document = unit("segment1b-nightly.service")["Unit"]["Documentation"]
    assert shipped(document.removeprefix("file://"), folder)


def test_the_timer_starts_the_service_every_night() -> None:
    timer = unit("segment1b-nightly.timer")
    assert (UNITS / "segment1b-nightly.service").is_file()  # of the same name, as systemd wants it
    assert timer["Timer"]["OnCalendar"] == "*-*-* 02:15:00"
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_the_cron_line_starts_a_command_that_exists() -> None:
    (line,) = (
        text for text in (UNITS / "crontab").read_text().splitlines() if not text.startswith("#")
    )
    minute, hour, *rest, command = line.split(maxsplit=5)
    assert (int(minute), int(hour), rest) == (15, 2, ["*", "*", "*"])
    change, _, start = command.partition(" && ")
    folder = change.removeprefix("cd ")
    assert shipped(nightly_options(shlex.split(start))["config"], folder)


@pytest.mark.parametrize("name", ["airflow.txt", "dagster.txt"])
def test_the_schedulers_are_pinned(name: str) -> None:
    (line,) = (UNITS / name).read_text().splitlines()
    assert line.partition("==")[2]


def test_the_shipped_file_stays_below_the_ignored_folder() -> None:
    read = load_night(SHIPPED, {})
    assert read.openlineage is not None
    paths = [read.lock, read.summary, read.openlineage.to]
    paths += [run.data_root for run in read.runs]
    assert {Path(str(path)).parts[0] for path in paths} == {"segment1b-data"}
    assert "segment1b-data/" in (REPOSITORY / ".gitignore").read_text().splitlines()
    assert [run.checks for run in read.runs] == [("s3", "s4")]


def test_the_commented_example_of_the_shipped_file_can_be_used(tmp_path: Path) -> None:
    lines = SHIPPED.read_text().splitlines()
    at = lines.index("  # - name: own-list")
    lines[at:] = [line.replace("  # ", "  ", 1) for line in lines[at:]]
    (tmp_path / "n.yaml").write_text("\n".join(lines))
    read = load_night(tmp_path / "n.yaml", {"SEGMENT1B_OUTLETS": "mine.csv"})
    own = read.runs[1]
    assert (own.name, str(own.outlets), own.dp, len(own.checks)) == ("own-list", "mine.csv", 9, 10)
    assert own.overrides == ("allocation.law=largest_remainder", "prep.dp=9")


def test_the_documented_program_reads_a_summary(desk: Path, write: Write) -> None:
    summary = night(write(plan("a", "one", to_state="s0"), plan("b", "two", outlets="no.csv")))
    (desk / "s.json").write_text(json.dumps(summary))
    (program,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", program, "s.json"], capture_output=True, text=True)
    assert done.stdout == "a passed None []\nb failed E_OUTLETS_INVALID []\n"


def test_every_key_is_documented() -> None:
    keys = {key for model in (RunPlan, Night) for key in keys_of(model)}
    told = set(re.findall(r"`(\w+)`", README))
    assert {key for key in keys if not key.endswith("_run_report")} <= told
    assert set(keys_of(LineagePlan)) <= set(re.findall(r"^  (\w+):", README, re.MULTILINE))


def keys_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def script(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, REPOSITORY / "scripts/run_segment1b.py", *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_the_script_says_what_it_would_do(tmp_path: Path) -> None:
    done = script(tmp_path, "--config", SHIPPED, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "embedded-world: would run s0 to s9 in segment1b-data/nightly/" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_script_runs_the_shipped_file_on_the_embedded_world(tmp_path: Path) -> None:
    done = script(tmp_path, "--config", SHIPPED, "--log-format", "json")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "segment1b-data/nightly/summary.json").read_text())
    (run,) = summary["runs"]
    assert (summary["status"], run["status"]) == ("passed", "passed")
    assert list(run["states"]) == [f"s{number}" for number in range(10)]
    assert [(one["state"], one["failed"]) for one in run["validators"]] == [("s3", 0), ("s4", 0)]
    assert [path.name for path in tmp_path.iterdir()] == ["segment1b-data"]
