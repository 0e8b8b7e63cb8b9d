"""The event logs as JSON lines: every draw, those of rejected attempts too, as numpy makes them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import worlds
from segment1b.contracts import Contracts, load
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.read.rng_export import rng_export
from segment1b.storage.durable import read_json

KNOWN: Contracts = load()
Events = list[dict[str, Any]]
FIELDS = {
    "ts_utc",
    "run_id",
    "seed",
    "parameter_hash",
    "manifest_fingerprint",
    "module",
    "substream_label",
    "rng_counter_before",
    "rng_counter_after",
    "draws",
    "blocks",
    "merchant_id",
    "legal_country_iso",
    "site_order",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, object]]:
    """Return a small world run to S6, coarse enough that many attempts fail, and its tokens."""
    folder = tmp_path_factory.mktemp("rng")
    root = worlds.lay_small_world(folder / "root", degrees=1.0)
    result = worlds.run(root, outlets=worlds.outlet_list(folder / "outlets.csv"), to_state="s6")
    report = result.outcomes[-1].report
    names = ("seed", "manifest_fingerprint", "parameter_hash")
    return root, Identity(**{name: report[name] for name in names}).places


def exported(world: tuple[Path, Mapping[str, object]], stream: str, out: Path) -> Events:
    root, places = world
    count = rng_export(root, KNOWN, places, stream, out)
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(events) == count
    return events


def replayed(event: dict[str, Any], label: str, seed: int) -> np.ndarray[Any, Any]:
    """Return the words of an event's block from its counter alone."""
    digest = hashlib.sha256(b"segment1b\0" + label.encode() + b"\0" + seed.to_bytes(8, "little"))
    counter = int(event["rng_counter_before"], 16)
    assert int(event["rng_counter_after"], 16) - counter == event["blocks"]
    words = [counter >> 64 * k & (2**64 - 1) for k in range(4)]
    words[0] -= 1
    key = np.frombuffer(digest.digest()[:16], "<u8")
    return np.random.Philox(key=key, counter=np.array(words, np.uint64)).random_raw(4)


def u01(word: int) -> float:
    return ((int(word) >> 12) + 0.5) * 2.0**-52


def rows_of(world: tuple[Path, Mapping[str, object]], dataset_id: str) -> dict[Any, dict[str, Any]]:
    root, places = world
    rows = pq.read_table(root / KNOWN[dataset_id].locate(places), partitioning=None).to_pylist()
    return {(r["merchant_id"], r["legal_country_iso"], r["site_order"]): r for r in rows}


def key(event: dict[str, Any]) -> tuple[Any, ...]:
    return event["merchant_id"], event["legal_country_iso"], event["site_order"]


def test_assignments(world: tuple[Path, Mapping[str, object]], tmp_path: Path) -> None:
    events = exported(world, "site_tile_assign", tmp_path / "s5.jsonl")
    sites = rows_of(world, "s5_site_tile_assignment")
    log = rows_of(world, "rng_event_site_tile_assign")
    assert [key(e) for e in events] == list(sites) == list(log)
    for event in events:
        assert set(event) == FIELDS | {"tile_id", "u"}
        assert event["tile_id"] == sites[key(event)]["tile_id"]
        assert event["u"] == u01(log[key(event)]["word"])
        assert (event["module"], event["draws"]) == ("1B.S5.assigner", "1")
        assert len(event["rng_counter_before"]) == 64
    for event in events[::97]:
        word = int(replayed(event, "site_tile_assign", 42)[0])
        assert word == log[key(event)]["word"]


def test_attempts(world: tuple[Path, Mapping[str, object]], tmp_path: Path) -> None:
    events = exported(world, "in_cell_jitter", tmp_path / "s6.jsonl")
    sites, log = rows_of(world, "s6_site_jitter"), rows_of(world, "rng_event_in_cell_jitter")
    root, places = world
    report = read_json(root / KNOWN["s6_run_report"].locate(places))
    assert len(events) == report["rng"]["events_total"]
    assert Counter(key(e) for e in events) == {k: row["blocks"] for k, row in log.items()}
    audit = read_json(root / KNOWN["rng_audit_log"].locate(places))
    more = {"attempt_index", "accepted", "delta_lat_deg", "delta_lon_deg"}
    for event in events:
        assert set(event) == FIELDS | more | {"sigma_lat_deg", "sigma_lon_deg"}
        site = key(event)
        last = event["attempt_index"] == log[site]["blocks"] and log[site]["lane"] != 2
        assert event["accepted"] == last
        if last:
            for name in ("delta_lat_deg", "delta_lon_deg"):
                assert event[name] == sites[site][name]
        assert event["ts_utc"] == audit["ts_utc"]
        assert (event["module"], event["draws"], event["blocks"]) == ("1B.S6.jitter", "2", 1)
    rejected = [e for e in events if not e["accepted"]]
    assert rejected
    tiles = rows_of_tiles(world)
    for event in rejected[::53]:
        if event["attempt_index"] > 64:
            continue
        w0, w1, _, _ = replayed(event, "in_cell_jitter", 42).tolist()
        tile = tiles[event["legal_country_iso"], sites[key(event)]["tile_id"]]
        width = tile["max_lon_deg"] - tile["min_lon_deg"]
        height = tile["max_lat_deg"] - tile["min_lat_deg"]
        assert event["delta_lon_deg"] == (u01(w0) - 0.5) * (width + 360 * (width < 0))
        assert event["delta_lat_deg"] == (u01(w1) - 0.5) * height


def rows_of_tiles(world: tuple[Path, Mapping[str, object]]) -> dict[Any, dict[str, Any]]:
    root, places = world
    rows = pq.read_table(root / KNOWN["tile_bounds"].locate(places), partitioning=None).to_pylist()
    return {(row["country_iso"], row["tile_id"]): row for row in rows}


def test_attempts_in_the_part_inside_the_country_are_replayed(
    world: tuple[Path, Mapping[str, object]], tmp_path: Path
) -> None:
    lanes = Counter(row["lane"] for row in rows_of(world, "rng_event_in_cell_jitter").values())
    assert lanes[1] > 0
    assert exported(world, "in_cell_jitter", tmp_path / "s6.jsonl")


def refused(world: tuple[Path, Mapping[str, object]], stream: str, out: Path) -> str:
    with pytest.raises(Segment1BError) as caught:
        rng_export(world[0], KNOWN, world[1], stream, out)
    return caught.value.code


def test_refusals(world: tuple[Path, Mapping[str, object]], tmp_path: Path) -> None:
    assert refused(world, "in_cell_jiter", tmp_path / "a") == "E_USAGE"
    (tmp_path / "there").write_text("")
    assert refused(world, "in_cell_jitter", tmp_path / "there") == "E_USAGE"
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_policy_that_is_not_the_runs_is_noticed(
    world: tuple[Path, Mapping[str, object]], tmp_path: Path
) -> None:
    root, places = world
    path = root / KNOWN["parameter_policy_1B"].locate(places)
    kept = path.read_text()
    try:
        held = json.loads(kept)
        held["policy"]["jitter"]["max_attempts_tile"] = 1
        path.write_text(json.dumps(held))
        assert refused(world, "in_cell_jitter", tmp_path / "out") == "E914_DRAW_REPLAY_MISMATCH"
    finally:
        path.write_text(kept)
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_absent(world: tuple[Path, Mapping[str, object]], tmp_path: Path) -> None:
    folder = world[0] / KNOWN["rng_event_in_cell_jitter"].locate(world[1])
    folder.rename(folder.with_name("away"))
    try:
        assert refused(world, "in_cell_jitter", tmp_path / "out") == "E609_RNG_EVENT_COUNT"
    finally:
        folder.with_name("away").rename(folder)
