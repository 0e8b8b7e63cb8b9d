"""The documentation site: built without network or warning, whole, loading nothing from afar."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser

from segment1b import contracts
from segment1b.errors import CODES

REPOSITORY = Path(__file__).parents[2]
#: What a browser fetches by itself, by element and attribute.
FETCHED = {
    ("link", "href"),
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("source", "srcset"),
    ("video", "src"),
    ("audio", "src"),
    ("embed", "src"),
    ("object", "data"),
}
_WITHOUT_NETWORK = """
import socket, sys

def refuse(*_):
    raise SystemExit("the documentation asked for the network")

socket.socket.connect = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli(sys.argv[1:])
"""


class Page(HTMLParser):
    """The links, fetched things and anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (tag, name) in FETCHED:
                self.fetched.append(value)
            if value and tag == "a" and name == "href":
                self.links.append(value)
            if value and (name == "id" or (tag == "a" and name == "name")):
                self.anchors.add(value)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Build the site where nothing can reach the network; return its folder and the log."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_NETWORK, "build", "--strict", "--site-dir", folder],
        cwd=REPOSITORY,
        env={"PATH": "", "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "default"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(built: tuple[Path, str]) -> dict[Path, Page]:
    return {path: Page(path) for path in built[0].rglob("*.html")}


def test_the_site_is_built_without_a_warning(built: tuple[Path, str]) -> None:
    assert [line for line in built[1].splitlines() if not line.startswith("INFO")] == []


def test_every_document_is_a_page(built: tuple[Path, str]) -> None:
    """What has no line in the navigation is a warning; this is about what is made."""
    for name in ("index", "tour", "faq", "datasets", "error_codes", "api", "project/index"):
        assert (built[0] / f"{name}.html").is_file(), name
    assert not (built[0] / "hooks").exists()


def test_no_page_loads_anything_from_elsewhere(
    built: tuple[Path, str], site: dict[Path, Page]
) -> None:
    """Fonts, scripts, styles and pictures lie in the site itself."""
    for path, page in site.items():
        for target in page.fetched:
            assert not urlsplit(target).netloc, (path.name, target)
            assert not target.startswith("http"), (path.name, target)
    for style in built[0].rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", text), style.name


def test_no_link_within_the_site_is_broken(built: tuple[Path, str], site: dict[Path, Page]) -> None:
    """Files exist, anchors too, and nothing points out of the folder."""
    broken = [
        (path.relative_to(built[0]).as_posix(), target)
        for path, page in site.items()
        if path.name != "404.html"  # served under any path, so its links are absolute
        for target in (*page.links, *page.fetched)
        if not leads_somewhere(built[0], path, target, site)
    ]
    assert broken == []


def leads_somewhere(folder: Path, path: Path, target: str, site: dict[Path, Page]) -> bool:
    """Return whether a link ends at a file of the site and, if it names one, at an anchor."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return True
    file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not file.is_file() or not file.is_relative_to(folder):
        return False
    anchor = unquote(parts.fragment)
    return not anchor or anchor == "__toc" or file not in site or anchor in site[file].anchors


def test_generated_pages_are_complete(site: dict[Path, Page], built: tuple[Path, str]) -> None:
    """Every dataset and every code has its place, with what the dictionary says of it."""
    datasets = (built[0] / "datasets.html").read_text(encoding="utf-8")
    for dataset in contracts.load():
        assert dataset.id.lower() in site[built[0] / "datasets.html"].anchors, dataset.id
        assert dataset.path in datasets, dataset.id
        assert all(f"<code>{column.name}</code>" in datasets for column in dataset.columns)
    codes = (built[0] / "error_codes.html").read_text(encoding="utf-8")
    rows = re.findall(r"<td><code>(E\w+)</code></td>(.*?)</tr>", codes, re.DOTALL)
    assert [code for code, _ in rows] == list(CODES)
    assert all('href="runbooks/' in row for _, row in rows)
    assert "read_site_locations" in (built[0] / "api.html").read_text(encoding="utf-8")


def test_the_search_finds_a_page_when_the_site_is_opened_from_the_disk(
    built: tuple[Path, str], browser: Browser
) -> None:
    """In a real browser, which refuses workers there; and nothing is fetched from elsewhere."""
    page = browser.new_page()
    wanted: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: wanted.append(urlsplit(request.url).scheme))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text))
    page.goto((built[0] / "index.html").as_uri())
    page.keyboard.press("f")
    page.keyboard.type("collapse index")
    first = page.locator(".md-search-result__item a").first
    first.wait_for()
    first.click()
    page.wait_for_url("**/laws.html*")
    page.close()
    assert set(wanted) <= {"file", "data", "blob"}
    assert complaints == []


def test_the_source_of_a_page_reads_well_in_a_repository_too() -> None:
    """Links go to files of the repository, not to pages that only the site has."""
    for path in documents():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\]\([^)]*(?:project/|datasets\.md|error_codes\.md|api\.md)", text)
        assert ":::" not in text


def documents() -> Iterator[Path]:
    yield from (REPOSITORY / "docs").rglob("*.md")
    yield REPOSITORY / "README.md"
