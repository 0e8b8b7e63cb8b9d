"""Outlet lists in JSON: one object a line, or one document of rows or of columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from segment1b.contracts.texts import MAX_JSON_BYTES, parse_json
from segment1b.errors import Segment1BError, too_large
from segment1b.outlets import lists
from segment1b.outlets.content import Content
from segment1b.outlets.lists import check_rows, refusal
from segment1b.outlets.row_sources import RowSource


class JsonLinesSource(RowSource):
    """A JSON object a line; blank lines count and are passed over."""

    unit = "line"

    def __init__(self, content: Content) -> None:
        """Read all lines for the names of their keys, in order of appearance."""
        self.path, self._content = content.path, content
        names: dict[str, None] = {}
        empty = True
        with content.coded():
            self._note = _decided(content)
            for _, row in self._objects():
                empty = False
                names |= dict.fromkeys(row)
                if len(names) > lists.MAX_COLUMNS:
                    break
        if empty:
            raise refusal(self.path, "has no rows", "write an object for each pair")
        super().__init__(self.path, names)
        self.findings.notes += [self._note] if self._note else []
        self._keys = list(names)

    def rows(self) -> Iterator[tuple[int, list[str | None]]]:
        """Yield line and texts of every object."""
        with self._content.coded():
            for line, row in self._objects():
                yield line, [_text(row.get(key)) for key in self._keys]

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with self._content.text() as lines:
            for number, line in enumerate(lines, 1):
                check_rows(self.path, number)
                data = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if not data.strip():
                    continue
                try:
                    row = parse_json(data)
                except ValueError as error:
                    raise _bad(self, number, f"not JSON: {error}") from None
                if not isinstance(row, dict):
                    raise _bad(self, number, "not a JSON object")
                yield number, row


class JsonSource(RowSource):
    """A JSON document: a list of objects, or an object of columns (lists, or objects by row)."""

    def __init__(self, content: Content) -> None:
        """Read the whole document, at most MAX_JSON_BYTES."""
        self.path = content.path
        with content.coded():
            note = _decided(content)
            with content.text() as text:
                data = text.read(MAX_JSON_BYTES + 1)
        if len(data) > MAX_JSON_BYTES:
            what = f"has more than {MAX_JSON_BYTES:,} bytes in one JSON document"
            raise too_large(self.path, what, "write JSON lines: one object a line")
        try:
            value = parse_json(data.removeprefix(b"\xef\xbb\xbf"))
        except ValueError as error:
            hint = "save it as UTF-8 JSON, or as JSON lines (.jsonl)"
            raise refusal(self.path, f"is not JSON: {error}", hint) from None
        self._objects = _rows(value)
        if self._objects is None:
            hint = 'write a list of objects: [{"merchant_id": ..., "country_iso": ...}, ...]'
            raise refusal(self.path, "holds no rows with named columns", hint)
        if not self._objects:
            raise refusal(self.path, "has no rows", "write an object for each pair")
        names: dict[str, None] = {}
        for row in self._objects:
            names |= dict.fromkeys(row)
        super().__init__(self.path, names)
        check_rows(self.path, len(self._objects))
        self.findings.notes += [note] if note else []
        self._keys = list(names)

    def rows(self) -> Iterator[tuple[int, list[str | None]]]:
        """Yield number and texts of every object."""
        for number, row in enumerate(self._objects or [], 1):
            yield number, [_text(row.get(key)) for key in self._keys]


def _decided(content: Content) -> str:
    try:
        return content.find_encoding()
    except UnicodeError as error:
        raise refusal(content.path, f"is not UTF-8: {error}", "save it as UTF-8") from None


def _bad(source: JsonLinesSource, line: int, reason: str) -> Segment1BError:
    rows = [{"line": line, "column": None, "reason": reason}]
    hint = "write one object a line, or one document in a .json file"
    return refusal(source.path, f"line {line}: {reason}", hint, rows=rows, total=1)


def _rows(value: Any) -> list[dict[str, Any]] | None:
    """Return the rows of a document; None for one of another shape."""
    if isinstance(value, list):
        return value if all(isinstance(row, dict) for row in value) else None
    if not isinstance(value, dict):
        return None
    columns = [_column(column) for column in value.values()]
    if not columns or any(column is None for column in columns):
        return [value] if all(not isinstance(one, dict | list) for one in value.values()) else None
    indexes = [list(column or ()) for column in columns]
    if any(index != indexes[0] for index in indexes):
        return None
    return [
        {name: (column or {})[row] for name, column in zip(value, columns, strict=True)}
        for row in indexes[0]
    ]


def _column(value: Any) -> Mapping[Any, Any] | None:
    """Return the values of a column by row; None for what is no column."""
    if isinstance(value, list):
        return dict(enumerate(value))
    return value if isinstance(value, dict) else None


def _text(value: Any) -> str | None:
    """Return a JSON value as text; a nested one as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
