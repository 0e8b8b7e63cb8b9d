"""Outlet lists in files of any common format; the content decides which, not the name."""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from segment1b.outlets.column_names import COMMON, recognise
from segment1b.outlets.columnar import ArrowSource, ParquetSource, text_bytes
from segment1b.outlets.content import STDIN, Content
from segment1b.outlets.delimited import CsvSource
from segment1b.outlets.documents import JsonLinesSource, JsonSource
from segment1b.outlets.lists import Reading, Source, refusal
from segment1b.outlets.normalising import NormalisedSource
from segment1b.outlets.sheets import SheetSource
from segment1b.storage.durable import regular_file

__all__ = ["open_source", "text_bytes"]

_FORMATS = "give CSV, JSON (lines), either also as .gz or .zst, Parquet, Arrow or XLSX"
_SOURCES: Final[dict[str, Callable[[Content], Source]]] = {
    "Parquet": ParquetSource,
    "Arrow": ArrowSource,
    "XLSX": SheetSource,
    "JSON": JsonSource,
    "JSON lines": JsonLinesSource,
    "CSV": CsvSource,
}
#: How the content of a format begins.
_MAGIC: Final = {
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"\xff\xff\xff\xff": "Arrow",
    b"PK\x03\x04": "XLSX",
    b"\xd0\xcf\x11\xe0": "XLS",
    b"%PDF": "PDF",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}
_ENDINGS: Final = {
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".arrow": "Arrow",
    ".arrows": "Arrow",
    ".feather": "Arrow",
    ".ipc": "Arrow",
    ".xlsx": "XLSX",
    ".xlsm": "XLSX",
    ".json": "JSON",
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".csv": "CSV",
    ".tsv": "CSV",
    ".tab": "CSV",
    ".psv": "CSV",
    ".txt": "CSV",
}
_COMPRESSIONS: Final = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_COMPRESSED: Final = ("CSV", "JSON", "JSON lines")


def open_source(path: Path, reading: Reading | None = None, iso: Collection[str] = ()) -> Source:
    """Return a file, or standard input for `-`, as a source with the names of a list's columns.

    Raises:
        Segment1BError: E_OUTLETS_INVALID for a file that is absent, a directory, unreadable, empty,
            of another format than its name or than any that is read, or without any row, and for
            columns that cannot be told apart; E_INPUT_TOO_LARGE above a limit; E_INPUT_UNREADABLE
            for a named pipe or a device.
    """
    reading = reading or Reading()
    content = _content(path)
    source = _SOURCES[_format(content, path.name.lower())](content)
    common = COMMON if reading.common is None else reading.common
    source.rename(recognise(source.path, source.names, reading.mapped, common))
    return NormalisedSource(source, iso) if reading.normalise else source


def _content(path: Path) -> Content:
    if path != STDIN:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            hint = "give an existing file"
            raise refusal(path, f"cannot be reached: {error.strerror}", hint) from None
        if stat.S_ISDIR(mode):
            raise refusal(path, "is a folder", "give one file")
        regular_file(path)
    return Content(path)


def _format(content: Content, name: str) -> str:
    """Return the format of the content; a name of another format is refused."""
    stem, packing = name, ""
    for ending, one in _COMPRESSIONS.items():
        if name.endswith(ending):
            stem, packing = name.removesuffix(ending), one
    if packing and content.packed != packing:
        what = f"cannot be read: it is named {packing}, but its content is not"
        raise refusal(content.path, what, "give a complete, readable file")
    named = _ENDINGS.get(Path(stem).suffix, "")
    head = content.head()
    found = next((_MAGIC[magic] for magic in _MAGIC if head.startswith(magic)), "")
    if found and found not in _SOURCES:
        raise refusal(content.path, f"is {found}, which is not read", _FORMATS)
    if found and content.packed and found not in _COMPRESSED:
        what = f"is {found} inside {content.packed}"
        raise refusal(content.path, what, f"decompress it: {found} is compressed by itself")
    if not found:
        if named in ("Parquet", "Arrow", "XLSX"):
            what = f"is not a whole {named} file: its first bytes are others"
            raise refusal(content.path, what, "restore the file from its source")
        found = named or _text_format(head)
    return found


def _text_format(head: bytes) -> str:
    """Return the format of text without a name that tells it."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        return "JSON"
    if start.startswith(b"{"):
        first, _, rest = start.partition(b"\n")
        # One object a line, or one document that is laid out over lines.
        return "JSON lines" if first.rstrip().endswith(b"}") and rest.strip() else "JSON"
    return "CSV"
