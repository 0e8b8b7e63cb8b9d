"""Hostile outlet lists: limits on rows, outlets, bytes, lines and columns, within 1 GB."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq
import pytest
from benchmarks import outlets as benchmark
from benchmarks.scales import SCALES

from segment1b.errors import Segment1BError
from segment1b.outlets import lists
from segment1b.outlets import pairs as outlets
from segment1b.outlets import readers as sources
from segment1b.outlets.pairs import read_outlets

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


def too_large(path: Path) -> str:
    """Return the message of a list that is refused as too large."""
    with pytest.raises(Segment1BError) as caught:
        read_outlets(path, ISO)
    assert caught.value.code == "E_INPUT_TOO_LARGE"
    assert caught.value.scope["path"] == str(path)
    assert caught.value.hint
    return caught.value.message


def packed(path: Path, head: str, block: bytes, times: int) -> Path:
    """Write gzipped text that repeats a block."""
    with gzip.open(path, "wb") as file:
        file.write(head.encode())
        for _ in range(times):
            file.write(block)
    return path


def table(**columns: Any) -> pa.Table:
    """Return a list with these columns instead of good ones."""
    rows = len(next(iter(columns.values())))
    good = {"merchant_id": np.arange(1, rows + 1), "country_iso": ["NO"] * rows}
    return pa.table({**good, "n_outlets": np.ones(rows, np.int32), **columns})


def repeated(word: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [word])


def many_rows(folder: Path) -> Path:
    block = b"1,US\n" * 1_000_000
    return packed(folder / "rows.csv.gz", "merchant_id,country_iso\n", block, 60)


def many_bad_rows(folder: Path) -> Path:
    return packed(folder / "bad.csv.gz", HEAD, b"x,y,z\n" * 500_000, 10)


def one_long_line(folder: Path) -> Path:
    return packed(folder / "line.csv.gz", HEAD + "1,US,1\n", b"1" * (1 << 20), 200)


def long_words(folder: Path) -> Path:
    path = folder / "words.parquet"
    words = repeated("U" * (1 << 20), 1 << 20)
    pq.write_table(table(country_iso=words, merchant_id=words), path)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (many_rows, "E_INPUT_TOO_LARGE"),
        (many_bad_rows, "has 5000000 bad rows"),
        (one_long_line, "has a line of more than 1,048,576 bytes"),
        (long_words, "has 1048576 bad rows"),
    ],
)
def test_a_small_file_that_expands_takes_at_most_one_gigabyte(
    make: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    path = make(tmp_path)
    assert path.stat().st_size < 5 << 20
    done = subprocess.run([sys.executable, "-c", _READ, path], capture_output=True, text=True)
    assert says in done.stdout, done.stdout + done.stderr
    assert len(done.stdout) < 10_000
    assert int(done.stdout.splitlines()[-1]) < 1000


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
    command = [sys.executable, "-c", _READ, tmp_path / "a.csv"]
    done = subprocess.run(command, capture_output=True, text=True)
    said, peak = done.stdout.splitlines()
    assert said == f"{rows} pairs"
    assert int(peak) < 1000


def test_the_lists_of_the_benchmark_are_within_the_limits() -> None:
    largest = max(scale.outlets for scale in SCALES.values())
    assert largest <= outlets.MAX_TOTAL
    assert largest // benchmark._PAIR_MEAN <= lists.MAX_ROWS


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_the_limit_of_rows_is_taken_and_one_more_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, text = tmp_path / name, HEAD + "".join(f"{n},NO,1\n" for n in range(1, 101))
    if name.endswith("parquet"):
        pq.write_table(table(n_outlets=[1] * 100), path)
    else:
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    monkeypatch.setattr(lists, "MAX_ROWS", 100)
    assert len(read_outlets(path, ISO).n_sites) == 100
    monkeypatch.setattr(lists, "MAX_ROWS", 99)
    assert "has more than 99 rows" in too_large(path)


def test_rows_with_a_wrong_number_of_fields_count_as_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text(HEAD + "1,NO,1\n" + "1,NO\n" * 100)
    monkeypatch.setattr(lists, "MAX_ROWS", 100)
    assert "has more than 100 rows" in too_large(tmp_path / "a.csv")


def test_rows_with_a_wrong_number_of_fields_are_listed_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEAD + "1,NO\n" * 1000 + "x,NO,1\n")
    source = sources.CsvSource(tmp_path / "a.csv")
    list(source.batches(["merchant_id"]))
    survey = source.survey({0})
    assert source.skipped == 1000
    assert [line for line, _ in survey.misfits] == list(range(2, 2 + lists.SHOWN))
    assert survey.places[0].number == 1002


def test_the_limit_of_outlets_is_taken_and_one_more_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text(HEAD + "1,NO,600\n2,NO,400\n")
    monkeypatch.setattr(outlets, "MAX_TOTAL", 1000)
    assert read_outlets(tmp_path / "a.csv", ISO).n_sites.sum() == 1000
    monkeypatch.setattr(outlets, "MAX_TOTAL", 999)
    assert "has 1,000 outlets; the limit is 999" in too_large(tmp_path / "a.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_limits_of_bytes_and_lines(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (HEAD + "1,NO,1\n" + "\n" * 8).replace("\n", end)
    (tmp_path / "a.csv").write_text(text, newline="")
    monkeypatch.setattr(sources, "MAX_BYTES", len(text))
    monkeypatch.setattr(sources, "MAX_LINES", 10)
    assert read_outlets(tmp_path / "a.csv", ISO).n_sites.sum() == 1
    for name, value in (("MAX_BYTES", len(text) - 1), ("MAX_LINES", 9)):
        with monkeypatch.context() as limit:
            limit.setattr(sources, name, value)
            assert "bytes of text or" in too_large(tmp_path / "a.csv")


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
    monkeypatch.setattr(sources, "MAX_CHUNK", 20_000)
    assert "of country_iso in row group 0" in too_large(path)
    monkeypatch.setattr(sources, "MAX_CHUNK", 60_000)
    monkeypatch.setattr(sources, "MAX_BYTES", 60_000)
    assert "of country_iso in row group 1" in too_large(path)
    # What nobody reads may be of any size.
    pq.write_table(table(note=long["country_iso"]), path, use_dictionary=False)
    assert len(read_outlets(path, ISO).n_sites) == 100


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_a_long_word_is_cut_whatever_its_type(kind: pa.DataType, tmp_path: Path) -> None:
    words = pa.array(["é" * 10_000] * 3 + ["NO"] * 2).cast(kind)
    pq.write_table(table(country_iso=words), tmp_path / "a.parquet")
    source = sources.ParquetSource(tmp_path / "a.parquet")
    (batch,) = source.batches(["country_iso"])
    assert batch.column(0).to_pylist() == ["é" * 64] * 3 + ["NO"] * 2
    assert source.survey({0}).places[0].texts == {"country_iso": "é" * 64}


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
    with pytest.raises(Segment1BError, match="in column country_iso") as caught:
        read_outlets(tmp_path / "a.parquet", ISO)
    assert caught.value.code == "E_OUTLETS_INVALID"


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_text_in_parquet_that_is_not_utf_8_is_refused(use_dictionary: bool, tmp_path: Path) -> None:
    raw = pa.array([b"\xff\xff", b"NO"])
    words = pa.StringArray.from_buffers(2, *raw.buffers()[1:])
    path = tmp_path / "a.parquet"
    pq.write_table(table(country_iso=words), path, use_dictionary=use_dictionary)
    with pytest.raises(Segment1BError, match=r"^E_OUTLETS_INVALID:"):
        read_outlets(path, ISO)


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_text_that_cannot_be_read_as_a_dictionary_is_refused(encoding: str, tmp_path: Path) -> None:
    path, encodings = tmp_path / "a.parquet", {"country_iso": encoding}
    pq.write_table(table(n_outlets=[1]), path, use_dictionary=False, column_encoding=encodings)
    with pytest.raises(Segment1BError, match=f"country_iso in the encoding {encoding}"):
        read_outlets(path, ISO)
    encodings = {"n_outlets": "DELTA_BINARY_PACKED"}
    pq.write_table(table(n_outlets=[1]), path, use_dictionary=False, column_encoding=encodings)
    assert len(read_outlets(path, ISO).n_sites) == 1


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.txt", "a.parquet"])
def test_a_named_pipe_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(Segment1BError, match="is a named pipe") as caught:
        read_outlets(tmp_path / name, ISO)
    assert caught.value.code == "E_INPUT_UNREADABLE"


def test_a_link_to_a_list_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(HEAD + "1,NO,1\n")
    (tmp_path / "a.csv").symlink_to("real")
    assert read_outlets(tmp_path / "a.csv", ISO).n_sites.tolist() == [1]
    (tmp_path / "b.csv").symlink_to("/dev/zero")
    with pytest.raises(Segment1BError, match="is a character device"):
        read_outlets(tmp_path / "b.csv", ISO)
