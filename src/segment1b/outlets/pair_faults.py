"""Rows of an outlet list that break a rule between rows, and the error that lists bad rows."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from segment1b.contracts.trades import EVERYTHING
from segment1b.errors import Segment1BError
from segment1b.outlets import merchant_trades
from segment1b.outlets.columns import LEAVE_OUT
from segment1b.outlets.lists import MAX_OUTLETS, Source, bad_rows
from segment1b.outlets.texts import ListTexts
from segment1b.outlets.value_faults import NORMALISE, value_fault

_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
Bools = npt.NDArray[np.bool_]


class Sorted(NamedTuple):
    """Rows by (merchant, country, site_order if there is one, row)."""

    merchant: npt.NDArray[np.uint64]
    country: npt.NDArray[np.uint16]
    number: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]  # position in file order
    first: Bools  # whether a pair begins
    trade: merchant_trades.Numbers


#: Sorted rows that break a rule between rows: bool[r] by the name of the rule.
Faults = dict[str, Bools]
#: Column and reason of each rule; `place` is that of an earlier row, `other` a missing number.
_RULES = {
    "pair": ("merchant_id", "{pair}: duplicate of {place}"),
    "many": (
        "merchant_id",
        f"{{pair}}: more than {MAX_OUTLETS} outlets of one pair, which begins in {{place}}",
    ),
    "site": ("site_order", "site_order {site} of {pair}: duplicate of {place}"),
    "key": ("outlet_id", "outlet_id {key!r} of {pair}: duplicate of {place}"),
    "gap": ("site_order", "{site} leaves a gap: {pair} has no site_order {other}"),
    "trade": ("trade", "{trade} is another trade of the merchant than in {place}"),
}


def pair_faults(table: Sorted, counted: str | None) -> Faults:
    """Return which sorted rows break which rule, in a list with this column of counts or keys."""
    known = (table.merchant != 0) & (table.country != 0)
    trade = {"trade": merchant_trades.contradicted(table.merchant, table.trade, table.row)}
    if counted == "n_outlets":
        return {"pair": ~table.first & known, **trade}
    starts = np.flatnonzero(table.first)
    size = np.diff(np.append(starts, len(table.first)))
    if counted != "site_order":
        many = np.zeros(len(known), np.bool_)
        many[starts[size > MAX_OUTLETS] + MAX_OUTLETS] = True
        faults = {"many": many & known}
        if counted == "outlet_id":
            twice = np.zeros(len(known), np.bool_)
            twice[1:] = table.number[1:] == table.number[:-1]
            faults["key"] = twice & ~table.first & (table.number > 0) & known
        return faults | trade
    # The gaps of a pair with an unreadable site_order are unknown.
    readable = np.repeat(table.number[starts] > 0, size) & known
    before = np.zeros_like(table.number)
    before[1:] = table.number[:-1]
    before[table.first] = 0
    doubled = (table.number == before) & ~table.first & (table.number > 0) & known
    return {"site": doubled, "gap": (table.number > before + 1) & readable, **trade}


def _other(table: Sorted, kind: str, at: int) -> int:
    """Return the row that a fault at a sorted position refers to; for a gap, the missing number."""
    if kind == "gap":
        return 1 if table.first[at] else int(table.number[at - 1]) + 1
    if kind == "trade":
        own = [np.searchsorted(table.merchant, table.merchant[at], side) for side in _SIDES]
        return int(table.row[slice(*own)].min())
    begin = at - int(np.argmax(table.first[at::-1]))
    if kind in ("site", "key"):
        begin += int(np.searchsorted(table.number[begin : at + 1], table.number[at]))
    return int(table.row[begin])


def refused(
    source: Source,
    found: ListTexts,
    iso: set[str],
    bad: Bools,
    table: Sorted,
    faults: Faults,
    most: int,
) -> Segment1BError:
    """Return the error that lists the first bad rows; a second pass finds their lines."""
    shown = np.flatnonzero(bad)[:most]
    arrays: list[npt.NDArray[Any]] = [table.merchant, table.country, table.number]
    values = dict(zip(found.layout.read, arrays, strict=False))
    invalid: dict[int, list[str]] = {}
    between: dict[int, list[tuple[str, int]]] = {}
    for at in np.flatnonzero(np.isin(table.row, shown)).tolist():
        key, kinds = int(table.row[at]), [kind for kind, rule in faults.items() if rule[at]]
        invalid[key] = [name for name, array in values.items() if array[at] == 0]
        if table.trade[at] == 0:
            invalid[key].append(str(found.layout.trade))
        between[key] = [(kind, _other(table, kind, at)) for kind in kinds]
    others = {other for found in between.values() for kind, other in found if kind != "gap"}
    places, misfits = source.survey({*shown.tolist(), *others})
    entries = [(line, [("", reason)]) for line, reason in misfits]
    for row in shown.tolist():
        place, texts = places[row]
        reasons = [
            (name, value_fault(name, texts[name], iso, found.shared)) for name in invalid[row]
        ]
        pair = f"merchant {texts['merchant_id']} in {texts['country_iso']}"
        for kind, other in between[row]:
            column, reason = _RULES[kind]
            column = found.layout.trade or column if kind == "trade" else column
            earlier = "" if kind == "gap" else f"{source.unit} {places[other].number}"
            about = {"pair": pair, "place": earlier, "other": other}
            about |= {"site": texts.get("site_order"), "key": texts.get("outlet_id")}
            own = texts.get(found.layout.trade or "")
            is_given = own is not None and own.strip()
            about["trade"] = repr(own) if is_given else f"empty, which is {EVERYTHING},"
            reasons.append((column, reason.format(**about)))
        entries.append((place, reasons))
    rows = [_entry(number, reasons) for number, reasons in sorted(entries)[:most]]
    total = source.skipped + int(np.count_nonzero(bad))
    hint = "correct them in the list and import it again; nothing was written"
    if any(NORMALISE in row["reason"] for row in rows):
        hint = f"correct them in the list, or give {NORMALISE}; nothing was written"
    elif any(row["column"] in ("trade", "mcc") for row in rows):
        hint = f"correct them, rename the column {found.layout.trade} {LEAVE_OUT}"
        hint += "; nothing was written"
    return bad_rows(source, rows, total, hint)


def _entry(number: int, reasons: list[tuple[str, str]]) -> dict[str, Any]:
    (column, reason), *further = reasons
    text = "; ".join([reason, *(f"column {name}: {why}" for name, why in further)])
    return {"line": number, "column": column or None, "reason": text}
