"""The bytes of an outlet list: a file or standard input, plain or compressed, in any encoding."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, cast

import pyarrow as pa

from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.texts import open_regular
from segment1b.errors import too_large
from segment1b.outlets import lists
from segment1b.outlets.lists import refusal

STDIN: Final = Path("-")
BUFFER = 1 << 20
_HEAD = 1 << 16
_PACKED: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
#: Byte order marks, the longer first: that of UTF-32 begins like that of UTF-16.
_MARKS: Final = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
#: Two or more bytes that UTF-8 writes for one character, and that are unlikely in Latin-1.
_UTF8 = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
LATIN: Final = "cp1252"  # what is called Latin-1 on the web and on Windows
_LF, _CR = b"\n\r"


class Content:
    """The bytes of a list; `path` is the name to show, `file` where the bytes are."""

    def __init__(self, path: Path) -> None:
        """Take a regular file, or for `-` copy standard input to a temporary file."""
        self._copy: Any = None
        self.path, self.file = path, path
        if path == STDIN:
            self.path = Path("stdin")
            self._copy = _copied_stdin(self.path)
            self.file = Path(self._copy.name)
        self.encoding = "utf-8"
        with open_regular(self.file) as raw:
            start = raw.read(4)
        self.packed = next((_PACKED[m] for m in _PACKED if start.startswith(m)), "")

    def head(self) -> bytes:
        """Return the first bytes, decompressed."""
        with self.coded(), self.raw() as stream:
            return stream.read(_HEAD)

    def raw(self) -> IO[bytes]:
        """Return the bytes, decompressed, within the limit on bytes."""
        return self._bounded("utf-8", lines=False)

    def text(self) -> IO[bytes]:
        """Return the text in UTF-8, within the limits on bytes, lines and the length of a line."""
        return self._bounded(self.encoding, lines=True)

    def _bounded(self, encoding: str, *, lines: bool) -> IO[bytes]:
        raw = open_regular(self.file)
        data: Any = raw
        if self.packed == "gzip":
            data = cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
        elif self.packed == "zstd":
            data = pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")
        if encoding != "utf-8":
            if self.packed != "zstd":
                data = pa.PythonFile(data, "r")
            data = pa.transcoding_input_stream(data, encoding, "utf-8")
        return io.BufferedReader(_Bounded(self.path, raw, data, lines=lines), BUFFER)

    def find_encoding(self) -> str:
        """Find the encoding of the whole text; return a sentence about it where it is a guess.

        A byte order mark decides, then zero bytes (UTF-16 without a mark). Other text is UTF-8, or
        Windows-1252 if it is no UTF-8 anywhere. Raises UnicodeDecodeError for any other.
        """
        self.encoding = _encoding(self.head())
        if self.encoding == "utf-8" and self._is_latin():
            self.encoding = LATIN
            return "its text is not UTF-8: read as Latin-1 (Windows-1252); look at the accents"
        return ""

    def _is_latin(self) -> bool:
        decoder = codecs.getincrementaldecoder("utf-8")()
        latin = codecs.getincrementaldecoder(LATIN)()
        failure: UnicodeDecodeError | None = None
        mixed = False
        with self.coded(), self.raw() as stream:
            while data := stream.read(BUFFER):
                mixed = mixed or _UTF8.search(data) is not None
                try:
                    if failure is None:
                        decoder.decode(data)
                    else:
                        latin.decode(data)
                except UnicodeDecodeError as error:
                    # What precedes the first byte that is no UTF-8 is not looked at again: it is
                    # ASCII, unless it is mixed.
                    if failure is not None:
                        raise failure from None
                    failure = error
                    latin.decode(data)
            try:
                decoder.decode(b"", final=failure is None)
            except UnicodeDecodeError as error:
                failure = error
        if failure is not None and mixed:
            raise failure
        return failure is not None

    @contextmanager
    def coded(self) -> Iterator[None]:
        """Turn what reading a damaged file raises into E_OUTLETS_INVALID."""
        try:
            yield
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            raise_machine_fault(error, self.path)
            hint = "give a complete, readable file"
            raise refusal(self.path, f"cannot be read: {error}", hint) from None


class _Bounded(io.RawIOBase):
    """The bytes of a file, within the limits on bytes, lines and the length of a line."""

    def __init__(self, path: Path, raw: IO[bytes], data: Any, *, lines: bool) -> None:
        self._path, self._raw, self._data, self._text = path, raw, data, lines
        self._bytes = self._lines = self._line = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._data.read(min(len(buffer), lists.MAX_LINE))
        buffer[: len(data)] = data
        self._bytes += len(data)
        if self._text:
            after = len(data) - 1 - max(data.rfind(_LF), data.rfind(_CR))
            self._line = after if after < len(data) else self._line + after
            self._lines += max(data.count(_LF), data.count(_CR))
        if self._bytes > lists.MAX_BYTES or self._lines > lists.MAX_LINES:
            what = f"has more than {lists.MAX_BYTES:,} bytes of text or {lists.MAX_LINES:,} lines"
            hint = "give one row a pair, with n_outlets, and no other columns"
            raise too_large(self._path, what, hint)
        if self._line > lists.MAX_LINE:
            what = f"has a line of more than {lists.MAX_LINE:,} bytes, before byte {self._bytes:,}"
            raise too_large(self._path, what, "end each row with a line feed")
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._data.close()
            self._raw.close()
        super().close()


def _encoding(head: bytes) -> str:
    """Return the encoding that a byte order mark or zero bytes show, else utf-8."""
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    # A header in ASCII has a zero byte for each letter in UTF-16, in every other place.
    start = head[:64]
    if start and len(start) % 2 == 0:
        if not any(start[1::2]) and all(start[::2]):
            return "utf-16-le"
        if not any(start[::2]) and all(start[1::2]):
            return "utf-16-be"
    return "utf-8"


def _copied_stdin(shown: Path) -> Any:
    """Return a temporary file with the bytes of standard input, which can be read once."""
    stream = sys.stdin.buffer
    if stream.isatty():
        raise refusal(shown, "is a terminal", "pipe a list into it: cat list.csv | ... -")
    copy = tempfile.NamedTemporaryFile(prefix="segment1b-", suffix=".list")  # noqa: SIM115
    total = 0
    try:
        while data := stream.read(BUFFER):
            total += len(data)
            if total > lists.MAX_BYTES:
                raise too_large(shown, f"has more than {lists.MAX_BYTES:,} bytes")
            copy.write(data)
        copy.flush()
    except OSError as error:
        raise_machine_fault(error, shown)
        raise
    return copy
