"""Pages of worlds that are not proven, not whole or two, and how their files are written."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from page.conftest import Visitor, page_of, until
from segment1b.cli.app import app
from segment1b.errors import Segment1BError
from segment1b.page.checks import PROVES
from segment1b.pipeline.outcome import RunResult

MEGABYTE = 1_000_000


def test_the_same_root_gives_the_same_bytes(
    squares: RunResult, squares_report: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.html"
    page_of(squares, again)
    assert again.read_bytes() == squares_report.read_bytes()


def test_a_world_without_a_flag_says_so(squares: RunResult, tmp_path: Path, visit: Visitor) -> None:
    root = tmp_path / "unproven"
    shutil.copytree(squares.root, root, symlinks=True)
    next(root.glob("data/layer1/1B/validation/*/_passed.flag")).unlink()
    out = tmp_path / "unproven.html"
    page_of(squares, out, root)
    page = visit(out)
    assert page.locator("[role=alert]").inner_text().startswith("Not proven.")
    assert page.locator(".verdict.pass").count() == 0
    assert str(tmp_path) not in out.read_text(encoding="utf-8")


def test_a_refused_run_shows_the_checks_of_the_latest_attempt(
    squares: RunResult, tmp_path: Path
) -> None:
    root = tmp_path / "refused"
    shutil.copytree(squares.root, root, symlinks=True)
    bundle = next(root.glob("data/layer1/1B/validation/fingerprint=*"))
    aside = root / "data/layer1/1B/validation_failed" / bundle.name
    (bundle / "_passed.flag").unlink()
    summary = json.loads((bundle / "s9_summary.json").read_text())
    said = json.loads((bundle / "MANIFEST.json").read_text())
    names = sorted(summary["checks"])
    for attempt, (name, seed) in enumerate(
        [(names[0], 42), (names[1], 42), (names[2], 43)], start=9
    ):
        shutil.copytree(bundle, aside / f"attempt={attempt}")
        checks = {**summary["checks"], name: {**summary["checks"][name], "failures": 7}}
        (aside / f"attempt={attempt}/s9_summary.json").write_text(
            json.dumps({**summary, "checks": checks})
        )
        (aside / f"attempt={attempt}/MANIFEST.json").write_text(json.dumps({**said, "seed": seed}))
    shutil.rmtree(bundle)
    out = tmp_path / "refused.html"
    page_of(squares, out, root)
    text = out.read_text(encoding="utf-8")
    assert "S9 refused this run." in text
    assert f"{aside.relative_to(root).as_posix()}/attempt=10<" in text
    assert re.findall(r'<tr class="bad"><th scope="row">(\w+)', text) == [names[1]]
    assert "12 of 13 acceptance checks pass" in text
    assert "Proven.</strong>" not in text.replace("Not proven.</strong>", "")


def test_a_root_without_its_reference_surfaces_has_a_page_without_outlines(
    squares: RunResult, tmp_path: Path, visit: Visitor
) -> None:
    root, out = tmp_path / "bare", tmp_path / "bare.html"
    shutil.copytree(squares.root, root, symlinks=True)
    shutil.rmtree(root / "reference")
    page = visit(page_of(squares, out, root))
    page.select_option("#country", "LU")
    page.check("#tiles")
    until(page, "document.getElementById('shown-0').textContent.startsWith('52 outlets')")
    assert page.locator(".questions .card").count() == 7


def test_a_file_that_exists_is_replaced_only_when_asked(squares: RunResult, tmp_path: Path) -> None:
    victim, out = tmp_path / "victim", tmp_path / "report.html"
    victim.write_text("precious")
    out.symlink_to(victim)
    for more in ([], ["--compare", str(squares.root), str(squares.root)]):
        command = ["page", "--data-root", str(squares.root), "--out", str(out), *more]
        done = CliRunner().invoke(app, command)
        assert isinstance(done.exception, Segment1BError)
        assert done.exception.code == "E_USAGE"
        assert "--replace" in done.exception.hint
        assert out.is_symlink()
    command = ["page", "--data-root", str(squares.root), "--out", str(out), "--replace"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert not out.is_symlink()
    assert "</html>" in out.read_text(encoding="utf-8")[-20:]
    assert victim.read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"victim", "report.html"}


def test_a_run_that_ended_early_has_a_page_too(
    squares: RunResult, tmp_path: Path, visit: Visitor
) -> None:
    root = tmp_path / "early"
    shutil.copytree(squares.root / "reference", root / "reference")
    outlets = squares.root.parent / "hostile.csv"
    command = ["run", "--data-root", str(root), "--outlets", str(outlets), "--to-state", "s4"]
    assert CliRunner().invoke(app, command).exit_code == 0
    out = tmp_path / "early.html"
    done = CliRunner().invoke(app, ["page", "--data-root", str(root), "--out", str(out)])
    assert done.exit_code == 0, done.output
    page = visit(out)
    assert "No outlets are published." in page.inner_text("#shown-0")
    assert "Not published: S5, S6, S7, S8, S9." in page.inner_text("main")


def test_two_runs_stand_side_by_side(squares: RunResult, tmp_path: Path, visit: Visitor) -> None:
    out, other = tmp_path / "two.html", tmp_path / "other"
    shutil.copytree(squares.root, other, symlinks=True)
    report = next(other.glob("control/s4_alloc_plan/**/s4_run_report.json"))
    said = json.loads(report.read_text())
    said["input_digests"]["tile_weights"] = "0" * 64
    report.write_text(json.dumps({**said, "collapse_index": said["collapse_index"] - 0.25}))
    command = ["page", "--compare", str(squares.root), str(other), "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    page = visit(out)
    assert page.locator(".map").count() == 2
    page.select_option("#country", "LU")
    until(page, "document.getElementById('shown-1').textContent.startsWith('52 outlets')")
    assert page.locator("h1").all_inner_texts()[0].startswith("A: ")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    rows = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in page.locator(".differences tbody tr").all()
    }
    # What S9 read of S4's report is not what it says now either.
    broken = page.locator("section:has(#chain-1) [role=alert]").inner_text()
    assert "2 of 70 digests read are not" in broken
    assert broken.endswith("S4 tile_weights, S9 s4_run_report.")
    whole = page.locator("section:has(#chain-0)").inner_text()
    assert "70 of 70 digests read equal what an earlier state wrote" in whole
    assert rows["outlets"] == ["160", "160", "none"]
    assert rows["collapse index"][2] == "-0.250"
    first, second = (page.locator(f"#collapse-{number}").bounding_box() for number in (0, 1))
    assert first
    assert second
    assert first["y"] == pytest.approx(second["y"], abs=60)
    assert first["x"] + first["width"] <= second["x"]


def test_what_is_embedded_cannot_end_its_script(report: Path, squares_report: Path) -> None:
    for page in (report, squares_report):
        text = page.read_text(encoding="utf-8")
        kind = 'type="application/octet-stream" class="world"'
        payloads = re.findall(f"<script {kind}>(.*?)</script>", text, re.S)
        assert len(payloads) == 1
        assert re.fullmatch("[A-Za-z0-9+/]+=*", payloads[0])
        assert text.count("</script>") == 4


def test_a_page_of_60_000_outlets_is_at_most_six_megabytes(report: Path) -> None:
    assert report.stat().st_size <= 6 * MEGABYTE


def test_the_sentence_of_each_check_is_that_of_the_specification() -> None:
    text = (Path(__file__).parents[2] / "docs/spec" / "s9-proof.md").read_text("utf-8")
    sentences: dict[str, list[str]] = {}
    for name, proves in re.findall(r"^\| (A9\d\d) \| (.*?) \|", text, re.M):
        plain = re.sub(r"\[(.*?)\]\(.*?\)|`", r"\1", proves)
        sentences.setdefault(name, []).append(plain)
    assert {name: ", ".join(parts) for name, parts in sentences.items()} == PROVES
