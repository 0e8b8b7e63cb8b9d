"""The night: one run after another, each whole; a summary that can be relied on; one at a time."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nightly.conftest import Write, files, night, plan
from segment1b import contracts
from segment1b.__main__ import main
from segment1b.audit import validate
from segment1b.errors import Segment1BError
from segment1b.nightly import execution
from segment1b.nightly.summary import check_summary
from segment1b.storage.locks import owned_lock

Json = dict[str, Any]
S4_CHECKED = {"validate": ["s3", "s4"]}


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that does what a shell does with `segment1b nightly`."""

    def called(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["segment1b", "nightly", *map(str, words)])
        monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
        monkeypatch.setattr(threading, "excepthook", threading.excepthook)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        return Said(int(left.value.code or 0), *capsys.readouterr())

    return called


def by_name(summary: Json) -> dict[str, Json]:
    return {run["name"]: run for run in summary["runs"]}


def test_a_broken_second_run_is_named_and_the_others_are_whole(desk: Path, write: Write) -> None:
    path = write(
        plan("first", "one", **S4_CHECKED),
        plan("second", "two", outlets="absent.csv", **S4_CHECKED),
        plan("third", "one", to_state="s5"),
        summary="out/summary.json",
    )
    summary = night(path)
    runs = by_name(summary)
    assert summary["status"] == "failed"
    assert [runs[name]["status"] for name in runs] == ["passed", "failed", "passed"]
    error = runs["second"]["error"]
    assert error["code"] == "E_OUTLETS_INVALID"
    assert "absent.csv" in error["message"]
    assert runs["second"]["states"] == {}
    assert runs["second"]["validators"] == []
    for entry in runs["first"]["validators"]:
        assert (entry["passed"] > 5, entry["failed"]) == (True, 0)
    tokens = runs["first"]["identity"]
    results = validate(desk / "one", contracts.load(), tokens, ["s0", "s1", "s2", "s3", "s4", "s5"])
    assert [result.name for result in results if not result.ok] == []
    assert json.loads((desk / "out/summary.json").read_text()) == summary
    assert [path.name for path in (desk / "out").iterdir()] == ["summary.json"]


def test_the_summary_tells_outcome_rows_digests_and_reports_of_each_state(
    desk: Path, write: Write
) -> None:
    path = write(
        plan("a", "one", s4_run_report="out/deep/s4.json", s0_run_report="s0.json"),
        plan("b", "one", s4_run_report="s4.json"),
    )
    first, second = night(path)["runs"]
    assert list(first["states"]) == ["s0", "s1", "s2", "s3", "s4"]
    assert {entry["outcome"] for entry in first["states"].values()} == {"published"}
    outcomes = [entry["outcome"] for entry in second["states"].values()]
    assert outcomes == ["unchanged", "reused", "reused", "reused", "reused"]
    for entry in first["states"].values():
        report = json.loads(Path(entry["run_report"]).read_text())
        receipt = report["determinism_receipt"]
        digests = {one["content_sha256_hex"] for one in entry["datasets"].values()}
        assert receipt["content_sha256_hex"] in digests
        assert entry["rows"] == report.get("rows_emitted", report.get("outlet_rows"))
        for one in entry["datasets"].values():
            there = Path(one["path"])
            parts = [there] if there.is_file() else list(there.iterdir())
            assert one["bytes"] == sum(part.stat().st_size for part in parts)
    for state, entry in second["states"].items():
        assert entry["datasets"] == first["states"][state]["datasets"]
    # Copies of reports are put also when the state is reused.
    assert (desk / "s0.json").exists()
    for run, copy in ((first, "out/deep/s4.json"), (second, "s4.json")):
        assert run["states"]["s3"]["run_report_copy"] is None
        entry = run["states"]["s4"]
        assert entry["run_report_copy"] == copy
        assert (desk / copy).read_bytes() == Path(entry["run_report"]).read_bytes()


def test_a_run_that_fails_midway_tells_what_it_has_published(desk: Path, write: Write) -> None:
    (healthy,) = night(write(plan("a", "one")))["runs"]
    (part,) = Path(healthy["states"]["s3"]["datasets"]["s3_requirements"]["path"]).iterdir()
    part.write_bytes(part.read_bytes()[:100])
    (run,) = night(write(plan("a", "one", s2_run_report="s2.json")))["runs"]
    assert run["status"] == "failed"
    assert run["error"]["code"] == "E313_NONDETERMINISTIC_OUTPUT"
    assert run["identity"] == healthy["identity"]
    assert run["states"]["s2"]["outcome"] == "reused"
    assert run["states"]["s2"]["datasets"] == healthy["states"]["s2"]["datasets"]
    assert Path("s2.json").read_bytes() == Path(run["states"]["s2"]["run_report"]).read_bytes()
    assert list(run["states"])[-1] == run["error"]["scope"]["state"] == "s3"
    assert run["states"]["s3"]["outcome"] == "failed"
    assert run["states"]["s3"]["ended_utc"] is None
    assert "datasets" not in run["states"]["s3"]


def test_an_offence_found_by_a_validator_fails_the_night(desk: Path, write: Write) -> None:
    (run,) = night(write(plan("a", "one")))["runs"]
    report = Path(run["states"]["s4"]["run_report"])
    forged = json.loads(report.read_text()) | {"pairs_total": 1}
    report.write_text(json.dumps(forged))
    summary = night(write(plan("a", "one", **S4_CHECKED)))
    (run,) = summary["runs"]
    assert (summary["status"], run["status"], run["error"]) == ("failed", "failed", None)
    s3, s4 = run["validators"]
    assert (s3["failed"], s4["failed"] > 0) == (0, True)
    assert {one["code"][:4] for one in s4["offences"]} <= {"E404", "E415", "E406"}


def test_fail_fast_leaves_out_the_rest_and_only_all_others(desk: Path, write: Write) -> None:
    broken = plan("first", "two", outlets="absent.csv")
    path = write(broken, plan("second", "one"), plan("third", "two"), fail_fast=True)
    assert [run["status"] for run in night(path)["runs"]] == ["failed", "skipped", "skipped"]
    assert not (desk / "one" / "data").exists()
    summary = night(path, "second")
    assert [run["status"] for run in summary["runs"]] == ["skipped", "passed", "skipped"]
    with pytest.raises(Segment1BError, match="no run 'secnd'") as caught:
        night(path, "secnd")
    assert (caught.value.code, caught.value.hint) == ("E_USAGE", "did you mean 'second'?")


def test_overrides_are_policy_and_change_the_parameter_hash(desk: Path, write: Write) -> None:
    (desk / "p.yaml").write_text("prep: {dp: 9}\n")
    hashes = []
    for keys in ({}, {"dp": 9}, {"policy": "p.yaml"}, {"settings": ["dp=9"]}, {"basis": "uniform"}):
        root = desk / f"root{len(hashes)}"
        root.mkdir()
        (root / "reference").symlink_to(desk / "one" / "reference")
        (run,) = night(write(plan("a", str(root), to_state="s0", **keys)))["runs"]
        hashes.append(run["identity"]["parameter_hash"])
    assert len(set(hashes)) == 3
    assert hashes[1] == hashes[2] == hashes[3]


def test_a_run_names_its_list_and_a_later_one_takes_it_by_name(desk: Path, write: Write) -> None:
    fewer = (desk / "my.csv").read_text().splitlines()[:9]
    (desk / "fewer.csv").write_text("\n".join(fewer) + "\n")
    runs = [
        plan("first", "one", list_name="q3-portfolio", to_state="s0"),
        plan("other", "one", outlets="fewer.csv", to_state="s0"),
        plan("last", "one", to_state="s0"),
        plan("again", "one", manifest_fingerprint="q3-portfolio", to_state="s0"),
    ]
    for run in runs[2:]:
        del run["outlets"]
    entries = by_name(night(write(*runs)))
    lists = {name: run["identity"]["manifest_fingerprint"] for name, run in entries.items()}
    assert lists["again"] == lists["first"] != lists["other"] == lists["last"]
    with pytest.raises(Segment1BError, match=r"run 'first': '\.\./x' cannot be the name of a list"):
        night(write(plan("first", "one", list_name="../x")))


def test_a_copy_that_cannot_be_put_fails_its_run_alone(desk: Path, write: Write) -> None:
    (desk / "file").touch()
    summary = night(write(plan("a", "one", s4_run_report="file/s4.json"), plan("b", "two")))
    assert [run["status"] for run in summary["runs"]] == ["failed", "passed"]
    assert summary["runs"][0]["error"]["code"] == "E_DATA_ROOT_UNUSABLE"
    assert summary["runs"][0]["states"]["s3"]["outcome"] == "published"


@pytest.mark.code("E_INTERNAL")
def test_a_run_that_breaks_is_e_internal_and_the_next_goes_on(
    desk: Path, write: Write, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = execution.run_pipeline

    def breaks_once(settings: Any, *rest: Any) -> Any:
        if settings.data_root == Path("two"):
            raise ZeroDivisionError("by zero")
        return real(settings, *rest)

    monkeypatch.setattr(execution, "run_pipeline", breaks_once)
    path = write(plan("first", "two"), plan("second", "one"))
    done = command("--config", path, "--json", "--log-format", "json")
    summary = json.loads(done.stdout)
    assert [run["status"] for run in summary["runs"]] == ["failed", "passed"]
    error = summary["runs"][0]["error"]
    assert (error["code"], error["message"]) == ("E_INTERNAL", "ZeroDivisionError: by zero")
    assert "Traceback" not in done.stderr
    kept = Path(error["hint"].rpartition(" ")[2])
    assert 'ZeroDivisionError("by zero")' in kept.read_text()
    kept.unlink()


def test_an_interrupt_ends_the_night_with_a_summary(
    desk: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM, as systemd sends it, is an interrupt; the handler of before is back afterwards."""

    def terminated(*_: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 5)  # the handler runs here at the latest

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(execution, "run_pipeline", terminated)
    summary = night(write(plan("first", "one"), plan("second", "two"), summary="s.json"))
    assert [run["status"] for run in summary["runs"]] == ["failed", "skipped"]
    assert summary["runs"][0]["error"]["code"] == "E_INTERRUPTED"
    assert json.loads((desk / "s.json").read_text()) == summary
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_night_is_told_who_is_at_work_and_runs_nothing(
    desk: Path, write: Write, command: Command
) -> None:
    path = write(plan("a", "one"), lock="locks/night.lock", summary="s.json")
    (desk / "locks").mkdir()
    with owned_lock(desk / "locks/night.lock", 0, "", ""):
        done = command("--config", path, "--json")
    assert done.code == 4
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "E_LOCKED"
    assert re.search(rf"another night is at work .*host .*, pid {os.getpid()}", error["message"])
    assert not (desk / "one/data").exists()
    assert not (desk / "s.json").exists()
    assert night(path)["status"] == "passed"


def test_a_dry_run_writes_nothing_and_says_what_would_run(
    desk: Path, write: Write, command: Command
) -> None:
    path = write(
        plan("a", "one", dp=9, validate="all", notes="why"),
        plan("b", "new/root"),
        lock="new/l.lock",
        summary="new/s.json",
        openlineage="new/o",
    )
    before = files(desk)
    done = command("--config", path, "--dry-run")
    assert done.code == 0
    assert "a: would run s0 to s4 in one\n  with prep.dp=9\n" in done.stdout
    assert "  then validate s0, s1, s2, s3, s4\n  why\n" in done.stdout
    assert "b: would run s0 to s4 in new/root\n" in done.stdout
    said = json.loads(command("--config", path, "--dry-run", "--json", "--only", "b").stdout)
    assert [run["status"] for run in said["runs"]] == ["skipped", "dry-run"]
    assert said["status"] == "dry-run"
    check_summary(said)
    assert files(desk) == before
    assert not (desk / "new").exists()


def test_the_command_says_it_all_by_its_exit_code(
    desk: Path, write: Write, command: Command
) -> None:
    path = write(plan("good", "one"), plan("bad", "two", outlets="absent.csv"))
    only_good = command("--config", path, "--only", "good", "--log-format", "json")
    assert only_good.code == 0
    assert "good │ passed" in only_good.stdout
    lines = [json.loads(line) for line in only_good.stderr.splitlines()]
    assert {line["run"] for line in lines} == {"good"}
    told = [(line.get("state"), line["event"]) for line in lines]
    assert told[0] == (None, "run_start")
    assert ("s4", "published") in told
    assert told[-1] == (None, "run_passed")
    both = command("--config", path, "--summary", "out/s.json", "--quiet")
    assert both.code == 1
    assert "bad: E_OUTLETS_INVALID absent.csv" in both.stdout
    assert json.loads((desk / "out/s.json").read_text())["status"] == "failed"
    fast = write(plan("bad", "two", outlets="absent.csv"), plan("good", "one"))
    done = command("--config", fast, "--fail-fast", "--json", "--quiet")
    assert [run["status"] for run in json.loads(done.stdout)["runs"]] == ["failed", "skipped"]


@pytest.mark.parametrize(
    ("second", "code"), [({"sed": 1}, "E_USAGE"), ({"dp": 99}, "E_POLICY_INVALID")]
)
def test_a_file_with_one_bad_run_runs_nothing(
    desk: Path, write: Write, command: Command, second: Json, code: str
) -> None:
    path = write(plan("first", "one"), plan("second", "two", **second))
    before = files(desk)
    done = command("--config", path)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{code} {path}, run 'second': ")
    assert files(desk) == before


def test_a_summary_that_does_not_fit_its_schema_is_refused(desk: Path, write: Write) -> None:
    summary = night(write(plan("a", "one", to_state="s0")))
    check_summary(summary)
    for wrong in ({"status": "fine"}, {"runs": []}, {"began_utc": "now"}, {"extra": 1}):
        with pytest.raises(Segment1BError, match="does not fit"):
            check_summary({**summary, **wrong})
