"""S2, weights: turns each country's tiles into integers that sum to exactly K = 10^dp."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from segment1b.errors import Segment1BError
from segment1b.geo.population import close_population
from segment1b.geo.tile_masses import MASS_SCALE, Group, by_country, groups, masses, tiles_of
from segment1b.identity import canonical_json, sha256_hex
from segment1b.laws.apportionment import quantise
from segment1b.states.by_country import tile_units
from segment1b.states.protocol import (
    OnWorkers,
    Report,
    Run,
    ShardResult,
    State,
    check_conserved,
    check_known,
)
from segment1b.states.s2_blocks import (
    SettledBlock,
    Terms,
    Weighed,
    centres_columns,
    coded_weights,
    is_large,
    joined,
    settle,
    weigh_block,
)
from segment1b.storage.ingress import iso_codes
from segment1b.storage.parts import TileFile
from segment1b.storage.proofs import write_proven
from segment1b.storage.reader import Reader
from segment1b.storage.snapshot import Partition


class S2Weights(State):
    """Integer masses, then largest remainder per country; see docs/spec/s2-weights.md#law.

    The files of a large country are weighed side by side; see `s2_blocks`.
    """

    id = "s2"

    def shards(
        self, run: Run, reader: Reader, on_workers: OnWorkers
    ) -> Sequence[tuple[TileFile, ...] | SettledBlock]:
        """Return the units of work: a packed file, a country's files, or one of a large country."""
        index = reader.partition("tile_index")
        counts = {c: v["cells_included"] for c, v in index.report["by_country"].items()}
        problem = "countries of tile_index are not in the ISO table: {}"
        check_known(counts, iso_codes(reader), "E102_FK_MISMATCH", problem)
        _check_resolution(run, counts)
        units = tile_units(counts)
        large = {unit[0].number: settle(run, unit, on_workers) for unit in units if is_large(unit)}
        shards: list[tuple[TileFile, ...] | SettledBlock] = []
        for unit in units:
            shards += large.get(unit[0].number, [unit])
        return shards

    def cost(self, shard: tuple[TileFile, ...] | SettledBlock) -> int:
        """Return the number of tiles."""
        files = [shard.block.file] if isinstance(shard, SettledBlock) else shard
        return sum(file.rows for file in files)

    def work(
        self, run: Run, reader: Reader, shard: tuple[TileFile, ...] | SettledBlock
    ) -> ShardResult:
        """Weigh the countries of one shard and stage its files."""
        index = reader.partition("tile_index")
        files: Sequence[TileFile]
        if isinstance(shard, SettledBlock):
            block = shard.block
            files, weighed = [block.file], {block.code: weigh_block(run, reader, shard)}
        else:
            files, weighed = shard, _weigh_countries(run, reader, shard)

        def tables(dataset_id: str, file: TileFile) -> Iterator[pa.Table]:
            """Yield the rows of a file of tile_index, with their weights, by row groups."""
            at = {code: start - files[0].stretches[0][1] for code, start, _ in file.stretches}
            for table in reader.row_groups(index, ["country_iso", "tile_id"], None, [file.number]):
                code, count = table.column(0)[0].as_py(), table.num_rows
                columns = {
                    "country_iso": code,
                    "tile_id": table.column(1).to_numpy(),
                    "dp": np.full(count, run.policy.prep.dp, np.uint8),
                    "basis": weighed[code].counters["basis"],
                }
                for name, values in weighed[code].columns.items():
                    columns[name] = values[at[code] : at[code] + count]
                yield from run.tables(dataset_id, columns)
                at[code] += count

        proofs = {}
        for dataset_id in run.used(self.writes):
            dataset = run.contracts[dataset_id]
            proofs[dataset_id] = [
                write_proven(run.staged(dataset_id, file.number), dataset, tables(dataset_id, file))
                for file in files
            ]
        counters = {code: country.counters for code, country in weighed.items()}
        return ShardResult.of_parts(proofs, counters)

    def report(self, run: Run, reader: Reader, rows: int, counters: Sequence[Any]) -> Report:
        """Return the counters of all countries."""
        close_population()
        policy = run.policy.prep
        by_country = joined(counters)
        check_conserved(
            "rows of tile_index", rows, reader.partition("tile_index").receipt.rows, "s1"
        )
        versions = {d: run.contracts[d].version_tag for d in self.reads[1:3]}
        if policy.basis != "population":
            versions["population_raster_2025"] = None  # type: ignore[assignment]
        centres = sum(country["centres"] for country in by_country.values())
        people = {"people_per_centre": run.policy.people_per_centre, "centres_total": centres}
        return Report(
            {
                **({"centres": people} if run.policy.jitter.centres else {}),
                "parameter_hash": run.identity.parameter_hash,
                "basis": policy.basis,
                "dp": policy.dp,
                "K": 10**policy.dp,
                "mass_scale": MASS_SCALE[policy.basis],
                "policy_sha256": sha256_hex(canonical_json(run.policy.document())),
                "ingress_versions": versions,
                "rows_emitted": rows,
                "countries_total": len(by_country),
                "by_country": {
                    c: {k: v for k, v in country.items() if k not in ("basis", "centres")}
                    for c, country in by_country.items()
                },
            }
        )


def _weigh_countries(run: Run, reader: Reader, files: Sequence[TileFile]) -> dict[str, Weighed]:
    index, numbers = reader.partition("tile_index"), [file.number for file in files]
    return {
        code: _weigh_country(run, reader, index, numbers, code, own)
        for code, own in by_country(groups(reader, index, numbers, run.policy.prep.basis))
    }


def _weigh_country(
    run: Run,
    reader: Reader,
    index: Partition,
    files: Sequence[int],
    code: str,
    rows: Iterable[Group],
) -> Weighed:
    """Return a country's weights, its tiles' centres where the policy has any, and counters."""
    basis, tiles = run.policy.prep.basis, tiles_of(index, code)
    mass = masses(reader, basis, rows, tiles)
    columns = centres_columns(run, mass)
    total, fallback = int(mass.sum()), False
    if total == 0:
        basis, fallback = "area_m2", True
        mass = masses(reader, basis, groups(reader, index, files, basis, code=code), tiles)
        total = int(mass.sum())
    with coded_weights(code):
        columns["weight_fp"], residue = quantise(mass, 10**run.policy.prep.dp)
    return Weighed.of(columns, Terms(basis, fallback, total, residue))


def _check_resolution(run: Run, counts: dict[str, int]) -> None:
    policy = run.policy.prep
    if not counts:
        hint = "check world_countries and the raster's extent"
        raise Segment1BError("E103_ZERO_COUNTRY", "tile_index has no country", hint)
    largest = max(counts, key=lambda code: (counts[code], code))
    if 10**policy.dp < policy.min_units_per_tile * counts[largest]:
        raise Segment1BError(
            "E105_NORMALIZATION",
            f"dp {policy.dp} gives 10^{policy.dp} units to the "
            f"{counts[largest]} tiles of {largest}, fewer than {policy.min_units_per_tile} each",
            "raise prep.dp (12 serves the world at 30 arc-seconds)",
            country_iso=largest,
        )
