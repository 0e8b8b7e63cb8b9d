"""Outlet lists read into pairs (merchant, country) with their fingerprint; bad rows are listed."""

from __future__ import annotations

import difflib
import functools
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError, too_large
from segment1b.outlets.lists import SHOWN, Findings, Reading, Source, check_rows, refusal
from segment1b.outlets.normalising import ambiguity, normalised
from segment1b.outlets.readers import open_source, text_bytes

UInt64s = npt.NDArray[np.uint64]
Int64s = npt.NDArray[np.int64]
UInt16s = npt.NDArray[np.uint16]
Bools = npt.NDArray[np.bool_]

MAX_MERCHANT = 2**63 - 1
MAX_OUTLETS = 999_999
#: Of all pairs together; the catalogue has a row for each.
MAX_TOTAL = 1_000_000_000
_HEADER = b"merchant_id,country_iso,n_outlets\n"
_BLOCK = 1 << 17
_ISO = re.compile(r"[A-Z]{2}\Z")
#: Longer numbers exceed every limit, and these fit 64 bits.
_SAFE_DIGITS = 19
_ZERO = np.uint8(ord("0"))
#: Similarity from which a column name is taken for a misspelt one.
_MISSPELT = 0.8
#: What an error advises for values that could be corrected.
NORMALISE = "--normalise"


@dataclass(frozen=True, eq=False)
class Pairs:
    """How many outlets each merchant has in each country; (merchant, country) ascends."""

    merchant_id: UInt64s  # 1..2^63-1
    country: UInt16s  # 256*A + B for each code of the ISO table
    n_sites: Int64s  # 1..999999
    ignored: tuple[str, ...] = ()  # columns of the list that were not read
    findings: Findings = field(default_factory=Findings)  # about the file

    @functools.cached_property
    def fingerprint(self) -> str:
        """Return the SHA-256 (64 hex digits) of the pairs as text.

        The text is the line `merchant_id,country_iso,n_outlets` and a line for each pair in key
        order, each with a newline; so `sort -t, -k1,1n -k2,2` and `sha256sum` give it too.
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


def read_outlets(path: Path, iso: set[str], reading: Reading | None = None) -> Pairs:
    """Read an outlet list, in any of the formats of `open_source`, into sorted pairs.

    Its columns are merchant_id, country_iso and n_outlets, one row a pair; or merchant_id,
    country_iso and perhaps site_order, one row an outlet. Codes outside `iso` are refused.

    Raises:
        Segment1BError: E_OUTLETS_INVALID. The message lists the first 20 bad rows by line (row in
            Parquet), column and reason; scope has path, rows (the same as data) and total.
            E_INPUT_TOO_LARGE above a limit on rows, outlets or bytes.
    """
    source = open_source(path, reading, iso)
    counted = _counted(source)
    columns = ["merchant_id", "country_iso", *([counted] if counted else [])]
    source.positions(columns)
    ignored = tuple(name for name in source.names if name not in columns)
    table, bad = _read_sorted(source, columns, _known(iso))
    faults = _pair_faults(table, counted)
    for rule in faults.values():
        bad[table.row[rule]] = True
    if source.skipped or bad.any():
        raise _bad_rows(source, columns, iso, bad, table, faults)
    del faults, bad
    pairs = _pairs(table, counted, ignored, source.findings)
    total = int(pairs.n_sites.sum())
    if total > MAX_TOTAL:
        what = f"has {total:,} outlets; the limit is {MAX_TOTAL:,}"
        raise too_large(path, what, "divide the list between data roots")
    return pairs


def refused_rows(source: Source, iso: set[str]) -> dict[int, str]:
    """Return why each row is refused (from 0, without those skipped), by all rules of a list.

    Of a pair whose site_order has a gap, all rows behind the gap are refused.
    """
    counted = _counted(source)
    columns = ["merchant_id", "country_iso", *([counted] if counted else [])]
    source.positions(columns)
    table, bad = _read_sorted(source, columns, _known(iso))
    reasons = dict.fromkeys(np.flatnonzero(bad).tolist(), "")
    kept = ~bad[table.row]
    for kind, reason in (("pair", "duplicate of an earlier row"), ("many", "too many outlets")):
        for at in np.flatnonzero(_pair_faults(table, counted).get(kind, False) & kept).tolist():
            reasons[int(table.row[at])] = reason
    if counted == "site_order":
        doubled = _pair_faults(table, counted)["site"] & kept
        kept &= ~doubled
        group = np.cumsum(table.first) - 1
        order = np.cumsum(kept)
        before = np.where(table.first, order - kept, 0)
        rank: Int64s = order - np.maximum.accumulate(before)
        last = np.zeros(group[-1] + 1 if len(group) else 0, np.int64)
        good = kept & (table.number == rank)
        np.maximum.at(last, group[good], rank[good])
        for at in np.flatnonzero(doubled).tolist():
            reasons[int(table.row[at])] = "duplicate of an earlier row"
        for at in np.flatnonzero(kept & (table.number > last[group])).tolist():
            reasons[int(table.row[at])] = "leaves a gap in site_order"
    return reasons


class _Sorted(NamedTuple):
    """Rows by (merchant, country, site_order if there is one, row)."""

    merchant: UInt64s
    country: UInt16s
    number: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]  # position in file order
    first: Bools  # whether a pair begins


#: Sorted rows that break a rule between rows: bool[r] by the name of the rule.
_Faults = dict[str, Bools]
#: Column and reason of each rule; `place` is that of an earlier row, `other` a missing number.
_RULES = {
    "pair": ("merchant_id", "{pair}: duplicate of {place}"),
    "many": (
        "merchant_id",
        f"{{pair}}: more than {MAX_OUTLETS} outlets of one pair, which begins in {{place}}",
    ),
    "site": ("site_order", "site_order {site} of {pair}: duplicate of {place}"),
    "gap": ("site_order", "{site} leaves a gap: {pair} has no site_order {other}"),
}


def _counted(source: Source) -> str | None:
    """Return the column that counts: n_outlets (row a pair), site_order (row an outlet), none."""
    for name in ("n_outlets", "site_order"):
        if name in source.names:
            return name
    # One row an outlet needs no third column: a misspelt one would be ignored silently.
    for name in ("n_outlets", "site_order"):
        lower = [present.lower() for present in source.names]
        if difflib.get_close_matches(name, lower, 1, _MISSPELT):
            raise refusal(source.path, f"has no column {name}", nearest(name, source.names))
    return None


def _known(iso: set[str]) -> Bools:
    """Return bool[65536]: whether 256*A + B is a known code."""
    known = np.zeros(1 << 16, np.bool_)
    known[[int.from_bytes(code.encode(), "big") for code in iso if _ISO.match(code)]] = True
    return known


def _read_sorted(source: Source, columns: list[str], known: Bools) -> tuple[_Sorted, Bools]:
    """Return the rows of a list, 0 for every value that is not valid, and which rows have one."""
    parts: list[list[npt.NDArray[Any]]] = [[np.empty(0, kind)] for kind in ("u8", "u2", "i4")]
    rows = 0
    for batch in source.batches(columns):
        rows += batch.num_rows
        check_rows(source.path, rows + source.skipped)
        parts[0].append(_whole(batch.column(0), MAX_MERCHANT))
        parts[1].append(_codes(batch.column(1), known))
        counts = _whole(batch.column(2), MAX_OUTLETS) if len(columns) == 3 else 1
        parts[2].append(np.broadcast_to(counts, batch.num_rows).astype(np.int32))
    pa.default_memory_pool().release_unused()
    # A column at a time: its parts are freed as soon as they are joined.
    merchant, country, number = (np.concatenate(parts.pop(0)) for _ in range(3))
    bad = (merchant == 0) | (country == 0) | (number == 0)
    keys = (country, merchant)
    # The sort is stable, so that the first of equals is the first in the file.
    order = np.lexsort((number, *keys) if columns[-1] == "site_order" else keys)
    row = order.astype(np.int32)
    del order
    merchant, country, number = merchant[row], country[row], number[row]
    return _Sorted(merchant, country, number, row, begins(merchant, country)), bad


def begins(merchant: npt.NDArray[Any], code: npt.NDArray[Any]) -> Bools:
    """Return bool[r]: whether a row has another (merchant, code) than the row before it."""
    first = np.ones(len(merchant), np.bool_)
    first[1:] = (merchant[1:] != merchant[:-1]) | (code[1:] != code[:-1])
    return first


def _whole(array: pa.Array, limit: int) -> UInt64s:
    """Return whole numbers 1..limit as uint64[r], 0 for any other value."""
    if pa.types.is_integer(array.type):
        values = array.fill_null(0).to_numpy(zero_copy_only=False)
        return np.where((values >= 1) & (values <= limit), values, 0).astype(np.uint64)
    texts = array.fill_null("")
    starts, data = text_bytes(texts)
    size = np.diff(starts)
    # Digits alone, all bytes at once; Arrow would take 0x1F for a number as well.
    if not len(size) or size.min() < 1 or size.max() > _SAFE_DIGITS or (data - _ZERO > 9).any():
        fits = pc.match_substring_regex(texts, f"^0*[0-9]{{1,{_SAFE_DIGITS}}}$")
        texts = pc.if_else(fits, texts, "0")
    values = texts.cast(pa.uint64()).to_numpy()
    return np.where(values <= limit, values, np.uint64(0))


def _codes(array: pa.Array, known: Bools) -> UInt16s:
    """Return 256*A + B for known country codes as uint16[r], 0 for any other value."""
    starts, data = text_bytes(array.fill_null(""))
    two = np.diff(starts) == 2
    at = starts[:-1][two]
    codes = np.zeros(len(two), np.uint16)
    codes[two] = data[at].astype(np.uint16) << 8 | data[at + 1]
    codes[~known[codes]] = 0
    return codes


def _pair_faults(table: _Sorted, counted: str | None) -> _Faults:
    known = (table.merchant != 0) & (table.country != 0)
    if counted == "n_outlets":
        return {"pair": ~table.first & known}
    starts = np.flatnonzero(table.first)
    size = np.diff(np.append(starts, len(table.first)))
    if counted is None:
        many = np.zeros(len(known), np.bool_)
        many[starts[size > MAX_OUTLETS] + MAX_OUTLETS] = True
        return {"many": many & known}
    # The gaps of a pair with an unreadable site_order are unknown.
    readable = np.repeat(table.number[starts] > 0, size) & known
    before = np.zeros_like(table.number)
    before[1:] = table.number[:-1]
    before[table.first] = 0
    doubled = (table.number == before) & ~table.first & (table.number > 0) & known
    return {"site": doubled, "gap": (table.number > before + 1) & readable}


def _other(table: _Sorted, kind: str, at: int) -> int:
    """Return the row that a fault at a sorted position refers to; for a gap, the missing number."""
    if kind == "gap":
        return 1 if table.first[at] else int(table.number[at - 1]) + 1
    begin = at - int(np.argmax(table.first[at::-1]))
    if kind == "site":
        begin += int(np.searchsorted(table.number[begin : at + 1], table.number[at]))
    return int(table.row[begin])


def _pairs(
    table: _Sorted, counted: str | None, ignored: tuple[str, ...], findings: Findings
) -> Pairs:
    """Return the pairs of sorted rows without faults."""
    first = table.first
    if counted == "n_outlets":
        n = table.number[first].astype(np.int64)
    else:
        n = np.diff(np.append(np.flatnonzero(first), len(first)))
    return Pairs(table.merchant[first], table.country[first], n, ignored, findings)


def _bad_rows(
    source: Source, columns: list[str], iso: set[str], bad: Bools, table: _Sorted, faults: _Faults
) -> Segment1BError:
    """Return the error that lists the first bad rows; a second pass finds their lines."""
    shown = np.flatnonzero(bad)[:SHOWN]
    arrays: list[npt.NDArray[Any]] = [table.merchant, table.country, table.number]
    values = dict(zip(columns, arrays, strict=False))
    invalid: dict[int, list[str]] = {}
    between: dict[int, list[tuple[str, int]]] = {}
    for at in np.flatnonzero(np.isin(table.row, shown)).tolist():
        key, kinds = int(table.row[at]), [kind for kind, rule in faults.items() if rule[at]]
        invalid[key] = [name for name, array in values.items() if array[at] == 0]
        between[key] = [(kind, _other(table, kind, at)) for kind in kinds]
    others = {other for found in between.values() for kind, other in found if kind != "gap"}
    places, misfits = source.survey({*shown.tolist(), *others})
    entries = [(line, [("", reason)]) for line, reason in misfits]
    for row in shown.tolist():
        place, texts = places[row]
        reasons = [(name, value_fault(name, texts[name], iso)) for name in invalid[row]]
        pair = f"merchant {texts['merchant_id']} in {texts['country_iso']}"
        for kind, other in between[row]:
            column, reason = _RULES[kind]
            earlier = "" if kind == "gap" else f"{source.unit} {places[other].number}"
            about = {"pair": pair, "place": earlier, "other": other}
            reasons.append((column, reason.format(site=texts.get("site_order"), **about)))
        entries.append((place, reasons))
    rows = [_entry(number, reasons) for number, reasons in sorted(entries)[:SHOWN]]
    total = source.skipped + int(np.count_nonzero(bad))
    lines = [f"has {total} bad row{'s' if total > 1 else ''}:"]
    for row in rows:
        column = f", column {row['column']}" if row["column"] else ""
        lines.append(f"  {source.unit} {row['line']}{column}: {row['reason']}")
    if total > len(rows):
        lines.append(f"  and {total - len(rows)} more")
    hint = "correct them in the list and import it again; nothing was written"
    if any(NORMALISE in line for line in lines):
        hint = f"correct them in the list, or give {NORMALISE}; nothing was written"
    return refusal(source.path, "\n".join(lines), hint, rows=rows, total=total)


def _entry(number: int, reasons: list[tuple[str, str]]) -> dict[str, Any]:
    (column, reason), *further = reasons
    text = "; ".join([reason, *(f"column {name}: {why}" for name, why in further)])
    return {"line": number, "column": column or None, "reason": text}


def value_fault(column: str, text: str | None, iso: set[str]) -> str:
    """Return why a value is not valid."""
    if text is None or not text.strip():
        return "value is missing"
    shown = repr(text if len(text) <= 40 else text[:37] + "...")
    correction = normalised(column, text, iso)
    advice = f": {text.strip()[:40]} is {correction.value} ({NORMALISE})" if correction else ""
    if column != "country_iso":
        most = "2^63-1" if column == "merchant_id" else MAX_OUTLETS
        advice = advice or ambiguity(column, text)
        return f"{shown} is not a whole number in 1..{most}{advice}"
    if _ISO.match(text):
        return f"{shown} is not in the ISO table{advice}"
    return f"{shown} is not two upper-case letters{advice}"
