"""Files that people bring: their columns in batches, and the true place of a row that is bad."""

from __future__ import annotations

import csv
import gzip
import io
import stat
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq

from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError

#: How many bad rows an error lists.
SHOWN = 20
_CODE = "E_OUTLETS_INVALID"
_CSV_BLOCK = 4 << 20
_PARQUET_ROWS = 1 << 18
_FORMATS = "give .csv, .csv.gz or .txt (fields separated by commas), or .parquet"
_LF, _CR = b"\n\r"


class Place(NamedTuple):
    """Where a row stands (line, or row of a Parquet file; both from 1) and what it says."""

    number: int
    texts: Mapping[str, str | None]


class Survey(NamedTuple):
    """The places of rows that were asked for, and rows with a wrong number of fields."""

    places: dict[int, Place]
    misfits: list[tuple[int, str]]


class Source(Protocol):
    """A file with named columns.

    Attributes:
        path: the file.
        unit: what its rows are counted in, `line` or `row`.
        names: its column names, stripped, in file order.
        skipped: rows with a wrong number of fields, known when `batches` is exhausted.
    """

    path: Path
    unit: str
    names: list[str]
    skipped: int

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield the columns asked for, under their stripped names: text, or whole numbers."""
        ...

    def survey(self, wanted: Collection[int]) -> Survey:
        """Return the places of rows, counted from 0 without those that were skipped."""
        ...


def open_source(path: Path) -> Source:
    """Return the file as a source, by the ending of its name.

    Raises:
        Segment1BError: E_OUTLETS_INVALID for a file that is absent, a folder, unreadable, empty,
            of another format, not UTF-8, or without any row.
    """
    name = path.name.lower()
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise refusal(
            path, f"cannot be reached: {error.strerror}", "give an existing file"
        ) from None
    if stat.S_ISDIR(mode):
        raise refusal(path, "is a folder", "give one file")
    if name.endswith(".parquet"):
        return ParquetSource(path)
    if name.endswith((".csv", ".csv.gz", ".txt")):
        return CsvSource(path)
    raise refusal(path, "has an ending that is not known", _FORMATS)


def refusal(
    path: Path, what: str, hint: str, rows: list[dict[str, Any]] | None = None, total: int = 0
) -> Segment1BError:
    """Return the error for a list that cannot be taken: `path` and `what` make a sentence."""
    return Segment1BError(
        _CODE, f"{path} {what}", hint, path=str(path), rows=rows or [], total=total
    )


def pick(source: Source, columns: list[str]) -> list[int]:
    """Return the positions of columns in the file.

    Raises:
        Segment1BError: E_OUTLETS_INVALID, for columns that are missing or stand twice.
    """
    missing = [name for name in columns if name not in source.names]
    if missing:
        head = source.names[0] if len(source.names) == 1 else ""
        hint = next(
            (f"separate the fields by commas, not by {sign!r}" for sign in ";\t|" if sign in head),
            "",
        )
        hint = hint or "; ".join(f"{name}: {nearest(name, source.names)}" for name in missing)
        raise refusal(source.path, f"has no column {', '.join(missing)}", hint)
    for name in columns:
        if source.names.count(name) > 1:
            raise refusal(
                source.path,
                f"has column {name} {source.names.count(name)} times",
                "keep one of them",
            )
    return [source.names.index(name) for name in columns]


class CsvSource:
    """Comma-separated text in UTF-8, as it is or gzipped; quoted fields may span lines."""

    unit = "line"

    def __init__(self, path: Path) -> None:
        """Read the line of column names; a file that has none, or no rows, is refused."""
        self.path, self.skipped = path, 0
        with self._coded():
            records = self._records("strict")
            _, self._header_end, fields = next(records, (0, 0, []))
            if not fields:
                raise refusal(path, "is empty", "start it with a line of column names")
            if next(records, None) is None:
                raise refusal(path, "has column names but no rows", "add a row for each pair")
        self.names = [field.strip() for field in fields]

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield text columns; quotes that swallow rows and bytes that are no text are refused."""
        picked = pick(self, columns)
        others = sorted(set(range(len(self.names))) - set(picked))
        spans_lines = False
        self.skipped = 0
        with self._coded(), self._open() as raw:
            try:
                for batch in self._reader(raw):
                    spans_lines = spans_lines or any(_has_newline(batch.column(i)) for i in others)
                    yield pa.record_batch([batch.column(i) for i in picked], names=columns)
            except pa.ArrowInvalid as error:
                raise self._diagnosis() or refusal(
                    self.path, f"cannot be read as CSV: {error}", _FORMATS
                ) from None
        # A field of a column that nobody looks at could have swallowed rows by a stray quote.
        if spans_lines and (stray := self._stray_quote()):
            raise stray

    def survey(self, wanted: Collection[int]) -> Survey:
        """Read the file again, slowly, to find the lines on which records begin."""
        found: dict[int, Place] = {}
        misfits: list[tuple[int, str]] = []
        enough = min(SHOWN, self.skipped)
        row = -1
        with self._coded():
            records = self._records("replace")
            next(records)
            for line, _, fields in records:
                if len(found) == len(wanted) and len(misfits) >= enough:
                    break
                if len(fields) != len(self.names):
                    misfits.append(
                        (line, f"{len(fields)} fields, the first line has {len(self.names)}")
                    )
                    continue
                row += 1
                if row in wanted:
                    found[row] = Place(line, dict(zip(self.names, fields, strict=True)))
        return Survey(found, misfits[:SHOWN])

    def _reader(self, raw: IO[bytes]) -> pv.CSVStreamingReader:
        def skip(_: pv.InvalidRow) -> str:
            self.skipped += 1
            return "skip"

        # Names are made up, so that columns nobody looks at may be called as they like.
        names = [str(number) for number in range(len(self.names))]
        return pv.open_csv(
            raw,
            pv.ReadOptions(block_size=_CSV_BLOCK, skip_rows=self._header_end, column_names=names),
            pv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
            pv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )

    def _open(self) -> IO[bytes]:
        if self.path.name.lower().endswith(".gz"):
            return cast("IO[bytes]", gzip.open(self.path, "rb"))
        return self.path.open("rb")

    def _records(
        self, errors: str, *, strict: bool = False
    ) -> Iterator[tuple[int, int, list[str]]]:
        """Yield (first line, last line, fields) of every record that is not blank."""
        with self._open() as raw, io.TextIOWrapper(raw, "utf-8-sig", errors, newline="") as text:
            reader, line = csv.reader(text, strict=strict), 1
            try:
                for fields in reader:
                    if fields:
                        yield line, reader.line_num, fields
                    line = reader.line_num + 1
            except csv.Error as error:
                raise self._refuse_line(
                    line,
                    f"not readable as CSV ({error}): a quote is not "
                    "closed, or stands inside a field",
                ) from None

    def _stray_quote(self) -> Segment1BError | None:
        try:
            for _ in self._records("replace", strict=True):
                pass
        except Segment1BError as error:
            return error
        return None

    def _diagnosis(self) -> Segment1BError | None:
        with self._open() as raw:
            for number, line in enumerate(raw, 1):
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    return self._refuse_line(number, f"not UTF-8 (byte 0x{line[error.start]:02x})")
        return self._stray_quote()

    def _refuse_line(self, line: int, reason: str) -> Segment1BError:
        return refusal(
            self.path,
            f"is not CSV in UTF-8: line {line}: {reason}",
            "save it as CSV in UTF-8, with quotes around whole fields only",
            [{"line": line, "column": None, "reason": reason}],
            1,
        )

    @contextmanager
    def _coded(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            raise self._diagnosis() or refusal(
                self.path, f"is not UTF-8: {error}", "save it as UTF-8"
            ) from None
        except (OSError, EOFError, zlib.error) as error:
            raise refusal(
                self.path, f"cannot be read: {error}", "give a whole, readable file"
            ) from None


class ParquetSource:
    """A Parquet file: whole numbers of any width, or text, in the columns that are asked for."""

    unit = "row"

    def __init__(self, path: Path) -> None:
        """Read the footer; a file that is damaged or has no rows is refused."""
        self.path, self.skipped = path, 0
        with self._coded(), pq.ParquetFile(path) as file:
            self._raw: list[str] = file.schema_arrow.names
            rows = file.metadata.num_rows
        if not rows:
            raise refusal(path, "has no rows", "add a row for each pair")
        self.names = [name.strip() for name in self._raw]

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield columns of whole numbers or of text; any other type is refused."""
        raw = [self._raw[place] for place in pick(self, columns)]
        with self._coded(), pq.ParquetFile(self.path, pre_buffer=False) as file:
            for batch in file.iter_batches(_PARQUET_ROWS, columns=raw, use_threads=False):
                arrays = [
                    self._plain(batch.column(own), name)
                    for own, name in zip(raw, columns, strict=True)
                ]
                yield pa.record_batch(arrays, names=columns)

    def survey(self, wanted: Collection[int]) -> Survey:
        """Read the file again to find the values of rows."""
        found, first = {}, 0
        with self._coded(), pq.ParquetFile(self.path, pre_buffer=False) as file:
            for batch in file.iter_batches(_PARQUET_ROWS, use_threads=False):
                for row in (row for row in wanted if first <= row < first + batch.num_rows):
                    values = [column[row - first].as_py() for column in batch.columns]
                    texts = [None if value is None else str(value) for value in values]
                    found[row] = Place(row + 1, dict(zip(self.names, texts, strict=True)))
                first += batch.num_rows
        return Survey(found, [])

    def _plain(self, array: pa.Array, name: str) -> pa.Array:
        if pa.types.is_dictionary(array.type):
            array = array.cast(array.type.value_type)
        if pa.types.is_integer(array.type) and name != "country_iso":
            return array
        if (
            pa.types.is_string(array.type)
            or pa.types.is_large_string(array.type)
            or pa.types.is_string_view(array.type)
        ):
            return array.cast(pa.string())
        raise refusal(
            self.path,
            f"has {array.type} in column {name}",
            "write country_iso as text and the other columns as whole numbers",
        )

    @contextmanager
    def _coded(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise refusal(
                self.path,
                f"is not a whole Parquet file: {error}",
                "restore the file from its source",
            ) from None


def text_bytes(texts: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Return where each text begins (int32[r+1]) and the UTF-8 bytes of all texts (uint8[b])."""
    _, places, data = texts.buffers()
    if not len(texts) or data is None:
        return np.zeros(len(texts) + 1, np.int32), np.empty(0, np.uint8)
    starts = np.frombuffer(places, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return starts - starts[0], np.frombuffer(data, np.uint8)[starts[0] : starts[-1]]


def _has_newline(texts: pa.StringArray) -> bool:
    data = text_bytes(texts)[1]
    return bool(((data == _LF) | (data == _CR)).any())
