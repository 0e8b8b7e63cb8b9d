"""Dask: the bytes of serial, workers that die, clusters that are absent, empty or different."""

from __future__ import annotations

import json
import os
import pickle
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest
from distributed import Client
from distributed.security import Security

import errands
import segment1b
import worlds
from clusters import Machines, cluster, wait_until
from segment1b import contracts
from segment1b.config import RunSettings
from segment1b.contracts.program import contracts_root
from segment1b.errors import Segment1BError
from segment1b.geo.grid import Grid
from segment1b.identity import Identity
from segment1b.pipeline.engines import in_order, opened
from segment1b.pipeline.execution import Event, run_pipeline
from segment1b.pipeline.outcome import RunResult
from segment1b.states import STATES
from segment1b.states.by_country import CountryShard
from segment1b.states.s1_tiles import TileShard
from segment1b.storage import parts
from segment1b.storage.parts import TileFile
from segment1b.storage.snapshot import Snapshot

REPOSITORY = Path(__file__).parents[2]
STABLE = ("allocation.law=stable",)
LARGEST_PICKLE = 64_000
#: Tile files of so few rows cut even a small world into many shards.
SMALL_FILES = 100


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay a small world with an outlet list beside it."""
    folder = tmp_path_factory.mktemp("world")
    worlds.outlet_list(folder / "outlets.csv")
    return worlds.lay_small_world(folder / "root").parent


@pytest.fixture(scope="module")
def serial(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunResult]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "FILE_ROWS", SMALL_FILES)
        yield run(world, tmp_path_factory.mktemp("serial") / "root", engine="serial")


@pytest.fixture
def many_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the small world into many shards, which S9 would refuse."""
    monkeypatch.setattr(parts, "FILE_ROWS", SMALL_FILES)


def run(world: Path, root: Path, **settings: Any) -> RunResult:
    """Run the small world to S8 in a root of its own, or go on there."""
    if not root.exists():
        shutil.copytree(world / "root", root)
    outlets = world / "outlets.csv"
    return worlds.run(root, outlets=outlets, settings=STABLE, to_state="s8", **settings)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "root/.staging/run"
    folder.mkdir(parents=True)
    return folder


def refused(code: str, match: str, engine: str, shared: Path) -> Segment1BError:
    """Return the error of an engine that cannot be opened; its code is checked."""
    with pytest.raises(Segment1BError, match=match) as caught, opened(engine, 2, shared):
        pass
    assert caught.value.code == code
    return caught.value


def free_address() -> str:
    """Return an address on loopback at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{taken.getsockname()[1]}"


def test_a_dask_run_on_the_command_line_gives_the_digests_of_serial_and_clean_output(
    world: Path, tmp_path: Path
) -> None:
    plain = run(world, tmp_path / "plain", engine="serial")
    shutil.copytree(world / "root", tmp_path / "root")
    command = [sys.executable, "-m", "segment1b", "run", "--data-root", tmp_path / "root"]
    command += ["--outlets", world / "outlets.csv", "--set", STABLE[0], "--engine", "dask"]
    command += ["--workers", "2", "--json", "--quiet"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["states"]
    assert done.stderr == ""
    again = run(world, tmp_path / "root")
    assert all(outcome.reused for outcome in again.outcomes if outcome.state != "s0")
    assert worlds.digests(again) == worlds.digests(plain)
    used = {o.report["resources"]["workers_used"] for o in again.outcomes if o.reused}
    assert used == {2}


@pytest.mark.code("E_CLUSTER_MISMATCH")
def test_a_local_cluster_keeps_to_loopback_asks_before_it_works_and_ends_with_its_block(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = psutil.Process()
    with opened("dask", 2, shared) as pool:
        pids = set(in_order(pool, errands.say_pid, range(20), 2))
        workers = [psutil.Process(pid) for pid in pids]
        assert me.pid not in pids
        assert (pool.size, pool.existed) == (2, False)
        squares = list(in_order(pool, errands.square_slowly, range(9), 2))
        assert squares == [number * number for number in range(9)]
        with pytest.raises(Segment1BError, match="E404_ALLOCATION_MISMATCH") as caught:
            list(in_order(pool, errands.fail_at_three, range(9), 2))
        assert caught.value.scope["merchant_id"] == 3
        listening = [
            found.laddr.ip
            for process in (me, *me.children(recursive=True))
            for found in process.net_connections("tcp")
            if found.status == psutil.CONN_LISTEN
        ]
        assert set(listening) == {"127.0.0.1"}
        address = pool._address  # type: ignore[attr-defined]
        monkeypatch.setattr("segment1b.pipeline.cluster.VERSION", "0.0.9")
        other = r"segment1b 0\.\S+ \(here 0\.0\.9\)"
        assert refused("E_CLUSTER_MISMATCH", other, address, shared).exit_code == 3
        monkeypatch.undo()
        # The same path is another folder for each process that stands elsewhere.
        monkeypatch.chdir(tmp_path)
        elsewhere = Path("/proc/self/cwd/root/.staging/run")
        refused("E_DATA_ROOT_UNUSABLE", "do not see the same /proc/self", address, elsewhere)
    assert psutil.wait_procs(workers, timeout=5)[1] == []


@pytest.mark.code("E_CLUSTER_UNREACHABLE")
def test_a_cluster_that_does_not_answer_is_a_coded_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segment1b.pipeline.cluster.CONNECT_SECONDS", 0.5)
    code, address = "E_CLUSTER_UNREACHABLE", free_address()
    error = refused(code, address, address, tmp_path)
    assert ("dask scheduler" in error.hint, error.exit_code) == (True, 3)
    refused(code, r"distributed\.comm\.tls", address.replace("tcp", "tls"), tmp_path)


def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "segment1b.pipeline.cluster", raising=False)
    monkeypatch.delattr(segment1b, "cluster", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    refused("E_USAGE", r"segment1b\[dask\]", "dask", tmp_path)


def test_a_shard_travels_as_ids_and_not_as_arrays(
    world: Path, tmp_path: Path, many_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: dict[str, list[int]] = {}
    for state in STATES.values():

        def work(
            run: Any, reader: Any, shard: Any, *, state: Any = state, plain: Any = state.work
        ) -> Any:
            sizes.setdefault(state.id, []).append(len(pickle.dumps((run, shard))))
            return plain(run, reader, shard)

        monkeypatch.setattr(state, "work", work)
    run(world, tmp_path / "root", engine="serial")
    assert set(sizes) == set(STATES) - {"s9"}
    assert sum(map(len, sizes.values())) > 20
    # A country more adds its code; a hundred thousand outlets more would add nothing.
    assert max(max(own) for own in sizes.values()) < 4_000
    codes = tuple(chr(65 + k // 26) + chr(65 + k % 26) for k in range(260))
    tiles = TileFile(7, tuple((code, 0, 2**40) for code in codes))
    cells = Grid(-180.0, 90.0, 1 / 120, 1 / 120, 21_600, 43_200)
    rules, sizes_of = ("any_overlap",) * len(codes), (2**20,) * len(codes)
    s1 = TileShard(tiles, rules, sizes_of, cells)
    s4 = CountryShard(7, codes, sizes_of, sizes_of, (7,), (21_600, 43_200))
    assert max(len(pickle.dumps(shard)) for shard in (s1, s4)) < LARGEST_PICKLE


def watched(world: Path, root: Path, machines: Machines, state: str, call: Any) -> RunResult:
    """Run on a cluster, and call something while a state is at work."""
    if not root.exists():
        shutil.copytree(world / "root", root)
    thread = threading.Thread(target=call, daemon=True)

    def progress(event: Event) -> None:
        if (event.kind, event.state) == ("begin", state):
            thread.start()

    asked = RunSettings(data_root=root, outlets=world / "outlets.csv", settings=STABLE)
    update = {"engine": machines.ready(), "workers": 3, "to_state": "s8"}
    return run_pipeline(asked.model_copy(update=update), progress)


def published(root: Path, identity: dict[str, Any]) -> list[str]:
    """Return the tables with a receipt that their files keep, and refuse any other visible part."""
    known, whole, places = contracts.load(), [], Identity(**identity).places
    for dataset in known:
        if dataset.kind == "table" and dataset.receipt_in and "trade" not in dataset.tokens:
            if Snapshot(root, known, places).partition(dataset.id, verify=True):
                whole.append(dataset.id)
            else:
                assert not (root / dataset.locate(places)).exists()
    return whole


@pytest.mark.slow
@pytest.mark.parametrize("state", ["s1", "s6"])
def test_a_worker_killed_at_work_costs_its_shard_alone(
    world: Path, serial: RunResult, tmp_path: Path, many_shards: None, state: str
) -> None:
    with cluster(tmp_path / "cluster") as machines:
        for _ in range(3):
            machines.add_worker(state)
        killed: list[int] = []
        again = watched(
            *(world, tmp_path / "root", machines, state),
            lambda: killed.extend(machines.kill_at_work(1)),
        )
        assert len(killed) == 1
        assert [worker.poll() is None for worker in machines.workers].count(False) == 1
        with Client(machines.address(), set_as_default=False) as client:
            assert len(client.nthreads()) == 2
    assert worlds.digests(again) == worlds.digests(serial)
    receipts = [o.report["determinism_receipt"] for o in again.outcomes[1:]]
    assert receipts == [o.report["determinism_receipt"] for o in serial.outcomes[1:]]
    assert list((tmp_path / "root/.staging").iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("many_shards")
def test_when_all_workers_die_the_run_ends_and_the_next_one_goes_on(
    world: Path, serial: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segment1b.pipeline.cluster.EMPTY_SECONDS", 2.0)
    root = tmp_path / "root"
    with cluster(tmp_path / "cluster") as machines:
        for _ in range(3):
            machines.add_worker("s5")
        with pytest.raises(Segment1BError, match="all workers are gone") as caught:
            watched(world, root, machines, "s5", lambda: machines.kill_at_work(3))
        assert caught.value.code == "E_WORKER_DIED"
        assert caught.value.exit_code == 3
        there = published(root, serial.identity)
        assert "s4_alloc_plan" in there
        assert "s5_site_tile_assignment" not in there
        machines.add_worker()
        again = run(world, root, engine=machines.ready())
    assert [o.state for o in again.outcomes if o.reused] == ["s1", "s2", "s3", "s4"]
    assert worlds.digests(again) == worlds.digests(serial)


@pytest.mark.slow
@pytest.mark.usefixtures("many_shards")
def test_when_the_scheduler_dies_the_run_ends_with_a_code(
    world: Path, serial: RunResult, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    with cluster(tmp_path / "cluster") as machines:
        machines.add_worker("s5")

        def kill() -> None:
            wait_until(lambda: any(machines.marks.iterdir()))
            machines.scheduler.kill()

        with pytest.raises(Segment1BError, match="its scheduler went away") as caught:
            watched(world, root, machines, "s5", kill)
    assert caught.value.code == "E_CLUSTER_UNREACHABLE"
    assert capfd.readouterr() == ("", "")
    assert "s5_site_tile_assignment" not in published(root, serial.identity)
    assert worlds.digests(run(world, root)) == worlds.digests(serial)


@pytest.mark.slow
def test_a_shard_at_which_every_worker_dies_is_a_coded_error(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segment1b.pipeline.cluster.EMPTY_SECONDS", 300.0)
    with (
        pytest.raises(Segment1BError, match="4 workers died at the same shard") as caught,
        opened("dask", 2, shared) as pool,
    ):
        list(in_order(pool, errands.die_at_three, range(9), 2))
    assert caught.value.code == "E_WORKER_DIED"


@pytest.mark.slow
def test_a_scheduler_without_workers_and_a_worker_of_another_version_are_refused(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segment1b.pipeline.cluster.FIRST_SECONDS", 1.0)
    source = Path(segment1b.__file__).parent
    other = tmp_path / "other/segment1b"
    shutil.copytree(source, other, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(contracts_root(), other / "contracts/files")
    program = other / "contracts/program.py"
    program.write_text(re.sub(r'VERSION = ".*"', 'VERSION = "9.9"', program.read_text()))
    with cluster(tmp_path / "cluster") as machines:
        refused("E_CLUSTER_UNREACHABLE", "it has no workers", machines.address(), shared)
        machines.add_worker(packages=other.parent)
        mismatch = r"has segment1b 9\.9 \(here"
        refused("E_CLUSTER_MISMATCH", mismatch, machines.ready(), shared)


@pytest.mark.slow
def test_a_cluster_behind_tls_gives_the_same_digests(
    world: Path, serial: RunResult, tmp_path: Path, many_shards: None
) -> None:
    secret = Security.temporary()
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    pem.write_text(secret.tls_ca_file)
    key.write_text(secret.tls_client_key)
    options = ["--protocol", "tls", "--tls-ca-file", str(pem), "--tls-cert", str(pem)]
    ours = {"ca-file": pem, "client.cert": pem, "client.key": key}
    tls = {f"distributed.comm.tls.{name}": str(path) for name, path in ours.items()}
    with (
        dask.config.set(tls),
        cluster(tmp_path / "cluster", [*options, "--tls-key", str(key)]) as machines,
    ):
        machines.add_worker()
        assert machines.address().startswith("tls://")
        again = run(world, tmp_path / "root", engine=machines.ready())
    assert worlds.digests(again) == worlds.digests(serial)


@pytest.mark.slow
def test_an_interrupted_run_takes_its_cluster_with_it(tmp_path: Path) -> None:
    # Whoever started the tests in the background may have had Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    # The embedded world: the small one might be done before it is interrupted.
    command = [sys.executable, "-m", "segment1b", "run", "--data-root", tmp_path / "root"]
    command += ["--engine", "dask", "--workers", "2", "--log-format", "json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        signal.signal(signal.SIGINT, before)
        assert process.stderr is not None
        assert any('"event": "start"' in line for line in process.stderr)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()
        process.wait(60)
    assert process.returncode == 3
    assert "E_INTERRUPTED" in rest
    assert "Traceback" not in rest
    assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.slow
def test_the_commands_of_the_documentation_start_a_cluster_and_run_on_it(
    world: Path, tmp_path: Path
) -> None:
    shutil.copytree(world / "root", tmp_path / "planet")
    worlds.run(tmp_path / "planet", outlets=world / "outlets.csv", to_state="s0")
    text = (REPOSITORY / "docs/scaling.md").read_text()
    (block,) = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    port = free_address().rpartition(":")[2]
    for name, ours in {"HEAD": "127.0.0.1", "8786": port, "/data": str(tmp_path)}.items():
        block = block.replace(name, ours)
    *dask_lines, run_line = block.splitlines()
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *shlex.split(line)], cwd=tmp_path, stderr=subprocess.DEVNULL
        )
        for line in dask_lines
    ]
    try:
        command = [sys.executable, "-m", *shlex.split(run_line), "--json"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            process.wait(30)
    assert "s9" in json.loads(done.stdout)["states"]
