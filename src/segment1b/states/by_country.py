"""Work by country: split a dataset, apply a state's law to each country, stage pieces to gather."""

from __future__ import annotations

import functools
import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segment1b.contracts.trades import EVERYTHING, weights_of
from segment1b.errors import Segment1BError
from segment1b.laws.philox import alloc_offsets, country_word
from segment1b.outlets.merchant_trades import read_trades
from segment1b.states.protocol import (
    Countries,
    OnWorkers,
    Report,
    Run,
    ShardResult,
    State,
    check_conserved,
)
from segment1b.storage.durable import make_folder
from segment1b.storage.gather import write_piece
from segment1b.storage.parts import TileFile, cut_tiles, repeated
from segment1b.storage.reader import Reader
from segment1b.storage.records import (
    COUNTRY,
    Records,
    Split,
    read_split,
    rows_of,
    split_by_country,
)

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
# About how many tiles take as long as a row of a source.
_TILES_A_ROW = 30
#: Tile ids and weights of a country.
Weights = tuple[UInt64s, Int64s]
#: Columns of tile_bounds in the order of `laws.jitter.Tiles`.
BOUNDS = (
    "min_lat_deg",
    "max_lat_deg",
    "min_lon_deg",
    "max_lon_deg",
    "centroid_lat_deg",
    "centroid_lon_deg",
)


@dataclass(frozen=True)
class CountryShard:
    """Countries that share a tile file, or one large country with files of its own.

    Attributes:
        number: position of the shard; shards in this order have their countries in ASCII order.
        countries: country codes in ASCII order.
        tiles: number of tiles of each.
        staged: their staged rows, by dataset.
        files: numbers of the tile files that hold them.
        grid: rows and columns of the raster.
    """

    number: int
    countries: tuple[str, ...]
    tiles: tuple[int, ...]
    staged: Mapping[str, Split]
    files: tuple[int, ...]
    grid: tuple[int, int]


@dataclass(frozen=True)
class Job:
    """The work on one shard: what its law may read, and the counters that the law fills.

    Attributes:
        lacks: by tile dataset that was asked, how many used tiles of each country it does not list.
    """

    run: Run
    reader: Reader
    shard: CountryShard
    counters: Countries = field(default_factory=dict)
    lacks: dict[str, dict[str, int]] = field(default_factory=dict)

    def rows(self, dataset_id: str, columns: Sequence[str]) -> dict[str, Records]:
        """Return the staged rows of each country as records, in the dataset's order."""
        return read_split(self.run.contracts[dataset_id], columns, self.shard.staged[dataset_id])

    def offsets(self, merchants: Mapping[str, UInt64s]) -> dict[str, UInt64s]:
        """Return the offsets of the pairs of each country, computed together."""
        ends = np.cumsum([len(own) for own in merchants.values()])
        words = np.array([country_word(code) for code in merchants], np.uint64)
        offsets = alloc_offsets(
            self.run.identity.seed,
            np.concatenate(list(merchants.values())),
            np.repeat(words, np.diff(ends, prepend=0)),
        )
        return dict(zip(merchants, np.split(offsets, ends[:-1]), strict=True))

    def by_trade(self, merchants: UInt64s) -> list[tuple[str, Int64s]]:
        """Return the positions of merchants by trade, int64 ascending, trades in ASCII order."""
        if not self.run.trades:
            return [(EVERYTHING, np.arange(len(merchants)))]
        names = sorted((EVERYTHING, *self.run.trades))
        known, trade = self._merchants
        own = np.full(len(merchants), names.index(EVERYTHING))
        at = np.minimum(np.searchsorted(known, merchants), max(len(known) - 1, 0))
        listed = np.flatnonzero(known[at] == merchants) if len(known) else at[:0]
        numbers = pc.index_in(trade.take(pa.array(at[listed])), pa.array(names))
        own[listed] = numbers.to_numpy(zero_copy_only=False)
        found = [(name, np.flatnonzero(own == number)) for number, name in enumerate(names)]
        return [(name, positions) for name, positions in found if len(positions)]

    @functools.cached_property
    def _merchants(self) -> tuple[UInt64s, pa.Array]:
        table = read_trades(self.reader)
        return table["merchant_id"].to_numpy(), table["trade"].combine_chunks()

    def weights_of(self) -> Callable[[str], dict[str, Weights]]:
        """Return `weights` for a law that goes through the shard country by country.

        Weights of many small countries are kept by trade; a large country is alone in its shard,
        and each of its trades comes once.
        """
        many = len(self.shard.countries) > 1
        return functools.cache(self.weights) if many else self.weights

    def weights(self, trade: str = EVERYTHING) -> dict[str, Weights]:
        """Return tiles and weights of each country for a trade, or raise E414_WEIGHT_TAMPER.

        They must sum to K under the policy's dp. Half of the world's tiles have no weight and get
        no site by any method: they are left out, and row groups without any other are not read.
        """
        dp = self.run.policy.prep.dp
        parts: dict[str, list[Weights]] = {code: [] for code in self.shard.countries}
        columns = ["tile_id", "weight_fp", "dp"]
        span = {"weight_fp": (1, 10**dp)}
        for code, table in self._groups(weights_of(trade), columns, span):
            ids, weights, dps = (table.column(name).to_numpy() for name in columns)
            if (dps != dp).any():
                raise _tampered(code, f"weights with another dp than {dp}")
            heavy = np.flatnonzero(weights)
            parts[code].append((ids[heavy], weights[heavy]))
        tiles = {}
        for code, pieces in parts.items():
            units = sum(int(weights.sum()) for _, weights in pieces)
            if units != 10**dp:
                raise _tampered(code, f"weights sum to {units}, not 10^{dp}")
            ids, weights = (np.concatenate(column) for column in zip(*pieces, strict=True))
            tiles[code] = (ids, weights)
        return tiles

    def tiles(
        self, dataset_id: str, columns: Sequence[str], used: Mapping[str, UInt64s], fault: str
    ) -> dict[str, Records]:
        """Return `tile_id`, `listed` and float64 columns of used tiles by country.

        A tile that its country does not have in the dataset is refused with the code `fault`.
        """
        floats = [(name, np.float64) for name in columns]
        record = np.dtype([("tile_id", np.uint64), *floats, ("listed", np.bool_)], align=True)
        rows = {code: np.zeros(len(ids), record) for code, ids in used.items()}
        for code, ids in used.items():
            rows[code]["tile_id"] = ids
        for code, table in self._groups(dataset_id, ["tile_id", *columns]):
            ids = table.column("tile_id").to_numpy()
            low, high = np.searchsorted(used[code], [ids[0], ids[-1] + np.uint64(1)])
            at = np.searchsorted(ids, used[code][low:high])
            rows[code]["listed"][low:high] = ids[at] == used[code][low:high]
            for name in columns:
                rows[code][name][low:high] = table.column(name).to_numpy()[at]
        lacks = self.lacks.setdefault(dataset_id, {})
        for code, tiles in rows.items():
            lost = np.flatnonzero(~tiles["listed"])
            lacks[code] = len(lost)
            if len(lost):
                tile = int(used[code][lost[0]])
                what = f"{code}: tile {tile} has sites and is not in {dataset_id}"
                what += f"; {len(lost)} such tiles"
                again = self.run.contracts[dataset_id].redo
                hint = f"{dataset_id} belongs to another run: {again}"
                raise Segment1BError(fault, what, hint, country_iso=code, tile_id=tile)
        return rows

    def _groups(
        self,
        dataset_id: str,
        columns: Sequence[str],
        span: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> Iterator[tuple[str, pa.Table]]:
        """Yield the row groups of a tile dataset that belong to the countries, with the code."""
        countries = frozenset(self.shard.countries)
        some: dict[str, Any] = {"country_iso": countries, **(span or {})}
        names = ["country_iso", *columns]
        partition = self.reader.partition(dataset_id)
        for table in self.reader.row_groups(partition, names, some, self.shard.files):
            code = table.column("country_iso")[0].as_py()
            if code in countries:
                yield code, table


def _tampered(code: str, problem: str) -> Segment1BError:
    return Segment1BError("E414_WEIGHT_TAMPER", f"{code}: {problem}", country_iso=code)


class CountryState(State):
    """A state that splits its source by country and applies its law to one country at a time.

    Attributes:
        source, columns: the dataset that is split, and those of its columns that the law needs.
        unlisted: the state's code for a used tile that tile_index or tile_bounds does not list.
    """

    source: str
    columns: tuple[str, ...]
    unlisted: str

    def shards(self, run: Run, reader: Reader, on_workers: OnWorkers) -> Sequence[CountryShard]:
        """Stage the source by country and return shards of its countries in ASCII order."""
        self.sealed_inputs(run, reader)
        staged = stage_by_country(reader, {self.source: self.columns}, on_workers)
        self.check(reader, rows_of(staged[self.source]))
        return country_shards(reader, staged)

    def cost(self, shard: CountryShard) -> int:
        """Return the tiles of a shard, and its rows as so many tiles."""
        rows = sum(rows_of(shard.staged[self.source]).values())
        return sum(shard.tiles) + _TILES_A_ROW * rows

    def check(self, reader: Reader, rows: Mapping[str, int]) -> None:
        """Refuse countries that the law cannot place; `rows` has the staged rows of each."""

    @abstractmethod
    def law(self, job: Job, rows: Mapping[str, Records]) -> Iterator[dict[str, Any]]:
        """Yield columns of the state's datasets, country by country; fill the job's counters.

        `used` among the counters are the distinct ids of a country's tiles with sites, ascending.
        """

    def work(self, run: Run, reader: Reader, shard: CountryShard) -> ShardResult:
        """Apply the law to a shard's countries; stage a piece of each dataset."""
        job = Job(run, reader, shard)
        solved: Iterable[dict[str, Any]] = self.law(job, job.rows(self.source, self.columns))
        if len(shard.countries) > 1:
            solved = _joined(solved)
        elif len(self.writes) > 1:  # each dataset is written from the same columns
            solved = list(solved)
        staged = {}
        for dataset_id in run.used(self.writes):
            tables = itertools.chain.from_iterable(map(partial(run.tables, dataset_id), solved))
            path, dataset = run.staged(dataset_id, shard.number), run.contracts[dataset_id]
            staged[dataset_id] = write_piece(path, dataset, tables, len(shard.countries))
        used = {code: country.pop("used") for code, country in job.counters.items()}
        if "tile_index" in self.reads:
            if "tile_index" not in job.lacks:
                job.tiles("tile_index", (), used, self.unlisted)
            for code, tiles in job.lacks["tile_index"].items():
                job.counters[code]["not_in_index"] = tiles
        return ShardResult(staged[self.writes[-1]], job.counters, staged)

    @abstractmethod
    def summary(self, run: Run, reader: Reader, rows: int, countries: Countries) -> Report:
        """Return the run report from the counters of all countries, in ASCII order."""

    def report(self, run: Run, reader: Reader, rows: int, counters: Sequence[Any]) -> Report:
        """Join the counters of all shards and return the run report."""
        countries = {code: country for shard in counters for code, country in shard.items()}
        return self.summary(run, reader, rows, countries)


def _joined(solved: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join columns of the same names: a table a country would cost more than its few rows."""
    by_names: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for columns in solved:
        by_names.setdefault(tuple(sorted(columns)), []).append(columns)
    joined = []
    for names, some in by_names.items():
        counts = [len(columns["merchant_id"]) for columns in some]
        parts = {name: [columns[name] for columns in some] for name in names}
        joined.append(
            {
                name: repeated(own, counts) if isinstance(own[0], str) else np.concatenate(own)
                for name, own in parts.items()
            }
        )
    return joined


def tile_units(counts: Mapping[str, int]) -> list[tuple[TileFile, ...]]:
    """Return the files of a tile dataset in units of whole countries, from their tile counts."""
    units: list[tuple[TileFile, ...]] = []
    for file in cut_tiles(counts):
        _, start, _ = file.stretches[0]
        # A file that begins within a country belongs to the unit of the file before it.
        files = units.pop() if start else ()
        units.append((*files, file))
    return units


def country_shards(
    reader: Reader, staged: Mapping[str, Split], tiles: str = "tile_index"
) -> list[CountryShard]:
    """Return shards of the countries with staged rows, cut as S1 cut the dataset `tiles`.

    `staged` are datasets with the same countries.
    """
    report = reader.partition(tiles).report
    grid = (report["grid_dims"]["nrows"], report["grid_dims"]["ncols"])
    counts = {code: country["cells_included"] for code, country in report["by_country"].items()}
    listed = next(iter(staged.values()))
    shards: list[CountryShard] = []
    for unit in tile_units(counts):
        codes = tuple(code for code, _, _ in unit[0].stretches if code in listed)
        own = {name: {code: split[code] for code in codes} for name, split in staged.items()}
        sizes, files = tuple(counts[code] for code in codes), tuple(file.number for file in unit)
        if codes:
            shards.append(CountryShard(len(shards), codes, sizes, own, files, grid))
    return shards


class PartFile(NamedTuple):
    """A part file of a published dataset, and those of its columns that are staged."""

    dataset_id: str
    number: int
    columns: tuple[str, ...]


def stage_by_country(
    reader: Reader, sources: Mapping[str, Sequence[str]], on_workers: OnWorkers
) -> dict[str, Split]:
    """Stage some columns of published datasets by country."""
    partitions = {dataset_id: reader.partition(dataset_id) for dataset_id in sources}
    files = [
        PartFile(dataset_id, number, tuple(sources[dataset_id]))
        for dataset_id, partition in partitions.items()
        for number in range(len(partition.paths))
    ]
    staged: dict[str, Split] = {dataset_id: {} for dataset_id in sources}
    for file, split in zip(files, on_workers(_split, files), strict=True):
        add_split(staged[file.dataset_id], split)
    for dataset_id, partition in partitions.items():
        owner, rows = partition.dataset.owner.lower(), sum(rows_of(staged[dataset_id]).values())
        check_conserved(f"rows of {dataset_id}", rows, partition.receipt.rows, owner)
    return staged


def add_split(staged: Split, split: Split) -> None:
    """Add the rows of another file behind those of the files before it."""
    for code, stretches in split.items():
        staged.setdefault(code, []).extend(stretches)


def _split(run: Run, reader: Reader, file: PartFile) -> Split:
    partition = reader.partition(file.dataset_id)
    tables = reader.row_groups(partition, [*file.columns, COUNTRY], None, [file.number])
    path = split_path(run, file.dataset_id, file.number)
    return split_by_country(path, partition.dataset, file.columns, tables)


def split_path(run: Run, dataset_id: str, number: int) -> Path:
    """Return the path at which the rows of file `number` of a dataset are staged by country."""
    folder = run.staging / f"{dataset_id}.split"
    make_folder(folder)
    return folder / str(number)
