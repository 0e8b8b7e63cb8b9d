"""Opens vector files with GDAL: four formats, each by its own driver, offline, within limits."""

from __future__ import annotations

import json
import lzma
import mmap
import os
import re
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from segment1b.contracts.faults import coded_read_errors
from segment1b.errors import Segment1BError, schema_invalid, too_large, unreadable
from segment1b.storage.durable import regular_file
from segment1b.storage.rasters import reference_format

#: A Shapefile is several files of one name.
_SHAPEFILE_PARTS: Final = (".shp", ".shx", ".dbf", ".prj", ".cpg")

_HEAD: Final = 4096
#: Bytes of a file's name without its ending; with one a name may have 255.
_LONGEST_STEM: Final = 200
_SHP_HEADER: Final = 100
#: A proxy that cannot exist: GDAL fetches the CRS of a GeoJSON file from a URL that it names.
_OFFLINE: Final = dict.fromkeys(("GDAL_HTTP_PROXY", "GDAL_HTTPS_PROXY"), "socks5h://0.0.0.0:0")

_CRS_KEY: Final = re.compile(rb'"crs"\s*:')
#: Strings and braces. A key inside one pair of braces is of the file itself.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}]', re.DOTALL)
_VALUE_BYTES: Final = 1 << 16
_WGS84: Final = re.compile(
    r"(?:urn:(?:x-)?ogc:def:crs:)?(?:EPSG:(?:[\d.]*:)?4326|(?:OGC:(?:[\d.]*:)?)?CRS:?84)"
    r"|https?://www\.opengis\.net/def/crs/(?:EPSG/[\d.]+/4326|OGC/[\d.]+/CRS84)",
    re.IGNORECASE,
)


class Format(NamedTuple):
    """A format: endings, drivers that may open it, first bytes, and the bytes a file may have."""

    name: str
    suffixes: tuple[str, ...]
    drivers: tuple[str, ...]
    start: bytes  # a regular expression
    largest: int


GEOPACKAGE: Final = Format("GeoPackage", (".gpkg",), ("GPKG",), rb"SQLite format 3\0", 8 << 30)
GEOJSON: Final = Format(
    "GeoJSON",
    (".geojson", ".json", ".geojsons", ".geojsonl"),
    ("GeoJSON", "GeoJSONSeq"),
    rb"(\xef\xbb\xbf)?[ \t\r\n\x1e]*\{",
    2 << 30,  # text takes more room in memory than on disk
)
_SHAPEFILE: Final = Format("Shapefile", (".shp",), ("ESRI Shapefile",), rb"\0\0\x27\x0a", 8 << 30)
_FLATGEOBUF: Final = Format("FlatGeobuf", (".fgb",), ("FlatGeobuf",), rb"fgb\x03", 8 << 30)
_BY_SUFFIX: Final = {
    suffix: known
    for known in (GEOPACKAGE, GEOJSON, _SHAPEFILE, _FLATGEOBUF)
    for suffix in known.suffixes
}


@contextmanager
def readable(path: Path, layer: str | None) -> Iterator[tuple[Path, Format]]:
    """Yield the file that GDAL may open for `path`, with the drivers of its format alone.

    Of a zip archive, one dataset is unpacked into a temporary folder; `layer` names it if there are
    several. Raises E_INPUT_UNREADABLE, E_INPUT_TOO_LARGE, E_INPUT_SCHEMA_INVALID.
    """
    file = Path(os.path.abspath(regular_file(path)))
    with ExitStack() as stack:
        if path.suffix.lower() == ".zip":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="segment1b-"))
            file = _unpacked(path, layer, Path(folder))
        known = _format_of(path, file)
        if known is _SHAPEFILE:
            _check_length(path, file)
        if known is GEOPACKAGE:
            _check_journal(path, file)
            check_table(path, file)
        _check_size(path, known, sum(part.stat().st_size for part in parts_of(file)))
        stack.enter_context(_drivers(known))
        yield file, known


def _format_of(path: Path, file: Path) -> Format:
    """Return the format of a file, whose content must be that of its name."""
    from pyogrio.util import vsi_path

    with file.open("rb") as handle:
        head = handle.read(_HEAD)
    known = _BY_SUFFIX.get(file.suffix.lower())
    if known is None or not re.match(known.start, head):
        what = reference_format(file) or f"not {known.name if known else 'of a known format'}"
        hint = (
            "give GeoPackage, GeoJSON, FlatGeobuf, a Shapefile or GeoParquet; ogr2ogr writes them"
        )
        raise unreadable(path, f"is {what}", hint)
    if vsi_path(str(file)) != str(file):
        hint = "rename it: letters, digits, - and _"
        raise unreadable(path, "has a name that GDAL takes for a virtual path", hint)
    return known


def parts_of(file: Path) -> list[Path]:
    """Return the files that a dataset consists of, in order of their names."""
    if file.suffix.lower() != ".shp":
        return [file]
    return sorted(
        one
        for one in file.parent.iterdir()
        if one.stem == file.stem and one.suffix.lower() in _SHAPEFILE_PARTS
    )


def _check_length(path: Path, file: Path) -> None:
    """Refuse a Shapefile that is cut short: GDAL would read rows without geometry."""
    for part in parts_of(file):
        regular_file(part)
    with file.open("rb") as handle:
        head = handle.read(_SHP_HEADER)
    # The length is in 16-bit words, high byte first.
    declared, size = 2 * int.from_bytes(head[24:28], "big"), file.stat().st_size
    if len(head) < _SHP_HEADER or declared != size:
        raise unreadable(path, f": {file.name} has {size} bytes, its header declares {declared}")


def _check_journal(path: Path, file: Path) -> None:
    """Refuse a GeoPackage with a journal beside it: its digest would not cover those changes."""
    for end in ("-wal", "-journal"):
        beside = file.with_name(file.name + end)
        if os.path.lexists(beside) and regular_file(beside).stat().st_size:
            what = f": {beside.name} beside it holds changes that are not in the file"
            hint = "close the program that has it open, or copy it with ogr2ogr"
            raise unreadable(path, what, hint)


def check_table(path: Path, file: Path, layer: str | None = None) -> None:
    """Refuse a GeoPackage in which a metadata table, or the layer, is not a plain table.

    GDAL evaluates a view, for ever if it has no end; a virtual table is computed by a program.
    """
    # A virtual table has no root page.
    statement = (
        "SELECT name, type = 'table' AND rootpage > 0 FROM sqlite_master "
        "WHERE type IN ('table', 'view') AND "
    )
    names = "lower(name) GLOB 'gpkg_*'" if layer is None else "lower(name) = lower(?)"
    with (
        coded_read_errors(path, (sqlite3.Error,)),
        closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)) as database,
    ):
        found = list(database.execute(statement + names, () if layer is None else (layer,)))
    if layer is not None and [is_plain for _, is_plain in found] != [1]:
        hint = "write it as one: ogr2ogr new.gpkg old.gpkg LAYER"
        raise unreadable(path, f": layer {layer} is not a plain table", hint)
    for name in (name for name, is_plain in found if not is_plain):
        raise unreadable(path, f": {name} is not a plain table", "write it again with ogr2ogr")


def _check_size(path: Path, known: Format, size: int) -> None:
    if size > known.largest:
        raise too_large(path, f": {size} bytes of {known.name}, the limit is {known.largest}")


def _unpacked(path: Path, layer: str | None, folder: Path) -> Path:
    """Unpack one dataset of an archive; no more bytes are written than its directory declares."""
    # An OSError: bytes that are not bzip2. A RuntimeError: an encrypted archive, or an unknown
    # compression.
    kinds = (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError)
    with (
        coded_read_errors(path, (*kinds, OSError, RuntimeError, ValueError)),
        zipfile.ZipFile(path) as archive,
    ):
        members = {info.filename: info for info in archive.infolist()}
        files = [name for name in sorted(members) if not _is_aside(name)]
        chosen = _chosen(path, files, layer)
        suffix = Path(chosen).suffix
        suffixes = _SHAPEFILE_PARTS if suffix.lower() == ".shp" else (suffix.lower(),)
        start = chosen.removesuffix(suffix)
        wanted = {
            name.removeprefix(start): members[name]
            for name in files
            if name.startswith(start) and name.removeprefix(start).lower() in suffixes
        }
        known = _BY_SUFFIX[suffix.lower()]
        _check_size(path, known, sum(info.file_size for info in wanted.values()))
        # A layer has the name of its file; an archive may hold names that no file can have.
        stem = Path(chosen).stem
        if len(os.fsencode(stem)) > _LONGEST_STEM:
            stem = "layer"
        for end, info in wanted.items():
            with archive.open(info) as source, (folder / f"{stem}{end}").open("wb") as copy:
                shutil.copyfileobj(source, copy)
        return folder / f"{stem}{suffix}"


def _is_aside(name: str) -> bool:
    """Return whether a member is a directory, hidden, or metadata of macOS."""
    return name.endswith("/") or name.startswith("__MACOSX/") or Path(name).name.startswith(".")


def _chosen(path: Path, files: Sequence[str], layer: str | None) -> str:
    """Return the dataset to read; a Shapefile takes precedence over other formats."""
    known = [name for name in files if Path(name).suffix.lower() in _BY_SUFFIX]
    names = [name for name in known if name.lower().endswith(".shp")] or known
    chosen = names if len(names) == 1 else [name for name in names if Path(name).stem == layer]
    if len(chosen) == 1:
        return chosen[0]
    if not names:
        raise unreadable(path, "holds no GeoPackage, GeoJSON, FlatGeobuf or Shapefile")
    what = f"has several layers: {', '.join(Path(name).stem for name in names)}"
    raise schema_invalid(path, what, "choose one with --layer NAME")


@contextmanager
def _drivers(known: Format) -> Iterator[None]:
    """Limit GDAL to the drivers of a format, without network access; pyogrio has no such list."""
    import pyogrio
    from pyogrio._ogr import _register_drivers

    def others() -> str:
        return ",".join(sorted(set(pyogrio.list_drivers()) - set(known.drivers)))

    def configure(options: dict[str, str | None]) -> None:
        pyogrio.set_gdal_config_options(options)
        # Registers again those drivers that are not to be skipped.
        _register_drivers()

    proxies = {name: os.environ.pop(name, None) for name in ("no_proxy", "NO_PROXY")}
    configure({"GDAL_SKIP": others(), **_OFFLINE})
    try:
        if left := others():
            raise Segment1BError("E_INTERNAL", f"GDAL keeps the drivers {left}")
        yield
    finally:
        configure(dict.fromkeys(("GDAL_SKIP", *_OFFLINE)))
        os.environ.update({name: value for name, value in proxies.items() if value is not None})


def named_crs(file: Path) -> str | None:
    """Return the CRS that a GeoJSON file names if it is not WGS84; links are not followed.

    GDAL assumes WGS84 for a CRS that it does not know.
    """
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for value in _crs_values(data):
            if not _is_wgs84(value):
                return json.dumps(value)[:200]
    return None


def _crs_values(data: mmap.mmap) -> Iterator[Any]:
    last = max((key.start() for key in _CRS_KEY.finditer(data)), default=-1)
    depth = 0
    for token in _TOKEN.finditer(data, 0, last + len('"crs"') if last >= 0 else 0):
        text = token.group()
        depth += (text == b"{") - (text == b"}")
        if depth == 1 and text == b'"crs"' and (key := _CRS_KEY.match(data, token.start())):
            start = data[key.end() : key.end() + _VALUE_BYTES].decode(errors="replace").lstrip()
            try:
                yield json.JSONDecoder().raw_decode(start)[0]
            except (ValueError, RecursionError):
                yield start[:80]


def _is_wgs84(crs: Any) -> bool:
    match crs:
        case None | {"type": "link" | "url"}:
            return True
        case {"type": "EPSG", "properties": {"code": code}}:
            return str(code) == "4326"
        case {"type": "name", "properties": {"name": name}}:
            return bool(_WGS84.fullmatch(str(name).strip()))
    return False
