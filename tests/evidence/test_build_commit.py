"""The audit row names a commit of this project, never of a checkout around the package."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from segment1b import __version__
from segment1b.states import rng_logs

#: Where the module lies in a checkout, and what is recorded then.
PLACES = {
    "src/segment1b/states": True,
    ".venv/lib/python3.11/site-packages/segment1b/evidence": False,
    "vendor/src/segment1b/states": False,
}


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def no_git_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commits of these tests go into their own checkouts, also within a hook."""
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)


def checkout(folder: Path, place: str, *, tracked: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a checkout around a copy of the module and run from there; return its commit."""
    module = folder / place / "rng_logs.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    (folder / "readme").write_text("")
    git(folder, "init", "--quiet")
    git(folder, "add", "readme", *(["--force", place] if tracked else []))
    git(folder, "commit", "--quiet", "--message", "first")
    monkeypatch.setattr(rng_logs, "__file__", str(module))
    return git(folder, "rev-parse", "HEAD")


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_only_a_checkout_of_this_project_is_named(
    place: str, tracked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = checkout(tmp_path, place, tracked=tracked, monkeypatch=monkeypatch)
    own = tracked and PLACES[place]
    assert rng_logs._build_commit() == (commit if own else __version__)


def test_variables_of_git_lead_to_no_other_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "own").mkdir()
    place = "src/segment1b/states"
    other = checkout(tmp_path / "other", "x", tracked=True, monkeypatch=monkeypatch)
    commit = checkout(tmp_path / "own", place, tracked=True, monkeypatch=monkeypatch)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert rng_logs._build_commit() == commit != other


def test_without_git_the_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert rng_logs._build_commit() == __version__
