"""S2, weights: turns each country's tiles into integers that sum to exactly K = 10^dp."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.errors import Segment1BError
from segment1b.geo.population import close_population
from segment1b.geo.tile_masses import MASS_SCALE, Group, by_country, groups, masses
from segment1b.identity import canonical_json, sha256_hex
from segment1b.laws.apportionment import quantise
from segment1b.laws.centres import centres_of
from segment1b.states.by_country import tile_units
from segment1b.states.protocol import Report, Run, ShardResult, State, check_conserved, check_known
from segment1b.storage.ingress import iso_codes
from segment1b.storage.parts import TileFile
from segment1b.storage.proofs import write_proven
from segment1b.storage.reader import Reader
from segment1b.storage.snapshot import Partition


class S2Weights(State):
    """Integer masses, then largest remainder per country; see docs/spec/s2-weights.md#law."""

    id = "s2"

    def shards(self, run: Run, reader: Reader) -> Sequence[tuple[TileFile, ...]]:
        """Return the units of work: one packed file, or all files of one large country."""
        index = reader.partition("tile_index")
        counts = {c: v["cells_included"] for c, v in index.report["by_country"].items()}
        problem = "countries of tile_index are not in the ISO table: {}"
        check_known(counts, iso_codes(reader), "E102_FK_MISMATCH", problem)
        _check_resolution(run, counts)
        return tile_units(counts)

    def work(self, run: Run, reader: Reader, shard: tuple[TileFile, ...]) -> ShardResult:
        """Weigh the countries of one shard and stage its files."""
        index = reader.partition("tile_index")
        files = [file.number for file in shard]
        weighed = {
            code: weigh(run, reader, index, files, code, own)
            for code, own in by_country(groups(reader, index, files, run.policy.prep.basis))
        }

        def tables(dataset_id: str, file: TileFile) -> Iterator[pa.Table]:
            """Yield the rows of a file of tile_index, with their weights, by row groups."""
            at = {code: start for code, start, _ in file.stretches}
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
                for file in shard
            ]
        counters = {code: country.counters for code, country in weighed.items()}
        return ShardResult.of_parts(proofs, counters)

    def report(self, run: Run, reader: Reader, rows: int, counters: Sequence[Any]) -> Report:
        """Return the counters of all countries."""
        close_population()
        policy = run.policy.prep
        by_country = {code: c for shard in counters for code, c in sorted(shard.items())}
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


class Weighed(NamedTuple):
    """A country's columns in tile order (weight_fp, int64, of sum K, and centres) and counters."""

    columns: dict[str, npt.NDArray[Any]]
    counters: dict[str, Any]


def weigh(
    run: Run,
    reader: Reader,
    index: Partition,
    files: Sequence[int],
    code: str,
    rows: Iterable[Group],
) -> Weighed:
    """Return a country's weights, its tiles' centres where the policy has any, and counters."""
    policy = run.policy.prep
    basis: str = policy.basis
    mass = masses(reader, index, code, basis, rows)
    columns: dict[str, npt.NDArray[Any]] = {}
    if run.policy.people_per_centre is not None:
        columns["centres"] = centres_of(mass, run.policy.people_per_centre)
    total, fallback = int(mass.sum()), False
    if total == 0:
        basis, fallback = "area_m2", True
        # Antarctica, the largest country, has no people: two arrays of it at once are too many.
        del mass
        mass = masses(reader, index, code, basis, groups(reader, index, files, basis, code=code))
        total = int(mass.sum())
    try:
        weights, residue = quantise(mass, 10**policy.dp)
    except (ValueError, OverflowError) as error:
        problem, hint = f"{code}: {error}", "lower prep.dp or scale the raster down"
        raise Segment1BError("E105_NORMALIZATION", problem, hint, country_iso=code) from None
    columns["weight_fp"] = weights
    counters = {
        "basis": basis,
        "tiles": len(weights),
        "mass_sum": str(total),
        "postquant_sum_fp": int(weights.sum()),
        "residue_allocations": residue,
        "zero_weight_tiles": int(np.count_nonzero(weights == 0)),
        "zero_mass_fallback": fallback,
        "centres": int(columns["centres"].sum(dtype=np.int64)) if "centres" in columns else 0,
    }
    return Weighed(columns, counters)


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
