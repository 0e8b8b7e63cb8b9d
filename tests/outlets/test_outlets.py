"""Outlet lists: what is taken, the fingerprint, and every way in which a list can be wrong."""

import gzip
import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.errors import Segment1BError
from segment1b.outlets.delimited import CSV_BLOCK
from segment1b.outlets.merchants import MAX_MERCHANT
from segment1b.outlets.pairs import Pairs, _codes, _known
from segment1b.outlets.pairs import read_outlets as read
from segment1b.outlets.texts import whole_numbers

ISO = {"DE", "FR", "GB", "NO", "US"}
HEAD = "merchant_id,country_iso,n_outlets\n"
SITES = "merchant_id,country_iso,site_order\n"
GOOD = HEAD + "17,FR,2\n17,DE,3\n5,US,1\n"


def write(folder: Path, text: str | bytes, name: str = "list.csv") -> Path:
    """Write a list as it stands."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(path: Path) -> Segment1BError:
    """Return the error of a list that must be refused."""
    with pytest.raises(Segment1BError) as caught:
        read(path, ISO)
    assert caught.value.code == "E_OUTLETS_INVALID"
    assert caught.value.scope["path"] == str(path)
    assert caught.value.hint
    return caught.value


def places(error: Segment1BError) -> list[tuple[int, str | None]]:
    """Return (line, column) of the rows that an error lists."""
    return [(row["line"], row["column"]) for row in error.scope["rows"]]


def as_lists(pairs: Pairs) -> list[tuple[int, str, int]]:
    """Return the pairs as Python values."""
    codes = [code.to_bytes(2, "big").decode() for code in pairs.country.tolist()]
    return list(zip(pairs.merchant_id.tolist(), codes, pairs.n_sites.tolist(), strict=True))


def test_pairs_come_in_key_order_with_types_and_a_fingerprint(tmp_path: Path) -> None:
    """Merchant by number, country by ASCII; the digest is that of `sort` and `sha256sum`."""
    pairs = read(write(tmp_path, GOOD), ISO)
    assert as_lists(pairs) == [(5, "US", 1), (17, "DE", 3), (17, "FR", 2)]
    dtypes = (pairs.merchant_id.dtype, pairs.country.dtype, pairs.n_sites.dtype)
    assert dtypes == (np.uint64, np.uint16, np.int64)
    assert pairs.ignored == ()
    text = b"merchant_id,country_iso,n_outlets\n5,US,1\n17,DE,3\n17,FR,2\n"
    assert pairs.fingerprint == hashlib.sha256(text).hexdigest()


def test_fingerprint_over_many_blocks() -> None:
    """More pairs than one block holds, with ids of every length."""
    rng = np.random.default_rng(7)
    merchant = np.unique((2 ** rng.uniform(0, 63, 300_000)).astype(np.uint64))
    country = np.full(len(merchant), int.from_bytes(b"DE", "big"), np.uint16)
    pairs = Pairs(merchant, country, rng.integers(1, 999_999, len(merchant)))
    lines = "".join(f"{m},{c},{n}\n" for m, c, n in as_lists(pairs))
    assert pairs.fingerprint == hashlib.sha256((HEAD + lines).encode()).hexdigest()


def test_shuffled_rows_and_every_form_give_one_fingerprint(tmp_path: Path) -> None:
    """CSV, gzip, BOM, CRLF, quotes, more columns, Parquet, a row a pair or an outlet: one list."""
    rows = [(m, c, 1 + (m * 7 + ord(c[0])) % 5) for m in range(1, 60) for c in sorted(ISO)]
    lines = [f"{m},{c},{n}\n" for m, c, n in rows]
    want = hashlib.sha256((HEAD + "".join(lines)).encode()).hexdigest()
    random.Random(3).shuffle(lines)
    text = HEAD + "".join(lines)
    sites = [(m, c, k) for m, c, n in rows for k in range(1, n + 1)]
    random.Random(4).shuffle(sites)
    bare = "".join(f"{c},{m}\n" for m, c, _ in sites)
    quoted = "".join(f'"x\n""y",{n},"{c}",{m}\n' for m, c, n in rows)
    merchants, codes, counts = (list(column) for column in zip(*rows, strict=True))
    narrow = pa.table(
        {
            "merchant_id": pa.array(merchants, pa.int16()),
            "country_iso": codes,
            "n_outlets": pa.array(counts, pa.uint8()),
        }
    )
    words = pa.table(
        {
            " merchant_id ": list(map(str, merchants)),
            "country_iso": pa.array(codes).dictionary_encode(),
            "n_outlets": pa.array(list(map(str, counts)), pa.large_string()),
            "note": [None] * len(rows),
        }
    )
    pq.write_table(narrow, tmp_path / "narrow.parquet")
    pq.write_table(words, tmp_path / "words.PARQUET")
    lists = [
        write(tmp_path, text),
        write(tmp_path, gzip.compress(text.encode()), "a.csv.gz"),
        write(tmp_path, "\ufeff" + text.replace("\n", "\r\n"), "b.txt"),
        write(tmp_path, "\n\n note, n_outlets ,country_iso,merchant_id\n\n" + quoted, "c.csv"),
        write(tmp_path, SITES + "".join(f"{m},{c},{k}\n" for m, c, k in sites), "d.csv"),
        write(tmp_path, "country_iso,merchant_id\n" + bare, "e.csv"),
        tmp_path / "narrow.parquet",
        tmp_path / "words.PARQUET",
    ]
    assert [read(path, ISO, wanted="none").fingerprint for path in lists] == [want] * len(lists)
    for path in (lists[3], lists[-1]):
        assert read(path, ISO, wanted="none").ignored == ("note",)
        assert read(path, ISO).ignored == ()
        assert read(path, ISO).fingerprint != want


def test_limits_are_taken(tmp_path: Path) -> None:
    """The largest merchant and count, and zeros in front of a count."""
    pairs = read(write(tmp_path, f"{HEAD}{MAX_MERCHANT},NO,999999\n1,DE,0001\n"), ISO)
    assert as_lists(pairs) == [(1, "DE", 1), (MAX_MERCHANT, "NO", 999_999)]


CELLS = [
    (" 4,DE,1", "merchant_id", "' 4' begins or ends with a space"),
    ("4\u00a0,DE,1", "merchant_id", "begins or ends with a space"),
    ("é" * 129 + ",DE,1", "merchant_id", "has more than 256 bytes"),
    (" ,DE,1", "merchant_id", "value is missing"),
    (",DE,1", "merchant_id", "value is missing"),
    ("4,,1", "country_iso", "value is missing"),
    (
        "4,de,1",
        "country_iso",
        "'de' is not two upper-case letters: de is DE (--normalise)",
    ),
    ("4, DE,1", "country_iso", "' DE' is not two upper-case letters: DE is DE (--normalise)"),
    ("4,DEU,1", "country_iso", "'DEU' is not two upper-case letters: DEU is DE (--normalise)"),
    ("4,\u00c4,1", "country_iso", "is not two upper-case letters"),
    ("4,XX,1", "country_iso", "'XX' is not in the ISO table"),
    ("4,DE,0", "n_outlets", "'0' is not a whole number in 1..999999"),
    ("4,DE,1000000", "n_outlets", "'1000000' is not a whole number in 1..999999"),
    ("4,DE,two", "n_outlets", "'two' is not a whole number in 1..999999"),
    ("4,DE,", "n_outlets", "value is missing"),
    ('4,DE,"1\n"', "n_outlets", "'1\\n' is not a whole number"),
]


@pytest.mark.parametrize(("row", "column", "reason"), CELLS)
@pytest.mark.code("E_OUTLETS_INVALID")
def test_a_bad_value_is_named(tmp_path: Path, row: str, column: str, reason: str) -> None:
    """By line, column and reason, and by nothing else."""
    error = refused(write(tmp_path, f"{HEAD}1,DE,1\n{row}\n2,DE,1\n"))
    assert places(error) == [(3, column)]
    assert reason in error.scope["rows"][0]["reason"]
    assert error.scope["total"] == 1
    assert f"has 1 bad row:\n  line 3, column {column}: " in error.message
    assert reason in error.message


LINES = 'merchant_id,country_iso,n_outlets,"a\nb"\n\n1,DE,1,"x\n\ny"\n2,de,1,\n\n\n3,DE,0,\n'
NOTED = "merchant_id,country_iso,n_outlets,note\n1,DE,1,\n"
PAIR = "merchant 17 in DE: duplicate of line 3"
#: Lists, and what an error says of their bad lines: the column and a part of the reason.
BAD_LINES = {
    "blank lines, quoted newlines and a header of two lines count": (
        LINES,
        {7: ("country_iso", "'de'"), 10: ("n_outlets", "'0'")},
    ),
    "CRLF": (
        LINES.replace("\n", "\r\n"),
        {7: ("country_iso", "'de'"), 10: ("n_outlets", "'0'")},
    ),
    "all faults of a row are in one entry": (
        HEAD + " 0,de,1\n",
        {2: ("merchant_id", "ends with a space (--normalise); column country_iso: 'de' is not")},
    ),
    "a pair that is listed again": (
        HEAD + "9,DE,1\n17,DE,5\n9,FR,1\n\n17,DE,5\n17,DE,6\n",
        {6: ("merchant_id", PAIR), 7: ("merchant_id", PAIR)},
    ),
    "site_order: of a pair with an unreadable one, no gap is claimed": (
        SITES + "1,DE,2\n1,DE,1\n2,DE,1\n2,DE,3\n3,DE,2\n4,DE,1\n4,DE,1\n"
        "5,DE,1\n5,DE,x\n5,DE,3\n6,DE,0\n7,DE,1000000\n",
        {
            5: ("site_order", "3 leaves a gap: merchant 2 in DE has no site_order 2"),
            6: ("site_order", "2 leaves a gap: merchant 3 in DE has no site_order 1"),
            8: ("site_order", "site_order 1 of merchant 4 in DE: duplicate of line 7"),
            10: ("site_order", "'x' is not a whole number in 1..999999"),
            12: ("site_order", "'0' is not a whole number"),
            13: ("site_order", "'1000000' is not a whole number"),
        },
    ),
    "too few fields, too many, none but spaces": (
        HEAD + "1,DE,1\n2,DE\n3,DE,1,9\n\n   \n4,DE,1\n",
        {3: (None, "2 fields, the first line has 3"), 4: (None, "4 fields"), 6: (None, "1 fields")},
    ),
    "a stray quote": (NOTED + '9,"DE,1\n2,DE,1,\n3,DE,1,\n', {3: (None, "2 fields")}),
    "a stray quote in the last column": (
        NOTED + '9,DE,1,"note\n2,DE,1,\n3,DE,1,\n',
        {3: (None, "quote")},
    ),
    "a stray quote in a column that is not read": (
        NOTED + '9,DE,1,"no\nte"x\n2,DE,1,\n3,DE,1,\n',
        {3: (None, "quote")},
    ),
    "a stray quote before more than is read at a time": (
        HEAD + '1,DE,1\n2,"DE,1\n' + "3,DE,1\n" * (CSV_BLOCK // 7),
        {3: (None, "quote")},
    ),
}


@pytest.mark.parametrize(("text", "bad"), BAD_LINES.values(), ids=BAD_LINES)
def test_bad_lines_are_named_with_column_and_reason(
    tmp_path: Path, text: str, bad: dict[int, tuple[str | None, str]]
) -> None:
    error = refused(write(tmp_path, text))
    assert places(error) == [(line, column) for line, (column, _) in bad.items()]
    assert error.scope["total"] == len(bad)
    for row, (_, reason) in zip(error.scope["rows"], bad.values(), strict=True):
        assert reason in row["reason"]
        assert f"line {row['line']}" in error.message


def test_the_first_twenty_bad_rows_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    """Rows of all kinds of faults, in line order."""
    lines = [f"{m},DE,1" for m in range(1, 101)]
    for place in range(10, 40):
        lines[place] = [f"{place},xx,1", f"{place},DE", "1,DE,1"][place % 3]
    error = refused(write(tmp_path, HEAD + "\n".join(lines)))
    assert error.scope["total"] == 30
    assert [row["line"] for row in error.scope["rows"]] == list(range(12, 32))
    assert "has 30 bad rows:" in error.message
    assert error.message.endswith("and 10 more")


def test_more_outlets_of_a_pair_than_six_digits_count(tmp_path: Path) -> None:
    """One fault for the pair, at the outlet that is too many."""
    text = "merchant_id,country_iso\n8,FR\n" + "8,DE\n" * 1_000_002
    error = refused(write(tmp_path, text))
    assert places(error) == [(1_000_002, "merchant_id")]
    assert "more than 999999 outlets of one pair" in error.message
    assert "begins in line 3" in error.message
    most = read(write(tmp_path, "merchant_id,country_iso\n" + "8,DE\n" * 999_999), ISO)
    assert as_lists(most) == [(8, "DE", 999_999)]


@pytest.mark.parametrize(
    ("header", "missing", "near"),
    [
        ("merchand,country_iso,n_outlets", "merchant_id", "--map 'merchant_id=COLUMN'"),
        ("merchant_id,countryy_iso,n_outlets", "country_iso", "did you mean 'countryy_iso'?"),
        ("merchant_id,country_iso,n_outlet", "n_outlets", "did you mean 'n_outlet'?"),
        ("merchant_id,country_iso,N_Outletz", "n_outlets", "did you mean 'N_Outletz'?"),
        ("merchant_id,country_iso,site_ordr", "site_order", "did you mean 'site_ordr'?"),
        ("merchant_id:country_iso:n_outlets", "merchant_id, country_iso", "did you mean"),
        ("17,DE,5", "merchant_id, country_iso", "known: "),
    ],
)
def test_a_missing_column_is_named_with_the_nearest(
    tmp_path: Path, header: str, missing: str, near: str
) -> None:
    """A misspelt third column is no list of one row an outlet."""
    error = refused(write(tmp_path, header + "\n1,DE,1\n"))
    assert f"has no column {missing}" in error.message
    assert near in error.hint


FILES = [
    ("empty.csv", b"", "is empty"),
    ("blank.csv", b"\n\n", "is empty"),
    ("bom.csv", b"\xef\xbb\xbf", "is empty"),
    ("head.csv", HEAD.encode(), "has column names but no rows"),
    ("head.csv", HEAD.encode() + b"\n\r\n", "has column names but no rows"),
    ("mixed.csv", HEAD.encode() + b"1,DE,1\n2,\xc3\xa9\xc9,1\n", "line 3: not UTF-8 (byte 0xc9)"),
    ("note.csv", b"merchant_id,country_iso,x\n1,DE,\xc3\xa9\n2,DE,\xe9\n", "line 3: not UTF-8"),
    ("late.csv", HEAD.encode() + b"1,DE,1\n" * 9000 + b"2,\xff\x81,1\n", "line 9002: not UTF-8"),
    ("wide.csv", HEAD.encode("utf-16"), "has column names but no rows"),
    ("cut.csv.gz", gzip.compress(GOOD.encode(), mtime=0)[:-9], "cannot be read"),
    ("plain.csv.gz", GOOD.encode(), "cannot be read"),
    ("bad.parquet", b"PAR1 and nothing else", "is not a whole Parquet file"),
    ("list.xlsx", b"PK", "is not a whole XLSX file"),
    (
        "twice.csv",
        HEAD.strip().encode() + b", n_outlets\n1,DE,1,2\n",
        "has column n_outlets 2 times",
    ),
]


@pytest.mark.parametrize(("name", "data", "what"), FILES)
def test_a_file_that_cannot_be_taken(tmp_path: Path, name: str, data: bytes, what: str) -> None:
    """Empty, without rows, not UTF-8, damaged, of another kind."""
    assert what in refused(write(tmp_path, data, name)).message


def test_no_file(tmp_path: Path) -> None:
    """Absent, or a folder."""
    assert "cannot be reached: No such file" in refused(tmp_path / "absent.csv").message
    assert "is a folder" in refused(tmp_path).message


def parquet(folder: Path, **columns: Any) -> Path:
    """Write a list with these columns in place of good ones."""
    good = {"merchant_id": [1], "country_iso": ["DE"], "n_outlets": [1]}
    pq.write_table(pa.table(good | columns), folder / "list.parquet")
    return folder / "list.parquet"


def test_bad_rows_of_parquet_are_named_by_row(tmp_path: Path) -> None:
    """Nulls, numbers out of range, and a pair that is listed twice."""
    error = refused(
        parquet(
            tmp_path,
            merchant_id=pa.array([1, None, None, 3, 1, 2**62, 4], pa.int64()),
            country_iso=["DE", "DE", "DE", None, "DE", "xx", "FR"],
            n_outlets=pa.array([1, 1, 1, 1, 1, 1, -2], pa.int32()),
        )
    )
    names = ["merchant_id", "merchant_id", "country_iso", "merchant_id", "country_iso", "n_outlets"]
    assert places(error) == list(enumerate(names, 2))
    assert "  row 7, column n_outlets: '-2' is not a whole number" in error.message
    assert "duplicate of row 1" in error.message


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"merchant_id": [1.0]}, "in column merchant_id"),
        ({"country_iso": [49]}, "in column country_iso"),
        ({"n_outlets": [True]}, "in column n_outlets"),
        ({"merchant_id": [], "country_iso": [], "n_outlets": []}, "has no rows"),
    ],
)
def test_parquet_without_rows_or_of_other_types(
    tmp_path: Path, columns: dict[str, list[Any]], says: str
) -> None:
    """Numbers with a fraction are no whole numbers, and codes are text."""
    assert says in refused(parquet(tmp_path, **columns)).message


def test_parquet_whose_pages_are_gone(tmp_path: Path) -> None:
    path = parquet(tmp_path)
    data = bytearray(path.read_bytes())
    data[4:60] = bytes(56)
    path.write_bytes(data)
    assert "is not a whole Parquet file" in refused(path).message


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text("0123456789ADEFRx -+.\t\u00e9\0", max_size=24), min_size=1, max_size=9))
def test_values_are_checked_as_one_by_one(texts: list[str]) -> None:
    """A value that is not valid is 0 in the arrays."""
    array = pa.array(["", *texts], pa.string()).slice(1)
    digits = [int(text) if text.isascii() and text.isdigit() else 0 for text in texts]
    for limit in (MAX_MERCHANT, 999_999):
        assert whole_numbers(array, limit).tolist() == [n if n <= limit else 0 for n in digits]
    codes = [int.from_bytes(text.encode(), "big") if text in ISO else 0 for text in texts]
    assert _codes(array, _known(ISO)).tolist() == codes
