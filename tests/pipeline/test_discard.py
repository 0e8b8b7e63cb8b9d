"""Discard: what is removed, in which order, what is refused, and that a run makes it again."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import errands
import spoil
from discards import (
    COUNTRIES,
    KNOWN,
    SHARED,
    STATES,
    World,
    check_commits,
    publish,
    take_back,
)
from segment1b.cli.app import app
from segment1b.errors import Segment1BError
from segment1b.outlets.list_names import outlet_lists
from segment1b.pipeline.finding import find_identity
from segment1b.storage.locks import identity_lock
from segment1b.storage.publisher import publish_once
from segment1b.storage.staging import STAGING
from worlds import digests, outlet_list, run


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return publish(tmp_path_factory.mktemp("discard"))


@pytest.fixture
def root(world: World, tmp_path: Path) -> Path:
    """Copy the data root for a test that changes it."""
    return Path(shutil.copytree(world.root, tmp_path / "root"))


@contextmanager
def refused(root: Path, code: str, *parts: str) -> Iterator[None]:
    """Check that a block is refused with a code and a text with these parts; nothing is removed."""
    before = files(root)
    with pytest.raises(Segment1BError) as caught:
        yield
    assert caught.value.code == code
    assert all(part in str(caught.value) for part in parts)
    assert files(root) == before


def files(root: Path) -> set[str]:
    found = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix() for path in found if ".locks" not in path.parts}


def owners(root: Path, world: World) -> set[str]:
    """Return the states that own any file of a root."""
    places = {**world.tokens, "attempt": "*", "trade": "*"}
    return {
        dataset.owner.lower()
        for dataset in KNOWN
        if dataset.owner.startswith("S") and list(root.glob(dataset.locate(places)))
    }


@pytest.mark.parametrize("state", ["s0", "s3", "s5", "s9"])
def test_what_is_published_from_a_state_on_is_removed_and_made_again(
    world: World, root: Path, state: str
) -> None:
    failed = root / KNOWN["validation_failed_1B"].locate({**world.tokens, "attempt": 1})
    failed.mkdir(parents=True)
    (failed / "index.json").write_text("[]")
    inputs = {path for path in files(root) if "/1B/" not in path and path[:4] in ("data", "refe")}
    before = {p: (root / p).stat().st_size for p in files(root)}
    removed = take_back(root, state)
    assert owners(root, world) == set(STATES[: STATES.index(state)])
    assert inputs <= files(root)
    assert sum(removed.values()) == sum(before[p] for p in set(before) - files(root))
    again = run(root, outlets=world.outlets, to_state="s9")
    assert digests(again) == world.digests
    reused = [outcome.state for outcome in again.outcomes if outcome.reused]
    assert reused == STATES[1 : STATES.index(state)]


def test_the_flag_is_removed_first_and_each_report_before_what_it_commits(root: Path) -> None:
    removed = list(take_back(root, "s0"))
    assert "/1B/validation/" in removed[0]
    reports = [path for path in removed if path.endswith("_run_report.json")]
    assert [path.rpartition("/")[2][:2] for path in reports] == STATES[::-1]
    for dataset in KNOWN:
        if (
            dataset.receipt_in
            and dataset.owner not in ("S9", "all")
            and "trade" not in dataset.tokens
        ):
            place = dataset.path.partition("{")[0]
            own = next(n for n, path in enumerate(removed) if path.startswith(place))
            assert removed.index(next(r for r in reports if dataset.receipt_in in r)) < own
    assert "s0_gate_receipt.json" in removed[-1]


def forge_plan(world: World, root: Path) -> None:
    """Publish a plan that lacks a merchant, with a receipt and a report that agree with it."""
    take_back(root, "s5")
    forged = spoil.World("", root, dict(world.tokens))

    def without_first(rows: spoil.Rows) -> None:
        first = rows[0]["merchant_id"]
        rows[:] = [row for row in rows if row["merchant_id"] != first]

    forged.forge(spoil.PLAN, without_first)
    rows = pq.read_table(forged.part(spoil.PLAN)).to_pylist()
    totals = {
        "rows_emitted": len(rows),
        "sites_total": sum(row["n_sites_tile"] for row in rows),
        "pairs_total": len({tuple(row[name] for name in spoil.PAIR) for row in rows}),
    }
    forged.rewrite("s4_run_report", lambda report: report.update(totals))


def called(root: Path, state: str, *words: str) -> list[str]:
    """Return the words of a command that discards from a state on."""
    return ["discard", "--from-state", state, "--data-root", str(root), *words]


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "segment1b", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_a_wrong_plan_at_which_every_run_fails_is_discarded_and_made_again(
    world: World, root: Path
) -> None:
    forge_plan(world, root)
    for _ in range(2):
        with pytest.raises(Segment1BError) as caught:
            run(root, to_state="s9")
        assert "segment1b discard --from-state s" in caught.value.hint
    done = command(*called(root, "s4", "--yes"))
    assert done.returncode == 0, done.stderr
    plan = world.path(root, "s4_alloc_plan").relative_to(root).as_posix()
    assert [line.split()[-1] for line in done.stdout.splitlines()].count(plan) == 1
    assert done.stdout.splitlines()[-1].endswith("bytes removed")
    again = command("run", "--quiet", "--data-root", str(root))
    assert again.returncode == 0, again.stderr
    assert digests(run(root, to_state="s9")) == world.digests


def killed(root: Path, from_state: str, removals: int) -> bool:
    """Discard in a process that is killed after so many removals; return whether it was."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["errands", "segment1b.pipeline.discard"])
    child = context.Process(target=errands.discard_until_killed, args=(root, from_state, removals))
    child.start()
    child.join()
    assert child.exitcode in (0, -9)
    return child.exitcode != 0


def places(root: Path) -> set[str]:
    return files(root) | {path.rpartition("/")[0] for path in files(root)}


@pytest.mark.slow
def test_a_discard_that_is_killed_at_every_removal_is_completed_by_the_next(
    world: World, root: Path
) -> None:
    kills = 0
    while killed(root, "s0", removals=1):
        check_commits(world, places(root))
        assert not world.path(root, "validation_bundle_1B").exists()
        kills += 1
    assert kills > 20
    assert owners(root, world) == set()
    assert digests(run(root, outlets=world.outlets, to_state="s9")) == world.digests
    assert list((root / STAGING).iterdir()) == []


@pytest.mark.parametrize(
    "removals",
    [n if n in (1, 12) else pytest.param(n, marks=pytest.mark.slow) for n in range(17)],
)
def test_a_run_after_a_discard_that_was_killed_ends_with_the_undisturbed_digests(
    world: World, root: Path, removals: int
) -> None:
    assert killed(root, "s4", removals)
    check_commits(world, places(root))
    assert digests(run(root, to_state="s9")) == world.digests
    assert list((root / STAGING).iterdir()) == []


def test_a_log_that_no_report_commits_is_replaced_and_a_committed_one_never(
    tmp_path: Path, world: World
) -> None:
    log = KNOWN["rng_trace_in_cell_jitter"]

    def publish(data: bytes, **more: bool) -> None:
        publish_once(tmp_path, log, world.tokens, data, tmp_path, **more)

    publish(b"old\n")
    with pytest.raises(Segment1BError, match="other bytes") as caught:
        publish(b"new\n", is_committed=True)
    assert "segment1b discard --from-state s6" in caught.value.hint
    publish(b"new\n", is_committed=False)
    assert world.path(tmp_path, log.id).read_bytes() == b"new\n"


@pytest.fixture
def two(world: World, root: Path, tmp_path: Path) -> tuple[Path, str, str]:
    """Publish a second list in the root; return root and both fingerprints."""
    other = outlet_list(tmp_path / "other.csv", COUNTRIES, merchants=5)
    result = run(root, outlets=other, to_state="s3")
    assert result.identity["parameter_hash"] == world.tokens["parameter_hash"]
    return (
        root,
        str(world.tokens["manifest_fingerprint"]),
        str(result.identity["manifest_fingerprint"]),
    )


@pytest.mark.parametrize("state", ["s0", "s1", "s2"])
@pytest.mark.code("E_DISCARD_REFUSED")
def test_tiles_that_another_receipt_uses_are_not_removed_and_it_is_named(
    two: tuple[Path, str, str], state: str
) -> None:
    root, first, second = two
    receipt = KNOWN["s0_gate_receipt_1B"].locate({"manifest_fingerprint": second})
    with refused(root, "E_DISCARD_REFUSED", receipt):
        take_back(root, state, manifest_fingerprint=first)
    # Its reports alone are reason enough.
    (root / receipt).unlink()
    with refused(root, "E_DISCARD_REFUSED", "s3_run_report"):
        take_back(root, state, manifest_fingerprint=first)


def test_of_several_lists_the_one_to_discard_is_named(two: tuple[Path, str, str]) -> None:
    root, _, _ = two
    labels = ", ".join(one.label for one in outlet_lists(root, KNOWN))
    with refused(root, "E_USAGE", f"holds several outlet lists: {labels}; nothing was removed"):
        take_back(root, "s9")


def test_from_s3_on_nothing_is_shared_and_tiles_can_be_kept_until_the_last_receipt_goes(
    world: World, two: tuple[Path, str, str]
) -> None:
    root, first, second = two
    others = {path for path in files(root) if second in path}
    take_back(root, "s3", manifest_fingerprint=first)
    assert owners(root, world) == {"s0", "s1", "s2"}
    assert others <= files(root)
    take_back(root, "s0", manifest_fingerprint=second, keep_shared=True)
    assert all(world.path(root, dataset_id).exists() for dataset_id in SHARED)
    own = [path for path in files(root) if second in path and "/1A/" not in path]
    assert own == [KNOWN["outlet_list"].locate({"manifest_fingerprint": second})]
    assert owners(root, world) == {"s0", "s1", "s2"}
    take_back(root, "s0", manifest_fingerprint=first)
    assert owners(root, world) == set()


def test_a_root_in_which_a_run_of_the_identity_works_is_left_alone(root: Path) -> None:
    _, identity = find_identity(root, None, {})
    with identity_lock(root, identity, 0.0), refused(root, "E_LOCKED"):
        take_back(root, "s4")


def test_a_receipt_in_the_folder_of_another_identity_removes_nothing(
    two: tuple[Path, str, str],
) -> None:
    root, first, second = two
    path = root / KNOWN["s0_gate_receipt_1B"].locate({"manifest_fingerprint": second})
    text = path.read_text()
    assert second in text
    path.write_text(text.replace(second, first))
    for fingerprint in (first, second):
        with refused(root, "E_PATH_EMBED_MISMATCH", str(path)):
            take_back(root, "s0", manifest_fingerprint=fingerprint)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no terminal"),
        (("--json",), "--yes"),
        (("--yes", "--from-state", "s10"), "--from-state: Input should be 's0', 's1',"),
    ],
)
def test_a_discard_that_nobody_can_confirm_removes_nothing(
    root: Path, words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with refused(root, "E_USAGE", said):
        app(called(root, "s4", *words), standalone_mode=False)


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 2), (b"\x04", 2), (b"y\n", 0)])
def test_on_a_terminal_it_asks(root: Path, answer: bytes, code: int) -> None:
    before = files(root)
    ours, theirs = pty.openpty()
    asked = subprocess.Popen(
        [sys.executable, "-m", "segment1b", *called(root, "s9")],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(ours, answer)
    _, err = asked.communicate()
    os.close(ours)
    os.close(theirs)
    assert asked.returncode == code, err
    assert (files(root) == before) == (code != 0)


def test_the_answer_for_machines_lists_what_was_removed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for expected in (4, 0):
        assert not app(called(root, "s8", "--yes", "--json"), standalone_mode=False)
        found = json.loads(capsys.readouterr().out)
        assert len(found["removed"]) == expected
        assert found["bytes"] == sum(item["bytes"] for item in found["removed"])
        assert not [item for item in found["removed"] if (root / item["path"]).exists()]


def test_a_name_with_control_characters_is_shown_escaped(
    world: World, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt = {**world.tokens, "attempt": "\x1b[2J"}
    (root / KNOWN["validation_failed_1B"].locate(attempt)).mkdir(parents=True)
    app(called(root, "s9", "--yes"), standalone_mode=False)
    said = capsys.readouterr().out
    assert "validation_failed" in said
    assert "\x1b" not in said
