"""The contract of a data root, the same for a folder and for an object store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

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
    requirements,
    stage,
)
from segment1b.errors import Segment1BError
from segment1b.storage.folder_root import FolderRoot
from segment1b.storage.publisher import create_bytes, publish_folder, publish_once
from segment1b.storage.root import find_root, open_root, root_at
from segment1b.storage.snapshot import Snapshot
from segment1b.storage.staging import Leftover
from shapes import tree

Files = dict[str, tuple[int, int, bytes]]


class Place:
    """A data root that several machines open; of a folder they all see the same files."""

    def __init__(self, kind: str, base: Path) -> None:
        self.files = base / kind
        self.location = str(self.files) if kind == "folder" else f"file://{self.files}"
        self.base = base

    def root(self, machine: str = "a") -> FolderRoot:
        """Return the root as a machine sees it now."""
        if self.location.startswith("file:"):
            return root_at(find_root(self.location, self.base / machine))
        return root_at(open_root(self.location))

    def made(self, data: bytes) -> Path:
        """Return a file that is to be published."""
        file = self.base / "made"
        file.write_bytes(data)
        return file

    def held(self) -> Files:
        """Return the published files."""
        return {n: file for n, file in tree(self.files).items() if not n.startswith(".")}


@pytest.fixture(params=["folder", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path)


def scratch(root: FolderRoot) -> Path:
    """Return a folder on the root's filesystem."""
    return root.folder / ".staging"


def test_a_root_is_known_by_what_it_was_opened_with(place: Place) -> None:
    assert place.root().location == place.location
    assert place.location in str(place.root())


def test_a_published_folder_is_seen_by_every_machine(place: Place) -> None:
    receipt = publish(place.root().folder, ONE)
    commit(place.root().folder, receipt)
    for machine in "ab":
        root = place.root(machine)
        sizes = {name: size for name, size, _ in receipt.files}
        assert root.sizes(TARGET) == sizes
        assert root.published(TARGET) == {TARGET: sum(sizes.values())}
        root.fetch([TARGET])
        found = Snapshot(root.folder, KNOWN, TOKENS).partition(S3.id, verify=True)
        assert found is not None
        assert found.receipt == receipt


def test_what_is_absent_has_no_sizes_and_is_not_published(place: Place) -> None:
    root = place.root()
    root.fetch(["data/*"])
    assert root.sizes(TARGET) is None
    assert root.published("data/*") == {}


@pytest.mark.parametrize("machine", ["a", "b"])
@pytest.mark.parametrize("is_committed", [True, False])
@pytest.mark.parametrize(
    "files", [[ONE], [[ONE[0].slice(0, 1)], [ONE[0].slice(1)]]], ids=["same cut", "other cut"]
)
def test_the_same_content_is_published_once(
    place: Place, machine: str, is_committed: bool, files: list[list[pa.Table]]
) -> None:
    first = publish(place.root().folder, ONE)
    before = place.held()
    assert publish(place.root(machine).folder, *files, is_committed=is_committed) == first
    assert place.held() == before


def test_other_committed_content_is_refused_with_both_digests_and_stays(place: Place) -> None:
    first = publish(place.root().folder, ONE)
    commit(place.root().folder, first)
    other = publish(place.base / "elsewhere", OTHER).content_sha256_hex
    before = place.held()
    with raises(IMMUTABLE, f"{first.content_sha256_hex}.*{other}") as caught:
        publish(place.root("b").folder, OTHER, is_committed=True)
    assert caught.value.scope["path"] == TARGET
    assert place.held() == before
    for machine in "ab":
        assert publish(place.root(machine).folder, ONE) == first


def test_other_content_that_nothing_depends_on_is_replaced(place: Place) -> None:
    publish(place.root().folder, ONE)
    second = publish(place.root("b").folder, OTHER, is_committed=True, replace=True)
    for machine in "ab":
        assert place.root(machine).sizes(TARGET) == {name: size for name, size, _ in second.files}
        assert publish(place.root(machine).folder, OTHER, is_committed=True) == second


def test_of_racing_writers_of_a_folder_one_publishes(place: Place) -> None:
    start = threading.Barrier(4)

    def write(number: int) -> str:
        start.wait()
        try:
            return publish_folder(roots[number], S3, TOKENS, staged[number], 1).content_sha256_hex
        except Segment1BError as error:
            return error.code

    roots = [place.root(str(number)).folder for number in range(4)]
    staged = [
        stage(root / f".staging/own-{n}", S3, [[requirements((1, "NO", n + 1))]])
        for n, root in enumerate(roots)
    ]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(write, range(4)))
    assert found.count(IMMUTABLE) == 3
    (content,) = {one for one in found if not one.startswith("E_")}
    again = publish(place.root("9").folder, [requirements((1, "NO", found.index(content) + 1))])
    assert again.content_sha256_hex == content


def test_a_file_is_created_once(place: Place) -> None:
    assert place.root().create("data/a", place.made(b"first"))
    for machine in "ab":
        root, made = place.root(machine), place.made(b"second")
        assert not root.create("data/a", made)
        assert made.exists()
        assert (root.folder / "data/a").read_bytes() == b"first"


def test_of_racing_writers_of_a_file_one_creates_it(place: Place) -> None:
    start = threading.Barrier(8)

    def write(number: int) -> bool:
        start.wait()
        own = roots[number]
        return create_bytes(own, "logs/a.json", b"%d" % number * 9, own / ".staging")

    roots = [place.root(str(number)).folder for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(write, range(8)))
    assert sum(made) == 1
    for machine in ("0", "9"):
        root = place.root(machine)
        assert (root.folder / "logs/a.json").read_bytes() == b"%d" % made.index(True) * 9
        assert list(scratch(root).iterdir()) == []


def test_a_committed_log_with_other_bytes_is_refused_and_stays(place: Place) -> None:
    log, places = KNOWN["rng_trace_site_tile_assign"], {**TOKENS, "run_id": "4" * 32}
    roots = [place.root(machine) for machine in "abc"]
    first, again = (
        publish_once(root.folder, log, places, b"{}\n", scratch(root)) for root in roots[:2]
    )
    assert again == first
    with pytest.raises(Segment1BError):
        publish_once(roots[2].folder, log, places, b"{ }\n", scratch(roots[2]))
    assert place.held()[log.locate(places)][2] == b"{}\n"


def test_a_file_is_replaced_for_every_machine(place: Place) -> None:
    for data in (b"first", b"second"):
        root = place.root()
        root.replace("control/report.json", data, scratch(root))
        assert place.held()["control/report.json"][2] == data
        for machine in "ab":
            own = place.root(machine).folder
            assert (own / "control/report.json").read_bytes() == data
    assert place.root().published("control/*") == {"control/report.json": len(b"second")}


@pytest.mark.parametrize("path", [TARGET, "data/a"])
def test_what_is_removed_is_gone_for_every_machine_and_can_be_published_again(
    place: Place, path: str
) -> None:
    root = place.root()
    publish(root.folder, ONE)
    root.create("data/a", place.made(b"first"))
    place.root("b")
    root.remove("data/absent", scratch(root))
    root.remove(path, scratch(root))
    for machine in "ab":
        assert not (place.root(machine).folder / path).exists()
        assert place.root(machine).published(path) == {}
        assert len(place.root(machine).published("data/*")) > 0
    publish(place.root("b").folder, OTHER, is_committed=path != TARGET, replace=path != TARGET)
    assert place.root("b").create("data/a", place.made(b"second")) is (path == "data/a")


def test_cleaning_removes_what_dead_runs_have_staged(place: Place) -> None:
    root = place.root()
    left = scratch(root) / "0123"
    left.mkdir(parents=True)
    (left / "piece").write_bytes(b"half")
    for dry_run in (True, False):
        assert left.is_dir()
        assert root.clean(timedelta(0), dry_run=dry_run) == [Leftover(left, 4)]
    assert not left.exists()


def test_a_failure_while_a_folder_is_published_leaves_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    root = place.root()
    with monkeypatch.context() as patch:
        patch.setattr("os.rename", failing)
        patch.setattr("segment1b.storage.objects.Objects.create", failing)
        with pytest.raises((Segment1BError, OSError)):
            publish(root.folder, ONE)
    for machine in "ab":
        assert place.root(machine).sizes(TARGET) is None
    publish(place.root("b").folder, ONE)
    assert place.root("a").sizes(TARGET) is not None
