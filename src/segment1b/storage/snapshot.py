"""A snapshot: one identity of one data root, opened for reading."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segment1b.contracts import Contracts, Dataset
from segment1b.contracts.states import TRADE_WEIGHTS
from segment1b.errors import Segment1BError, file_error, unreadable
from segment1b.identity import Identity
from segment1b.storage.durable import read_json, read_object
from segment1b.storage.receipts import DIGEST_VERSION, Receipt, hash_files
from segment1b.storage.root import root_at

#: The document that binds a parameter hash to policy and surfaces.
BOUND = "parameter_policy_1B"


@dataclass(frozen=True)
class Partition:
    """One committed dataset at one identity."""

    dataset: Dataset
    folder: Path
    receipt: Receipt
    report: dict[str, Any]

    @property
    def paths(self) -> list[Path]:
        """Return the part files in writer order."""
        return [self.folder / name for name in self.receipt.sizes]


@dataclass(frozen=True)
class Snapshot:
    """One identity of one data root.

    Attributes:
        root: the folder of the data root.
        contracts: dictionary and schemas.
        tokens: what the paths that are read are located by: `Identity.places`, or a part of it.
    """

    root: Path
    contracts: Contracts
    tokens: Mapping[str, Any]

    @property
    def identity(self) -> Identity:
        """Return the identity, where the tokens are those of one."""
        names = ("seed", "manifest_fingerprint", "parameter_hash")
        return Identity(**{name: self.tokens[name] for name in names})

    def path(self, dataset_id: str) -> Path:
        """Return where a dataset lies."""
        return self.root / self.contracts[dataset_id].locate(self.tokens)

    def fetch(self, dataset_ids: Iterable[str]) -> None:
        """Bring datasets that the working copy of an object store does not hold yet."""
        root_at(self.root).fetch([self.contracts[d].locate(self.tokens) for d in dataset_ids])

    @property
    def bound_policy(self) -> dict[str, Any]:
        """Return the document of the policy in force; empty where the root does not hold it."""
        self.fetch([BOUND])
        bound = self.document(BOUND) if self.path(BOUND).exists() else {}
        policy: dict[str, Any] = bound.get("policy", {})
        return policy

    def document(self, dataset_id: str) -> Any:
        """Return the value of a JSON document."""
        return read_json(self.path(dataset_id))

    def partition(self, dataset_id: str, *, verify: bool = False) -> Partition | None:
        """Return a partition whose report exists and whose files have the receipt's sizes, or None.

        What a working copy has not brought yet is judged by its receipt in the store; `verify`
        brings it and hashes the files. Files that differ are the dataset's receipt code.
        """
        dataset, root = self.contracts[dataset_id], root_at(self.root)
        assert dataset.receipt_in is not None
        report_path, folder = self.path(dataset.receipt_in), self.path(dataset_id)
        sizes = root.sizes(dataset.locate(self.tokens))
        if sizes is None or not report_path.exists():
            return None
        report = read_report(report_path)
        try:
            receipt = Receipt.from_json(report[dataset.receipt_field])
            report["input_digests"].items()
        except (KeyError, TypeError, AttributeError):
            what = "carries no receipt or no input digests"
            raise unreadable(report_path, what, dataset.redo) from None
        check_version(report_path, report)
        if verify and not folder.is_dir():
            self.fetch([dataset_id])
        if sizes != receipt.sizes:
            raise _not_reproduced(dataset, folder, "its files are not those of its receipt")
        if verify and hash_files(folder, list(sizes))[0] != receipt.files:
            raise _not_reproduced(dataset, folder, "its bytes do not hash to its receipt")
        return Partition(dataset, folder, receipt, report)

    def receipted(self) -> list[Dataset]:
        """Return the datasets and logs whose receipts are in run reports, of trades too."""
        report = self.path("s4_run_report")
        plan = read_object(report) if report.exists() else {}
        weights = weights_used(self.contracts, plan)
        return [*receipted(self.contracts, self.bound_policy), *weights]

    def file_receipt(self, dataset_id: str, *, verify: bool) -> Receipt | None:
        """Return the receipt of a log or document, or None when it or its run report is absent.

        One that does not hash to its receipt is the dataset's receipt code.
        """
        dataset = self.contracts[dataset_id]
        report, file = self.path(report_id(dataset)), self.path(dataset_id)
        if report.exists() and not file.exists():
            self.fetch([dataset_id])
        if not report.exists() or not file.exists():
            return None
        try:
            receipt = Receipt.from_json((body := read_report(report))[dataset.receipt_field])
        except (KeyError, TypeError):
            raise _not_reproduced(dataset, file, f"{report} has no receipt of it") from None
        check_version(report, body)
        if verify and hash_files(file.parent, [file.name])[0] != receipt.files:
            raise _not_reproduced(dataset, file, "its bytes do not hash to its receipt")
        return receipt


def weights_used(contracts: Contracts, plan: Mapping[str, Any]) -> list[Dataset]:
    """Return the weights of trades that S4 has used, by its run report."""
    used = plan.get("input_digests")
    names = used if isinstance(used, dict) else ()
    return [contracts[name] for name in names if name.startswith(f"{TRADE_WEIGHTS}/")]


def read_report(path: Path) -> Any:
    """Return the value of a run report, parsed once as long as the file stays; not to be changed.

    A run report is replaced by a rename: a new one has another inode.
    """
    status = path.stat()
    key = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return _parsed(path, key)


@functools.lru_cache(maxsize=32)
def _parsed(path: Path, _status: tuple[int, ...]) -> Any:
    return read_json(path)


def receipted(contracts: Contracts, policy: Mapping[str, Any]) -> list[Dataset]:
    """Return the datasets and logs whose receipts are in the run reports of S0 to S9.

    `policy` is the document of the policy in force, without which some do not exist. The weights
    of trades have reports of their own.
    """
    named = [d for d in contracts if d.receipt_in or d.receipt_field != "determinism_receipt"]
    return [d for d in named if d.is_used(policy) and "trade" not in d.tokens]


def check_version(path: Path, report: Mapping[str, Any]) -> None:
    """Refuse a run report whose content digests follow another rule than those of today."""
    receipts = [value for value in report.values() if isinstance(value, dict)]
    for receipt in receipts:
        version = receipt.get("digest_version", "1, which has no number")
        if "content_sha256_hex" in receipt and version != DIGEST_VERSION:
            what = f"has content digests of version {version}; this program has {DIGEST_VERSION}"
            raise file_error("E_DIGEST_VERSION", path, what)


def report_id(dataset: Dataset) -> str:
    """Return the run report that holds a dataset's receipt."""
    return dataset.receipt_in or f"{dataset.owner.lower()}_run_report"


def _not_reproduced(dataset: Dataset, path: Path, why: str) -> Segment1BError:
    hint = f"somebody changed published data: restore it, or {dataset.redo}"
    return dataset.error("receipt", f"{dataset.id} in {path}: {why}", hint, path=str(path))
