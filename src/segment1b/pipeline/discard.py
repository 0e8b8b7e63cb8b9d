"""Removes what one identity has published from a state on, or an outlet list with all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from segment1b import contracts
from segment1b.config import RunSettings
from segment1b.contracts import Contracts, Dataset
from segment1b.errors import Segment1BError
from segment1b.identity import TOKENS, Identity
from segment1b.outlets.list_names import RECORD, find_list, no_list, outlet_lists
from segment1b.pipeline.decide import tokens_of
from segment1b.pipeline.finding import find_identity
from segment1b.pipeline.listing import object_or_empty
from segment1b.states import STATES
from segment1b.storage.durable import read_json
from segment1b.storage.locks import identity_lock
from segment1b.storage.root import find_root, open_root, root_at
from segment1b.storage.staging import staging

_FLAG = "validation_bundle_1B"
#: The tokens of datasets that lists share.
_SHARED = frozenset(("parameter_hash", "trade"))
_RECEIPT = "s0_gate_receipt_1B"
_SEAL = "validation_bundle_1A"


def discard(
    settings: RunSettings,
    agree: Callable[[Mapping[str, int]], bool],
    *,
    keep_shared: bool = False,
) -> dict[str, int]:
    """Remove datasets, logs, side files and reports of an identity, the last state's first.

    The validation bundle with its flag goes before all else; within a state the run report goes
    before what it commits. Whenever a process is killed, what is left is a shorter run: the next
    run or discard completes it.

    Args:
        settings: data_root and dictionary; from_state, the first state that is discarded; tokens,
            which without a value are taken from the one S0 receipt that fits; wait_seconds for a
            run of this identity.
        agree: is given the bytes by path of all that would be removed, unless there is nothing,
            and returns whether to remove it; the identity is locked meanwhile.
        keep_shared: keep datasets whose path names no token but parameter_hash.

    Returns:
        The bytes of what was removed, by path relative to the data root, in order of removal.

    Raises:
        Segment1BError: E_USAGE when `agree` returns False, or the root has several lists and none
            is named; E_LOCKED while a run of this identity
            works; E_DISCARD_REFUSED when another receipt uses datasets of this parameter hash; as
            `find_identity`. Nothing is removed then.
    """
    # A damaged dataset must not prevent its own removal.
    root = find_root(settings.data_root, folders=False)
    if settings.manifest_fingerprint is None:
        _check_single(root, contracts.load(settings.dictionary))
    known, identity = find_identity(root, settings.dictionary, settings.tokens)
    open_root(root)
    with identity_lock(root, identity, settings.wait_seconds), staging(root) as scratch:
        found: dict[str, int] = {}
        shared: list[str] = []
        for dataset in _in_order(known, settings.states):
            items = _items(root, dataset, identity.places)
            if _SHARED.issuperset(dataset.tokens):
                if keep_shared:
                    continue
                shared += items
            found |= items
        if shared:
            _check_unused(root, known, identity, shared)
        if found and not agree(found):
            raise Segment1BError("E_USAGE", "not confirmed: nothing was removed", "answer y")
        for path in found:
            root_at(root).remove(path, scratch)
    return found


def remove_list(
    location: Path,
    name: str,
    *,
    dictionary: Path | None = None,
    wait_seconds: float = 0.0,
    dry_run: bool = False,
) -> dict[str, int]:
    """Remove an outlet list with all that was published of it (docs/spec/outlet-lists.md#removal).

    Datasets whose path names no token but parameter_hash stay: other lists may use them. What a
    killed process leaves is named as before, and is removed by the next call.

    Args:
        location: the data root.
        name: the list, as `find_list` takes it.
        dictionary: another dictionary than the packaged one.
        wait_seconds: for a run of this list.
        dry_run: only look.

    Returns:
        The bytes of what was removed, by path relative to the data root, in order of removal.

    Raises:
        Segment1BError: E_USAGE when there is no such list; E_LOCKED while a run of it works.
    """
    root = find_root(location, folders=False)
    known = contracts.load(dictionary)
    fingerprint = find_list(root, known, name)
    if fingerprint not in {one.fingerprint for one in outlet_lists(root, known)}:
        raise no_list(root, known, name)
    identity = _identity_of(root, known, fingerprint)
    if dry_run:
        return _items_of_list(root, known, fingerprint, identity)
    open_root(root)
    with ExitStack() as work:
        if identity is not None:
            work.enter_context(identity_lock(root, identity, wait_seconds))
        scratch = work.enter_context(staging(root))
        found = _items_of_list(root, known, fingerprint, identity)
        for path in found:
            root_at(root).remove(path, scratch)
    return found


def _check_single(root: Path, known: Contracts) -> None:
    """Refuse to choose one of several lists: what is removed is named."""
    lists = [one for one in outlet_lists(root, known) if one.is_whole]
    if len(lists) > 1:
        labels = ", ".join(one.label for one in lists)
        what = f"{root_at(root)} holds several outlet lists: {labels}; nothing was removed"
        raise Segment1BError("E_USAGE", what, "choose one with --list")


def _identity_of(root: Path, known: Contracts, fingerprint: str) -> Identity | None:
    """Return the identity of a list: of its S0 receipt, or else that which its bundle names."""
    own = {"manifest_fingerprint": fingerprint}
    receipt, seal = (known[dataset_id].locate(own) for dataset_id in (_RECEIPT, _SEAL))
    # The receipts of other lists, which may be damaged, are not read.
    root_at(root).fetch([receipt, seal])
    for tokens in (object_or_empty(root / receipt), tokens_of(root / seal)):
        with suppress(KeyError, Segment1BError):
            # A document that names another list must not lead to its removal.
            return Identity(**{name: tokens[name] for name in TOKENS} | own)
    return None


def _items_of_list(
    root: Path, known: Contracts, fingerprint: str, identity: Identity | None
) -> dict[str, int]:
    """Return the bytes by path of all that a list has alone, in the order of removal.

    After the states comes what an import publishes: the bundle first, and last the name, which
    leads a removal that is repeated to the rest.
    """
    found: dict[str, int] = {}
    states = list(_in_order(known, list(STATES)))
    for dataset in states:
        if identity is not None and not _SHARED.issuperset(dataset.tokens):
            found |= _items(root, dataset, identity.places)
    rank = {_SEAL: 0, RECORD: 2}
    own = [dataset for dataset in known if dataset.owner == "1A"]
    own.sort(key=lambda dataset: rank.get(dataset.id, 1))
    anyone = {**dict.fromkeys(TOKENS, "*"), "manifest_fingerprint": fingerprint}
    for dataset in (*states, *own):
        if "manifest_fingerprint" in dataset.tokens:
            found |= _items(root, dataset, anyone)
    return found


def _items(root: Path, dataset: Dataset, places: Mapping[str, object]) -> dict[str, int]:
    """Return the bytes by path of what is published of a dataset, in the order of paths."""
    items = root_at(root).published(dataset.locate({**places, "attempt": "*", "trade": "*"}))
    return dict(sorted(items.items()))


def _in_order(known: Contracts, states: Sequence[str]) -> Iterator[Dataset]:
    """Yield the datasets of some states in the order in which they are removed.

    The S0 receipt is last: it is what names the identity to a discard that is repeated.
    """
    for state in reversed(states):
        own = [dataset for dataset in known if dataset.owner == state.upper()]
        rank = {_FLAG: 0, f"{state}_run_report": 1, f"{state}_trade_run_report": 1}
        yield from sorted(own, key=lambda dataset: rank.get(dataset.id, 2))


def _check_unused(root: Path, known: Contracts, identity: Identity, shared: list[str]) -> None:
    """Refuse to remove datasets of a parameter hash that other receipts or run reports name."""
    anyone = {**identity.places, "seed": "*", "manifest_fingerprint": "*"}
    receipts = root_at(root).published(known[_RECEIPT].locate(anyone))
    own = known[_RECEIPT].locate(identity.places)
    users = [
        path
        for path in receipts
        if path != own and read_json(root / path).get("parameter_hash") == identity.parameter_hash
    ]
    for state in STATES:
        report = known[f"{state}_run_report"]
        if "parameter_hash" in report.tokens and report.tokens != ("parameter_hash",):
            reports = set(root_at(root).published(report.locate(anyone)))
            users += reports - {report.locate(identity.places)}
    if users:
        raise Segment1BError(
            "E_DISCARD_REFUSED",
            f"{', '.join(shared)}: used by {', '.join(sorted(users))} too; nothing was removed",
            "discard the other identities first, with --from-state s0 --keep-shared and their "
            "--manifest-fingerprint; or give --keep-shared to keep these datasets",
            path=shared[0],
            **identity.tokens,
        )
