"""Dask: a cluster of the run's own, or one that runs already; what it must share with us."""

from __future__ import annotations

import logging
import platform
import signal
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from segment1b import contracts
from segment1b.contracts.program import VERSION, digest
from segment1b.errors import Segment1BError
from segment1b.pipeline.engines import Pool, blocked_interrupts
from segment1b.storage.durable import write_file
from segment1b.storage.receipts import hash_files
from segment1b.storage.versions import versions

try:
    from distributed import Client, LocalCluster
    from distributed.scheduler import KilledWorker
except ModuleNotFoundError as absent:
    if absent.name not in ("distributed", "dask"):
        raise
    what = "this engine needs the package 'distributed', which is not installed"
    hint = "pip install 'segment1b[dask]', or use --engine threads or processes"
    raise Segment1BError("E_USAGE", what, hint) from None

CONNECT_SECONDS = 10.0
#: How long a scheduler may be without its first worker.
FIRST_SECONDS = 30.0
#: How long a cluster may be without any worker: a supervisor may be about to start a new one.
EMPTY_SECONDS = 60.0
_START = "start it ('dask scheduler', 'dask worker'), or use --engine dask on this machine"


class Cluster(Pool):
    """A connected cluster; a call runs on some worker, again on another when that worker dies."""

    def __init__(self, client: Client, address: str, *, existed: bool) -> None:
        self._client, self._address = client, address
        self._empty_since: float | None = None
        # Pure calls of the same arguments would be taken for one call; a shard has its effects.
        executor, size = client.get_executor(pure=False), sum(client.nthreads().values())
        super().__init__(executor, size, existed=existed)

    def check(self) -> None:
        """Refuse to wait for a cluster that has lost its scheduler or all its workers."""
        if self._client.status != "running":
            raise self._unreachable("its scheduler went away")
        if self._client.scheduler_info(n_workers=0)["n_workers"]:
            self._empty_since = None
            return
        now = time.monotonic()
        self._empty_since = self._empty_since or now
        if now - self._empty_since > EMPTY_SECONDS:
            what = f"{self._address}: all workers are gone, for {EMPTY_SECONDS:.0f} seconds"
            hint = "look at their logs and for the out-of-memory killer, start workers, run again"
            raise Segment1BError("E_WORKER_DIED", what, hint)

    def coded(self, error: Exception) -> Segment1BError | None:
        """Return the coded form of what the cluster, and not the work, has raised."""
        if isinstance(error, KilledWorker):
            what = f"{self._address}: {error.allowed_failures + 1} workers died at the same shard"
            return Segment1BError("E_WORKER_DIED", what)
        lost = self._client.status != "running"
        if isinstance(error, CancelledError) or (lost and not isinstance(error, Segment1BError)):
            return self._unreachable("its scheduler went away")
        return None

    def meet(self, shared: Path, dictionary: str | None) -> None:
        """Check that every worker is the same installation and sees the same data root.

        Raises:
            Segment1BError: E_CLUSTER_MISMATCH or E_DATA_ROOT_UNUSABLE.
        """
        token = uuid.uuid4().hex
        write_file(shared / f"probe-{token}", token.encode(), sync=False)
        answers = self._client.run(answer, shared, token, dictionary, on_error="return")
        mine = installation(dictionary)
        for address, found in sorted(answers.items()):
            if isinstance(found, BaseException):
                raise _mismatch(address, f"cannot answer: {type(found).__name__}: {found}")
            theirs, name = found
            others = [
                f"{what} {theirs.get(what)} (here {mine.get(what)})"
                for what in sorted({**mine, **theirs})
                if mine.get(what) != theirs.get(what)
            ]
            if others:
                raise _mismatch(address, f"has {', '.join(others)}")
            if not name or not _says(shared / name, token):
                raise Segment1BError(
                    "E_DATA_ROOT_UNUSABLE",
                    f"worker {address} and this process do not see the same {shared.parents[1]}",
                    "give a data root on a filesystem that all machines mount at the same path",
                    path=str(shared.parents[1]),
                )

    def _unreachable(self, why: str) -> Segment1BError:
        return _unreachable(self._address, why, "finished states are kept: start it, run again")


def installation(dictionary: str | None) -> dict[str, str]:
    """Return what client and workers must have in common for their bytes to be the same."""
    found = {
        "segment1b": VERSION,
        "source": digest()[:16],
        "python": ".".join(platform.python_version_tuple()[:2]),
        "distributed": version("distributed"),
    }
    if dictionary is not None:
        path = Path(dictionary)
        there = path.is_file()
        found["dictionary"] = hash_files(path.parent, [path.name])[1][:16] if there else "absent"
    return found | versions()


def answer(shared: Path, token: str, dictionary: str | None) -> tuple[dict[str, str], str | None]:
    """Answer on a worker: its installation, and the file it left when it saw the client's."""
    contracts.load.cache_clear()  # a worker outlives runs, and the dictionary may have changed
    name = None
    if _says(shared / f"probe-{token}", token):
        name = f"answer-{uuid.uuid4().hex}"
        with suppress(Segment1BError, OSError):
            write_file(shared / name, token.encode(), sync=False)
    return installation(dictionary), name


def _says(path: Path, token: str) -> bool:
    try:
        return path.read_text() == token
    except (OSError, UnicodeDecodeError):
        return False


def dask_setup(_worker: object) -> None:
    """Prepare a worker of a local cluster: Ctrl-C is the client's, which closes its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def local_cluster(workers: int) -> Iterator[Cluster]:
    """Start a cluster of processes with one thread each on loopback; it ends with the block.

    Raises:
        Segment1BError: E_CLUSTER_UNREACHABLE when its processes do not start.
    """
    with tempfile.TemporaryDirectory(prefix="dask-", ignore_cleanup_errors=True) as scratch:
        try:
            with blocked_interrupts():
                started = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    # Without an address its web server takes port 8787, or warns that it is taken.
                    scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                    memory_limit=0,
                    local_directory=scratch,
                    silence_logs=logging.CRITICAL,
                    preload=[__name__],
                )
        except (OSError, RuntimeError) as error:
            raise _unreachable("dask", f"no start: {error}", "use --engine processes") from None
        try:
            with _connected(started.scheduler_address, workers, existed=False) as joined:
                yield joined
        finally:
            # A worker about to be started again cannot be joined, which distributed asserts. What
            # ended the block is what counts, and all workers end with this process.
            with suppress(AssertionError):
                started.close()


@contextmanager
def running_cluster(address: str) -> Iterator[Cluster]:
    """Join a cluster that runs already, and leave it running.

    Raises:
        Segment1BError: E_CLUSTER_UNREACHABLE.
    """
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        # What matters of it is said in codes, and stderr may be for machines.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with _connected(address, 1, existed=True) as joined:
            yield joined
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _connected(address: str, workers: int, *, existed: bool) -> Iterator[Cluster]:
    try:
        with warnings.catch_warnings():
            # Versions are compared by `meet`, which says what to do.
            warnings.simplefilter("ignore")
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        secured = "; tls needs the certificates of distributed.comm.tls in Dask's configuration"
        hint = _START + (secured if address.startswith("tls") else "")
        raise _unreachable(address, f"no connection: {error}", hint) from None
    try:
        try:
            client.wait_for_workers(workers, timeout=FIRST_SECONDS)
        except (TimeoutError, OSError):
            raise _unreachable(address, "it has no workers", "start some: 'dask worker'") from None
        yield Cluster(client, address, existed=existed)
    finally:
        # What is not finished is forgotten; a cluster that went away cannot be told so.
        with suppress(Exception):
            client.close(timeout=CONNECT_SECONDS)


def _unreachable(address: str, why: str, hint: str) -> Segment1BError:
    return Segment1BError("E_CLUSTER_UNREACHABLE", f"{address}: {why}", hint, address=address)


def _mismatch(address: str, what: str) -> Segment1BError:
    return Segment1BError("E_CLUSTER_MISMATCH", f"worker {address} {what}", address=address)
