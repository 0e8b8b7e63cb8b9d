"""The interface of a state, and what the pipeline hands it: the run, shards, results, report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from segment1b import contracts
from segment1b.contracts import Contracts, StateContract
from segment1b.contracts.policy import Policy
from segment1b.errors import Segment1BError, file_error, redo
from segment1b.identity import Identity
from segment1b.storage.durable import read_json
from segment1b.storage.parts import constant, groups, part_name
from segment1b.storage.proofs import Proof
from segment1b.storage.publisher import check_document
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import file_names
from segment1b.storage.snapshot import Snapshot
from segment1b.storage.versions import versions

Item = TypeVar("Item")
Result = TypeVar("Result")
#: Counters by country.
Countries = dict[str, dict[str, Any]]


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
        trades: the trades of the list's merchants but `everything`, in ASCII order.
        trade: the one of them that a partition of trade_weights is about; empty for others.
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
    trades: tuple[str, ...] = ()
    trade: str = ""

    @property
    def contracts(self) -> Contracts:
        """Return the dictionary and schemas of this run."""
        known = contracts.load(self.dictionary)
        return known.of_trade(self.trade) if self.trade else known

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
        return self.identity.places | ({"trade": self.trade} if self.trade else {})

    @property
    def snapshot(self) -> Snapshot:
        """Return what is published at this run's identity."""
        return Snapshot(self.root, self.contracts, self.places)

    def used(self, dataset_ids: Iterable[str]) -> list[str]:
        """Return those of some datasets that exist under this run's policy."""
        policy = self.policy.model_dump(mode="json")
        return [name for name in dataset_ids if self.contracts[name].is_used(policy)]

    def reader(self, state: State) -> Reader:
        """Return a reader that opens what the state has declared and nothing else."""
        return Reader(
            self.snapshot,
            state.inputs(self),
            state.contract.disallowed,
            state.contract.missing,
            self.surfaces,
            state.contract.stale,
        )

    def staged(self, dataset_id: str, number: int) -> Path:
        """Return the path at which a worker stages part (or piece) `number` of a dataset."""
        folder = self.staging / dataset_id
        folder.mkdir(exist_ok=True)
        return folder / part_name(number)

    def parts(self, dataset_id: str) -> Path:
        """Return the staged folder that is published as a dataset cut by rows."""
        return self.staging / f"{dataset_id}.parts"

    def part_files(self, dataset_id: str) -> list[Path]:
        """Return the staged files that are published as a dataset cut by rows, in order."""
        return sorted(self.parts(dataset_id).iterdir())

    def tables(self, dataset_id: str, columns: Mapping[str, Any]) -> Iterator[pa.Table]:
        """Yield rows of a dataset by row groups, from arrays [n] and texts that all rows share.

        `columns` may hold more than the dataset has; where it lacks one there are no rows.
        """
        dataset = self.contracts[dataset_id]
        names = [column.name for column in dataset.columns]
        if not columns.keys() >= set(names):
            return
        count = max(len(columns[name]) for name in names if not isinstance(columns[name], str))
        for low, high in groups(0, count):
            yield pa.table(
                {
                    name: constant(columns[name], high - low)
                    if isinstance(columns[name], str)
                    else columns[name][low:high]
                    for name in names
                }
            ).cast(dataset.words_schema)


@dataclass(frozen=True)
class ShardResult:
    """Result of a shard whose output is staged.

    Attributes:
        rows: rows of the state's own dataset.
        counters: figures for the state's report, picklable.
        staged: rows written by dataset id; what is published has the sum of them.
        proofs: of the final part files that were written, in order, by dataset id.
    """

    rows: int
    counters: Any = None
    staged: Mapping[str, int] = field(default_factory=dict)
    proofs: Mapping[str, Sequence[Proof]] = field(default_factory=dict)

    @classmethod
    def of_parts(cls, proofs: Mapping[str, Sequence[Proof]], counters: Any = None) -> ShardResult:
        """Return the result of a shard that has written final parts, its own dataset's first."""
        staged = {name: sum(proof.rows for proof in own) for name, own in proofs.items()}
        return cls(next(iter(staged.values())), counters, staged, proofs)


@dataclass(frozen=True)
class Report:
    """A run report without its receipts and resources, and what is published beside it.

    Attributes:
        body: the report's fields.
        documents: write-once JSON documents by dataset id.
        side_files: bytes of side files by dataset id, replaced with the report.
        logs: bytes of write-once files by dataset id.
        resources: figures for the report's resources block, beside those of the meter.
    """

    body: dict[str, Any]
    documents: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    side_files: Mapping[str, bytes] = field(default_factory=dict)
    logs: Mapping[str, bytes] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)


class OnWorkers(Protocol):
    """Does what must be done before a state's work can be cut into shards."""

    def __call__(
        self, work: Callable[[Run, Reader, Item], Result], items: Iterable[Item], /
    ) -> list[Result]:
        """Return the results of a function of a module for each item, in their order."""


class State(ABC):
    """A state: what the contracts declare of it, and how its work is cut, done and reported.

    Attributes:
        id: s0 to s9.
        reads: dataset ids; the reader refuses any other, and those that the policy does not use.
        writes: dataset ids, of which `Run.used` are written; tables are cut by row count (workers
            stage sorted pieces, which the pipeline gathers) or by tiles (workers stage the final
            parts).
        stages_parts: workers stage the final parts of tables cut by row count, too.
        contract: what the contracts declare of the state, with its codes for unusable inputs.
        meters: short names of inputs in the resources block, where the design gives them.
    """

    id: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    contract: StateContract
    stages_parts: bool = False
    meters: Mapping[str, str] = {}

    def __init_subclass__(cls) -> None:
        if hasattr(cls, "id"):
            cls.contract = contracts.load_states()[cls.id]
            cls.reads, cls.writes = cls.contract.reads, cls.contract.writes

    def inputs(self, run: Run) -> tuple[str, ...]:
        """Return the ids of what the state may open in a run."""
        return tuple(run.used(self.contract.inputs(run.trades, run.surfaces)))

    @abstractmethod
    def shards(self, run: Run, reader: Reader, on_workers: OnWorkers) -> Sequence[Any]:
        """Return the pieces of work, in canonical order; checks all that needs no work."""

    def cost(self, _shard: Any) -> int:
        """Return about how long a shard takes, in any unit: the longest are begun first."""
        return 0

    @abstractmethod
    def work(self, run: Run, reader: Reader, shard: Any) -> ShardResult:
        """Do one piece: read, apply the law, stage."""

    @abstractmethod
    def report(self, run: Run, reader: Reader, rows: int, counters: Sequence[Any]) -> Report:
        """Return the run report's body, from the rows of all shards and the counters of each."""

    def sealed_inputs(self, run: Run, reader: Reader) -> dict[str, dict[str, Any]]:
        """Return the sealed inputs by id, once the receipt fits its schema and names this run.

        Raises:
            Segment1BError: E301_NO_PASS_FLAG, E_RECEIPT_SCHEMA_INVALID, or the state's code
                `stale` for tokens or digests that differ.
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
                raise file_error(self.contract.stale, path, problem, hint)
        sealed = {entry["id"]: entry for entry in receipt["sealed_inputs"]}
        for surface, digest in run.surfaces.items():
            self.check_sealed(sealed, surface, digest, path)
        return sealed

    def check_sealed(
        self, sealed: dict[str, dict[str, Any]], dataset_id: str, digest: str, path: Path
    ) -> None:
        """Refuse an input that S0 did not seal (E311) or that has changed since (`stale`)."""
        if dataset_id not in sealed:
            problem = f"{path} does not seal {dataset_id}"
            raise Segment1BError("E311_DISALLOWED_READ", problem, dataset=dataset_id)
        if sealed[dataset_id]["sha256_hex"] != digest:
            what = f"{dataset_id} hashes to {digest}, sealed was {sealed[dataset_id]['sha256_hex']}"
            hint = "restore the sealed input, or start again in another data root"
            raise Segment1BError(self.contract.stale, what, hint, dataset=dataset_id)


def check_known(
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


def catalogue_files(reader: Reader) -> list[Path]:
    """Return the files of the outlet catalogue in ASCII order."""
    folder = reader.file("outlet_catalogue")
    return [folder / name for name in file_names(folder)]


def total(countries: Mapping[str, Mapping[str, Any]], name: str) -> int:
    """Return the sum of one counter over all countries."""
    return sum(country[name] for country in countries.values())
