"""A data root in an object store: the same digests, whole or nothing, whatever the store does."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

import segment1b
from published import IMMUTABLE, publish, raises, requirements
from segment1b.cli.app import app
from segment1b.config import RunSettings
from segment1b.errors import Segment1BError
from segment1b.pipeline.finding import find_identity
from segment1b.pipeline.prepare import import_outlets
from segment1b.pipeline.status import status
from segment1b.storage import objects, working_copy
from segment1b.storage.objects import Objects
from segment1b.storage.root import find_root, root_at
from segment1b.storage.snapshot import Snapshot
from segment1b.storage.staging import Leftover
from segment1b.storage.working_copy import UPLOAD
from stores import (
    BUCKET,
    Answer,
    Proxy,
    check_whole,
    environment,
    failing_from,
    kill_at,
    puts_from,
    s3_server,
    uploads,
)
from stores import segment1b as command
from worlds import digests, lay_small_world, outlet_list, run

STATES = [f"s{number}" for number in range(10)]
S4_COMMIT = "control/commits/data/layer1/1B/s4_alloc_plan"


class World:
    """A small world as a local root that has run, and its surfaces in a store."""

    def __init__(self, folder: Path, server: str) -> None:
        self.server = server
        self.root = lay_small_world(folder / "local")
        self.outlets = outlet_list(folder / "outlets.csv")
        self.digests = digests(run(self.root, outlets=self.outlets, to_state="s9"))

    def lay(self, url: str) -> Objects:
        """Put the surfaces below a URL, as any tool would; return its store."""
        store = Objects(url)
        for path in sorted((self.root / "reference").rglob("*.*")):
            store.upload(path.relative_to(self.root).as_posix(), path)
        return store


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with s3_server() as server:
        yield World(tmp_path_factory.mktemp("world"), server)


@pytest.fixture
def proxy(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    """Stand between this test and the server."""
    one = Proxy(world.server)
    for name, value in environment(one.endpoint, tmp_path / "cache").items():
        monkeypatch.setenv(name, value)
    yield one
    one.close()


@pytest.fixture
def url(world: World, proxy: Proxy, request: pytest.FixtureRequest) -> str:
    """Return an own prefix in the bucket, with the small world's surfaces."""
    own = hashlib.sha256(request.node.name.encode()).hexdigest()[:16]
    world.lay(f"s3://{BUCKET}/{own}")
    return f"s3://{BUCKET}/{own}"


def start(url: str, world: World, proxy: Proxy, cache: Path) -> subprocess.Popen[str]:
    """Start a whole run as a process of its own."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "segment1b", "run", "--quiet", "--json"),
            *("--data-root", url, "--outlets", str(world.outlets)),
        ],
        env=environment(proxy.endpoint, cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def published(url: str, cache: Path) -> dict[str, str]:
    """Return the digests of what a machine with an empty cache finds, all of it reused."""
    result = run(Path(find_root(url, cache)), to_state="s9")
    assert {o.state for o in result.outcomes if not o.reused} == {"s0"}
    return digests(result)


def cleaned(folder: Path) -> list[Leftover]:
    """Return the uploads that no receipt names, removed whatever their age."""
    return root_at(folder).clean(timedelta(seconds=-60), dry_run=False)


def test_a_run_into_a_store_is_read_and_checked_by_another_machine(
    world: World, url: str, proxy: Proxy, tmp_path: Path
) -> None:
    there = run(Path(url), outlets=world.outlets, to_state="s9")
    assert digests(there) == world.digests
    elsewhere = environment(proxy.endpoint, tmp_path / "elsewhere")
    told = tmp_path / "told"
    checked = command("--cache", str(told), "verify-bundle", url, "--json", env=elsewhere)
    assert checked.returncode == 0, checked.stderr
    assert list(told.rglob("_passed.flag"))
    again = command("run", "--data-root", url, "--json", "--quiet", env=elsewhere)
    assert again.returncode == 0, again.stderr
    summary = json.loads(again.stdout)
    assert summary["data_root"] == url
    outcomes = {name: state["outcome"] for name, state in summary["states"].items()}
    assert outcomes == {"s0": "unchanged"} | dict.fromkeys(STATES[1:], "reused")
    sites = segment1b.read_site_locations(url, cache=tmp_path / "reader").to_table()
    assert sites.equals(segment1b.read_site_locations(world.root).to_table())


@pytest.mark.slow
def test_every_reader_brings_what_it_needs_and_names_what_is_truncated(
    world: World, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Path(url), outlets=world.outlets, to_state="s9")
    monkeypatch.setattr(working_copy, "_SMALL", 0)
    monkeypatch.chdir(tmp_path)
    pair = segment1b.read_site_locations(world.root).head(1).to_pylist()[0]
    one = ["--merchant", str(pair["merchant_id"]), "--country", pair["legal_country_iso"]]
    for number, words in enumerate(
        [
            *(["validate" + ("" if s is None else f"-{s}")] for s in (None, *STATES)),
            ["explain", *one],
            ["replay", *one, "--site", "1"],
            ["export", "--format", "csv", "--out", "sites.csv"],
            ["rng-export", "--stream", "site_tile_assign", "--out", "assign.jsonl"],
            ["rng-export", "--stream", "in_cell_jitter", "--out", "jitter.jsonl"],
        ]
    ):
        monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / f"cache-{number}"))
        assert not app([*words, "--data-root", url, "--json"], standalone_mode=False), words
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "diff"))
    assert not app(["diff", url, str(world.root), "--json"], standalone_mode=False)
    assert not app(["verify-bundle", url, "--json"], standalone_mode=False)
    sites = segment1b.read_site_locations(url, cache=tmp_path / "reader")
    assert sites.count_rows() == segment1b.read_site_locations(world.root).count_rows()
    # Nothing but the sites, their proof and small documents came.
    brought = {path.parent.parent.parent.name for path in (tmp_path / "reader").rglob("part-*")}
    assert brought == {"site_locations"}
    # One that is truncated is named.
    store = Objects(url)
    (part,) = [e.path for e in store.list("data/layer1/1B/site_locations/") if UPLOAD in e.path]
    store.replace(part, (store.read(part) or b"")[:-100])
    with raises("E_STORE_DAMAGED", r"site_locations.*part-00000\.parquet"):
        segment1b.read_site_locations(url, cache=tmp_path / "damaged")


@pytest.mark.slow
def test_a_run_goes_on_from_an_empty_cache_with_what_its_states_read(
    world: World, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_copy, "_SMALL", 0)
    found: dict[str, str] = {}
    for number, (first, last) in enumerate(
        [("s0", "s2"), ("s3", "s5"), ("s6", "s7"), ("s8", "s9")]
    ):
        monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / f"cache-{number}"))
        outlets = world.outlets if not number else None
        found |= digests(run(Path(url), outlets=outlets, from_state=first, to_state=last))
    assert found == world.digests
    assert published(url, tmp_path / "last") == world.digests


@pytest.mark.slow
def test_two_runs_of_one_identity_at_once_both_end_well(
    world: World, url: str, proxy: Proxy, tmp_path: Path
) -> None:
    both = [start(url, world, proxy, tmp_path / name) for name in ("left", "right")]
    for one in both:
        out, err = one.communicate(timeout=300)
        assert one.returncode == 0, err
        assert len(json.loads(out)["states"]) == 10
    store = Objects(url)
    folders = check_whole(store)
    assert sorted(prefix.rpartition("/")[0] for prefix in uploads(store)) == sorted(folders)
    assert published(url, tmp_path / "third") == world.digests


def publish_sites(root: Path, sites: int) -> str:
    """Publish a partition of one pair with so many sites; return its content or the code."""
    try:
        return publish(root, [requirements((1, "NO", sites))]).content_sha256_hex
    except Segment1BError as error:
        return error.code


@pytest.mark.parametrize("sites", [(2, 2), (2, 3)])
def test_of_two_writers_at_once_one_commits_and_other_content_is_refused(
    proxy: Proxy, tmp_path: Path, sites: tuple[int, int]
) -> None:
    # Both have looked, and found nothing committed, before either commits.
    gate = threading.Barrier(2)

    def meet(method: str, path: str) -> Answer | None:
        if method == "PUT" and "control/commits/" in path:
            gate.wait(timeout=60)
        return None

    url = f"s3://{BUCKET}/race-{sites[1]}"
    roots = [find_root(url, tmp_path / name) for name in "ab"]
    proxy.judge = meet
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(publish_sites, roots, sites))
    store = Objects(url)
    assert len(uploads(store)) == 1
    (path,) = (e.path for e in store.list() if e.path.startswith("control/commits/"))
    content = json.loads(store.read(path) or b"")["content_sha256_hex"]
    assert sorted(found) == sorted([content, content if sites[0] == sites[1] else IMMUTABLE])


@pytest.mark.slow
def test_a_writer_that_is_killed_between_parts_and_receipt_leaves_nothing_visible(
    world: World, url: str, proxy: Proxy, tmp_path: Path
) -> None:
    writer = functools.partial(start, url, world, proxy, tmp_path / "writer")
    assert kill_at(writer, proxy, lambda method, path: method == "PUT" and S4_COMMIT in path)

    store = Objects(url)
    left = [prefix for prefix in uploads(store) if "/s4_alloc_plan/" in prefix]
    assert len(left) == 1
    assert not [folder for folder in check_whole(store) if "/s4_alloc_plan/" in folder]
    reader = find_root(url, tmp_path / "reader")
    known, identity = find_identity(reader, None, {})
    assert Snapshot(reader, known, identity.places).partition("s3_requirements") is not None
    assert Snapshot(reader, known, identity.places).partition("s4_alloc_plan") is None
    assert list((reader / "data/layer1/1B").glob("s4_alloc_plan*")) == []

    assert digests(run(Path(url), to_state="s9")) == world.digests
    assert [str(one.path) for one in cleaned(reader)] == left
    assert published(url, tmp_path / "last") == world.digests
    check_whole(store)


@pytest.mark.slow
def test_however_often_a_writer_is_killed_the_next_run_goes_on(
    world: World, url: str, proxy: Proxy, tmp_path: Path
) -> None:
    for deaths in range(30):
        # Every other writer is a machine that has seen nothing.
        cache = tmp_path / ("same" if deaths % 2 else f"new-{deaths}")
        writer = functools.partial(start, url, world, proxy, cache)
        # A bundle alone is ten puts; each run gets somewhat further than that, and dies.
        if not kill_at(writer, proxy, puts_from(11 + deaths % 4)):
            break
        check_whole(Objects(url))
    assert 3 < deaths < 29
    assert published(url, tmp_path / "last") == world.digests


@pytest.mark.slow
@pytest.mark.parametrize("answer", [Answer(503, "SlowDown"), Answer(500, "InternalError")], ids=str)
def test_a_store_that_fails_now_and_then_costs_time_alone(
    world: World, url: str, proxy: Proxy, tmp_path: Path, answer: Answer
) -> None:
    requests = itertools.count(1)
    proxy.judge = lambda _method, _path: None if next(requests) % 4 else answer
    assert digests(run(Path(url), outlets=world.outlets, to_state="s9")) == world.digests
    assert published(url, tmp_path / "reader") == world.digests
    check_whole(Objects(url))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(503, "SlowDown"), "E_STORE_UNAVAILABLE"),
        (Answer(500, "InternalError"), "E_STORE_UNAVAILABLE"),
        (Answer(400, "ExpiredToken"), "E_STORE_DENIED"),
        (Answer(403, "AccessDenied"), "E_STORE_DENIED"),
        (Answer(404, "NoSuchBucket"), "E_STORE_MISSING"),
    ],
    ids=str,
)
def test_a_store_that_fails_for_good_leaves_nothing_half_published(
    world: World,
    url: str,
    proxy: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    code: str,
) -> None:
    monkeypatch.setattr(objects, "_RETRIES", 2)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # Opens the store anew.
    # From some put of a run on, the store answers nothing else.
    for place in (
        "outlet_catalogue",
        "s0_gate_receipt.json",
        S4_COMMIT,
        "s6_run_report",
        "_passed",
    ):
        proxy.judge, gone = failing_from(place, answer)
        with pytest.raises(Segment1BError) as caught:
            run(Path(url), outlets=world.outlets, to_state="s9")
        assert gone.is_set()
        assert caught.value.code == code
        proxy.judge = Proxy.pass_on
        check_whole(Objects(url))
    assert digests(run(Path(url), outlets=world.outlets, to_state="s9")) == world.digests
    assert published(url, tmp_path / "reader") == world.digests


@pytest.mark.slow
def test_credentials_that_expired_are_one_line_on_the_terminal(
    world: World, url: str, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.judge = lambda _method, _path: Answer(400, "ExpiredToken")
    said = command("run", "--data-root", url, env=environment(proxy.endpoint, tmp_path / "x"))
    assert said.returncode == 3
    assert said.stdout == ""
    assert said.stderr.startswith("E_STORE_DENIED")
    assert "AWS_SESSION_TOKEN" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.slow
def test_an_unsealed_bundle_is_issued_again_for_another_policy(
    world: World, url: str, tmp_path: Path
) -> None:
    import_outlets(RunSettings(data_root=Path(url), outlets=world.outlets))
    law = ("allocation.law=stable",)
    there = run(Path(url), outlets=world.outlets, settings=law)
    assert there.policy["allocation"]["law"] == "stable"
    assert check_whole(Objects(url))
    folder = find_root(url, tmp_path / "reader")
    (bundle,) = folder.glob("data/layer1/1A/validation/*")
    held = json.loads((bundle / "MANIFEST.json").read_text())["parameter_hash"]
    assert held == there.identity["parameter_hash"]
    assert cleaned(folder) == []


@pytest.mark.slow
def test_a_failed_bundle_goes_aside_in_the_store_too(
    world: World, url: str, tmp_path: Path
) -> None:
    bound = ("realism.max_southern_share=0.0001",)
    for attempt in (1, 2):
        with pytest.raises(Segment1BError, match=r"^E917_REALISM_BOUND:"):
            run(Path(url), outlets=world.outlets, settings=bound, to_state="s9")
        folders = check_whole(Objects(url))
        assert sum("/validation_failed/" in folder for folder in folders) == attempt
    records = [e for e in Objects(url).list("control/failures/") if "E917" in e.path]
    assert len(records) == 2


@pytest.mark.slow
def test_surfaces_are_built_into_a_store(proxy: Proxy, tmp_path: Path) -> None:
    env = environment(proxy.endpoint, tmp_path / "cache")
    url = f"s3://{BUCKET}/built"
    words = ["reference", "build", "--resolution-arcsec", "3600", "--data-root", url]
    for _ in range(2):
        built = command(*words, env=env)
        assert built.returncode == 0, built.stderr
    shutil.rmtree(tmp_path / "cache")
    other = command(*words[:3], "1800", *words[4:], env=env)
    assert other.returncode == 3
    assert other.stderr.startswith("E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL")
    assert len([e for e in Objects(url).list() if e.path.startswith("reference/")]) == 4


def test_the_status_of_a_bucket_is_told_from_receipts_and_writes_nothing(
    url: str, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(Path(url), outlets=world.outlets, to_state="s9")
    before = {entry.path: entry.e_tag for entry in Objects(url).list()}
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "another"))
    found = status(RunSettings(data_root=Path(url)))
    assert found["data_root"] == url
    assert [own["would"] for own in found["states"].values()] == ["check", *["reuse"] * 9]
    assert {entry.path: entry.e_tag for entry in Objects(url).list()} == before
