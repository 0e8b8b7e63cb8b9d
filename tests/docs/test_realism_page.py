"""The page on realism and the report show the same measured figures, and small pictures."""

from __future__ import annotations

import re
from pathlib import Path

from segment1b.page.measured import CENTRES, TRADES

PAGE = Path(__file__).parents[2] / "docs" / "realism.md"
PICTURES_BYTES = 150_000


def table(heading: str) -> list[tuple[str, ...]]:
    """Return the rows of the table below a row of headings."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = []
    for line in lines[lines.index(heading) + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    return rows


def test_the_figures_of_trades_are_those_of_the_report() -> None:
    assert table("| | real | population | held out | laws |") == [tuple(row) for row in TRADES]


def test_the_figures_of_centres_are_those_of_the_report() -> None:
    expected = [(row.figure, row.real, row.before, row.laws) for row in CENTRES]
    assert table("| | real | population | laws |") == expected
    assert not any(row.held_out for row in CENTRES)


def test_the_pictures_are_there_and_small() -> None:
    text = PAGE.read_text(encoding="utf-8")
    names = re.findall(r"!\[[^]]+\]\((pictures/[^)]+)\)", text)
    assert len(names) == 2
    assert sum((PAGE.parent / name).stat().st_size for name in names) < PICTURES_BYTES
