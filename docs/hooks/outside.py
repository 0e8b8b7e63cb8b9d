"""Files at the repository's top become pages, and links between them and docs/ lead there.

In a repository viewer a page links to `../README.md`; in the site that file is a page of its own.
Sources stay as they are; only what the site is built from is changed.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).parents[2]
#: Where a file of the repository is in the site.
PLACES: Mapping[str, str] = {
    "README.md": "project/README.md",
    "CONTRIBUTING.md": "project/CONTRIBUTING.md",
    "CHANGELOG.md": "project/CHANGELOG.md",
    "NOTICE.md": "project/NOTICE.md",
    "LICENSE": "project/LICENSE.txt",
}
_SOURCES = {place: name for name, place in PLACES.items()}
_FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files at the repository's top."""
    for name, place in PLACES.items():
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links of a page to where their targets are in the site."""
    here = page.file.src_uri
    source = _SOURCES.get(here, f"docs/{here}")

    def led(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        inside = target.removeprefix("docs/") if target.startswith("docs/") else None
        place = inside or PLACES.get(target)
        if place is None:
            return link[0]  # mkdocs itself says that it leads nowhere
        return link[1] + posixpath.relpath(place, posixpath.dirname(here) or ".") + link[3]

    parts = _FENCE.split(markdown)
    return "".join(p if p.lstrip().startswith("```") else _LINK.sub(led, p) for p in parts)
