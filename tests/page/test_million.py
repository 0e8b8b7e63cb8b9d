"""A page of a million outlets is still one that can be sent and opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.outlets import write_outlets

import segment1b
from page.conftest import Visitor, page_of


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_page_of_a_million_outlets_is_at_most_six_megabytes_and_counts_all(
    tmp_path: Path, visit: Visitor
) -> None:
    listed = tmp_path / "outlets.parquet"
    total = write_outlets(listed, 1_000_000)
    assert total > 900_000
    world = segment1b.run({"data_root": tmp_path / "world", "outlets": listed})
    out = page_of(world, tmp_path / "report.html")
    assert out.stat().st_size <= 6_000_000
    page = visit(out)
    said = page.locator("#shown-0").inner_text()
    assert said.startswith(f"{total:,} outlets of ")
    assert "drawn as density. The density counts all." in said
    assert page.evaluate("performance.getEntriesByName('drawn').length") == 1
    assert page.locator("tr.bad").count() == 0
