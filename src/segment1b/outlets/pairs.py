"""Outlet lists read into pairs (merchant, country) with their fingerprint; bad rows are listed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pv

from segment1b.errors import too_large
from segment1b.outlets import merchant_trades
from segment1b.outlets.columns import ALL, Layout, layout_of, ranks
from segment1b.outlets.directories import Directories
from segment1b.outlets.lists import (
    MAX_OUTLETS,
    SHOWN,
    Findings,
    Reading,
    Source,
    check_rows,
)
from segment1b.outlets.merchants import merchant_texts
from segment1b.outlets.pair_faults import Sorted, pair_faults, refused
from segment1b.outlets.positions import Succession
from segment1b.outlets.readers import open_source, text_bytes
from segment1b.outlets.texts import ListTexts, whole_numbers
from segment1b.outlets.value_faults import ISO
from segment1b.storage.arrays import distinct

UInt64s = npt.NDArray[np.uint64]
Int64s = npt.NDArray[np.int64]
UInt16s = npt.NDArray[np.uint16]
Bools = npt.NDArray[np.bool_]

#: Of all pairs together; the catalogue has a row for each.
MAX_TOTAL = 1_000_000_000
_HEADER = b"merchant_id,country_iso,n_outlets\n"
_BLOCK = 1 << 17


@dataclass(frozen=True, eq=False)
class Pairs:
    """How many outlets each merchant has in each country; (merchant, country) ascends."""

    merchant_id: UInt64s  # 1..2^63-1
    country: UInt16s  # 256*A + B for each code of the ISO table
    n_sites: Int64s  # 1..999999
    ignored: tuple[str, ...] = ()  # columns of the list that its reader left out
    directories: Directories | None = None  # of a list with other ids, keys or columns
    findings: Findings = field(default_factory=Findings)  # about the file
    since: Succession | None = None  # of a list that follows an earlier one

    @property
    def trades(self) -> pa.Table | None:
        """Return merchant_id and trade of each merchant; None where all are `everything`."""
        return self.directories.trades if self.directories else None

    @functools.cached_property
    def fingerprint(self) -> str:
        """Return the SHA-256 (64 hex digits) of the pairs and the directories as text.

        The text is the line `merchant_id,country_iso,n_outlets` and a line for each pair in key
        order, each with a newline; so `sort -t, -k1,1n -k2,2` and `sha256sum` give it too. A line
        for each directory follows, its name, a space and its content digest; then, of a list with
        trades, a line `merchant_id,trade` for each merchant.
        """
        digest = hashlib.sha256(_HEADER)
        for low in range(0, len(self.n_sites), _BLOCK):
            part = slice(low, low + _BLOCK)
            codes = strings(letters(self.country[part]))
            table = pa.table([self.merchant_id[part], codes, self.n_sites[part]], list("mcn"))
            lines = pa.BufferOutputStream()
            options = {"include_header": False, "quoting_style": "none", "batch_size": _BLOCK}
            pv.write_csv(table, lines, pv.WriteOptions(**options))
            digest.update(lines.getvalue())
        for name, content in (self.directories.digests if self.directories else {}).items():
            digest.update(f"{name} {content}\n".encode())
        if self.trades is not None:
            digest.update(merchant_trades.as_lines(self.trades))
        return digest.hexdigest()


def letters(country: UInt16s) -> npt.NDArray[np.uint8]:
    """Return the two ASCII letters of country codes 256*A + B, uint8[p, 2]."""
    return country.astype(">u2").view(np.uint8).reshape(-1, 2)


def strings(characters: npt.NDArray[np.uint8]) -> pa.StringArray:
    """Return r strings of w ASCII characters each, from uint8[r, w]."""
    rows, width = characters.shape
    starts = np.arange(0, (rows + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(
        rows, pa.py_buffer(starts), pa.py_buffer(np.ascontiguousarray(characters))
    )


def read_outlets(
    path: Path,
    iso: set[str],
    reading: Reading | None = None,
    wanted: str = ALL,
    shown: int = SHOWN,
) -> Pairs:
    """Read an outlet list, in any of the formats of `open_source`, into sorted pairs.

    Its columns are merchant_id, country_iso and n_outlets, one row a pair; or merchant_id,
    country_iso and perhaps outlet_id or site_order, one row an outlet; and any others, of which
    `wanted` names those that are carried: all, none, or names separated by commas. Codes outside
    `iso` are refused.

    Raises:
        Segment1BError: E_OUTLETS_INVALID. The message lists the first `shown` bad rows by line (row
            in Parquet), column and reason; scope has path, rows (the same as data) and total.
            E_INPUT_TOO_LARGE above a limit on rows, outlets or bytes.
    """
    source = open_source(path, reading, iso)
    layout = layout_of(source, wanted)
    table, bad, texts = _read_sorted(source, layout, _known(iso))
    faults = pair_faults(table, layout.counted)
    for rule in faults.values():
        bad[table.row[rule]] = True
    if source.skipped or bad.any():
        raise refused(source, texts, iso, bad, table, faults, shown)
    del faults, bad
    pairs = _pairs(table, layout, texts, source.findings)
    total = int(pairs.n_sites.sum())
    if total > MAX_TOTAL:
        what = f"has {total:,} outlets; the limit is {MAX_TOTAL:,}"
        raise too_large(path, what, "divide the list between data roots")
    return pairs


def refused_rows(
    source: Source, iso: set[str], wanted: str = ALL
) -> tuple[dict[int, str], Mapping[str, str]]:
    """Return which rows are refused (from 0, without those skipped), by all rules of a list.

    Of a pair whose site_order has a gap, all rows behind the gap are refused.

    Returns:
        The reasons of rows, empty where a value is not valid, and those of ids with one number.
    """
    layout = layout_of(source, wanted)
    table, bad, texts = _read_sorted(source, layout, _known(iso))
    reasons = dict.fromkeys(np.flatnonzero(bad).tolist(), "")
    kept = ~bad[table.row]
    faults = pair_faults(table, layout.counted)
    doubled = np.zeros_like(kept)
    contradicts = faults["trade"] & kept
    reasons |= dict.fromkeys(table.row[contradicts].tolist(), "another trade of its merchant")
    kept &= ~contradicts
    for kind in ("pair", "site", "key"):
        doubled |= faults.get(kind, False)
    doubled &= kept
    found = {"duplicate of an earlier row": doubled}
    kept &= ~doubled
    order = np.cumsum(kept)
    before = np.where(table.first, order - kept, 0)
    rank: Int64s = order - np.maximum.accumulate(before)
    if layout.counted == "site_order":
        group = np.cumsum(table.first) - 1
        last = np.zeros(group[-1] + 1 if len(group) else 0, np.int64)
        good = kept & (table.number == rank)
        np.maximum.at(last, group[good], rank[good])
        found["leaves a gap in site_order"] = kept & (table.number > last[group])
    elif layout.counted != "n_outlets":
        found["too many outlets"] = kept & (rank > MAX_OUTLETS)
    for reason, rows in found.items():
        reasons |= dict.fromkeys(table.row[rows].tolist(), reason)
    return reasons, texts.shared


def _known(iso: set[str]) -> Bools:
    """Return bool[65536]: whether 256*A + B is a known code."""
    known = np.zeros(1 << 16, np.bool_)
    known[[int.from_bytes(code.encode(), "big") for code in iso if ISO.match(code)]] = True
    return known


def _read_sorted(source: Source, layout: Layout, known: Bools) -> tuple[Sorted, Bools, ListTexts]:
    """Return the rows of a list, 0 for every value that is not valid, and which rows have one."""
    kinds = ("u8", "?", "u2", "i4")
    trades: list[merchant_trades.Numbers] = []
    parts: list[list[npt.NDArray[Any]]] = [[np.empty(0, kind)] for kind in kinds]
    rows, texts, counted = 0, ListTexts(source, layout), layout.counted
    for batch in source.batches(layout.columns, layout.carried):
        rows += batch.num_rows
        check_rows(source.path, rows + source.skipped)
        for part, values in zip(parts, texts.take(batch), strict=False):
            part.append(values)
        parts[2].append(_codes(batch.column(1), known))
        if layout.trade:
            values = batch.column(len(layout.read))
            trades.append(merchant_trades.numbers_of(layout.trade, values))
        is_number = counted in ("n_outlets", "site_order")
        counts = whole_numbers(batch.column(2), MAX_OUTLETS) if is_number else 1
        parts[3].append(np.broadcast_to(counts, batch.num_rows).astype(np.int32))
    texts.finish()
    trade = merchant_trades.joined(trades, rows)
    pa.default_memory_pool().release_unused()
    # A column at a time: its parts are freed as soon as they are joined.
    merchant, is_whole, country, number = (np.concatenate(parts.pop(0)) for _ in range(4))
    merchant[texts.share_numbers(merchant, is_whole)] = 0
    if texts.key is not None:
        number = ranks(texts.key)
    bad = (merchant == 0) | (country == 0) | (number == 0) | (trade == 0)
    within: tuple[Any, ...] = () if counted == "n_outlets" else (number,)
    if counted is None:
        within = tuple(ranks(texts.carried[name]) for name in reversed(layout.carried))
    # The sort is stable, so that the first of equals is the first in the file.
    row = np.lexsort((*within, country, merchant)).astype(np.int32)
    merchant, country, number = merchant[row], country[row], number[row]
    trade = merchant_trades.listed(merchant, trade[row], source.findings) if trades else trade
    first = begins(merchant, country)
    return Sorted(merchant, country, number, row, first, trade), bad, texts


def begins(merchant: npt.NDArray[Any], code: npt.NDArray[Any]) -> Bools:
    """Return bool[r]: whether a row has another (merchant, code) than the row before it."""
    first = np.ones(len(merchant), np.bool_)
    first[1:] = (merchant[1:] != merchant[:-1]) | (code[1:] != code[:-1])
    return first


def _codes(array: pa.Array, known: Bools) -> UInt16s:
    """Return 256*A + B for known country codes as uint16[r], 0 for any other value."""
    starts, data = text_bytes(array.fill_null(""))
    two = np.diff(starts) == 2
    at = starts[:-1][two]
    codes = np.zeros(len(two), np.uint16)
    codes[two] = data[at].astype(np.uint16) << 8 | data[at + 1]
    codes[~known[codes]] = 0
    return codes


def _pairs(table: Sorted, layout: Layout, texts: ListTexts, findings: Findings) -> Pairs:
    """Return the pairs of sorted rows without faults."""
    first = table.first
    if layout.counted == "n_outlets":
        n = table.number[first].astype(np.int64)
    else:
        n = np.diff(np.append(np.flatnonzero(first), len(first)))
    pairs = (table.merchant[first], table.country[first], n, layout.ignored)
    has_outlets = bool(layout.carried) or layout.counted == "outlet_id"
    has_trades = bool((table.trade != merchant_trades.NUMBER_OF_EVERYTHING).any())
    if not (has_outlets or has_trades or len(texts.ids)):
        return Pairs(*pairs, findings=findings)
    numbers = distinct(table.merchant)
    merchants = pa.table({"merchant_id": numbers, "merchant": merchant_texts(numbers, texts.ids)})
    if has_trades:
        own = table.trade[np.searchsorted(table.merchant, numbers)]
        merchants = merchants.append_column("trade", merchant_trades.texts_of(own))
    outlets = _outlets(table, layout, texts) if has_outlets else None
    return Pairs(*pairs, Directories(merchants, outlets), findings)


def _outlets(table: Sorted, layout: Layout, texts: ListTexts) -> pa.Table:
    """Return the outlet directory of sorted rows: they are in the order of their positions."""
    starts = np.flatnonzero(table.first)
    size = np.diff(np.append(starts, len(table.first)))
    order = np.arange(len(table.first)) - np.repeat(starts, size) + 1
    columns: dict[str, Any] = {
        "merchant_id": table.merchant,
        "country_iso": strings(letters(table.country)),
        "site_order": (order * (layout.counted != "n_outlets")).astype(np.int32),
    }
    row = pa.array(table.row)
    if texts.key is not None:
        columns["outlet_id"] = texts.key.take(row)
    for name in layout.carried:
        columns[name] = texts.carried.pop(name).take(row)
    return pa.table(columns)
