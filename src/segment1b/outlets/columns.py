"""Columns of a list: which are read, which are carried, and the canonical texts of values.

The law is docs/spec/outlet-lists.md#carried-columns.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segment1b.contracts.locations import nearest
from segment1b.errors import too_large
from segment1b.outlets.lists import Source, refusal

#: Bytes of a merchant_id, an outlet_id or a column name.
MAX_ID = 256
MAX_VALUE = 4096  # bytes of one text that is carried
MAX_HELD = 512 << 20  # bytes of all ids, keys and carried values
_DIGITS = 38  # of a decimal
ALL, NONE = "all", "none"
_KEYS = ("merchant_id", "country_iso")
#: What tells the outlets of a list apart: a list has at most one of them.
_COUNTED = ("n_outlets", "site_order", "outlet_id")
#: What gives a merchant's trade: a list has at most one of them.
_TRADES = ("trade", "mcc")
#: Similarity from which a column name is taken for a misspelt one.
_MISSPELT = 0.8
LEAVE_OUT = "or leave it out with --columns"


class Layout(NamedTuple):
    """Which columns of a list mean what."""

    counted: str | None  # n_outlets (a row a pair), site_order, outlet_id or none (a row an outlet)
    carried: tuple[str, ...]  # in ascending order of their UTF-8 bytes
    ignored: tuple[str, ...]  # left out by the user
    trade: str | None = None  # trade or mcc

    @property
    def read(self) -> list[str]:
        """Return the columns that are read as ids, codes, counts or keys."""
        return [*_KEYS, *([self.counted] if self.counted else [])]

    @property
    def columns(self) -> list[str]:
        """Return the columns that are read, the trade last."""
        return [*self.read, *([self.trade] if self.trade else [])]


def layout_of(source: Source, wanted: str) -> Layout:
    """Return the layout of a list; `wanted` is all, none, or names separated by commas."""
    present = [name for name in _COUNTED if name in source.names]
    if len(present) > 1:
        what = f"has {' and '.join(present)}: each of them alone tells the outlets of a pair apart"
        raise refusal(source.path, what, "keep one of them, or rename the other")
    asked = [] if wanted == NONE else [name.strip() for name in wanted.split(",")]
    chosen = _TRADES if wanted == ALL else asked
    trades = [name for name in _TRADES if name in source.names and name in chosen]
    if len(trades) > 1:
        what = f"has {' and '.join(trades)}: each of them alone gives the trade of a merchant"
        raise refusal(source.path, what, f"rename one of them, {LEAVE_OUT}")
    if not present:
        _refuse_misspelt(source)
    counted = present[0] if present else None
    source.positions([*_KEYS, *present, *trades])
    own = (*_KEYS, *_COUNTED, *trades)
    others = [name for name in source.names if name not in own]
    carried = others
    if wanted != ALL:
        read = {*_KEYS, *present, *trades, *source.findings.columns.values()}
        carried = [name for name in dict.fromkeys(asked) if name not in read]
    _check_names(source, carried)
    ignored = tuple(name for name in others if name not in carried)
    return Layout(counted, tuple(sorted(carried)), ignored, trades[0] if trades else None)


def _refuse_misspelt(source: Source) -> None:
    # One row an outlet needs no third column: a misspelt one would be carried.
    lower = [present.lower() for present in source.names]
    for name in _COUNTED:
        if difflib.get_close_matches(name, lower, 1, _MISSPELT):
            raise refusal(source.path, f"has no column {name}", nearest(name, source.names))


def _check_names(source: Source, carried: Sequence[str]) -> None:
    """Refuse names that a table cannot have twice, in any case, or that are too long."""
    source.positions(list(carried))
    hint = f"rename it, {LEAVE_OUT}"
    known = Counter(name.casefold() for name in carried)
    for name in carried:
        if not name:
            raise refusal(source.path, "has a column without a name", f"name it, {LEAVE_OUT}")
        if len(name.encode()) > MAX_ID:
            what = f"has a column name of more than {MAX_ID} bytes, {name[:40]!r}..."
            raise refusal(source.path, what, hint)
        if name.casefold() in (*_KEYS, *_COUNTED):
            what = f"has column {name!r}, which is {name.casefold()} but for its case"
            raise refusal(source.path, what, f"write {name.casefold()}, {LEAVE_OUT}")
        if known[name.casefold()] > 1:
            what = f"has several columns {name!r} that differ in case alone"
            raise refusal(source.path, what, hint)


def id_faults(texts: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Return bool[r]: null, blank, with space at an end, or longer than MAX_ID bytes."""
    filled = texts.fill_null("")
    trimmed = pc.utf8_trim_whitespace(filled)
    wrong = pc.or_(pc.not_equal(trimmed, filled), pc.equal(trimmed, ""))
    wrong = pc.or_(wrong, pc.greater(pc.binary_length(filled), MAX_ID))
    return np.asarray(wrong.to_numpy(zero_copy_only=False))


def shortened(text: str) -> str:
    """Return a text in quotes, of at most 40 characters."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def id_fault(text: str) -> str:
    """Return why an id or key is not valid; empty where it is."""
    shown = shortened(text)
    if len(text.encode()) > MAX_ID:
        return f"{shown} has more than {MAX_ID} bytes"
    return f"{shown} begins or ends with a space" if text != text.strip() else ""


class Held:
    """Arrays of a list that are held in memory until it is read, bounded in bytes."""

    def __init__(self, path: Path) -> None:
        """Hold nothing yet."""
        self._path = path
        self._bytes = 0
        self._chunks: dict[str, list[pa.Array]] = {}

    def add(self, name: str, array: pa.Array) -> None:
        """Take the values of a carried column in one batch."""
        kind = _held_type(array.type)
        if kind is None:
            what = f"has {array.type} in column {name!r}, which cannot be carried"
            raise refusal(self._path, what, f"write it as text, {LEAVE_OUT}")
        self._count(name, array)
        try:
            array.validate(full=True)
            values = array.cast(array.type.value_type) if _is_dictionary(array) else array
            values = values.cast(kind)
        except pa.ArrowInvalid as error:
            what = f"has a value in column {name!r} that cannot be carried: {error}"
            raise refusal(self._path, what, f"correct it, {LEAVE_OUT}") from None
        if pa.types.is_floating(kind):
            values = pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)
        elif kind == pa.string():
            values = pc.if_else(pc.equal(values, ""), pa.scalar(None, kind), values)
        self._chunks.setdefault(name, []).append(values)

    def keep(self, name: str, texts: pa.Array) -> None:
        """Take ids or keys as they are."""
        self._grow(texts.nbytes)
        self._chunks.setdefault(name, []).append(texts)

    def column(self, name: str) -> pa.Array:
        """Return all values of a column, which is held no longer."""
        chunks = self._chunks.pop(name, [])
        return pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())

    def _count(self, name: str, array: pa.Array) -> None:
        words = array.dictionary if _is_dictionary(array) else array
        if _held_type(words.type) != pa.string() or pa.types.is_null(words.type):
            self._grow(array.nbytes)
            return
        sizes = pc.binary_length(words)
        longest = pc.max(sizes).as_py() or 0
        if longest > MAX_VALUE:
            what = f"has a text of {longest:,} bytes in column {name!r}; the limit is {MAX_VALUE:,}"
            raise too_large(self._path, what, f"shorten it, {LEAVE_OUT}")
        if _is_dictionary(array):
            sizes = sizes.take(array.indices)
        self._grow((pc.sum(sizes).as_py() or 0) + 4 * len(array))

    def _grow(self, size: int) -> None:
        self._bytes += size
        if self._bytes > MAX_HELD:
            what = f"has more than {MAX_HELD:,} bytes of ids, keys and columns that are carried"
            raise too_large(self._path, what, "carry fewer columns with --columns, or none")


def _is_dictionary(array: pa.Array) -> bool:
    return bool(pa.types.is_dictionary(array.type))


def _held_type(kind: pa.DataType) -> pa.DataType | None:
    """Return the type in which values of a type are carried, or None."""
    types = pa.types
    if types.is_dictionary(kind):
        return _held_type(kind.value_type)
    if types.is_timestamp(kind):
        fine = kind.unit == "ns" and not kind.tz
        return pa.timestamp("ns" if fine else "us", "UTC" if kind.tz else None)
    if types.is_boolean(kind) or types.is_integer(kind):
        return kind
    if types.is_decimal(kind) and kind.precision <= _DIGITS:
        return pa.decimal128(kind.precision, kind.scale)
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_null)
    for tests, held in (
        (texts, pa.string()),
        ((types.is_float16,), pa.float32()),
        ((types.is_date,), pa.date32()),
    ):
        if any(test(kind) for test in tests):
            return held
    return kind if types.is_floating(kind) else None


def value_texts(array: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return the canonical texts of values, null where a value is null."""
    return array if array.type == pa.string() else array.cast(pa.string())


def ranks(array: pa.Array) -> npt.NDArray[np.int32]:
    """Return the place of each value's text among all in UTF-8 order, int32[r]: 0 for null."""
    words = value_texts(array).dictionary_encode()
    places = np.zeros(len(words.dictionary) + 1, np.int32)
    order = pc.sort_indices(words.dictionary).to_numpy()
    places[order] = np.arange(1, len(order) + 1, dtype=np.int32)
    return np.asarray(places[words.indices.fill_null(len(order)).to_numpy(zero_copy_only=False)])
