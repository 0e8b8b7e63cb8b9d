"""The commands print what the functions return, as text and as one JSON object."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from read.conftest import MakeRoot
from segment1b.cli.app import app
from segment1b.errors import Segment1BError


def said(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_verify_bundle(root: Path) -> None:
    assert said("verify-bundle", root).startswith("passed: flag ")
    found = json.loads(said("verify-bundle", root, "--json"))
    assert found["egress"]["dataset_id"] == "site_locations"
    with pytest.raises(Segment1BError, match="E908"):
        said("verify-bundle", root / "data")


def test_export(root: Path, tmp_path: Path) -> None:
    options = ["--data-root", root, "--country", "NL", "--country", "PT"]
    out = tmp_path / "s.csv"
    assert said("export", *options, "--format", "csv", "--out", out) == f"500 sites in {out}\n"
    words = ["export", *options, "--merchant", 1001, "--out", tmp_path / "s.parquet", "--json"]
    assert json.loads(said(*words))["rows"] == 20


def test_diff(make_root: MakeRoot, table: pa.Table) -> None:
    old, new = make_root(table.slice(0, 900), "old"), make_root(table, "new")
    text = said("diff", old, new).splitlines()
    assert text[-1] == "total 900 kept, 100 added, 0 removed, 0 moved"
    assert len(text) == 5
    assert json.loads(said("diff", old, new, "--json"))["total"]["added"] == 100


def test_rng_export_needs_a_run(root: Path, tmp_path: Path) -> None:
    words = ["rng-export", "--stream", "in_cell_jitter", "--data-root", root]
    with pytest.raises(Segment1BError, match="E301"):
        said(*words, "--out", tmp_path / "out")
