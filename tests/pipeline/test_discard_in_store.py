"""Discard in an object store: deletions that fail, and data that cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from discards import KNOWN, World, check_commits, publish, take_back
from segment1b.errors import Segment1BError
from segment1b.storage.objects import COMMITS, Objects
from worlds import digests, run


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return publish(tmp_path_factory.mktemp("discard"))


@pytest.fixture
def url(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Publish the world in a store whose objects are files; return its URL."""
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "cache"))
    shutil.copytree(world.root / "reference", tmp_path / "store" / "reference")
    url = f"file://{tmp_path / 'store'}"
    assert digests(run(Path(url), outlets=world.outlets, to_state="s9")) == world.digests
    return url


def objects(url: str) -> list[str]:
    return [entry.path for entry in Objects(url).list()]


@pytest.mark.slow
def test_a_discard_in_a_store_that_fails_at_every_deletion_is_completed_by_the_next(
    world: World, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, failures = Objects.delete, 0

    def one_and_no_more(store: Objects, paths: list[str]) -> None:
        if deleted:
            raise RuntimeError("killed")
        deleted.extend(paths)
        delete(store, paths)

    monkeypatch.setattr(Objects, "delete", one_and_no_more)
    while True:
        deleted: list[str] = []
        try:
            take_back(url, "s4")
            break
        except RuntimeError:
            failures += 1
        there = objects(url)
        commits = {path.rpartition("/")[0].removeprefix(f"{COMMITS}/") for path in there}
        assert KNOWN["validation_bundle_1B"].locate(world.tokens) not in commits
        check_commits(world, {path for path in there if "/upload=" not in path} | commits)
    assert failures > 16
    monkeypatch.setattr(Objects, "delete", delete)
    left = [path for path in objects(url) if any(f"/{word}" in path for word in ("s4_", "site_"))]
    assert all("/upload=" in path for path in left)
    assert digests(run(Path(url), to_state="s9")) == world.digests


@pytest.mark.slow
def test_a_damaged_dataset_in_a_store_is_discarded_by_a_machine_that_cannot_read_it(
    world: World, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (part,) = [path for path in objects(url) if "/s4_alloc_plan/" in path and "/upload=" in path]
    Objects(url).replace(part, b"short")
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "another"))
    with pytest.raises(Segment1BError) as caught:
        run(Path(url), to_state="s9")
    assert caught.value.code == "E_STORE_DAMAGED"
    assert "segment1b discard --from-state s4" in caught.value.hint
    take_back(url, "s4")
    assert part not in objects(url)
    assert digests(run(Path(url), to_state="s9")) == world.digests


def test_a_damaged_commit_in_a_store_is_to_be_deleted(world: World, url: str) -> None:
    (commit,) = [path for path in objects(url) if path.startswith(COMMITS) and "/s7_" in path]
    Objects(url).replace(commit, b"{}")
    with pytest.raises(Segment1BError, match="delete it and run again"):
        run(Path(url), to_state="s9")
    Objects(url).delete([commit])
    assert digests(run(Path(url), to_state="s9")) == world.digests
