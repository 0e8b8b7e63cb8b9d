"""Which column of a file is which column of an outlet list: exact names, a map, common names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError
from segment1b.outlets.lists import refusal

#: The columns of a list, and other names in common use, without case, spaces and punctuation.
COMMON: Final[Mapping[str, frozenset[str]]] = {
    "merchant_id": frozenset(
        {"merchantid", "merchant", "mid", "merchantno", "merchantnumber", "merchantcode"}
        | {"merchantkey", "merchantidentifier"}
    ),
    "country_iso": frozenset(
        {"countryiso", "country", "countrycode", "iso", "iso2", "isocode", "isocountry", "isoa2"}
        | {"countryiso2", "iso31661alpha2", "iso31661", "alpha2", "countryisocode"}
    ),
    "n_outlets": frozenset(
        {"noutlets", "outlets", "stores", "count", "nstores", "outletcount", "storecount", "shops"}
        | {"numoutlets", "numstores", "numberofoutlets", "numberofstores", "branches"}
    ),
    "site_order": frozenset({"siteorder"}),
    "outlet_id": frozenset(
        {"outletid", "outlet", "storeid", "store", "shopid", "branchid", "outletkey", "storekey"}
        | {"outletnumber", "storenumber", "outletno", "storeno", "outletcode", "storecode"}
    ),
    "trade": frozenset({"trade"}),
    "mcc": frozenset({"mcc", "mcccode", "merchantcategorycode"}),
}
#: A list has one of these at most; with one, a column such as `count` or `store` is any column.
_COUNTED = ("n_outlets", "site_order", "outlet_id")
_SIGNS = re.compile(r"[\s_.\-#/()]+")


def plain(name: str) -> str:
    """Return a column name without case, spaces and punctuation."""
    return _SIGNS.sub("", name.casefold())


def parse_map(pairs: Sequence[str], columns: Collection[str] = COMMON) -> dict[str, str]:
    """Return the columns of a file by those to read, from `country_iso=Land`; else E_USAGE."""
    found: dict[str, str] = {}
    for pair in pairs:
        target, sign, name = (part.strip() for part in pair.partition("="))
        if not (sign and name) or target not in columns:
            hint = f"write COLUMN=NAME; {nearest(target, columns)}"
            raise Segment1BError("E_USAGE", f"--map {pair!r} names no column of a list", hint)
        if target in found or name in found.values():
            what = f"--map {pair!r} maps a column that is mapped already"
            raise Segment1BError("E_USAGE", what, "map each column once")
        found[target] = name
    return found


def recognised(names: Sequence[str]) -> int:
    """Return how many columns of a list the names are, or may be."""
    known = [plain(name) for name in names]
    return sum(any(name in common for name in known) for common in COMMON.values())


def recognise(
    path: Path,
    names: Sequence[str],
    mapped: Mapping[str, str],
    common: Mapping[str, frozenset[str]] = COMMON,
) -> dict[str, str]:
    """Return the name in the file of each column of a list that it has.

    A mapped name counts first, then the exact name, then a common name. Raises E_OUTLETS_INVALID
    when a mapped column is absent, or two columns have common names of one column.
    """
    found: dict[str, str] = {}
    for target, name in mapped.items():
        if name not in names:
            what = f"has no column {name}, which --map takes for {target}"
            raise refusal(path, what, nearest(name, names))
        if target in names and target != name:
            what = f"has a column {target} beside {name}, which --map takes for it"
            raise refusal(path, what, f"rename or remove the column {target}")
        found[target] = name
    for target in common:
        if target not in found and target in names and target not in mapped.values():
            found[target] = target
    # n_outlets comes last: its common names are words that any list may have.
    for target in sorted(common, key=lambda name: name == "n_outlets"):
        if target in found or (target in _COUNTED and any(name in found for name in _COUNTED)):
            continue
        taken = set(found.values())
        free = [name for name in names if name not in taken and plain(name) in common[target]]
        if len(set(free)) > 1:
            what = f"has several columns that may be {target}: {', '.join(free)}"
            raise refusal(path, what, f"choose one, for example --map '{target}={free[0]}'")
        if free:
            found[target] = free[0]
    return found
