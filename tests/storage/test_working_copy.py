"""A working copy: in line with its store, written behind it, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from published import (
    IMMUTABLE,
    KNOWN,
    ONE,
    OTHER,
    S3,
    TARGET,
    TOKENS,
    commit,
    publish,
    raises,
)
from segment1b.cli.app import app
from segment1b.identity import canonical_json
from segment1b.storage import store_root
from segment1b.storage import working_copy as copies
from segment1b.storage.objects import Objects
from segment1b.storage.publisher import publish_document
from segment1b.storage.receipts import Receipt
from segment1b.storage.root import find_root, open_root, root_at
from segment1b.storage.snapshot import Partition, Snapshot
from segment1b.storage.staging import Leftover
from segment1b.storage.store_root import StoreRoot
from segment1b.storage.working_copy import commit_of, commit_path

COMMIT = commit_path(TARGET)
POLICY = KNOWN["parameter_policy_1B"]
#: How a policy document looks.
DOCUMENT: dict[str, Any] = {
    "policy": {"prep": {}, "allocation": {}, "jitter": {}, "realism": {}},
    "surfaces": {},
}
Machine = Callable[[str], Path]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return the folder of a store whose objects a test can look at as files."""
    return tmp_path / "store"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a function that opens the store on a machine: its working copy, in line."""
    return lambda name: find_root(f"file://{tmp_path / 'store'}", tmp_path / name)


@pytest.fixture
def nothing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no object be small enough to be brought before it is read."""
    monkeypatch.setattr(copies, "_SMALL", 0)


def objects(store: Path) -> dict[str, bytes]:
    found = (path for path in store.rglob("*") if path.is_file())
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in sorted(found)}


def uploads(store: Path) -> list[str]:
    return sorted({path.parent.relative_to(store).as_posix() for path in store.rglob("part-*")})


def copied(root: Path) -> dict[str, bytes]:
    """Return what a working copy holds of the data root."""
    own = (".store", ".staging", ".locks")
    return {path: data for path, data in objects(root).items() if not path.startswith(own)}


def committed(root: Path) -> Receipt:
    """Publish a partition with its report."""
    receipt = publish(root, ONE)
    commit(root, receipt)
    return receipt


def partition(root: Path, **options: bool) -> Partition | None:
    return Snapshot(root, KNOWN, TOKENS).partition(S3.id, **options)


def publish_policy(root: Path, value: dict[str, Any] = DOCUMENT) -> tuple[Receipt, bool]:
    return publish_document(root, KNOWN, POLICY, TOKENS, value, root / ".staging")


def test_a_folder_of_its_own_has_no_files_of_a_store(tmp_path: Path) -> None:
    root = open_root(tmp_path / "plain")
    committed(root)
    assert not (root / ".store").exists()
    assert not (root / "control/commits").exists()


def test_parts_lie_under_an_upload_that_the_receipt_names(machine: Machine, store: Path) -> None:
    receipt = publish(machine("a"), ONE)
    held = commit_of(machine("a"), TARGET)
    assert held is not None
    assert held.receipt == receipt
    assert set(objects(store)) == {f"{TARGET}/{held.upload}/part-00000.parquet", COMMIT}


def test_an_upload_without_receipt_is_seen_by_no_reader(machine: Machine, store: Path) -> None:
    publish(machine("a"), ONE)
    (store / COMMIT).unlink()
    root = machine("b")
    root_at(root).fetch(["*"])
    assert copied(root) == {}
    # The machine that had it sees the same: what the store does not commit is gone.
    assert copied(machine("a")) == {}


def test_a_partition_without_report_is_committed_to_no_reader(machine: Machine) -> None:
    publish(machine("a"), ONE)
    root = machine("b")
    assert (root / TARGET).is_dir()
    assert partition(root) is None


@pytest.mark.usefixtures("nothing_at_once")
def test_large_partitions_come_when_they_are_read_and_are_judged_before(machine: Machine) -> None:
    first = machine("a")
    receipt = committed(first)
    root = machine("b")
    assert not (root / TARGET).exists()
    found = partition(root)
    assert found is not None
    assert found.receipt == receipt
    root_at(root).fetch([f"{TARGET}-not"])
    assert not (root / TARGET).exists()
    root_at(root).fetch([TARGET])
    assert copied(root) == copied(first)
    # It stays: the next command brings it no second time.
    before = (root / TARGET / "part-00000.parquet").stat().st_ino
    root_at(machine("b")).fetch([TARGET])
    assert (root / TARGET / "part-00000.parquet").stat().st_ino == before


@pytest.mark.usefixtures("nothing_at_once")
def test_verify_brings_a_partition_and_hashes_it(machine: Machine, store: Path) -> None:
    committed(machine("a"))
    root = machine("b")
    (part,) = store.rglob("part-*")
    part.write_bytes(part.read_bytes()[::-1])
    assert partition(root) is not None
    with raises("E_STORE_DAMAGED"):
        partition(root, verify=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:],
        lambda _: None,
    ],
    ids=["truncated", "changed", "absent"],
)
@pytest.mark.code("E_STORE_DAMAGED")
def test_an_object_that_is_not_what_its_receipt_says_is_named(
    machine: Machine, store: Path, damage: Callable[[bytes], bytes | None]
) -> None:
    publish(machine("a"), ONE)
    (part,) = store.rglob("part-*")
    data = damage(part.read_bytes())
    part.unlink()
    if data is not None:
        part.write_bytes(data)
    with raises("E_STORE_DAMAGED", r"part-00000\.parquet"):
        machine("b")
    assert list((store.parent / "b").rglob("part-*")) == []


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"files": None}, "is no receipt"),
        ({"partition_path": "data/elsewhere"}, "receipt of something else"),
        ({"upload": "../../../upload"}, "receipt of something else"),
        *(
            ({"files": [{"path": path, "bytes": 1, "sha256_hex": "0"}]}, "receipt of something")
            for path in ("../../out.parquet", "/out.parquet", 7)
        ),
    ],
    ids=str,
)
def test_a_receipt_that_is_none_or_leads_elsewhere_is_refused(
    machine: Machine, store: Path, wrong: dict[str, Any], problem: str
) -> None:
    publish(machine("a"), ONE)
    path = store / COMMIT
    path.write_bytes(canonical_json({**json.loads(path.read_bytes()), **wrong}))
    with raises("E_STORE_DAMAGED", problem):
        machine("b")


def test_objects_named_like_the_copy_s_own_files_stay_in_the_store(
    machine: Machine, store: Path
) -> None:
    root = machine("a")
    before = (root / ".store/origin.json").read_bytes()
    for name in (".store/origin.json", ".locks/x.lock", ".staging/x"):
        (store / name).parent.mkdir()
        (store / name).write_text("foreign")
    machine("a")
    assert (root / ".store/origin.json").read_bytes() == before
    assert copied(root) == {}


def test_the_copy_follows_what_is_replaced_removed_and_added(machine: Machine, store: Path) -> None:
    root = machine("a")
    for name in ("x/one.json", "x/two.json", "y/three.json"):
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_text("first")
    assert set(copied(machine("a"))) == {"x/one.json", "x/two.json", "y/three.json"}
    (store / "x/one.json").write_text("other")
    (store / "y/three.json").unlink()
    (store / "z.json").write_text("new")
    (root / "x/stray.json").write_text("not in the store")
    assert copied(machine("a")) == {
        "x/one.json": b"other",
        "x/two.json": b"first",
        "z.json": b"new",
    }
    assert not (root / "y").exists()


@pytest.mark.usefixtures("nothing_at_once")
def test_a_large_file_that_changed_is_brought_anew(machine: Machine, store: Path) -> None:
    root = machine("a")
    (store / "population.tif").write_bytes(b"old")
    root_at(machine("a")).fetch(["population.tif"])
    (store / "population.tif").write_bytes(b"new")
    machine("a")
    assert not (root / "population.tif").exists()
    root_at(root).fetch(["*.tif"])
    assert (root / "population.tif").read_bytes() == b"new"


def test_records_of_failures_are_neither_brought_nor_dropped(machine: Machine, store: Path) -> None:
    root = machine("a")
    for folder, name in ((store, "theirs.json"), (root, "own.json")):
        (folder / "control/failures").mkdir(parents=True)
        (folder / "control/failures" / name).write_text("{}")
    assert set(copied(machine("a"))) == {"control/failures/own.json"}


def test_the_second_writer_of_the_same_content_takes_the_first_one_s_files(
    machine: Machine, store: Path
) -> None:
    first, second = machine("a"), machine("b")
    receipt = publish(first, ONE)
    (whole,) = ONE
    assert publish(second, [whole.slice(0, 1)], [whole.slice(1)]) == receipt
    assert copied(second) == copied(first)
    assert len(uploads(store)) == 1


def test_the_loser_of_a_race_removes_its_upload(
    machine: Machine, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = machine("a"), machine("b")
    # The first commits while the second uploads.
    monkeypatch.setattr(StoreRoot, "_committed", lambda _root, _folder: None)
    receipt = publish(first, ONE)
    assert publish(second, ONE) == receipt
    assert len(uploads(store)) == 1
    before = objects(store)
    with raises(IMMUTABLE):
        publish(machine("c"), OTHER)
    assert objects(store) == before


def test_a_put_whose_answer_was_lost_finds_itself(
    machine: Machine, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Objects.create

    def deaf(self: Objects, path: str, data: bytes) -> str | None:
        create(self, path, data)
        return create(self, path, data)

    monkeypatch.setattr(Objects, "create", deaf)
    root = machine("a")
    publish(root, ONE)
    assert len(uploads(store)) == 1
    publish_policy(root)
    assert copied(machine("b")) == copied(root)


def test_a_store_that_refuses_what_it_does_not_have_is_unavailable(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Objects, "create", lambda *_: None)
    monkeypatch.setattr(store_root, "_TRIES", 2)
    with raises("E_STORE_UNAVAILABLE"):
        publish(machine("a"), ONE)


def test_a_crash_between_store_and_copy_heals(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    root = machine("a")
    with monkeypatch.context() as patch:
        patch.setattr(copies.WorkingCopy, "take", crash)
        with pytest.raises(KeyboardInterrupt):
            publish(root, ONE)
    assert not (root / TARGET).exists()
    assert (machine("a") / TARGET).is_dir()
    receipt = committed(root)
    assert copied(root) == copied(machine("b"))
    found = partition(machine("b"))
    assert found is not None
    assert found.receipt == receipt


def test_a_document_is_created_once(machine: Machine, store: Path) -> None:
    first, second = machine("a"), machine("b")
    own = publish_policy(first)
    assert (own[1], publish_policy(second)) == (False, (own[0], True))
    third = machine("c")
    shutil.rmtree(third / "data")  # As if it had been published since.
    with raises("E_PARAMETER_HASH_REUSED"):
        publish_policy(third, {**DOCUMENT, "surfaces": {"world_countries": "3" * 64}})
    assert objects(store) == {POLICY.locate(TOKENS): canonical_json(DOCUMENT)}


@pytest.mark.parametrize("in_memory", [64 << 20, 2])
def test_a_surface_is_laid_once(
    machine: Machine, store: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(store_root, "_IN_MEMORY", in_memory)
    root, made = machine("a"), store.with_name("made")
    made.write_bytes(b"surface")
    assert root_at(root).create("reference/surface", made)
    assert not made.exists()
    for held in (root, machine("b")):
        (held / "reference/surface").unlink()  # As if it had been published since.
        made.write_bytes(b"another one")
        assert not root_at(held).create("reference/surface", made)
        assert (held / "reference/surface").read_bytes() == b"surface"
        assert made.exists()
    assert (store / "reference/surface").read_bytes() == b"surface"


def test_uncommitted_uploads_are_removed_when_they_are_old(
    machine: Machine, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine("a")
    publish(root, ONE)
    (named,) = uploads(store)
    before = objects(store)
    left = sorted((f"{TARGET}/upload={'0' * 32}", f"data/other/upload={'1' * 32}"))
    for prefix in left:
        shutil.copytree(store / named, store / prefix)
    size = len(before[f"{named}/part-00000.parquet"])
    gone = [Leftover(Path(prefix), size) for prefix in left]
    clean = root_at(root).clean
    assert clean(timedelta(hours=1), dry_run=False) == []
    assert clean(timedelta(seconds=-60), dry_run=True) == gone
    assert uploads(store) == sorted([named, *left])
    assert clean(timedelta(seconds=-60), dry_run=False) == gone
    assert objects(store) == before

    # The command does the same.
    shutil.copytree(store / named, store / left[1], dirs_exist_ok=True)
    monkeypatch.setenv("SEGMENT1B_CACHE", str(store.with_name("cache")))
    words = ["clean", "--data-root", store.as_uri(), "--json", "--older-than-hours"]
    for more, listed, stays in (
        (["24"], [], True),
        (["0", "--dry-run"], left[1:], True),
        (["0"], left[1:], False),
    ):
        done = CliRunner().invoke(app, [*words, *more], catch_exceptions=False)
        assert [one["path"] for one in json.loads(done.stdout)["leftovers"]] == listed
        assert (store / left[1] / "part-00000.parquet").exists() is stays
    assert objects(store) == before


def test_what_a_killed_command_was_bringing_is_removed(machine: Machine) -> None:
    root = machine("a")
    (root / ".store/left").mkdir()
    (root / ".store/left/part").write_bytes(b"half")
    machine("a")
    assert not (root / ".store/left").exists()
