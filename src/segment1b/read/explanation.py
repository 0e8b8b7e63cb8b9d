"""Explains how the sites of one pair were allocated to tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, Unpack

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from segment1b.contracts.trades import EVERYTHING, weights_of
from segment1b.errors import Segment1BError
from segment1b.laws.apportionment import largest_remainder
from segment1b.laws.curves import locate
from segment1b.laws.points import (
    balanced_phases,
    balanced_points,
    deal,
    stable_points,
    systematic_points,
)
from segment1b.outlets.merchant_trades import DATASET, read_trades
from segment1b.read.gate import Which
from segment1b.read.lookup import PublishedPair, open_pair
from segment1b.read.redraw import pair_offset

_READS = ("s3_requirements", "s4_alloc_plan", "tile_weights", "tile_index", "parameter_policy_1B")
# Sites of a country that are sorted at one time.
_AT_ONCE = 1 << 22
# Tiles that were nearest to one more site, shown beside those that have sites.
_RUNNERS_UP = 3
_Ints: TypeAlias = npt.NDArray[np.int64]
_Ids: TypeAlias = npt.NDArray[np.uint64]


def explain(
    root: str | Path, merchant: int | str, country: str, **which: Unpack[Which]
) -> dict[str, Any]:
    """Explain how the sites of a merchant in a country were allotted to tiles.

    Examples:
        >>> segment1b.explain("segment1b-data", 259, "DE")["agrees"]
        True

    Returns:
        Law, number of sites and a row for each tile; of a merchant with a trade also the layers
        of each tile, with sums and percents of the country. `agrees` tells whether the laws,
        applied again, give the published weights and plan.

    Raises:
        Segment1BError: E_USAGE when the merchant has no sites in the country.
    """
    pair = open_pair(root, merchant, country, which, _READS)
    required = pair.rows("s3_requirements", ["n_sites"], **pair.key)["n_sites"]
    if not len(required):
        what = f"merchant {pair.label} has no outlets in {country}"
        hint = "see s3_requirements for the pairs of this root; codes are two upper-case letters"
        raise Segment1BError("E_USAGE", what, hint, **pair.names)
    columns = ["tile_id", "weight_fp"]
    pair, trade = _with_trade(pair)
    tiles = pair.rows(weights_of(trade), columns, country_iso=country)
    ids, weights = (tiles[name].to_numpy() for name in columns)
    explanation: dict[str, Any] = {
        **pair.identity.tokens,
        **pair.names,
        "law": pair.policy["allocation"]["law"],
        "n_sites": required[0].as_py(),
        "K": 10 ** pair.policy["prep"]["dp"],
        "tiles_in_country": len(ids),
    }
    if trade != EVERYTHING:
        explanation["trade"] = trade
    by_law = _by_largest_remainder if explanation["law"] == "largest_remainder" else _by_curve
    explanation |= by_law(pair, explanation, ids, weights)
    published = pair.plan
    for row in explanation["tiles"]:
        row["published"] = published.pop(row["tile_id"], 0)
    agrees = all(row["sites"] == row["published"] for row in explanation["tiles"])
    agrees &= not published
    if trade != EVERYTHING:
        agrees &= _add_layers(explanation, pair, trade, ids)
    return explanation | {"agrees": agrees}


def _with_trade(pair: PublishedPair) -> tuple[PublishedPair, str]:
    """Return the pair as it may read the weights of its merchant's trade, and the trade."""
    if "trades" not in pair.policy:
        return pair, EVERYTHING
    reader = pair.reader.allowing(DATASET)
    reader.fetch([DATASET])
    table = read_trades(reader)
    found = table.filter(pc.field("merchant_id") == pair.merchant)["trade"].to_pylist()
    trade = str(found[0]) if found else EVERYTHING
    reader = reader.allowing(weights_of(trade))
    reader.fetch([weights_of(trade)])
    return replace(pair, reader=reader), trade


def _of_trade(pair: PublishedPair, trade: str, merchants: _Ids) -> npt.NDArray[np.bool_]:
    """Return which merchants have a trade; those that are not listed have `everything`."""
    table = read_trades(pair.reader)
    listed = table.filter(pc.field("trade") == trade)["merchant_id"].to_numpy()
    found: npt.NDArray[np.bool_] = np.isin(merchants, listed)
    if trade == EVERYTHING:
        found |= ~np.isin(merchants, table["merchant_id"].to_numpy())
    return found


def _add_layers(explanation: dict[str, Any], pair: PublishedPair, trade: str, ids: _Ids) -> bool:
    """Add the layers behind the weights; return whether they give the published weights."""
    shown = np.array([row["tile_id"] for row in explanation["tiles"]], np.uint64)
    # Rasters take a while to import, and outlets without a trade do without.
    from segment1b.read.tile_layers import explain_layers

    try:
        facts, tiles = explain_layers(pair, trade, ids, shown)
    except Segment1BError as error:
        if error.code != "E_REFERENCE_SURFACE_MISSING":
            raise
        # A root may be handed over without its rasters.
        explanation["layers_missing"] = error.message
        return True
    explanation |= facts
    agrees = True
    for row in explanation["tiles"]:
        found = tiles[row["tile_id"]]
        agrees &= row["weight"] == found.pop("weight")
        row |= found
    return agrees


def _by_largest_remainder(
    _: PublishedPair, known: Mapping[str, Any], ids: _Ids, weights: _Ints
) -> dict[str, Any]:
    """Return floors, remainders and extra sites of the tiles with sites and the runners-up."""
    n, scale = known["n_sites"], known["K"]
    solved = largest_remainder(weights, n, scale)
    extra = solved.counts - solved.floors
    cut = int(solved.remainders[extra > 0].min()) if solved.shortfall else None
    shown = np.flatnonzero(solved.counts)
    rest = np.flatnonzero(solved.counts == 0)
    nearest = rest[np.lexsort((ids[rest], -solved.remainders[rest]))][:_RUNNERS_UP]
    tiles = [
        {
            "tile_id": int(ids[t]),
            "weight": int(weights[t]),
            "quota": n * int(weights[t]) / scale,
            "floor": int(solved.floors[t]),
            "remainder": int(solved.remainders[t]),
            "extra": int(extra[t]),
            "sites": int(solved.counts[t]),
            "tie": cut is not None and int(solved.remainders[t]) == cut and solved.ties_broken > 0,
        }
        for t in (*shown, *nearest)
    ]
    return {
        "shortfall": solved.shortfall,
        "cut_remainder": cut,
        "ties_broken": solved.ties_broken,
        "tiles": tiles,
    }


def _by_curve(
    pair: PublishedPair, known: Mapping[str, Any], ids: _Ids, weights: _Ints
) -> dict[str, Any]:
    """Return the pair's points on the line of weights and the tiles that they fall in."""
    grid = pair.reader.partition("tile_index").report["grid_dims"]
    points_of = _balanced_points if known["law"] == "balanced" else _offset_points
    place, numbers, points = points_of(pair, known)
    at = locate(ids, weights, grid["ncols"], grid["nrows"], points)
    tiles = []
    for t in np.unique(at):
        mine = np.flatnonzero(at == t)
        tiles.append(
            {
                "tile_id": int(ids[t]),
                "weight": int(weights[t]),
                "quota": known["n_sites"] * int(weights[t]) / known["K"],
                "numbers": numbers[mine].tolist(),
                "points": points[mine].tolist(),
                "sites": len(mine),
            }
        )
    return {**place, "tiles": tiles}


def _offset_points(
    pair: PublishedPair, known: Mapping[str, Any]
) -> tuple[dict[str, Any], _Ints, _Ints]:
    """Return the offset, the numbers j of the pair's points, and the points."""
    stable, n = known["law"] == "stable", known["n_sites"]
    offset = pair_offset(pair.identity.seed, pair.merchant, pair.country)
    points_of = stable_points if stable else systematic_points
    points = points_of(np.array([offset], np.uint64), np.array([n], np.int64), known["K"])
    return {"offset": offset}, np.arange(n) + int(stable), points


def _balanced_points(
    pair: PublishedPair, known: Mapping[str, Any]
) -> tuple[dict[str, Any], _Ints, _Ints]:
    """Return the pair's place in its country, the numbers k of its points, and the points."""
    columns = ["merchant_id", "n_sites"]
    rows = pair.rows("s3_requirements", columns, legal_country_iso=pair.country)
    merchants, n = (rows[name].to_numpy() for name in columns)
    if "trades" in pair.policy:
        same = _of_trade(pair, known.get("trade", EVERYTHING), merchants)
        merchants, n = merchants[same], n[same]
    total = int(n.sum())
    m = int(np.searchsorted(merchants, np.uint64(pair.merchant)))
    phase, first = balanced_phases(len(n)), int(n[:m].sum())
    rank = np.concatenate(list(deal(phase, n, _AT_ONCE)))
    numbers = np.flatnonzero((rank >= first) & (rank < first + n[m]))
    points = balanced_points(0, total, total, known["K"])[numbers]
    return {"pair_index": m, "phase": int(phase[m]), "country_sites": total}, numbers, points
