"""Trades of merchants in lists: columns, refusals with their lines, fingerprint, directory."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from listed import parquet
from segment1b.contracts.trades import load_trades
from segment1b.errors import Segment1BError
from segment1b.outlets.dividing import divide
from segment1b.outlets.lists import Reading
from segment1b.outlets.merchant_trades import numbers_of
from segment1b.outlets.pairs import Pairs, read_outlets

ISO = {"DE", "FR", "JP"}
PLAIN = "merchant_id,country_iso,n_outlets\n1,DE,3\n1,FR,2\n2,JP,1\n"


def read(tmp_path: Path, text: str, **reading: object) -> Pairs:
    path = tmp_path / "list.csv"
    path.write_text(text)
    return read_outlets(path, ISO, Reading(**reading))  # type: ignore[arg-type]


def refused(tmp_path: Path, text: str) -> list[dict[str, object]]:
    with pytest.raises(Segment1BError) as caught:
        read(tmp_path, text)
    assert caught.value.code == "E_OUTLETS_INVALID"
    rows: list[dict[str, object]] = caught.value.scope.get("rows", [])
    return rows


def trades_of(pairs: Pairs) -> dict[int, str]:
    assert pairs.trades is not None
    columns = (pairs.trades[name].to_pylist() for name in ("merchant_id", "trade"))
    return dict(zip(*columns, strict=True))


@pytest.mark.parametrize("column", ["trade", "mcc"])
@pytest.mark.parametrize("named", ["{}", " {} ", "{}X"])
def test_a_column_gives_each_merchant_a_trade(tmp_path: Path, column: str, named: str) -> None:
    values = {"trade": ("fuel", "everything"), "mcc": ("5541", "")}[column]
    name = named.format(column)
    text = f"merchant_id,country_iso,n_outlets,{name}\n1,DE,3,{values[0]}\n2,FR,1,{values[1]}\n"
    mapped = {column: name} if name.endswith("X") else {}
    pairs = read(tmp_path, text, mapped=mapped)
    assert trades_of(pairs) == {1: "fuel", 2: "everything"}
    assert pairs.directories is not None
    assert pairs.directories.carried == []
    assert pairs.directories.merchants["merchant"].to_pylist() == ["1", "2"]


def test_codes_of_one_trade_are_one_trade_in_any_type_of_column(tmp_path: Path) -> None:
    table = pa.table(
        {"merchant_id": [1, 1, 2], "country_iso": ["DE", "FR", "DE"], "mcc": [5541, 5542, 3777]}
    )
    (tmp_path / "list.parquet").write_bytes(parquet(table))
    pairs = read_outlets(tmp_path / "list.parquet", ISO)
    assert trades_of(pairs) == {1: "fuel", 2: "hotels"}


def test_an_mcc_of_no_trade_is_everything_and_counted(tmp_path: Path) -> None:
    text = "merchant_id,country_iso,mcc\n1,DE,0742\n2,FR,5541\n3,FR,4\n1,FR,742\n"
    pairs = read(tmp_path, text)
    assert trades_of(pairs) == {1: "everything", 2: "fuel", 3: "everything"}
    (note,) = pairs.findings.notes
    assert note.startswith("2 merchants have an MCC of no trade")


@pytest.mark.code("E_OUTLETS_INVALID")
def test_two_trades_of_a_merchant_are_refused_with_their_lines(tmp_path: Path) -> None:
    text = "merchant_id,country_iso,n_outlets,trade\n7,DE,1,fuel\n8,DE,1,fuel\n7,FR,1,hotels\n"
    (row,) = refused(tmp_path, text)
    assert (row["line"], row["column"]) == (4, "trade")
    assert row["reason"] == "'hotels' is another trade of the merchant than in line 2"


def test_an_absent_trade_is_everything_and_so_contradicts_another(tmp_path: Path) -> None:
    text = "merchant_id,country_iso,outlet_id,trade\n7,DE,a,fuel\n7,DE,b,\n"
    (row,) = refused(tmp_path, text)
    assert row["line"] == 3
    told = "empty, which is everything, is another trade of the merchant than in line 2"
    assert row["reason"] == told


def test_two_trades_refer_to_the_first_line_of_the_merchant(tmp_path: Path) -> None:
    text = "merchant_id,country_iso,n_outlets,trade\n7,FR,1,fuel\n7,DE,1,hotels\n"
    (row,) = refused(tmp_path, text)
    assert row["reason"] == "'hotels' is another trade of the merchant than in line 2"


@pytest.mark.parametrize("column", ["trade", "mcc"])
def test_a_column_of_trades_that_is_left_out_may_hold_anything(tmp_path: Path, column: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"merchant_id,country_iso,n_outlets,{column},area\n7,DE,1,shop fitting,2\n")
    for columns in ("none", "area"):
        pairs = read_outlets(path, ISO, wanted=columns)
        assert pairs.trades is None
        assert column in pairs.ignored
    with pytest.raises(Segment1BError, match=f"rename the column {column} or leave it out with"):
        read_outlets(path, ISO)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("trade", "fule", "'fule' is not a trade: did you mean 'fuel'?"),
        ("trade", "Fuel", "'Fuel' is not a trade: did you mean 'fuel'?"),
        ("mcc", "fuel", "'fuel' is not a merchant category code of up to four digits"),
        ("mcc", "55410", "'55410' is not a merchant category code of up to four digits"),
        ("mcc", "-541", "'-541' is not a merchant category code of up to four digits"),
        ("mcc", "0000", "'0000' is not a merchant category code of up to four digits"),
    ],
)
def test_an_unknown_value_is_refused_with_the_nearest(
    tmp_path: Path, column: str, value: str, reason: str
) -> None:
    text = f"merchant_id,country_iso,{column}\n1,DE,{value}\n"
    assert refused(tmp_path, text) == [{"line": 2, "column": column, "reason": reason}]


def test_trade_and_mcc_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Segment1BError, match=r"E_OUTLETS_INVALID.*has trade and mcc"):
        read(tmp_path, "merchant_id,country_iso,trade,mcc\n1,DE,fuel,5541\n")


def test_the_fingerprint_is_that_of_the_documented_text(tmp_path: Path) -> None:
    rows = PLAIN.splitlines()
    text = "\n".join([f"{rows[0]},trade", *(f"{row},fuel" for row in rows[1:3]), f"{rows[3]},"])
    pairs = read(tmp_path, text + "\n")
    assert pairs.directories is not None
    directory = pairs.directories.digests["merchant_directory"]
    lines = f"{PLAIN}merchant_directory {directory}\n1,fuel\n2,everything\n"
    assert pairs.fingerprint == hashlib.sha256(lines.encode()).hexdigest()


def test_everything_alone_leaves_fingerprint_and_directories_as_they_are(tmp_path: Path) -> None:
    plain = read(tmp_path, PLAIN)
    rows = PLAIN.splitlines()
    text = "\n".join([f"{rows[0]},mcc", *(f"{row},0742" for row in rows[1:])])
    pairs = read(tmp_path, text)
    assert pairs.fingerprint == plain.fingerprint == hashlib.sha256(PLAIN.encode()).hexdigest()
    assert pairs.directories is plain.directories is None


def test_a_list_is_divided_by_trades_too(tmp_path: Path) -> None:
    path, fixed, rejects = (tmp_path / name for name in ("list.csv", "fixed.csv", "rejects.csv"))
    path.write_text(
        "merchant_id,country_iso,n_outlets,trade\n"
        "1,DE,1,fuel\n1,FR,1,hotels\n2,DE,1,fule\n3,DE,1,\n4,XX,1,fuel\n"
    )
    assert divide(path, ISO, {}, fixed, rejects) == {"accepted": 2, "corrected": 0, "rejected": 3}
    assert trades_of(read_outlets(fixed, ISO)) == {1: "fuel", 3: "everything"}
    assert [line.split(",")[1] for line in rejects.read_text().splitlines()[1:]] == [
        '"another trade of its merchant"',
        "\"trade: 'fule' is not a trade: did you mean 'fuel'?\"",
        "\"country_iso: 'XX' is not in the ISO table\"",
    ]


@given(st.lists(st.integers(1, 9999)))
def test_each_code_has_the_trade_that_lists_it(codes: list[int]) -> None:
    trades = load_trades().trades
    found = numbers_of("mcc", pa.array([f"{code:04}" for code in codes], pa.string()))
    for code, number in zip(codes, found.tolist(), strict=True):
        owners = [at for at, trade in enumerate(trades, 1) if code in trade.codes]
        assert owners in ([number], [])


def test_every_trade_of_the_package_is_whole() -> None:
    trades = load_trades()
    assert trades.boost == 12
    assert [trade.id for trade in trades.trades][:2] == ["everything", "restaurants_and_coffee"]
    assert all(sum(trade.weights) == 100 for trade in trades.trades)
    assert trades.by_code[3501] == trades.by_code[3999] == "hotels"
    assert trades.by_code[5552] == "ev_charging"
