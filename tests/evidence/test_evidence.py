"""The evidence bundle: whole, the same when made again, and refused where it says too much."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import make_evidence
from segment1b import contracts
from segment1b.errors import Segment1BError
from segment1b.evidence import bundle as bundles
from segment1b.evidence import proof
from segment1b.evidence.bundle import write_evidence
from segment1b.evidence.proof import ProvedRun
from segment1b.evidence.verification import verify_evidence
from segment1b.identity import STATE_NAMES
from segment1b.storage.checksums import write_sums
from spoil import World

KNOWN = contracts.load()
IN_REPOSITORY = make_evidence.OUT


def steady(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file that the manifest does not call volatile."""
    volatile = tuple(json.loads((folder / "manifest.json").read_text())["volatile"])
    names = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if not name.startswith(volatile)
    }


def listing(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the bundle in the repository, to be damaged."""
    return Path(shutil.copytree(IN_REPOSITORY, tmp_path / "bundle"))


def test_the_bundle_in_the_repository_verifies_by_its_own_checksums() -> None:
    """As anybody checks it, with coreutils alone."""
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(command, cwd=IN_REPOSITORY, check=True)
    listed = [line[66:] for line in (IN_REPOSITORY / "SHA256SUMS").read_text().splitlines()]
    there = {p.relative_to(IN_REPOSITORY).as_posix() for p in IN_REPOSITORY.rglob("*.*")}
    assert listed == sorted(there | {"validation_bundle/_passed.flag"})


def test_the_bundle_in_the_repository_is_small_and_holds_everything() -> None:
    found = verify_evidence(IN_REPOSITORY, KNOWN)
    assert sum(p.stat().st_size for p in IN_REPOSITORY.rglob("*") if p.is_file()) < 2_000_000
    assert found["checks"] > 300
    assert found["datasets"] == 18
    checks = json.loads((IN_REPOSITORY / "checks.json").read_text())["checks"]
    assert {check["state"] for check in checks} == set(STATE_NAMES)


def test_made_again_every_file_that_is_not_volatile_is_the_same(tmp_path: Path) -> None:
    """When this fails after a change of contracts or laws: python scripts/make_evidence.py."""
    make_evidence.make(tmp_path / "again")
    assert steady(tmp_path / "again") == steady(IN_REPOSITORY)


KILLED = """
import os, signal, sys
from pathlib import Path
from segment1b.pipeline.finding import find_identity
from segment1b.evidence import bundle
from segment1b.evidence.proof import ProvedRun
from segment1b.identity import STATE_NAMES

def fill(_published, folder, *_):
    (folder / "part").write_text("part")
    os.kill(os.getpid(), signal.SIGKILL)

bundle._fill = fill
root, out = map(Path, sys.argv[1:])
known, identity = find_identity(root, None, {})
bundle.write_evidence(ProvedRun(root, known, identity.places), out)
"""


@pytest.mark.slow
def test_what_a_killed_command_left_is_removed_by_the_next(
    world: ProvedRun, tmp_path: Path, one_repeat: None
) -> None:
    out = tmp_path / "evidence"
    done = subprocess.run([sys.executable, "-c", KILLED, str(world.root), str(out)])
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    write_evidence(world, out, sample_sites=9)
    assert list(tmp_path.iterdir()) == [out]


def test_the_derivation_needs_python_alone(copy: Path) -> None:
    """It runs without site packages, and leaves with 1 where a number differs."""
    command = [sys.executable, "-I", "-S", "rederive.py"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("agrees") == 9
    sites = copy / "samples" / "site_locations.csv"
    rows = list(csv.reader(sites.read_text().splitlines()))
    rows[1][3] = "1.5"
    sites.write_text("\n".join(",".join(row) for row in rows) + "\n")
    write_sums(copy)
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 1
    assert "coordinates     DIFFERS" in done.stdout


def test_every_command_of_the_index_runs_in_the_bundle(copy: Path) -> None:
    """README.md of the bundle: what a reviewer types, as it stands there."""
    text = (copy / "README.md").read_text(encoding="utf-8")
    commands = [c.strip() for c in re.findall(r"^ *```\n(.*?)^ *```$", text, re.M | re.S)]
    assert [command.split()[0] for command in commands] == ["sha256sum", "segment1b", "python"]
    folder = Path(sys.executable).parent
    for command in commands:
        words = command.split()
        own = folder / words[0]
        subprocess.run([own if own.exists() else words[0], *words[1:]], cwd=copy, check=True)


def test_every_link_of_its_texts_leads_to_a_file_of_the_bundle() -> None:
    for page in IN_REPOSITORY.glob("*.md"):
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (IN_REPOSITORY / link).is_file(), (page.name, link)


def test_the_derivation_in_the_bundle_is_the_one_of_this_version() -> None:
    spec = importlib.util.find_spec("segment1b.evidence.rederive")
    assert spec is not None
    assert spec.origin is not None
    assert (IN_REPOSITORY / "rederive.py").read_bytes() == Path(spec.origin).read_bytes()


Damage = Callable[[Path], object]


def rewrite(name: str, change: Callable[[Any], object]) -> Damage:
    """Change a JSON document, or replace it by the list that is returned, and fit the sums."""

    def damage(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        changed = change(document)
        document = changed if isinstance(changed, list) else document
        (folder / name).write_text(json.dumps(document))
        write_sums(folder)

    return damage


def sums(change: Callable[[list[str]], list[str]]) -> Damage:
    """Change the lines of SHA256SUMS."""

    def damage(folder: Path) -> None:
        lines = (folder / "SHA256SUMS").read_text().splitlines()
        (folder / "SHA256SUMS").write_text("\n".join(change(lines)) + "\n")

    return damage


def a_link(folder: Path) -> None:
    (folder / "NOTICE.md").unlink()
    (folder / "NOTICE.md").symlink_to(IN_REPOSITORY / "NOTICE.md")


def a_report_less(folder: Path) -> None:
    (folder / "reports" / "s6_run_report.json").unlink()
    write_sums(folder)


def repeated(dataset_id: str, digests: list[str]) -> Damage:
    """Change the digests of the repeats of a dataset."""

    def change(document: dict[str, Any]) -> None:
        (entry,) = (one for one in document["datasets"] if one["dataset_id"] == dataset_id)
        entry["content_sha256_hex"][-len(digests) :] = digests

    return rewrite("determinism.json", change)


def other_sites(folder: Path) -> None:
    """Let report and determinism.json agree on content that is not that of the samples."""
    rewrite(
        "reports/s8_run_report.json",
        lambda report: report["determinism_receipt"].update(content_sha256_hex="0" * 64),
    )(folder)
    repeated("site_locations", ["0" * 64] * 3)(folder)


DAMAGES: dict[str, Damage] = {
    "a byte more": lambda folder: (folder / "determinism.md").write_text("more"),
    "a file more": lambda folder: (folder / "samples/note.txt").write_text("mine"),
    "a file less": lambda folder: (folder / "policy/parameter_policy.json").unlink(),
    "no sums": lambda folder: (folder / "SHA256SUMS").unlink(),
    "a link": a_link,
    "sums twice": sums(lambda lines: [lines[0], *lines]),
    "sums that leave": sums(lambda lines: [f"{'0' * 64}  ../x", *lines]),
    "another seed": rewrite("manifest.json", lambda manifest: manifest.update(seed=43)),
    "no manifest": rewrite("manifest.json", lambda _: []),
    "a failed check": rewrite("checks.json", lambda doc: doc["checks"][7].update(offending=1)),
    "no checks": rewrite("checks.json", lambda document: document.update(checks=[])),
    "other content": repeated("s3_requirements", ["0" * 64]),
    "a report less": a_report_less,
    "other sites": other_sites,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.code("E_EVIDENCE_INVALID")
def test_a_damaged_bundle_is_refused(copy: Path, damage: Damage) -> None:
    verify_evidence(copy, KNOWN)
    damage(copy)
    with pytest.raises(Segment1BError) as error:
        verify_evidence(copy, KNOWN)
    assert error.value.code == "E_EVIDENCE_INVALID"
    assert str(copy) in error.value.message


def test_the_validation_bundle_inside_is_held_to_its_own_law(copy: Path) -> None:
    summary = copy / "validation_bundle" / "s9_summary.json"
    summary.write_bytes(summary.read_bytes() + b"\n")
    write_sums(copy)
    with pytest.raises(Segment1BError, match="E910_FLAG_BAD_OR_MISSING"):
        verify_evidence(copy, KNOWN)


@pytest.mark.slow
def test_weights_of_trades_are_made_again_and_their_reports_compared(
    published: Callable[[str], World], tmp_path: Path, one_repeat: None
) -> None:
    run, out = published("trades"), tmp_path / "out"
    found = write_evidence(ProvedRun(run.root, KNOWN, run.tokens), out, with_page=False)
    entries = json.loads((out / "determinism.json").read_text())["datasets"]
    compared = {entry["dataset_id"] for entry in entries}
    weights = {"trade_weights/fuel", "trade_weights/restaurants_and_coffee"}
    assert weights < compared
    assert found["datasets"] == len(compared)
    report = out / "reports" / "s2_trade_run_report" / "fuel.json"
    document = json.loads(report.read_text())
    document["determinism_receipt"]["content_sha256_hex"] = "1" * 64
    report.write_text(json.dumps(document))
    write_sums(out)
    with pytest.raises(Segment1BError, match="does not repeat trade_weights/fuel"):
        verify_evidence(out, KNOWN)
    report.unlink()
    write_sums(out)
    with pytest.raises(Segment1BError, match="is absent"):
        verify_evidence(out, KNOWN)


@pytest.mark.slow
def test_a_sample_holds_whole_pairs_and_every_tile_they_use(
    world: ProvedRun, tmp_path: Path, one_repeat: None
) -> None:
    write_evidence(world, tmp_path / "out", sample_sites=25, with_page=False)
    samples = tmp_path / "out" / "samples"
    tables = {p.stem: pq.read_table(p) for p in samples.glob("*.parquet")}
    whole = {d.id: d for d in world.receipted() if d.kind == "table"}
    assert set(tables) == set(whole)
    need = tables["s3_requirements"].to_pylist()
    assert 0 < sum(row["n_sites"] for row in need) <= 25
    assert tables["site_locations"].num_rows == sum(row["n_sites"] for row in need)
    tiles = {(r["legal_country_iso"], r["tile_id"]) for r in tables["s4_alloc_plan"].to_pylist()}
    assert tables["tile_weights"].num_rows == len(tiles)
    for name, dataset in whole.items():
        assert tables[name].schema.equals(dataset.arrow_schema), name
        rows = list(csv.DictReader((samples / f"{name}.csv").read_text().splitlines()))
        assert len(rows) == tables[name].num_rows
        keys = [tuple(row[key] for key in dataset.key) for row in tables[name].to_pylist()]
        assert keys == sorted(keys), name


@pytest.mark.code("E_EVIDENCE_NOT_REPRODUCED")
def test_other_content_than_published_is_an_error_and_leaves_nothing(
    world: ProvedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_repeat: None
) -> None:
    """The second time the plan is read it has another digest: as another program would make."""
    plain = proof._receipts

    def other(published: ProvedRun) -> dict[str, dict[str, object]]:
        found = plain(published)
        if published.root != world.root:
            found["s4_alloc_plan"]["content_sha256_hex"] = "0" * 64
        return found

    monkeypatch.setattr(proof, "_receipts", other)
    with pytest.raises(Segment1BError, match=r"E_EVIDENCE_NOT_REPRODUCED.*s4_alloc_plan"):
        write_evidence(world, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def root(world: ProvedRun, tmp_path: Path) -> ProvedRun:
    folder = Path(shutil.copytree(world.root, tmp_path / "root"))
    return ProvedRun(folder, world.contracts, world.tokens)


def test_an_unproven_run_has_no_evidence(root: ProvedRun, tmp_path: Path) -> None:
    (root.path("validation_bundle_1B") / "_passed.flag").unlink()
    with pytest.raises(Segment1BError, match="E910_FLAG_BAD_OR_MISSING"):
        write_evidence(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_with_offending_rows_has_no_evidence(root: ProvedRun, tmp_path: Path) -> None:
    path = root.path("s4_run_report")
    report = json.loads(path.read_text()) | {"ties_broken_total": 77}
    path.write_text(json.dumps(report))
    with pytest.raises(Segment1BError, match=r"E415_RUN_REPORT_MISSING_FIELDS.* checks do not"):
        write_evidence(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_nothing_but_older_evidence_is_ever_replaced(
    world: ProvedRun, tmp_path: Path, one_repeat: None
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    for replace in (False, True):
        with pytest.raises(Segment1BError, match=r"E_USAGE.*something else"):
            write_evidence(world, out, replace=replace)
    assert (out / "thesis.txt").read_text() == "years of work"
    (out / "thesis.txt").unlink()
    write_evidence(world, out)
    before = listing(out)
    with pytest.raises(Segment1BError, match=r"E_USAGE.*--replace"):
        write_evidence(world, out)
    assert listing(out) == before
    write_evidence(world, out, replace=True, sample_sites=1)
    assert listing(out) != before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    # No pair fits a sample of one: the smallest is shown, and whole.
    need = pq.read_table(out / "samples" / "s3_requirements.parquet").to_pylist()
    assert len(need) == 1
    sites = pq.read_table(out / "samples" / "site_locations.parquet")
    assert sites.num_rows == need[0]["n_sites"]


def test_older_evidence_stays_when_the_new_cannot_take_its_place(
    copy: Path, world: ProvedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(copy)
    plain = os.rename

    def refuse(source: Path, target: Path) -> None:
        if Path(source) == staged:
            raise PermissionError(13, "refused")
        plain(source, target)

    staged, aside = copy.parent / "staged", copy.parent / "aside"
    staged.mkdir()
    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(PermissionError):
        bundles._put(staged, copy, aside)
    assert listing(copy) == before
