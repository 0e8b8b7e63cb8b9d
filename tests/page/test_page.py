"""The page in a real browser, as somebody meets it who opens the file."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from playwright.sync_api import Browser, Page

from page.conftest import page_of
from segment1b.page import payload
from segment1b.pipeline.outcome import RunResult

Visit = Callable[..., Page]


def pixels(page: Page, selector: str) -> np.ndarray:
    """Return a screenshot of an element, int16 [height, width, 3]."""
    picture = imread(io.BytesIO(page.locator(selector).screenshot()), format="png")
    return np.rint(picture[..., :3] * 255).astype(np.int16)


def like(picture: np.ndarray, colour: tuple[int, int, int], within: int = 12) -> int:
    return int((np.abs(picture - np.array(colour)).max(axis=2) <= within).sum())


def settle(page: Page) -> None:
    """Wait until the map has drawn what the filters leave."""
    page.wait_for_function(
        "() => { const m = document.getElementById('map-0')._fullLayout.map._subplot.map;"
        " return m.loaded() && !m.isMoving(); }"
    )
    page.wait_for_timeout(600)


def shown(page: Page) -> str:
    return page.locator("#shown-0").inner_text()


def test_the_map_shows_land_sea_outlines_and_outlets(report: Path, visit: Visit) -> None:
    page = visit(report)
    settle(page)
    picture = pixels(page, "#map-0")
    total = picture.shape[0] * picture.shape[1]
    assert like(picture, (0xE9, 0xEF, 0xF2)) > 0.2 * total, "sea"
    assert like(picture, (0xFB, 0xFB, 0xF8)) > 0.1 * total, "land"
    dense = (picture[..., 0] - picture[..., 2] > 80).sum()
    assert dense > 0.02 * total, "density of outlets"
    assert "59,701 outlets of 3,000 merchants in 246 countries, drawn as density" in shown(page)


def test_a_country_is_zoomed_to_and_its_outlets_are_points(report: Path, visit: Visit) -> None:
    page = visit(report)
    settle(page)
    before = pixels(page, "#map-0")
    page.select_option("#country", "NG")
    settle(page)
    assert shown(page).startswith("3,372 outlets of ")
    assert "in 1 country, drawn as points" in shown(page)
    after = pixels(page, "#map-0")
    assert (np.abs(after - before).max(axis=2) > 30).mean() > 0.1
    assert like(after, (0xC2, 0x41, 0x0C), 60) > 500, "points"
    page.check("#tiles")
    settle(page)
    assert "Tiles: the heaviest 1,500, with" in shown(page)
    tiles = pixels(page, "#map-0")
    assert (tiles[..., 1] - tiles[..., 0] > 25).mean() > 0.02, "tiles in green"


@pytest.mark.slow
def test_a_merchant_is_found_and_everything_comes_back(report: Path, visit: Visit) -> None:
    page = visit(report)
    page.fill("#merchant", "259")
    settle(page)
    assert "of 1 merchant in" in shown(page)
    page.fill("#merchant", "no such merchant")
    assert page.locator("#merchant").get_attribute("aria-invalid") == "true"
    page.click("#reset")
    settle(page)
    assert shown(page).startswith("59,701 outlets")


@pytest.mark.slow
def test_no_button_of_the_toolbar_asks_the_network(report: Path, visit: Visit) -> None:
    page = visit(report)  # fails at its end when anything was requested
    settle(page)
    windows: list[str] = []
    page.context.on("page", lambda opened: windows.append(opened.url))
    page.on("dialog", lambda dialog: windows.append(dialog.message))
    page.hover("#map-0")
    buttons = page.locator(".modebar-btn")
    titles = [button.get_attribute("data-title") for button in buttons.all()]
    assert titles == ["Pan", "Zoom in", "Zoom out", "Reset view"]
    for button in buttons.all():
        before = page.url
        button.click()
        settle(page)
        assert page.url == before
    assert page.locator("[class*=cloud]").count() == 0
    assert windows == []
    links = page.locator("a[href], form[action], [src], link[href]").evaluate_all(
        "all => all.map((one) => one.getAttribute('href') || one.getAttribute('src'))"
    )
    assert {link for link in links if not link.startswith(("#", "data:"))} == set()


def test_the_browser_refuses_what_a_script_asks_of_the_network(
    report: Path, browser: Browser
) -> None:
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    page = browser.new_page()
    try:
        page.goto(report.as_uri())
        refused = page.evaluate(
            """async (url) => {
                const seen = [];
                const note = (one) => seen.push(one.effectiveDirective);
                addEventListener("securitypolicyviolation", note);
                await fetch(`${url}/fetch`).catch(() => 0);
                new Image().src = `${url}/image`;
                for (const [kind, field] of [["script", "src"], ["iframe", "src"]]) {
                    const element = document.createElement(kind);
                    element[field] = `${url}/${kind}`;
                    document.body.append(element);
                }
                await new Promise((done) => setTimeout(done, 500));
                return seen.sort();
            }""",
            f"http://127.0.0.1:{server.server_address[1]}",
        )
    finally:
        page.close()
        server.shutdown()
        thread.join()
        server.server_close()
    assert refused == ["connect-src", "frame-src", "img-src", "script-src-elem"]
    assert asked == []


@pytest.mark.slow
def test_near_by_density_turns_into_points(report: Path, visit: Visit) -> None:
    page = visit(report)
    settle(page)
    drawn = "(({radius, zmax}) => ({radius, zmax}))(document.getElementById('map-0').data[0])"
    before = page.evaluate(drawn)
    page.evaluate(
        "() => { Plotly.relayout('map-0', {'map.zoom': 3, 'map.center': {lon: 8, lat: 9}}); }"
    )
    page.wait_for_function(f"{drawn}.radius > {2 * before['radius']}")
    assert page.evaluate(drawn)["zmax"] <= before["zmax"]
    page.evaluate(
        "() => { Plotly.relayout('map-0', {'map.zoom': 5, 'map.center': {lon: 8, lat: 9}}); }"
    )
    page.wait_for_function(
        "document.getElementById('shown-0').textContent.includes('drawn as points')"
    )
    kinds = page.evaluate("document.getElementById('map-0').data.map((trace) => trace.type)")
    assert kinds == ["scattermap"]


@pytest.mark.slow
def test_the_line_below_the_map_counts_all_outlets_when_some_are_embedded(
    world: RunResult, tmp_path: Path, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "SITES_MOST", 10_000)
    out = tmp_path / "sixth.html"
    page_of(world, out)
    page = visit(out)
    assert shown(page) == (
        "59,701 outlets of 3,000 merchants in 246 countries, drawn as density. "
        "The density counts all."
    )
    page.select_option("#country", "NG")
    settle(page)
    said = re.fullmatch(
        r"3,372 outlets of 120 merchants in 1 country, drawn as points\. "
        r"One of every 6 is embedded: (\d+) points are drawn\.",
        shown(page),
    )
    assert said
    assert 400 < int(said[1]) < 700
    # A merchant none of whose outlets is drawn is known all the same.
    page.click("#reset")
    alone = page.evaluate(
        "[...document.querySelectorAll('#merchants option')].map((option) => option.value)"
    )
    assert len(alone) == 3000

    monkeypatch.setattr(payload, "PAIRS_MOST", 100)
    page_of(world, out, replace=True)
    page = visit(out)
    assert shown(page).startswith("59,701 outlets in 246 countries, drawn as density.")
    page.select_option("#country", "NG")
    settle(page)
    assert shown(page).startswith("3,372 outlets in 1 country, drawn as points.")


def test_every_question_has_a_chart_and_one_sentence(report: Path, visit: Visit) -> None:
    page = visit(report)
    cards = page.locator(".questions .card")
    assert cards.count() == 8
    for number in range(cards.count()):
        card = cards.nth(number)
        assert card.locator("svg.main-svg").count() >= 1
        assert len(card.locator(".answer").inner_text()) > 40
        assert card.locator(".chart").get_attribute("aria-label")
    assert (
        "each of the 4,635 pairs"
        in page.locator("section:has(#q-conservation) .answer").inner_text()
    )
    assert page.locator("tr.good").count() == 13
    assert page.locator("tr.bad").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_is_wider_than_the_screen(report: Path, visit: Visit, width: int) -> None:
    page = visit(report, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    settle(page)
    subplot = "document.getElementById('map-0')._fullLayout.map._subplot.map"
    assert -65 < page.evaluate(f"{subplot}.getBounds().getSouth()") < -50, "no Antarctica"
    picture = pixels(page, "#map-0")
    assert like(picture, (0x6B, 0x1D, 0x00), 30) < 0.02 * picture.shape[0] * picture.shape[1]


@pytest.mark.slow
def test_dark_mode_follows_the_system_and_the_button(report: Path, visit: Visit) -> None:
    page = visit(report, color_scheme="dark")
    settle(page)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert pixels(page, "#map-0").mean() < 90
    page.click("#theme")
    settle(page)
    assert pixels(page, "#map-0").mean() > 150


@pytest.mark.slow
def test_the_keyboard_reaches_every_control(report: Path, visit: Visit) -> None:
    page = visit(report)
    reached = []
    for _ in range(7):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.className")
        )
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", reached[-1]
    assert reached[:6] == ["skip", "theme", "country", "merchant", "tiles", "reset"]
    page.focus("#country")
    page.keyboard.type("NG")
    page.keyboard.press("Enter")
    page.wait_for_function("document.getElementById('shown-0').textContent.startsWith('3,372')")


@pytest.mark.slow
def test_the_wheel_alone_moves_the_page_and_not_the_map(report: Path, visit: Visit) -> None:
    page = visit(report)
    settle(page)
    zoom = "document.getElementById('map-0')._fullLayout.map._subplot.map.getZoom()"
    before = page.evaluate(zoom)
    page.mouse.move(700, 600)
    page.mouse.wheel(0, 200)
    page.wait_for_function("scrollY > 100")
    assert page.evaluate(zoom) == before
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.wait_for_function(f"{zoom} > {before} + 0.1")
    page.keyboard.up("Control")


def test_without_webgl_the_map_says_so_and_the_rest_is_there(
    report: Path, browser: Browser
) -> None:
    page = browser.new_page()
    page.add_init_script(
        "const own = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
        " return kind.startsWith('webgl') ? null : own.call(this, kind, ...more); };"
    )
    page.goto(report.as_uri())
    page.wait_for_function("document.documentElement.dataset.ready === 'yes'", timeout=60_000)
    assert page.locator("#map-0").inner_text().startswith("The map needs WebGL")
    page.select_option("#country", "NG")
    assert shown(page).startswith("3,372 outlets of ")
    assert page.locator(".chart .main-svg").count() >= 8
    assert page.get_by_text("Map and charts need JavaScript").count() == 0
    page.close()


def test_without_scripts_the_sentences_are_there(report: Path, browser: Browser) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(report.as_uri())
    assert page.get_by_text("Map and charts need JavaScript").is_visible()
    assert page.get_by_text("59,701 in all").is_visible()
    page.close()


@pytest.mark.slow
def test_it_prints(report: Path, visit: Visit) -> None:
    page = visit(report)
    settle(page)
    widths = (
        "[...document.querySelectorAll('.chart .main-svg, .map canvas')]"
        ".map((div) => div.getBoundingClientRect().width)"
    )
    before = page.evaluate(widths)
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert max(page.evaluate(widths)) <= 621, "wider than the sheet"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(widths) == before
    printed = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 3
