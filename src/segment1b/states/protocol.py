"""The interface of a state, and what the pipeline hands it: the run, shards, results, report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.config import Policy
from segment1b.contracts import Contracts
from segment1b.errors import Segment1BError, redo
from segment1b.identity import Identity
from segment1b.storage.parts import part_name
from segment1b.storage.reader import Reader
from segment1b.storage.snapshot import Snapshot
from segment1b.storage.versions import versions


@dataclass(frozen=True)
class Run:
    """One run: small and picklable, so that it travels to workers whole.

    Attributes:
        root: the data root.
        identity: seed, manifest_fingerprint, parameter_hash.
        policy: the policies in force.
        surfaces: SHA-256 of each reference surface in force, by dataset id.
        staging: this run's own folder on the root's filesystem.
        bundle: the validation bundle's folder when it is not at the dictionary's path.
        dictionary: path of another dictionary than the packaged one.
        merchant_summaries: S4 reports a line for each merchant.
        threads: how many the client itself may use beside its workers; changes no byte.
    """

    root: Path
    identity: Identity
    policy: Policy
    surfaces: Mapping[str, str]
    staging: Path
    bundle: Path | None = None
    dictionary: str | None = None
    merchant_summaries: bool = False
    threads: int = 1

    @property
    def contracts(self) -> Contracts:
        """Return the dictionary and schemas of this run."""
        return contracts.load(self.dictionary)

    @property
    def tokens(self) -> dict[str, int | str]:
        """Return the identity's tokens by name."""
        return self.identity.tokens

    @property
    def heading(self) -> dict[str, Any]:
        """Return the first fields of the run reports of S5 to S9."""
        return {**self.places, "versions": versions()}

    @property
    def places(self) -> dict[str, int | str]:
        """Return the tokens and the run id, which locate paths."""
        return self.identity.places

    @property
    def snapshot(self) -> Snapshot:
        """Return what is published at this run's identity."""
        return Snapshot(self.root, self.contracts, self.places)

    def reader(self, state: State) -> Reader:
        """Return a reader that opens what the state has declared and nothing else."""
        return Reader(
            self.snapshot,
            state.reads,
            state.disallowed_read,
            state.missing_input,
            self.surfaces,
            state.stale_input,
        )

    def staged(self, dataset_id: str, number: int) -> Path:
        """Return the path at which a worker stages part (or piece) `number` of a dataset."""
        folder = self.staging / dataset_id
        folder.mkdir(exist_ok=True)
        return folder / part_name(number)

    def parts(self, dataset_id: str) -> Path:
        """Return the staged folder that is published as a dataset cut by rows."""
        return self.staging / f"{dataset_id}.parts"


@dataclass(frozen=True)
class ShardResult:
    """Result of a shard whose output is staged.

    Attributes:
        rows: rows of the state's own dataset.
        counters: figures for the state's report, picklable.
        bytes_read: bytes read by dataset id.
        staged: rows written by dataset id; what is published has the sum of them.
    """

    rows: int
    counters: Any = None
    bytes_read: Mapping[str, int] = field(default_factory=Counter)
    staged: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """A run report without its receipts and resources, and what is published beside it.

    Attributes:
        body: the report's fields.
        documents: write-once JSON documents by dataset id.
        side_files: bytes of side files by dataset id, replaced with the report.
        logs: bytes of write-once files by dataset id.
        bytes_read: bytes read for the report by dataset id.
        resources: figures for the report's resources block, beside those of the meter.
    """

    body: dict[str, Any]
    documents: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    side_files: Mapping[str, bytes] = field(default_factory=dict)
    logs: Mapping[str, bytes] = field(default_factory=dict)
    bytes_read: Mapping[str, int] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)


class State(ABC):
    """A state: what the contracts declare of it, and how its work is cut, done and reported.

    Attributes:
        id: s0 to s9.
        reads: dataset ids; the reader refuses any other.
        writes: dataset ids; tables are cut by row count (workers stage sorted pieces, which the
            pipeline gathers) or by tiles (workers stage the final parts).
        disallowed_read, stale_input, missing_input: the state's codes for what its reader refuses.
        meters: short names of inputs in the resources block, where the design gives them.
    """

    id: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    disallowed_read: str
    stale_input: str
    missing_input: Mapping[str, str]
    meters: Mapping[str, str] = {}

    def __init_subclass__(cls) -> None:
        declared = contracts.load_states()[cls.id]
        cls.reads, cls.writes, cls.missing_input = declared.reads, declared.writes, declared.missing
        cls.disallowed_read, cls.stale_input = declared.disallowed, declared.stale

    @abstractmethod
    def shards(self, run: Run, reader: Reader) -> Sequence[Any]:
        """Return the pieces of work, in canonical order; checks all that needs no work."""

    @abstractmethod
    def work(self, run: Run, shard: Any) -> ShardResult:
        """Do one piece: read, apply the law, stage."""

    @abstractmethod
    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Return the run report's body."""


def require_countries(
    countries: Iterable[str], known: Iterable[str], code: str, problem: str, hint: str | None = None
) -> None:
    """Raise `code` when some countries are not known; {} in the problem names them all."""
    missing = sorted(set(countries) - set(known))
    if missing:
        problem = problem.format(", ".join(missing))
        raise Segment1BError(code, problem, hint, country_iso=missing[0])


def check_conserved(name: str, count: int, expected: int, source: str = "") -> None:
    """Raise E_NOT_CONSERVED unless as many rows were read as the reports of the inputs name.

    `source` is the state of that report, s0 to s9; empty where it is the state's own.
    """
    if count != expected:
        raise Segment1BError(
            "E_NOT_CONSERVED",
            f"{name}: {count} were read, the reports of the inputs name {expected}",
            "nothing was published: run again"
            + (f"; if it repeats, {source.upper()} is wrong: {redo(source)}" if source else ""),
        )
