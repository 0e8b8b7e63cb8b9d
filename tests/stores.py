"""Object stores for tests: a real S3 server on loopback, and a proxy before it that misbehaves."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from segment1b.storage.objects import Objects

BUCKET = "bucket"
#: What a command needs to reach the server, beside AWS_ENDPOINT_URL.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_REGION": "us-east-1",
}


class Answer(NamedTuple):
    """What the proxy says instead of the store."""

    status: int
    code: str

    @property
    def body(self) -> bytes:
        """Return the XML in which S3 names an error."""
        return f"<Error><Code>{self.code}</Code><Message>by test</Message></Error>".encode()


Judge = Callable[[str, str], Answer | None]


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto's S3 server as a process of its own; give its endpoint, with the bucket made."""
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    try:
        for line in server.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            raise AssertionError("moto has not started")
        # A full pipe would stop the server.
        threading.Thread(target=server.stderr.read, daemon=True).start()
        make_bucket(found.group(0), BUCKET)
        yield found.group(0)
    finally:
        server.kill()
        server.wait()
        server.stderr.close()


def make_bucket(endpoint: str, name: str) -> None:
    asked = HTTPConnection(urlsplit(endpoint).netloc, timeout=30)
    asked.request("PUT", f"/{name}")
    assert asked.getresponse().status == 200
    asked.close()


class Proxy:
    """A proxy before a store; `judge` may answer a request (method, path) in its place.

    Attributes:
        endpoint: its own.
        judge: returns what to say instead of the store, or None to pass the request on.
        seen: the method and path of each request.
    """

    def __init__(self, endpoint: str) -> None:
        self.judge: Judge = self.pass_on
        self.seen: list[tuple[str, str]] = []
        self._behind = urlsplit(endpoint).netloc
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.seen.append((self.command, self.path))
                said = proxy.judge(self.command, self.path)
                if said is not None:
                    self.reply(said.status, {}, said.body)
                    return
                behind = HTTPConnection(proxy._behind, timeout=60)
                behind.request(self.command, self.path, body, dict(self.headers))
                got = behind.getresponse()
                self.reply(got.status, dict(got.getheaders()), got.read())
                behind.close()

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - http.server

            def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response_only(status)
                kept = {k.lower(): v for k, v in headers.items()}
                kept.pop("transfer-encoding", None)
                kept.pop("connection", None)
                if self.command != "HEAD":
                    kept["content-length"] = str(len(body))
                for name, value in kept.items():
                    self.send_header(name, value)
                # Whoever asked may have been killed since.
                with suppress(ConnectionError):
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    @staticmethod
    def pass_on(_method: str, _path: str) -> Answer | None:
        """Pass every request on to the store."""
        return None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def puts_from(number: int) -> Callable[[str, str], bool]:
    """Return a function that is true of the put with that number and all later ones."""
    puts = itertools.count(1)
    return lambda method, _path: method == "PUT" and next(puts) >= number


def kill_at(
    writer: Callable[[], subprocess.Popen[str]], proxy: Proxy, is_last: Callable[[str, str], bool]
) -> bool:
    """Kill a writer during a request; return False for one that ends well without it."""
    arrived, killed = threading.Event(), threading.Event()

    def hold(method: str, path: str) -> Answer | None:
        if not is_last(method, path):
            return None
        arrived.set()
        killed.wait(timeout=60)
        return Answer(500, "InternalError")

    proxy.judge = hold
    process = writer()
    while process.poll() is None and not arrived.wait(timeout=0.05):
        pass
    if arrived.is_set():
        process.kill()
    err = process.communicate(timeout=120)[1]
    killed.set()
    proxy.judge = Proxy.pass_on
    assert arrived.is_set() or process.returncode == 0, err
    return arrived.is_set()


def failing_from(place: str, answer: Answer) -> tuple[Judge, threading.Event]:
    """Return a judge that answers nothing else once a place is put, and whether it was."""
    gone = threading.Event()

    def judge(method: str, path: str) -> Answer | None:
        if method == "PUT" and place in path and "1A/validation" not in path:
            gone.set()
        return answer if gone.is_set() else None

    return judge, gone


def uploads(store: Objects) -> list[str]:
    """Return the upload prefixes that the store holds."""
    return sorted({e.path.rpartition("/")[0] for e in store.list() if "/upload=" in e.path})


def check_whole(store: Objects) -> set[str]:
    """Check that every receipt has its files, and every report its receipts; return folders."""
    there = {entry.path: entry.size for entry in store.list()}
    folders = {}
    for path in there:
        if path.startswith("control/commits/"):
            commit = json.loads(store.read(path) or b"")
            folder = commit["partition_path"]
            folders[folder] = commit["content_sha256_hex"]
            for file in commit["files"]:
                assert there[f"{folder}/{commit['upload']}/{file['path']}"] == file["bytes"]
    for path in there:
        if path.endswith("_run_report.json") and "/s0_" not in path:
            report = json.loads(store.read(path) or b"")
            for name, receipt in report.items():
                # Logs are files: they need no receipt of their own.
                if name.endswith("_receipt") and receipt["partition_path"] in folders:
                    held = folders[receipt["partition_path"]]
                    assert held == receipt["content_sha256_hex"]
            assert report["determinism_receipt"]["partition_path"] in folders
    return set(folders)


def environment(endpoint: str, cache: Path) -> dict[str, str]:
    """Return the environment of a command that reaches a store and keeps its copies in `cache`."""
    return {
        **os.environ,
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": endpoint,
        "SEGMENT1B_CACHE": str(cache),
    }


def segment1b(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "segment1b", *arguments], env=env, capture_output=True, text=True
    )
