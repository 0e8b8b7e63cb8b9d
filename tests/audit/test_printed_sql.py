"""The SQL that `validate --print-sql` prints finds in DuckDB alone what the check finds."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

import segment1b.audit.s0.checks
from segment1b.audit.plans import TRADES
from segment1b.audit.printed import sql_of
from segment1b.audit.queries import scripts_of
from segment1b.cli.app import app
from segment1b.errors import Segment1BError
from spoil import KNOWN, PLAN, World
from sql_changes import every, spoil
from sql_spoils import SPOILS

Copy = Callable[[str], World]
CASES = [(name, *spoils[0]) for name, spoils in SPOILS.items()]

TRADE = "restaurants_and_coffee"


@pytest.fixture(scope="module")
def printed(published: Copy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the text of every SQL check, printed before any of them is run."""
    root, folder = published("permuted").published, tmp_path_factory.mktemp("sql")
    return {
        name: sql_of(root, [name[:2]], re.sub(r"/\d\d_", " ", name), folder) for name, *_ in CASES
    }


def run(text: str, table: str = "", change: str = "") -> list[Any]:
    """Run a text in DuckDB; change a table or view as soon as a statement has made it."""
    with duckdb.connect() as plain:
        *makers, query = plain.extract_statements(text)
        for statement in makers:
            plain.execute(statement)
            if table and re.search(rf'(?:TABLE|VIEW) "?{table}"?\s', statement.query):
                spoil(plain, table, change)
                table = ""
        assert not table, f"the text makes no {table}"
        return plain.execute(query).fetchall()


@pytest.mark.parametrize(("name", "table", "change"), CASES)
def test_the_printed_sql_of_a_check_finds_what_was_spoiled_and_nothing_else(
    name: str, table: str, change: str, printed: dict[str, str]
) -> None:
    assert run(printed[name]) == []
    assert run(printed[name], table, change)


def test_a_spoiled_file_is_found_by_the_sql_as_the_command_prints_it(
    world: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled = world("permuted")
    monkeypatch.chdir(spoiled.root)
    spoiled.edit(PLAN, lambda rows: rows.pop(3))
    result = CliRunner().invoke(app, ["validate", "--data-root", ".", "--print-sql", "s5 quotas"])
    assert result.exit_code == 0, result.output
    assert len(run(result.stdout)) == 1


@pytest.fixture(scope="module")
def of_trades(published: Copy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the text of every SQL check of trades and centres, by its name in the results."""
    root, folder = published("trades").published, tmp_path_factory.mktemp("sql")
    queries = [script.stem for script in scripts_of("s2_trade", TRADES.contract, KNOWN)]
    names = [f"s2 {TRADE} {stem.partition('_')[2]}" for stem in queries]
    names += ["s2 centres", "s4 weights_whole", "s4 report_by_country", "s6 centre_attempts"]
    return {name: sql_of(root, [name[:2]], name, folder) for name in names}


@pytest.mark.slow
def test_the_printed_sql_of_trades_finds_nothing_in_what_was_published(
    of_trades: dict[str, str],
) -> None:
    assert {f"s2 {TRADE} law", f"s2 {TRADE} percents"} <= of_trades.keys()
    assert {name: found for name, text in of_trades.items() if (found := run(text))} == {}


@pytest.mark.parametrize(
    ("name", "table", "change"),
    [
        ("law", "trade_weights", "weight_fp = weight_fp + 1 WHERE part_row = 1"),
        ("law", "road_cells", "value = value + 1000"),
        ("law", "urban_cells", "value = 2 WHERE cell_row % 2 = 0"),
        ("law", "cell_masses", "mass = mass + 1000000000 WHERE tile_id % 7 = 0"),
        ("percents", "mixture", "boost = 1"),
        ("layer_limits", "road_cells", "value = 4611686018427387904"),
        ("sums", "trade_weights", "weight_fp = weight_fp + 1 WHERE part_row = 1"),
        ("basis", "trade_weights", "basis = 'area_m2'"),
    ],
)
def test_the_printed_sql_of_a_trade_finds_what_was_spoiled(
    name: str, table: str, change: str, of_trades: dict[str, str]
) -> None:
    assert run(of_trades[f"s2 {TRADE} {name}"], table, every(change))


def test_a_check_of_trades_in_python_names_its_module(published: Copy, tmp_path: Path) -> None:
    root = published("trades").published
    for name in ("s2 fuel report_layers", "s4 trades_weighed", "s6 centre_accounting"):
        text = sql_of(root, [name[:2]], name, tmp_path)
        assert text.startswith(f"-- {name} is checked in Python, in segment1b.audit.")


def test_a_check_in_python_names_its_module(published: Copy, tmp_path: Path) -> None:
    root = published("permuted").published
    text = sql_of(root, ["s0"], "sealed_ids", tmp_path)
    assert segment1b.audit.s0.checks.__name__ in text
    assert run(text + "SELECT 1 WHERE false") == []
    assert "segment1b.audit.tables" in sql_of(root, ["s4"], "s4 tokens", tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("quotes", "quotas"), ("s5 quotes", "s5 quotas"), ("sorted", "s3 sorted, s4 sorted")],
)
def test_an_unknown_or_ambiguous_name_is_a_usage_error_that_names_close_ones(
    name: str, hint: str, published: Copy, tmp_path: Path
) -> None:
    root = published("permuted").published
    with pytest.raises(Segment1BError) as error:
        sql_of(root, [f"s{n}" for n in range(10)], name, tmp_path)
    assert error.value.code == "E_USAGE"
    assert hint in str(error.value.hint)


def test_a_check_whose_input_is_absent_has_the_code_of_that_input(
    world: Copy, tmp_path: Path
) -> None:
    spoiled = world("permuted")
    spoiled.part("s3_requirements").unlink()
    with pytest.raises(Segment1BError) as error:
        sql_of(spoiled.published, ["s4"], "sums", tmp_path)
    assert error.value.code == "E401_NO_S3_REQUIREMENTS"
