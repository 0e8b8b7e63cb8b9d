"""Killed at any instant, a run leaves nothing or a whole dataset, and goes on where it stopped."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import time
from pathlib import Path

import psutil
import pytest

import worlds
from segment1b import contracts
from segment1b.storage.durable import read_json
from segment1b.storage.receipts import Receipt, hash_files


def partitions_with_report(root: Path) -> int:
    """Check every visible partition that has a report, byte by byte; return how many there are."""
    known, whole = contracts.load(), 0
    for dataset in known:
        if dataset.receipt_in is None or dataset.kind == "document":
            continue
        report_pattern = known[dataset.receipt_in].path
        for token in ("seed", "manifest_fingerprint", "parameter_hash", "run_id"):
            report_pattern = report_pattern.replace("{" + token + "}", "*")
        for report_path in root.glob(report_pattern):
            receipt = Receipt.from_json(read_json(report_path)[dataset.receipt_field])
            folder = root / receipt.partition_path
            names = [path.name for path in folder.iterdir()]
            files, composite = hash_files(folder, names)
            assert files == receipt.files
            assert composite == receipt.sha256_hex
            whole += 1
    return whole


def run_reports(root: Path) -> int:
    """Count the states that have published."""
    return sum(1 for _ in (root / "control").glob("**/s?_run_report.json"))


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_ends_with_the_digests_of_an_undisturbed_one(
    tmp_path: Path, kills: int
) -> None:
    world = worlds.lay_small_world(tmp_path / "world", degrees=1.0)
    outlets = worlds.outlet_list(tmp_path / "outlets.csv")
    shutil.copytree(world, tmp_path / "undisturbed")
    started = time.monotonic()
    undisturbed = worlds.run(tmp_path / "undisturbed", outlets=outlets, workers=2, to_state="s9")
    longest = (time.monotonic() - started) / 3
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["worlds", "segment1b.pipeline.execution", "segment1b.states"])
    chance = random.Random(1)
    root, finished, seen = tmp_path / "root-0", 0, set()
    shutil.copytree(world, root)
    for kill in range(kills):
        child = context.Process(target=worlds.run_list, args=(root, outlets, "threads"))
        there = run_reports(root)
        child.start()
        # Every second kill waits for one more state, so that the kills fall into many.
        while kill % 2 and child.is_alive() and run_reports(root) == there:
            time.sleep(0.002)
        child.join(chance.uniform(0.0, 0.05) if kill % 2 else chance.uniform(0.02, longest))
        child.kill()
        child.join()
        seen.add(partitions_with_report(root))
        if child.exitcode == 0:
            # Whole before the kill came: check it and start over from nothing.
            assert worlds.digests(
                worlds.run(root, outlets=outlets, to_state="s9")
            ) == worlds.digests(undisturbed)
            finished += 1
            root = tmp_path / f"root-{finished}"
            shutil.copytree(world, root)
    # Each second kill lets one more state publish; S0 alone publishes no partition.
    assert len(seen) >= min(kills // 2, 4), "the kills never fell into different states"
    assert worlds.digests(worlds.run(root, outlets=outlets, to_state="s9")) == worlds.digests(
        undisturbed
    )
    assert not [p for p in (root / ".staging").iterdir() if p.is_dir()]


def test_workers_end_when_their_run_is_killed(tmp_path: Path) -> None:
    outlets = worlds.outlet_list(tmp_path / "outlets.csv")
    root = worlds.lay_small_world(tmp_path / "root")
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=worlds.run_list, args=(root, outlets, "processes"))
    child.start()
    workers: list[psutil.Process] = []
    deadline = time.monotonic() + 60
    while len(workers) < 2 and time.monotonic() < deadline and child.is_alive():
        workers = psutil.Process(child.pid).children(recursive=True)
        time.sleep(0.02)
    child.kill()
    child.join()
    assert workers
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
