"""The content digest against its definition, and what a receipt holds."""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.contracts import Dataset
from segment1b.identity import canonical_json
from segment1b.storage.receipts import (
    Receipt,
    document_receipt,
    hash_files,
    take_receipt,
    value_bytes,
)
from shapes import dataset, table, write_files

PACK = {
    "bool": "<?", "uint8": "<B", "uint32": "<I", "uint64": "<Q", "int32": "<i", "int64": "<q",
    "float64": "<d",
}  # fmt: skip
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
    | st.sampled_from(["NO", "SE", "center"]),
    "bool": st.booleans(),
    "uint8": st.integers(0, 2**8 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(allow_nan=False),
}
FEW = settings(deadline=None, derandomize=True, max_examples=60)


def naive_digest(kinds: Sequence[str], columns: Sequence[Sequence[Any]]) -> str:
    """Return the content digest by its definition, value by value."""
    digests = []
    for kind, values in zip(kinds, columns, strict=True):
        own = hashlib.sha256()
        for value in values:
            if kind == "string":
                own.update(struct.pack("<I", len(value.encode())) + value.encode())
            else:
                own.update(struct.pack(PACK[kind], value))
        digests.append(own.digest())
    return hashlib.sha256(b"".join(digests)).hexdigest()


def content(folder: Path, of: Dataset, threads: int = 2) -> str:
    """Return the content digest that the receipt gives."""
    return take_receipt(folder, of, "data/x", threads).content_sha256_hex


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    """Draw column types and columns; the first column is a rising key."""
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5))
    rows = draw(st.integers(0, 25))
    key = draw(st.lists(VALUES["uint64"], min_size=rows, max_size=rows, unique=True).map(sorted))
    columns = [draw(st.lists(VALUES[kind], min_size=rows, max_size=rows)) for kind in kinds]
    return ["uint64", *kinds], [key, *columns]


@st.composite
def cuts(draw: st.DrawFn, rows: int) -> list[int]:
    """Draw where a table of some rows is cut, its ends included."""
    return [0, *sorted(draw(st.lists(st.integers(0, rows), max_size=4))), rows]


def test_the_five_sites_of_the_worked_example_have_their_digest(tmp_path: Path) -> None:
    s5 = dataset(
        {
            "merchant_id": "uint64",
            "legal_country_iso": "string",
            "site_order": "int64",
            "tile_id": "uint64",
        },
        ["merchant_id", "legal_country_iso", "site_order"],
    )
    rows = table(s5, [101] * 5, ["GB"] * 5, [1, 2, 3, 4, 5], [7005, 7002, 7001, 7005, 7001])
    assert content(write_files(tmp_path / "p", [rows]), s5) == (
        "708d714fb2e8590f48083a23c0bd21e6b6658e2d6be3fbae5e1fb7805ed211bc"
    )


@FEW
@given(st.data(), tables(), st.sampled_from(["none", "snappy", "zstd"]), st.booleans())
def test_the_digest_is_its_definition_however_the_rows_are_cut_and_packed(
    data: st.DataObject, drawn: tuple[list[str], list[list[Any]]], compression: str, words: bool
) -> None:
    kinds, columns = drawn
    of = dataset({f"c{i}": kind for i, kind in enumerate(kinds)}, ["c0"])
    whole = table(of, *columns)
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "p"
        folder.mkdir()
        for number, (low, high) in enumerate(itertools.pairwise(data.draw(cuts(whole.num_rows)))):
            with pq.ParquetWriter(
                folder / f"part-{number}.parquet",
                of.arrow_schema,
                compression=compression,
                use_dictionary=words,
            ) as writer:
                for start, stop in itertools.pairwise(data.draw(cuts(high - low))):
                    writer.write_table(whole.slice(low + start, stop - start))
        receipt = take_receipt(folder, of, "data/x", data.draw(st.integers(1, 3)))
    assert receipt.content_sha256_hex == naive_digest(kinds, columns)
    assert receipt.rows == whole.num_rows


def test_many_different_words_give_the_same_digest_in_every_encoding(tmp_path: Path) -> None:
    of = dataset({"k": "uint64", "word": "string"}, ["k"])
    words = [f"{number * 7919 % 10_007:x}" * (number % 3) for number in range(10_000)]
    rows = table(of, range(10_000), words)
    expected = naive_digest(["uint64", "string"], [range(10_000), words])
    ways: list[dict[str, Any]] = [
        {"use_dictionary": True, "dictionary_pagesize_limit": 1024},
        {"use_dictionary": False, "column_encoding": {"word": "DELTA_BYTE_ARRAY"}},
        {"use_dictionary": False},
    ]
    for number, way in enumerate(ways):
        assert content(write_files(tmp_path / str(number), [rows], **way), of) == expected


def test_the_digest_tells_apart_what_joined_bytes_do_not(tmp_path: Path) -> None:
    of = dataset({"k": "uint64", "a": "string", "b": "string"}, ["k"])
    seen = set()
    for number, (left, right) in enumerate(
        [(["ab", "c"], ["d", ""]), (["a", "bc"], ["d", ""]), (["ab", "c"], ["", "d"]),
         (["ab", ""], ["cd", ""])]
    ):  # fmt: skip
        seen.add(content(write_files(tmp_path / str(number), [table(of, [1, 2], left, right)]), of))
    assert len(seen) == 4


def test_a_receipt_names_files_bytes_and_hashes_in_ascii_order_and_goes_through_json(
    tmp_path: Path,
) -> None:
    of = dataset({"k": "uint64"}, ["k"])
    names = ["Z.parquet", "a10.parquet", "a9.parquet", "b.parquet"]
    for number, name in enumerate(names):
        pq.write_table(table(of, [number]), tmp_path / name)
    receipt = take_receipt(tmp_path, of, "data/p", 1)
    data = [(tmp_path / name).read_bytes() for name in names]
    assert receipt.files == tuple(
        (name, len(own), hashlib.sha256(own).hexdigest())
        for name, own in zip(names, data, strict=True)
    )
    assert receipt.sha256_hex == hashlib.sha256(b"".join(data)).hexdigest()
    assert (receipt.partition_path, receipt.rows) == ("data/p", 4)
    assert Receipt.from_json(json.loads(json.dumps(receipt.as_json()))) == receipt


def test_files_are_hashed_joined_in_ascii_order_whatever_order_they_are_named_in(
    tmp_path: Path,
) -> None:
    data = {"MANIFEST.json": b"{}", "a.txt": b"x", "index.json": b"[]"}
    for name, own in data.items():
        (tmp_path / name).write_bytes(own)
    for order in itertools.permutations(data):
        files, whole = hash_files(tmp_path, order)
        assert whole == "38ad0b315ad5556763f6f3ee2d5d048c9d7fe5e23934a985be9e1a94768ec53e"
        assert [name for name, _, _ in files] == ["MANIFEST.json", "a.txt", "index.json"]
    large = bytes(range(256)) * 10_000
    (tmp_path / "large").write_bytes(large)
    digest = hashlib.sha256(large).hexdigest()
    assert hash_files(tmp_path, ["large"]) == ((("large", len(large), digest),), digest)


def test_value_bytes_do_not_depend_on_how_an_array_is_held() -> None:
    words = ["NO", "SE", "NO", "a longer one", ""]
    plain = pa.array(words)
    held: list[Any] = [
        plain,
        plain.dictionary_encode(),
        pa.chunked_array([plain.slice(0, 2), plain.slice(2)]),
        pa.concat_arrays([pa.array(["x"]), plain]).slice(1),
        pa.array(["x", *words]).dictionary_encode().slice(1),
    ]
    assert {bytes(value_bytes(one)) for one in held} == {
        b"".join(struct.pack("<I", len(word)) + word.encode() for word in words)
    }


def test_a_document_s_content_leaves_out_what_is_volatile() -> None:
    early, late = (canonical_json({"a": 1, "at": at}) for at in ("08:00", "09:00"))
    one, two = (document_receipt("data/d/x.json", data, ["at"]) for data in (early, late))
    assert one.content_sha256_hex == hashlib.sha256(b'{"a":1}\n').hexdigest()
    assert one.content_sha256_hex == two.content_sha256_hex
    assert one.sha256_hex == hashlib.sha256(early).hexdigest() != two.sha256_hex
    assert one.files == (("x.json", len(early), one.sha256_hex),)
    assert (one.partition_path, one.rows) == ("data/d", 1)
    other = document_receipt("data/d/x.json", canonical_json({"a": 2, "at": "08:00"}), ["at"])
    assert other.content_sha256_hex != one.content_sha256_hex
