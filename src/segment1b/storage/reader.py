"""Reading: declared and committed data only, with a count of the bytes that were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.contracts import Dataset
from segment1b.errors import Segment1BError
from segment1b.storage.parts import GROUP_ROWS
from segment1b.storage.receipts import coded_parquet_errors, open_words, read_words
from segment1b.storage.snapshot import Partition, Snapshot


@dataclass
class Reader:
    """What one state may read of a snapshot.

    Attributes:
        snapshot: one identity of the data root.
        allowed: dataset ids the state has declared.
        disallowed_code: the state's code for any other.
        missing: the state's code for each dataset when it is absent or not committed.
        surfaces: SHA-256 of each reference surface in force, by dataset id.
        stale_code: the state's code for what was made from other surfaces or by another run.
        bytes_read: bytes of column chunks and files read so far, by dataset id.
    """

    snapshot: Snapshot
    allowed: Sequence[str]
    disallowed_code: str = "E_FORBIDDEN_SURFACE_READ"
    missing: Mapping[str, str] = field(default_factory=dict)
    surfaces: Mapping[str, str] = field(default_factory=dict)
    stale_code: str = "E306_TOKEN_MISMATCH"
    bytes_read: Counter[str] = field(default_factory=Counter)

    def dataset(self, dataset_id: str) -> Dataset:
        """Return a declared dataset's entry; anything else is the state's disallowed code."""
        if dataset_id not in self.allowed:
            what = f"{dataset_id} is not among the declared inputs {', '.join(self.allowed)}"
            hint = "declare it in the state's contract and seal it"
            raise Segment1BError(self.disallowed_code, what, hint, dataset=dataset_id)
        return self.snapshot.contracts[dataset_id]

    def allowing(self, *dataset_ids: str) -> Reader:
        """Return a reader that may open these datasets too."""
        return replace(self, allowed=(*self.allowed, *dataset_ids))

    def fetch(self, dataset_ids: Iterable[str]) -> None:
        """Bring declared inputs that a working copy of an object store does not hold yet."""
        self.snapshot.fetch(self.dataset(one).id for one in dataset_ids)

    def file(self, dataset_id: str) -> Path:
        """Return the path of an input file that must exist."""
        dataset = self.dataset(dataset_id)
        path = self.snapshot.path(dataset_id)
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
        found = self.snapshot.partition(dataset_id)
        if found is None:
            raise self._absent(dataset, "is absent or has no run report")
        for token, value in self.snapshot.tokens.items():
            if found.report.get(token, value) != value:
                problem = f"is about {token} {found.report[token]}, the run has {value}"
                what = f"{dataset_id}: its run report {problem}"
                hint = f"the partition was brought from another run: {dataset.redo}"
                raise Segment1BError(self.stale_code, what, hint, dataset=dataset_id)
        contracts = self.snapshot.contracts
        entry = contracts[str(dataset.receipt_in)]
        if problems := contracts.schemas.problems(entry.schema_ref, found.report):
            what = f"{entry.id} does not fit its schema: {'; '.join(problems[:3])}"
            raise Segment1BError("E_INPUT_UNREADABLE", what, dataset.redo, dataset=entry.id)
        for surface, digest in found.report["input_digests"].items():
            if self.surfaces.get(surface, digest) != digest:
                ours = self.surfaces[surface]
                what = f"{dataset_id} was made from {surface} {digest}, in force is {ours}"
                hint = "run its state again under the parameter_hash of today's surfaces"
                scope = {"dataset": dataset_id, "surface": surface}
                raise Segment1BError(self.stale_code, what, hint, **scope)
        return found

    def row_groups(
        self,
        partition: Partition,
        columns: list[str],
        where: Mapping[str, tuple[Any, Any] | frozenset[str]] | None = None,
        files: Sequence[int] | None = None,
    ) -> Iterator[pa.Table]:
        """Yield row groups in writer order, strings as dictionaries.

        `where` gives (low, high) or a set of words per column: groups whose statistics lie outside
        are skipped. `files` are the numbers of the only part files to open.
        """
        names = [*partition.receipt.sizes]
        strings = [c.name for c in partition.dataset.columns if c.type == "string"]
        for name in names if files is None else [names[number] for number in files]:
            path = partition.folder / name
            with coded_parquet_errors(path), open_words(path, strings) as file:
                for groups, sizes in _together(file, matching_groups(file, columns, where or {})):
                    self.bytes_read[partition.dataset.id] += sum(sizes)
                    table, row = read_words(file, groups, columns), 0
                    for group in groups:
                        count = file.metadata.row_group(group).num_rows
                        yield table.slice(row, count)
                        row += count

    def _absent(self, dataset: Dataset, why: str) -> Segment1BError:
        code = self.missing.get(dataset.id.partition("/")[0], "E_REFERENCE_SURFACE_MISSING")
        hint = "lay it there, or let 'segment1b reference build' lay the embedded world"
        if dataset.owner.startswith("S"):
            hint = f"run {dataset.owner} first"
        what = f"{dataset.id} {why}: {self.snapshot.path(dataset.id)}"
        return Segment1BError(code, what, hint, dataset=dataset.id)


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
        for name, wanted in where.items():
            stats = info.column(names.index(name)).statistics
            if stats is not None and stats.has_min_max and not _meets(stats, wanted):
                break
        else:
            yield (
                group,
                sum(info.column(names.index(name)).total_compressed_size for name in columns),
            )


def _meets(stats: pq.Statistics, wanted: tuple[Any, Any] | frozenset[str]) -> bool:
    """Return whether a group with these statistics can hold a wanted value."""
    if isinstance(wanted, tuple):
        low, high = wanted
        return not (stats.max < low or stats.min > high)
    low, high = stats.min, stats.max
    return low in wanted if low == high else any(low <= word <= high for word in wanted)


def _together(
    file: pq.ParquetFile, groups: Iterable[tuple[int, int]]
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield groups and their sizes in runs of at most GROUP_ROWS rows: one call reads a run."""
    run: list[tuple[int, int]] = []
    rows = 0
    for group, size in groups:
        rows += file.metadata.row_group(group).num_rows
        if run and rows > GROUP_ROWS:
            yield [one for one, _ in run], [size for _, size in run]
            run, rows = [], file.metadata.row_group(group).num_rows
        run.append((group, size))
    if run:
        yield [one for one, _ in run], [size for _, size in run]
