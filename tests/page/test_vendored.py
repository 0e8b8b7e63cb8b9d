"""The libraries that the page carries are those that were released, with their notices."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import pytest

# From the packages d3 7.9.2 and @observablehq/plot 0.6.17 of the npm registry.
DIGESTS = {
    "d3.min.js": "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
    "plot.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}
FOLDER = resources.files("segment1b.page") / "files" / "vendor"


def test_each_library_is_the_released_file() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.iterdir()}
    assert found == DIGESTS


@pytest.mark.parametrize("name", DIGESTS)
def test_no_library_can_end_the_script_that_holds_it(name: str) -> None:
    text = (FOLDER / name).read_text("utf-8").lower()
    assert "</script" not in text
    assert "<!--" not in text
    assert "\r" not in text


def test_the_notices_name_each_library_and_its_holder() -> None:
    notice = (Path(__file__).parents[2] / "NOTICE.md").read_text("utf-8")
    for name in (
        "**D3.** Copyright 2010-2026 Mike Bostock",
        "Copyright 2020-2025 Observable, Inc.",
    ):
        assert name in notice
