"""The verbs of an object store against a real S3 server, and what its refusals become."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from published import raises
from segment1b.__main__ import main
from segment1b.contracts.urls import url_of
from segment1b.storage import objects
from segment1b.storage.objects import Objects
from segment1b.storage.store_root import working_copy
from stores import BUCKET, Answer, Proxy, environment, s3_server

VERBS: dict[str, Callable[[Objects, Path], object]] = {
    "list": lambda store, _: store.list(),
    "read": lambda store, _: store.read("a"),
    "create": lambda store, _: store.create("new", b"1"),
    "replace": lambda store, _: store.replace("a", b"1"),
    "upload": lambda store, file: store.upload("file", file),
    "download": lambda store, file: store.download("a", file.with_name("down")),
    "delete": lambda store, _: store.delete(["gone"]),
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Proxy]:
    with s3_server() as endpoint:
        one = Proxy(endpoint)
        yield one
        one.close()


@pytest.fixture
def proxy(shared: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Stand between the test's store and the server."""
    for name, value in environment(shared.endpoint, Path("cache")).items():
        monkeypatch.setenv(name, value)
    yield shared
    shared.judge = Proxy.pass_on


@pytest.fixture
def impatient(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Objects:
    """Return a store that is asked again once only, with one object."""
    monkeypatch.setattr(objects, "_RETRIES", 1)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # Opens it apart from patient ones.
    found = Objects(f"s3://{BUCKET}/credentials")
    found.replace("a", b"first")
    return found


@pytest.fixture
def store(proxy: Proxy, request: pytest.FixtureRequest) -> Objects:
    own = hashlib.sha256(request.node.name.encode()).hexdigest()[:16]
    found = Objects(f"s3://{BUCKET}/{own}")
    found.replace("a", b"first")
    return found


def test_a_url_is_told_from_a_folder() -> None:
    for given, url in {
        "s3://bucket/a/b": "s3://bucket/a/b",
        "s3://bucket/a/b/": "s3://bucket/a/b",
        "s3://bucket": "s3://bucket",
        Path("s3://bucket/a"): "s3://bucket/a",
        "gs://b/p": "gs://b/p",
        "az://c/p": "az://c/p",
        Path("file:///a/b"): "file:///a/b",
        "file:///a@b:c": "file:///a@b:c",
        "S3://bucket/a": "s3://bucket/a",
        "abfss://c@account.dfs.core.windows.net/p": "abfss://c@account.dfs.core.windows.net/p",
        "world": None,
        Path("/data/s3"): None,
        "C:/world": None,
        "a/b:c/d": None,
    }.items():
        assert url_of(given) == url


@pytest.mark.parametrize("given", ["ftp://host/a", "memory://", "s3://", "https://host/bucket/a"])
def test_a_url_that_no_store_answers_to_is_a_usage_error(given: str) -> None:
    with raises("E_USAGE"):
        url_of(given)


SECRETS = [
    "s3://KEY:SECRET@bucket/a",
    "S3://KEY:SECRET@bucket/a",
    "s3://SECRET@bucket",
    "s3://KEY:SECRET/bucket",
    "s3://bucket/a?X-Amz-Signature=SECRET",
    "gs://bucket/a#SECRET",
    "https://KEY:SECRET@bucket.s3.amazonaws.com/a",
    "abfss://KEY:SECRET@account.dfs.core.windows.net/a",
    "az://container/a?sig=SECRET",
    "file:///a?SECRET",
]
COMMANDS = [
    "run --data-root {}",
    "run --data-root {} --json",
    "status --data-root {} --json",
    "validate --data-root {}",
    "verify-bundle {}",
    "page --data-root {}",
    "page --compare {} other",
    "export --data-root {} --out out",
    "rng-export --stream in_cell_jitter --data-root {} --out out",
    "diff other {}",
    "explain --data-root {} --merchant 1 --country NL",
    "replay --data-root {} --merchant 1 --country NL --site 1",
    "evidence --data-root {} --out out",
    "clean --data-root {}",
    "outlets import list.csv --data-root {}",
    "reference build --resolution-arcsec 1080 --data-root {}",
    "page --out {}",
    "page --out={}",
    "run --outlets {}",
    "run --dictionary {} --json",
    "run --policy {}",
    "export --out {}",
    "evidence --out {}",
    "outlets import {}",
    "reference check --places {}",
    "nightly --config {}",
    "nightly --config night.yaml",
    "nightly --config night.yaml --dry-run --json",
]


@pytest.mark.parametrize("given", SECRETS)
def test_a_url_with_credentials_is_refused_and_not_repeated(given: str) -> None:
    for location in (given, Path(given)):
        with raises("E_USAGE", "AWS_SECRET_ACCESS_KEY") as caught:
            url_of(location)
        assert "SECRET" not in str(caught.value).replace("AWS_SECRET_ACCESS_KEY", "")
        assert not caught.value.scope


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("url", [SECRETS[0], SECRETS[4]])
def test_no_command_prints_or_keeps_the_credentials_of_a_url(
    command: str,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "cache"))
    Path("list.csv").write_text("merchant_id,country_iso,n_outlets\n1,NL,1\n")
    Path("night.yaml").write_text(f"summary: s.json\nruns: [{{name: a, data_root: '{url}'}}]\n")
    monkeypatch.setattr(sys, "argv", ["segment1b", *command.format(url).split()])
    with pytest.raises(SystemExit) as left:
        main()
    said = "".join(capfd.readouterr()).replace("AWS_SECRET_ACCESS_KEY", "")
    assert left.value.code == 2
    assert "E_USAGE" in said
    assert "SECRET" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "night.yaml"]


def test_what_a_store_says_is_repeated_without_secrets() -> None:
    error = OSError("Error performing PUT https://KEY:SECRET@host/a?sig=SECRET in 3 ms")
    assert objects._reason(error) == "Error performing PUT https://host/a in 3 ms"


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with raises("E_USAGE", r"segment1b\[object-store\]"):
        Objects("s3://without/extra")


def test_objects_are_put_listed_read_and_removed(store: Objects, tmp_path: Path) -> None:
    assert store.create("b/c=1/d e", b"12") is not None
    assert store.replace("a", b"again")
    found = {entry.path: entry.size for entry in store.list()}
    assert found == {"a": 5, "b/c=1/d e": 2}
    assert [entry.path for entry in store.list("b/")] == ["b/c=1/d e"]
    assert (store.read("a"), store.read("absent")) == (b"again", None)
    assert (store.size("a"), store.size("absent")) == (5, None)
    store.delete(["a", "absent"])
    assert [entry.path for entry in store.list()] == ["b/c=1/d e"]


def test_a_file_goes_up_and_comes_down_in_chunks(store: Objects, tmp_path: Path) -> None:
    data = os.urandom((20 << 20) + 7)
    (tmp_path / "up").write_bytes(data)
    store.upload("large", tmp_path / "up")
    size, digest = store.download("large", tmp_path / "down")
    assert (size, digest) == (len(data), hashlib.sha256(data).hexdigest())
    assert (tmp_path / "down").read_bytes() == data
    with raises("E_STORE_DAMAGED"):
        store.download("absent", tmp_path / "down")


def test_of_writers_at_once_one_creates(store: Objects) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda n: store.create("once", str(n).encode()), range(16)))
    (winner,) = [number for number, version in enumerate(made) if version is not None]
    assert store.read("once") == str(winner).encode()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "answer",
    [Answer(503, "SlowDown"), Answer(429, "TooManyRequests"), Answer(500, "InternalError")],
    ids=str,
)
def test_a_store_that_throttles_or_fails_for_a_while_is_asked_again(
    proxy: Proxy, tmp_path: Path, verb: str, answer: Answer
) -> None:
    store = Objects(f"s3://{BUCKET}/patient")
    store.delete(["new"])
    store.replace("a", b"first")
    (tmp_path / "file").write_bytes(b"12")
    left = [answer] * 2
    proxy.judge = lambda _method, _path: left.pop() if left else None
    VERBS[verb](store, tmp_path / "file")
    assert not left


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(503, "SlowDown"), "E_STORE_UNAVAILABLE"),
        (Answer(429, "TooManyRequests"), "E_STORE_UNAVAILABLE"),
        (Answer(500, "InternalError"), "E_STORE_UNAVAILABLE"),
        (Answer(400, "ExpiredToken"), "E_STORE_DENIED"),
        (Answer(403, "ExpiredToken"), "E_STORE_DENIED"),
        (Answer(403, "InvalidAccessKeyId"), "E_STORE_DENIED"),
        (Answer(403, "AccessDenied"), "E_STORE_DENIED"),
        (Answer(401, "Unauthorized"), "E_STORE_DENIED"),
        (Answer(404, "NoSuchBucket"), "E_STORE_MISSING"),
    ],
    ids=str,
)
def test_a_refusal_that_lasts_has_its_code(
    proxy: Proxy, impatient: Objects, tmp_path: Path, verb: str, answer: Answer, code: str
) -> None:
    (tmp_path / "file").write_bytes(b"12")
    proxy.judge = lambda _method, _path: answer
    with raises(code, answer.code) as caught:
        VERBS[verb](impatient, tmp_path / "file")
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_bucket_that_is_not_there_is_named(proxy: Proxy) -> None:
    with raises("E_STORE_MISSING", "s3://nowhere/a"):
        Objects("s3://nowhere/a").list()


def test_a_store_that_is_silent_is_unavailable(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr(objects, "_RETRIES", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with raises("E_STORE_UNAVAILABLE"):
        Objects(f"s3://{BUCKET}/a").list()


def test_a_word_in_a_name_is_no_refusal(proxy: Proxy, impatient: Objects) -> None:
    proxy.judge = lambda _method, _path: Answer(503, "SlowDown")
    with raises("E_STORE_UNAVAILABLE"):
        impatient.read("AccessDenied")


def test_without_credentials_the_store_is_denied(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # The machine's own account is asked for at this address.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", proxy.endpoint)
    proxy.judge = lambda _method, _path: Answer(404, "NotFound")
    with raises("E_STORE_DENIED"):
        Objects(f"s3://{BUCKET}/a").list()


def test_a_folder_s_marker_is_no_file(store: Objects, proxy: Proxy, tmp_path: Path) -> None:
    prefix = urlsplit(store.url).path
    for path in ("", "/reference", "/reference/spatial"):
        marker = HTTPConnection(urlsplit(proxy.endpoint).netloc, timeout=30)
        marker.request("PUT", f"/{BUCKET}{prefix}{path}/", b"")
        assert marker.getresponse().status == 200
        marker.close()
    store.replace("reference/spatial/file", b"1")
    root = working_copy(store.url, tmp_path)
    assert {p.name for p in root.rglob("*") if p.is_file()} >= {"a", "file"}
    assert (root / "reference/spatial/file").read_bytes() == b"1"
