"""Replays how one outlet came to its coordinate, attempt by attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from segment1b.errors import Segment1BError
from segment1b.read.gate import Which
from segment1b.read.lookup import PublishedPair, open_pair
from segment1b.read.redraw import BOUNDS, Jitter, Site, Tile, assignment_words, pair_offset
from segment1b.read.redraw_centres import (
    APART,
    ATTEMPTS,
    CentreAttempt,
    CentreDraws,
    CentreTile,
)

_GOLDEN_STEP = 0x9E3779B97F4A7C15
_CENTRE = 3
_READS = (
    "s4_alloc_plan",
    "s5_site_tile_assignment",
    "s6_site_jitter",
    "s7_site_synthesis",
    "rng_event_in_cell_jitter",
    "rng_event_centre_jitter",
    "tile_bounds",
    "tile_index",
    "tile_centres",
    "world_countries",
    "parameter_policy_1B",
)


def replay(
    root: str | Path, merchant: int | str, country: str, site: int, **which: Unpack[Which]
) -> dict[str, Any]:
    """Derive the coordinate of one site again, draw by draw.

    Examples:
        >>> segment1b.replay("segment1b-data", 259, "DE", site=3)["agrees"]
        True

    Args:
        root: the data root.
        merchant: its id in the list.
        country: two upper-case letters.
        site: site_order, from 1.
        **which: the identity, see `Which`.

    Returns:
        Tile, attempts with their random words, and the point; `agrees` tells whether it is the
        published one.

    Raises:
        Segment1BError: E_USAGE when there is no such site.
    """
    pair = open_pair(root, merchant, country, which, _READS)
    assignment = _assignment(pair, site)
    s5, tile_id = assignment["s5"], assignment["tile_id"]
    jitter = Jitter(pair.reader, pair.identity.seed)
    key, tile = (pair.merchant, country, site), _tile(pair, tile_id)
    placed = _at_centre(pair, jitter, key, tile_id, tile)
    if placed.get("lane") != _CENTRE:
        event = _row(pair, "rng_event_in_cell_jitter", ["blocks", "lane"], site)
        placed |= _placed(jitter, key, tile)
        placed["logged"] = placed.get("logged", True) and placed["lane"] == event["lane"]
        placed["blocks_logged"] = event["blocks"]
    logged = placed.pop("logged")
    published = _row(pair, "s7_site_synthesis", ["lon_deg", "lat_deg"], site)
    return {
        **pair.identity.tokens,
        **pair.names,
        "site_order": site,
        **_outlet(pair, site),
        **assignment,
        **placed,
        "published": published,
        "agrees": placed["point"] == published and logged and s5.get("tile_id", tile_id) == tile_id,
    }


def _outlet(pair: PublishedPair, site: int) -> dict[str, str]:
    """Return the key of the outlet, where the list has keys."""
    found = pair.listed.outlet(pair.merchant, pair.country, site) if pair.listed else None
    return {} if found is None else {"outlet_id": found}


def _assignment(pair: PublishedPair, order: int) -> dict[str, Any]:
    """Return requirement and quotas of the pair, and the tile of the site with its derivation."""
    columns = ["site_order", "tile_id"]
    assigned = pair.rows("s5_site_tile_assignment", columns, **pair.key).to_pylist()
    tile_id = next((row["tile_id"] for row in assigned if row["site_order"] == order), None)
    if tile_id is None:
        raise Segment1BError(
            "E_USAGE",
            f"merchant {pair.label} has no site {order} in {pair.country}",
            f"it has {len(assigned)} there; codes are two upper-case letters",
        )
    n, quotas, seed = len(assigned), pair.plan, pair.identity.seed
    site = (pair.merchant, pair.country, order)
    stable = pair.policy["allocation"]["law"] == "stable"
    s5 = _own_point(seed, site) if stable else _permuted(seed, site, n, quotas)
    return {"requirement": n, "quotas": quotas, "s5": s5, "tile_id": tile_id}


def _own_point(seed: int, site: Site) -> dict[str, Any]:
    """Return where a site's own point lies on its country's line of weights."""
    merchant, country, order = site
    offset = pair_offset(seed, merchant, country)
    fraction = (offset + order * _GOLDEN_STEP) % 2**64
    return {"match": "own_point", "offset": offset, "fraction_of_the_line": fraction / 2**64}


def _permuted(seed: int, site: Site, n: int, quotas: Mapping[int, int]) -> dict[str, Any]:
    """Return a site's word, its rank among the n of the pair, and the tile of that rank."""
    merchant, country, order = site
    words = assignment_words(seed, merchant, country, n)
    word = words[order - 1]
    rank = sorted((drawn, j) for j, drawn in enumerate(words, 1)).index((word, order)) + 1
    tiles = [tile for tile, count in quotas.items() for _ in range(count)]
    return {"match": "permuted", "word": word, "rank": rank, "tile_id": tiles[rank - 1]}


def _placed(jitter: Jitter, site: Site, tile: Tile) -> dict[str, Any]:
    """Return the attempts up to the accepted one, the lane and the point."""
    tried = []
    for attempt in jitter.attempts(site, tile, jitter.most_attempts):
        lon, lat = tile.point(*attempt.offset)
        verdict = jitter.judge(site[1], tile, *attempt.offset)
        tried.append(
            {
                "attempt": attempt.number,
                "w0": attempt.words[0],
                "w1": attempt.words[1],
                "u_lon": attempt.u[0],
                "u_lat": attempt.u[1],
                "lon_deg": lon,
                "lat_deg": lat,
                "verdict": verdict,
            }
        )
        if verdict == "accepted":
            lane = int(attempt.number > jitter.tile_attempts)
            break
    else:
        lane = 2
        lon, lat = tile.point(*jitter.surface(site[1], tile))
    return {"attempts": tried, "lane": lane, "point": {"lon_deg": lon, "lat_deg": lat}}


def _at_centre(
    pair: PublishedPair, jitter: Jitter, site: Site, tile_id: int, tile: Tile
) -> dict[str, Any]:
    """Return the draws at the centres of a site's tile; nothing where the policy has none.

    With lane and point where one was accepted. `logged` tells whether the log has the same.
    """
    policy = pair.policy["jitter"].get("centres")
    if policy is None:
        return {}
    draws = CentreDraws(jitter, policy, pair.identity.seed)
    row = _tile_row(pair, "tile_index", ["pixel_area_m2"], tile_id)
    row |= _tile_row(pair, "tile_centres", ["centres"], tile_id)
    place = CentreTile(tile, tile_id, row["pixel_area_m2"], row["centres"])
    if not draws.admits(place):
        return {"centres": {"centres": 0, "attempts": []}}
    logged = _centre_log(pair)
    held = {logged.get(order, (0, 0))[1] for order in _same_tile(pair, site[2], tile_id)}
    found: dict[str, Any] = {"centre": 0}
    tried = []
    for attempt in draws.attempts(site, place, ATTEMPTS):
        taken = attempt.number <= APART and attempt.rank in held
        verdict = attempt.verdict
        if verdict == "accepted" and taken:
            verdict = "an earlier outlet of the merchant is at this centre"
        tried.append(_centre_attempt(attempt, tile, verdict))
        if verdict in ("accepted", "the tail"):
            break
    if verdict == "accepted" and attempt.offset is not None:
        lon, lat = tile.point(*attempt.offset)
        point = {"lon_deg": lon, "lat_deg": lat}
        found = {"centre": attempt.rank, "lane": _CENTRE, "point": point, "attempts": []}
    own = (len(tried), found.pop("centre"))
    return {
        **found,
        "centres": {"centres": place.centres, "centre": own[1], "attempts": tried},
        "logged": logged.get(site[2]) == own,
        "blocks_logged": logged.get(site[2], (0, 0))[0],
    }


def _centre_log(pair: PublishedPair) -> dict[int, tuple[int, int]]:
    """Return blocks and centre of each site of a pair that is in the log of centres."""
    columns = ["site_order", "blocks", "centre"]
    rows = pair.rows("rng_event_centre_jitter", columns, **pair.key).to_pylist()
    return {row["site_order"]: (row["blocks"], row["centre"]) for row in rows}


def _same_tile(pair: PublishedPair, order: int, tile_id: int) -> list[int]:
    """Return the sites of a pair before one that are in its tile."""
    key = {**pair.key, "tile_id": tile_id}
    orders = pair.rows("s5_site_tile_assignment", ["site_order"], **key).column(0).to_pylist()
    return [one for one in orders if one < order]


def _centre_attempt(attempt: CentreAttempt, tile: Tile, verdict: str) -> dict[str, Any]:
    """Return one attempt at a centre with its words, its centre and its point."""
    nowhere = (None, None)
    centre = nowhere if attempt.centre is None else tile.point(*attempt.centre)
    point = nowhere if attempt.offset is None else tile.point(*attempt.offset)
    return {
        "attempt": attempt.number,
        **{f"w{number}": word for number, word in enumerate(attempt.words)},
        "rank": 0 if attempt.tail else attempt.rank,
        "x": attempt.disk[0],
        "y": attempt.disk[1],
        "centre_lon_deg": centre[0],
        "centre_lat_deg": centre[1],
        "lon_deg": point[0],
        "lat_deg": point[1],
        "verdict": verdict,
    }


def _tile(pair: PublishedPair, tile_id: int) -> Tile:
    return Tile(*_tile_row(pair, "tile_bounds", BOUNDS, tile_id).values())


def _tile_row(
    pair: PublishedPair, dataset_id: str, columns: Sequence[str], tile_id: int
) -> dict[str, Any]:
    key = {"country_iso": pair.country, "tile_id": tile_id}
    rows = pair.rows(dataset_id, columns, **key).to_pylist()
    if not rows:
        what = f"{pair.country}: {dataset_id} has no row of tile {tile_id}"
        hint = pair.reader.dataset(dataset_id).redo
        raise Segment1BError("E606_FK_TILE_INDEX", what, hint, **key)
    return dict(rows[0])


def _row(
    pair: PublishedPair, dataset_id: str, columns: Sequence[str], order: int
) -> dict[str, Any]:
    key = {**pair.key, "site_order": order}
    rows = pair.rows(dataset_id, columns, **key).to_pylist()
    if not rows:
        what = f"has no row for merchant {pair.label} in {pair.country}, site {order}"
        hint = f"the dataset was changed: {pair.reader.dataset(dataset_id).redo}"
        scope = {**pair.names, "site_order": order}
        raise Segment1BError("E609_RNG_EVENT_COUNT", f"{dataset_id} {what}", hint, **scope)
    return dict(rows[0])
