"""Outlet lists in Parquet and Arrow files: columns of text or of whole numbers, in batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import too_large
from segment1b.outlets import lists
from segment1b.outlets.arrow_messages import check_messages
from segment1b.outlets.columns import MAX_VALUE
from segment1b.outlets.content import BUFFER, Content
from segment1b.outlets.lists import Place, Source, Survey, check_rows, refusal
from segment1b.storage.durable import regular_file

MAX_CHUNK = 256 << 20  # of one column in one row group, decompressed
MAX_TEXT = 257  # characters that are kept of an id, code or count: one more than is valid
_ROWS = 1 << 16
_SLOW_ROWS = 1 << 12  # whose texts are in memory as objects
_IDS = ("merchant_id", "outlet_id")
_COPIED = frozenset({"DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"})


class ColumnarSource(Source):
    """A file of typed columns: whole numbers of any width, or text, in those that are read."""

    kind = ""
    #: Whether numbers of any type are taken, as text where they are not whole.
    any_type = False

    def __init__(self, content: Content, schema: pa.Schema) -> None:
        """Take the columns of a file."""
        super().__init__(content.path, schema.names)
        # A copy of standard input lasts as long as its content.
        self._content, self._schema = content, schema
        self._fields: list[pa.Field] = []
        self._columns: list[str] = []

    @abstractmethod
    def _batches(self, fields: list[pa.Field]) -> Iterator[pa.RecordBatch]:
        """Yield columns of the file."""

    def batches(self, columns: list[str], carried: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield columns of whole numbers or of text, and those carried of any type but nested."""
        self._fields = [self._schema.field(at) for at in self.positions(columns)]
        self._columns = columns
        fields = [self._schema.field(at) for at in self.positions([*carried])]
        for field, name in zip(self._fields, columns, strict=True):
            self._check_type(name, _value_type(field.type))
        for field in fields:
            if pa.types.is_nested(field.type):
                hint = "write it as text, or leave it out with --columns"
                raise refusal(self.path, f"has {field.type} in column {field.name}", hint)
        width, names = len(columns), [*columns, *carried]
        with self._coded():
            for batch in self._batches([*self._fields, *fields]):
                read = [
                    _read(name, _plain(one))
                    for name, one in zip(columns, batch.columns[:width], strict=True)
                ]
                yield pa.record_batch([*read, *batch.columns[width:]], names=names)

    def table(self) -> pa.Table:
        """Return the whole file under the names of a list's columns, with its own types."""
        self.positions(self.names)
        with self._coded():
            found = pa.Table.from_batches(self._batches(list(self._schema)))
            columns = [
                column if column.type == field.type else column.cast(_text_type(field.type))
                for column, field in zip(found.columns, self._schema, strict=True)
            ]
            return pa.table(columns, names=self.names)

    def survey(self, wanted: Collection[int]) -> Survey:
        """Read the file again to find the values of rows."""
        places, first = {}, 0
        with self._coded():
            for batch in self._batches(self._fields):
                for row in (row for row in wanted if first <= row < first + batch.num_rows):
                    values = [_plain(one.slice(row - first, 1))[0].as_py() for one in batch.columns]
                    texts = [None if value is None else str(value) for value in values]
                    places[row] = Place(row + 1, dict(zip(self._columns, texts, strict=True)))
                first += batch.num_rows
        return places, []

    def rows(self) -> Iterator[tuple[int, list[str | None]]]:
        """Yield number and texts of every row."""
        self.positions(self.names)
        number = 0
        with self._coded():
            for batch in self._batches(list(self._schema)):
                for low in range(0, batch.num_rows, _SLOW_ROWS):
                    part = batch.slice(low, _SLOW_ROWS).columns
                    columns = list(map(self._texts, self.names, part))
                    for values in zip(*columns, strict=True):
                        number += 1
                        yield number, [None if value is None else str(value) for value in values]

    def _check_type(self, name: str, kind: pa.DataType) -> None:
        whole = pa.types.is_integer(kind)
        if _is_text(kind) or (whole and name != "country_iso"):
            return
        if self.any_type and (whole or pa.types.is_floating(kind)):
            note = f"column {name} holds {kind}: read as whole numbers"
            self.findings.notes += [note] if note not in self.findings.notes else []
            return
        hint = "write country_iso as text and the other columns as text or whole numbers"
        if whole or pa.types.is_floating(kind):
            hint += ", or give --normalise"
        raise refusal(self.path, f"has {kind} in column {name}", hint)

    def _texts(self, name: str, array: pa.Array) -> list[Any]:
        """Return values of a column; a text of more than MAX_VALUE bytes is refused."""
        if _is_float(array.type) and name in lists.COLUMNS:
            array = pc.coalesce(_read(name, array), array.cast(pa.string()))
        words = array.dictionary if pa.types.is_dictionary(array.type) else array
        if _is_text(words.type):
            longest = pc.max(pc.binary_length(words.cast(pa.string()))).as_py() or 0
            if longest > MAX_VALUE:
                what = f"has a text of {longest:,} bytes; the limit is {MAX_VALUE:,}"
                raise too_large(self.path, what, "shorten it, or remove its column")
        values: list[Any] = array.to_pylist()
        return values

    @contextmanager
    def _coded(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise_machine_fault(error, self.path)
            hint = "restore the file from its source"
            what = f"is not a whole {self.kind} file: {error}"
            raise refusal(self.path, what, hint) from None


class ParquetSource(ColumnarSource):
    """A Parquet file."""

    kind = "Parquet"

    def __init__(self, content: Content) -> None:
        """Read the footer; a file that is damaged, has no rows or is too large is refused."""
        self.path = content.path
        with self._coded(), pq.ParquetFile(content.file) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
        if not rows:
            raise refusal(content.path, "has no rows", "add a row for each pair")
        super().__init__(content, schema)
        check_rows(content.path, rows)

    def _batches(self, fields: list[pa.Field]) -> Iterator[pa.RecordBatch]:
        """Yield the columns to read; text as dictionaries, in which a long value counts once."""
        regular_file(self._content.file)
        names = [field.name for field in fields]
        texts = [field.name for field in fields if _is_text(_value_type(field.type))]
        with pq.ParquetFile(
            self._content.file, pre_buffer=False, buffer_size=BUFFER, read_dictionary=texts
        ) as file:
            self._check_chunks(file.metadata, names)
            for batch in file.iter_batches(_ROWS, columns=names, use_threads=False):
                yield batch.select(names)

    def _check_chunks(self, footer: pq.FileMetaData, names: list[str]) -> None:
        total = 0
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            chunks = (group.column(at) for at in range(group.num_columns))
            for chunk in (chunk for chunk in chunks if chunk.path_in_schema in names):
                name, size = chunk.path_in_schema, chunk.total_uncompressed_size
                total += size
                if size > MAX_CHUNK or total > lists.MAX_BYTES:
                    what = (
                        f"has {size:,} bytes of {name} in row group {number} and "
                        f"{total:,} so far; the limits are {MAX_CHUNK:,} and {lists.MAX_BYTES:,}"
                    )
                    hint = "write it in smaller row groups, or carry fewer columns with --columns"
                    raise too_large(self.path, what, hint)
                # Arrow cannot read these as dictionaries: a prefix shared by all values would be
                # copied into each.
                for encoding in _COPIED.intersection(chunk.encodings):
                    hint = "write it in another encoding, for example by dictionary"
                    raise refusal(self.path, f"has {name} in the encoding {encoding}", hint)


class ArrowSource(ColumnarSource):
    """An Arrow stream, or an Arrow file (Feather 2), which is a stream after 8 bytes."""

    kind = "Arrow"

    def __init__(self, content: Content) -> None:
        """Read the schema; a file that is damaged, has no rows or is too large is refused."""
        self.path, self._content = content.path, content
        with self._coded():
            with self._stream() as data:
                check_messages(content.path, data)
            with self._stream() as data, pa.ipc.open_stream(data) as reader:
                schema = reader.schema
        super().__init__(content, schema)
        first = list(schema)[:1]
        with self._coded():
            if not any(batch.num_rows for batch in self._batches(first)):
                raise refusal(content.path, "has no rows", "add a row for each pair")

    @contextmanager
    def _stream(self) -> Iterator[pa.NativeFile]:
        with pa.memory_map(str(regular_file(self._content.file))) as data:
            # The footer of a file is not read: it could name other messages than those checked.
            data.seek(8 if data.read(6) == b"ARROW1" else 0)
            yield data

    def _batches(self, fields: list[pa.Field]) -> Iterator[pa.RecordBatch]:
        names = [field.name for field in fields]
        at = [self._schema.names.index(name) for name in names]
        options = pa.ipc.IpcReadOptions(included_fields=at, use_threads=False)
        with self._stream() as data, pa.ipc.open_stream(data, options=options) as reader:
            for batch in reader:
                for low in range(0, batch.num_rows, _ROWS):
                    part = batch.slice(low, _ROWS)
                    part.validate(full=True)
                    yield part.select(names)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _text_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of texts that are dictionaries of another type, or views, in a file."""
    kind = _value_type(kind)
    return pa.string() if pa.types.is_string_view(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _is_float(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind))


def _plain(array: pa.Array) -> pa.Array:
    """Return whole numbers or strings, of each string the first MAX_TEXT characters."""
    words = array.dictionary if pa.types.is_dictionary(array.type) else array
    if _is_text(words.type):
        # In a dictionary a long word counts once, however often it is used.
        words = pc.utf8_slice_codeunits(words, 0, MAX_TEXT).cast(pa.string())
    return words.take(array.indices) if pa.types.is_dictionary(array.type) else words


def _read(name: str, array: pa.Array) -> pa.Array:
    """Return the values of a column that is read as whole numbers or as text.

    Numbers of a floating type are text, 12 for 12.0; NaN and infinity are null, and in a column of
    ids any other that is not whole.
    """
    if not _is_float(array.type):
        return array.cast(pa.string()) if name == "country_iso" else array
    array = array.cast(pa.float64())
    array = pc.if_else(pc.is_finite(array), array, None)
    small = pc.less(pc.abs(array), float(2**53))
    whole = pc.and_(pc.equal(array, pc.floor(array)), small)
    digits = pc.if_else(whole, array, 0.0).cast(pa.int64()).cast(pa.string())
    others = pa.scalar(None, pa.string()) if name in _IDS else array.cast(pa.string())
    return pc.if_else(whole, digits, others)


def text_bytes(texts: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Return where each text begins (int32[r+1]) and the UTF-8 bytes of all texts (uint8[b])."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return np.zeros(len(texts) + 1, np.int32), np.empty(0, np.uint8)
    starts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return starts - starts[0], np.frombuffer(data, np.uint8)[starts[0] : starts[-1]]
