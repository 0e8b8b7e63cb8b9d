"""Outlet lists as files: named columns in batches, limits, and the errors of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError, file_error, too_large

#: How many bad rows an error lists.
SHOWN = 20
#: What a list may hold at most; docs/faq.md states these. They bound the memory to 1 GB.
MAX_ROWS = 12_000_000
MAX_OUTLETS = 999_999  # of a pair
MAX_BYTES = 4 << 30  # of text, decompressed; of the columns read of a Parquet file
MAX_LINES = 4 * MAX_ROWS  # rows, blank lines and line feeds inside quotes
MAX_LINE = 1 << 20  # bytes
MAX_COLUMNS = 1000
#: The columns that are read; all others are carried.
COLUMNS = ("merchant_id", "country_iso", "n_outlets", "site_order", "outlet_id", "trade", "mcc")


@dataclass(frozen=True)
class Reading:
    """How a list is to be read: the settings of an import about its file."""

    normalise: bool = False
    mapped: Mapping[str, str] = field(default_factory=dict)  # columns of the file, see `recognise`
    #: Common names by column, where the file is no outlet list.
    common: Mapping[str, frozenset[str]] | None = None


@dataclass
class Findings:
    """What was found out about a file and corrected in it, for the summary and the bundle."""

    notes: list[str] = field(default_factory=list)  # sentences for a warning
    columns: dict[str, str] = field(default_factory=dict)  # other names in the file
    corrections: dict[str, int] = field(default_factory=dict)  # values by kind
    values: list[dict[str, Any]] = field(default_factory=list)  # column, kind, from, to, rows
    unlisted: int = 0  # corrected values that `values` has no room for


def warnings_about(findings: Findings) -> list[str]:
    """Return sentences about what was recognised and corrected in a file."""
    lines = list(findings.notes)
    other = [f"{name} as {target}" for target, name in findings.columns.items()]
    if other:
        lines.append(f"columns are read by another name: {', '.join(other)}")
    if findings.corrections:
        kinds = ", ".join(f"{kind} {rows:,}" for kind, rows in findings.corrections.items())
        lines.append(f"{sum(findings.corrections.values()):,} values are corrected: {kinds}")
    text = "  {column}: {from!r} is {to} ({kind}), rows: {rows:,}"
    lines += [text.format(**value) for value in findings.values[:SHOWN]]
    if len(findings.values) > SHOWN:
        lines.append("  and others: all are in the bundle's MANIFEST.json")
    return lines


class Place(NamedTuple):
    """The number of a row (line, or row of a Parquet file; both from 1) and its texts."""

    number: int
    texts: Mapping[str, str | None]


#: The places of requested rows, and the lines with a wrong number of fields.
Survey = tuple[dict[int, Place], list[tuple[int, str]]]


class Source(ABC):
    """A file with named columns."""

    #: What rows are counted in: `line` or `row`.
    unit = "row"
    #: Rows with a wrong number of fields, known when `batches` is exhausted.
    skipped = 0

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        """Take the column names of a file; more than MAX_COLUMNS are refused."""
        self.path = path
        self.names = [name.strip() for name in names]
        self.findings = Findings()
        if len(self.names) > MAX_COLUMNS:
            what = f"has {len(self.names):,} columns; the limit is {MAX_COLUMNS:,}"
            raise too_large(path, what, "keep merchant_id, country_iso and n_outlets")

    @abstractmethod
    def batches(self, columns: list[str], carried: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield columns under their stripped names: text, or whole numbers; then those carried."""

    @abstractmethod
    def survey(self, wanted: Collection[int]) -> Survey:
        """Read the file again for the places of rows, counted from 0 without those skipped."""

    @abstractmethod
    def rows(self) -> Iterator[tuple[int, list[str | None]]]:
        """Yield number and texts of every row, those with a wrong number of fields too; slow."""

    def rename(self, columns: Mapping[str, str]) -> None:
        """Give columns of the file the names of a list's columns (see `column_names.recognise`)."""
        names = {name: target for target, name in columns.items()}
        self.names = [names.get(name, name) for name in self.names]
        other = {target: name for target, name in columns.items() if target != name}
        self.findings.columns = other

    def positions(self, columns: list[str]) -> list[int]:
        """Return the positions of columns; E_OUTLETS_INVALID if one is missing or repeated."""
        missing = [name for name in columns if name not in self.names]
        if missing:
            hint = "; ".join(f"{name}: {nearest(name, self.names)}" for name in missing)
            if missing[0] in COLUMNS:
                hint += f"; or name it: --map '{missing[0]}=COLUMN'"
            raise refusal(self.path, f"has no column {', '.join(missing)}", hint)
        for name in columns:
            if (times := self.names.count(name)) > 1:
                raise refusal(self.path, f"has column {name} {times} times", "keep one of them")
        return [self.names.index(name) for name in columns]


def refusal(
    path: Path, problem: str, hint: str, rows: Sequence[dict[str, Any]] = (), total: int = 0
) -> Segment1BError:
    """Return the error about a list that is not valid, with its first bad rows in the scope."""
    return file_error("E_OUTLETS_INVALID", path, problem, hint, rows=list(rows), total=total)


def bad_rows(
    source: Source, rows: Sequence[dict[str, Any]], total: int, hint: str
) -> Segment1BError:
    """Return the error that lists bad rows, each with line, column and reason."""
    lines = [f"has {total} bad row{'s' if total > 1 else ''}:"]
    for row in rows:
        column = f", column {row['column']}" if row["column"] else ""
        lines.append(f"  {source.unit} {row['line']}{column}: {row['reason']}")
    if total > len(rows):
        lines.append(f"  and {total - len(rows)} more")
    return refusal(source.path, "\n".join(lines), hint, rows=rows, total=total)


def check_rows(path: Path, rows: int) -> None:
    """Refuse a list of more than MAX_ROWS rows."""
    if rows > MAX_ROWS:
        hint = "give one row a pair, with n_outlets, or divide the list between data roots"
        raise too_large(path, f"has more than {MAX_ROWS:,} rows", hint)
