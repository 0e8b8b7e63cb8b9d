"""Names of the outlet lists in a data root, and which list a command is about.

The law is docs/spec/outlet-lists.md#names.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segment1b.contracts import Contracts
from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.locations import nearest
from segment1b.contracts.urls import check_name, is_name, is_prefix
from segment1b.errors import Segment1BError, visible
from segment1b.identity import canonical_json
from segment1b.storage.durable import read_json
from segment1b.storage.failures import utc_now
from segment1b.storage.folder_root import creating
from segment1b.storage.root import root_at

LOG = logging.getLogger("segment1b")
RECORD = "outlet_list"
SHORT = 8
#: What makes a list one that a command can be about; the rest of `_HELD` is left by a killed one.
_WHOLE = ("validation_bundle_1A", "s0_gate_receipt_1B", "validation_bundle_1B")
_HELD = (RECORD, "outlet_catalogue", "merchant_directory", "outlet_directory", *_WHOLE)
_FINGERPRINT = re.compile("(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True)
class OutletList:
    """One list in a data root; what is not recorded, as for lists of 1A, is None.

    Attributes:
        fingerprint: its manifest_fingerprint.
        name, file: of the list, and of the file it came from, without folders.
        imported_at_utc: when it was imported last.
        sequence: the position of that import among all of the root.
        is_whole: commands can be about it; else an import or removal of it was killed.
    """

    fingerprint: str
    name: str | None = None
    file: str | None = None
    imported_at_utc: str | None = None
    sequence: int = 0
    is_whole: bool = False

    @property
    def label(self) -> str:
        """Return the name, or the first digits of the fingerprint."""
        return self.name or self.fingerprint[:SHORT]


def outlet_lists(root: Path, known: Contracts) -> list[OutletList]:
    """Return the lists in a data root, the last imported at the end.

    A list whose record is damaged counts as one that is not recorded; a warning names the file.
    """
    held: dict[str, set[str]] = {}
    for dataset_id in _HELD:
        anyone = {"seed": "*", "manifest_fingerprint": "*"}
        for path in root_at(root).published(known[dataset_id].locate(anyone)):
            if found := _FINGERPRINT.search(path):
                held.setdefault(found[0], set()).add(dataset_id)
    lists = [
        OutletList(
            fingerprint,
            **(_read(root, known, fingerprint) if RECORD in datasets else {}),
            is_whole=not datasets.isdisjoint(_WHOLE),
        )
        for fingerprint, datasets in held.items()
    ]
    return sorted(lists, key=lambda one: (one.sequence, one.fingerprint))


def find_list(root: Path, known: Contracts, given: str) -> str:
    """Return the fingerprint of the list that a name, a fingerprint or a prefix of one names.

    A whole fingerprint is returned unseen: whether the list is there is for its reader to judge.

    Raises:
        Segment1BError: E_USAGE when no list, or more than one, is named so.
    """
    if re.fullmatch("[0-9a-f]{64}", given):
        return given
    lists = outlet_lists(root, known)
    if is_prefix(given):
        matches = [one for one in lists if one.fingerprint.startswith(given.lower())]
    else:
        matches = [one for one in lists if one.name == given]
    if len(matches) == 1:
        return matches[0].fingerprint
    if matches:
        both = " and ".join(f"{one.label} ({one.fingerprint})" for one in matches)
        what = f"'{given}' names several outlet lists in {root_at(root)}: {both}"
        hint = "give more digits, or a name" if is_prefix(given) else "give the fingerprint"
        raise Segment1BError("E_USAGE", what, hint)
    raise no_list(root, known, given)


def no_list(root: Path, known: Contracts, given: str) -> Segment1BError:
    """Return the error about a list that a root does not have; it names the nearest."""
    what = f"{root_at(root)} holds no outlet list '{visible(given)}'"
    names = [one.label for one in outlet_lists(root, known)]
    hint = nearest(given, names) if names else "import one with 'segment1b outlets import'"
    return Segment1BError("E_USAGE", what, hint)


def named_tokens(root: Path, known: Contracts, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tokens that have a value, the fingerprint of the list that is named among them.

    Args:
        root: the data root.
        known: the contracts.
        given: tokens by name; `list` is another name of `manifest_fingerprint`, and both take
            what `find_list` does.
    """
    wanted = {name: value for name, value in given.items() if value is not None}
    for key in ("list", "manifest_fingerprint"):
        if key in wanted:
            wanted["manifest_fingerprint"] = find_list(root, known, str(wanted.pop(key)))
    return wanted


def default_list(
    root: Path,
    known: Contracts,
    fitting: Collection[str],
    *,
    narrowed: bool = False,
    choice: str = "--list",
) -> str | None:
    """Return the fingerprint of the list that a command without a name is about; None without any.

    That is the only list of the root, or the one imported last; a warning names it then.

    Args:
        root: the data root.
        known: the contracts.
        fitting: the fingerprints of those that the command can use.
        narrowed: consider these alone, since other tokens were given.
        choice: what chooses another list, for the user.

    Raises:
        Segment1BError: E_USAGE when several fit and none of them has a date.
    """
    lists = [one for one in outlet_lists(root, known) if one.is_whole]
    if narrowed or not any(one.sequence for one in lists):
        lists = [one for one in lists if one.fingerprint in fitting]
    if not lists:
        return None
    last = lists[-1]
    if len(lists) > 1 and not last.sequence:
        listed = ", ".join(one.fingerprint for one in lists)
        what = f"{root_at(root)} holds several outlet lists: {listed}"
        raise Segment1BError("E_USAGE", what, f"choose one with {choice}")
    if len(lists) > 1:
        text = "using outlet list %s, imported last of %d in %s; %s chooses another"
        LOG.warning(text, last.label, len(lists), root_at(root).location, choice)
    return last.fingerprint


def free_name(
    root: Path, known: Contracts, fingerprint: str, wanted: str | None, file: Path
) -> str:
    """Return the name for a list that is imported.

    Without a name that is wanted it keeps the one that it has, or takes the file's stem; where
    another list has that, with the first digits of the fingerprint behind it, as few as make it
    free, but 8 or more.

    Raises:
        Segment1BError: E_USAGE for a malformed name, E_LIST_NAME_TAKEN for that of another list.
    """
    lists = outlet_lists(root, known)
    owners = {one.name: one.fingerprint for one in lists if one.fingerprint != fingerprint}
    if wanted is not None:
        check_name(wanted)
        if wanted in owners:
            what = f"the outlet list {owners[wanted]} in {root_at(root)} has the name '{wanted}'"
            hint = f"give another --name, or remove that list with 'segment1b remove {wanted}'"
            raise Segment1BError("E_LIST_NAME_TAKEN", what, hint)
        return wanted
    for one in lists:
        if one.name and one.fingerprint == fingerprint:
            return one.name
    stem = safe_name(file)
    longer = (f"{stem[: 63 - n]}-{fingerprint[:n]}" for n in range(SHORT, 63))
    return next(name for name in (stem, *longer) if name not in owners)


def record_list(
    root: Path, known: Contracts, fingerprint: str, wanted: str | None, file: Path, scratch: Path
) -> str:
    """Record name, file and date of a list that is imported; return the name, as `free_name`.

    The list is the last imported from then on. A record that says so already stays as it is.
    """
    with creating(root):
        name = free_name(root, known, fingerprint, wanted, file)
        last = max(outlet_lists(root, known), key=lambda one: one.sequence)
        said = (fingerprint, name, visible(file.name))
        if (last.fingerprint, last.name, last.file) != said:
            record = {
                "name": name,
                "file": said[2],
                "imported_at_utc": utc_now(),
                "sequence": 1 + last.sequence,
            }
            path = known[RECORD].locate({"manifest_fingerprint": fingerprint})
            root_at(root).replace(path, canonical_json(record), scratch)
    return name


def safe_name(file: Path) -> str:
    """Return a name made of the stem of a file; `list` for stdin."""
    stem = re.sub("[^A-Za-z0-9._-]+", "-", file.stem).strip("._-")[:64]
    return f"list-{stem}"[:64] if is_prefix(stem) else stem or "list"


def _read(root: Path, known: Contracts, fingerprint: str) -> dict[str, Any]:
    """Return the record of a list; empty, with a warning, where it is damaged."""
    dataset = known[RECORD]
    path = root / dataset.locate({"manifest_fingerprint": fingerprint})
    try:
        record: dict[str, Any] = read_json(path)
    except (Segment1BError, OSError) as error:
        raise_machine_fault(error, path)
        return _unnamed(str(getattr(error, "message", error)))
    problems = known.schemas.problems(dataset.schema_ref, record)
    if not problems and not is_name(record["name"]):
        problems = ["the name is malformed"]
    return _unnamed(f"{path}: {problems[0]}") if problems else record


@functools.cache  # warns once: a command reads the records several times
def _unnamed(problem: str) -> dict[str, Any]:
    """Warn about a damaged record, and return none."""
    hint = "remove this file, and import the list again to name it"
    LOG.warning("an outlet list has no name, as its record is damaged: %s; %s", problem, hint)
    return {}
