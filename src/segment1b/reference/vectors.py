"""Opens vector files with GDAL: four formats, each by its own driver, offline, within limits."""

from __future__ import annotations

import lzma
import os
import shutil
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from segment1b.contracts.faults import coded_read_errors
from segment1b.errors import Segment1BError, schema_invalid, too_large, unreadable
from segment1b.storage.durable import regular_file
from segment1b.storage.rasters import reference_format

#: A Shapefile is several files of one name.
SHAPEFILE: Final = (".shp", ".shx", ".dbf", ".prj", ".cpg")

_HEAD: Final = 4096
#: Bytes of a file's name without its ending; with one a name may have 255.
_LONGEST_STEM: Final = 200
_SHP_HEADER: Final = 100
#: A proxy that cannot exist: GDAL fetches the CRS of a GeoJSON file from a URL that it names.
_OFFLINE: Final = dict.fromkeys(("GDAL_HTTP_PROXY", "GDAL_HTTPS_PROXY"), "socks5h://0.0.0.0:0")


class Format(NamedTuple):
    """A format: its name, the drivers that may open it, and the bytes that a file may have."""

    name: str
    drivers: tuple[str, ...]
    largest: int


_GEOPACKAGE: Final = Format("GeoPackage", ("GPKG",), 8 << 30)
_FLATGEOBUF: Final = Format("FlatGeobuf", ("FlatGeobuf",), 8 << 30)
_SHAPEFILE: Final = Format("Shapefile", ("ESRI Shapefile",), 8 << 30)
# Text takes more room in memory than on disk.
_GEOJSON: Final = Format("GeoJSON", ("GeoJSON", "GeoJSONSeq"), 2 << 30)
_BY_SUFFIX: Final = {
    ".gpkg": _GEOPACKAGE,
    ".fgb": _FLATGEOBUF,
    ".shp": _SHAPEFILE,
    **dict.fromkeys((".geojson", ".json", ".geojsons", ".geojsonl"), _GEOJSON),
}


@contextmanager
def readable(path: Path, layer: str | None) -> Iterator[Path]:
    """Yield the file that GDAL may open for `path`, with the drivers of its format alone.

    Of a zip archive, one dataset is unpacked into a temporary folder; `layer` names it if there are
    several. Raises E_INPUT_UNREADABLE, E_INPUT_TOO_LARGE, E_INPUT_SCHEMA_INVALID.
    """
    regular_file(path)
    if path.suffix.lower() != ".zip":
        with _drivers(_checked(path, path)):
            yield Path(os.path.abspath(path))
        return
    with tempfile.TemporaryDirectory(prefix="segment1b-") as folder:
        file = _unpacked(path, layer, Path(folder))
        with _drivers(_checked(path, file)):
            yield file


def _checked(path: Path, file: Path) -> Format:
    """Return the format of a file, whose content must be that of its name."""
    found = _format_of(path, file)
    if found is _SHAPEFILE:
        _check_length(path, file)
    if found is _GEOPACKAGE:
        _check_journal(path, file)
        _check_tables(path, Path(os.path.abspath(file)))
    size = sum(one.stat().st_size for one in parts_of(file))
    _check_size(path, found, size)
    return found


def _format_of(path: Path, file: Path) -> Format:
    from pyogrio.util import vsi_path

    with file.open("rb") as handle:
        head = handle.read(_HEAD)
    found = _BY_SUFFIX.get(file.suffix.lower())
    content = None
    if head.startswith(b"SQLite format 3\0"):
        content = _GEOPACKAGE
    elif head.startswith(b"fgb\x03"):
        content = _FLATGEOBUF
    elif head.startswith(b"\x00\x00\x27\x0a"):
        content = _SHAPEFILE
    elif head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x1e").startswith(b"{"):
        content = _GEOJSON
    if found is None or found is not content:
        what = reference_format(file) or f"not {found.name if found else 'of a known format'}"
        hint = (
            "give GeoPackage, GeoJSON, FlatGeobuf, a Shapefile or GeoParquet; ogr2ogr writes them"
        )
        raise unreadable(path, f"is {what}", hint)
    if vsi_path(str(file)) != str(file):
        hint = "rename it: letters, digits, - and _"
        raise unreadable(path, "has a name that GDAL takes for a virtual path", hint)
    return found


def is_geojson(file: Path) -> bool:
    """Return whether a file that `readable` has checked is GeoJSON."""
    return _BY_SUFFIX[file.suffix.lower()] is _GEOJSON


def parts_of(file: Path) -> list[Path]:
    """Return the files that a dataset consists of, in order of their names."""
    if file.suffix.lower() != ".shp":
        return [file]
    return sorted(
        one
        for one in file.parent.iterdir()
        if one.stem == file.stem and one.suffix.lower() in SHAPEFILE
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


def _query(path: Path, file: Path, statement: str, *values: str) -> list[tuple[Any, ...]]:
    with (
        coded_read_errors(path, (sqlite3.Error,)),
        closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)) as database,
    ):
        return database.execute(statement, values).fetchall()


def _check_tables(path: Path, file: Path) -> None:
    """Refuse a GeoPackage whose metadata tables are views, which GDAL would evaluate for ever."""
    # A virtual table has no root page.
    found = _query(
        path,
        file,
        "SELECT name FROM sqlite_master WHERE lower(name) GLOB 'gpkg_*' "
        "AND (type = 'view' OR type = 'table' AND rootpage = 0)",
    )
    for (name,) in found:
        hint = "write it again with ogr2ogr"
        raise unreadable(path, f": {name} is not a plain table", hint)


def check_layer(path: Path, file: Path, layer: str) -> None:
    """Refuse a layer of a GeoPackage that is a view: its rows are computed by a program."""
    if file.suffix.lower() != ".gpkg":
        return
    found = _query(
        path,
        file,
        "SELECT type = 'table' AND rootpage > 0 FROM sqlite_master "
        "WHERE lower(name) = lower(?) AND type IN ('table', 'view')",
        layer,
    )
    if found != [(1,)]:
        hint = "write it as one: ogr2ogr new.gpkg old.gpkg LAYER"
        raise unreadable(path, f": layer {layer} is not a plain table", hint)


def _check_size(path: Path, found: Format, size: int) -> None:
    if size > found.largest:
        raise too_large(path, f": {size} bytes of {found.name}, the limit is {found.largest}")


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
        name = _chosen(path, files, layer)
        suffix = Path(name).suffix.lower()
        wanted = [name]
        if suffix == ".shp":
            wanted = [
                n for n in files if n[:-4] == name[:-4] and Path(n).suffix.lower() in SHAPEFILE
            ]
        _check_size(path, _BY_SUFFIX[suffix], sum(members[one].file_size for one in wanted))
        # A layer has the name of its file; an archive may hold names that no file can have.
        stem = Path(name).stem
        if len(os.fsencode(stem)) > _LONGEST_STEM:
            stem = "layer"
        for one in wanted:
            target = folder / f"{stem}{Path(one).suffix}"
            with archive.open(members[one]) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)
        return folder / f"{stem}{Path(name).suffix}"


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
def _drivers(found: Format) -> Iterator[None]:
    """Limit GDAL to the drivers of a format, without network access; pyogrio has no such list."""
    import pyogrio

    proxies = {name: os.environ.pop(name, None) for name in ("no_proxy", "NO_PROXY")}
    others = sorted(set(pyogrio.list_drivers()) - set(found.drivers))
    _configure({"GDAL_SKIP": ",".join(others), **_OFFLINE})
    try:
        left = sorted(set(pyogrio.list_drivers()) - set(found.drivers))
        if left:
            raise Segment1BError("E_INTERNAL", f"GDAL keeps the drivers {', '.join(left)}")
        yield
    finally:
        _configure(dict.fromkeys(("GDAL_SKIP", *_OFFLINE)))
        os.environ.update({name: value for name, value in proxies.items() if value is not None})


def _configure(options: dict[str, Any]) -> None:
    """Set options of GDAL, and register its drivers again without those to skip."""
    import pyogrio
    from pyogrio._ogr import _register_drivers

    pyogrio.set_gdal_config_options(options)
    _register_drivers()
