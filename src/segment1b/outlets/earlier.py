"""An earlier outlet list, which the positions of a new list follow.

The law is docs/spec/outlet-lists.md#the-earlier-list.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from segment1b import contracts
from segment1b.contracts.urls import split_list
from segment1b.errors import Segment1BError
from segment1b.identity import TOKENS, Identity
from segment1b.outlets.directories import OUTLETS, Directories, directory
from segment1b.outlets.list_names import default_list, find_list, outlet_lists
from segment1b.outlets.lists import SHOWN, refusal
from segment1b.outlets.pairs import Pairs
from segment1b.outlets.positions import Succession, follow
from segment1b.outlets.publishing import imported
from segment1b.storage.bundles import GATE_RULES, open_bundle
from segment1b.storage.root import find_root, root_at
from segment1b.storage.snapshot import Snapshot
from segment1b.storage.sql import open_database

_KEY = "outlet_id"
_CHANGED = """
    WITH closed AS (FROM was ANTI JOIN now USING (merchant, country_iso, outlet_id)),
         opened AS (FROM now ANTI JOIN was USING (merchant, country_iso, outlet_id))
    SELECT closed.merchant, closed.country_iso, closed.outlet_id, opened.merchant AS new_merchant,
           opened.country_iso AS new_country, opened.outlet_id AS new_id
    FROM closed JOIN opened ON {} ORDER BY ALL
"""
#: Title, line of a row and query of what may be a renamed key.
_SUSPECTS = (
    (
        "outlets closed and opened whose ids differ only in case or spaces",
        "  {merchant} in {country_iso}: {outlet_id} closed, {new_merchant}: {new_id} opened",
        _CHANGED.format(
            "closed.country_iso = opened.country_iso"
            " AND lower(trim(closed.merchant)) = lower(trim(opened.merchant))"
            " AND lower(trim(closed.outlet_id)) = lower(trim(opened.outlet_id))"
        ),
    ),
    (
        "outlets closed and opened with the same id in another country of the merchant",
        "  {merchant}: {outlet_id} from {country_iso} to {new_country}",
        _CHANGED.format(
            "closed.country_iso <> opened.country_iso AND closed.merchant = opened.merchant"
            " AND closed.outlet_id = opened.outlet_id"
        ),
    ),
    (
        "merchants of both lists of which no outlet is kept; was their outlet_id changed?",
        "  {merchant}",
        """
            SELECT merchant FROM now INTERSECT SELECT merchant FROM was
            EXCEPT
            SELECT merchant FROM now SEMI JOIN was USING (merchant, country_iso, outlet_id)
            ORDER BY merchant
        """,
    ),
)


@dataclass(frozen=True)
class Earlier:
    """An imported list in a data root.

    Attributes:
        place: what the user calls it.
        snapshot: root and tokens, from its bundle.
    """

    place: Path
    snapshot: Snapshot

    @property
    def fingerprint(self) -> str:
        """Return its manifest_fingerprint."""
        return str(self.snapshot.tokens["manifest_fingerprint"])

    def directories(self) -> Directories:
        """Return its directories with the outlets, checked against its bundle.

        Raises:
            Segment1BError: E_USAGE for a list without outlet_id, E_EGRESS_CHECKSUM_MISMATCH for a
                directory that the bundle does not seal.
        """
        found = directory(self.snapshot.root, self.snapshot.contracts, self.fingerprint)
        if found is None or found.outlets is None or _KEY not in found.outlets.column_names:
            raise _without_keys(self.place)
        return found


def find_earlier(place: Path, dictionary: Path | None) -> Earlier:
    """Return the list that ROOT:LIST names, or the last that was imported into ROOT.

    Raises:
        Segment1BError: E_BUNDLE_MISSING for a root without lists, E_USAGE for an unknown list or
            one of 1A; the codes of a bundle that is damaged.
    """
    folder, name = split_list(place)
    root, known = find_root(folder), contracts.load(dictionary)
    lists = [one.fingerprint for one in outlet_lists(root, known)]
    fingerprint = (
        find_list(root, known, name)
        if name
        else default_list(root, known, lists, choice="--since ROOT:LIST")
    )
    if fingerprint is None:
        what = f"--since {place}: there is no outlet list"
        raise Segment1BError("E_BUNDLE_MISSING", what, "give the data root of the earlier list")
    bundle = known["validation_bundle_1A"].locate({"manifest_fingerprint": fingerprint})
    root_at(root).fetch([bundle])
    open_bundle(known, root / bundle, GATE_RULES)
    manifest = imported(root / bundle)
    if manifest is None:
        raise _without_keys(place)
    tokens: dict[str, Any] = {name: manifest.get(name) for name in TOKENS}
    identity = Identity(**tokens | {"manifest_fingerprint": fingerprint})
    return Earlier(place, Snapshot(root, known, identity.tokens))


def followed(pairs: Pairs, file: Path, earlier: Earlier) -> Pairs:
    """Return a list with the positions that follow an earlier one.

    Raises:
        Segment1BError: E_OUTLETS_INVALID for a list without outlet_id; as
            `Earlier.directories`.
    """
    directories = pairs.directories
    tables = directories.tables if directories else {}
    if directories is None or OUTLETS not in tables or _KEY not in tables[OUTLETS].column_names:
        what = f"has no column {_KEY}, by which --since matches outlets"
        hint = f"add it, or name it: --map '{_KEY}=COLUMN'; or import the list without --since"
        raise refusal(file, what, hint)
    was = earlier.directories()
    renamed = tuple(suspects(directories, was))
    directories, succession = follow(directories, was.tables[OUTLETS], earlier.fingerprint)
    succession = dataclasses.replace(succession, renamed=renamed)
    return dataclasses.replace(pairs, directories=directories, since=succession)


def moves(succession: Succession) -> list[str]:
    """Return sentences about outlets that move or may have been renamed; none where none are."""
    title = "outlets that stay but move, as their pair has become smaller"
    text = "  {merchant} in {country_iso}: {outlet_id} from position {from} to {to}"
    moved = _lines(title, text, succession.moved, "  and others: --json lists all")
    return [*moved, *succession.renamed]


def suspects(now: Directories, was: Directories) -> Iterator[str]:
    """Yield sentences about closed outlets that may continue under another key, as a mistake.

    Ids are compared exactly, so a key that was only written in another way loses its position.
    """
    with open_database() as database:
        for name, one in (("now", now), ("was", was)):
            outlets = one.tables[OUTLETS]
            columns = {"merchant": one.texts(outlets["merchant_id"])}
            columns |= {key: outlets[key] for key in ("country_iso", _KEY)}
            database.register(name, pa.table(columns))
        for title, text, query in _SUSPECTS:
            yield from _lines(title, text, database.sql(query).to_arrow_table(), "  and others")


def _lines(title: str, text: str, rows: pa.Table, others: str) -> list[str]:
    """Return a title with the number of rows, and a line for each of the first."""
    if not rows.num_rows:
        return []
    lines = [f"{title}: {rows.num_rows:,}"]
    lines += [text.format(**row) for row in rows.slice(0, SHOWN).to_pylist()]
    return lines + [others] * (rows.num_rows > SHOWN)


def _without_keys(place: Path) -> Segment1BError:
    hint = f"import the new list without --since, with {_KEY}; the one after it can follow that"
    return Segment1BError("E_USAGE", f"--since {place}: the list there has no {_KEY}", hint)
