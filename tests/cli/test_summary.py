"""What `run` and `validate` print: few lines, the verdict, and the next commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

import segment1b
import worlds
from segment1b import contracts
from segment1b.cli import summary, tables
from segment1b.cli.app import app
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.page.page import render, run_of
from segment1b.page.published import read_world
from segment1b.pipeline.outcome import RunResult
from segment1b.storage.snapshot import Snapshot

MERCHANTS = 300


def one_each(path: Path) -> Path:
    rows = [f"{merchant},ZA,1" for merchant in range(1, MERCHANTS + 1)]
    path.write_text("\n".join(["merchant_id,country_iso,n_outlets", *rows]) + "\n")
    return path


@pytest.fixture(scope="module", params=["default", "largest_remainder"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Run 300 merchants with one outlet each, on surfaces that are not the embedded ones."""
    folder = tmp_path_factory.mktemp(request.param)
    root = worlds.lay_small_world(folder / "root", 1.0, ("LS", "ZA"))
    settings = () if request.param == "default" else (f"allocation.law={request.param}",)
    return worlds.run(root, outlets=one_each(folder / "my.csv"), settings=settings, to_state="s9")


def test_an_imported_list_is_spread_and_a_pile_is_never_plainly_proven(ran: RunResult) -> None:
    run = Snapshot(ran.root, contracts.load(), Identity(**ran.identity).places)  # type: ignore[arg-type]
    head = run_of(read_world(run))["head"]
    odd = summary.odd_of(ran)
    assert head["proven"]
    assert head["concerns"] == odd
    assert head["countries"] == 1
    piled = ran.policy["allocation"]["law"] == "largest_remainder"
    assert bool(odd) == piled
    assert (ran.s4.report["quality_by_country"]["ZA"]["distinct_tiles"] == 1) == piled
    assert not any("made up" in note for note in head["notes"])
    page = render([run_of(read_world(run))])
    assert "300 outlets of 300 merchants in 1 country</h1>" in page
    assert ("<strong>Proven.</strong>" in page) != piled
    assert ('<p class="verdict warn"><strong>Correct, but look at this:' in page) == piled
    assert "merchants of the sample" not in page


def test_the_summary_reads_lists_with_the_dictionary_of_the_run(
    ran: RunResult, tmp_path: Path
) -> None:
    with pytest.raises(Segment1BError, match=r"other\.yaml"):
        summary.print_summary(ran, tmp_path / "other.yaml")


def test_a_run_ends_with_its_verdict_and_three_commands_that_parse(
    ran: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    summary.print_summary(ran)
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert len(lines) <= 12
    assert not re.search(r"[0-9a-f]{9}", out.replace(str(ran.root), ""))
    assert re.search(r"^correct +S9: passed, \d+ checks; flag [0-9a-f]{8}$", out, re.MULTILINE)
    assert ("look: outlets pile up" in out) == bool(summary.odd_of(ran))
    group = typer.main.get_command(app)
    for line, name in zip(lines[-3:], ("export", "page", "validate"), strict=True):
        program, word, *words = shlex.split(line)
        assert (program, word) == ("segment1b", name)
        context = group.commands[word].make_context(word, words)  # type: ignore[attr-defined]
        assert context.params["data_root"].resolve() == ran.root.resolve()


def test_verbose_keeps_the_table_and_whole_hashes(
    ran: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.print_run(ran, summary.odd_of(ran))
    out = capsys.readouterr().out
    assert str(ran.identity["manifest_fingerprint"]) in out
    assert ("look: outlets pile up" in out) == bool(summary.odd_of(ran))


def test_validate_prints_a_line_a_state_and_failures_in_full(
    ran: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tables.check_summary(segment1b.validate(ran.root, ["s3", "s8"]))
    tables.print_states(results)
    first, second, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"S3 +passed, \d+ checks", first)
    assert re.fullmatch(r"S8 +passed, \d+ checks", second)
    assert last.endswith("checks pass")
    results["checks"][0] |= {"offending": 2, "rows": ["row one"]}
    tables.print_states(results)
    out = capsys.readouterr().out
    assert re.search(r"S3 +failed, 1 of \d+ checks", out)
    assert results["checks"][0]["name"] in out
    assert "  row one" in out
