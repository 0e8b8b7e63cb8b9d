"""Outlet lists in CSV and Parquet: their columns in batches, and the places of bad rows."""

from __future__ import annotations

import csv
import gzip
import io
import stat
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq

from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.texts import open_regular
from segment1b.errors import Segment1BError, too_large
from segment1b.outlets.lists import (
    MAX_BYTES,
    MAX_LINE,
    MAX_LINES,
    SHOWN,
    Place,
    Source,
    Survey,
    check_rows,
    refusal,
)
from segment1b.storage.durable import regular_file

_CSV_BLOCK = 4 << 20
_BUFFER = 1 << 20
MAX_CHUNK = 256 << 20  # of one column in one row group, decompressed
MAX_TEXT = 257  # characters that are kept of an id, code or count in a Parquet dictionary
_PARQUET_ROWS = 1 << 18
_FORMATS = "give .csv, .csv.gz or .txt (fields separated by commas), or .parquet"
_LF, _CR = b"\n\r"
_COPIED = frozenset({"DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"})


def open_source(path: Path) -> Source:
    """Return the file as a source, by the ending of its name.

    Raises:
        Segment1BError: E_OUTLETS_INVALID for a file that is absent, a directory, unreadable, empty,
            of another format, not UTF-8, or without any row; E_INPUT_TOO_LARGE above a limit;
            E_INPUT_UNREADABLE for a named pipe or a device.
    """
    name = path.name.lower()
    try:
        mode = path.stat().st_mode
    except OSError as error:
        hint = "give an existing file"
        raise refusal(path, f"cannot be reached: {error.strerror}", hint) from None
    if stat.S_ISDIR(mode):
        raise refusal(path, "is a folder", "give one file")
    regular_file(path)
    if name.endswith(".parquet"):
        return ParquetSource(path)
    if name.endswith((".csv", ".csv.gz", ".txt")):
        return CsvSource(path)
    raise refusal(path, "has an ending that is not known", _FORMATS)


class CsvSource(Source):
    """Comma-separated text in UTF-8, as it is or gzipped; quoted fields may span lines."""

    unit = "line"

    def __init__(self, path: Path) -> None:
        """Read the line of column names; a file that has none, or no rows, is refused."""
        self.path = path
        with self._coded():
            records = self._records("strict")
            _, self._header_end, fields = next(records, (0, 0, []))
            if not fields:
                raise refusal(path, "is empty", "start it with a line of column names")
            if next(records, None) is None:
                raise refusal(path, "has column names but no rows", "add a row for each pair")
        super().__init__(path, fields)
        self._columns: list[str] = []

    def batches(self, columns: list[str], carried: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield text columns; quotes that swallow rows and bytes that are no text are refused."""
        at, self._columns = self.positions(columns), columns
        at, columns = at + self.positions([*carried]), [*columns, *carried]
        others = sorted(set(range(len(self.names))) - set(at[: len(self._columns)]))
        spans_lines = False
        self.skipped = 0
        with self._coded(), self._open() as raw:
            try:
                for batch in self._reader(raw):
                    spans_lines = spans_lines or any(_has_newline(batch.column(i)) for i in others)
                    yield pa.record_batch([batch.column(i) for i in at], names=columns)
            except pa.ArrowInvalid as error:
                raise_machine_fault(error, self.path)
                self._diagnose()
                what = f"cannot be read as CSV: {error}"
                raise refusal(self.path, what, _FORMATS) from None
        # A stray quote in a column that is not read could have swallowed rows.
        if spans_lines:
            self._check_quotes()

    def survey(self, wanted: Collection[int]) -> Survey:
        """Read the file again, slowly, to find the lines on which records begin."""
        places: dict[int, Place] = {}
        misfits: list[tuple[int, str]] = []
        enough = min(SHOWN, self.skipped)
        width, row = len(self.names), -1
        with self._coded():
            records = self._records("replace")
            next(records)
            for line, _, fields in records:
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

    def _reader(self, raw: IO[bytes]) -> pv.CSVStreamingReader:
        def skip(_: pv.InvalidRow) -> str:
            self.skipped += 1
            return "skip"

        # Made-up names: those of columns that are not read may be anything.
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
        raw = open_regular(self.path)
        packed = self.path.name.lower().endswith(".gz")
        text = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw
        return io.BufferedReader(_Bounded(self.path, raw, text), _BUFFER)

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
                what = f"not readable as CSV ({error}): a quote is not closed, or is inside a field"
                raise self._bad_line(line, what) from None

    def _check_quotes(self) -> None:
        for _ in self._records("replace", strict=True):
            pass

    def _diagnose(self) -> None:
        """Raise the error about the first line that is not UTF-8, or whose quotes are wrong."""
        with self._open() as raw:
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
        try:
            yield
        except UnicodeDecodeError as error:
            self._diagnose()
            raise refusal(self.path, f"is not UTF-8: {error}", "save it as UTF-8") from None
        except (OSError, EOFError, zlib.error) as error:
            raise_machine_fault(error, self.path)
            hint = "give a complete, readable file"
            raise refusal(self.path, f"cannot be read: {error}", hint) from None


class _Bounded(io.RawIOBase):
    """The bytes of a text file, within the limits on bytes, lines and the length of a line."""

    def __init__(self, path: Path, raw: IO[bytes], text: IO[bytes]) -> None:
        self._path, self._raw, self._text = path, raw, text
        self._bytes = self._lines = self._line = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._text.read(min(len(buffer), MAX_LINE))
        buffer[: len(data)] = data
        self._bytes += len(data)
        after = len(data) - 1 - max(data.rfind(_LF), data.rfind(_CR))
        self._line = after if after < len(data) else self._line + after
        self._lines += max(data.count(_LF), data.count(_CR))
        if self._bytes > MAX_BYTES or self._lines > MAX_LINES:
            what = f"has more than {MAX_BYTES:,} bytes of text or {MAX_LINES:,} lines"
            hint = "give one row a pair, with n_outlets, and no other columns"
            raise too_large(self._path, what, hint)
        if self._line > MAX_LINE:
            what = f"has a line of more than {MAX_LINE:,} bytes, before byte {self._bytes:,}"
            raise too_large(self._path, what, "end each row with a line feed")
        return len(data)

    def close(self) -> None:
        self._text.close()
        self._raw.close()
        super().close()


class ParquetSource(Source):
    """A Parquet file: whole numbers of any width, or text, in the columns that are read."""

    def __init__(self, path: Path) -> None:
        """Read the footer; a file that is damaged, has no rows or is too large is refused."""
        self.path = path
        with self._coded(), pq.ParquetFile(path) as file:
            self._schema, rows = file.schema_arrow, file.metadata.num_rows
        if not rows:
            raise refusal(path, "has no rows", "add a row for each pair")
        super().__init__(path, self._schema.names)
        check_rows(path, rows)
        self._fields: list[pa.Field] = []

    def batches(self, columns: list[str], carried: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield columns of whole numbers or of text, and those carried of any type but nested."""
        self._fields = [self._schema.field(at) for at in self.positions(columns)]
        fields = [self._schema.field(at) for at in self.positions([*carried])]
        for field, name in zip(self._fields, columns, strict=True):
            kind = _value_type(field.type)
            if not (_is_text(kind) or (pa.types.is_integer(kind) and name != "country_iso")):
                hint = "write country_iso as text and the other columns as text or whole numbers"
                raise refusal(self.path, f"has {kind} in column {name}", hint)
        for field in fields:
            if pa.types.is_nested(field.type):
                hint = "write it as text, or leave it out with --columns"
                raise refusal(self.path, f"has {field.type} in column {field.name}", hint)
        width, names = len(columns), [*columns, *carried]
        with self._coded():
            for batch in self._batches([*self._fields, *fields]):
                read = [_plain(one) for one in batch.columns[:width]]
                yield pa.record_batch([*read, *batch.columns[width:]], names=names)

    def survey(self, wanted: Collection[int]) -> Survey:
        """Read the file again to find the values of rows."""
        names = [field.name.strip() for field in self._fields]
        places, first = {}, 0
        with self._coded():
            for batch in self._batches(self._fields):
                for row in (row for row in wanted if first <= row < first + batch.num_rows):
                    values = [_plain(one.slice(row - first, 1))[0].as_py() for one in batch.columns]
                    texts = [None if value is None else str(value) for value in values]
                    places[row] = Place(row + 1, dict(zip(names, texts, strict=True)))
                first += batch.num_rows
        return places, []

    def _batches(self, fields: Sequence[pa.Field]) -> Iterator[pa.RecordBatch]:
        """Yield the columns to read; text as dictionaries, in which a long value counts once."""
        regular_file(self.path)
        names = [field.name for field in fields]
        texts = [field.name for field in fields if _is_text(_value_type(field.type))]
        with pq.ParquetFile(
            self.path, pre_buffer=False, buffer_size=_BUFFER, read_dictionary=texts
        ) as file:
            self._check_chunks(file.metadata, names)
            for batch in file.iter_batches(_PARQUET_ROWS, columns=names, use_threads=False):
                yield batch.select(names)

    def _check_chunks(self, footer: pq.FileMetaData, names: list[str]) -> None:
        total = 0
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            chunks = (group.column(at) for at in range(group.num_columns))
            for chunk in (chunk for chunk in chunks if chunk.path_in_schema in names):
                name, size = chunk.path_in_schema, chunk.total_uncompressed_size
                total += size
                if size > MAX_CHUNK or total > MAX_BYTES:
                    what = (
                        f"has {size:,} bytes of {name} in row group {number} and "
                        f"{total:,} so far; the limits are {MAX_CHUNK:,} and {MAX_BYTES:,}"
                    )
                    hint = "write it in smaller row groups, or carry fewer columns with --columns"
                    raise too_large(self.path, what, hint)
                # Arrow cannot read these as dictionaries: a prefix shared by all values would be
                # copied into each.
                for encoding in _COPIED.intersection(chunk.encodings):
                    hint = "write it in another encoding, for example by dictionary"
                    raise refusal(self.path, f"has {name} in the encoding {encoding}", hint)

    @contextmanager
    def _coded(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise_machine_fault(error, self.path)
            hint = "restore the file from its source"
            raise refusal(self.path, f"is not a whole Parquet file: {error}", hint) from None


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _plain(array: pa.Array) -> pa.Array:
    """Return whole numbers or strings, of a dictionary's strings the first 64 characters."""
    if pa.types.is_dictionary(array.type):
        words = array.dictionary
        if _is_text(words.type):
            words = pc.utf8_slice_codeunits(words, 0, MAX_TEXT)
        array = words.take(array.indices)
    return array.cast(pa.string()) if _is_text(array.type) else array


def text_bytes(texts: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Return where each text begins (int32[r+1]) and the UTF-8 bytes of all texts (uint8[b])."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return np.zeros(len(texts) + 1, np.int32), np.empty(0, np.uint8)
    starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return starts - starts[0], np.frombuffer(data, np.uint8)[starts[0] : starts[-1]]


def _has_newline(texts: pa.StringArray) -> bool:
    data = text_bytes(texts)[1]
    return bool(((data == _LF) | (data == _CR)).any())
