"""A data root may have any name: every query reads its files and no others."""

from __future__ import annotations

import ast
import base64
import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from published import KNOWN, raises
from segment1b.audit import validate
from segment1b.config import RunSettings
from segment1b.identity import Identity
from segment1b.page.page import write_page
from segment1b.pipeline import compare as comparison
from segment1b.pipeline.outcome import RunResult
from segment1b.read.diff import diff
from segment1b.read.export import export
from segment1b.storage.snapshot import Snapshot
from segment1b.storage.sql import parquet_table
from worlds import lay_small_world, outlet_list, run

SOURCE = Path(__file__).parents[1] / "src/segment1b"
COUNTRIES = ("NL", "VA")
LAWS = ("stable", "largest_remainder")
STATES = [f"s{number}" for number in range(10)]
CRAFTED = "x'); COPY (SELECT 1) TO 'written"
#: Each name, with a neighbour that a pattern or a quote would read instead.
NAMES = {
    "wx*": "wxy",
    "w[x]y": "wxy",
    "a?b": "acb",
    "it's": "it",
    '"q"': "q",
    "ünï-东": "u",
    CRAFTED: "x",
}
QUICK: list[Any] = ["wx*", CRAFTED]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in NAMES if name not in QUICK]
Json = dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Run a small world whole, in a folder of a plain name."""
    folder = tmp_path_factory.mktemp("plain")
    outlets = outlet_list(folder / "my.csv", countries=COUNTRIES, merchants=8)
    root = lay_small_world(folder / "root", 1.0, COUNTRIES)
    return run(root, outlets=outlets, to_state="s9")


@pytest.fixture(scope="module")
def compared(world: RunResult, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Json]:
    """Compare two scenarios in a folder of a plain name."""
    folder = tmp_path_factory.mktemp("compared")
    for law in LAWS:
        lay_small_world(folder / law, 1.0, COUNTRIES)
        (folder / f"{law}.yaml").write_text(f"settings: [allocation.law={law}]\n")
    return folder, _compare(world, folder, folder)


def _compare(world: RunResult, files: Path, root: Path) -> Json:
    common = RunSettings(outlets=world.root.parent / "my.csv")
    found = comparison.compare([files / f"{law}.yaml" for law in LAWS], common, root)
    for row in found["scenarios"]:
        del row["seconds"], row["data_root"]
    return found


def _copy(source: Path, tmp_path: Path, name: str) -> Path:
    """Copy a folder to an odd name, beside a damaged copy that the name as a pattern matches."""
    decoy = Path(shutil.copytree(source, tmp_path / "roots" / NAMES[name]))
    for part in decoy.rglob("part-*.parquet"):
        part.write_bytes(b"not Parquet")
    return Path(shutil.copytree(source, tmp_path / "roots" / name))


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK + SLOW)
def test_page_validate_export_diff_and_s9_read_the_root_that_is_named(
    world: RunResult, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    identity = Identity(**world.identity)
    root = _copy(world.root, tmp_path, name)
    shutil.rmtree(root / KNOWN["validation_bundle_1B"].locate(identity.places))
    (root / KNOWN["s9_run_report"].locate(identity.places)).unlink()
    assert run(root, from_state="s9", to_state="s9").outcomes[-1].what == "published"
    assert [one.name for one in validate(root, KNOWN, identity.places, STATES) if not one.ok] == []
    total = diff(world.root, root)["total"]
    assert (total["kept"], total["moved"]) == (world.s4.report["sites_total"], 0)
    made = []
    for number, own in enumerate((world.root, root)):
        out = tmp_path / f"{number}.csv"
        export(own, out, format="csv")
        page = write_page(Snapshot(own, KNOWN, identity.places), tmp_path / f"{number}.html")
        made.append((out.read_bytes(), _embedded(page)))
    assert made[0] == made[1]
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"0.csv", "0.html", "1.csv", "1.html", "roots"}


def _embedded(page: Path) -> tuple[Json, Json, bytes]:
    """Return the map of a page, its charts from tables and the arrays; costs differ each time."""
    text = page.read_text(encoding="utf-8")
    (packed,) = re.findall(r'class="world">(.*?)</script>', text)
    whole = gzip.decompress(base64.b64decode(packed))
    end = 8 + int.from_bytes(whole[:8], "little")
    found = json.loads(whole[8:end])
    assert found["map"]["sites"]["lon"]["$"][2] > 0
    charts = {name: found["charts"][name] for name in ("conservation", "prior")}
    return found["map"], charts, whole[end:]


@pytest.mark.parametrize("name", [*QUICK, pytest.param("it's", marks=pytest.mark.slow)])
def test_scenarios_are_compared_in_the_folder_that_is_named(
    world: RunResult,
    compared: tuple[Path, Json],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, plain = compared
    assert _compare(world, folder, _copy(folder, tmp_path, name)) == plain
    assert [path.name for path in tmp_path.iterdir()] == ["roots"]


def _file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"name": [str(path)]}), path)
    return path


@pytest.mark.parametrize(
    "name",
    [
        *NAMES,
        "{a,b}",
        "-- %41 $HOME",
        "**",
        "[",
        "[]]",
        "[^a]",
        "[!a]",
        "w]y",
        "a\\b",
        "a\nb",
        "file:x",
        "~",
    ],
)
def test_a_table_function_reads_just_the_files_that_are_named(name: str, tmp_path: Path) -> None:
    for other in ("a", "b", "wx", "wxy", "a b"):
        _file(tmp_path / other / "part.parquet")
    paths = [_file(tmp_path / name / one) for one in ("part*.parquet", "part.parquet")]
    if "\\" in name:
        paths = paths[1:]
    found = duckdb.sql(f"SELECT name FROM {parquet_table(paths)}").fetchall()  # noqa: S608
    assert found == [(str(path),) for path in paths]


def test_a_wildcard_and_a_backslash_are_refused(tmp_path: Path) -> None:
    # DuckDB would take the first for the second.
    path = _file(tmp_path / "a\\b*" / "part.parquet")
    _file(tmp_path / "a" / "b*" / "part.parquet")
    with raises("E_DATA_ROOT_UNUSABLE"):
        parquet_table([path])


#: What reads, writes or loads a file in DuckDB's SQL.
_FILES = re.compile(
    r"\b(?:read_\w+|parquet_\w+|sniff_csv|glob)\s*\(|\b(?:FROM|JOIN)\s+'"
    r"|\b(?:COPY|ATTACH|EXPORT|IMPORT|INSTALL|LOAD)\s+(?:['({]|\w+\s+(?:TO|FROM)\b|$)"
)
#: What does so in DuckDB's Python API.
_METHODS = {"from_csv_auto", "from_parquet", "read_json", "read_parquet", "to_parquet"}


def test_no_query_names_a_file_but_by_the_one_function() -> None:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            text = _text(node)
            method = isinstance(node, ast.Attribute) and node.attr in _METHODS
            if method or _FILES.search(text):
                found[path.relative_to(SOURCE).as_posix()] = text
    assert list(found) == ["storage/sql.py"]
    for path in SOURCE.rglob("*.sql"):
        assert _FILES.search(path.read_text(encoding="utf-8")) is None, path


def _text(node: ast.AST) -> str:
    """Return a string of the source; what an f-string puts in is a brace, or a quote by repr."""
    if isinstance(node, ast.FormattedValue):
        return "'" if node.conversion == ord("r") else "{"
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    return ""
