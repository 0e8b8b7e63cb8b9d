"""What S4 reads: pairs by country, weights that sum to K, and the index its tiles must be in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b.errors import Segment1BError
from segment1b.states.protocol import Run
from segment1b.storage.ingress import iso_codes
from segment1b.storage.parts import cut_tiles
from segment1b.storage.reader import Partition, Reader

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class CountryShard:
    """Countries that share a tile file, or one large country with files of its own.

    Attributes:
        number: place of the shard; shards in this order have their countries in ASCII order.
        countries: country codes in ASCII order.
        files: numbers of the tile files that hold them.
        grid: rows and columns of the raster.
    """

    number: int
    countries: tuple[str, ...]
    files: tuple[int, ...]
    grid: tuple[int, int]


def country_shards(reader: Reader, countries: Mapping[str, int]) -> list[CountryShard]:
    """Return the shards for the required countries, from how the tile datasets are cut."""
    report = reader.partition("tile_index").report
    grid = (report["grid_dims"]["nrows"], report["grid_dims"]["ncols"])
    counts = {code: own["cells_included"] for code, own in report["by_country"].items()}
    units: list[tuple[list[str], list[int]]] = []
    for file in cut_tiles(counts):
        codes = [code for code, _, _ in file.stretches if code in countries]
        if units and codes and units[-1][0] == codes:
            units[-1][1].append(file.number)
        elif codes:
            units.append((codes, [file.number]))
    return [
        CountryShard(number, tuple(codes), tuple(files), grid)
        for number, (codes, files) in enumerate(units)
    ]


def split_by_country(run: Run, reader: Reader) -> dict[str, int]:
    """Stage the pairs of each country as two raw files (merchants, sites); return pair counts."""
    counts: dict[str, int] = {}
    (run.staging / "pairs").mkdir(exist_ok=True)
    requirements = reader.partition("s3_requirements")
    for table in reader.row_groups(requirements, ["merchant_id", "legal_country_iso", "n_sites"]):
        countries = table.column("legal_country_iso").combine_chunks()
        codes = countries.indices.to_numpy()
        columns = {
            "merchants": table.column("merchant_id").to_numpy(),
            "sites": table.column("n_sites").to_numpy(),
        }
        for number, code in enumerate(countries.dictionary.to_pylist()):
            mine = codes == number
            counts[code] = counts.get(code, 0) + int(np.count_nonzero(mine))
            for name, values in columns.items():
                with (run.staging / "pairs" / f"{code}.{name}").open("ab") as handle:
                    values[mine].tofile(handle)
    return {code: count for code, count in counts.items() if count}


def read_weights(
    run: Run, reader: Reader, shard: CountryShard
) -> dict[str, tuple[UInt64s, Int64s]]:
    """Return tiles and weights of a shard's countries, once they sum to K under the policy's dp.

    Raises:
        Segment1BError: E414_WEIGHT_TAMPER.
    """
    dp = run.policy.prep.dp
    partition = reader.partition("tile_weights")
    found: dict[str, list[tuple[UInt64s, Int64s]]] = {code: [] for code in shard.countries}
    columns = ["country_iso", "tile_id", "weight_fp", "dp"]
    span = {"country_iso": (shard.countries[0], shard.countries[-1])}
    for table in reader.row_groups(partition, columns, span, shard.files):
        code = table.column("country_iso")[0].as_py()
        if code not in found:
            continue
        if (table.column("dp").to_numpy() != dp).any():
            raise _tampered(code, f"weights with another dp than {dp}")
        found[code].append(
            (table.column("tile_id").to_numpy(), table.column("weight_fp").to_numpy())
        )
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
    return Segment1BError(
        "E414_WEIGHT_TAMPER",
        f"{code}: {what}",
        "restore tile_weights, or remove it with its report and run S2 again",
        country_iso=code,
    )


def check_index(reader: Reader, shard: CountryShard, used: Mapping[str, UInt64s]) -> None:
    """Refuse tiles with sites that their country's index does not list.

    Raises:
        Segment1BError: E413_TILE_NOT_IN_INDEX.
    """
    found = dict.fromkeys(used, 0)
    span: dict[str, tuple[Any, Any]] = {"country_iso": (shard.countries[0], shard.countries[-1])}
    index = reader.partition("tile_index")
    for table in reader.row_groups(index, ["country_iso", "tile_id"], span, shard.files):
        code, ids = table.column("country_iso")[0].as_py(), table.column("tile_id").to_numpy()
        if code in used:
            low, high = np.searchsorted(used[code], [ids[0], ids[-1] + np.uint64(1)])
            near = used[code][low:high]
            found[code] += int(np.count_nonzero(ids[np.searchsorted(ids, near)] == near))
    for code, tiles in used.items():
        if found[code] != len(tiles):
            raise Segment1BError(
                "E413_TILE_NOT_IN_INDEX",
                f"{code}: {len(tiles) - found[code]} used tiles are not in tile_index",
                "tile_weights and tile_index belong to different runs: run S1 and S2",
                country_iso=code,
            )


def check_countries(reader: Reader, countries: dict[str, int]) -> None:
    """Refuse countries without code, tiles or weights; all such countries are listed."""
    known = {
        "E302_FK_COUNTRY": set(iso_codes(reader)),
        "E403_ZERO_TILE_UNIVERSE": _listed(reader.partition("tile_index")),
        "E402_MISSING_TILE_WEIGHTS": _listed(reader.partition("tile_weights")),
    }
    for code, there in known.items():
        missing = sorted(set(countries) - there)
        if missing:
            raise Segment1BError(
                code,
                f"required countries {', '.join(missing)} are not there",
                "run S1 to S3 again for this identity",
                country_iso=missing[0],
            )


def _listed(partition: Partition) -> set[str]:
    return set(partition.report["by_country"])


def staged_pairs(run: Run, code: str) -> tuple[UInt64s, Int64s]:
    """Return the merchants (ascending) and site counts of a country's pairs."""
    stem = run.staging / "pairs" / code
    return (np.fromfile(f"{stem}.merchants", np.uint64), np.fromfile(f"{stem}.sites", np.int64))
