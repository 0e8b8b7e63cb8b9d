"""Standard streams that escape control characters and report failed writes."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

from segment1b.errors import UNSAFE, Segment1BError, visible


def indented(text: str) -> str:
    """Return text with escapes, indented after its first line, so that no name can imitate one."""
    return visible(text).replace("\n", "\n    ")


class TextLines(logging.Formatter):
    """The format of log lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, with escapes."""
        return indented(super().format(record))


def json_line(value: Any) -> str:
    """Return one line of JSON without control characters."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
    print(json_line(value))


def print_error(error: Segment1BError, *, as_json: bool) -> None:
    """Print a failure: code, place and hint; never a traceback."""
    if as_json:
        body = {"code": error.code, "message": error.message, "hint": error.hint}
        print_json({"error": {**body, "scope": error.scope}})
        return
    print(indented(f"{error.code} {error.message}"), file=sys.stderr)
    if error.hint:
        print(indented(f"  what to do: {error.hint}"), file=sys.stderr)


def write_file_to_stdout(path: Path) -> None:
    """Copy a text file to stdout by lines; its control characters are escaped."""
    with path.open(encoding="utf-8", newline="") as file:
        while lines := file.readlines(1 << 20):
            sys.stdout.write("".join(lines))


class Output:
    """A standard stream that escapes control characters and keeps its first error.

    Attributes:
        lost: the first error of a write, after which nothing more is written; None without one.
        rich_proxied_file: the same stream without escapes, by the name that rich uses: its
            colours are control characters. `console.Terminal` escapes the text between them.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.lost: OSError | None = None
        self.rich_proxied_file = _Styled(self)
        self._closed = stream is None
        self._stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, its control characters escaped."""
        return self.write_styled(visible(text))

    def write_styled(self, text: str) -> int:
        """Write text without escapes, except for characters that the encoding does not have."""
        encoding = self._stream.encoding
        self._try(self._write, text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Pass all that was written to the operating system."""
        self._try(self._stream.flush)

    def _write(self, text: str) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "it is closed")
        self._stream.write(text)

    def _try(self, call: Callable[..., object], *arguments: str) -> None:
        if self.lost is not None:
            return
        try:
            call(*arguments)
        except OSError as error:
            self.lost = error
            # The rest of the buffer must not fail again when the interpreter ends.
            with suppress(OSError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), self._stream.fileno())


class _Styled:
    def __init__(self, output: Output) -> None:
        self._output = output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)

    def write(self, text: str) -> int:
        return self._output.write_styled(text)


@contextmanager
def checked_output() -> Iterator[Output]:
    """Replace stdout and stderr by `Output` in a block, flush them at its end; yield stdout."""
    for number in range(3):
        # A file would get the number of a closed stream, and the output with it.
        with suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    output = Output(sys.stdout)
    sys.stdout, sys.stderr = cast("TextIO", output), cast("TextIO", Output(sys.stderr))
    try:
        yield output
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
