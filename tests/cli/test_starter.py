"""The first files of a project, and the scenarios that have names without files."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from segment1b.cli.app import app
from segment1b.cli.starter import FILES
from segment1b.errors import Segment1BError
from segment1b.nightly.plan import load_night
from segment1b.outlets.pairs import read_outlets
from segment1b.pipeline.compare import read_scenarios

SHIPPED = Path(__file__).parents[2] / "config" / "scenarios"
LAWS = ("balanced", "largest_remainder", "stable", "systematic")


def test_what_init_writes_is_read_by_the_commands_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = CliRunner().invoke(app, ["init", str(tmp_path / "new" / "mine")])
    assert done.exit_code == 0, done.output
    monkeypatch.chdir(tmp_path / "new" / "mine")
    assert sorted(str(p) for p in Path().rglob("*") if p.is_file()) == sorted(FILES)
    assert int(read_outlets(Path("outlets.csv"), {"DE", "FR", "JP"}).n_sites.sum()) == 55
    (run,) = load_night(Path("nightly.yaml")).runs
    assert run.name == "outlets"
    assert tuple(read_scenarios(sorted(Path("scenarios").iterdir()))) == LAWS
    for file in SHIPPED.iterdir():
        assert Path("scenarios", file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_init_overwrites_no_file_and_then_writes_none(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    done = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert isinstance(done.exception, Segment1BError)
    assert done.exception.code == "E_USAGE"
    assert [p.read_text() for p in tmp_path.rglob("*") if p.is_file()] == ["mine"]


def test_methods_are_scenarios_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = read_scenarios([Path(law) for law in LAWS])
    assert {n: s.settings for n, s in found.items()} == {n: (f"allocation.law={n}",) for n in LAWS}
    Path("stable").write_text("name: own\nsettings: [prep.dp=9]\n")
    assert tuple(read_scenarios([Path("stable"), Path("balanced")])) == ("own", "balanced")
    with pytest.raises(Segment1BError, match=r"^E_USAGE:"):
        read_scenarios([Path("stable"), Path("nowhere")])
