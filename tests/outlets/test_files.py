"""Sixty files as people have them, with the outcome of each: the pairs, or the refusal."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from listed import arrow, parquet, xlsx
from segment1b.errors import Segment1BError
from segment1b.outlets import arrow_messages, lists, sheets
from segment1b.outlets.column_names import parse_map
from segment1b.outlets.dividing import divide
from segment1b.outlets.lists import Reading, warnings_about
from segment1b.outlets.normalising import normalised
from segment1b.outlets.pairs import read_outlets

ISO = {"BE", "CD", "CG", "DE", "FR", "GB", "GR", "JP", "NA", "NO", "US"}
HEAD = "merchant_id,country_iso,n_outlets\n"
TEXT = HEAD + "17,DE,3\n17,FR,2\n5,NA,1\n"
WANT = [(5, "NA", 1), (17, "DE", 3), (17, "FR", 2)]
#: The same pairs in names, codes and numbers as other programs write them.
LOOSE = "Merchant ID,Country,Stores\n17, de ,3.0\n17,FRA,2\n5,516,1\n"
ROWS = [{"merchant_id": 17, "country_iso": "DE", "n_outlets": 3}]
ROWS += [{"merchant_id": 17, "country_iso": "FR", "n_outlets": 2}]
ROWS += [{"merchant_id": 5, "country_iso": "NA", "n_outlets": 1}]
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
SHEET = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
Outcome = list[tuple[int, str, int]] | str


def table() -> pa.Table:
    return pv.read_csv(
        pa.py_buffer(TEXT.encode()), convert_options=pv.ConvertOptions(strings_can_be_null=False)
    )


def frames(text: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(text.encode())
    return sink.getvalue().to_pybytes()


def patched(part: str, text: str | bytes) -> bytes:
    """Return a workbook in which a part has another text."""
    file = io.BytesIO()
    good = zipfile.ZipFile(io.BytesIO(xlsx([list(COLUMNS), [17, "DE", 3]])))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in good.namelist():
            archive.writestr(name, text if name == part else good.read(name))
    return file.getvalue()


def sheet(cells: str) -> bytes:
    body = f"<worksheet {SHEET}><sheetData>{cells}</sheetData></worksheet>"
    return patched("xl/worksheets/sheet1.xml", body)


def cells(number: int, values: list[str]) -> str:
    inline = "".join(f'<c t="inlineStr"><is><t>{value}</t></is></c>' for value in values)
    return f'<row r="{number}">{inline}</row>'


def laughs() -> bytes:
    """Return a workbook whose entities expand to 10^9 characters."""
    names = [f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10)]
    head = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "lol">{"".join(names)}]>'
    rows = cells(1, ["merchant_id", "country_iso", "&e9;"])
    return patched(
        "xl/worksheets/sheet1.xml",
        f"{head}<worksheet {SHEET}><sheetData>{rows}</sheetData></worksheet>",
    )


HEADER = [list(COLUMNS), *([*row.values()] for row in ROWS)]
SPARSE = cells(1, list(COLUMNS)) + cells(2, ["17", "DE", "3"])
SPARSE += '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
ZEROS = pa.table({"merchant_id": pa.array([0] * 4_000_000, pa.int64())})
DEEP = "[" * 100_000
PLAIN: dict[str, tuple[str, Callable[[], bytes], Outcome]] = {
    # Delimited text
    "comma": ("a.csv", TEXT.encode, WANT),
    "semicolon": ("a.csv", lambda: TEXT.replace(",", ";").encode(), WANT),
    "tab": ("a.tsv", lambda: TEXT.replace(",", "\t").encode(), WANT),
    "bar": ("a.txt", lambda: TEXT.replace(",", "|").encode(), WANT),
    "semicolons, and commas in names": (
        "a.csv",
        lambda: b"merchant_id;country_iso;n_outlets;a, b, c, d, e\n17;DE;3;x\n17;FR;2;\n5;NA;1;\n",
        WANT,
    ),
    "CRLF and a last line without an end": (
        "a.csv",
        lambda: TEXT.replace("\n", "\r\n").rstrip().encode(),
        WANT,
    ),
    "UTF-8 with a mark": ("a.csv", lambda: TEXT.encode("utf-8-sig"), WANT),
    "UTF-16 with a mark": ("a.csv", lambda: TEXT.encode("utf-16"), WANT),
    "UTF-16 little endian without": ("a.csv", lambda: TEXT.encode("utf-16-le"), WANT),
    "UTF-16 big endian without": ("a.csv", lambda: TEXT.encode("utf-16-be"), WANT),
    "UTF-32": ("a.csv", lambda: TEXT.encode("utf-32"), WANT),
    "tabs in UTF-16, as Excel saves text": (
        "a.txt",
        lambda: TEXT.replace(",", "\t").encode("utf-16"),
        WANT,
    ),
    "Latin-1": (
        "a.csv",
        lambda: TEXT.replace("\n", ",Caf\xe9\n").replace("Caf\xe9", "note", 1).encode("cp1252"),
        WANT,
    ),
    "gzip": ("a.csv.gz", lambda: gzip.compress(TEXT.encode()), WANT),
    "gzip without a name that tells it": ("a.csv", lambda: gzip.compress(TEXT.encode()), WANT),
    "gzip of UTF-16": ("a.csv.gz", lambda: gzip.compress(TEXT.encode("utf-16")), WANT),
    "zstd": ("a.csv.zst", lambda: frames(TEXT), WANT),
    "zstd of Latin-1 with semicolons": (
        "a.csv.zst",
        lambda: frames(TEXT.replace(",", ";")),
        WANT,
    ),
    "no ending": ("list", TEXT.encode, WANT),
    "common names in any order": (
        "a.csv",
        lambda: b"Stores,ISO2,Mid\n3,DE,17\n2,FR,17\n1,NA,5\n",
        WANT,
    ),
    "an exact name beside a common one": (
        "a.csv",
        lambda: TEXT.replace("\n", ",9\n").replace(",9", ",merchant", 1).encode(),
        WANT,
    ),
    "a count in a list of a row an outlet": (
        "a.csv",
        lambda: b"merchant_id,country_iso,site_order,count\n5,NA,1,70\n",
        [(5, "NA", 1)],
    ),
    # Columns and documents
    "Parquet": ("a.parquet", lambda: parquet(table()), WANT),
    "Parquet by the name of CSV": ("a.csv", lambda: parquet(table()), WANT),
    "Arrow file": ("a.arrow", lambda: arrow(table()), WANT),
    "Feather with LZ4": ("a.feather", lambda: arrow(table(), "lz4"), WANT),
    "Arrow stream with zstd": ("a.arrows", lambda: arrow(table(), "zstd", stream=True), WANT),
    "Arrow with dictionaries": (
        "a.arrow",
        lambda: arrow(
            table().set_column(1, "country_iso", table()["country_iso"].dictionary_encode()), "zstd"
        ),
        WANT,
    ),
    "JSON, a list of objects": ("a.json", lambda: json.dumps(ROWS, indent=1).encode(), WANT),
    "JSON, an object of columns": ("a.json", lambda: json.dumps(COLUMNS).encode(), WANT),
    "JSON, an object of columns by row": (
        "a.json",
        lambda: json.dumps({k: dict(enumerate(v)) for k, v in COLUMNS.items()}).encode(),
        WANT,
    ),
    "JSON lines": ("a.jsonl", lambda: "\n\n".join(map(json.dumps, ROWS)).encode(), WANT),
    "JSON lines in gzip": (
        "a.ndjson.gz",
        lambda: gzip.compress("\n".join(map(json.dumps, ROWS)).encode()),
        WANT,
    ),
    "XLSX": ("a.xlsx", lambda: xlsx(HEADER), WANT),
    "XLSX with blank rows and more sheets": (
        "a.xlsx",
        lambda: xlsx([[], HEADER[0], [], *HEADER[1:], [None, None]], more=2),
        WANT,
    ),
    "XLSX whose numbers are fractions": (
        "a.xlsx",
        lambda: xlsx([HEADER[0], *([float(a), b, float(c)] for a, b, c in HEADER[1:])]),
        WANT,
    ),
    # Refusals
    "two candidates": ("a.csv", lambda: b"mid,merchant,iso,count\n1,2,DE,3\n", "--map"),
    "two separators": ("a.csv", lambda: b"a;b,c\n1;2,3\n", "separates the column names by"),
    "binary": ("a.csv", lambda: bytes(range(256)) * 9, "E_OUTLETS_INVALID"),
    "alpha-3": ("a.csv", f"{HEAD}1,DEU,1\n".encode, "DEU is DE (--normalise)"),
    "a name": ("a.csv", f"{HEAD}1,Belgique,1\n".encode, "Belgique is BE (--normalise)"),
    "decimals": ("a.csv", f"{HEAD}1,DE,12.0\n".encode, "12.0 is 12 (--normalise)"),
    "a floating type": (
        "a.parquet",
        lambda: parquet(pa.table({**COLUMNS, "n_outlets": [3.0, 2.0, 1.0]})),
        "give --normalise",
    ),
    "XLS": ("a.xls", lambda: b"\xd0\xcf\x11\xe0" + bytes(512), "is XLS, which is not read"),
    "Parquet in gzip": ("a.gz", lambda: gzip.compress(parquet(table())), "is Parquet inside gzip"),
    "CSV by the name of XLSX": ("a.xlsx", TEXT.encode, "is not a whole XLSX file"),
    "a cut zstd": ("a.csv.zst", lambda: frames(TEXT * 999)[:-20], "cannot be read"),
    "a cut Arrow file": ("a.arrow", lambda: arrow(table())[:300], "Arrow"),
    "a cut workbook": ("a.xlsx", lambda: xlsx(HEADER)[:-90], "is not a whole XLSX file"),
    "deep JSON": ("a.json", DEEP.encode, "nested deeper"),
    "deep JSON in a line": ("a.jsonl", DEEP.encode, "line 1: not JSON"),
    "a JSON line that is a number": ("a.jsonl", lambda: b"7\n", "line 1: not a JSON object"),
    "a key twice": ("a.jsonl", lambda: b'{"merchant_id":1,"merchant_id":2}\n', "is repeated"),
    "JSON of another shape": ("a.json", lambda: b'{"a":[1],"b":[1,2]}', "holds no rows"),
    "a bomb in Arrow": ("a.arrow", lambda: arrow(ZEROS, "zstd"), "E_INPUT_TOO_LARGE"),
    "a bomb in XLSX": (
        "a.xlsx",
        lambda: patched("xl/worksheets/sheet1.xml", bytes(129 << 20)),
        "E_INPUT_TOO_LARGE",
    ),
    "entities that expand": ("a.xlsx", laughs, "is not a whole XLSX file"),
    "two cells at the ends of a sheet": ("a.xlsx", lambda: sheet(SPARSE), "in row 1048576"),
    "more columns than the limit": (
        "a.jsonl",
        lambda: json.dumps({f"c{n}": 1 for n in range(1001)}).encode(),
        "E_INPUT_TOO_LARGE",
    ),
    "a workbook without sheets": (
        "a.xlsx",
        lambda: patched("xl/workbook.xml", "<x/>"),
        "has no sheet",
    ),
}
#: Files that are read with settings only: name, text, --map, pairs or refusal.
SET: dict[str, tuple[str, list[str], Outcome]] = {
    "loose": (LOOSE, [], WANT),
    "a mapped column": (
        "Kunde,Land,Anzahl\n17,Deutschland,3\n17,france,2\n5,na,1\n",
        ["merchant_id=Kunde", "country_iso=Land", "n_outlets=Anzahl"],
        WANT,
    ),
    "UK, EL, and names in local languages": (
        HEAD + "1,UK,1\n1,EL,1\n1,\u65e5\u672c,1\n1,Norge,1\n",
        [],
        [(1, "GB", 1), (1, "GR", 1), (1, "JP", 1), (1, "NO", 1)],
    ),
    "thousands": (
        HEAD + '1,DE,"1,200"\n1,FR,1 200\n1,NA,"1.200,00"\n',
        [],
        [(1, "DE", 1200), (1, "FR", 1200), (1, "NA", 1200)],
    ),
    "two meanings": (HEAD + "1,DE,1.200\n", [], "it may be 1200, or a fraction"),
    "two countries": (HEAD + "1,Congo,1\n", [], "'Congo' is not two upper-case letters"),
    "not Namibia": (HEAD + "1,N/A,1\n", [], "'N/A' is not two upper-case letters"),
    "a map to nothing": (TEXT, ["country_iso=Land"], "has no column Land"),
    "a map beside the exact name": (
        TEXT.replace("\n", ",x\n").replace(",x", ",Land", 1),
        ["country_iso=Land"],
        "has a column country_iso beside Land",
    ),
}


def outcome(path: Path, reading: Reading | None = None) -> Outcome:
    try:
        pairs = read_outlets(path, ISO, reading)
    except Segment1BError as error:
        shown = "stdin" if path == Path("-") else str(path)
        return str(error) if error.hint and error.scope["path"] == shown else "no place"
    codes = [code.to_bytes(2, "big").decode() for code in pairs.country.tolist()]
    return list(zip(pairs.merchant_id.tolist(), codes, pairs.n_sites.tolist(), strict=True))


def agrees(found: Outcome, want: Outcome) -> bool:
    return want in found if isinstance(want, str) else found == want  # type: ignore[operator]


@pytest.mark.parametrize(("name", "make", "want"), PLAIN.values(), ids=PLAIN)
@pytest.mark.code("E_OUTLETS_INVALID", "E_INPUT_TOO_LARGE")
def test_a_file_has_this_outcome(
    name: str,
    make: Callable[[], bytes],
    want: Outcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrow_messages, "MAX_BATCH", 16 << 20)
    (tmp_path / name).write_bytes(make())
    found = outcome(tmp_path / name)
    assert agrees(found, want), found


@pytest.mark.parametrize(("text", "mapped", "want"), SET.values(), ids=SET)
def test_a_file_with_settings_has_this_outcome(
    text: str, mapped: list[str], want: Outcome, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    found = outcome(tmp_path / "a.csv", Reading(True, parse_map(mapped)))
    assert agrees(found, want), found


def test_the_table_has_sixty_files() -> None:
    assert len(PLAIN) >= 60


def test_standard_input_is_read_as_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (TEXT.encode(), gzip.compress(TEXT.encode()), parquet(table()), xlsx(HEADER)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert outcome(Path("-")) == WANT


def test_corrections_are_counted_in_any_order_of_rows(tmp_path: Path) -> None:
    path, found = tmp_path / "a.csv", []
    head, *rows = LOOSE.splitlines(keepends=True)
    for lines in (rows, rows[::-1]):
        path.write_text(head + "".join(lines))
        found.append(read_outlets(path, ISO, Reading(True)).findings)
    assert found[0] == found[1]
    kinds = {"alpha-3": 1, "decimals": 1, "lower case": 1, "numeric": 1}
    assert found[0].corrections == kinds
    assert found[0].columns["n_outlets"] == "Stores"
    assert any("'FRA' is FR (alpha-3)" in line for line in warnings_about(found[0]))


def test_an_exact_file_has_no_findings(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TEXT)
    assert read_outlets(tmp_path / "a.csv", ISO, Reading(True)).findings == lists.Findings()


def test_latin_is_said_and_a_second_sheet_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(PLAIN["Latin-1"][1]())
    (tmp_path / "a.xlsx").write_bytes(xlsx(HEADER, more=1))
    for name, says in (("a.csv", "read as Latin-1"), ("a.xlsx", "only the first is read")):
        assert says in read_outlets(tmp_path / name, ISO).findings.notes[0]


def test_a_list_is_divided_and_the_fixed_part_is_exact(tmp_path: Path) -> None:
    text = LOOSE + "17,DEU,4\n8,Narnia,2\n8,BE\n9,BE,=1+1\n"
    (tmp_path / "a.csv").write_text(text)
    counts = divide(tmp_path / "a.csv", ISO, {}, tmp_path / "f.csv", tmp_path / "b.csv")
    assert (counts["accepted"], counts["rejected"]) == (3, 4)
    assert outcome(tmp_path / "f.csv") == WANT
    rows = list(csv.reader((tmp_path / "b.csv").read_text().splitlines()))
    assert [row[0] for row in rows] == ["line", "5", "6", "7", "8"]
    assert [row[2:] for row in rows[1:]] == [
        ["17", "DEU", "4"],
        ["8", "Narnia", "2"],
        ["8", "BE"],
        ["9", "BE", "=1+1"],
    ]
    assert "duplicate of an earlier row" in rows[1][1]
    with pytest.raises(Segment1BError, match=r"E_USAGE.*exists already"):
        divide(tmp_path / "a.csv", ISO, {}, tmp_path / "f.csv", None)


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from(["DE", "DEU", "xx"]), st.integers(0, 4)),
        min_size=1,
        max_size=12,
    )
)
def test_the_accepted_rows_of_any_list_are_accepted(
    rows: list[tuple[int, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    for third in ("n_outlets", "site_order"):
        folder = tmp_path_factory.mktemp("divided")
        lines = "".join(f"{a},{b},{c}\n" for a, b, c in rows)
        (folder / "a.csv").write_text(f"merchant_id,country_iso,{third}\n{lines}")
        counts = divide(folder / "a.csv", ISO, {}, folder / "f.csv", None)
        assert counts["accepted"] + counts["rejected"] == len(rows)
        if counts["accepted"]:
            assert isinstance(outcome(folder / "f.csv"), list)


@given(st.integers(1, 999_999), st.integers(0, 2))
def test_a_count_in_another_form_is_that_count(number: int, zeros: int) -> None:
    fraction = "." + "0" * zeros if zeros else ""
    for text in (f"{number}{fraction}", f" {number:,}{fraction}\t"):
        found = normalised("n_outlets", text, ISO)
        assert (found.value if found else text) == str(number)
    assert normalised("n_outlets", str(number), ISO) is None


@given(st.text(max_size=12))
def test_what_is_corrected_is_exact(text: str) -> None:
    for column in ("merchant_id", "country_iso", "n_outlets"):
        if (found := normalised(column, text, ISO)) is not None:
            assert normalised(column, found.value, ISO) is None
            assert column != "country_iso" or found.value in ISO


@pytest.mark.parametrize("pair", ["Land", "land=Land", "country_iso=", "=x"])
@pytest.mark.code("E_USAGE")
def test_a_map_that_names_no_column_is_refused(pair: str) -> None:
    with pytest.raises(Segment1BError, match="E_USAGE"):
        parse_map([pair])
    with pytest.raises(Segment1BError, match="mapped already"):
        parse_map(["country_iso=a", "merchant_id=a"])


def test_the_cells_of_a_sheet_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MAX_CELLS", 11)
    (tmp_path / "a.xlsx").write_bytes(xlsx(HEADER))
    assert "has more than 11 cells" in outcome(tmp_path / "a.xlsx")
