"""Explain: how one pair's sites came to their tiles, as numbers that a person can follow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.laws.apportionment import largest_remainder
from segment1b.laws.curves import locate
from segment1b.laws.philox import alloc_offsets
from segment1b.laws.points import (
    balanced_phases,
    balanced_points,
    deal,
    stable_points,
    systematic_points,
)
from segment1b.pipeline.decide import find_identity
from segment1b.storage.durable import read_object
from segment1b.storage.reader import Reader
from segment1b.storage.root import find_root

_READS = ("s3_requirements", "s4_alloc_plan", "tile_weights", "tile_index", "parameter_policy_1B")
# Sites of a country that are sorted at one time.
_AT_ONCE = 1 << 22
# Tiles that were nearest to one more site, shown beside those that have sites.
_RUNNERS_UP = 3


def explain(
    data_root: Path,
    merchant: int,
    country: str,
    given: Mapping[str, Any],
    dictionary: Path | None,
) -> dict[str, Any]:
    """Return how a pair's sites came to their tiles.

    Returns:
        merchant_id, country_iso, law, n_sites, K, and by law: floors, remainders, shortfall and
        the tie rule (largest_remainder), offset and points (systematic, stable), or the pair's
        place, phase and points in the country (balanced); `tiles` lists the rows with quota,
        found by the law again, and `published`, what s4_alloc_plan says.

    Raises:
        Segment1BError: E_USAGE when the pair has no requirement.
    """
    root = find_root(data_root)
    known, identity = find_identity(root, dictionary, given)
    reader = Reader(root, known, identity.places, _READS, "E409_DISALLOWED_READ", {}, {})
    reader.fetch(_READS)
    n = _required(reader, merchant, country)
    policy = read_object(reader.file("parameter_policy_1B"))["policy"]
    ids, weights = _weights(reader, country)
    scale = 10 ** policy["prep"]["dp"]
    found: dict[str, Any] = {
        **identity.tokens,
        "merchant_id": merchant,
        "country_iso": country,
        "law": policy["allocation"]["law"],
        "n_sites": n,
        "K": scale,
        "tiles_in_country": len(ids),
    }
    if found["law"] == "largest_remainder":
        found |= _by_largest_remainder(ids, weights, n, scale)
    else:
        found |= _by_curve(reader, identity, found, ids, weights)
    published = _published(reader, merchant, country)
    for row in found["tiles"]:
        row["published"] = published.pop(row["tile_id"], 0)
    found["agrees"] = not published and all(r["sites"] == r["published"] for r in found["tiles"])
    return found


def _required(reader: Reader, merchant: int, country: str) -> int:
    partition = reader.partition("s3_requirements")
    for table in reader.row_groups(
        partition,
        ["merchant_id", "legal_country_iso", "n_sites"],
        {"merchant_id": (merchant, merchant)},
    ):
        mine = (table.column(0).to_numpy() == merchant) & _is(table.column(1), country)
        if mine.any():
            return int(table.column(2).to_numpy()[mine][0])
    raise Segment1BError(
        "E_USAGE",
        f"merchant {merchant} has no outlets in {country}",
        "see s3_requirements for the pairs of this root; codes are two upper-case letters",
        merchant_id=merchant,
        country_iso=country,
    )


def _weights(reader: Reader, country: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    partition = reader.partition("tile_weights")
    tables = list(
        reader.row_groups(partition, ["tile_id", "weight_fp"], {"country_iso": (country, country)})
    )
    return (
        np.concatenate([t.column(0).to_numpy() for t in tables]),
        np.concatenate([t.column(1).to_numpy() for t in tables]),
    )


def _published(reader: Reader, merchant: int, country: str) -> dict[int, int]:
    partition = reader.partition("s4_alloc_plan")
    columns = ["merchant_id", "legal_country_iso", "tile_id", "n_sites_tile"]
    rows: dict[int, int] = {}
    for table in reader.row_groups(partition, columns, {"merchant_id": (merchant, merchant)}):
        mine = (table.column(0).to_numpy() == merchant) & _is(table.column(1), country)
        rows |= dict(
            zip(
                table.column(2).to_numpy()[mine].tolist(),
                table.column(3).to_numpy()[mine].tolist(),
                strict=True,
            )
        )
    return rows


def _is(column: Any, country: str) -> npt.NDArray[np.bool_]:
    array = column.combine_chunks()
    wanted = np.array([code == country for code in array.dictionary.to_pylist()] or [False])
    return np.asarray(wanted[array.indices.to_numpy()])


def _by_largest_remainder(
    ids: npt.NDArray[np.uint64], weights: npt.NDArray[np.int64], n: int, scale: int
) -> dict[str, Any]:
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
    reader: Reader,
    identity: Identity,
    pair: Mapping[str, Any],
    ids: npt.NDArray[np.uint64],
    weights: npt.NDArray[np.int64],
) -> dict[str, Any]:
    grid = reader.partition("tile_index").report["grid_dims"]
    n, scale = pair["n_sites"], pair["K"]
    place = _balanced_place if pair["law"] == "balanced" else _own_place
    found, numbers, points = place(reader, identity, pair)
    at = locate(ids, weights, grid["ncols"], grid["nrows"], points)
    tiles = []
    for t in np.unique(at):
        mine = np.flatnonzero(at == t)
        tiles.append(
            {
                "tile_id": int(ids[t]),
                "weight": int(weights[t]),
                "quota": n * int(weights[t]) / scale,
                "numbers": numbers[mine].tolist(),
                "points": points[mine].tolist(),
                "sites": len(mine),
            }
        )
    return {**found, "tiles": tiles}


def _own_place(
    _: Reader, identity: Identity, pair: Mapping[str, Any]
) -> tuple[dict[str, Any], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the offset, the numbers j of the pair's points, and the points."""
    stable, n = pair["law"] == "stable", pair["n_sites"]
    merchant = np.array([pair["merchant_id"]], np.uint64)
    offset = alloc_offsets(identity.seed, merchant, pair["country_iso"])
    points_of = stable_points if stable else systematic_points
    points = points_of(offset, np.array([n], np.int64), pair["K"])
    return {"offset": int(offset[0])}, np.arange(n) + int(stable), points


def _balanced_place(
    reader: Reader, _: Identity, pair: Mapping[str, Any]
) -> tuple[dict[str, Any], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the pair's place in its country, the numbers k of its points, and the points."""
    partition = reader.partition("s3_requirements")
    columns = ["merchant_id", "legal_country_iso", "n_sites"]
    merchants, sites = [], []
    for table in reader.row_groups(partition, columns):
        mine = _is(table.column(1), pair["country_iso"])
        merchants.append(table.column(0).to_numpy()[mine])
        sites.append(table.column(2).to_numpy()[mine])
    n, total = np.concatenate(sites), sum(int(part.sum()) for part in sites)
    m = int(np.searchsorted(np.concatenate(merchants), np.uint64(pair["merchant_id"])))
    phase, first = balanced_phases(len(n)), int(n[:m].sum())
    rank = np.concatenate(list(deal(phase, n, _AT_ONCE)))
    numbers = np.flatnonzero((rank >= first) & (rank < first + n[m]))
    points = balanced_points(0, total, total, pair["K"])[numbers]
    found = {"pair_index": m, "phase": int(phase[m]), "country_sites": total}
    return found, numbers, points
