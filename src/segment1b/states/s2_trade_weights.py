"""S2, weights of trades: mixtures of layers in integers that sum to exactly K for each country."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from segment1b.contracts.states import ROADS, TRADE_WEIGHTS, URBAN
from segment1b.contracts.trades import LAYERS
from segment1b.errors import Segment1BError
from segment1b.geo.grid import read_grid
from segment1b.geo.layers import Layer, close_layers
from segment1b.geo.population import close_population
from segment1b.geo.tile_masses import by_country, groups, layer_columns
from segment1b.laws.apportionment import quantise
from segment1b.laws.mixture import country_percents, layers_of, mix, totals
from segment1b.states.by_country import Int64s, tile_units
from segment1b.states.protocol import OnWorkers, Report, Run, ShardResult, State, check_conserved
from segment1b.storage.parts import TileFile
from segment1b.storage.proofs import write_proven
from segment1b.storage.reader import Reader

_RASTER = "population_raster_2025"


class S2TradeWeights(State):
    """Weights of all trades of a run in one pass; see docs/spec/trades.md#mixture.

    What is staged and reported is by trade: each has a partition and a run report of its own.
    """

    id = "s2_trade"

    def shards(
        self, run: Run, reader: Reader, _on_workers: OnWorkers
    ) -> Sequence[tuple[TileFile, ...]]:
        """Return the units of work of S2; a layer that does not fit the tiles is refused here."""
        grid = read_grid(reader.file(_RASTER))
        for name in (URBAN, ROADS):
            if name in run.surfaces:
                Layer(reader.file(name), grid)
        counts = reader.partition("tile_index").report["by_country"]
        return tile_units({code: country["cells_included"] for code, country in counts.items()})

    def cost(self, shard: tuple[TileFile, ...]) -> int:
        """Return the number of tiles."""
        return sum(file.rows for file in shard)

    def work(self, run: Run, reader: Reader, shard: tuple[TileFile, ...]) -> ShardResult:
        """Weigh the countries of one shard by each trade and stage its files."""
        index, dataset = reader.partition("tile_index"), run.contracts[TRADE_WEIGHTS]
        grid = read_grid(reader.file(_RASTER))
        files, with_roads = [file.number for file in shard], ROADS in run.surfaces
        solved = {
            code: weigh(
                run, code, *layer_columns(reader, index, grid, code, own, with_roads=with_roads)
            )
            for code, own in by_country(groups(reader, index, files, "population", "area_m2"))
        }

        def tables(file: TileFile, trade: str) -> Iterator[pa.Table]:
            """Yield the rows of a file of tile_index, with their weights, by row groups."""
            at = {code: start for code, start, _ in file.stretches}
            for table in reader.row_groups(index, ["country_iso", "tile_id"], None, [file.number]):
                code, count = table.column(0)[0].as_py(), table.num_rows
                own = solved[code]
                columns = {
                    "country_iso": code,
                    "tile_id": table.column(1).to_numpy(),
                    "weight_fp": own.weights[trade][at[code] : at[code] + count],
                    "dp": np.full(count, run.policy.prep.dp, np.uint8),
                    "basis": own.basis,
                }
                yield from run.tables(dataset.id, columns)
                at[code] += count

        proofs = {
            trade: [
                write_proven(run.staged(f"{dataset.id}-{trade}", file.number), dataset, made)
                for file in shard
                for made in [tables(file, trade)]
            ]
            for trade in run.trades
        }
        counters = {code: country.counters for code, country in solved.items()}
        return ShardResult.of_parts(proofs, counters)

    def report(self, run: Run, reader: Reader, rows: int, counters: Sequence[Any]) -> Report:
        """Return the counters of all countries for the run's trade; `rows` are those of its own."""
        close_population()
        close_layers()
        policy = run.policy
        assert policy.trades is not None
        tiles = reader.partition("tile_index").receipt.rows
        check_conserved("rows of tile_index", rows, tiles, "s1")
        by_country = {
            code: own[run.trade] for shard in counters for code, own in sorted(shard.items())
        }
        layer = Layer(reader.file(URBAN), read_grid(reader.file(_RASTER)))
        return Report(
            {
                "parameter_hash": run.identity.parameter_hash,
                "trade": run.trade,
                "dp": policy.prep.dp,
                "K": 10**policy.prep.dp,
                "boost": policy.trades.boost,
                "cells_per_tile": layer.alignment.cells,
                "road_layer": ROADS in run.surfaces,
                "rows_emitted": rows,
                "countries_total": len(by_country),
                "by_country": by_country,
            }
        )


class Weighed(NamedTuple):
    """A country's weights (int64[t], tile order, sum K) and counters by trade."""

    weights: dict[str, Int64s]
    counters: dict[str, dict[str, Any]]
    basis: str


def weigh(run: Run, code: str, columns: tuple[Int64s, ...], cells: int) -> Weighed:
    """Weigh the tiles of a country by each of the run's trades.

    Args:
        columns: people, area, urban cells and metres of road by tile, int64[t]; overwritten.
        cells: of the urban layer in a tile.

    Raises:
        Segment1BError: E105_NORMALIZATION for a product or sum beyond the exact path.
    """
    units, (people, area, urban, metres) = 10**run.policy.prep.dp, columns
    try:
        if people.any():
            return _mixed(run, columns, cells, units)
        facts = _facts((0, 100, 0, 0, 0), [0] * len(LAYERS), [int(urban.sum()), int(metres.sum())])
        facts["zero_mass_fallback"] = True
        weights, _ = quantise(area, units)
        every = dict.fromkeys(run.trades, weights)
        return Weighed(every, {t: _counted(facts, weights) for t in run.trades}, "area_m2")
    except (ValueError, OverflowError) as error:
        problem, hint = f"{code}: {error}", "lower prep.dp or scale the raster down"
        raise Segment1BError("E105_NORMALIZATION", problem, hint, country_iso=code) from None


def _mixed(run: Run, columns: tuple[Int64s, ...], cells: int, units: int) -> Weighed:
    trades = run.policy.trades
    assert trades is not None
    layers = layers_of(*columns)
    sums, counts = totals(layers), [int(columns[2].sum()), int(columns[3].sum())]
    percents = {
        trade: country_percents(trades.percents[trade], sums, trades.boost, cells)
        for trade in run.trades
    }
    # Quantised in place: nothing needs the masses of a layer any more.
    shares = [
        quantise(layer, units)[0] if any(own[at] for own in percents.values()) else None
        for at, layer in enumerate(layers)
    ]
    weights = {trade: mix(shares, own, units) for trade, own in percents.items()}
    facts = {trade: _facts(own, sums, counts) for trade, own in percents.items()}
    counted = {trade: _counted(facts[trade], weights[trade]) for trade in run.trades}
    return Weighed(weights, counted, "population")


def _facts(percents: Sequence[int], sums: Sequence[int], counts: Sequence[int]) -> dict[str, Any]:
    return {
        **dict(zip(LAYERS, percents, strict=True)),
        "urban_cells": str(counts[0]),
        "urban_people_sum": str(sums[LAYERS.index("urban_people")]),
        "road_metres": str(counts[1]),
        "zero_mass_fallback": False,
    }


def _counted(facts: dict[str, Any], weights: Int64s) -> dict[str, Any]:
    return {
        **facts,
        "tiles": len(weights),
        "postquant_sum_fp": int(weights.sum()),
        "zero_weight_tiles": int(np.count_nonzero(weights == 0)),
    }
