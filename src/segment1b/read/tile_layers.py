"""The layers of tiles behind the weights of a trade, mixed again step by step.

The law is docs/spec/trades.md#mixture; docs/spec/trades.md#by-hand tells how to follow it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b.contracts.states import ROADS, URBAN
from segment1b.contracts.trades import LAYERS, weights_of
from segment1b.geo.grid import read_grid
from segment1b.geo.layers import close_layers
from segment1b.geo.population import close_population
from segment1b.geo.tile_masses import groups, layer_columns
from segment1b.laws.apportionment import cut_largest, quantise
from segment1b.laws.mixture import layers_of
from segment1b.read.lookup import PublishedPair

_RASTER = "population_raster_2025"
_MASS = "mass"
_Ids = npt.NDArray[np.uint64]
_Ints = npt.NDArray[np.int64]


def explain_layers(
    pair: PublishedPair, trade: str, ids: _Ids, shown: _Ids
) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """Mix the layers of a country again.

    Args:
        pair: the pair, whose reader may open the trade's weights.
        trade: any but `everything`.
        ids: all tiles of the country, ascending.
        shown: those of them to explain.

    Returns:
        The country's facts: percents before and after, boost, cells of a tile, sums, and the last
        remainder that got a unit, of each layer and of the masses. By shown tile its layers, their
        shares of K, its mass and its weight.
    """
    report = pair.reader.partition(weights_of(trade)).report
    layers = _layers(pair, with_roads=report["road_layer"])
    country, units = report["by_country"][pair.country], report["K"]
    percents = {name: int(country[name]) for name in LAYERS}
    at = np.searchsorted(ids, shown)
    tiles: dict[int, dict[str, Any]] = {
        tile: {"layers": {}, "shares": {}} for tile in shown.tolist()
    }
    sums: dict[str, int] = {}
    cuts: dict[str, Any] = {}
    mass = np.zeros(len(ids), np.int64)
    for name in LAYERS:
        layer = layers.pop(name)
        sums[name] = int(layer.sum())
        _put(tiles, "layers", name, layer[at])
        share = np.zeros(len(ids), np.int64)
        if percents[name]:
            share, cuts[name] = _quantised(ids, layer, units)
            mass += percents[name] * share
        _put(tiles, "shares", name, share[at])
    masses_shown = mass[at].tolist()
    weights, cuts[_MASS] = _quantised(ids, mass, units)
    for row, own, weight in zip(tiles.values(), masses_shown, weights[at].tolist(), strict=True):
        row |= {"mass": own, "weight": weight}
    weighed = next(one for one in pair.policy["trades"]["trades"] if one["id"] == trade)
    facts = {
        "trade_percents": dict(zip(LAYERS, weighed["weights"], strict=True)),
        "percents": percents,
        "boost": report["boost"],
        "cells_per_tile": report["cells_per_tile"],
        "sums": sums,
        "cuts": cuts,
    }
    return facts, tiles


def _layers(pair: PublishedPair, *, with_roads: bool) -> dict[str, _Ints]:
    """Return the five layers of the pair's country in tile order."""
    needed = (_RASTER, URBAN, *([ROADS] if with_roads else []))
    reader = pair.reader.allowing(*needed)
    reader.fetch(needed)
    index, grid = reader.partition("tile_index"), read_grid(reader.file(_RASTER))
    rows = groups(reader, index, None, "population", "area_m2", code=pair.country)
    try:
        columns, _ = layer_columns(reader, index, grid, pair.country, rows, with_roads=with_roads)
    finally:
        close_layers()
        close_population()
    return dict(zip(LAYERS, layers_of(*columns), strict=True))


def _put(tiles: dict[int, dict[str, Any]], kind: str, name: str, values: _Ints) -> None:
    for row, value in zip(tiles.values(), values.tolist(), strict=True):
        row[kind][name] = value


def _quantised(ids: _Ids, values: _Ints, units: int) -> tuple[_Ints, dict[str, int] | None]:
    """Return shares of `units`, and remainder and tile that got the last unit, None for none."""
    shares, shortfall = quantise(values, units)
    if not shortfall:
        return shares, None
    cut = cut_largest(values, shortfall)  # the remainders now
    last = np.flatnonzero(values[: cut.end] == cut.threshold)[-1]
    return shares, {"remainder": cut.threshold, "tile_id": int(ids[last])}
