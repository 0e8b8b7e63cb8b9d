"""Trades on the page: colours, filter, table and reasons, and what their weights rest on."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from page.conftest import Visitor
from page.test_page import like, pixels, settle, shown
from segment1b.contracts.trades import load_trades
from segment1b.page import measured

CSS = Path(measured.__file__).parent / "files" / "page.css"
# Machado, Oliveira and Fernandes (2009): linear RGB as people without one kind of cones see it.
SIGHT = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0993], [-0.0039, -0.0481, 1.0520]]
    ),
    "deuteranopia": np.array(
        [[0.3673, 0.8606, -0.2279], [0.2801, 0.6726, 0.0473], [-0.0118, 0.0430, 0.9689]]
    ),
}


def palette(theme: int) -> list[np.ndarray]:
    """Return the colours of trades, linear RGB in 0..1: of the light theme (0) or the dark one."""
    found = re.findall(r"--trade-(?:\d|other): #([0-9a-f]{6});", CSS.read_text())
    assert len(found) == 18
    values = np.array([[int(text[i : i + 2], 16) for i in (0, 2, 4)] for text in found]) / 255
    return list(np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92))[
        9 * theme : 9 * theme + 9
    ]


def lab(linear: np.ndarray) -> np.ndarray:
    """Return CIE L*a*b* of a linear RGB colour (D65)."""
    xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ) @ np.clip(linear, 0, 1)
    x, y, z = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("sight", SIGHT)
def test_everybody_can_tell_the_colours_of_trades_apart(theme: int, sight: str) -> None:
    seen = [lab(SIGHT[sight] @ colour) for colour in palette(theme)]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))
    assert nearest > 9


def legend(page: Page) -> list[str]:
    settle(page)
    return page.locator(".mapbox .legend li").all_inner_texts()


def test_points_have_the_colours_of_their_trades_and_a_legend_of_eight_and_other(
    demo: Page,
) -> None:
    demo.select_option("#country", "DE")
    assert legend(demo) == [
        "groceries and convenience",
        "fast food",
        "fuel",
        "restaurants and coffee",
        "big box retail",
        "hotels",
        "luxury and fashion",
        "furniture and home",
        "other",
    ]
    picture = pixels(demo)
    for colour in ((0x33, 0x22, 0x88), (0x88, 0xCC, 0xEE)):
        assert like(picture, colour) > 0.0001, colour


def test_the_trade_filter_counts_its_outlets_and_is_in_the_fragment(
    demo: Page, report: Path, visit: Visitor
) -> None:
    demo.select_option("#trade", "fuel")
    assert shown(demo).startswith("7,961 outlets of 165 merchants in ")
    assert "drawn as points." in shown(demo)
    assert legend(demo) == ["fuel"]
    assert like(pixels(demo), (0x11, 0x77, 0x33)) > 0.001
    assert "trade=fuel" in demo.url
    again = visit(report, fragment="#trade=fuel")
    assert again.locator("#trade").input_value() == "fuel"
    assert shown(again) == shown(demo)
    harmful = visit(report, fragment="#trade=%3Cb%3E")
    assert harmful.locator("#trade").input_value() == ""
    assert shown(harmful).startswith("59,701 outlets")


def test_the_table_and_the_reason_name_the_trade(demo: Page) -> None:
    demo.fill("#merchant", "259")
    demo.evaluate("draw(runs[0]); showReason(runs[0], runs[0].inView[0])")
    reason = demo.locator("#reason-0").inner_text()
    assert "luxury and fashion: Clothes, shoes, jewellery, leather goods" in reason
    assert "% of the country's weight for luxury and fashion" in reason
    assert re.search(r"attempt \d+ was accepted, drawn (around centre \d+ of|in) the", reason)
    assert "attempt 0" not in reason
    headings = demo.locator("#merchants-0 thead th").all_inner_texts()
    assert headings == ["merchant", "trade", "outlets", "countries"]
    trade = demo.locator("#merchants-0 tbody td button").first  # whatever the table is sorted by
    named = trade.inner_text()
    trade.click()
    assert demo.locator("#trade").input_value() == named.replace(" ", "_")


def test_a_list_without_trades_has_no_filter_no_colours_and_no_column(square: Page) -> None:
    assert not square.locator("#trade").is_visible()
    square.select_option("#country", "NL")
    assert legend(square) == ["an outlet"]
    headings = square.locator("#merchants-0 thead th").all_inner_texts()
    assert "trade" not in headings


def test_outlets_are_compared_with_the_weights_of_their_trades(demo: Page) -> None:
    assert demo.locator("#q-prior").inner_text() == "Do outlets follow the weights of their trades?"
    assert demo.locator("section:has(#q-prior) .answer").inner_text().startswith("Yes: of the ")


def test_the_panel_tells_what_was_measured_and_what_is_judged(demo: Page) -> None:
    panel = demo.locator("section:has(#real-0)")
    assert panel.locator("h2").inner_text() == "Does it look like the real thing?"
    rows = panel.locator("table >> nth=0").locator("tbody tr")
    assert rows.count() == len(measured.TRADES) + len(measured.CENTRES)
    assert "Of this run's outlets 86% have a trade whose weights were fitted" in panel.inner_text()
    assert "10% one whose weights are judged" in panel.inner_text()
    panel.locator("summary").click()
    text = panel.locator(".basis").inner_text()
    basis = {trade.id: trade.basis for trade in load_trades().trades}
    assert basis["hotels"] == "judged"
    assert basis["fuel"] in text


@pytest.mark.parametrize(
    ("outlets", "centres", "rows"),
    [
        ({}, None, None),
        ({"fuel": 3, "hotels": 1, "everything": 0}, None, measured.TRADES),
        ({}, {"radius_m": 450}, measured.CENTRES),
    ],
)
def test_the_panel_has_only_the_figures_of_what_a_run_uses(
    outlets: dict[str, int], centres: Any, rows: Any
) -> None:
    world: Any = SimpleNamespace(policy={"jitter": {"centres": centres}})
    panel = measured.measured_of(world, outlets)
    assert (panel["rows"] if panel else None) == rows
    if panel and outlets:
        assert "75% have a trade whose weights were fitted" in panel["sentence"]
