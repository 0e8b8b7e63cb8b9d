"""A working copy: in line with its store, written behind it, whole or not at all."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from published import KNOWN, S3, TOKENS, publish, requirements, s3_report
from segment1b.cli.app import app
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.storage import store_root
from segment1b.storage import working_copy as copies
from segment1b.storage.publisher import (
    publish_document,
    publish_once,
    publish_report,
)
from segment1b.storage.root import find_root, open_root, root_at
from segment1b.storage.snapshot import Snapshot
from segment1b.storage.store_root import StoreRoot
from segment1b.storage.working_copy import commit_of, commit_path

ONE = [requirements((1, "NO", 2), (1, "SE", 1), (2, "NO", 5))]
OTHER = [requirements((1, "NO", 2), (1, "SE", 1), (2, "NO", 6))]
TARGET = S3.locate(TOKENS)
IMMUTABLE = "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"
POLICY = KNOWN["parameter_policy_1B"]
#: How a policy document looks.
DOCUMENT: dict[str, Any] = {
    "policy": {"prep": {}, "allocation": {}, "jitter": {}, "realism": {}},
    "surfaces": {},
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return the folder of a store whose objects a test can look at as files."""
    return tmp_path / "store"


def machine(tmp_path: Path, name: str) -> Path:
    return find_root(f"file://{tmp_path / 'store'}", tmp_path / name)


def objects(store: Path) -> dict[str, bytes]:
    found = (path for path in store.rglob("*") if path.is_file())
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in sorted(found)}


def uploads(store: Path) -> list[str]:
    return sorted({path.parent.relative_to(store).as_posix() for path in store.rglob("part-*")})


def copied(root: Path) -> dict[str, bytes]:
    """Return what a working copy holds of the data root."""
    own = (".store", ".staging", ".locks")
    return {path: data for path, data in objects(root).items() if not path.startswith(own)}


def report(root: Path, receipt: Any, **more: Any) -> None:
    value = s3_report(receipt, **more)
    publish_report(root, KNOWN, KNOWN["s3_run_report"], TOKENS, value, root / ".staging")


def test_a_folder_of_its_own_has_no_files_of_a_store(tmp_path: Path) -> None:
    root = open_root(tmp_path / "plain")
    receipt = publish(root, ONE)
    report(root, receipt)
    assert [p.name for p in root.iterdir() if p.name == ".store"] == []
    assert not (root / "control/commits").exists()


def test_what_one_machine_publishes_another_reads(tmp_path: Path, store: Path) -> None:
    first = machine(tmp_path, "a")
    receipt = publish(first, ONE)
    report(first, receipt)
    second = machine(tmp_path, "b")
    assert copied(second) == copied(first)
    found = Snapshot(second, KNOWN, TOKENS).partition(S3.id, verify=True)
    assert found is not None
    assert found.receipt == receipt


def test_parts_lie_under_an_upload_that_the_receipt_names(tmp_path: Path, store: Path) -> None:
    receipt = publish(machine(tmp_path, "a"), ONE)
    commit = commit_of(machine(tmp_path, "a"), TARGET)
    assert commit is not None
    assert commit.receipt == receipt
    assert set(objects(store)) == {
        f"{TARGET}/{commit.upload}/part-00000.parquet",
        commit_path(TARGET),
    }


def test_an_upload_without_receipt_is_seen_by_no_reader(tmp_path: Path, store: Path) -> None:
    publish(machine(tmp_path, "a"), ONE)
    (store / commit_path(TARGET)).unlink()
    root = machine(tmp_path, "b")
    root_at(root).fetch(["*"])
    assert copied(root) == {}
    # The machine that had it sees the same: what the store does not commit is gone.
    assert copied(machine(tmp_path, "a")) == {}


def test_a_partition_without_report_is_committed_to_no_reader(tmp_path: Path) -> None:
    publish(machine(tmp_path, "a"), ONE)
    root = machine(tmp_path, "b")
    assert (root / TARGET).is_dir()
    assert Snapshot(root, KNOWN, TOKENS).partition(S3.id) is None


def test_large_partitions_come_when_they_are_read_and_are_judged_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = machine(tmp_path, "a")
    receipt = publish(first, ONE)
    report(first, receipt)
    monkeypatch.setattr(copies, "_SMALL", 0)
    root = machine(tmp_path, "b")
    assert not (root / TARGET).exists()
    found = Snapshot(root, KNOWN, TOKENS).partition(S3.id)
    assert found is not None
    assert found.receipt == receipt
    root_at(root).fetch([f"{TARGET}-not"])
    assert not (root / TARGET).exists()
    root_at(root).fetch([TARGET])
    assert copied(root) == copied(first)
    # It stays: the next command brings it no second time.
    before = (root / TARGET / "part-00000.parquet").stat().st_ino
    root_at(machine(tmp_path, "b")).fetch([TARGET])
    assert (root / TARGET / "part-00000.parquet").stat().st_ino == before


def test_verify_brings_a_partition_and_hashes_it(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = machine(tmp_path, "a")
    report(first, publish(first, ONE))
    monkeypatch.setattr(copies, "_SMALL", 0)
    root = machine(tmp_path, "b")
    (part,) = store.rglob("part-*")
    part.write_bytes(part.read_bytes()[::-1])
    assert Snapshot(root, KNOWN, TOKENS).partition(S3.id) is not None
    with pytest.raises(Segment1BError) as caught:
        Snapshot(root, KNOWN, TOKENS).partition(S3.id, verify=True)
    assert caught.value.code == "E_STORE_DAMAGED"


@pytest.mark.parametrize("damage", ["truncated", "changed", "absent"])
@pytest.mark.code("E_STORE_DAMAGED")
def test_an_object_that_is_not_what_its_receipt_says_is_named(
    tmp_path: Path, store: Path, damage: str
) -> None:
    publish(machine(tmp_path, "a"), ONE)
    (part,) = store.rglob("part-*")
    data = part.read_bytes()
    if damage == "truncated":
        part.write_bytes(data[:-1])
    elif damage == "changed":
        part.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    else:
        part.unlink()
    with pytest.raises(Segment1BError, match=r"part-00000\.parquet") as caught:
        machine(tmp_path, "b")
    assert caught.value.code == "E_STORE_DAMAGED"
    assert list((tmp_path / "b").rglob("part-*")) == []


def test_a_receipt_that_is_none_is_named(tmp_path: Path, store: Path) -> None:
    publish(machine(tmp_path, "a"), ONE)
    (store / commit_path(TARGET)).write_text("{}")
    with pytest.raises(Segment1BError, match="is no receipt") as caught:
        machine(tmp_path, "b")
    assert caught.value.code == "E_STORE_DAMAGED"


@pytest.mark.parametrize(
    "wrong",
    [
        {"partition_path": "data/elsewhere"},
        {"upload": "../../../upload"},
        {"files": [{"path": "../../out.parquet", "bytes": 1, "sha256_hex": "0" * 64}]},
        {"files": [{"path": "/out.parquet", "bytes": 1, "sha256_hex": "0" * 64}]},
        {"files": [{"path": 7, "bytes": 1, "sha256_hex": "0" * 64}]},
    ],
    ids=str,
)
def test_a_receipt_that_leads_elsewhere_is_refused(
    tmp_path: Path, store: Path, wrong: dict[str, Any]
) -> None:
    publish(machine(tmp_path, "a"), ONE)
    path = store / commit_path(TARGET)
    path.write_bytes(canonical_json({**json.loads(path.read_bytes()), **wrong}))
    with pytest.raises(Segment1BError, match="receipt of something else") as caught:
        machine(tmp_path, "b")
    assert caught.value.code == "E_STORE_DAMAGED"


def test_objects_named_like_the_copy_s_own_files_stay_in_the_store(
    tmp_path: Path, store: Path
) -> None:
    root = machine(tmp_path, "a")
    before = (root / ".store/origin.json").read_bytes()
    for name in (".store/origin.json", ".locks/x.lock", ".staging/x"):
        (store / name).parent.mkdir()
        (store / name).write_text("foreign")
    machine(tmp_path, "a")
    assert (root / ".store/origin.json").read_bytes() == before
    assert copied(root) == {}


def test_the_copy_follows_what_is_replaced_removed_and_added(tmp_path: Path, store: Path) -> None:
    root = machine(tmp_path, "a")
    for name in ("x/one.json", "x/two.json", "y/three.json"):
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_text("first")
    assert set(copied(machine(tmp_path, "a"))) == {"x/one.json", "x/two.json", "y/three.json"}
    (store / "x/one.json").write_text("other")
    (store / "y/three.json").unlink()
    (store / "z.json").write_text("new")
    (root / "x/stray.json").write_text("not in the store")
    assert copied(machine(tmp_path, "a")) == {
        "x/one.json": b"other",
        "x/two.json": b"first",
        "z.json": b"new",
    }
    assert not (root / "y").exists()


def test_a_large_file_that_changed_is_brought_anew(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_SMALL", 0)
    root = machine(tmp_path, "a")
    (store / "population.tif").write_bytes(b"old")
    root_at(machine(tmp_path, "a")).fetch(["population.tif"])
    (store / "population.tif").write_bytes(b"new")
    machine(tmp_path, "a")
    assert not (root / "population.tif").exists()
    root_at(root).fetch(["*.tif"])
    assert (root / "population.tif").read_bytes() == b"new"


def test_records_of_failures_are_neither_brought_nor_dropped(tmp_path: Path, store: Path) -> None:
    root = machine(tmp_path, "a")
    for folder, name in ((store, "theirs.json"), (root, "own.json")):
        (folder / "control/failures").mkdir(parents=True)
        (folder / "control/failures" / name).write_text("{}")
    assert set(copied(machine(tmp_path, "a"))) == {"control/failures/own.json"}


def test_the_second_writer_of_the_same_content_takes_the_first_one_s_files(
    tmp_path: Path, store: Path
) -> None:
    first, second = machine(tmp_path, "a"), machine(tmp_path, "b")
    receipt = publish(first, ONE)
    (whole,) = ONE
    again = publish(second, [whole.slice(0, 1)], [whole.slice(1)])
    assert again == receipt
    assert copied(second) == copied(first)
    assert len(uploads(store)) == 1


def test_the_loser_of_a_race_removes_its_upload(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = machine(tmp_path, "a"), machine(tmp_path, "b")
    # The first commits while the second uploads.
    monkeypatch.setattr(StoreRoot, "_committed", lambda _root, _folder: None)
    receipt = publish(first, ONE)
    assert publish(second, ONE) == receipt
    assert len(uploads(store)) == 1
    before = objects(store)
    with pytest.raises(Segment1BError) as caught:
        publish(machine(tmp_path, "c"), OTHER)
    assert caught.value.code == IMMUTABLE
    assert objects(store) == before


def test_other_content_is_refused_with_both_digests_and_changes_nothing(
    tmp_path: Path, store: Path
) -> None:
    receipt = publish(machine(tmp_path, "a"), ONE)
    other = publish(tmp_path / "elsewhere", OTHER)
    before = objects(store)
    with pytest.raises(Segment1BError) as caught:
        publish(machine(tmp_path, "b"), OTHER)
    assert caught.value.code == IMMUTABLE
    assert receipt.content_sha256_hex in caught.value.message
    assert other.content_sha256_hex in caught.value.message
    assert objects(store) == before


def test_a_put_whose_answer_was_lost_finds_itself(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segment1b.storage.objects import Objects

    create = Objects.create

    def deaf(self: Objects, path: str, data: bytes) -> str | None:
        create(self, path, data)
        return create(self, path, data)

    monkeypatch.setattr(Objects, "create", deaf)
    root = machine(tmp_path, "a")
    publish(root, ONE)
    assert len(uploads(store)) == 1
    publish_document(root, KNOWN, POLICY, TOKENS, DOCUMENT, root / ".staging")
    assert copied(machine(tmp_path, "b")) == copied(root)


def test_a_store_that_refuses_what_it_does_not_have_is_unavailable(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segment1b.storage.objects import Objects

    monkeypatch.setattr(Objects, "create", lambda *_: None)
    monkeypatch.setattr(store_root, "_TRIES", 2)
    with pytest.raises(Segment1BError, match=r"^E_STORE_UNAVAILABLE:"):
        publish(machine(tmp_path, "a"), ONE)


def test_a_crash_between_store_and_copy_heals(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine(tmp_path, "a")
    with monkeypatch.context() as patch:

        def crash(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(copies, "swap", crash)
        with pytest.raises(KeyboardInterrupt):
            publish(root, ONE)
    assert not (root / TARGET).exists()
    assert (machine(tmp_path, "a") / TARGET).is_dir()
    receipt = publish(root, ONE)
    assert copied(root) == copied(machine(tmp_path, "b"))
    report(root, receipt)
    assert Snapshot(machine(tmp_path, "b"), KNOWN, TOKENS).partition(S3.id) is not None


def test_a_document_is_created_once(tmp_path: Path, store: Path) -> None:
    first, second = machine(tmp_path, "a"), machine(tmp_path, "b")
    own = publish_document(first, KNOWN, POLICY, TOKENS, DOCUMENT, first / ".staging")
    same = publish_document(second, KNOWN, POLICY, TOKENS, DOCUMENT, second / ".staging")
    assert (own[1], same[1]) == (False, True)
    assert own[0] == same[0]
    third = machine(tmp_path, "c")
    shutil.rmtree(third / "data")  # As if it had been published since.
    other = {**DOCUMENT, "surfaces": {"world_countries": "3" * 64}}
    before = objects(store)
    with pytest.raises(Segment1BError, match=r"^E_PARAMETER_HASH_REUSED:"):
        publish_document(third, KNOWN, POLICY, TOKENS, other, third / ".staging")
    assert objects(store) == before


def test_a_log_is_created_once(tmp_path: Path, store: Path) -> None:
    log = KNOWN["rng_trace_site_tile_assign"]
    places = {**TOKENS, "run_id": "4" * 32}
    first, second, third = (machine(tmp_path, name) for name in "abc")
    receipt = publish_once(first, log, places, b"{}\n", first / ".staging")
    assert publish_once(second, log, places, b"{}\n", second / ".staging") == receipt
    with pytest.raises(Segment1BError):
        publish_once(third, log, places, b"{ }\n", third / ".staging")
    assert (store / log.locate(places)).read_bytes() == b"{}\n"


def test_reports_and_side_files_are_replaced(tmp_path: Path, store: Path) -> None:
    root = machine(tmp_path, "a")
    receipt = publish(root, ONE)
    report(root, receipt)
    report(root, receipt, rows_emitted=3)
    side = KNOWN["s4_merchant_summaries"]
    for data in (b"one", b"two"):
        root_at(root).replace(side.locate(TOKENS), data, root / ".staging")
    assert (store / side.locate(TOKENS)).read_bytes() == b"two"
    name = KNOWN["s3_run_report"].locate(TOKENS)
    assert (store / name).read_bytes() == (root / name).read_bytes()
    assert copied(machine(tmp_path, "b")) == copied(root)


@pytest.mark.parametrize("in_memory", [64 << 20, 2])
def test_a_surface_is_laid_once(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(store_root, "_IN_MEMORY", in_memory)
    root, made = machine(tmp_path, "a"), tmp_path / "made"
    made.write_bytes(b"surface")
    assert root_at(root).create("reference/surface", made)
    assert not made.exists()
    other = machine(tmp_path, "b")
    for held in (root, other):
        (held / "reference/surface").unlink()  # As if it had been published since.
        made.write_bytes(b"another one")
        assert not root_at(held).create("reference/surface", made)
        assert (held / "reference/surface").read_bytes() == b"surface"
        assert made.exists()
    assert (store / "reference/surface").read_bytes() == b"surface"


def test_uncommitted_uploads_are_removed_when_they_are_old(tmp_path: Path, store: Path) -> None:
    root = machine(tmp_path, "a")
    publish(root, ONE)
    (named,) = uploads(store)
    left = [f"{TARGET}/upload={'0' * 32}", f"data/other/upload={'1' * 32}"]
    for prefix in left:
        shutil.copytree(store / named, store / prefix)
    before = objects(store)
    assert root_at(root).clean(timedelta(hours=1), dry_run=False) == []
    gone = root_at(root).clean(timedelta(seconds=-60), dry_run=True)
    assert [str(one.path) for one in gone] == sorted(left)
    assert objects(store) == before
    assert root_at(root).clean(timedelta(seconds=-60), dry_run=False) == gone
    assert uploads(store) == [named]
    assert set(objects(store)) == {commit_path(TARGET), f"{named}/part-00000.parquet"}


def test_clean_takes_uploads_that_no_receipt_names_out_of_the_store(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine(tmp_path, "a")
    publish(root, ONE)
    (named,) = uploads(store)
    left = f"data/other/upload={'1' * 32}"
    shutil.copytree(store / named, store / left)
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "cache"))
    words = ["clean", "--data-root", store.as_uri(), "--json", "--older-than-hours"]
    for more, gone, stays in (
        (["24"], [], True),
        (["0", "--dry-run"], [left], True),
        (["0"], [left], False),
    ):
        done = CliRunner().invoke(app, [*words, *more], catch_exceptions=False)
        assert [one["path"] for one in json.loads(done.stdout)["leftovers"]] == gone
        assert (store / left / "part-00000.parquet").exists() is stays
    assert uploads(store) == [named]


def test_what_a_killed_command_was_bringing_is_removed(tmp_path: Path, store: Path) -> None:
    root = machine(tmp_path, "a")
    (root / ".store/left").mkdir()
    (root / ".store/left/part").write_bytes(b"half")
    machine(tmp_path, "a")
    assert not (root / ".store/left").exists()


def test_a_document_in_the_copy_is_what_the_store_has(tmp_path: Path, store: Path) -> None:
    root = machine(tmp_path, "a")
    publish_document(root, KNOWN, POLICY, TOKENS, DOCUMENT, root / ".staging")
    assert (store / POLICY.locate(TOKENS)).read_bytes() == canonical_json(DOCUMENT)
