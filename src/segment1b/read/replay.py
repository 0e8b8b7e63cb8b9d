"""Replay: how one outlet came to its coordinate, with numpy's own Philox, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from segment1b.errors import Segment1BError, redo
from segment1b.geo.countries import read_countries
from segment1b.geo.placement import Clip, Country
from segment1b.identity import Identity
from segment1b.laws.philox import country_word, key_of
from segment1b.pipeline.decide import find_identity
from segment1b.storage.durable import read_object
from segment1b.storage.reader import Reader
from segment1b.storage.root import find_root

_KEY = ["merchant_id", "legal_country_iso", "site_order"]
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
    data_root: Path,
    merchant: int,
    country: str,
    site: int,
    given: Mapping[str, Any],
    dictionary: Path | None,
) -> dict[str, Any]:
    """Return how one outlet came to its coordinate.

    Returns:
        requirement (n of the pair), quotas (sites by tile), `s5` (match, word and rank, or point),
        tile_id, `attempts` (words, numbers in (0, 1), candidate point, verdict), lane, point
        (lon_deg, lat_deg) as computed here, published (the same from s7_site_synthesis), agrees.

    Raises:
        Segment1BError: E_USAGE when there is no such site.
    """
    root = find_root(data_root)
    known, identity = find_identity(root, dictionary, given)
    reader = Reader(root, known, identity.places, _READS, "E510_DISALLOWED_READ", {}, {})
    reader.fetch(_READS)
    policy = read_object(reader.file("parameter_policy_1B"))["policy"]
    assigned = _pair(reader, "s5_site_tile_assignment", ["tile_id"], merchant, country)
    own = [row for row in assigned if row["site_order"] == site]
    if not own:
        raise Segment1BError(
            "E_USAGE",
            f"merchant {merchant} has no site {site} in {country}",
            f"it has {len(assigned)} there; codes are two upper-case letters",
        )
    tile_id = own[0]["tile_id"]
    plan = _pair(reader, "s4_alloc_plan", ["tile_id", "n_sites_tile"], merchant, country)
    found: dict[str, Any] = {
        **identity.tokens,
        "merchant_id": merchant,
        "country_iso": country,
        "site_order": site,
        "requirement": len(assigned),
        "quotas": {row["tile_id"]: row["n_sites_tile"] for row in plan},
        "s5": _match(
            identity, policy["allocation"]["law"], len(assigned), (merchant, country, site), plan
        ),
        "tile_id": tile_id,
    }
    bounds = _bounds(reader, country, tile_id)
    event = _one(reader, "rng_event_in_cell_jitter", ["blocks", "lane"], merchant, country, site)
    found |= _attempts(reader, identity, policy["jitter"], found, bounds, event)
    point = _one(reader, "s7_site_synthesis", ["lon_deg", "lat_deg"], merchant, country, site)
    found["published"] = {"lon_deg": point["lon_deg"], "lat_deg": point["lat_deg"]}
    found["agrees"] = (
        found["point"] == found["published"]
        and found["lane"] == event["lane"]
        and found["s5"].get("tile_id", tile_id) == tile_id
    )
    return found


def raw_words(
    identity: Identity, label: str, attempt: int, site: int, merchant: int, country: str
) -> list[int]:
    """Return the four words of a draw from numpy's own generator.

    numpy adds 1 to the first counter word before its first block, and takes a list of large
    integers for floats: hence `attempt - 1` and the uint64 arrays.
    """
    key = np.array(key_of(label, identity.seed), np.uint64)
    counter = np.array([attempt - 1, site, merchant, country_word(country)], np.uint64)
    return [int(word) for word in np.random.Philox(key=key, counter=counter).random_raw(4)]


def unit(word: int) -> float:
    """Return ((word >> 12) + 0.5) * 2^-52: exact in binary64, strictly between 0 and 1."""
    return ((word >> 12) + 0.5) * 2.0**-52


def _match(
    identity: Identity, law: str, n: int, key: tuple[int, str, int], plan: list[dict[str, Any]]
) -> dict[str, Any]:
    merchant, country, site = key
    if law == "stable":
        offset = raw_words(identity, "alloc_offset", 1, 0, merchant, country)[0]
        fraction = (offset + site * 0x9E3779B97F4A7C15) % 2**64
        return {"match": "own_point", "offset": offset, "fraction_of_the_line": fraction / 2**64}
    words = [
        raw_words(identity, "site_tile_assign", 1, j, merchant, country)[0] for j in range(1, n + 1)
    ]
    order = sorted(range(1, n + 1), key=lambda j: (words[j - 1], j))
    rank = order.index(site) + 1
    dealt = [row["tile_id"] for row in plan for _ in range(row["n_sites_tile"])]
    return {"match": "permuted", "word": words[site - 1], "rank": rank, "tile_id": dealt[rank - 1]}


def _attempts(
    reader: Reader,
    identity: Identity,
    policy: dict[str, int],
    found: dict[str, Any],
    bounds: dict[str, float],
    event: dict[str, int],
) -> dict[str, Any]:
    """Replay the attempts up to the accepted one."""
    code = found["country_iso"]
    shape = Country(read_countries(reader.file("world_countries"))[code])
    clip: Clip | None = None
    tried = []
    last = policy["max_attempts_tile"] + policy["max_attempts_clip"]
    for attempt in range(1, last + 1):
        w0, w1, _, _ = raw_words(
            identity, "in_cell_jitter", attempt, found["site_order"], found["merchant_id"], code
        )
        if attempt > policy["max_attempts_tile"] and clip is None:
            clip = _clip(shape, bounds)
        point = _point(*_offset(unit(w0), unit(w1), bounds, clip), bounds)
        verdict = _verdict(shape, point, bounds)
        tried.append(
            {
                "attempt": attempt,
                "w0": w0,
                "w1": w1,
                "u_lon": unit(w0),
                "u_lat": unit(w1),
                "lon_deg": point[0],
                "lat_deg": point[1],
                "verdict": verdict,
            }
        )
        if verdict == "accepted":
            break
    else:
        clip = _clip(shape, bounds)
        point = _point(
            clip.lon - bounds["centroid_lon_deg"], clip.lat - bounds["centroid_lat_deg"], bounds
        )
    accepted = bool(tried) and tried[-1]["verdict"] == "accepted"
    lane = 2 if not accepted else int(len(tried) > policy["max_attempts_tile"])
    return {
        "attempts": tried,
        "lane": lane,
        "blocks_logged": event["blocks"],
        "point": {"lon_deg": point[0], "lat_deg": point[1]},
    }


def _offset(u0: float, u1: float, b: dict[str, float], clip: Clip | None) -> tuple[float, float]:
    if clip is not None:
        lon = (clip.west + u0 * (clip.east - clip.west)) - b["centroid_lon_deg"]
        return lon, (clip.south + u1 * (clip.north - clip.south)) - b["centroid_lat_deg"]
    width = b["max_lon_deg"] - b["min_lon_deg"]
    width = width + 360.0 if width < 0 else width
    return (u0 - 0.5) * width, (u1 - 0.5) * (b["max_lat_deg"] - b["min_lat_deg"])


def _point(d_lon: float, d_lat: float, b: dict[str, float]) -> tuple[float, float]:
    lon = b["centroid_lon_deg"] + d_lon
    lon = lon - 360.0 if lon >= 180.0 else lon + 360.0 if lon < -180.0 else lon
    return lon, b["centroid_lat_deg"] + d_lat


def _verdict(shape: Country, point: tuple[float, float], b: dict[str, float]) -> str:
    lon, lat = point
    after, before = lon >= b["min_lon_deg"], lon <= b["max_lon_deg"]
    across = b["min_lon_deg"] > b["max_lon_deg"]
    if not (
        b["min_lat_deg"] <= lat <= b["max_lat_deg"]
        and ((after or before) if across else (after and before))
    ):
        return "outside its tile"
    inside = shape.contains(np.array([lon]), np.array([lat]))[0]
    return "accepted" if inside else "outside the country"


def _clip(shape: Country, b: dict[str, float]) -> Clip:
    clip = shape.clip(
        b["min_lon_deg"],
        b["min_lat_deg"],
        b["max_lon_deg"],
        b["max_lat_deg"],
        b["centroid_lon_deg"],
    )
    assert clip is not None
    return clip


def _bounds(reader: Reader, country: str, tile_id: int) -> dict[str, float]:
    partition = reader.partition("tile_bounds")
    names = [c.name for c in partition.dataset.columns if c.type == "float64"]
    where = {"country_iso": (country, country), "tile_id": (tile_id, tile_id)}
    for table in reader.row_groups(partition, ["tile_id", *names], where):
        mine = table.filter(pa.array(table.column("tile_id").to_numpy() == tile_id))
        if mine.num_rows:
            return {name: float(mine.column(name)[0].as_py()) for name in names}
    raise Segment1BError(
        "E606_FK_TILE_INDEX",
        f"{country}: tile {tile_id} has no bounds",
        redo("s1"),
        country_iso=country,
        tile_id=tile_id,
    )


def _pair(
    reader: Reader, dataset_id: str, columns: list[str], merchant: int, country: str
) -> list[dict[str, Any]]:
    partition = reader.partition(dataset_id)
    wanted = [*[c.name for c in partition.dataset.columns if c.name in _KEY], *columns]
    rows: list[dict[str, Any]] = []
    for table in reader.row_groups(partition, wanted, {"merchant_id": (merchant, merchant)}):
        mine = table.filter(pa.array(table.column("merchant_id").to_numpy() == merchant))
        rows += [row for row in mine.to_pylist() if row["legal_country_iso"] == country]
    return rows


def _one(
    reader: Reader, dataset_id: str, columns: list[str], merchant: int, country: str, site: int
) -> dict[str, Any]:
    rows = _pair(reader, dataset_id, columns, merchant, country)
    own = [row for row in rows if row["site_order"] == site]
    if not own:
        raise Segment1BError(
            "E609_RNG_EVENT_COUNT",
            f"{dataset_id} has no row for merchant {merchant} in {country}, site {site}",
            f"the dataset was changed: {reader.dataset(dataset_id).redo}",
            merchant_id=merchant,
            country_iso=country,
            site_order=site,
        )
    return own[0]
