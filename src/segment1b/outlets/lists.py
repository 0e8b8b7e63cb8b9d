"""Outlet lists as files: how their columns are read, their limits, and the errors of each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError

#: How many bad rows an error lists.
SHOWN = 20
#: What a list may hold at most; docs/faq.md states these. They bound the memory to 1 GB.
MAX_ROWS = 12_000_000
MAX_BYTES = 4 << 30  # of text, decompressed; of the columns read of a Parquet file
MAX_LINES = 4 * MAX_ROWS  # rows, blank lines and line feeds inside quotes
MAX_LINE = 1 << 20  # bytes
MAX_COLUMNS = 1000


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


def refusal(
    path: Path, what: str, hint: str, rows: list[dict[str, Any]] | None = None, total: int = 0
) -> Segment1BError:
    """Return the error for a list that cannot be taken: `path` and `what` make a sentence."""
    return Segment1BError(
        "E_OUTLETS_INVALID", f"{path} {what}", hint, path=str(path), rows=rows or [], total=total
    )


def too_large(path: Path, what: str, hint: str) -> Segment1BError:
    """Return the error for a list above a limit: `path` and `what` make a sentence."""
    return Segment1BError("E_INPUT_TOO_LARGE", f"{path} {what}", hint, path=str(path))


def check_columns(path: Path, columns: int) -> None:
    """Refuse a list of more than MAX_COLUMNS columns."""
    if columns > MAX_COLUMNS:
        raise too_large(
            path,
            f"has {columns:,} columns; the limit is {MAX_COLUMNS:,}",
            "keep merchant_id, country_iso and n_outlets",
        )


def check_rows(path: Path, rows: int) -> None:
    """Refuse a list of more than MAX_ROWS rows."""
    if rows > MAX_ROWS:
        raise too_large(
            path,
            f"has more than {MAX_ROWS:,} rows",
            "give one row a pair, with n_outlets, or divide the list between data roots",
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
