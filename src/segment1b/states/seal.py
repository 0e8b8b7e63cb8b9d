"""The check of every state behind the gate: the S0 receipt of its fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segment1b.errors import Segment1BError, file_error
from segment1b.states.protocol import Run
from segment1b.storage.durable import read_json
from segment1b.storage.publisher import check_document
from segment1b.storage.reader import Reader


def sealed_inputs(run: Run, reader: Reader, mismatch: str) -> dict[str, dict[str, Any]]:
    """Return the sealed inputs by id, once the receipt fits its schema and names this run.

    Raises:
        Segment1BError: E301_NO_PASS_FLAG, E_RECEIPT_SCHEMA_INVALID, or `mismatch`, the state's code
            for tokens or digests that differ.
    """
    dataset = reader.dataset("s0_gate_receipt_1B")
    path = reader.file("s0_gate_receipt_1B")
    try:
        receipt = read_json(path)
    except Segment1BError as error:
        code = "E_RECEIPT_SCHEMA_INVALID"
        raise Segment1BError(code, error.message, error.hint, path=str(path)) from None
    check_document(run.contracts, dataset, receipt)
    for token, value in run.tokens.items():
        if receipt[token] != value:
            problem = f"seals {token} {receipt[token]}, the run has {value}"
            hint = "run S0 for this identity in another data root"
            raise file_error(mismatch, path, problem, hint)
    sealed = {entry["id"]: entry for entry in receipt["sealed_inputs"]}
    for surface, digest in run.surfaces.items():
        check_sealed(sealed, surface, digest, mismatch, path)
    return sealed


def check_sealed(
    sealed: dict[str, dict[str, Any]], dataset_id: str, digest: str, mismatch: str, path: Path
) -> None:
    """Refuse an input that S0 did not seal (E311) or that has changed since (`mismatch`)."""
    if dataset_id not in sealed:
        problem = f"{path} does not seal {dataset_id}"
        raise Segment1BError("E311_DISALLOWED_READ", problem, dataset=dataset_id)
    if sealed[dataset_id]["sha256_hex"] != digest:
        what = f"{dataset_id} hashes to {digest}, sealed was {sealed[dataset_id]['sha256_hex']}"
        hint = "restore the sealed input, or start again in another data root"
        raise Segment1BError(mismatch, what, hint, dataset=dataset_id)
