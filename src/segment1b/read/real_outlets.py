"""Reads real outlets to compare a run with: longitude, latitude, country, and chain or trade.

The law is docs/spec/realism.md#real-outlets.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segment1b.errors import Segment1BError, too_large
from segment1b.outlets.column_names import COMMON
from segment1b.outlets.columns import id_fault, id_faults, shortened
from segment1b.outlets.lists import SHOWN, Reading, Source, bad_rows, refusal
from segment1b.outlets.merchant_trades import (
    NUMBER_OF_EVERYTHING,
    UNLISTED,
    numbers_of,
    texts_of,
)
from segment1b.outlets.merchant_trades import fault_of as trade_fault
from segment1b.outlets.readers import open_source
from segment1b.outlets.value_faults import NORMALISE, value_fault

#: Outlets of a comparison at most, on either side: their points are in memory, in a tree.
MAX_POINTS = 2_000_000
#: The columns that are read, and other names in common use.
COLUMNS: Final[Mapping[str, frozenset[str]]] = {
    "lon": frozenset({"lon", "lng", "long", "longitude", "londeg"}),
    "lat": frozenset({"lat", "latitude", "latdeg"}),
    "country": COMMON["country_iso"] | {"legalcountryiso"},
    "chain": COMMON["merchant_id"] | {"chain", "brand", "banner"},
    "trade": COMMON["trade"],
    "mcc": COMMON["mcc"],
}
_POSITION = ("lon", "lat", "country")
_TRADES = ("trade", "mcc")
_LIMITS = {"lon": 180.0, "lat": 90.0}
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
Bools = npt.NDArray[np.bool_]


class RealOutlets(NamedTuple):
    """The outlets of a file.

    Attributes:
        table: lon, lat (float64, degrees), country (string) and, where known, chain and trade.
        notes: sentences about what was recognised in the file.
    """

    table: pa.Table
    notes: list[str]


def read_real(path: Path, iso: set[str], mapped: Mapping[str, str]) -> RealOutlets:
    """Return the outlets of a file in any format of an outlet list; its rows are in memory alone.

    Args:
        path: the file.
        iso: the country codes that are known.
        mapped: names in the file by column, for example {"lon": "x_coord"}.

    Raises:
        Segment1BError: E_OUTLETS_INVALID for columns that are absent and for bad rows, which it
            lists; E_INPUT_TOO_LARGE for more than MAX_POINTS rows; as `open_source`.
    """
    source = open_source(path, Reading(mapped=mapped, common=COLUMNS))
    names = _columns(source)
    batches, rows = [], 0
    # Carried columns may have any type: coordinates are floats in a typed file.
    for batch in source.batches([], names):
        rows += batch.num_rows
        if rows > MAX_POINTS:
            what = f"has more than {MAX_POINTS:,} rows"
            raise too_large(source.path, what, "compare a part of it, for example one country")
        batches.append(pa.record_batch([_texts(one) for one in batch.columns], names=names))
    table = pa.Table.from_batches(batches).combine_chunks()
    columns, bad = _checked(table, iso)
    if source.skipped or any(mask.any() for mask in bad.values()):
        raise _refused(source, table, bad, iso)
    notes = [f"{name} is read as {target}" for target, name in source.findings.columns.items()]
    return RealOutlets(pa.table(columns), [*source.findings.notes, *notes])


def _columns(source: Source) -> list[str]:
    """Return the columns to read; E_OUTLETS_INVALID without a position, or a chain or trade."""
    trades = [name for name in _TRADES if name in source.names]
    if len(trades) > 1:
        raise refusal(source.path, "has both trade and mcc", "keep one of them")
    more = [*(["chain"] if "chain" in source.names else []), *trades]
    names = [*_POSITION, *(more or ["chain"])]
    source.positions(names)
    return names


def _texts(array: pa.Array) -> pa.Array:
    """Return values as text without spaces around it; of a type that has no text, empty ones."""
    try:
        return pc.utf8_trim_whitespace(array.cast(pa.string()).fill_null(""))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([""] * len(array))


def _checked(table: pa.Table, iso: set[str]) -> tuple[dict[str, Any], dict[str, Bools]]:
    """Return the columns of outlets, and which values of each column of the file are bad."""
    columns: dict[str, Any] = {}
    bad: dict[str, Bools] = {}
    for name in table.column_names:
        texts = table.column(name).combine_chunks()
        columns[name] = texts
        if name in _LIMITS:
            columns[name] = degrees = _degrees(texts)
            bad[name] = ~(np.abs(degrees) <= _LIMITS[name])
        elif name == "country":
            known = pc.is_in(texts, pa.array(sorted(iso)))
            bad[name] = ~known.to_numpy(zero_copy_only=False)
        elif name == "chain":
            bad[name] = id_faults(texts)
        else:
            numbers = numbers_of(name, texts)
            bad[name] = numbers == 0
            unknown = bad[name] | (numbers == UNLISTED)
            del columns[name]
            columns["trade"] = texts_of(np.where(unknown, NUMBER_OF_EVERYTHING, numbers))
    return columns, bad


def _degrees(texts: pa.Array) -> npt.NDArray[np.float64]:
    """Return numbers, NaN for a text that is none."""
    plain = pc.match_substring_regex(texts, _NUMBER)
    return np.asarray(pc.if_else(plain, texts, "nan").cast(pa.float64()).to_numpy())


def _refused(
    source: Source, table: pa.Table, bad: Mapping[str, Bools], iso: set[str]
) -> Segment1BError:
    """Return the error that lists the first bad rows; a second pass finds their lines."""
    wrong = np.logical_or.reduce(list(bad.values()))
    places, misfits = source.survey(np.flatnonzero(wrong)[:SHOWN].tolist())
    rows: list[dict[str, Any]] = [
        {"line": line, "column": None, "reason": reason} for line, reason in misfits
    ]
    for row, place in places.items():
        name = next(name for name, mask in bad.items() if mask[row])
        reason = _reason(name, table[name][row].as_py(), iso)
        rows.append({"line": place.number, "column": name, "reason": reason})
    rows.sort(key=lambda row: int(row["line"]))
    total = source.skipped + int(np.count_nonzero(wrong))
    return bad_rows(source, rows[:SHOWN], total, "correct or remove them; nothing was compared")


def _reason(column: str, text: str, iso: set[str]) -> str:
    """Return why a value is not valid."""
    shown = shortened(text)
    if not text:
        return "value is missing"
    if column in _LIMITS:
        return (
            f"{shown} is not a number of degrees from -{_LIMITS[column]:g} to {_LIMITS[column]:g}"
        )
    if column == "country":
        return value_fault("country_iso", text, iso).removesuffix(f" ({NORMALISE})")
    return id_fault(text) if column == "chain" else trade_fault(column, text)
