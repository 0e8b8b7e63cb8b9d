"""What lies in a data root at one identity, looked at once and remembered."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from segment1b.audit.proofs import (
    DamagedError,
    Proof,
    files_below,
    prove_bytes,
    prove_table,
)
from segment1b.contracts import Contracts, Dataset
from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.texts import MAX_JSON_BYTES, parse_json, read_bounded
from segment1b.errors import Segment1BError
from segment1b.identity import Identity, canonical_json
from segment1b.storage.root import root_at

Fault = Literal["absent", "damaged", "schema"]
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
        root: the data root.
        contracts: dictionary and schemas.
        tokens: seed, manifest_fingerprint, parameter_hash; run_id is derived from them.
        bundle: the validation bundle's folder when it is not where the dictionary says.
        memo: what the checks of one state have read and those of another may use.
    """

    root: Path
    contracts: Contracts
    tokens: Mapping[str, Any]
    bundle: Path | None = None
    memo: dict[str, Any] = field(default_factory=dict)
    _proofs: dict[str, Proof | UnusableError] = field(default_factory=dict)
    _documents: dict[str, Any] = field(default_factory=dict)
    _composites: dict[str, str] = field(default_factory=dict)
    _brought: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        names = ("seed", "manifest_fingerprint", "parameter_hash")
        identity = Identity(**{name: self.tokens[name] for name in names})
        self.tokens = {**self.tokens, **identity.places}

    def dataset(self, dataset_id: str) -> Dataset:
        """Return a dictionary entry."""
        return self.contracts[dataset_id]

    def path(self, dataset_id: str) -> Path:
        """Return where a dataset lies (the bundle may have been given another folder)."""
        if dataset_id == "validation_bundle_1A" and self.bundle is not None:
            return self.bundle
        relative = self.dataset(dataset_id).locate(self.tokens)
        if relative not in self._brought:
            root_at(self.root).fetch([relative])
            self._brought.add(relative)
        return self.root / relative

    def files(self, dataset_id: str) -> list[Path]:
        """Return a dataset's files in ASCII order of relative path; empty when it is absent.

        A table of ours has its part files; what else lies in its folder is `stray`.
        """
        there = self._all_files(dataset_id)
        return [one for one in there if not self._is_stray(dataset_id, one)]

    def stray(self, dataset_id: str) -> list[str]:
        """Return the names of what lies in the folder of a table of ours and is no part file."""
        path, there = self.path(dataset_id), self._all_files(dataset_id)
        strange = [one for one in there if self._is_stray(dataset_id, one)]
        return [one.relative_to(path).as_posix() for one in strange]

    def _all_files(self, dataset_id: str) -> list[Path]:
        path = self.path(dataset_id)
        return files_below(path) if path.exists() else []

    def _is_stray(self, dataset_id: str, file: Path) -> bool:
        ours = is_our_table(self.dataset(dataset_id))
        return ours and not (file.parent == self.path(dataset_id) and _PART.match(file.name))

    def document(self, dataset_id: str) -> Any:
        """Return a JSON document that fits its schema.

        Raises:
            UnusableError: absent, not JSON, or of another shape.
        """
        if dataset_id not in self._documents:
            self._documents[dataset_id] = self._read_document(dataset_id)
        found = self._documents[dataset_id]
        if isinstance(found, UnusableError):
            raise found
        return found

    def _read_document(self, dataset_id: str) -> Any:
        path = self.path(dataset_id)
        try:
            value = parse_json(read_bounded(path, MAX_JSON_BYTES))
        except FileNotFoundError:
            return UnusableError(dataset_id, "absent", "is absent", path)
        except (OSError, ValueError, Segment1BError) as error:
            raise_machine_fault(error, path)
            return UnusableError(dataset_id, "damaged", f"is not JSON: {error}", path)
        problems = self.contracts.schemas.problems(self.dataset(dataset_id).schema_ref, value)
        if problems:
            return UnusableError(dataset_id, "schema", "; ".join(problems[:3]), path)
        return value

    def lines(self, dataset_id: str) -> list[dict[str, Any]]:
        """Return the rows of a log of JSON lines, each of which fits its schema.

        Raises:
            UnusableError: absent, not JSON lines, or of another shape.
        """
        if dataset_id not in self._documents:
            self._documents[dataset_id] = self._read_lines(dataset_id)
        found = self._documents[dataset_id]
        if isinstance(found, UnusableError):
            raise found
        rows: list[dict[str, Any]] = found
        return rows

    def _read_lines(self, dataset_id: str) -> list[Any] | UnusableError:
        path = self.path(dataset_id)
        try:
            data = read_bounded(path, MAX_JSON_BYTES)
            rows = [parse_json(line) for line in data.splitlines()]
        except FileNotFoundError:
            return UnusableError(dataset_id, "absent", "is absent", path)
        except (OSError, ValueError, Segment1BError) as error:
            raise_machine_fault(error, path)
            return UnusableError(dataset_id, "damaged", f"is no JSON lines: {error}", path)
        for number, row in enumerate(rows):
            problems = self.contracts.schemas.problems(self.dataset(dataset_id).schema_ref, row)
            if problems:
                reason = f"line {number + 1}: {'; '.join(problems[:3])}"
                return UnusableError(dataset_id, "schema", reason, path)
        return rows

    def proof(self, dataset_id: str) -> Proof:
        """Return the proof of a table of ours (every value read) or of any other dataset's bytes.

        Raises:
            UnusableError: absent, damaged, or without the declared columns.
        """
        if dataset_id not in self._proofs:
            try:
                self._proofs[dataset_id] = self._take_proof(dataset_id)
            except UnusableError as error:
                self._proofs[dataset_id] = error
        found = self._proofs[dataset_id]
        if isinstance(found, UnusableError):
            raise found
        return found

    def _take_proof(self, dataset_id: str) -> Proof:
        dataset, path = self.dataset(dataset_id), self.path(dataset_id)
        files = self.files(dataset_id)
        if not files:
            raise UnusableError(dataset_id, "absent", "is absent", path)
        if not is_our_table(dataset):
            return prove_bytes(path.parent if path.is_file() else path, files)
        try:
            proof = prove_table(path, files, declared_columns(dataset))
        except DamagedError as error:
            raise UnusableError(dataset_id, "damaged", f"cannot be read: {error}", path) from None
        self._composites[dataset_id] = proof.composite
        declared = {(name, kind) for name, kind, _ in declared_columns(dataset)}
        for file in proof.files:
            missing = declared - {(name, kind) for name, kind, _ in file.columns}
            if missing:
                lacks = ", ".join(f"{name} {kind}" for name, kind in sorted(missing))
                raise UnusableError(dataset_id, "schema", f"{file.name} lacks {lacks}", path)
        return proof

    def receipt(self, dataset_id: str) -> dict[str, Any]:
        """Return the receipt that the run report carries for a table of ours.

        Raises:
            UnusableError: there is no usable report.
        """
        report = self.document(str(self.dataset(dataset_id).receipt_in))
        receipt: dict[str, Any] = report[self.dataset(dataset_id).receipt_field]
        return receipt

    def digest_today(self, dataset_id: str) -> str | None:
        """Return the digest by which a run report names an input, over the bytes as they are now.

        Tables of ours give their content digest, documents that of their content without clocks,
        anything else the SHA-256 over the bytes of all files in name order.

        Raises:
            UnusableError: the dataset cannot be looked into.
        """
        dataset = self.dataset(dataset_id)
        if dataset.kind == "document":
            value = self.document(dataset_id)
            kept = {name: item for name, item in value.items() if name not in dataset.volatile}
            return hashlib.sha256(canonical_json(kept)).hexdigest()
        if self.is_as_received(dataset_id):
            content: str = self.receipt(dataset_id)["content_sha256_hex"]
            return content
        proof = self.proof(dataset_id)
        return proof.content if dataset.receipt_in else proof.composite

    def is_as_received(self, dataset_id: str) -> bool:
        """Return whether a table of ours has the very bytes of its receipt.

        Its own state's checks decode them and take its content digest again; for whoever reads it
        a second look at hundreds of millions of rows would prove nothing more.
        """
        if not is_our_table(self.dataset(dataset_id)):
            return False
        try:
            receipt, composite = self.receipt(dataset_id), self.composite(dataset_id)
        except UnusableError:
            return False
        return bool(composite == receipt["sha256_hex"])

    def composite(self, dataset_id: str) -> str:
        """Return the SHA-256 over the bytes of a table's files in name order, taken once.

        Raises:
            UnusableError: there are no files.
        """
        if dataset_id not in self._composites:
            path, files = self.path(dataset_id), self.files(dataset_id)
            if not files:
                raise UnusableError(dataset_id, "absent", "is absent", path)
            self._composites[dataset_id] = prove_bytes(path, files).composite
        return self._composites[dataset_id]


def is_our_table(dataset: Dataset) -> bool:
    """Return whether a dataset is a table that segment 1B publishes with a receipt."""
    return dataset.kind == "table" and dataset.receipt_in is not None


def is_log(dataset: Dataset) -> bool:
    """Return whether a dataset is one file of JSON lines."""
    return dataset.kind == "file" and dataset.path.endswith(".jsonl")


def declared_columns(dataset: Dataset) -> list[tuple[str, str, bool]]:
    """Return (name, type, nullable) of each declared column, in order."""
    return [(f.name, str(f.type), f.nullable) for f in dataset.arrow_schema]
