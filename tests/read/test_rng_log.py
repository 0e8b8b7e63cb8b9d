"""The event logs as JSON lines: every draw, those of rejected attempts too, as numpy makes them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import worlds
from read.conftest import KNOWN, rows_of, site_key
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.read.rng_export import rng_export
from segment1b.storage.snapshot import Snapshot

Events = list[dict[str, Any]]
FIELDS = {
    *("ts_utc", "run_id", "seed", "parameter_hash", "manifest_fingerprint"),
    *("module", "substream_label", "rng_counter_before", "rng_counter_after", "draws", "blocks"),
    *("merchant_id", "legal_country_iso", "site_order"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Return a small world run to S6, coarse enough that many attempts fail."""
    folder = tmp_path_factory.mktemp("rng")
    root = worlds.lay_small_world(folder / "root", degrees=1.0)
    outlets, law = worlds.outlet_list(folder / "outlets.csv"), ("allocation.law=largest_remainder",)
    result = worlds.run(root, outlets=outlets, settings=law, to_state="s6")
    return Snapshot(root, KNOWN, Identity(**result.identity).places)  # type: ignore[arg-type]


def exported(world: Snapshot, stream: str, out: Path) -> Events:
    count = rng_export(world, stream, out)
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


def by_site(world: Snapshot, dataset_id: str) -> dict[Any, dict[str, Any]]:
    return {site_key(row): row for row in rows_of(world, dataset_id)}


def test_assignments(world: Snapshot, tmp_path: Path) -> None:
    events = exported(world, "site_tile_assign", tmp_path / "s5.jsonl")
    sites = by_site(world, "s5_site_tile_assignment")
    log = by_site(world, "rng_event_site_tile_assign")
    assert [site_key(e) for e in events] == list(sites) == list(log)
    for event in events:
        assert set(event) == FIELDS | {"tile_id", "u"}
        assert event["tile_id"] == sites[site_key(event)]["tile_id"]
        assert event["u"] == u01(log[site_key(event)]["word"])
        assert (event["module"], event["draws"]) == ("1B.S5.assigner", "1")
        assert len(event["rng_counter_before"]) == 64
    for event in events[::97]:
        word = int(replayed(event, "site_tile_assign", 42)[0])
        assert word == log[site_key(event)]["word"]


def test_attempts(world: Snapshot, tmp_path: Path) -> None:
    events = exported(world, "in_cell_jitter", tmp_path / "s6.jsonl")
    sites, log = by_site(world, "s6_site_jitter"), by_site(world, "rng_event_in_cell_jitter")
    assert len(events) == world.document("s6_run_report")["rng"]["events_total"]
    assert Counter(site_key(e) for e in events) == {k: row["blocks"] for k, row in log.items()}
    audit = world.document("rng_audit_log")
    more = {"attempt_index", "accepted", "delta_lat_deg", "delta_lon_deg"}
    for event in events:
        assert set(event) == FIELDS | more | {"sigma_lat_deg", "sigma_lon_deg"}
        site = site_key(event)
        last = event["attempt_index"] == log[site]["blocks"] and log[site]["lane"] != 2
        assert event["accepted"] == last
        if last:
            for name in ("delta_lat_deg", "delta_lon_deg"):
                assert event[name] == sites[site][name]
        assert event["ts_utc"] == audit["ts_utc"]
        assert (event["module"], event["draws"], event["blocks"]) == ("1B.S6.jitter", "2", 1)
    assert 1 in {row["lane"] for row in log.values()}, "a part inside the country is replayed too"
    rejected = [e for e in events if not e["accepted"]]
    assert rejected
    tiles = {(row["country_iso"], row["tile_id"]): row for row in rows_of(world, "tile_bounds")}
    for event in rejected[::53]:
        if event["attempt_index"] > 64:
            continue
        w0, w1, _, _ = replayed(event, "in_cell_jitter", 42).tolist()
        tile = tiles[event["legal_country_iso"], sites[site_key(event)]["tile_id"]]
        width = tile["max_lon_deg"] - tile["min_lon_deg"]
        height = tile["max_lat_deg"] - tile["min_lat_deg"]
        assert event["delta_lon_deg"] == (u01(w0) - 0.5) * (width + 360 * (width < 0))
        assert event["delta_lat_deg"] == (u01(w1) - 0.5) * height


def test_attempts_at_centres(world: Snapshot, tmp_path: Path) -> None:
    events = exported(world, "centre_jitter", tmp_path / "centres.jsonl")
    sites, log = by_site(world, "s6_site_jitter"), by_site(world, "rng_event_centre_jitter")
    assert len(events) == world.document("s6_run_report")["centres"]["events_total"]
    assert Counter(site_key(e) for e in events) == {k: row["blocks"] for k, row in log.items()}
    more = {"attempt_index", "accepted", "centre", "delta_lat_deg", "delta_lon_deg"}
    for event in events:
        assert set(event) == FIELDS | more
        row, site = log[site_key(event)], sites[site_key(event)]
        last = event["attempt_index"] == row["blocks"]
        assert event["accepted"] == (last and row["centre"] > 0)
        if event["accepted"]:
            names = ("delta_lat_deg", "delta_lon_deg")
            assert {name: event[name] for name in names} == {name: site[name] for name in names}
            assert event["centre"] == row["centre"]
        assert (event["module"], event["draws"]) == ("1B.S6.jitter", "4")
    tail = [event for event in events if not event["centre"]]
    assert tail
    for event in tail[:9]:
        words = replayed(event, "centre_jitter", 42).tolist()
        assert words[0] < 50 * (2**64 // 1000)


def test_without_centres_there_are_none_to_export(world: Snapshot, tmp_path: Path) -> None:
    path = world.path("parameter_policy_1B")
    kept = path.read_text()
    try:
        held = json.loads(kept)
        del held["policy"]["jitter"]["centres"]
        path.write_text(json.dumps(held))
        assert refused(world, "centre_jitter", tmp_path / "out") == "E_USAGE"
    finally:
        path.write_text(kept)


def refused(world: Snapshot, stream: str, out: Path) -> str:
    with pytest.raises(Segment1BError) as caught:
        rng_export(world, stream, out)
    return caught.value.code


def test_refusals(world: Snapshot, tmp_path: Path) -> None:
    assert refused(world, "in_cell_jiter", tmp_path / "a") == "E_USAGE"
    (tmp_path / "there").write_text("")
    assert refused(world, "in_cell_jitter", tmp_path / "there") == "E_USAGE"
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_policy_that_is_not_the_runs_is_noticed(world: Snapshot, tmp_path: Path) -> None:
    path = world.path("parameter_policy_1B")
    kept = path.read_text()
    try:
        held = json.loads(kept)
        held["policy"]["jitter"]["max_attempts_tile"] = 1
        path.write_text(json.dumps(held))
        assert refused(world, "in_cell_jitter", tmp_path / "out") == "E914_DRAW_REPLAY_MISMATCH"
    finally:
        path.write_text(kept)
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_is_absent(world: Snapshot, tmp_path: Path) -> None:
    folder = world.path("rng_event_in_cell_jitter")
    folder.rename(folder.with_name("away"))
    try:
        assert refused(world, "in_cell_jitter", tmp_path / "out") == "E609_RNG_EVENT_COUNT"
    finally:
        folder.with_name("away").rename(folder)
