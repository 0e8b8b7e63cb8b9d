"""Replays how one outlet came to its coordinate, attempt by attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from segment1b.errors import Segment1BError, redo
from segment1b.read.gate import Which
from segment1b.read.lookup import PublishedPair, open_pair
from segment1b.read.redraw import BOUNDS, Jitter, Site, Tile, assignment_words, pair_offset

_GOLDEN_STEP = 0x9E3779B97F4A7C15
_READS = (
    "s4_alloc_plan",
    "s5_site_tile_assignment",
    "s6_site_jitter",
    "s7_site_synthesis",
    "rng_event_in_cell_jitter",
    "tile_bounds",
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
    event = _row(pair, "rng_event_in_cell_jitter", ["blocks", "lane"], site)
    jitter = Jitter(pair.reader, pair.identity.seed)
    placed = _placed(jitter, (pair.merchant, country, site), _tile(pair, tile_id))
    published = _row(pair, "s7_site_synthesis", ["lon_deg", "lat_deg"], site)
    return {
        **pair.identity.tokens,
        **pair.names,
        "site_order": site,
        **_outlet(pair, site),
        **assignment,
        **placed,
        "blocks_logged": event["blocks"],
        "published": published,
        "agrees": placed["point"] == published
        and placed["lane"] == event["lane"]
        and s5.get("tile_id", tile_id) == tile_id,
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
    country = jitter.country(site[1])
    tried = []
    for attempt in jitter.attempts(site, tile, jitter.most_attempts):
        lon, lat = tile.point(*attempt.offset)
        inside = tile.contains(lon, lat)
        accepted = inside and bool(country.contains(np.array([lon]), np.array([lat]))[0])
        tried.append(
            {
                "attempt": attempt.number,
                "w0": attempt.words[0],
                "w1": attempt.words[1],
                "u_lon": attempt.u[0],
                "u_lat": attempt.u[1],
                "lon_deg": lon,
                "lat_deg": lat,
                "verdict": "accepted"
                if accepted
                else "outside the country"
                if inside
                else "outside its tile",
            }
        )
        if accepted:
            lane = int(attempt.number > jitter.tile_attempts)
            break
    else:
        lane = 2
        lon, lat = tile.point(*jitter.surface(site[1], tile))
    return {"attempts": tried, "lane": lane, "point": {"lon_deg": lon, "lat_deg": lat}}


def _tile(pair: PublishedPair, tile_id: int) -> Tile:
    key = {"country_iso": pair.country, "tile_id": tile_id}
    rows = pair.rows("tile_bounds", BOUNDS, **key).to_pylist()
    if not rows:
        what = f"{pair.country}: tile {tile_id} has no bounds"
        raise Segment1BError("E606_FK_TILE_INDEX", what, redo("s1"), **key)
    return Tile(*rows[0].values())


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
