"""Lineage: OpenLineage events of night, runs and states; no endpoint can harm a night."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nightly.conftest import Write, events, night, plan
from segment1b import contracts
from segment1b.contracts.locations import SCHEMAS
from segment1b.contracts.program import contracts_root
from segment1b.contracts.schemas import Schemas
from segment1b.errors import Segment1BError
from segment1b.nightly.lineage import child_job, dataset_name, night_job
from segment1b.nightly.plan import LineagePlan
from segment1b.nightly.transport import outbox
from shapes import files_end_at

Json = dict[str, Any]
EVENT, RECEIPT = (f"schemas.automation.yaml#/lineage/{n}" for n in ("run_event", "receipt_facet"))


class Endpoint(ThreadingHTTPServer):
    """A lineage backend on loopback that answers with the statuses it was told, then with 200."""

    def __init__(self, *statuses: int, delay: float = 0, location: str = "") -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.statuses, self.delay, self.location = list(statuses), delay, location
        self.requests = 0
        self.calls: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def accepted(self) -> list[Json]:
        return [json.loads(body) for _, _, body in self.calls]


class Answer(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.server.requests += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.delay)
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.calls.append((self.path, dict(self.headers), body))
        self.send_response(status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(*statuses: int, **options: Any) -> Iterator[Endpoint]:
    server = Endpoint(*statuses, **options)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def problems(event: Json) -> list[str]:
    schemas = Schemas(contracts_root() / SCHEMAS)
    found = schemas.problems(EVENT, event)
    for dataset in (*event["inputs"], *event["outputs"]):
        found += schemas.problems(RECEIPT, dataset["facets"]["segment1b_receipt"])
    return found


def test_the_events_of_a_night_in_a_file(desk: Path, write: Write) -> None:
    """START and one end for each job; each child names its parent; every event fits its schema."""
    summary = night(
        write(
            plan("good", "one"),
            plan("bad", "two", outlets="absent.csv"),
            openlineage="out/lineage.jsonl",
        )
    )
    told = events(desk / "out/lineage.jsonl")
    assert summary["openlineage"] == {"to": "out/lineage.jsonl", "sent": len(told), "unsent": 0}
    assert [found for event in told for found in problems(event)] == []
    kinds: dict[str, list[str]] = {}
    for event in told:
        kinds.setdefault(event["job"]["name"], []).append(event["eventType"])
    states = {f"good.s{number}": ["START", "COMPLETE"] for number in range(5)}
    whole = {"nightly": ["START", "FAIL"], "good": ["START", "COMPLETE"], "bad": ["START", "FAIL"]}
    assert kinds == states | whole
    ids = {event["job"]["name"]: event["run"]["runId"] for event in told}
    assert ids["nightly"] == summary["night_id"]
    for event in told:
        name, parent = event["job"]["name"], event["run"]["facets"].get("parent")
        if name == "nightly":
            assert parent is None
            continue
        above = name.rpartition(".")[0] or "nightly"
        assert parent["job"]["name"] == above
        assert parent["run"]["runId"] == ids[above]
        last = name.rpartition(".")[2]
        assert ids[name] == str(uuid.uuid5(uuid.UUID(ids[above]), last))
    for name in ("bad", "nightly"):
        (end,) = (e for e in told if e["job"]["name"] == name and e["eventType"] == "FAIL")
        message = end["run"]["facets"]["errorMessage"]["message"]
        assert ("E_OUTLETS_INVALID" if name == "bad" else "bad") in message


def test_outputs_have_schema_rows_size_and_the_digest_of_their_receipt(
    desk: Path, write: Write
) -> None:
    (run,) = night(write(plan("a", "one"), openlineage="l.jsonl"))["runs"]
    told = events(desk / "l.jsonl")
    (end,) = (e for e in told if e["job"]["name"] == "a.s4" and e["eventType"] == "COMPLETE")
    (made,) = end["outputs"]
    known, said = contracts.load(), run["states"]["s4"]["datasets"]["s4_alloc_plan"]
    assert made["name"] == f"{desk}/one/data/layer1/1B/s4_alloc_plan"
    facets = made["facets"]
    assert [(f["name"], f["type"]) for f in facets["schema"]["fields"]] == [
        (column.name, column.type) for column in known["s4_alloc_plan"].columns
    ]
    assert facets["version"]["datasetVersion"] == said["content_sha256_hex"]
    assert facets["segment1b_receipt"]["contentSha256Hex"] == said["content_sha256_hex"]
    statistics = made["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"]) == (said["rows"], said["bytes"])
    # What a state reads has the name and version under which another one wrote it.
    report = json.loads(Path(run["states"]["s4"]["run_report"]).read_text())
    assert {
        one["facets"]["segment1b_receipt"]["datasetId"]: one["facets"]["version"]["datasetVersion"]
        for one in end["inputs"]
    } == report["input_digests"]
    written = {
        (o["name"], o["facets"]["version"]["datasetVersion"]) for e in told for o in e["outputs"]
    }
    read = {
        (i["name"], i["facets"]["version"]["datasetVersion"])
        for i in end["inputs"]
        if "/1B/" in i["name"] and "parameter_policy" not in i["name"]
    }
    assert len(read) == 4
    assert read <= written
    (whole,) = (e for e in told if e["job"]["name"] == "a" and e["eventType"] == "COMPLETE")
    assert len(whole["outputs"]) == 7
    assert not {i["name"] for i in whole["inputs"]} & {o["name"] for o in whole["outputs"]}


def test_no_two_datasets_share_a_name() -> None:
    places = [d for d in contracts.load() if d.receipt_in or d.owner in ("1A", "reference")]
    names = [dataset_name(Path("/root"), dataset.path) for dataset in places]
    assert len(set(names)) == len(names) >= 20


def test_ids_of_nights_never_come_twice_and_those_of_children_follow() -> None:
    nights = [night_job() for _ in range(100)]
    assert len({one.run_id for one in nights}) == 100
    first = child_job(nights[0], "a")
    assert first == child_job(nights[0], "a")
    assert len({first.run_id, child_job(first, "s1").run_id, child_job(nights[1], "a").run_id}) == 3


def test_keys_of_an_endpoint_are_named_when_events_go_to_a_file(desk: Path, write: Write) -> None:
    lineage = {"to": "events.jsonl", "api_key": "opensesame", "tries": 3}
    path = write(plan("a", "one", to_state="s0"), openlineage=lineage, summary="s.json")
    assert night(path)["warnings"] == ["openlineage: api_key has no effect on a file"]
    assert LineagePlan(to="http://h", api_key="opensesame", tries=9).unused == []
    assert LineagePlan(to="f", timeout_seconds=1.0, tries=9).unused == ["timeout_seconds", "tries"]


def test_an_endpoint_gets_every_event_also_when_it_answers_500_twice(
    desk: Path, write: Write
) -> None:
    with serving(500, 503) as endpoint:
        lineage = {"to": endpoint.url, "api_key": "opensesame"}
        path = write(plan("a", "one", to_state="s0"), openlineage=lineage, summary="s.json")
        summary = night(path)
    assert summary["status"] == "passed"
    assert summary["warnings"] == []
    assert summary["openlineage"]["sent"] == len(endpoint.accepted) == 6
    assert [event["eventType"] for event in endpoint.accepted[:2]] == ["START", "START"]
    assert [found for event in endpoint.accepted for found in problems(event)] == []
    for where, headers, _ in endpoint.calls:
        assert where == "/api/v1/lineage"
        assert headers["Content-Type"] == "application/json"
        assert headers["Authorization"] == "Bearer opensesame"
    assert "opensesame" not in (desk / "s.json").read_text()


def test_an_endpoint_that_is_down_is_a_warning_and_the_night_passes(
    desk: Path, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as endpoint:
        url = endpoint.url
    summary = night(
        write(plan("a", "one", to_state="s0"), openlineage={"to": f"{url}/x?key=1", "tries": 2})
    )
    assert summary["status"] == "passed"
    assert summary["openlineage"] == {"to": f"{url}/x", "sent": 0, "unsent": 6}
    (warning,) = summary["warnings"]
    assert warning.startswith(f"6 OpenLineage events were not delivered to {url}/x: ")
    assert "refused" in warning
    assert warning in caplog.text


@pytest.mark.parametrize(
    ("statuses", "sent", "left"),
    [
        *(([500, 500, 200], 1, []), ([429, 408, 200], 1, []), ([500, 500, 500, 200], 0, [200])),
        *(([401, 200], 0, [200]), ([404, 200], 0, [200])),
        *(([status], 1, []) for status in (200, 201, 202, 204)),
    ],
)
def test_what_is_tried_again_and_what_is_final(
    statuses: list[int], sent: int, left: list[int]
) -> None:
    with serving(*statuses) as endpoint:
        box = outbox(LineagePlan(to=endpoint.url))
        box.send({"a": 1})
        assert (box.sent, box.unsent) == (sent, 1 - sent)
        assert (endpoint.statuses, endpoint.requests) == (left, len(statuses) - len(left))
        box.send({"a": 2})
        assert box.sent + box.unsent == 2
        assert bool(box.warnings) is (sent == 0)
        # After one that was given up nothing is tried any more.
        assert endpoint.statuses == left


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_refused_and_no_other_host_gets_the_token(status: int) -> None:
    with serving() as other, serving(status, location=f"{other.url}/taken") as endpoint:
        box = outbox(LineagePlan(to=endpoint.url, api_key="opensesame"))
        box.send({"a": 1})
    assert (box.sent, box.unsent) == (0, 1)
    assert box.warnings[0].endswith(
        f"HTTP status {status}, a redirect: give the URL that accepts events"
    )
    assert (endpoint.requests, other.requests) == (1, 0)


@pytest.mark.parametrize(
    "given",
    [
        *({"to": f"http://{rest}"} for rest in ("u:secret@h/", "h:secret/", "[secret/")),
        *({"to": f"http://h/?key=secret{end}"} for end in (" space", "\n")),
        *({"to": to} for to in ("https://secret@h:x/", "http:secret", "ftp://u:secret@h/")),
        {"to": "http://h", "api_key": "secret\nX-Other: 1"},
        {"to": "http://h", "api_key": "secret ü"},
    ],
)
def test_a_malformed_destination_or_key_is_refused_and_not_repeated(
    given: Json, write: Write
) -> None:
    with pytest.raises(Segment1BError) as caught:
        night(write(plan("a", "one"), openlineage=given))
    assert caught.value.code == "E_USAGE"
    assert "secret" not in str(caught.value)


def test_an_endpoint_that_does_not_answer_costs_one_time_out() -> None:
    with serving(delay=3.0) as endpoint:
        box = outbox(LineagePlan(to=endpoint.url, timeout_seconds=0.1, tries=1))
        start = time.monotonic()
        for _ in range(20):
            box.send({})
        assert time.monotonic() - start < 2.5
    assert (box.sent, box.unsent) == (0, 20)
    assert "timed out" in box.warnings[0]


def test_an_endpoint_that_answers_a_byte_at_a_time_costs_one_time_out() -> None:
    over = threading.Event()

    def trickle(listening: socket.socket) -> None:
        with listening.accept()[0] as asked, suppress(OSError):
            asked.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not over.wait(0.05):
                asked.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=trickle, args=(listening,))
        server.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        box = outbox(LineagePlan(to=url, timeout_seconds=0.3, tries=1))
        sender = threading.Thread(target=box.send, args=({},), daemon=True)
        sender.start()
        sender.join(5)
        waits = sender.is_alive()
        over.set()
        server.join()
    assert not waits
    assert "timed out" in box.warnings[0]


@pytest.mark.parametrize("kind", ["fifo", "device", "below a file"])
def test_only_a_regular_file_takes_events(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/null")
    else:
        (tmp_path / "taken").touch()
        path = tmp_path / "taken/l.jsonl"
    box = outbox(LineagePlan(to=str(path)))
    box.send({})
    assert (box.sent, box.unsent, len(box.warnings)) == (0, 1, 1)


@pytest.mark.parametrize("room", [8, 12])
def test_an_event_that_does_not_fit_on_the_disk_leaves_no_part(room: int, tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    outbox(LineagePlan(to=str(path))).send({"a": 1})
    assert path.read_text() == '{"a":1}\n'
    box = outbox(LineagePlan(to=str(path)))
    with files_end_at(room):
        box.send({"b": 2})
    assert (box.sent, box.unsent) == (0, 1)
    assert path.read_text() == '{"a":1}\n'


def test_a_file_grows_from_night_to_night_also_after_a_line_that_was_cut_short(
    tmp_path: Path,
) -> None:
    path = tmp_path / "l.jsonl"
    path.write_text('{"a":1}\n{"b"')  # a night was killed
    for number in range(2):
        outbox(LineagePlan(to=str(path))).send({"night": number})
    assert path.read_text() == '{"a":1}\n{"b"\n{"night":0}\n{"night":1}\n'
