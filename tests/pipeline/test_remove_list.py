"""Removal of a list: all of it and nothing else, at whatever point it is interrupted."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

import foreign
import segment1b
from discards import COUNTRIES, KNOWN, World, publish
from segment1b.config import RunSettings
from segment1b.errors import Segment1BError
from segment1b.outlets.list_names import default_list, outlet_lists
from segment1b.pipeline.discard import remove_list
from segment1b.pipeline.finding import find_identity
from segment1b.pipeline.listing import list_outlets
from segment1b.pipeline.prepare import import_outlets
from segment1b.storage.folder_root import FolderRoot
from segment1b.storage.locks import identity_lock
from segment1b.storage.objects import Objects
from worlds import digests, outlet_list, run


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Publish the list `my`, and after it `other`, which has ids that are text, in one root."""
    world = publish(tmp_path_factory.mktemp("remove"))
    other = world.outlets.with_name("other.csv")
    lines = outlet_list(other, COUNTRIES, merchants=5).read_text().splitlines()
    other.write_text("\n".join([lines[0], *(f"M{line}" for line in lines[1:])]) + "\n")
    run(world.root, outlets=other, to_state="s9")
    return world


@pytest.fixture
def root(world: World, tmp_path: Path) -> Path:
    """Copy the data root for a test that changes it."""
    return Path(shutil.copytree(world.root, tmp_path / "root"))


def contents(root: Path) -> dict[str, bytes]:
    found = (path for path in root.rglob("*") if path.is_file() and ".locks" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def of(root: Path, name: str) -> set[str]:
    """Return the files of a list: those with its fingerprint or the id of its run in the path."""
    places = find_identity(root, None, {"list": name})[1].places
    return {p for p in contents(root) if str(places["run_id"]) in p or fingerprint(root, name) in p}


def fingerprint(root: Path, name: str) -> str:
    return next(one.fingerprint for one in outlet_lists(root, KNOWN) if one.name == name)


@pytest.mark.parametrize("name", ["my", "other"])
def test_a_list_is_removed_whole_and_nothing_else(world: World, root: Path, name: str) -> None:
    before, own = contents(root), of(root, name)
    (left,) = {"my", "other"} - {name}
    assert len(own) > 25
    foreseen = remove_list(root, name, dry_run=True)
    assert contents(root) == before
    removed = remove_list(root, name)
    assert removed == foreseen
    assert contents(root) == {path: data for path, data in before.items() if path not in own}
    assert sum(removed.values()) == sum(len(before[path]) for path in own)
    assert default_list(root, KNOWN, []) == fingerprint(root, left)
    assert all(check.ok for check in segment1b.validate(root, ["s0", "s3", "s8"]))
    with pytest.raises(Segment1BError, match=f"^E_USAGE: .*no outlet list '{name}'"):
        remove_list(root, name)
    with pytest.raises(Segment1BError, match=r"^E_USAGE: .*no outlet list 'dddd"):
        remove_list(root.with_name("absent"), "d" * 64)
    assert not root.with_name("absent").exists()


def test_a_removal_that_is_interrupted_anywhere_is_completed_and_never_believed(
    world: World, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, first, last = FolderRoot.remove, fingerprint(root, "my"), "other"
    own, planned = of(root, last), list(remove_list(root, last, dry_run=True))
    kept = {path: data for path, data in contents(root).items() if path not in own}

    def one_and_no_more(self: FolderRoot, path: str, scratch: Path) -> None:
        if done:
            raise RuntimeError("killed")
        done.append(path)
        remove(self, path, scratch)

    monkeypatch.setattr(FolderRoot, "remove", one_and_no_more)
    for number, path in enumerate(planned):
        done: list[str] = []
        with suppress(RuntimeError):
            remove_list(root, last)
        assert done == [path]
        if number == len(planned) - 1:
            break
        with pytest.raises(Segment1BError):
            segment1b.open(root, list=last)
        assert [one["name"] for one in list_outlets(root)["lists"]] == [last, "my"]
        if "/1A/" in path:
            assert default_list(root, KNOWN, []) == first
    assert contents(root) == kept


def test_what_a_removal_left_is_made_whole_by_the_next_import(
    world: World, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(run(root, to_state="s9"))
    remove = FolderRoot.remove

    def until_the_catalogue(self: FolderRoot, path: str, scratch: Path) -> None:
        if "outlet_catalogue" in path:
            raise RuntimeError("killed")
        remove(self, path, scratch)

    monkeypatch.setattr(FolderRoot, "remove", until_the_catalogue)
    with pytest.raises(RuntimeError):
        remove_list(root, "other")
    with pytest.raises(Segment1BError, match=r"^E_BUNDLE_MISSING:"):
        run(root, manifest_fingerprint="other")
    again = run(root, outlets=world.outlets.with_name("other.csv"), to_state="s9")
    assert digests(again) == before


def test_a_list_that_was_not_run_is_removed_and_its_name_is_free(
    world: World, root: Path, tmp_path: Path
) -> None:
    before = contents(root)
    for merchants in (3, 4):
        third = outlet_list(tmp_path / f"{merchants}.csv", COUNTRIES, merchants)
        import_outlets(RunSettings(data_root=root, outlets=third, list_name="third"))
        assert outlet_lists(root, KNOWN)[-1].name == "third"
        remove_list(root, "third")
        assert contents(root) == before


@pytest.mark.code("E_LOCKED")
def test_a_list_of_which_a_run_works_is_left_alone(root: Path) -> None:
    before = contents(root)
    _, identity = find_identity(root, None, {"list": "my"})
    with (
        identity_lock(root, identity, 0.0),
        pytest.raises(Segment1BError, match=r"^E_LOCKED:"),
    ):
        remove_list(root, "my")
    assert contents(root) == before


def test_a_list_of_1a_has_no_name_and_is_removed_by_its_fingerprint(
    world: World, root: Path
) -> None:
    before = contents(root)
    foreign.lay_bundle(root, 42, "f" * 64, "e" * 64, [(1007, "NL", 3)])
    rows = {one["manifest_fingerprint"]: one for one in list_outlets(root)["lists"]}
    assert rows["f" * 64]["name"] is None
    # It was laid by hand: the list imported last is still the default.
    assert default_list(root, KNOWN, []) == fingerprint(root, "other")
    run(root, manifest_fingerprint="ffff", to_state="s3")
    (row,) = [one for one in list_outlets(root)["lists"] if one["name"] is None]
    figures = [row[name] for name in ("merchants", "outlets", "state", "method")]
    assert figures == [1, 3, "s3", "largest_remainder"]
    remove_list(root, "ffff")
    after = contents(root)
    assert {path: data for path, data in after.items() if "e" * 64 not in path} == before
    assert not [path for path in after if "f" * 64 in path]


def test_a_damaged_list_is_listed_and_removed(root: Path) -> None:
    for path in sorted(root.rglob("s9_summary.json")) + sorted(root.rglob("s4_run_report.json")):
        path.write_text("{")
    for path in root.rglob("outlet_catalogue/*/*/part-*.parquet"):
        path.write_bytes(b"")
    rows = list_outlets(root)["lists"]
    assert [(one["name"], one["state"]) for one in rows] == [("other", "s3"), ("my", "s3")]
    for name in ("my", "other"):
        remove_list(root, name)
    assert list_outlets(root)["lists"] == []


def test_a_list_with_a_damaged_record_is_removed_by_its_fingerprint(root: Path) -> None:
    mine, own = fingerprint(root, "my"), of(root, "my")
    before = contents(root)
    record = root / KNOWN["outlet_list"].locate({"manifest_fingerprint": mine})
    record.write_bytes(record.read_bytes()[:20])
    remove_list(root, mine[:8])
    assert contents(root) == {path: data for path, data in before.items() if path not in own}


def test_a_removal_depends_on_no_receipt_of_another_list(root: Path) -> None:
    own, before = of(root, "other"), contents(root)
    planned = remove_list(root, "other", dry_run=True)
    receipts = {
        name: root / KNOWN["s0_gate_receipt_1B"].locate({"manifest_fingerprint": digits})
        for name, digits in ((name, fingerprint(root, name)) for name in ("my", "other"))
    }
    for damage in (b"{", receipts["my"].read_bytes()):
        receipts["other"].write_bytes(damage)  # the bundle has the tokens as well
        assert remove_list(root, "other", dry_run=True).keys() == planned.keys()
    receipts["my"].write_bytes(b"{")
    remove_list(root, "other")
    kept = {path for path in before if path not in own}
    assert set(contents(root)) == kept


def test_lists_in_a_store_have_names_and_are_removed(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "cache"))
    shutil.copytree(world.root / "reference", tmp_path / "store" / "reference")
    url = f"file://{tmp_path / 'store'}"
    run(Path(url), outlets=world.outlets, to_state="s3")
    before = {entry.path for entry in Objects(url).list()}
    other = world.outlets.with_name("other.csv")
    run(Path(url), outlets=other, list_name="q3-portfolio", to_state="s3")
    # Another machine sees the same.
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "another"))
    lists = list_outlets(Path(url))["lists"]
    assert [(one["name"], one["file"], one["state"]) for one in lists] == [
        ("q3-portfolio", "other.csv", "s3"),
        ("my", "my.csv", "s3"),
    ]
    assert [one["outlets"] for one in lists] == [21, 30]
    remove_list(Path(url), "q3-portfolio")
    assert {entry.path for entry in Objects(url).list()} == before
    assert json.loads(json.dumps(list_outlets(Path(url))))["lists"] == lists[1:]
