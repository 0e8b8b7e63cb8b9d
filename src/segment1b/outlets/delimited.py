"""Outlet lists as delimited text: the separator, records over several lines, wrong quotes."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Final

import pyarrow as pa
import pyarrow.csv as pv

from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import Segment1BError
from segment1b.outlets.column_names import recognised
from segment1b.outlets.columnar import text_bytes
from segment1b.outlets.content import Content
from segment1b.outlets.lists import SHOWN, Place, Source, Survey, refusal

SEPARATORS: Final = ",;\t|"
CSV_BLOCK = 4 << 20
_LF, _CR = b"\n\r"


class CsvSource(Source):
    """Text with a line of column names; quoted fields may span lines."""

    unit = "line"

    def __init__(self, content: Content) -> None:
        """Read the line of column names; a file that has none, or no rows, is refused."""
        self.path, self._content = content.path, content
        with self._coded():
            note = content.find_encoding()
            self._separator = self._find_separator()
            records = self._records("strict")
            _, self._header_end, fields = next(records, (0, 0, []))
            if not fields:
                raise refusal(self.path, "is empty", "start it with a line of column names")
            if next(records, None) is None:
                what = "has column names but no rows"
                raise refusal(self.path, what, "add a row for each pair")
        super().__init__(self.path, fields)
        self.findings.notes += [note] if note else []
        self._columns: list[str] = []

    def batches(self, columns: list[str], carried: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield text columns; quotes that swallow rows and bytes that are no text are refused."""
        at, self._columns = self.positions(columns), columns
        at, columns = at + self.positions([*carried]), [*columns, *carried]
        others = sorted(set(range(len(self.names))) - set(at[: len(self._columns)]))
        spans_lines = False
        self.skipped = 0
        with self._coded(), self._content.text() as raw:
            try:
                for batch in self._reader(raw):
                    spans_lines = spans_lines or any(_has_newline(batch.column(i)) for i in others)
                    yield pa.record_batch([batch.column(i) for i in at], names=columns)
            except pa.ArrowInvalid as error:
                raise_machine_fault(error, self.path)
                self._diagnose()
                hint = "save it as CSV again, with one separator and quotes around complete fields"
                raise refusal(self.path, f"cannot be read as CSV: {error}", hint) from None
        # A stray quote in a column that is not read could have swallowed rows.
        if spans_lines:
            self._check_quotes()

    def survey(self, wanted: Collection[int]) -> Survey:
        """Read the file again, slowly, to find the lines on which records begin."""
        places: dict[int, Place] = {}
        misfits: list[tuple[int, str]] = []
        enough = min(SHOWN, self.skipped)
        width, row = len(self.names), -1
        for line, fields in self.rows():
            if len(places) == len(wanted) and len(misfits) >= enough:
                break
            if len(fields) == width:
                row += 1
                if row in wanted:
                    texts = dict(zip(self.names, fields, strict=True))
                    places[row] = Place(line, {name: texts[name] for name in self._columns})
            elif len(misfits) < SHOWN:
                misfits.append((line, f"{len(fields)} fields, the first line has {width}"))
        return places, misfits

    def rows(self) -> Iterator[tuple[int, list[str | None]]]:
        """Yield first line and fields of every record."""
        with self._coded():
            records = self._records("replace")
            next(records)
            for line, _, fields in records:
                yield line, [*fields]

    def _find_separator(self) -> str:
        """Return the sign that divides the first line into the most columns of a list."""
        fields = {}
        for sign in SEPARATORS:
            _, _, names = next(self._records("strict", sign), (0, 0, []))
            fields[sign] = (recognised(names), len(names)) if len(names) > 1 else (0, 0)
        best = max(fields.values())
        signs = [sign for sign in SEPARATORS if fields[sign] == best]
        if best > (0, 0) and len(signs) > 1:
            what = f"separates the column names by {' and by '.join(map(repr, signs))}"
            raise refusal(self.path, what, "use one separator, and quotes around other names")
        return signs[0]

    def _reader(self, raw: IO[bytes]) -> pv.CSVStreamingReader:
        def skip(_: pv.InvalidRow) -> str:
            self.skipped += 1
            return "skip"

        # Made-up names: those of columns that are not read may be anything.
        names = [str(number) for number in range(len(self.names))]
        return pv.open_csv(
            raw,
            pv.ReadOptions(block_size=CSV_BLOCK, skip_rows=self._header_end, column_names=names),
            pv.ParseOptions(
                delimiter=self._separator, newlines_in_values=True, invalid_row_handler=skip
            ),
            pv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )

    def _records(
        self, errors: str, separator: str = "", *, strict: bool = False
    ) -> Iterator[tuple[int, int, list[str]]]:
        """Yield (first line, last line, fields) of every record that is not blank."""
        sign = separator or self._separator
        with (
            self._content.text() as raw,
            io.TextIOWrapper(raw, "utf-8-sig", errors, newline="") as text,
        ):
            reader, line = csv.reader(text, strict=strict, delimiter=sign), 1
            try:
                for fields in reader:
                    if fields:
                        yield line, reader.line_num, fields
                    line = reader.line_num + 1
            except csv.Error as error:
                what = f"not readable as CSV ({error}): a quote is not closed, or is inside a field"
                raise self._bad_line(line, what) from None

    def _check_quotes(self) -> None:
        for _ in self._records("replace", strict=True):
            pass

    def _diagnose(self) -> None:
        """Raise the error about the first line that is not UTF-8, or whose quotes are wrong."""
        if self._content.encoding == "utf-8":
            with self._content.text() as raw:
                for number, line in enumerate(raw, 1):
                    try:
                        line.decode()
                    except UnicodeDecodeError as error:
                        reason = f"not UTF-8 (byte 0x{line[error.start]:02x})"
                        raise self._bad_line(number, reason) from None
        self._check_quotes()

    def _bad_line(self, line: int, reason: str) -> Segment1BError:
        what = f"is not CSV in UTF-8: line {line}: {reason}"
        hint = "save it as CSV in UTF-8, with quotes around complete fields only"
        rows = [{"line": line, "column": None, "reason": reason}]
        return refusal(self.path, what, hint, rows=rows, total=1)

    @contextmanager
    def _coded(self) -> Iterator[None]:
        with self._content.coded():
            try:
                yield
            except UnicodeError as error:
                self._separator = getattr(self, "_separator", ",")
                self._diagnose()
                what = f"is not text in {self._content.encoding}: {error}"
                raise refusal(self.path, what, "save it as UTF-8") from None


def _has_newline(texts: pa.StringArray) -> bool:
    data = text_bytes(texts)[1]
    return bool(((data == _LF) | (data == _CR)).any())
