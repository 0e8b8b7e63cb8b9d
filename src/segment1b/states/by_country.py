"""Work by country: split a dataset into staged countries, cut shards, read tiles, stage pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.errors import Segment1BError, redo
from segment1b.states.protocol import Run, ShardResult, check_conserved, require_countries
from segment1b.storage.gather import write_piece
from segment1b.storage.ingress import iso_codes
from segment1b.storage.parts import GROUP_ROWS, constant, cut_tiles
from segment1b.storage.reader import Reader
from segment1b.storage.records import COUNTRY, Records, read_split, split_by_country

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class CountryShard:
    """Countries that share a tile file, or one large country with files of its own.

    Attributes:
        number: position of the shard; shards in this order have their countries in ASCII order.
        countries: country codes in ASCII order.
        tiles: number of tiles of each.
        rows: number of staged rows of each.
        files: numbers of the tile files that hold them.
        grid: rows and columns of the raster.
    """

    number: int
    countries: tuple[str, ...]
    tiles: tuple[int, ...]
    rows: tuple[int, ...]
    files: tuple[int, ...]
    grid: tuple[int, int]


def country_shards(
    reader: Reader, rows: Mapping[str, int], tiles: str = "tile_index"
) -> list[CountryShard]:
    """Return shards of the countries with staged rows, cut as S1 cut the dataset `tiles`."""
    report = reader.partition(tiles).report
    grid = (report["grid_dims"]["nrows"], report["grid_dims"]["ncols"])
    counts = {code: country["cells_included"] for code, country in report["by_country"].items()}
    units: list[tuple[list[str], list[int]]] = []
    for file in cut_tiles(counts):
        codes = [code for code, _, _ in file.stretches if code in rows]
        if units and codes and units[-1][0] == codes:
            units[-1][1].append(file.number)
        elif codes:
            units.append((codes, [file.number]))
    return [
        CountryShard(
            number,
            tuple(codes),
            tuple(counts[c] for c in codes),
            tuple(rows[c] for c in codes),
            tuple(files),
            grid,
        )
        for number, (codes, files) in enumerate(units)
    ]


def stage_by_country(
    run: Run, reader: Reader, dataset_id: str, columns: list[str]
) -> dict[str, int]:
    """Stage a published dataset's rows by country; return the number of rows of each."""
    partition = reader.partition(dataset_id)
    tables = reader.row_groups(partition, [*columns, COUNTRY])
    folder = run.staging / f"{dataset_id}.split"
    rows = split_by_country(folder, partition.dataset, columns, tables)
    owner, expected = partition.dataset.owner.lower(), partition.receipt.rows
    check_conserved(f"rows of {dataset_id}", sum(rows.values()), expected, owner)
    return rows


def staged_rows(
    run: Run, dataset_id: str, columns: list[str], shard: CountryShard
) -> dict[str, Records]:
    """Return the staged rows of a shard's countries as records, in the dataset's order."""
    folder, dataset = run.staging / f"{dataset_id}.split", run.contracts[dataset_id]
    return {
        code: read_split(folder, code, dataset, columns, rows)
        for code, rows in zip(shard.countries, shard.rows, strict=True)
    }


def country_tables(
    run: Run, dataset_id: str, columns: Mapping[str, Any], count: int
) -> Iterator[pa.Table]:
    """Yield `count` rows of a dataset, by row groups; `columns` are arrays [count] or constants."""
    schema = run.contracts[dataset_id].words_schema
    for at in range(0, count, GROUP_ROWS):
        size = min(GROUP_ROWS, count - at)
        yield pa.table(
            {
                name: constant(values, size)
                if isinstance(values, str)
                else np.ascontiguousarray(values[at : at + size])
                for name, values in columns.items()
            }
        ).cast(schema)


def stage_pieces(
    run: Run,
    reader: Reader,
    shard: CountryShard,
    counters: Any,
    tables: Mapping[str, Iterable[pa.Table]],
) -> ShardResult:
    """Stage a shard's rows by dataset id, the state's own dataset first, country by country."""
    staged = {
        dataset_id: write_piece(
            run.staged(dataset_id, shard.number),
            run.contracts[dataset_id],
            rows,
            len(shard.countries),
        )
        for dataset_id, rows in tables.items()
    }
    return ShardResult(next(iter(staged.values())), counters, reader.bytes_read, staged)


def _groups(
    reader: Reader,
    dataset_id: str,
    columns: Sequence[str],
    shard: CountryShard,
    span: Mapping[str, tuple[Any, Any]] | None = None,
) -> Iterator[tuple[str, pa.Table]]:
    """Yield the row groups of a tile dataset that belong to a shard's countries, with the code."""
    some = {"country_iso": (shard.countries[0], shard.countries[-1]), **(span or {})}
    partition = reader.partition(dataset_id)
    for table in reader.row_groups(partition, ["country_iso", *columns], some, shard.files):
        code = table.column("country_iso")[0].as_py()
        if code in shard.countries:
            yield code, table


def read_weights(
    run: Run, reader: Reader, shard: CountryShard
) -> dict[str, tuple[UInt64s, Int64s]]:
    """Return tiles and weights of a shard's countries, or raise E414_WEIGHT_TAMPER.

    They must sum to K under the policy's dp. Half of the world's tiles have no weight and get no
    site by any method: they are left out, and row groups without any other are not read.
    """
    dp = run.policy.prep.dp
    parts: dict[str, list[tuple[UInt64s, Int64s]]] = {code: [] for code in shard.countries}
    span = {"weight_fp": (1, 10**dp)}
    columns = ["tile_id", "weight_fp", "dp"]
    for code, table in _groups(reader, "tile_weights", columns, shard, span):
        if (table.column("dp").to_numpy() != dp).any():
            raise _tampered(code, f"weights with another dp than {dp}")
        ids, weights = table.column("tile_id").to_numpy(), table.column("weight_fp").to_numpy()
        heavy = np.flatnonzero(weights)
        parts[code].append((ids[heavy], weights[heavy]))
    tiles = {}
    for code, groups in parts.items():
        total = sum(int(weights.sum()) for _, weights in groups)
        if total != 10**dp:
            raise _tampered(code, f"weights sum to {total}, not 10^{dp}")
        ids, weights = (np.concatenate(column) for column in zip(*groups, strict=True))
        tiles[code] = (ids, weights)
    return tiles


def _tampered(code: str, problem: str) -> Segment1BError:
    return Segment1BError("E414_WEIGHT_TAMPER", f"{code}: {problem}", country_iso=code)


def check_index(
    reader: Reader, shard: CountryShard, used: Mapping[str, UInt64s], code: str
) -> dict[str, int]:
    """Count the used tiles that their country's index lists; refuse, with `code`, any other.

    `used` has the distinct tile ids with sites, ascending, of each of the shard's countries.
    """
    listed = dict.fromkeys(used, 0)
    for iso, table in _groups(reader, "tile_index", ["tile_id"], shard):
        ids = table.column("tile_id").to_numpy()
        low, high = np.searchsorted(used[iso], [ids[0], ids[-1] + np.uint64(1)])
        near = used[iso][low:high]
        listed[iso] += int(np.count_nonzero(ids[np.searchsorted(ids, near)] == near))
    for iso, tiles in used.items():
        if listed[iso] != len(tiles):
            what = f"{iso}: {len(tiles) - listed[iso]} used tiles are not in tile_index"
            hint = f"tile_weights and tile_index belong to different runs: {redo('s1')}"
            raise Segment1BError(code, what, hint, country_iso=iso)
    return listed


def check_countries(reader: Reader, countries: dict[str, int]) -> None:
    """Refuse countries without code, tiles or weights; all such countries are listed."""
    known = {
        "E302_FK_COUNTRY": set(iso_codes(reader)),
        "E403_ZERO_TILE_UNIVERSE": listed_countries(reader, "tile_index"),
        "E402_MISSING_TILE_WEIGHTS": listed_countries(reader, "tile_weights"),
    }
    for code, listed in known.items():
        require_countries(countries, listed, code, "required countries are missing: {}", redo("s1"))


def listed_countries(reader: Reader, dataset_id: str) -> set[str]:
    """Return the countries that have rows in a tile dataset."""
    return set(reader.partition(dataset_id).report["by_country"])


BOUNDS = (
    "min_lat_deg",
    "max_lat_deg",
    "min_lon_deg",
    "max_lon_deg",
    "centroid_lat_deg",
    "centroid_lon_deg",
)


def read_bounds(
    reader: Reader, shard: CountryShard, used: Mapping[str, UInt64s], code: str
) -> dict[str, Records]:
    """Return the bounds of used tiles, float64 records [t] in the order of `used`, by country.

    A tile without bounds is refused with `code`.
    """
    record = np.dtype([(name, np.float64) for name in BOUNDS])
    bounds = {iso: np.full(len(ids), np.nan, record) for iso, ids in used.items()}
    for iso, table in _groups(reader, "tile_bounds", ["tile_id", *BOUNDS], shard):
        ids = table.column("tile_id").to_numpy()
        low, high = np.searchsorted(used[iso], [ids[0], ids[-1] + np.uint64(1)])
        at = np.searchsorted(ids, used[iso][low:high])
        listed = ids[at] == used[iso][low:high]
        for name in BOUNDS:
            values = table.column(name).to_numpy()[at]
            bounds[iso][name][low:high] = np.where(listed, values, np.nan)
    for iso, rows in bounds.items():
        lost = np.flatnonzero(np.isnan(rows["min_lat_deg"]))
        if len(lost):
            raise Segment1BError(
                code,
                f"{iso}: tile {used[iso][lost[0]]} has sites and no bounds; {len(lost)} such tiles",
                f"tile_bounds belongs to another run: {redo('s1')}",
                country_iso=iso,
                tile_id=int(used[iso][lost[0]]),
            )
    return bounds
