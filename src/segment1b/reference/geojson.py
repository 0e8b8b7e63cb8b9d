"""The CRS named by a GeoJSON file: GDAL assumes WGS84 for a CRS that it does not know."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_KEY: Final = re.compile(rb'"crs"\s*:')
#: Strings and braces. A key inside one pair of braces is of the file itself.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}]', re.DOTALL)
_VALUE_BYTES: Final = 1 << 16
_WGS84: Final = re.compile(
    r"(?:urn:(?:x-)?ogc:def:crs:)?(?:EPSG:(?:[\d.]*:)?4326|(?:OGC:(?:[\d.]*:)?)?CRS:?84)"
    r"|https?://www\.opengis\.net/def/crs/(?:EPSG/[\d.]+/4326|OGC/[\d.]+/CRS84)",
    re.IGNORECASE,
)


def other_crs(file: Path) -> str | None:
    """Return the CRS of a GeoJSON file if it is not WGS84; links are not followed."""
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for value in _named(data):
            if not _is_wgs84(value):
                return json.dumps(value)[:200]
    return None


def _named(data: mmap.mmap) -> Iterator[Any]:
    last = max((key.start() for key in _KEY.finditer(data)), default=-1)
    depth = 0
    for token in _TOKEN.finditer(data, 0, last + len('"crs"') if last >= 0 else 0):
        text = token.group()
        depth += (text == b"{") - (text == b"}")
        if depth == 1 and text == b'"crs"' and (key := _KEY.match(data, token.start())):
            start = data[key.end() : key.end() + _VALUE_BYTES].decode(errors="replace").lstrip()
            try:
                yield json.JSONDecoder().raw_decode(start)[0]
            except (ValueError, RecursionError):
                yield start[:80]


def _is_wgs84(crs: Any) -> bool:
    if crs is None:
        return True
    if not isinstance(crs, dict):
        return False
    kind, properties = crs.get("type"), crs.get("properties")
    if kind in ("link", "url"):
        return True
    if not isinstance(properties, dict):
        return False
    if kind == "EPSG":
        return str(properties.get("code")) == "4326"
    return kind == "name" and bool(_WGS84.fullmatch(str(properties.get("name")).strip()))
