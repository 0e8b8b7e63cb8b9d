"""Finds the identity that is published in a data root; imports no state."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.contracts import Contracts
from segment1b.errors import Segment1BError, file_error
from segment1b.identity import TOKENS, Identity
from segment1b.outlets.list_names import default_list, named_tokens
from segment1b.storage.durable import read_object
from segment1b.storage.root import root_at


def find_identity(
    data_root: Path, dictionary: Path | None, given: Mapping[str, Any]
) -> tuple[Contracts, Identity]:
    """Return the identity of what is published of a list: that of its S0 receipt.

    Args:
        data_root: the folder of the data root.
        dictionary: another dictionary than the packaged one.
        given: tokens by name, as for `named_tokens`; without a list the default one is taken
            (docs/spec/outlet-lists.md#names).

    Raises:
        Segment1BError: E301_NO_PASS_FLAG when no receipt fits, E_USAGE when the list is not known
            or not decided, E_PATH_EMBED_MISMATCH when a receipt lies in the folder of another
            fingerprint.
    """
    known = contracts.load(dictionary)
    wanted = named_tokens(data_root, known, given)
    pattern = known["s0_gate_receipt_1B"].locate({"manifest_fingerprint": "*"})
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
    if "manifest_fingerprint" not in wanted and found:
        fitting = [str(one["manifest_fingerprint"]) for one in found]
        default = default_list(data_root, known, fitting, narrowed=bool(wanted))
        wanted["manifest_fingerprint"] = default
        found = [one for one in found if one["manifest_fingerprint"] == default]
    if not found:
        what = f"{root_at(data_root)} holds no S0 receipt" + (f" with {wanted}" if wanted else "")
        raise Segment1BError("E301_NO_PASS_FLAG", what)
    return known, Identity(**found[0])
