"""Finds the identity that is published in a data root; imports no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.contracts import Contracts
from segment1b.errors import Segment1BError, file_error
from segment1b.identity import TOKENS, Identity
from segment1b.storage.durable import read_object
from segment1b.storage.root import root_at


def find_identity(
    data_root: Path, dictionary: Path | None, given: Mapping[str, Any]
) -> tuple[Contracts, Identity]:
    """Return the identity of what is published in a root: the one S0 receipt with these tokens.

    Raises:
        Segment1BError: E301_NO_PASS_FLAG when no receipt fits, E_USAGE when several do,
            E_PATH_EMBED_MISMATCH when one lies in the folder of another fingerprint.
    """
    known = contracts.load(dictionary)
    pattern = known["s0_gate_receipt_1B"].locate({"manifest_fingerprint": "*"})
    wanted = {name: value for name, value in given.items() if value is not None}
    root_at(data_root).fetch([pattern])
    found = []
    for path in sorted(data_root.glob(pattern)):
        receipt = read_object(path)
        named = known["s0_gate_receipt_1B"].locate(receipt)
        if named != path.relative_to(data_root).as_posix():
            what = f"belongs at {named}: its tokens are not those of its path"
            hint = "restore the receipt from where the data came from"
            raise file_error("E_PATH_EMBED_MISMATCH", path, what, hint)
        if all(receipt.get(name) == value for name, value in wanted.items()):
            found.append({name: receipt[name] for name in TOKENS})
    if not found:
        what = f"{root_at(data_root)} holds no S0 receipt" + (f" with {wanted}" if wanted else "")
        raise Segment1BError("E301_NO_PASS_FLAG", what)
    refuse_several(data_root, "fingerprints", [str(one["manifest_fingerprint"]) for one in found])
    return known, Identity(**found[0])


def refuse_several(root: Path, what: str, fingerprints: Sequence[str]) -> None:
    """Raise E_USAGE where a root holds more than one of what is looked for."""
    if len(fingerprints) > 1:
        problem = f"{root_at(root)} holds several {what}: {', '.join(fingerprints)}"
        raise Segment1BError("E_USAGE", problem, "choose one with --manifest-fingerprint")
