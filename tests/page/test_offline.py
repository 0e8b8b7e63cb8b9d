"""The page makes no request, runs no foreign script, and is of use where it cannot run its own."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from chromium import ARGUMENTS, CHROMIUM


def test_the_browser_refuses_scripts_and_requests_of_others(report: Path, browser: Browser) -> None:
    requested: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
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
                const inline = document.createElement("script");
                inline.textContent = "document.title = 'inline'";
                document.body.append(inline);
                document.body.insertAdjacentHTML("beforeend", "<a onclick='alert(1)'>x</a>");
                document.body.lastElementChild.click();
                for (let left = 500; left && new Set(seen).size < 5; left--)
                    await new Promise((done) => setTimeout(done, 20));
                return [...new Set(seen)].sort();
            }""",
            f"http://127.0.0.1:{server.server_address[1]}",
        )
        assert page.title() != "inline"
    finally:
        page.close()
        server.shutdown()
        thread.join()
        server.server_close()
    scripts = ["script-src-attr", "script-src-elem"]
    assert refused == ["connect-src", "frame-src", "img-src", *scripts]
    assert requested == []


def test_no_link_leads_out_of_the_file(demo: Page) -> None:
    links = demo.locator("a[href], form[action], [src], link[href]").evaluate_all(
        "all => all.map((one) => one.getAttribute('href') || one.getAttribute('src'))"
    )
    assert {link for link in links if not link.startswith(("#", "data:"))} == set()
    targets = [link[1:] for link in links if link.startswith("#")]
    assert all(demo.locator(f"[id='{target}']").count() == 1 for target in targets)


def test_a_browser_that_cannot_unpack_the_data_is_told_and_the_sentences_are_there(
    report: Path, browser: Browser
) -> None:
    page = browser.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(report.as_uri())
    page.get_by_text("Map, charts and tables could not be drawn").wait_for()
    assert page.get_by_text("59,701 in all").is_visible()
    page.close()


def test_without_scripts_the_sentences_are_there(
    report: Path, demo: Page, browser: Browser
) -> None:
    off = [*ARGUMENTS, "--blink-settings=scriptEnabled=false"]
    scriptless = browser.browser_type.launch(executable_path=CHROMIUM, args=off)
    page = scriptless.new_page()
    page.goto(report.as_uri())
    # Elements are in a noscript element only where scripts are off.
    assert page.locator("noscript p").count() == 1
    assert "59,701 in all" in page.locator("main").aria_snapshot()
    scriptless.close()
    # Where scripts are on, there is no warning at any time.
    assert demo.locator("noscript p").count() == 0
    assert demo.locator("noscript").count() == 1
