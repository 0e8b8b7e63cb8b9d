"""The embedded world's page, made once, and a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from segment1b import contracts
from segment1b.identity import Identity
from segment1b.page.page import write_page
from segment1b.pipeline.outcome import RunResult
from segment1b.storage.snapshot import Snapshot

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]


def page_of(world: RunResult, out: Path, root: Path | None = None, **more: Any) -> Path:
    """Write the page of a run, or of a copy of its root."""
    identity = Identity(**world.identity)  # type: ignore[arg-type]
    run = Snapshot(root or world.root, contracts.load(), identity.places)
    return write_page(run, out, **more)


@pytest.fixture(scope="session")
def world(embedded_world: RunResult) -> RunResult:
    """Return the embedded world, whose page is looked at."""
    return embedded_world


@pytest.fixture(scope="session")
def report(world: RunResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write its page."""
    return page_of(world, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Chromium, as Debian ships it."""
    if not Path(CHROMIUM).exists() or not shutil.which("chromium"):
        pytest.fail(f"{CHROMIUM} is not there: apt-get install chromium chromium-driver")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a file in a page of its own; at the end nothing may have failed or left the machine."""
    opened: list[tuple[Page, list[str]]] = []

    def check(url: str, complaints: list[str]) -> None:
        if not url.startswith(("file:", "data:", "blob:")):
            complaints.append(f"asks for {url}")

    def open_file(path: Path, width: int = 1440, height: int = 900, **more: Any) -> Page:
        page = browser.new_page(viewport={"width": width, "height": height}, **more)
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: check(request.url, complaints))
        opened.append((page, complaints))
        page.goto(path.as_uri())
        page.wait_for_function("document.documentElement.dataset.ready === 'yes'", timeout=60_000)
        return page

    yield open_file
    for page, complaints in opened:
        page.close()
        assert complaints == []
