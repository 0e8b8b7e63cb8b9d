"""Status: what is there, what is stale and why, what a run would do; nothing is written."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from segment1b.cli.app import app
from segment1b.config import RunSettings, load_policy, parameter_document, parameter_hash
from segment1b.contracts import load
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.pipeline.decide import binding_refusal, surface_digests
from segment1b.pipeline.outcome import RunResult
from segment1b.pipeline.status import status
from segment1b.reference.installing import install_embedded
from segment1b.states.protocol import Run
from segment1b.storage.root import open_root
from segment1b.storage.staging import staging
from shapes import without_privilege
from worlds import COUNTRIES, lay_small_world, outlet_list, place, run

STATES = [f"s{number}" for number in range(10)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("status")
    run(lay_small_world(found / "root", 1.0), outlets=outlet_list(found / "my.csv"), to_state="s9")
    (found / "grown.csv").write_text((found / "my.csv").read_text() + "99999,NL,4\n")
    return found


@pytest.fixture
def root(folder: Path, tmp_path: Path) -> Path:
    """Copy the data root for a test that changes it."""
    return Path(shutil.copytree(folder / "root", tmp_path / "root"))


def told(root: Path, **settings: Any) -> dict[str, Any]:
    return status(RunSettings(data_root=root, **settings))


def would(found: dict[str, Any]) -> list[str]:
    return [own["would"] for own in found["states"].values()]


def report(root: Path, state: str) -> Path:
    (path,) = (root / "control").rglob(f"{state}_run_report.json")
    return path


def snapshot(root: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of everything below a root, folders too."""
    entries = [root, *sorted(root.rglob("*"))]
    return [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in entries]


def did(result: RunResult) -> list[str]:
    """Return what a run did, in the words of status."""
    names = {"unchanged": "check", "reused": "reuse", "published": "run"}
    return [names[one.what] for one in result.outcomes]


@pytest.mark.parametrize("settings", [(), ("allocation.law=stable",)])
def test_a_whole_root_would_be_reused_state_by_state(
    folder: Path, settings: tuple[str, ...]
) -> None:
    found = told(folder / "root", settings=settings)
    assert list(found["states"]) == STATES
    assert would(found) == ["check"] + ["reuse"] * 9
    assert not found["refusal"]
    assert found["law"] == "stable"
    for state, own in found["states"].items():
        said = json.loads(report(folder / "root", state).read_text())
        assert said["determinism_receipt"]["content_sha256_hex"] in [
            *own["content_sha256_hex"].values()
        ]
        assert own["published_at_utc"].startswith("20")
        assert (own["why"], own["changed_inputs"]) == ("", [])


def test_a_working_copy_tells_when_the_store_was_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = lay_small_world(tmp_path / "store", 1.0)
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "first"))
    run(Path(store.as_uri()), outlets=folder / "my.csv", to_state="s3")
    for path in store.rglob("*_run_report.json"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "second"))
    found = told(Path(store.as_uri()))
    times = {found["states"][name]["published_at_utc"] for name in ("s0", "s1", "s2", "s3")}
    assert times == {"2020-09-13T12:26:40Z"}
    assert would(found) == ["check", *["reuse"] * 3, *["run"] * 6]


@pytest.mark.parametrize("settings", [{}, {"settings": ("dp=12",)}, {"outlets": "grown.csv"}])
def test_nothing_is_written(folder: Path, settings: dict[str, Any]) -> None:
    if "outlets" in settings:
        settings = {"outlets": folder / settings["outlets"]}
    before = snapshot(folder)
    told(folder / "root", **settings)
    assert snapshot(folder) == before


def test_a_root_that_cannot_be_written_tells_its_status(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as base:
        root = Path(shutil.copytree(folder / "root", Path(base) / "root"))
        folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        Path(base).chmod(0o755)
        with without_privilege():
            assert not os.access(root, os.W_OK, effective_ids=True)
            found = told(root)
        for path in folders:
            path.chmod(0o755)
    assert would(found) == ["check"] + ["reuse"] * 9


def drop_report(root: Path) -> None:
    report(root, "s4").unlink()


def drop_plan(root: Path) -> None:
    shutil.rmtree(root / "data/layer1/1B/s4_alloc_plan")


def another_input(root: Path) -> None:
    said = json.loads(report(root, "s4").read_text())
    said["input_digests"]["s3_requirements"] = "0" * 64
    report(root, "s4").write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (drop_report, "it has no run report"),
        (drop_plan, "s4_alloc_plan is not there"),
        (another_input, "s3_requirements was 00000000, is "),
    ],
)
def test_a_state_that_has_to_run_says_why_and_the_run_does_what_was_foreseen(
    change: Callable[[Path], None], why: str, root: Path
) -> None:
    change(root)
    found = told(root)
    assert found["states"]["s4"]["why"].startswith(why)
    if change is another_input:
        receipt = json.loads(report(root, "s3").read_text())["determinism_receipt"]
        changed = {"dataset": "s3_requirements", "then": "0" * 64}
        changed["now"] = receipt["content_sha256_hex"]
        assert found["states"]["s4"]["changed_inputs"] == [changed]
    assert would(found) == ["check", *["reuse"] * 3, "run", *["depends"] * 5]
    assert did(run(root, to_state="s9")) == ["check", *["reuse"] * 3, "run", *["reuse"] * 5]


def test_another_list_would_reuse_what_does_not_depend_on_it(folder: Path, root: Path) -> None:
    foreseen = would(told(root, outlets=folder / "grown.csv"))
    assert foreseen == ["run", "reuse", "reuse", *["run"] * 7]
    assert did(run(root, outlets=folder / "grown.csv", to_state="s9")) == foreseen


def test_another_policy_would_be_refused_as_the_run_refuses_it(root: Path) -> None:
    settings = ("allocation.law=systematic",)
    found = told(root, settings=settings)
    assert would(found) == ["refuse"] * 10
    assert found["law"] == "systematic"
    with pytest.raises(Segment1BError) as caught:
        run(root, settings=settings)
    assert found["refusal"] == f"{caught.value.code}: {caught.value.message}"


def test_another_surface_is_a_reason(root: Path) -> None:
    lay_small_world(root, 1.0, COUNTRIES[:-1])
    found = told(root)
    assert found["refusal"].startswith("E_PARAMETER_HASH_REUSED: world_countries was ")
    assert would(found) == ["refuse"] * 10
    assert found["states"]["s1"]["changed_inputs"][0]["dataset"] == "world_countries"
    assert found["states"]["s2"]["why"].startswith("E101_TILE_INDEX_MISSING: tile_index was made")
    with pytest.raises(Segment1BError, match=r"^E_PARAMETER_HASH_REUSED:"):
        run(root, parameter_hash=found["parameter_hash"])


def test_a_surface_that_is_gone_is_a_reason(root: Path) -> None:
    place(root, "population_raster_2025").unlink()
    found = told(root)
    assert found["refusal"].startswith("E_REFERENCE_SURFACE_MISSING: population_raster_2025 was ")
    assert found["refusal"].endswith("is absent")
    (changed,) = found["states"]["s1"]["changed_inputs"]
    assert changed["now"] is None


def test_what_the_embedded_world_lacks_is_laid_again_and_refuses_nothing(tmp_path: Path) -> None:
    known = load()
    with staging(open_root(tmp_path)) as scratch:
        install_embedded(tmp_path, known, 0.1, scratch)
    policy, then = load_policy(), surface_digests(tmp_path, known)
    identity = Identity(42, "1" * 64, parameter_hash(policy, then))
    bound = tmp_path / known["parameter_policy_1B"].locate(identity.places)
    bound.parent.mkdir(parents=True)
    bound.write_text(json.dumps(parameter_document(policy, then)))
    run = Run(tmp_path, identity, policy, then, tmp_path)
    for surfaces, says in (
        (then, ""),
        ({**then, "population_raster_2025": ""}, ""),
        ({**then, "population_raster_2025": "3" * 64}, "E_PARAMETER_HASH_REUSED: population_"),
    ):
        told = binding_refusal(replace(run, surfaces=surfaces))
        assert told.startswith(says)
        assert bool(told) == bool(says)
    other = replace(run, policy=load_policy(settings=["law=stable"]))
    assert binding_refusal(other) == "E_PARAMETER_HASH_REUSED: it is another policy's"


def test_damaged_files_stop_a_run_where_they_are(root: Path) -> None:
    (part,) = (root / "data/layer1/1B/s5_site_tile_assignment").rglob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:-1])
    found = told(root)
    assert would(found) == ["check", *["reuse"] * 4, "stop", *["never"] * 4]
    assert "its files are not those of its receipt" in found["states"]["s5"]["why"]
    with pytest.raises(Segment1BError) as caught:
        run(root, to_state="s9")
    assert found["states"]["s5"]["why"].startswith(caught.value.code)


def test_a_root_without_the_policy_of_its_hash_is_named(root: Path) -> None:
    policy = load()["parameter_policy_1B"].locate(told(root))
    (root / policy).unlink()
    with pytest.raises(Segment1BError, match=r"^E_INPUT_UNREADABLE: .* names no policy"):
        told(root)


def test_a_root_in_which_nothing_is_published_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Segment1BError, match=r"^E301_NO_PASS_FLAG:"):
        told(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_the_list_imported_last_is_told_unless_another_is_named(folder: Path, root: Path) -> None:
    before = told(root)
    grown = run(root, outlets=folder / "grown.csv", to_state="s3").identity
    for named in ({}, {"manifest_fingerprint": "grown"}):
        found = told(root, **named)
        assert found["manifest_fingerprint"] == grown["manifest_fingerprint"]
        assert would(found) == ["check", *["reuse"] * 3, *["run"] * 6]
    assert told(root, manifest_fingerprint="my") == before


def test_the_command_prints_a_line_for_each_state(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop_report(root)
    assert not app(["status", "--data-root", str(root)], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-10:]] == STATES
    assert lines[-6].endswith("run it: it has no run report")
    assert not app(["status", "--data-root", str(root), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == told(root)


def test_the_command_says_that_a_run_would_be_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["status", "--data-root", str(folder / "root"), "--set", "law=systematic"]
    assert not app(words, standalone_mode=False)
    assert "a run would be refused: E_PATH_EMBED_MISMATCH" in capsys.readouterr().out


def test_clean_removes_what_a_killed_run_has_left(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = root / ".staging/0123"
    left.mkdir()
    (left / "piece").write_bytes(bytes(1234))
    words = ["clean", "--data-root", str(root)]
    before = snapshot(root / "data")
    assert not app([*words, "--dry-run"], standalone_mode=False)
    assert "1,234 bytes would be freed" in capsys.readouterr().out
    assert left.exists()
    assert not app([*words, "--json"], standalone_mode=False)
    leftovers = [{"path": str(left), "bytes": 1234}]
    said = json.loads(capsys.readouterr().out)
    assert said == {"dry_run": False, "leftovers": leftovers, "bytes": 1234}
    assert not left.exists()
    assert snapshot(root / "data") == before
    assert not app(words, standalone_mode=False)
    assert capsys.readouterr().out == "no killed run has left anything\n"


def test_status_reads_a_list_as_a_run_does(folder: Path, tmp_path: Path) -> None:
    """Under other names and with values to correct: the same list, so that nothing would run."""
    exact = (folder / "my.csv").read_text().replace("merchant_id", "Kunde").replace(",NL,", ",nl,")
    (tmp_path / "loose.csv").write_text(exact)
    words = [
        "status",
        "--data-root",
        str(folder / "root"),
        "--outlets",
        str(tmp_path / "loose.csv"),
    ]
    words += ["--normalise", "--map", "merchant_id=Kunde", "--json"]
    document = json.loads(CliRunner().invoke(app, words).stdout)
    assert document["refusal"] == ""
    assert would(document)[1:] == ["reuse"] * 9
