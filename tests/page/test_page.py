"""The page in a real browser, as somebody meets it who opens the file."""

from __future__ import annotations

import io
import json
import re
import shutil
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from playwright.sync_api import Browser, Page
from typer.testing import CliRunner

from segment1b import contracts
from segment1b.cli.app import app
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.page import payload
from segment1b.page.page import write_page
from segment1b.pipeline.outcome import RunResult

Visit = Callable[..., Page]
MEGABYTE = 1_000_000


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
    write_page(world.root, contracts.load(), Identity(**world.identity), out)
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
    write_page(world.root, contracts.load(), Identity(**world.identity), out, replace=True)
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


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_is_wider_than_the_screen(report: Path, visit: Visit, width: int) -> None:
    page = visit(report, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    settle(page)
    subplot = "document.getElementById('map-0')._fullLayout.map._subplot.map"
    assert -65 < page.evaluate(f"{subplot}.getBounds().getSouth()") < -50, "no Antarctica"
    picture = pixels(page, "#map-0")
    assert like(picture, (0x6B, 0x1D, 0x00), 30) < 0.02 * picture.shape[0] * picture.shape[1]


def test_dark_mode_follows_the_system_and_the_button(report: Path, visit: Visit) -> None:
    page = visit(report, color_scheme="dark")
    settle(page)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert pixels(page, "#map-0").mean() < 90
    page.click("#theme")
    settle(page)
    assert pixels(page, "#map-0").mean() > 150


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


def test_the_same_root_gives_the_same_bytes(world: RunResult, report: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.html"
    write_page(world.root, contracts.load(), Identity(**world.identity), again)
    assert again.read_bytes() == report.read_bytes()
    assert report.stat().st_size < 12 * MEGABYTE


def test_a_world_without_a_flag_says_so(world: RunResult, tmp_path: Path, visit: Visit) -> None:
    root = tmp_path / "unproven"
    shutil.copytree(world.root, root, symlinks=True)
    next(root.glob("data/layer1/1B/validation/*/_passed.flag")).unlink()
    out = tmp_path / "unproven.html"
    write_page(root, contracts.load(), Identity(**world.identity), out)
    page = visit(out)
    assert page.locator("[role=alert]").inner_text().startswith("Not proven.")
    assert page.locator(".verdict.pass").count() == 0
    assert str(tmp_path) not in out.read_text(encoding="utf-8")


def test_a_refused_run_shows_the_checks_of_the_latest_attempt(
    world: RunResult, tmp_path: Path
) -> None:
    root = tmp_path / "refused"
    shutil.copytree(world.root, root, symlinks=True)
    bundle = next(root.glob("data/layer1/1B/validation/fingerprint=*"))
    aside = root / "data/layer1/1B/validation_failed" / bundle.name
    (bundle / "_passed.flag").unlink()
    summary = json.loads((bundle / "s9_summary.json").read_text())
    said = json.loads((bundle / "MANIFEST.json").read_text())
    names = sorted(summary["checks"])
    for attempt, (name, seed) in enumerate(
        [(names[0], 42), (names[1], 42), (names[2], 43)], start=9
    ):
        shutil.copytree(bundle, aside / f"attempt={attempt}")
        checks = {**summary["checks"], name: {**summary["checks"][name], "failures": 7}}
        (aside / f"attempt={attempt}/s9_summary.json").write_text(
            json.dumps({**summary, "checks": checks})
        )
        (aside / f"attempt={attempt}/MANIFEST.json").write_text(json.dumps({**said, "seed": seed}))
    shutil.rmtree(bundle)
    out = tmp_path / "refused.html"
    write_page(root, contracts.load(), Identity(**world.identity), out)
    text = out.read_text(encoding="utf-8")
    assert "S9 refused this run." in text
    assert f"{aside.relative_to(root).as_posix()}/attempt=10<" in text
    assert re.findall(r'<tr class="bad"><th scope="row">(\w+)', text) == [names[1]]
    assert "12 of 13 acceptance checks pass" in text
    assert "Proven.</strong>" not in text.replace("Not proven.</strong>", "")


@pytest.mark.slow
def test_a_root_without_its_reference_surfaces_has_a_page_without_outlines(
    world: RunResult, tmp_path: Path, visit: Visit
) -> None:
    root, out = tmp_path / "bare", tmp_path / "bare.html"
    shutil.copytree(world.root, root, symlinks=True)
    shutil.rmtree(root / "reference")
    page = visit(write_page(root, contracts.load(), Identity(**world.identity), out))
    page.select_option("#country", "NG")
    page.check("#tiles")
    page.wait_for_function("document.getElementById('shown-0').textContent.startsWith('3,372')")
    assert page.locator(".questions .card").count() == 8


def test_a_file_that_exists_is_replaced_only_when_asked(world: RunResult, tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "report.html"
    victim.write_text("precious")
    out.symlink_to(victim)
    for more in ([], ["--compare", str(world.root), str(world.root)]):
        command = ["page", "--data-root", str(world.root), "--out", str(out), *more]
        done = CliRunner().invoke(app, command)
        assert isinstance(done.exception, Segment1BError)
        assert done.exception.code == "E_USAGE"
        assert "--replace" in done.exception.hint
        assert out.is_symlink()
    command = ["page", "--data-root", str(world.root), "--out", str(out), "--replace"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert not out.is_symlink()
    assert "</html>" in out.read_text(encoding="utf-8")[-20:]
    assert victim.read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"victim", "report.html"}


@pytest.mark.slow
def test_a_run_that_ended_early_has_a_page_too(
    world: RunResult, tmp_path: Path, visit: Visit
) -> None:
    root = tmp_path / "early"
    shutil.copytree(world.root / "reference", root / "reference")
    command = ["run", "--data-root", str(root), "--to-state", "s4", "--quiet"]
    assert CliRunner().invoke(app, command).exit_code == 0
    out = tmp_path / "early.html"
    done = CliRunner().invoke(app, ["page", "--data-root", str(root), "--out", str(out)])
    assert done.exit_code == 0, done.output
    page = visit(out)
    assert "No outlets are published." in shown(page)
    assert "Not published: S5, S6, S7, S8, S9." in page.inner_text("main")


def test_two_runs_stand_side_by_side(world: RunResult, tmp_path: Path, visit: Visit) -> None:
    out, other = tmp_path / "two.html", tmp_path / "other"
    shutil.copytree(world.root, other, symlinks=True)
    report = next(other.glob("control/s4_alloc_plan/**/s4_run_report.json"))
    said = json.loads(report.read_text())
    said["input_digests"]["tile_weights"] = "0" * 64
    report.write_text(json.dumps({**said, "collapse_index": said["collapse_index"] - 0.25}))
    command = ["page", "--compare", str(world.root), str(other), "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    page = visit(out)
    assert page.locator(".map").count() == 2
    page.select_option("#country", "NG")
    page.wait_for_function("document.getElementById('shown-1').textContent.startsWith('3,372')")
    assert page.locator("h1").all_inner_texts()[0].startswith("A: ")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    assert out.stat().st_size < 20 * MEGABYTE
    rows = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in page.locator(".differences tbody tr").all()
    }
    # What S9 read of S4's report is not what it says now either.
    broken = page.locator("section:has(#chain-1) [role=alert]").inner_text()
    assert "2 of 70 digests read are not" in broken
    assert broken.endswith("S4 tile_weights, S9 s4_run_report.")
    whole = page.locator("section:has(#chain-0)").inner_text()
    assert "70 of 70 digests read equal what an earlier state wrote" in whole
    assert rows["outlets"] == ["59,701", "59,701", "none"]
    assert rows["collapse index"] == ["1.043", "0.793", "-0.250"]
    first, second = (page.locator(f"#collapse-{number}").bounding_box() for number in (0, 1))
    assert first
    assert second
    assert first["y"] == pytest.approx(second["y"], abs=60)
    assert first["x"] + first["width"] <= second["x"]


def test_what_is_embedded_cannot_end_its_script(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    worlds = re.findall(r'<script type="application/json" class="world">(.*?)</script>', text, re.S)
    assert len(worlds) == 1
    assert not set("<>&") & set(worlds[0])
    assert text.count("</script>") == 3
