"""The page in a real browser, as somebody meets it who opens the file."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from playwright.sync_api import Page

from page.conftest import Visitor, page_of, until
from segment1b.page import payload
from segment1b.pipeline.outcome import RunResult

SEA, LAND = (0xE3, 0xEB, 0xF0), (0xFB, 0xFB, 0xF8)
VIEW = "(({lat, lon, zoom}) => [lat, lon, zoom])(viewOf(runs[0]))"


def settle(page: Page) -> None:
    """Wait until the map has drawn what was chosen."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def pixels(page: Page, selector: str = "#map-0") -> np.ndarray:
    """Return a screenshot of an element, int16 [height, width, 3]."""
    settle(page)
    picture = imread(io.BytesIO(page.locator(selector).screenshot()), format="png")
    return np.rint(picture[..., :3] * 255).astype(np.int16)


def like(picture: np.ndarray, colour: tuple[int, int, int], within: int = 12) -> float:
    """Return the share of pixels that are like a colour."""
    return float((np.abs(picture - np.array(colour)).max(axis=2) <= within).mean())


def shown(page: Page) -> str:
    settle(page)
    return page.locator("#shown-0").inner_text()


def test_the_map_shows_land_sea_outlines_and_the_density_of_outlets(demo: Page) -> None:
    picture = pixels(demo)
    assert like(picture, SEA) > 0.2
    assert like(picture, LAND) > 0.1
    assert (picture[..., 0] - picture[..., 2] > 80).mean() > 0.02, "density of outlets"
    assert shown(demo) == "59,701 outlets of 3,000 merchants in 246 countries, drawn as density."


def test_the_legend_explains_each_colour_of_the_density_and_the_bar_the_scale(demo: Page) -> None:
    settle(demo)
    items = demo.locator(".mapbox .legend li").all_inner_texts()
    assert items[0] == "outlets in a cell of 0.5°"
    lows = [int(item.split(" to ")[0].replace(",", "")) for item in items[1:]]
    assert lows[0] == 1
    assert lows == sorted(set(lows))
    painted = demo.locator(".mapbox .swatch").evaluate_all(
        "all => all.map((swatch) => swatch.style.background)"
    )
    assert len(set(painted)) == len(items) - 1
    # The bar is as long as it says on the middle of the map.
    metres = demo.evaluate(
        "40075017 * Math.cos(viewOf(runs[0]).lat * Math.PI / 180) / runs[0].view.k"
        " * document.querySelector('.scale').getBoundingClientRect().width"
    )
    text = demo.locator(".scale").inner_text()
    assert text.endswith(" km")
    assert metres == pytest.approx(1000 * float(text[:-3].replace(",", "")), rel=0.03)


#: What the map writes when it is drawn again.
NAMES = """
    (() => {
        const texts = [], c = runs[0].canvas.getContext('2d'), own = c.fillText;
        c.fillText = (text) => texts.push(text);
        draw(runs[0]);
        c.fillText = own;
        return texts;
    })()
"""


def test_countries_are_named_where_there_is_room_and_large_places_in_a_country(demo: Page) -> None:
    world = set(demo.evaluate(NAMES))
    assert {"China", "Brazil", "Australia"} <= world
    assert not {"Lagos", "Shanghai", "Tokyo"} & world
    demo.select_option("#country", "NG")
    assert {"Nigeria", "Benin", "Lagos", "Kano"} <= set(demo.evaluate(NAMES))
    # On the largest island of their country or on another.
    named = set(demo.evaluate("runs[0].map.places.name"))
    assert {"Jakarta", "Copenhagen", "Kuala Lumpur", "Auckland", "Sapporo", "Tokyo"} <= named


def test_places_outside_the_map_of_their_country_are_not_named(square: Page) -> None:
    assert square.evaluate("runs[0].map.places.name") == []
    assert not {"Paris", "Barcelona"} & set(square.evaluate(NAMES))


def test_at_first_sight_the_map_fits_the_data(square: Page) -> None:
    settle(square)
    (west, north), (east, south) = square.evaluate(
        "[[0, 0], [runs[0].width, runs[0].height]]"
        ".map((p) => runs[0].view.invert(p)).map(([x, y]) => [lonOf(x), latOf(y)])"
    )
    # The squares reach from 0 to 5 degrees of longitude and from 40 to 45 of latitude.
    assert west < 0.2
    assert east > 4.8
    assert south < 40.2
    assert north > 44.8
    assert north - south < 7
    assert shown(square) == "160 outlets of 4 merchants in 3 countries, drawn as points."


def test_a_country_is_zoomed_to_and_its_outlets_are_outlined_points(demo: Page) -> None:
    before = pixels(demo)
    demo.select_option("#country", "NG")
    assert shown(demo).startswith("3,372 outlets of ")
    assert "in 1 country, drawn as points" in shown(demo)
    after = pixels(demo)
    assert (np.abs(after - before).max(axis=2) > 30).mean() > 0.1
    assert like(after, (0x88, 0xCC, 0xEE), 40) > 0.002, "points of the trade with most outlets"
    demo.check("#tiles")
    assert "Tiles: the heaviest 1,500, with" in shown(demo)
    tiles = pixels(demo)
    green = tiles[..., 1] - tiles[..., 0] > 25
    assert green.mean() > 0.02, "tiles in green"
    # Points have a white outline over tiles.
    white = (tiles.min(axis=2) > 225) & np.roll(green, 3, axis=1)
    assert white.mean() > 0.001


def test_a_merchant_is_found_and_one_that_is_not_there_is_named(demo: Page) -> None:
    demo.fill("#merchant", "259")
    assert "of 1 merchant in" in shown(demo)
    demo.fill("#merchant", "nobody <b>")
    assert demo.locator("#no-merchant").inner_text() == "There is no such merchant: nobody <b>"
    assert demo.locator("#merchant").get_attribute("aria-invalid") == "true"
    demo.click("#reset")
    assert demo.locator("#no-merchant").inner_text() == ""
    assert shown(demo).startswith("59,701 outlets")


def test_near_by_density_turns_into_points(demo: Page) -> None:
    assert "density" in shown(demo)
    for _ in range(4):
        demo.click(".zoom .in")
    assert "points" in shown(demo)
    demo.click(".zoom .out")
    demo.click(".zoom .out")
    demo.click(".zoom .out")
    assert "density" in shown(demo)


def test_the_fragment_keeps_view_country_merchant_and_toggles(report: Path, visit: Visitor) -> None:
    page = visit(report)
    page.select_option("#country", "DE")
    page.check("#tiles")
    page.fill("#merchant", "259")
    page.click("#theme")
    page.click(".zoom .in")
    page.click("nav a[href='#checks-0']")
    state = dict(part.split("=") for part in page.url.partition("#")[2].split("&"))
    assert {name: state[name] for name in ("country", "merchant", "tiles", "theme")} == {
        "country": "DE",
        "merchant": "259",
        "tiles": "1",
        "theme": "dark",
    }
    again = visit(report, width=1000, fragment="#" + page.url.partition("#")[2])
    assert again.evaluate(VIEW) == pytest.approx(page.evaluate(VIEW), abs=0.01)
    assert shown(again) == shown(page)
    assert again.is_checked("#tiles")
    assert again.evaluate("document.documentElement.dataset.theme") == "dark"
    again.evaluate("location.hash = '#country=NL'")
    until(again, "document.getElementById('shown-0').textContent.startsWith('563')")
    for harmful in ("#country=%3Cb%3E&view=NaN,1,2&merchant=%22", "#view=9e9,9e9,9e9", "#main"):
        visit(report, fragment=harmful)


@pytest.mark.slow
def test_the_line_below_the_map_counts_all_outlets_when_some_are_embedded(
    world: RunResult, tmp_path: Path, visit: Visitor, monkeypatch: pytest.MonkeyPatch
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
    found = re.fullmatch(
        r"3,372 outlets of 120 merchants in 1 country, drawn as points\. "
        r"One of every 6 is embedded: (\d+) points of these\. "
        r"Place names: GeoNames, CC BY 4\.0, rounded\.",
        shown(page),
    )
    assert found
    assert 400 < int(found[1]) < 700
    # A merchant none of whose outlets is drawn is known all the same.
    assert page.locator("#merchants option").count() == 3000

    monkeypatch.setattr(payload, "PAIRS_MOST", 100)
    page_of(world, out, replace=True)
    page = visit(out)
    assert shown(page).startswith("59,701 outlets in 246 countries, drawn as density.")
    page.select_option("#country", "NG")
    assert shown(page).startswith("3,372 outlets in 1 country, drawn as points.")
    assert "too many pairs" in page.locator("#merchants-0").inner_text()


def test_every_question_has_one_sentence_and_a_chart_where_there_is_something_to_draw(
    demo: Page, square: Page
) -> None:
    cards = demo.locator(".questions .card")
    assert cards.count() == 7
    for card in cards.all():
        assert card.locator(".chart > svg").count() == 1
        assert len(card.locator(".answer").inner_text()) > 40
        assert card.locator(".chart").get_attribute("aria-label")
    conservation = demo.locator("section:has(#q-conservation) .answer").inner_text()
    assert "each of the 4,635 pairs" in conservation
    assert square.locator("#q-prior").inner_text() == "Do outlets follow the area?"
    for card in square.locator(".questions .card:has(.chart)").all():
        assert card.locator(".chart svg [aria-label]:not([aria-label*=axis])").count() >= 1


def test_the_head_has_list_date_and_sources_and_only_what_is_true_of_this_run(
    demo: Page, square: Page
) -> None:
    stats = dict(
        zip(
            square.locator(".stats dt").all_inner_texts(),
            square.locator(".stats dd").all_inner_texts(),
            strict=True,
        )
    )
    assert stats["outlet list"] == "hostile"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", stats["checked on"])
    assert "outlets hostile.csv" in square.locator(".sources").inner_text()
    synthetic, sample = "synthetic prior", "merchants of the sample are made up"
    assert synthetic in demo.locator(".sources").inner_text()
    assert sample in demo.locator(".sources").inner_text()
    text = square.locator("body").inner_text()
    assert synthetic not in text
    assert sample not in text


def test_every_check_has_a_sentence_and_no_table_scrolls_inside(demo: Page) -> None:
    rows = demo.locator(".checks tbody tr")
    assert rows.count() == 13
    assert demo.locator("tr.good").count() == 13
    assert all(len(row.locator("td").nth(1).inner_text()) > 15 for row in rows.all())
    higher = "all => all.filter((one) => one.scrollHeight > one.clientHeight + 1).length"
    assert demo.locator(".scroll, .checks").evaluate_all(higher) == 0


def test_lineage_is_drawn_with_an_arc_for_each_writer_and_reader(demo: Page) -> None:
    graph = demo.locator("svg.graph")
    assert graph.locator("rect").count() == 10
    arcs = graph.locator("path title").all_text_contents()
    assert "S4 to S5: s4_alloc_plan" in arcs
    assert len({arc.partition(":")[0] for arc in arcs}) == len(arcs)


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_is_wider_than_the_screen(report: Path, visit: Visitor, width: int) -> None:
    page = visit(report, width=width)
    page.select_option("#country", "NG")
    settle(page)
    page.evaluate("showReason(runs[0], 0); showSelection(runs[0], runs[0].inView)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.locator("main").evaluate(
        "main => [...main.querySelectorAll('*')].filter((one) => one.offsetParent"
        " && one.textContent.trim() && parseFloat(getComputedStyle(one).fontSize) < 11)"
        ".map((one) => one.outerHTML.slice(0, 80))"
    )
    assert small == []


def test_dark_mode_follows_the_system_and_the_button(report: Path, visit: Visitor) -> None:
    page = visit(report, color_scheme="dark")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert pixels(page).mean() < 90
    page.click("#theme")
    assert pixels(page).mean() > 150


def test_the_keyboard_reaches_every_control(report: Path, visit: Visitor) -> None:
    page = visit(report)
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.className")
        )
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", reached[-1]
    controls = [
        "theme",
        "country",
        "merchant",
        "trade",
        "tiles",
        "select",
        "list",
        "reset",
        "in",
        "out",
    ]
    assert [name for name in reached if name] == ["skip", *controls]
    page.focus("#country")
    page.keyboard.type("NG")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('shown-0').textContent.startsWith('3,372')")


def test_the_wheel_alone_moves_the_page_and_not_the_map(report: Path, visit: Visitor) -> None:
    page = visit(report)
    before = page.evaluate(VIEW)[2]
    page.mouse.move(700, 600)
    page.mouse.wheel(0, 200)
    until(page, "scrollY > 100")
    assert page.evaluate(VIEW)[2] == before
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    until(page, f"{VIEW}[2] > {before} + 0.1")
    page.keyboard.up("Control")


def test_it_prints(report: Path, visit: Visitor) -> None:
    page = visit(report)
    printed = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 3
