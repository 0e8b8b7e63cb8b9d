"""Discard: removes what one identity has published from a state on, for a run to make it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from segment1b.config import RunSettings
from segment1b.contracts import Contracts, Dataset
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.pipeline.decide import find_identity
from segment1b.states import STATES
from segment1b.storage.durable import read_json
from segment1b.storage.locks import identity_lock
from segment1b.storage.root import find_root, open_root, root_at
from segment1b.storage.staging import staging

_FLAG = "validation_bundle_1B"
_RECEIPT = "s0_gate_receipt_1B"


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
        Segment1BError: E_USAGE when `agree` returns False; E_LOCKED while a run of this identity
            works; E_DISCARD_REFUSED when another receipt uses datasets of this parameter hash; as
            `find_identity`. Nothing is removed then.
    """
    # A damaged dataset must not prevent its own removal.
    root = find_root(settings.data_root, folders=False)
    known, identity = find_identity(root, settings.dictionary, settings.tokens)
    open_root(root)
    with identity_lock(root, identity, settings.wait_seconds), staging(root) as scratch:
        found: dict[str, int] = {}
        shared: list[str] = []
        for dataset in _in_order(known, settings.states):
            items = root_at(root).published(
                dataset.locate({**identity.places, "attempt": "*", "trade": "*"})
            )
            if {*dataset.tokens} <= {"parameter_hash", "trade"}:
                if keep_shared:
                    continue
                shared += items
            found |= dict(sorted(items.items()))
        if shared:
            _check_unused(root, known, identity, shared)
        if found and not agree(found):
            raise Segment1BError("E_USAGE", "not confirmed: nothing was removed", "answer y")
        for path in found:
            root_at(root).remove(path, scratch)
    return found


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
