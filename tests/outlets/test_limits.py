"""Hostile outlet lists: limits on rows, outlets, bytes, lines and columns, within 1 GB."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq
import pytest
from benchmarks import outlets as benchmark
from benchmarks.scales import SCALES

from bring import run_python
from segment1b.errors import Segment1BError
from segment1b.outlets import columnar, lists
from segment1b.outlets import pairs as outlets
from segment1b.outlets.pairs import read_outlets
from segment1b.outlets.readers import open_source

HEAD = "merchant_id,country_iso,n_outlets\n"
ISO = {"DE", "NO", "US"}
#: Prints the message of the error, and the peak of the process's memory in MB.
_READ = """
import re, sys
from pathlib import Path
from segment1b.errors import Segment1BError
from segment1b.outlets.pairs import read_outlets
try:
    print(len(read_outlets(Path(sys.argv[1]), {"DE", "NO", "US"}).n_sites), "pairs")
except Segment1BError as error:
    print(error.code, error.message)
# Not getrusage: a process inherits that figure from the one that has started it.
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1000)
"""


def refused(path: Path, code: str = "E_OUTLETS_INVALID") -> str:
    """Return the message of a list that is refused."""
    with pytest.raises(Segment1BError, match=f"^{code}:") as caught:
        read_outlets(path, ISO)
    assert caught.value.scope["path"] == str(path)
    assert caught.value.hint
    return caught.value.message


def too_large(path: Path) -> str:
    return refused(path, "E_INPUT_TOO_LARGE")


def written(path: Path, text: str, end: str = "\n") -> Path:
    """Write a list with a header as CSV, gzipped CSV or Parquet, by its name."""
    data = (HEAD + text).replace("\n", end).encode()
    if path.suffix == ".parquet":
        pq.write_table(pv.read_csv(pa.py_buffer(data)), path)
    else:
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def table(**columns: Any) -> pa.Table:
    """Return a list with these columns instead of good ones."""
    rows = len(next(iter(columns.values())))
    good = {"merchant_id": np.arange(1, rows + 1), "country_iso": ["NO"] * rows}
    return pa.table({**good, "n_outlets": np.ones(rows, np.int32), **columns})


def read_apart(path: Path) -> str:
    """Return what a process of its own says of a list; it takes less than 1 GB."""
    said, peak = run_python(_READ, path).rstrip().rsplit("\n", 1)
    assert int(peak) < 1000
    return said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "block", "times", "says"),
    [
        pytest.param("merchant_id,country_iso", b"1,US\n", 60, "E_INPUT_TOO_LARGE", id="rows"),
        pytest.param(HEAD.strip(), b"x,y,z\n", 5, "has 5000000 bad rows", id="bad rows"),
        pytest.param(HEAD + "1,US,1", b"1", 200, "has a line of more than 1,048,576", id="a line"),
    ],
)
def test_a_small_file_that_expands_takes_at_most_one_gigabyte(
    head: str, block: bytes, times: int, says: str, tmp_path: Path
) -> None:
    with gzip.open(tmp_path / "a.csv.gz", "wb") as file:
        file.write(f"{head}\n".encode())
        for _ in range(times):
            file.write(block * 1_000_000)
    assert (tmp_path / "a.csv.gz").stat().st_size < 5 << 20
    said = read_apart(tmp_path / "a.csv.gz")
    assert says in said
    assert len(said) < 10_000


def test_long_words_that_all_rows_share_take_at_most_one_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "words.parquet"
    words = pa.DictionaryArray.from_arrays(np.zeros(1 << 20, np.int32), ["U" * (1 << 20)])
    pq.write_table(table(country_iso=words, merchant_id=words), path)
    assert path.stat().st_size < 5 << 20
    said = read_apart(path)
    assert "has 1048576 bad rows" in said
    assert len(said) < 10_000


@pytest.mark.slow
@pytest.mark.parametrize("counted", ["n_outlets", "site_order"])
def test_the_largest_list_takes_at_most_one_gigabyte(counted: str, tmp_path: Path) -> None:
    rows = lists.MAX_ROWS
    at = np.random.default_rng(1).permutation(rows)
    countries = pa.DictionaryArray.from_arrays((at % 3).astype(np.int8), sorted(ISO))
    whole = table(merchant_id=at // 3 + 10**17, country_iso=countries)
    whole = whole.rename_columns(["merchant_id", "country_iso", counted])
    pv.write_csv(whole.set_column(1, "country_iso", countries.cast("string")), tmp_path / "a.csv")
    del whole
    assert read_apart(tmp_path / "a.csv") == f"{rows} pairs"


def test_the_lists_of_the_benchmark_are_within_the_limits() -> None:
    largest = max(scale.outlets for scale in SCALES.values())
    assert largest <= outlets.MAX_TOTAL
    assert largest // benchmark._PAIR_MEAN <= lists.MAX_ROWS


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_the_limit_of_rows_is_taken_and_one_more_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / name, "".join(f"{n},NO,1\n" for n in range(1, 101)))
    monkeypatch.setattr(lists, "MAX_ROWS", 100)
    assert len(read_outlets(path, ISO).n_sites) == 100
    monkeypatch.setattr(lists, "MAX_ROWS", 99)
    assert "has more than 99 rows" in too_large(path)


def test_rows_with_a_wrong_number_of_fields_count_as_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "MAX_ROWS", 100)
    path = written(tmp_path / "a.csv", "1,NO,1\n" + "1,NO\n" * 100)
    assert "has more than 100 rows" in too_large(path)


def test_rows_with_a_wrong_number_of_fields_are_listed_up_to_the_limit(tmp_path: Path) -> None:
    source = open_source(written(tmp_path / "a.csv", "1,NO\n" * 1000 + "x,NO,1\n"))
    list(source.batches(["merchant_id"]))
    places, misfits = source.survey({0})
    assert source.skipped == 1000
    assert [line for line, _ in misfits] == list(range(2, 2 + lists.SHOWN))
    assert places[0].number == 1002


def test_the_limit_of_outlets_is_taken_and_one_more_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.csv", "1,NO,600\n2,NO,400\n")
    monkeypatch.setattr(outlets, "MAX_TOTAL", 1000)
    assert read_outlets(path, ISO).n_sites.sum() == 1000
    monkeypatch.setattr(outlets, "MAX_TOTAL", 999)
    assert "has 1,000 outlets; the limit is 999" in too_large(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_limits_of_bytes_and_lines(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.csv", "1,NO,1\n" + "\n" * 8, end)
    size = path.stat().st_size
    monkeypatch.setattr(lists, "MAX_BYTES", size)
    monkeypatch.setattr(lists, "MAX_LINES", 10)
    assert read_outlets(path, ISO).n_sites.sum() == 1
    for name, value in (("MAX_BYTES", size - 1), ("MAX_LINES", 9)):
        with monkeypatch.context() as limit:
            limit.setattr(lists, name, value)
            assert "bytes of text or" in too_large(path)


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_line_longer_than_its_limit_is_refused(where: str, tmp_path: Path) -> None:
    head, long = HEAD + "1,NO,1\n" * 3, "x" * (5 << 20)
    text = {"first": long + head, "middle": f"{head}{long}\n2,NO,1\n", "last": head + long}[where]
    (tmp_path / "a.csv").write_text(text)
    assert "has a line of more than 1,048,576 bytes" in too_large(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_more_columns_than_the_limit_are_refused(name: str, tmp_path: Path) -> None:
    more = [f"c{number}" for number in range(998)]
    if name.endswith("csv"):
        text = HEAD.strip() + "".join(f",{one}" for one in more) + "\n1,NO,1" + "," * 998 + "\n"
        (tmp_path / name).write_text(text)
    else:
        pq.write_table(table(**{one: [1] for one in more}), tmp_path / name)
    assert "has 1,001 columns; the limit is 1,000" in too_large(tmp_path / name)


def test_a_column_chunk_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    long = table(country_iso=[f"{n:01000}" for n in range(100)])
    pq.write_table(long, path, use_dictionary=False, row_group_size=50)
    monkeypatch.setattr(columnar, "MAX_CHUNK", 20_000)
    assert "of country_iso in row group 0" in too_large(path)
    monkeypatch.setattr(columnar, "MAX_CHUNK", 60_000)
    monkeypatch.setattr(lists, "MAX_BYTES", 60_000)
    assert "of country_iso in row group 1" in too_large(path)
    # What nobody reads may be of any size.
    pq.write_table(table(note=long["country_iso"]), path, use_dictionary=False)
    assert len(read_outlets(path, ISO, wanted="none").n_sites) == 100
    assert "of note in row group 0" in too_large(path)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_a_long_word_is_cut_whatever_its_type(kind: pa.DataType, tmp_path: Path) -> None:
    words = pa.array(["é" * 10_000] * 3 + ["NO"] * 2).cast(kind)
    pq.write_table(table(country_iso=words), tmp_path / "a.parquet")
    source = open_source(tmp_path / "a.parquet")
    (batch,) = source.batches(["country_iso"])
    cut = "é" * columnar.MAX_TEXT
    assert batch.column(0).to_pylist() == [cut] * 3 + ["NO"] * 2
    assert source.survey({0})[0][0].texts == {"country_iso": cut}


@pytest.mark.parametrize(
    "values",
    [
        pa.array([b"\xff\xff", b"NO"]),
        pa.array([1.5, 2.5]).dictionary_encode(),
        pa.array([{"x": "NO"}, {"x": "SE"}]),
        pa.array([["NO"], ["SE"]]),
    ],
)
def test_a_column_that_is_neither_text_nor_whole_numbers_is_refused_unread(
    values: pa.Array, tmp_path: Path
) -> None:
    pq.write_table(table(country_iso=values), tmp_path / "a.parquet")
    assert "in column country_iso" in refused(tmp_path / "a.parquet")


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_text_in_parquet_that_is_not_utf_8_is_refused(use_dictionary: bool, tmp_path: Path) -> None:
    raw = pa.array([b"\xff\xff", b"NO"])
    words = pa.StringArray.from_buffers(2, *raw.buffers()[1:])
    path = tmp_path / "a.parquet"
    pq.write_table(table(country_iso=words), path, use_dictionary=use_dictionary)
    refused(path)


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_text_that_cannot_be_read_as_a_dictionary_is_refused(encoding: str, tmp_path: Path) -> None:
    path, encodings = tmp_path / "a.parquet", {"country_iso": encoding}
    pq.write_table(table(n_outlets=[1]), path, use_dictionary=False, column_encoding=encodings)
    assert f"country_iso in the encoding {encoding}" in refused(path)
    encodings = {"n_outlets": "DELTA_BINARY_PACKED"}
    pq.write_table(table(n_outlets=[1]), path, use_dictionary=False, column_encoding=encodings)
    assert len(read_outlets(path, ISO).n_sites) == 1


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.txt", "a.parquet"])
def test_a_named_pipe_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    assert "is a named pipe" in refused(tmp_path / name, "E_INPUT_UNREADABLE")


def test_a_link_to_a_list_is_followed(tmp_path: Path) -> None:
    written(tmp_path / "real", "1,NO,1\n")
    (tmp_path / "a.csv").symlink_to("real")
    assert read_outlets(tmp_path / "a.csv", ISO).n_sites.tolist() == [1]
    (tmp_path / "b.csv").symlink_to("/dev/zero")
    assert "is a character device" in refused(tmp_path / "b.csv", "E_INPUT_UNREADABLE")
