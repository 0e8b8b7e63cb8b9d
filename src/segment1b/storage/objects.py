"""An object store: whole objects behind a URL, listed, read, created once or replaced.

All that is asked of a store is what S3, GCS, Azure, MinIO and R2 promise: a put is atomic, a put
with if-none-match has one winner, and a listing shows every put that has ended.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from segment1b import contracts
from segment1b.errors import Segment1BError, file_error
from segment1b.storage.durable import coded_os_errors, fsync_file

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

Found = TypeVar("Found")
#: Where the receipts lie that commit folders.
COMMITS = "control/commits"
#: Prefixes of the stores' own variables: endpoint, region, credentials.
_OPTIONS = ("AWS_", "GOOGLE_", "AZURE_")
_CHUNK = 8 << 20
_RETRIES = 10
_PATIENCE = timedelta(seconds=60)
_DENIED = re.compile(
    r"ExpiredToken|InvalidToken|TokenRefreshRequired|InvalidAccessKeyId|SignatureDoesNotMatch"
    r"|AccessDenied|RequestTimeTooSkewed|[Cc]redential|\b40[13] "
)
# Without keys the machine's own account is asked for, which few machines have.
_NO_KEYS = re.compile(r"/latest/(api/token|meta-data)|/computeMetadata/|/metadata/identity")
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist")


@dataclass(frozen=True)
class Entry:
    """What a listing says of an object: its size in bytes, its version and its age."""

    path: str
    size: int
    e_tag: str
    modified: datetime


class Objects:
    """The objects below one URL; every failure is coded.

    Raises:
        Segment1BError: E_STORE_UNAVAILABLE when the store still throttles, fails or is silent
            after the retries; E_STORE_DENIED for credentials it does not take; E_STORE_MISSING
            for a bucket that is not there; E_USAGE without the object-store extra.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        options = [(name, value) for name, value in os.environ.items() if name.startswith(_OPTIONS)]
        self._store = _open(url, tuple(sorted(options)))

    def list(self, prefix: str = "") -> list[Entry]:
        """Return the objects below a prefix, which ends at a slash."""
        with coded_store_errors(self.url, prefix):
            return [
                Entry(one["path"], one["size"], one["e_tag"] or "", one["last_modified"])
                for page in self._store.list(prefix or None)
                for one in page
            ]

    def read(self, path: str) -> bytes | None:
        """Return a small object's bytes, or None when it is absent."""
        return self._present(path, lambda: bytes(self._store.get(path).bytes()))

    def size(self, path: str) -> int | None:
        """Return an object's bytes as they are now, or None when it is absent."""
        return self._present(path, lambda: int(self._store.head(path)["size"]))

    def create(self, path: str, data: bytes) -> str | None:
        """Put an object unless there is one; return its version, or None for one that was there.

        Of any number of writers at once, one gets a version.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with coded_store_errors(self.url, path):
            try:
                return self._store.put(path, data, mode="create")["e_tag"] or ""
            except (AlreadyExistsError, PreconditionError):
                return None

    def replace(self, path: str, data: bytes) -> str:
        """Put an object over whatever is there; readers see the old or the new one."""
        with coded_store_errors(self.url, path):
            return self._store.put(path, data)["e_tag"] or ""

    def upload(self, path: str, file: Path) -> str:
        """Put a file of any size in chunks; it appears when it is whole."""
        with coded_store_errors(self.url, path):
            put = self._store.put(path, file, chunk_size=_CHUNK, max_concurrency=2)
            return put["e_tag"] or ""

    def download(self, path: str, file: Path) -> tuple[int, str]:
        """Bring an object into a new file in chunks, flushed; return its bytes and SHA-256.

        The file has the object's time of modification, which is when it was published. An object
        that is absent is E_STORE_DAMAGED.
        """
        digest, size = hashlib.sha256(), 0
        found = self._present(path, lambda: self._store.get(path))
        if found is None:
            raise damaged(self.url, path, "is absent")
        modified = found.meta["last_modified"].timestamp()
        with coded_store_errors(self.url, path), coded_os_errors(file):
            with file.open("wb") as handle:
                for chunk in found.stream(min_chunk_size=_CHUNK):
                    digest.update(chunk)
                    size += handle.write(chunk)
            os.utime(file, (modified, modified))
            fsync_file(file)
        return size, digest.hexdigest()

    def delete(self, paths: Sequence[str]) -> None:
        """Remove objects; one that is absent is no error."""
        for path in paths:
            self._present(path, functools.partial(self._store.delete, path))

    def _present(self, path: str, act: Callable[[], Found]) -> Found | None:
        """Return what `act` returns; None when its object is absent, and not the whole bucket."""
        with coded_store_errors(self.url, path):
            try:
                return act()
            except FileNotFoundError as error:
                if _NO_BUCKET.search(str(error)):
                    raise
                return None


def damaged(url: str, path: str, why: str) -> Segment1BError:
    """Return the error for an object that is not what its receipt or the listing says."""
    # No command reads past a damaged commit.
    commit = path.startswith(f"{COMMITS}/")
    again = "delete it and run again" if commit else contracts.load().redo(path)
    hint = f"restore the object from a copy or an older version; or {again}"
    return Segment1BError("E_STORE_DAMAGED", f"{url}/{path} {why}", hint, path=f"{url}/{path}")


@functools.lru_cache(maxsize=8)
def _open(url: str, _told: tuple[tuple[str, str], ...]) -> Any:
    try:
        from obstore.store import LocalStore, from_url
    except ImportError:
        what = f"{url}: the package obstore is not installed"
        hint = "install it: pip install 'segment1b[object-store]'"
        raise Segment1BError("E_USAGE", what, hint) from None
    if url.startswith("file:"):
        return LocalStore(urlsplit(url).path, mkdir=True)
    # The store's own variables (AWS_ENDPOINT_URL, AWS_REGION, ...) are read by obstore.
    endpoints = [os.environ.get(f"AWS_ENDPOINT{tail}", "") for tail in ("_URL_S3", "_URL", "")]
    endpoint = next((one for one in endpoints if one), "")
    loopback = urlsplit(endpoint).hostname in ("127.0.0.1", "::1", "localhost")
    options: ClientConfig = {"timeout": timedelta(minutes=5)}
    if loopback:
        options["allow_http"] = True
    # The pauses in between are the library's: from 0.1 s, doubled up to 15 s.
    retries: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": _PATIENCE}
    with coded_store_errors(url, ""):
        return from_url(url, client_options=options, retry_config=retries)


@contextmanager
def coded_store_errors(url: str, path: str) -> Iterator[None]:
    """Turn the errors of a store into one error with a code."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError, PermissionError) as error:
        code, what = _meaning(error)
        place = f"{url}/{path}".rstrip("/")
        raise file_error(code, place, f": {what}: {_reason(error)}") from None


def _meaning(error: Exception) -> tuple[str, str]:
    # The name of an object may hold any word, so it is removed first.
    raw = str(error).partition("Debug source:")[0]
    text = re.sub(r"(https?://|location )\S+", "", raw)
    if _NO_BUCKET.search(text) or isinstance(error, FileNotFoundError):
        return "E_STORE_MISSING", "the bucket does not exist"
    if isinstance(error, PermissionError) or _DENIED.search(text) or _NO_KEYS.search(raw):
        return "E_STORE_DENIED", "the store refuses these credentials"
    return "E_STORE_UNAVAILABLE", f"the store does not answer after {_RETRIES} retries"


def _reason(error: Exception) -> str:
    """Return the message of the store on one short line, without secrets in URLs."""
    text = " ".join(str(error).partition("Debug source:")[0].split())
    text = re.sub(r"(://)[^/\s]*@", r"\1", text)
    text = re.sub(r"(://[^\s?#]*)[?#][^\s)]*", r"\1", text)
    code = re.search(r"<Code>(\w+)</Code>(?:.*?<Message>(.*?)</Message>)?", text)
    status = re.search(r"\b[45]\d\d [A-Z][A-Za-z ]+", text)
    if code:
        return f"{code.group(1)}, {(code.group(2) or '').strip()}".rstrip(", ")
    return status.group(0).strip() if status else text[:200]
