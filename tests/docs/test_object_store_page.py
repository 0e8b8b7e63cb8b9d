"""The page on object stores: its commands and programs against a real S3 server."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from segment1b.cli import run
from segment1b.storage.objects import Objects
from stores import BUCKET, CREDENTIALS, s3_server, segment1b
from worlds import lay_small_world, outlet_list

PAGE = Path(__file__).parents[2] / "docs/object_store.md"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Lay a small world below the page's URL; return what its reader would have set."""
    with s3_server() as endpoint:
        told = {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}
        told["SEGMENT1B_CACHE"] = str(tmp_path / "cache")
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        root, store = lay_small_world(tmp_path / "small"), Objects(f"s3://{BUCKET}/world")
        for path in (root / "reference").rglob("*.*"):
            store.upload(path.relative_to(root).as_posix(), path)
        outlet_list(tmp_path / "my.csv")
        monkeypatch.chdir(tmp_path)
        yield told


@pytest.mark.slow
def test_its_commands_run_and_its_programs_count_the_sites(env: dict[str, str]) -> None:
    blocks = _BLOCK.findall(PAGE.read_text())
    lines = "".join(body for name, body in blocks if name == "bash").splitlines()
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("segment1b ")]
    assert len(commands) == 4
    for words in commands:
        done = segment1b(*words, env=dict(os.environ))
        assert done.returncode == 0, (words, done.stderr)
    rows = len(Path("sites.csv").read_text().splitlines()) - 1
    programs = [body for name, body in blocks if name == "python"]
    assert len(programs) == 2
    for program in programs:
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert said.stdout == f"{rows}\n", said.stderr


def test_the_age_at_which_clean_takes_uploads_is_the_commands_own() -> None:
    ((option, hours),) = re.findall(r"`(--[a-z-]+)` \((\d+)\)", PAGE.read_text())
    parameter = inspect.signature(run.clean).parameters[option[2:].replace("-", "_")]
    assert parameter.default == float(hours)
