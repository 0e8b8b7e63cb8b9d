"""Outlet lists in XLSX workbooks: the first sheet, row by row.

The reader is openpyxl in its mode that streams, because a sheet states where its cells are: one of
two cells, A1 and XFD1048576, ends a reader that makes a rectangle of them (calamine: it aborts).
"""

from __future__ import annotations

import datetime
import warnings
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.texts import open_regular
from segment1b.errors import Segment1BError, too_large
from segment1b.outlets.content import Content
from segment1b.outlets.lists import refusal
from segment1b.outlets.row_sources import RowSource

#: Decompressed, by the name of a part; Python's zipfile reads no more of a part than it declares.
MAX_PARTS: Final = {"xl/worksheets/": 128 << 20, "xl/sharedStrings.xml": 32 << 20, "": 8 << 20}
MAX_ENTRIES = 10_000
MAX_CELLS = 12_000_000
_WHOLE = 2**53
_DAMAGED = (
    *(zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, IndexError),
    *(ParseError, OSError, EOFError, NotImplementedError, RuntimeError),
)


class SheetSource(RowSource):
    """The first sheet of a workbook; its first row that is not blank has the column names."""

    def __init__(self, content: Content) -> None:
        """Read the row of column names; a workbook that is damaged or too large is refused."""
        self.path, self._content, self._note = content.path, content, ""
        self._check_parts()
        cells = self._cells()
        _, head = next(cells, (0, []))
        if not head:
            raise refusal(self.path, "is empty", "start the first sheet with column names")
        super().__init__(self.path, [text or "" for text in head])
        if next(cells, None) is None:
            raise refusal(self.path, "has column names but no rows", "add a row for each pair")
        cells.close()
        self.findings.notes += [self._note] if self._note else []

    def rows(self) -> Iterator[tuple[int, list[str | None]]]:
        """Yield number in the sheet and texts of every row that is not blank."""
        width = len(self.names)
        cells = self._cells()
        next(cells)
        for number, texts in cells:
            if len(texts) > width:
                what = f"has cells beside its columns, in row {number}"
                hint = "give each column a name, or clear what lies beside them"
                raise refusal(self.path, what, hint)
            yield number, texts + [None] * (width - len(texts))

    def _cells(self) -> Generator[tuple[int, list[str | None]]]:
        """Yield number and texts of every row that is not blank, without blank cells at its end."""
        total = 0
        with self._first_sheet() as sheet:
            for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
                texts = [_text(value) for value in values]
                while texts and not texts[-1]:
                    texts.pop()
                total += len(texts)
                if total > MAX_CELLS:
                    what = f"has more than {MAX_CELLS:,} cells in its first sheet"
                    raise too_large(self.path, what, "save it as CSV")
                if texts:
                    yield number, texts

    @contextmanager
    def _first_sheet(self) -> Iterator[Any]:
        # Imported here: the other formats do not need it.
        from openpyxl import load_workbook

        book = None
        # Opened here: openpyxl refuses a path by its ending.
        with open_regular(self._content.file) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and extensions
            try:
                book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
                yield self._first(book.worksheets)
            except Segment1BError:
                raise
            except _DAMAGED as error:
                raise_machine_fault(error, self.path)
                what = f"is not a whole XLSX file: {type(error).__name__}: {str(error)[:200]}"
                raise refusal(self.path, what, "save it again, or as CSV") from None
            finally:
                if book is not None:
                    book.close()

    def _first(self, worksheets: list[Any]) -> Any:
        if not worksheets:
            raise refusal(self.path, "has no sheet with cells", "put the list into a sheet")
        if len(worksheets) > 1:
            self._note = f"of {len(worksheets)} sheets only the first is read"
            self._note += f": {worksheets[0].title!r}"
        # What a sheet states as its size may cut rows and columns off.
        worksheets[0].reset_dimensions()
        return worksheets[0]

    def _check_parts(self) -> None:
        """Refuse a workbook whose parts are too many or too large, before they are read."""
        try:
            with zipfile.ZipFile(self._content.file) as archive:
                parts = archive.infolist()
        except _DAMAGED as error:
            raise_machine_fault(error, self.path)
            what = f"is not a whole XLSX file: {error}"
            raise refusal(self.path, what, "restore the file from its source") from None
        if len(parts) > MAX_ENTRIES:
            raise too_large(self.path, f"has more than {MAX_ENTRIES:,} parts", "save it as CSV")
        sizes: dict[str, int] = {}
        for part in parts:
            kind = next(start for start in MAX_PARTS if part.filename.startswith(start))
            sizes[kind] = sizes.get(kind, 0) + part.file_size
            if sizes[kind] > MAX_PARTS[kind]:
                what = f"has {sizes[kind]:,} bytes in {part.filename}; the limit of such parts "
                what += f"is {MAX_PARTS[kind]:,}"
                raise too_large(self.path, what, "save it as CSV")


def _text(value: Any) -> str | None:
    """Return a cell as text: 12 for the number 12, however it is stored."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE:
        return str(int(value))
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value)
