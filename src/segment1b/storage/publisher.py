"""The one way a dataset comes to be: stage, receipt, rename, report."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segment1b.contracts import Contracts, Dataset
from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.storage.durable import read_json, write_file
from segment1b.storage.proofs import Proof, joined_receipt, take_receipt
from segment1b.storage.receipts import (
    Receipt,
    document_receipt,
    folder_receipt,
    hash_files,
)
from segment1b.storage.records import damaged
from segment1b.storage.root import root_at


def publish_folder(
    root: Path,
    dataset: Dataset,
    tokens: Mapping[str, object],
    staged: Path,
    threads: int,
    rows: int | None = None,
    *,
    is_committed: bool = True,
    replace: bool = False,
    receipt: Receipt | None = None,
    proofs: Sequence[Proof] = (),
) -> Receipt:
    """Publish a staged folder as a partition: a table's parts, or the files of a bundle.

    The staged files must hold `rows` rows, where a number is given. The partition that is there
    already stays when its content is the same; `is_committed` and `replace` are as for
    `FolderRoot.publish`. `receipt` is what the staged files were checked against, and `proofs` are
    what their writers read back, if there are any; else the files are read.

    Raises:
        Segment1BError: as `joined_receipt`; the dataset's `differs` code, and nothing is changed.
    """
    relative = dataset.locate(tokens)
    take = take_receipt if dataset.kind == "table" else folder_receipt
    if receipt is None and proofs:
        receipt = joined_receipt(staged, dataset, relative, proofs)
    receipt = receipt or take(staged, dataset, relative, threads)
    if rows is not None and receipt.rows != rows:
        raise damaged(staged, f"{rows} rows were written, {receipt.rows} are there")

    def read(folder: Path) -> Receipt | None:
        try:
            return take(folder, dataset, relative, threads)
        except Segment1BError as error:
            raise_machine_fault(error)
            return None

    own = root_at(root)
    held = own.publish(staged, receipt, read, is_committed=is_committed, replace=replace)
    if held is None or not held.same_content(receipt):
        content = held.content_sha256_hex if held else "that cannot be read"
        what = f"holds content {content}, this run made {receipt.content_sha256_hex}"
        hint = "published data is never changed: use another data root or identity"
        hint += f"; if it is not wanted, {dataset.redo}"
        raise dataset.error("differs", f"{own.location}/{relative} {what}", hint, path=relative)
    return held


def create_bytes(
    root: Path, path: str, data: bytes, scratch: Path, *, is_committed: bool = True
) -> bool:
    """Publish a file that is written once, as `FolderRoot.create` does, from its bytes."""
    made = scratch / f".{uuid.uuid4().hex}.tmp"
    try:
        write_file(made, data)
        return root_at(root).create(path, made, is_committed=is_committed)
    finally:
        made.unlink(missing_ok=True)


def publish_document(
    root: Path,
    contracts: Contracts,
    dataset: Dataset,
    tokens: Mapping[str, object],
    value: dict[str, Any],
    scratch: Path,
) -> tuple[Receipt, bool]:
    """Publish a write-once JSON document; return its receipt and whether it was there already.

    What the dictionary calls volatile (clocks) is not compared; the document that is there stays.
    The dataset's `differs` code names the first field that differs.
    """
    relative = dataset.locate(tokens)
    path = root / relative
    check_document(contracts, dataset, value)
    if not path.exists() and create_bytes(root, relative, canonical_json(value), scratch):
        return document_receipt(relative, canonical_json(value), dataset.volatile), False
    held = read_json(path)
    there = held if isinstance(held, dict) else {}
    fields = [
        name
        for name in sorted(set(there) | set(value))
        if name not in dataset.volatile and there.get(name) != value.get(name)
    ]
    if fields:
        published, ours = (_short(document.get(fields[0])) for document in (there, value))
        what = f"{relative} has another {fields[0]}: {published} is published, this run has {ours}"
        hint = "one identity has one content: use another data root, or the policy and surfaces "
        hint += "that were sealed"
        raise dataset.error("differs", what, hint, path=relative, field=fields[0])
    return document_receipt(relative, path.read_bytes(), dataset.volatile), True


def publish_once(
    root: Path,
    dataset: Dataset,
    tokens: Mapping[str, object],
    data: bytes,
    scratch: Path,
    *,
    is_committed: bool = True,
) -> Receipt:
    """Publish a write-once file (a log); one that is there must have the same bytes.

    One that no report has committed is replaced, as `publish_folder` replaces a partition.
    """
    relative = dataset.locate(tokens)
    path = root / relative
    ours = create_bytes(root, relative, data, scratch, is_committed=is_committed)
    if not ours and path.read_bytes() != data:
        what = f"{relative} holds other bytes than this run made"
        hint = f"a log is written once: use another data root, or {dataset.redo}"
        raise dataset.error("differs", what, hint, path=relative)
    files, whole = hash_files(path.parent, [path.name])
    return Receipt(relative.rpartition("/")[0], data.count(b"\n"), files, whole, whole)


def publish_report(
    root: Path,
    contracts: Contracts,
    dataset: Dataset,
    tokens: Mapping[str, object],
    value: dict[str, Any],
    scratch: Path,
) -> Path:
    """Write a run report, replacing the one of an earlier run: this commits its receipts."""
    check_document(contracts, dataset, value)
    relative = dataset.locate(tokens)
    root_at(root).replace(relative, canonical_json(value), scratch)
    return root / relative


def check_document(contracts: Contracts, dataset: Dataset, value: Any) -> None:
    """Refuse a JSON document that does not fit its schema, by the dataset's schema code."""
    problems = contracts.schemas.problems(dataset.schema_ref, value)
    if problems:
        what = f"{dataset.id} does not fit its schema: " + "; ".join(problems[:3])
        raise dataset.error("schema", what, f"see {dataset.schema_ref}")


def _short(value: Any) -> str:
    text = canonical_json(value).decode().strip()
    return text if len(text) <= 200 else text[:197] + "..."
