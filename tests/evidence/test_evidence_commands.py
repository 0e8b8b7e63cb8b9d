"""The commands print what the functions return, as text and as one JSON object."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import make_evidence
from segment1b.cli.app import app
from segment1b.errors import Segment1BError
from segment1b.evidence.proof import ProvedRun


def test_evidence_is_written_and_verified(
    world: ProvedRun, tmp_path: Path, one_repeat: None
) -> None:
    out = tmp_path / "new" / "evidence"
    words = ["evidence", "--out", out, "--data-root", world.root, "--sample-rows", 9, "--json"]
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said.pop("out") == str(out)
    assert done.stderr.splitlines()[0] == "checking the gate ..."
    done = CliRunner().invoke(app, ["verify-bundle", str(out), "--json"], catch_exceptions=False)
    assert json.loads(done.stdout) == said
    assert list(out.parent.iterdir()) == [out]
    assert (out / "volatile" / "page.html").read_text().startswith("<!doctype html>")


def test_verify_bundle_knows_an_evidence_bundle_even_when_it_is_damaged(tmp_path: Path) -> None:
    words = ["verify-bundle", str(make_evidence.OUT)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.stdout.startswith("evidence holds ")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(Segment1BError, match=r"E_EVIDENCE_INVALID.*SHA256SUMS is absent"):
        CliRunner().invoke(app, ["verify-bundle", str(tmp_path)], catch_exceptions=False)
