"""Pages of three worlds, each made and opened once, in a real browser."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from playwright.sync_api import Browser, Page
from rasterio.transform import from_origin

import bring
import worlds
from segment1b import contracts
from segment1b.identity import Identity
from segment1b.page.page import write_page
from segment1b.pipeline.outcome import RunResult
from segment1b.storage.snapshot import Snapshot

#: Ids that would be harmful as HTML, as formulas, in CSV or in a shell.
HOSTILE = (
    '=HYPERLINK("http://127.0.0.1:9/","x")',
    "<img src=x onerror=document.title='broken'>",
    '"; rm -rf ~ #, ü',
    "plain-1",
)
SQUARES = {"AD": (0, 40), "LU": (3, 40), "NL": (1, 43)}
OUTLETS = 40


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
def squares(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Run a world of three square countries with 40 outlets of each of the hostile merchants."""
    folder = tmp_path_factory.mktemp("squares")
    root = worlds.lay_small_world(folder / "root")
    boxes = {code: shapely.box(x, y, x + 2, y + 2) for code, (x, y) in SQUARES.items()}
    worlds.put_countries(root, boxes)
    raster = worlds.place(root, "population_raster_2025")
    bring.raster(raster, np.ones((70, 70), np.uint32), from_origin(-1, 46, 0.1, 0.1))
    with (folder / "hostile.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["merchant_id", "outlet_id", "country_iso"])
        for number, merchant in enumerate(HOSTILE):
            for j in range(OUTLETS):
                rows.writerow([merchant, f"@{number}-{j}", list(SQUARES)[j % 3]])
    settings = ["prep.basis=area_m2"]
    listed = folder / "hostile.csv"
    return worlds.run(root, outlets=listed, settings=settings, to_state="s9", engine="serial")


@pytest.fixture(scope="session")
def squares_report(squares: RunResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of the squares."""
    return page_of(squares, tmp_path_factory.mktemp("page") / "squares.html")


def until(page: Page, expression: str) -> None:
    """Wait until a condition holds; the page's policy refuses wait_for_function, which evals."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"never: {expression}")


class Visitor:
    """Opens files in pages of their own, and keeps what these should not have done."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.pages: list[Page] = []
        self.complaints: list[str] = []

    def __call__(
        self, path: Path, width: int = 1440, height: int = 900, fragment: str = "", **more: Any
    ) -> Page:
        page = self._browser.new_page(viewport={"width": width, "height": height}, **more)
        keep = self.complaints.append
        page.on("console", lambda m: keep(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: keep(str(error)))
        page.on("request", lambda request: self._check(request.url))
        self.pages.append(page)
        page.goto(path.as_uri() + fragment)
        page.locator("html[data-ready=yes]").wait_for(state="attached", timeout=60_000)
        return page

    def _check(self, url: str) -> None:
        if not url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(f"requests {url}")

    def close(self) -> None:
        """Close the pages; nothing may have failed or left the machine."""
        for page in self.pages:
            page.close()
        assert self.complaints == []


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visitor]:
    """Open files in pages of their own."""
    visitor = Visitor(browser)
    yield visitor
    visitor.close()


@pytest.fixture(scope="session")
def opened_demo(browser: Browser, report: Path) -> Iterator[Page]:
    """Open the page of the embedded world once, for all tests that leave it as it was."""
    visitor = Visitor(browser)
    yield visitor(report)
    visitor.close()


@pytest.fixture(scope="session")
def opened_squares(browser: Browser, squares_report: Path) -> Iterator[Page]:
    """Open the page of the squares once, for all tests that leave it as it was."""
    visitor = Visitor(browser)
    yield visitor(squares_report)
    visitor.close()


def _afresh(page: Page) -> Page:
    page.evaluate("choose({country: '', merchant: '', trade: '', tiles: false}); scrollTo(0, 0)")
    return page


@pytest.fixture
def demo(opened_demo: Page) -> Page:
    """Return the open page of the embedded world, at its first view."""
    return _afresh(opened_demo)


@pytest.fixture
def square(opened_squares: Page) -> Page:
    """Return the open page of the squares, at its first view."""
    return _afresh(opened_squares)
