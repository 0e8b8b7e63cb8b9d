"""Reading: declared and committed data only, with a count of the bytes that were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.contracts import Contracts, Dataset
from segment1b.errors import Segment1BError
from segment1b.storage.durable import read_json
from segment1b.storage.receipts import (
    Receipt,
    coded_parquet_errors,
    hash_files,
    open_words,
    read_words,
)
from segment1b.storage.root import root_at


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
        return [self.folder / name for name, _, _ in self.receipt.files]


def committed(
    root: Path,
    contracts: Contracts,
    dataset: Dataset,
    tokens: Mapping[str, object],
    *,
    verify: bool = False,
) -> Partition | None:
    """Return a partition whose report exists and whose files have the receipt's sizes, or None.

    Args:
        root: the data root.
        contracts: where the report's entry stands.
        dataset: what to look for.
        tokens: at which identity.
        verify: hash the files again instead of comparing sizes only.

    What a working copy has not brought yet is judged by its receipt in the store.

    Raises:
        Segment1BError: the dataset's receipt code when files are not those of the receipt.
    """
    assert dataset.receipt_in is not None
    report_path = root / contracts[dataset.receipt_in].locate(tokens)
    own, relative = root_at(root), dataset.locate(tokens)
    folder, there = root / relative, own.sizes(relative)
    if not report_path.exists() or there is None:
        return None
    report = read_json(report_path)
    try:
        receipt = Receipt.from_json(report[dataset.receipt_field])
        report["input_digests"].items()
    except (KeyError, TypeError, AttributeError):
        raise Segment1BError(
            "E_INPUT_UNREADABLE",
            f"{report_path} carries no receipt or no input digests",
            dataset.redo,
            path=str(report_path),
        ) from None
    if verify and not folder.is_dir():
        own.fetch([relative])
    if there != {name: size for name, size, _ in receipt.files}:
        raise _not_reproduced(dataset, folder, "its files are not those of its receipt")
    if verify and hash_files(folder, list(there))[0] != receipt.files:
        raise _not_reproduced(dataset, folder, "its bytes do not hash to its receipt")
    return Partition(dataset, folder, receipt, report)


def receipted(contracts: Contracts) -> list[Dataset]:
    """Return the datasets and logs whose receipts are in the run reports of S0 to S9."""
    return [d for d in contracts if d.receipt_in or d.receipt_field != "determinism_receipt"]


def report_id(dataset: Dataset) -> str:
    """Return the run report that holds a dataset's receipt."""
    return dataset.receipt_in or f"{dataset.owner.lower()}_run_report"


def file_receipt(
    root: Path,
    contracts: Contracts,
    dataset: Dataset,
    tokens: Mapping[str, object],
    *,
    verify: bool,
) -> Receipt | None:
    """Return the receipt of a log or document, as `committed` does; its bytes are hashed to verify.

    Returns:
        None when the file or its run report is absent.

    Raises:
        Segment1BError: the dataset's receipt code when it does not hash to its receipt.
    """
    path, file = root / contracts[report_id(dataset)].locate(tokens), root / dataset.locate(tokens)
    if not path.exists() or not file.exists():
        return None
    try:
        receipt = Receipt.from_json(read_json(path)[dataset.receipt_field])
    except (KeyError, TypeError):
        raise _not_reproduced(dataset, file, f"{path} has no receipt of it") from None
    if verify and hash_files(file.parent, [file.name])[0] != receipt.files:
        raise _not_reproduced(dataset, file, "its bytes do not hash to its receipt")
    return receipt


def _not_reproduced(dataset: Dataset, folder: Path, why: str) -> Segment1BError:
    return Segment1BError(
        dataset.code("receipt"),
        f"{dataset.id} in {folder}: {why}",
        f"somebody changed published data: restore it, or {dataset.redo}",
        dataset=dataset.id,
        path=str(folder),
    )


@dataclass
class Reader:
    """What one state may read, at one identity.

    Attributes:
        allowed: dataset ids the state has declared.
        disallowed_code: the state's code for any other.
        missing: the state's code for each dataset when it is absent or not committed.
        bytes_read: bytes of column chunks and files read so far, by dataset id.
    """

    root: Path
    contracts: Contracts
    tokens: Mapping[str, object]
    allowed: Sequence[str]
    disallowed_code: str
    missing: Mapping[str, str]
    surfaces: Mapping[str, str]
    stale_code: str = "E306_TOKEN_MISMATCH"
    bytes_read: Counter[str] = field(default_factory=Counter)

    def dataset(self, dataset_id: str) -> Dataset:
        """Return a declared dataset's entry; anything else is the state's disallowed code."""
        if dataset_id not in self.allowed:
            raise Segment1BError(
                self.disallowed_code,
                f"{dataset_id} is not among the declared inputs {', '.join(self.allowed)}",
                "declare it in the state's contract and seal it",
                dataset=dataset_id,
            )
        return self.contracts[dataset_id]

    def fetch(self, dataset_ids: Iterable[str]) -> None:
        """Bring declared inputs that a working copy of an object store does not hold yet."""
        root_at(self.root).fetch([self.dataset(one).locate(self.tokens) for one in dataset_ids])

    def file(self, dataset_id: str) -> Path:
        """Return the path of an input file that must exist."""
        dataset = self.dataset(dataset_id)
        path = self.root / dataset.locate(self.tokens)
        if not path.exists():
            raise self._absent(dataset, "is absent")
        return path

    def whole_file(self, dataset_id: str) -> Path:
        """Return the path of an input file that is about to be read from end to end."""
        path = self.file(dataset_id)
        self.bytes_read[dataset_id] += path.stat().st_size
        return path

    def partition(self, dataset_id: str) -> Partition:
        """Return a committed partition whose reference surfaces are those in force."""
        dataset = self.dataset(dataset_id)
        found = committed(self.root, self.contracts, dataset, self.tokens)
        if found is None:
            raise self._absent(dataset, "is absent or has no run report")
        for token, value in self.tokens.items():
            if found.report.get(token, value) != value:
                raise Segment1BError(
                    self.stale_code,
                    f"{dataset_id}: its run report is about {token} {found.report[token]}, the "
                    f"run has {value}",
                    f"the partition was brought from another run: {dataset.redo}",
                    dataset=dataset_id,
                )
        entry = self.contracts[str(dataset.receipt_in)]
        if problems := self.contracts.schemas.problems(entry.schema_ref, found.report):
            raise Segment1BError(
                "E_INPUT_UNREADABLE",
                f"{entry.id} does not fit its schema: {'; '.join(problems[:3])}",
                dataset.redo,
                dataset=entry.id,
            )
        for surface, digest in found.report["input_digests"].items():
            if self.surfaces.get(surface, digest) != digest:
                raise Segment1BError(
                    self.stale_code,
                    f"{dataset_id} was made from {surface} {digest}, "
                    f"in force is {self.surfaces[surface]}",
                    "run its state again under the parameter_hash of today's surfaces",
                    dataset=dataset_id,
                    surface=surface,
                )
        return found

    def row_groups(
        self,
        partition: Partition,
        columns: list[str],
        where: Mapping[str, tuple[Any, Any]] | None = None,
        files: Sequence[int] | None = None,
    ) -> Iterator[pa.Table]:
        """Yield row groups in writer order, strings as dictionaries.

        Args:
            partition: what to read.
            columns: which columns.
            where: per column (low, high): groups whose statistics lie wholly outside are skipped.
            files: numbers of the only part files to open.
        """
        names = [name for name, _, _ in partition.receipt.files]
        wanted = names if files is None else [names[number] for number in files]
        strings = [c.name for c in partition.dataset.columns if c.type == "string"]
        for path in (partition.folder / name for name in wanted):
            with coded_parquet_errors(path), open_words(path, strings) as file:
                for group, size in matching_groups(file, columns, where or {}):
                    self.bytes_read[partition.dataset.id] += size
                    yield read_words(file, group, columns)

    def _absent(self, dataset: Dataset, why: str) -> Segment1BError:
        code = self.missing.get(dataset.id, "E_REFERENCE_SURFACE_MISSING")
        return Segment1BError(
            code,
            f"{dataset.id} {why}: {self.root / dataset.locate(self.tokens)}",
            f"run {dataset.owner} first"
            if dataset.owner.startswith("S")
            else "lay it there, or let 'segment1b reference build' lay the embedded world",
            dataset=dataset.id,
        )


def matching_groups(
    file: pq.ParquetFile, columns: list[str], where: Mapping[str, Any]
) -> Iterator[tuple[int, int]]:
    """Yield (row group, bytes of the wanted column chunks) for groups that can match.

    A file without statistics for a column is read whole.
    """
    meta = file.metadata
    names = [meta.schema.column(i).path for i in range(meta.num_columns)]
    for group in range(meta.num_row_groups):
        info = meta.row_group(group)
        for name, (low, high) in where.items():
            stats = info.column(names.index(name)).statistics
            if stats is not None and stats.has_min_max and (stats.max < low or stats.min > high):
                break
        else:
            yield (
                group,
                sum(info.column(names.index(name)).total_compressed_size for name in columns),
            )
