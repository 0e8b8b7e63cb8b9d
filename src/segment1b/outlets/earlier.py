"""An earlier outlet list, which the positions of a new list follow.

The law is docs/spec/outlet-lists.md#the-earlier-list.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from segment1b import contracts
from segment1b.contracts.urls import split_list
from segment1b.errors import Segment1BError
from segment1b.identity import TOKENS, Identity
from segment1b.outlets.directories import OUTLETS, directory
from segment1b.outlets.lists import SHOWN, refusal
from segment1b.outlets.names import default_list, find_list, outlet_lists
from segment1b.outlets.pairs import Pairs
from segment1b.outlets.positions import Succession, follow
from segment1b.outlets.publishing import imported
from segment1b.storage.bundles import GATE_RULES, open_bundle
from segment1b.storage.root import find_root, root_at
from segment1b.storage.snapshot import Snapshot

_KEY = "outlet_id"


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

    def outlets(self) -> pa.Table:
        """Return its outlet_directory, checked against its bundle.

        Raises:
            Segment1BError: E_USAGE for a list without outlet_id, E_EGRESS_CHECKSUM_MISMATCH for a
                directory that the bundle does not seal.
        """
        found = directory(self.snapshot.root, self.snapshot.contracts, self.fingerprint)
        if found is None or found.outlets is None or _KEY not in found.outlets.column_names:
            raise _without_keys(self.place)
        return found.outlets


def find_earlier(place: Path, dictionary: Path | None) -> Earlier:
    """Return the list that ROOT:LIST names, or the last that was imported into ROOT.

    Raises:
        Segment1BError: E_BUNDLE_MISSING for a root without lists, E_USAGE for an unknown list or
            one of 1A; the codes of a bundle that is damaged.
    """
    folder, name = split_list(place)
    root, known = find_root(folder), contracts.load(dictionary)
    lists = [one.fingerprint for one in outlet_lists(root, known)]
    fingerprint = find_list(root, known, name) if name else default_list(root, known, lists)
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
        Segment1BError: E_OUTLETS_INVALID for a list without outlet_id; as `Earlier.outlets`.
    """
    directories = pairs.directories
    tables = directories.tables if directories else {}
    if directories is None or OUTLETS not in tables or _KEY not in tables[OUTLETS].column_names:
        what = f"has no column {_KEY}, by which --since matches outlets"
        hint = f"add it, or name it: --map '{_KEY}=COLUMN'; or import the list without --since"
        raise refusal(file, what, hint)
    directories, succession = follow(directories, earlier.outlets(), earlier.fingerprint)
    return dataclasses.replace(pairs, directories=directories, since=succession)


def moves(succession: Succession) -> list[str]:
    """Return sentences about the outlets that move; none where nobody does."""
    total = succession.moved.num_rows
    if not total:
        return []
    lines = [f"outlets that stay but move, as their pair has become smaller: {total:,}"]
    text = "  {merchant} in {country_iso}: {outlet_id} from position {from} to {to}"
    lines += [text.format(**row) for row in succession.moved.slice(0, SHOWN).to_pylist()]
    return lines + ["  and others: --json lists all"] * (total > SHOWN)


def _without_keys(place: Path) -> Segment1BError:
    hint = f"import the new list without --since, with {_KEY}; the one after it can follow that"
    return Segment1BError("E_USAGE", f"--since {place}: the list there has no {_KEY}", hint)
