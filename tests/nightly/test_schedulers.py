"""Airflow and Dagster, installed as pinned, run the night over a small world."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from nightly.conftest import Write, plan

REPOSITORY = Path(__file__).parents[2]
UNITS = REPOSITORY / "docs" / "automation"
PROGRAM = Path(sys.executable).parent / "segment1b"

# The first run installs some hundred packages; the environment is kept in the checkout.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def environment_of(scheduler: str) -> Path:
    """Return the bin folder of the scheduler's own environment, `.venv-<scheduler>`."""
    wanted, folder = UNITS / f"{scheduler}.txt", REPOSITORY / f".venv-{scheduler}"
    stamp = folder / ".installed"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        venv.create(folder, clear=True, with_pip=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", "-r", wanted], check=True)
        stamp.write_text(wanted.read_text())
    return folder / "bin"


def run(words: list[object], **variables: object) -> subprocess.CompletedProcess[str]:
    """Run a command of a scheduler, which finds no package of ours."""
    kept = {name: own for name, own in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        env={**kept, **{name: str(own) for name, own in variables.items()}},
    )


def told(path: Path) -> dict[str, str]:
    return {one["name"]: one["status"] for one in json.loads(path.read_text())["runs"]}


def test_airflow_runs_the_dag(desk: Path, write: Write) -> None:
    airflow = environment_of("airflow") / "airflow"
    (desk / "dags").mkdir()
    (desk / "dags" / "nights.py").write_text((UNITS / "airflow_dag.py").read_text())
    variables = {
        "AIRFLOW_HOME": desk / "airflow",
        "AIRFLOW__CORE__DAGS_FOLDER": desk / "dags",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "SEGMENT1B_FOLDER": desk,
        "SEGMENT1B_PROGRAM": PROGRAM,
        "SEGMENT1B_CONFIG": "night.yaml",
    }
    made = run([airflow, "db", "migrate"], **variables)
    assert made.returncode == 0, made.stderr
    write(plan("a", "one", validate=["s3", "s4"]), summary="good.json")
    good = run([airflow, "dags", "test", "segment1b_nightly"], **variables)
    assert good.returncode == 0, good.stdout + good.stderr
    assert told(desk / "good.json") == {"a": "passed"}
    write(plan("a", "one"), plan("b", "two", outlets="absent.csv"), summary="bad.json")
    bad = run([airflow, "dags", "test", "segment1b_nightly"], **variables)
    assert bad.returncode != 0
    assert told(desk / "bad.json") == {"a": "passed", "b": "failed"}


def test_dagster_runs_the_job(desk: Path, write: Write) -> None:
    dagster = environment_of("dagster") / "dagster"
    words = [dagster, "job", "execute", "-f", UNITS / "dagster_job.py", "-j", "segment1b_nightly"]
    (desk / "dagster").mkdir()
    variables = {
        "DAGSTER_HOME": desk / "dagster",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "SEGMENT1B_FOLDER": desk,
        "SEGMENT1B_PROGRAM": PROGRAM,
        "SEGMENT1B_CONFIG": "night.yaml",
    }
    write(plan("a", "one", validate=["s3", "s4"]), summary="good.json")
    good = run(words, **variables)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "RUN_SUCCESS" in good.stdout + good.stderr
    assert told(desk / "good.json") == {"a": "passed"}
    write(plan("a", "one"), plan("b", "two", outlets="absent.csv"), summary="bad.json")
    bad = run(words, **variables)
    assert bad.returncode != 0
    assert "a run or a validator failed" in bad.stdout + bad.stderr
    assert told(desk / "bad.json") == {"a": "passed", "b": "failed"}
