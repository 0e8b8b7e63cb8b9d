"""The notebook of the documentation: its code runs, and no output is kept in it."""

from __future__ import annotations

import ast
import functools
import json
from pathlib import Path
from typing import Any

import pytest

import segment1b
from worlds import lay_small_world

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def shown(cell: str, names: dict[str, Any]) -> Any:
    """Run the code of a cell and return the value of its last line, as a notebook shows it."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "notebook", "exec"), names)  # noqa: S102
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "notebook", "eval"), names)  # noqa: S307


def test_the_cells_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world = lay_small_world(tmp_path / "world", countries=("NL", "PT", "ZA"))
    small = functools.partial(segment1b.place, world=world)
    monkeypatch.setattr(segment1b, "place", small, raising=False)
    code = {c["id"]: "".join(c["source"]) for c in CELLS if c["cell_type"] == "code"}
    names: dict[str, Any] = {}
    values = {name: shown(cell, names) for name, cell in code.items()}
    assert repr(values["place"]) == "<68 outlets of 3 merchants in 3 countries>"
    assert [*values["frame"]["brand"]] == ["Alto"] * 5
    assert len(values["explore"].data[1].x) == 68
    assert values["explain"][0] == "stable"
    assert values["explain"][-1] is True
    assert values["replay"].keys() == {"lon_deg", "lat_deg"}
    assert 0 < values["geopandas"] < 100
    assert [*values["mistakes"]["line"]] == [2, 4]
    assert values["save"] == 68


def test_the_program_of_the_page_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    world = lay_small_world(tmp_path / "world", countries=("NL", "PT"))
    small = functools.partial(segment1b.place, world=world)
    monkeypatch.setattr(segment1b, "place", small, raising=False)
    text = NOTEBOOK.with_name("python.md").read_text(encoding="utf-8")
    program, printed = (block.partition("\n")[2] for block in text.split("```")[1:4:2])
    exec(compile(program, "python.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out == printed
    assert "https://cdn" not in (tmp_path / "map.html").read_text(encoding="utf-8")[-20_000:]


def test_no_output_is_kept() -> None:
    for cell in CELLS:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
