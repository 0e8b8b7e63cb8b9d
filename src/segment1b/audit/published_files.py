"""One identity of a data root as validators see it; each file is read once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from segment1b.audit.proofs import (
    FileValues,
    Proof,
    files_below,
    prove_bytes,
    prove_table,
    values_of_file,
)
from segment1b.contracts import Contracts, Dataset
from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.texts import MAX_JSON_BYTES, parse_json, read_bounded
from segment1b.errors import Segment1BError
from segment1b.identity import Identity, canonical_json, sha256_hex
from segment1b.storage.root import root_at
from segment1b.storage.snapshot import BOUND

Fault = Literal["absent", "damaged", "schema"]
Value = TypeVar("Value")
Item = TypeVar("Item")
_PART = re.compile(r"part-\d{5}\.parquet\Z")


class UnusableError(Exception):
    """A dataset that no check can look into: kind of fault, reason, and a code if it has one."""

    def __init__(
        self, dataset_id: str, fault: Fault, reason: str, path: Path, code: str = ""
    ) -> None:
        super().__init__(f"{dataset_id}: {reason}")
        self.dataset_id, self.fault, self.reason = dataset_id, fault, reason
        self.path, self.code = path, code

    def row(self) -> dict[str, Any]:
        """Return the fault as an offending row."""
        return {"dataset": self.dataset_id, "path": str(self.path), "reason": self.reason}


@dataclass
class Published:
    """One identity of one data root.

    Attributes:
        tokens: seed, manifest_fingerprint, parameter_hash; run_id is derived from them.
        bundle: the validation bundle's folder when it is not where the dictionary says.
        copies: files that are read in the place of some tables, with the rows of some countries.
        memo: what was read once and may be used again, or the UnusableError that it gave.
    """

    root: Path
    contracts: Contracts
    tokens: Mapping[str, Any]
    bundle: Path | None = None
    copies: Mapping[str, list[Path]] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = ("seed", "manifest_fingerprint", "parameter_hash")
        identity = Identity(**{name: self.tokens[name] for name in names})
        self.tokens = {**self.tokens, **identity.places}

    def once(self, what: str, read: Callable[[], Value]) -> Value:
        """Return what `read` gives, or raise its UnusableError, the same every time."""
        if what not in self.memo:
            try:
                self.memo[what] = read()
            except UnusableError as error:
                self.memo[what] = error
        known: Value | UnusableError = self.memo[what]
        if isinstance(known, UnusableError):
            raise known
        return known

    def dataset(self, dataset_id: str) -> Dataset:
        """Return a dictionary entry."""
        return self.contracts[dataset_id]

    def is_used(self, dataset_id: str) -> bool:
        """Return whether a dataset exists under the policy in force, if that can be read."""
        try:
            policy: dict[str, Any] = self.document(BOUND)["policy"]
        except UnusableError:
            policy = {}
        return self.dataset(dataset_id).is_used(policy)

    @property
    def unused(self) -> frozenset[str]:
        """Return the datasets that the policy in force does not use."""
        return frozenset(one.id for one in self.contracts if not self.is_used(one.id))

    def path(self, dataset_id: str) -> Path:
        """Return the path of a dataset (the bundle may have been given another folder)."""
        if dataset_id == "validation_bundle_1A" and self.bundle is not None:
            return self.bundle
        relative = self.dataset(dataset_id).locate(self.tokens)
        self.once(f"fetched {relative}", lambda: root_at(self.root).fetch([relative]))
        return self.root / relative

    def files(self, dataset_id: str) -> list[Path]:
        """Return the files of a dataset in ASCII order of relative path, none when it is absent.

        Those of a table of ours are its part files alone.
        """
        if dataset_id in self.copies:
            return self.copies[dataset_id]
        path = self.path(dataset_id)
        files = files_below(path) if path.exists() else []
        if not is_our_table(self.dataset(dataset_id)):
            return files
        return [file for file in files if file.parent == path and _PART.match(file.name)]

    def _present(self, dataset_id: str) -> list[Path]:
        """Return a dataset's files, one at least."""
        files = self.files(dataset_id)
        if not files:
            raise UnusableError(dataset_id, "absent", "is absent", self.path(dataset_id))
        return files

    def document(self, dataset_id: str) -> Any:
        """Return a JSON document, or the rows of a log of JSON lines, that fit their schema.

        Raises:
            UnusableError: absent, no JSON, or of another shape.
        """
        return self.once(f"document {dataset_id}", lambda: self._read(dataset_id))

    def _read(self, dataset_id: str) -> Any:
        dataset, path = self.dataset(dataset_id), self.path(dataset_id)
        log = is_log(dataset)
        try:
            data = read_bounded(path, MAX_JSON_BYTES)
            values = [parse_json(text) for text in (data.splitlines() if log else [data])]
        except FileNotFoundError:
            raise UnusableError(dataset_id, "absent", "is absent", path) from None
        except (OSError, ValueError, Segment1BError) as error:
            raise_machine_fault(error, path)
            reason = f"is {'no JSON lines' if log else 'not JSON'}: {error}"
            raise UnusableError(dataset_id, "damaged", reason, path) from None
        for number, value in enumerate(values, 1):
            problems = self.contracts.schemas.problems(dataset.schema_ref, value)
            if problems:
                reason = (f"line {number}: " if log else "") + "; ".join(problems[:3])
                raise UnusableError(dataset_id, "schema", reason, path)
        return values if log else values[0]

    def proof(self, dataset_id: str) -> Proof:
        """Return the proof of a table of ours (every value read) or of any other dataset's bytes.

        Raises:
            UnusableError: absent, damaged, or without the declared columns.
        """
        return self.once(f"proof of {dataset_id}", lambda: self._prove(dataset_id))

    def _prove(self, dataset_id: str) -> Proof:
        dataset, path = self.dataset(dataset_id), self.path(dataset_id)
        files = self._present(dataset_id)
        if not is_our_table(dataset):
            return prove_bytes(path.parent if path.is_file() else path, files)
        columns, values = declared_columns(dataset), self.memo.get(values_name(dataset_id), ())
        try:
            proof = prove_table(path, files, columns, blocks_by(dataset), values)
        except ValueError as error:
            raise UnusableError(dataset_id, "damaged", f"cannot be read: {error}", path) from None
        self.memo[f"composite of {dataset_id}"] = proof.composite
        for file in proof.files:
            present = {(name, kind) for name, kind, _ in file.columns}
            missing = sorted({(name, kind) for name, kind, _ in columns} - present)
            if missing:
                lacks = ", ".join(f"{name} {kind}" for name, kind in missing)
                raise UnusableError(dataset_id, "schema", f"{file.name} lacks {lacks}", path)
        return proof

    def values(self, dataset_id: str, number: int, of: int) -> list[FileValues]:
        """Return the values of the files of one part of a table of ours.

        Raises:
            ValueError: a file cannot be decoded.
        """
        dataset, files = self.dataset(dataset_id), part_of(self.files(dataset_id), number, of)
        columns = declared_columns(dataset)
        return [values_of_file(file, columns, blocks_by(dataset)) for file in files]

    def composite(self, dataset_id: str) -> str:
        """Return the SHA-256 over the bytes of a table's files in name order, taken once."""
        return self.once(
            f"composite of {dataset_id}",
            lambda: prove_bytes(self.path(dataset_id), self._present(dataset_id)).composite,
        )

    def receipt(self, dataset_id: str) -> dict[str, Any]:
        """Return the receipt that the run report carries for a table of ours."""
        dataset = self.dataset(dataset_id)
        receipt: dict[str, Any] = self.document(str(dataset.receipt_in))[dataset.receipt_field]
        return receipt

    def is_as_received(self, dataset_id: str) -> bool:
        """Return whether a table of ours has the very bytes of its receipt.

        Its own state's checks decode them and take its content digest again; for whoever reads it
        a second look at hundreds of millions of rows would prove nothing more.
        """
        if not is_our_table(self.dataset(dataset_id)):
            return False
        try:
            return bool(self.receipt(dataset_id)["sha256_hex"] == self.composite(dataset_id))
        except UnusableError:
            return False

    def digest_today(self, dataset_id: str) -> str | None:
        """Return the digest by which a run report names an input, over its bytes as they are now.

        Tables of ours give their content digest, documents that of their content without clocks,
        anything else the SHA-256 over the bytes of all files in name order.
        """
        dataset = self.dataset(dataset_id)
        if dataset.kind == "document":
            value = self.document(dataset_id)
            kept = {name: item for name, item in value.items() if name not in dataset.volatile}
            return sha256_hex(canonical_json(kept))
        if self.is_as_received(dataset_id):
            content: str = self.receipt(dataset_id)["content_sha256_hex"]
            return content
        proof = self.proof(dataset_id)
        return proof.content if dataset.receipt_in else proof.composite


def values_name(dataset_id: str) -> str:
    """Return under which name the values of a table are kept where parts have read them."""
    return f"values of {dataset_id}"


def part_of(items: Sequence[Item], number: int, of: int) -> Sequence[Item]:
    """Return one of so many parts of some items, cut in their order."""
    return items[number * len(items) // of : (number + 1) * len(items) // of]


def is_our_table(dataset: Dataset) -> bool:
    """Return whether a dataset is a table that segment 1B publishes with a receipt."""
    return dataset.kind == "table" and dataset.receipt_in is not None


def is_log(dataset: Dataset) -> bool:
    """Return whether a dataset is one file of JSON lines."""
    return dataset.kind == "file" and dataset.path.endswith(".jsonl")


def blocks_by(dataset: Dataset) -> str:
    """Return the column at each change of which the content digest begins a block, if any."""
    return dataset.key[0] if dataset.cut == "tiles" else ""


def declared_columns(dataset: Dataset) -> list[tuple[str, str, bool]]:
    """Return (name, type, nullable) of each declared column, in order."""
    return [(f.name, str(f.type), f.nullable) for f in dataset.arrow_schema]
