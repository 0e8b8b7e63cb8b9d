"""Tables, selections and reasons of the page, over a list whose names are hostile."""

from __future__ import annotations

import csv
import io
import shlex
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from page.conftest import HOSTILE, OUTLETS, until
from segment1b.outlets.merchants import merchant_number
from segment1b.pipeline.outcome import RunResult
from segment1b.read.replay import replay


def column(page: Page, box: str, number: int) -> list[str]:
    rows = page.locator(f"{box} tbody tr").all()
    return [row.locator("th, td").nth(number).inner_text() for row in rows]


def test_tables_are_sorted_by_the_column_that_is_clicked(demo: Page) -> None:
    box = "#countries-0"
    outlets = [int(text.replace(",", "")) for text in column(demo, box, 1)]
    assert len(outlets) == 20
    assert outlets == sorted(outlets, reverse=True)
    demo.click(f"{box} thead button:text-is('country')")
    assert column(demo, box, 0)[0] == "AD Andorra"
    assert demo.locator(f"{box} th").first.get_attribute("aria-sort") == "ascending"
    demo.click(f"{box} thead button:text-is('country')")
    assert column(demo, box, 0)[0].startswith("ZW")
    demo.click(f"{box} .more")
    assert len(column(demo, box, 0)) == 220
    demo.click("#merchants-0 thead button:text-is('merchant')")
    assert column(demo, "#merchants-0", 0)[:3] == ["1", "2", "3"], "sorted as numbers"


def test_a_row_of_a_table_chooses_on_the_map(square: Page) -> None:
    assert column(square, "#countries-0", 1) == ["56", "52", "52"]
    square.click("#countries-0 tbody button >> nth=0")
    assert square.evaluate("chosen.country") == "AD"
    square.click("#merchants-0 tbody button:text-is('plain-1')")
    assert square.input_value("#merchant") == "plain-1"
    settled = "document.getElementById('shown-0').textContent.startsWith('14 outlets of 1 merch')"
    until(square, settled)


def test_merchants_have_the_owners_names_and_these_are_text(square: Page) -> None:
    assert sorted(column(square, "#merchants-0", 0)) == sorted(HOSTILE)
    assert square.locator("main img").count() == 0
    for merchant in HOSTILE:
        square.fill("#merchant", merchant)
        assert square.locator("#no-merchant").inner_text() == ""
        assert square.evaluate("chosen.merchant") == merchant
    assert square.title().startswith("segment1b: 160 outlets")


def selected(page: Page) -> list[dict[str, str]]:
    """Draw a box over the whole map, and return the file of what is in it."""
    page.locator("#map-0").scroll_into_view_if_needed()
    box: Any = page.locator("#map-0").bounding_box()
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + box["height"] - 5)
    page.mouse.up()
    page.keyboard.up("Shift")
    with page.expect_download() as started:
        page.click("#selection-0 button:text-is('Download CSV')")
    text = Path(started.value.path()).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_box_selects_outlets_and_their_file_holds_no_formula(square: Page) -> None:
    before = square.evaluate("runs[0].view.toString()")
    rows = selected(square)
    assert square.evaluate("runs[0].view.toString()") == before, "the map did not move"
    assert len(rows) == 4 * OUTLETS
    assert square.locator("#selection-0 h3").inner_text() == "160 selected outlets"
    # What a spreadsheet would take for a formula is quoted once; all else is as the owner has it.
    formulas = {text: f"'{text}" for text in HOSTILE if text.startswith("=")}
    assert {row["merchant"] for row in rows} == {formulas.get(text, text) for text in HOSTILE}
    assert all(row["outlet_id"].startswith("'@") for row in rows)
    assert len({row["outlet_id"] for row in rows}) == len(rows)
    assert {float(row["lon_deg"]) // 1 for row in rows} <= {0, 1, 2, 3, 4}


def test_the_keyboard_lists_what_is_in_view_and_why_it_is_there(square: Page) -> None:
    square.select_option("#country", "NL")
    square.focus("#list")
    square.keyboard.press("Enter")
    title = square.locator("#selection-0 h3")
    assert title.inner_text() == "52 selected outlets"
    square.locator("#selection-0 tbody button").first.press("Enter")
    assert square.locator("#reason-0 h3").inner_text() == "Why here?"


@pytest.mark.parametrize(
    ("text", "plain"),
    [("=1", "'=1"), ("+1", "'+1"), ("-1", "'-1"), ("@a", "'@a"), (" =1", "' =1"), ("\t=1", "'\t=1")]
    + [(text, text) for text in ("a=1", "7", "", "ä")],
)
def test_a_text_that_begins_as_a_formula_gets_an_apostrophe(
    square: Page, text: str, plain: str
) -> None:
    assert square.evaluate("plain", text) == plain


def test_a_click_tells_why_an_outlet_is_there_as_replay_does(
    square: Page, squares: RunResult
) -> None:
    square.select_option("#country", "LU")
    square.fill("#merchant", HOSTILE[0])
    square.evaluate(
        "document.getElementById('map-0').scrollIntoView({block: 'center', behavior: 'instant'})"
    )
    spot = square.evaluate(
        """() => {
            draw(runs[0]);
            const i = runs[0].inView[0], box = runs[0].canvas.getBoundingClientRect();
            const [x, y] = runs[0].view.apply([runs[0].x[i], runs[0].y[i]]);
            return [box.left + x, box.top + y];
        }"""
    )
    square.mouse.click(*spot)
    reason = square.locator("#reason-0")
    names, values = (reason.locator(kind).all_inner_texts() for kind in ("dt", "dd"))
    found = dict(zip(names, values, strict=True))
    command = shlex.split(reason.locator("code").inner_text())
    # An id that a shell would not read as one word is given by its number.
    number = merchant_number(HOSTILE[0])
    assert command[:4] == ["segment1b", "replay", "--merchant", str(number)]
    site = int(command[-1])
    told = replay(squares.root, number, "LU", site)
    assert found["merchant"] == HOSTILE[0] == told["merchant"]
    assert found["outlet"] == told["outlet_id"]
    assert found["tile"].startswith(f"{told['tile_id']}, with 0.2")
    point = told["s5"]["fraction_of_the_line"]
    line = found["point on the allocation line"].partition(" ")[0]
    assert float(line) == pytest.approx(point, abs=2e-12)
    assert found["draw"] == f"attempt {len(told['attempts'])} was accepted, drawn in the whole tile"
    lat, lon = map(float, found["coordinates"].split(", "))
    assert (lon, lat) == pytest.approx(tuple(told["published"].values()), abs=1e-6)


def test_a_plain_id_is_in_the_command_as_it_is(square: Page) -> None:
    square.fill("#merchant", "plain-1")
    square.evaluate("draw(runs[0]); showReason(runs[0], runs[0].inView[0])")
    command = square.locator("#reason-0 code").inner_text()
    assert command.startswith("segment1b replay --merchant plain-1 --country ")
    square.evaluate("document.querySelector('#reason-0 button').click()")
    assert square.locator("#reason-0").is_hidden()
