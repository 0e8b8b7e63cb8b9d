"""Lineage transport to a file or an HTTP endpoint; a transport failure never fails a run."""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import stat
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit, urlunsplit

from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.nightly.plan import LineagePlan
from segment1b.storage.durable import make_folder

ENDPOINT = "/api/v1/lineage"
_FIRST_PAUSE_SECONDS = 0.2
_AGAIN = (408, 425, 429)


class UndeliveredError(Exception):
    """An event that was given up, and why."""


class Outbox:
    """Sends events until one cannot be delivered; counts the events that were sent or not.

    After an event is given up no other is tried: a night must not wait for a dead endpoint fifty
    times.
    """

    def __init__(self, deliver: Callable[[bytes], None], name: str) -> None:
        self._deliver, self.name = deliver, name
        self.sent, self.unsent, self.problem = 0, 0, ""

    def send(self, event: Mapping[str, Any]) -> None:
        """Send one event, or count it as not sent; never raises."""
        if not self.problem:
            try:
                self._deliver(canonical_json(event))
                self.sent += 1
                return
            except UndeliveredError as error:
                self.problem = str(error)
        self.unsent += 1

    @property
    def warnings(self) -> list[str]:
        """Return the warning about events that were not sent."""
        if not self.problem:
            return []
        return [
            f"{self.unsent} OpenLineage events were not delivered to {self.name}: {self.problem}"
        ]


def outbox(plan: LineagePlan) -> Outbox:
    """Return the outbox for a destination; its name leaves out a query, which may be secret."""
    if not plan.is_url:
        return Outbox(functools.partial(_append, Path(plan.to)), plan.to)
    parts = urlsplit(plan.to)
    if parts.path in ("", "/"):
        parts = parts._replace(path=ENDPOINT)
    shown = urlunsplit(parts._replace(query="", fragment=""))
    return Outbox(functools.partial(_post, urlunsplit(parts), plan), shown)


def _append(path: Path, body: bytes) -> None:
    """Append one line for an event: complete and on disk, or not at all."""
    try:
        make_folder(path.absolute().parent)
        # Without O_NONBLOCK a FIFO that nobody reads would stop the night.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
        handle = os.open(path, flags, 0o666)
        try:
            _append_line(handle, body)
        finally:
            os.close(handle)
    except (OSError, Segment1BError) as error:
        raise UndeliveredError(str(error)) from None


def _append_line(handle: int, body: bytes) -> None:
    """Append a line to an open file and flush it to the disk; raises OSError and leaves no part."""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    fcntl.flock(handle, fcntl.LOCK_EX)  # released with the handle
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) != b"\n":
        body = b"\n" + body  # A killed process left part of a line.
    try:
        if os.write(handle, body) != len(body):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise


def _post(url: str, plan: LineagePlan, body: bytes) -> None:
    """Post an event until the endpoint accepts it (2xx).

    A redirect (3xx) or refusal (4xx) is final, all else is tried again after a pause.
    """
    pause = _FIRST_PAUSE_SECONDS
    for left in reversed(range(plan.tries)):
        try:
            _post_in_time(url, plan, body)
            return
        except HTTPError as error:
            error.close()
            problem = f"HTTP status {error.code}"
            if 300 <= error.code < 400:
                problem += ", a redirect: give the URL that accepts events"
            final = error.code < 500 and error.code not in _AGAIN
        # URLError and time-outs are OSErrors; a host name that cannot be encoded a ValueError.
        except (OSError, HTTPException, ValueError) as error:
            problem, final = str(error) or type(error).__name__, False
        if final or not left:
            raise UndeliveredError(problem)
        time.sleep(pause)
        pause *= 2


def _post_in_time(url: str, plan: LineagePlan, body: bytes) -> None:
    """Post once; an endpoint that answers one byte at a time is given up after the time-out."""
    answer: Future[None] = Future()

    def post() -> None:
        try:
            _post_once(url, plan, body)
            answer.set_result(None)
        except Exception as error:  # noqa: BLE001 - the future carries it
            answer.set_exception(error)

    # The time-out of urllib starts anew with every byte.
    threading.Thread(target=post, daemon=True).start()
    if not wait([answer], min(plan.timeout_seconds, threading.TIMEOUT_MAX)).done:
        raise TimeoutError("timed out")
    answer.result()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an HTTPError: following one turns the POST into a GET, token and all."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse the redirect."""


def _post_once(url: str, plan: LineagePlan, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    if plan.api_key:
        headers["Authorization"] = f"Bearer {plan.api_key}"
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310
    opener = urllib.request.build_opener(_NoRedirects)
    with opener.open(request, timeout=plan.timeout_seconds):
        pass
