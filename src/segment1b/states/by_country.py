"""What states that work by country read: shards, rows, weights, bounds and the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b.errors import Segment1BError, redo
from segment1b.states.protocol import Run, check_conserved
from segment1b.storage.ingress import iso_codes
from segment1b.storage.parts import cut_tiles
from segment1b.storage.reader import Reader
from segment1b.storage.records import Records
from segment1b.storage.split import COUNTRY, read_split, split_by_country

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class CountryShard:
    """Countries that share a tile file, or one large country with files of its own.

    Attributes:
        number: place of the shard; shards in this order have their countries in ASCII order.
        countries: country codes in ASCII order.
        tiles: how many tiles each of them has.
        rows: how many staged rows each of them has.
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
    """Return the shards for the countries, from how the tile datasets are cut.

    Args:
        reader: the state's reader.
        rows: how many staged rows each country has; all of them have tiles.
        tiles: a dataset that S1 commits and the state has declared.
    """
    report = reader.partition(tiles).report
    grid = (report["grid_dims"]["nrows"], report["grid_dims"]["ncols"])
    counts = {code: own["cells_included"] for code, own in report["by_country"].items()}
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
    """Stage a published dataset's rows by country; return how many rows each country has.

    Raises:
        Segment1BError: E_NOT_CONSERVED when they are not the rows of the dataset's receipt.
    """
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


def read_weights(
    run: Run, reader: Reader, shard: CountryShard
) -> dict[str, tuple[UInt64s, Int64s]]:
    """Return tiles and weights of a shard's countries, once they sum to K under the policy's dp.

    A tile without weight gets no site by any law, and half of the world's tiles have none: they
    are left out, and row groups without any other are not read.

    Raises:
        Segment1BError: E414_WEIGHT_TAMPER.
    """
    dp = run.policy.prep.dp
    partition = reader.partition("tile_weights")
    found: dict[str, list[tuple[UInt64s, Int64s]]] = {code: [] for code in shard.countries}
    columns = ["country_iso", "tile_id", "weight_fp", "dp"]
    span: dict[str, tuple[Any, Any]] = {
        "country_iso": (shard.countries[0], shard.countries[-1]),
        "weight_fp": (1, 10**dp),
    }
    for table in reader.row_groups(partition, columns, span, shard.files):
        code = table.column("country_iso")[0].as_py()
        if code not in found:
            continue
        if (table.column("dp").to_numpy() != dp).any():
            raise _tampered(code, f"weights with another dp than {dp}")
        ids, weights = table.column("tile_id").to_numpy(), table.column("weight_fp").to_numpy()
        heavy = np.flatnonzero(weights)
        found[code].append((ids[heavy], weights[heavy]))
    tiles = {}
    for code, groups in found.items():
        total = sum(int(weights.sum()) for _, weights in groups)
        if total != 10**dp:
            raise _tampered(code, f"weights sum to {total}, not 10^{dp}")
        tiles[code] = (
            np.concatenate([ids for ids, _ in groups]),
            np.concatenate([weights for _, weights in groups]),
        )
    return tiles


def _tampered(code: str, what: str) -> Segment1BError:
    return Segment1BError("E414_WEIGHT_TAMPER", f"{code}: {what}", country_iso=code)


def check_index(
    reader: Reader, shard: CountryShard, used: Mapping[str, UInt64s], code: str
) -> dict[str, int]:
    """Refuse tiles with sites that their country's index does not list.

    Args:
        reader: the state's reader.
        shard: the countries.
        used: distinct tile ids with sites, ascending, by country.
        code: the state's code for such a tile.

    Returns:
        How many of the used tiles the index lists, by country.
    """
    found = dict.fromkeys(used, 0)
    span: dict[str, tuple[Any, Any]] = {"country_iso": (shard.countries[0], shard.countries[-1])}
    index = reader.partition("tile_index")
    for table in reader.row_groups(index, ["country_iso", "tile_id"], span, shard.files):
        iso, ids = table.column("country_iso")[0].as_py(), table.column("tile_id").to_numpy()
        if iso in used:
            low, high = np.searchsorted(used[iso], [ids[0], ids[-1] + np.uint64(1)])
            near = used[iso][low:high]
            found[iso] += int(np.count_nonzero(ids[np.searchsorted(ids, near)] == near))
    for iso, tiles in used.items():
        if found[iso] != len(tiles):
            what = f"{iso}: {len(tiles) - found[iso]} used tiles are not in tile_index"
            hint = f"tile_weights and tile_index belong to different runs: {redo('s1')}"
            raise Segment1BError(code, what, hint, country_iso=iso)
    return found


def check_countries(reader: Reader, countries: dict[str, int]) -> None:
    """Refuse countries without code, tiles or weights; all such countries are listed."""
    known = {
        "E302_FK_COUNTRY": set(iso_codes(reader)),
        "E403_ZERO_TILE_UNIVERSE": listed_countries(reader, "tile_index"),
        "E402_MISSING_TILE_WEIGHTS": listed_countries(reader, "tile_weights"),
    }
    for code, there in known.items():
        missing = sorted(set(countries) - there)
        if missing:
            what = f"required countries {', '.join(missing)} are not there"
            raise Segment1BError(code, what, redo("s1"), country_iso=missing[0])


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

    Args:
        reader: the state's reader; tile_bounds must be declared.
        shard: the countries.
        used: distinct tile ids, ascending, by country.
        code: the state's code for a tile without bounds row.
    """
    record = np.dtype([(name, np.float64) for name in BOUNDS])
    bounds = {iso: np.full(len(ids), np.nan, record) for iso, ids in used.items()}
    span: dict[str, tuple[Any, Any]] = {"country_iso": (shard.countries[0], shard.countries[-1])}
    columns = ["country_iso", "tile_id", *BOUNDS]
    for table in reader.row_groups(reader.partition("tile_bounds"), columns, span, shard.files):
        iso, ids = table.column("country_iso")[0].as_py(), table.column("tile_id").to_numpy()
        if iso not in used:
            continue
        low, high = np.searchsorted(used[iso], [ids[0], ids[-1] + np.uint64(1)])
        at = np.searchsorted(ids, used[iso][low:high])
        there = ids[at] == used[iso][low:high]
        for name in BOUNDS:
            values = table.column(name).to_numpy()[at]
            bounds[iso][name][low:high] = np.where(there, values, np.nan)
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
