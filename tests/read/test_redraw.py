"""Redrawing gives the producers' words and points, bit for bit, by other code."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import worlds
from read.conftest import KNOWN, rows_of, site_key
from segment1b.geo.placement import Clip
from segment1b.identity import Identity
from segment1b.laws import jitter as law
from segment1b.laws.philox import alloc_offsets, key_of, philox4x64
from segment1b.laws.philox import country_word as law_country_word
from segment1b.laws.philox import u01 as law_u01
from segment1b.read import redraw
from segment1b.read.redraw import BOUNDS, Jitter, Stream, Tile
from segment1b.read.redraw_centres import CentreDraws, CentreTile
from segment1b.storage.reader import Reader
from segment1b.storage.snapshot import Snapshot

SEEDS = st.integers(0, 2**64 - 1)
MERCHANTS = st.integers(1, 2**63 - 1)
COUNTRIES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=2)
UNIFORMS = st.integers(0, 2**64 - 1).map(lambda word: ((word >> 12) + 0.5) * 2.0**-52)


def same_bits(ours: float, theirs: Any) -> bool:
    return struct.pack("<d", ours) == struct.pack("<d", float(np.asarray(theirs).item()))


@given(
    st.sampled_from(["site_tile_assign", "in_cell_jitter", "alloc_offset"]),
    SEEDS,
    MERCHANTS,
    COUNTRIES,
    st.integers(0, 2**31),
    st.integers(1, 9),
)
def test_words_are_those_of_the_producers_philox(
    label: str, seed: int, merchant: int, country: str, order: int, attempts: int
) -> None:
    words = Stream(label, seed).words((merchant, country, order), attempts)
    counter = (np.arange(1, attempts + 1), order, merchant, law_country_word(country))
    produced = np.column_stack(philox4x64(counter, key_of(label, seed)))
    assert (words == produced).all()
    assert [redraw.u01(word) for word in words[0].tolist()] == law_u01(produced[0]).tolist()


@given(SEEDS, MERCHANTS, COUNTRIES)
def test_the_offset_of_a_pair_is_the_producers(seed: int, merchant: int, country: str) -> None:
    produced = alloc_offsets(seed, np.array([merchant], np.uint64), country)
    assert redraw.pair_offset(seed, merchant, country) == int(produced[0])


def tiles() -> st.SearchStrategy[Tile]:
    """Return tiles of any width, across the date line too."""

    def tile(west: float, width: float, south: float, height: float) -> Tile:
        east, lon = west + width, west + width / 2
        east = east - 360.0 if east > 180.0 else east
        lon = lon - 360.0 if lon >= 180.0 else lon
        return Tile(west, east, south, south + height, lon, south + height / 2)

    size = st.floats(1e-3, 1)
    return st.builds(tile, st.floats(-180, 179.999), size, st.floats(-90, 89), size)


WEST_OF_THE_DATE_LINE = Tile(179.99, -179.995, 0.0, 0.01, 179.9975, 0.005)
EAST_OF_THE_DATE_LINE = Tile(179.995, -179.99, 0.0, 0.01, -179.9975, 0.005)


@example(WEST_OF_THE_DATE_LINE, 0.875, 0.5, False)
@example(EAST_OF_THE_DATE_LINE, 0.125, 0.5, False)
@given(tiles(), UNIFORMS, UNIFORMS, st.booleans())
def test_a_point_is_that_of_the_producers_law(
    tile: Tile, u_lon: float, u_lat: float, clipped: bool
) -> None:
    arrays = [np.array([value]) for value in tile]
    west, east, south, north, lon, lat = arrays
    produced_in = law.Tiles(south=south, north=north, west=west, east=east, lat=lat, lon=lon)
    u = np.array([u_lon]), np.array([u_lat])
    clip, offset = None, law.in_tile(u, produced_in)
    if clipped:
        clip = Clip(tile.lon - 0.1, tile.lon + 0.2, tile.lat - 0.1, tile.lat, 0.0, 0.0)
        offset = law.in_box(u, [np.array([v]) for v in clip[:4]], produced_in)
    d_lon, d_lat = tile.offset(u_lon, u_lat, clip)
    assert same_bits(d_lon, offset[0])
    assert same_bits(d_lat, offset[1])
    point, produced = tile.point(d_lon, d_lat), law.point(*offset, produced_in)
    assert same_bits(point[0], produced[0])
    assert same_bits(point[1], produced[1])
    assert tile.contains(*point) == bool(law.inside_tile(*produced, produced_in)[0])


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Return a small world run to S6 with permuted sites."""
    folder = tmp_path_factory.mktemp("redraw")
    root = worlds.lay_small_world(folder / "root", degrees=1.0)
    outlets = worlds.outlet_list(folder / "outlets.csv", merchants=30)
    law = ("allocation.law=systematic",)
    result = worlds.run(root, outlets=outlets, settings=law, to_state="s6")
    return Snapshot(root, KNOWN, Identity(**result.identity).places)  # type: ignore[arg-type]


def test_every_published_word_of_s5_is_redrawn(published: Snapshot) -> None:
    logged: dict[tuple[int, str], list[int]] = {}
    for row in rows_of(published, "rng_event_site_tile_assign"):
        logged.setdefault((row["merchant_id"], row["legal_country_iso"]), []).append(row["word"])
    assert logged
    for (merchant, country), words in logged.items():
        seed = published.identity.seed
        assert redraw.assignment_words(seed, merchant, country, len(words)) == words


def test_every_published_offset_of_s6_is_redrawn_in_every_lane(published: Snapshot) -> None:
    reads = ("parameter_policy_1B", "world_countries")
    jitter = Jitter(Reader(published, reads, "E510_DISALLOWED_READ"), published.identity.seed)
    bounds = {
        (row["country_iso"], row["tile_id"]): Tile(*(row[name] for name in BOUNDS))
        for row in rows_of(published, "tile_bounds")
    }
    sites = {site_key(site): site for site in rows_of(published, "s6_site_jitter")}
    lanes: Counter[int] = Counter()
    for event in rows_of(published, "rng_event_in_cell_jitter"):
        key = site_key(event)
        site = sites[key]
        tile = bounds[key[1], site["tile_id"]]
        *_, last = jitter.attempts(key, tile, event["blocks"])
        offset = jitter.surface(key[1], tile) if event["lane"] == 2 else last.offset
        assert offset == (site["delta_lon_deg"], site["delta_lat_deg"])
        lanes[event["lane"]] += 1
    assert set(lanes) == {0, 1, 2}


def test_every_published_offset_at_a_centre_is_redrawn(published: Snapshot) -> None:
    reads = ("parameter_policy_1B", "world_countries")
    seed, policy = published.identity.seed, published.bound_policy["jitter"]["centres"]
    jitter = Jitter(Reader(published, reads, "E510_DISALLOWED_READ"), seed)
    draws = CentreDraws(jitter, policy, seed)
    names = ("tile_bounds", "tile_index", "tile_centres")
    tiles = [
        {(row["country_iso"], row["tile_id"]): row for row in rows_of(published, name)}
        for name in names
    ]
    sites = {site_key(site): site for site in rows_of(published, "s6_site_jitter")}
    verdicts: Counter[str] = Counter()
    for event in rows_of(published, "rng_event_centre_jitter"):
        key = site_key(event)
        bounds, index, counted = (rows[key[1], sites[key]["tile_id"]] for rows in tiles)
        tile = Tile(*(bounds[name] for name in BOUNDS))
        area, count = index["pixel_area_m2"], counted["centres"]
        place = CentreTile(tile, sites[key]["tile_id"], area, count)
        assert draws.admits(place)
        *earlier, last = draws.attempts(key, place, event["blocks"])
        assert (last.rank == event["centre"]) or not event["centre"]
        if event["centre"]:
            offset = (sites[key]["delta_lon_deg"], sites[key]["delta_lat_deg"])
            assert (last.verdict, last.offset) == ("accepted", offset)
        assert last.tail == (event["centre"] == 0 and event["blocks"] == 1)
        verdicts.update(attempt.verdict for attempt in (*earlier, last))
    assert len(verdicts) > 4
