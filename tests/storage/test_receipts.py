"""Receipts: the content digest against its definition, and strictness about what is receipted."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import string
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.contracts import Column, Dataset, load
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.storage.receipts import (
    Receipt,
    check_values,
    document_receipt,
    hash_files,
    key_words,
    take_receipt,
    value_bytes,
)
from shapes import DUPLICATE, EXTRAS, SCHEMA, UNSORTED, dataset, table, write_files

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


def test_the_order_of_rows_and_columns_is_part_of_the_content(tmp_path: Path) -> None:
    ab = dataset({"k": "uint64", "a": "int64", "b": "int64"}, ["k"])
    ba = dataset({"k": "uint64", "b": "int64", "a": "int64"}, ["k"])
    one = content(write_files(tmp_path / "1", [table(ab, [1, 2], [3, 4], [5, 6])]), ab)
    two = content(write_files(tmp_path / "2", [table(ab, [1, 2], [4, 3], [5, 6])]), ab)
    three = content(write_files(tmp_path / "3", [table(ba, [1, 2], [5, 6], [3, 4])]), ba)
    assert len({one, two, three}) == 3


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_receipt_does_not_depend_on_the_number_of_threads(tmp_path: Path, threads: int) -> None:
    of = dataset({"k": "uint64", "a": "string"}, ["k"])
    folder = write_files(tmp_path / "p", [table(of, [1, 2], ["x", ""]), table(of, [9], ["y"])])
    assert take_receipt(folder, of, "d", threads) == take_receipt(folder, of, "d", 3)


def test_a_receipt_names_files_bytes_and_hashes_in_ascii_order(tmp_path: Path) -> None:
    of = dataset({"k": "uint64"}, ["k"])
    folder = tmp_path / "p"
    folder.mkdir()
    names = ["Z.parquet", "a10.parquet", "a9.parquet", "b.parquet"]
    for number, name in enumerate(names):
        pq.write_table(table(of, [number]), folder / name)
    receipt = take_receipt(folder, of, "data/p", 1)
    data = [(folder / name).read_bytes() for name in names]
    assert receipt.files == tuple(
        (name, len(own), hashlib.sha256(own).hexdigest())
        for name, own in zip(names, data, strict=True)
    )
    assert receipt.sha256_hex == hashlib.sha256(b"".join(data)).hexdigest()
    assert (receipt.partition_path, receipt.rows) == ("data/p", 4)


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


def test_large_files_are_hashed_whole(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "large").write_bytes(data)
    ((_, size, digest),), whole = hash_files(tmp_path, ["large"])
    assert (size, digest) == (len(data), hashlib.sha256(data).hexdigest())
    assert whole == digest


def test_a_receipt_goes_through_json_unchanged(tmp_path: Path) -> None:
    of = dataset({"k": "uint64"}, ["k"])
    receipt = take_receipt(write_files(tmp_path / "p", [table(of, [1])]), of, "data/p", 1)
    assert Receipt.from_json(json.loads(json.dumps(receipt.as_json()))) == receipt


STRICT = dataset(
    {
        "merchant_id": {"type": "uint64", "minimum": 1, "maximum": 2**63 - 1},
        "country_iso": {"type": "string", "pattern": "^[A-Z]{2}$"},
        "area": {"type": "float64", "exclusive_minimum": 0, "maximum": 10},
    },
    ["merchant_id", "country_iso"],
)
GOOD = [[1, 1, 2], ["NO", "SE", "NO"], [0.5, 1.0, 10.0]]


def strict(*columns: Sequence[Any], schema: pa.Schema | None = None) -> pa.Table:
    """Return a table with the columns of STRICT, or in another schema."""
    return pa.table([list(c) for c in columns], schema=schema or STRICT.arrow_schema)


def fault(tmp_path: Path, *files: pa.Table) -> Segment1BError:
    """Return the error that a partition of these files raises."""
    folder = write_files(tmp_path / "p", files)
    with pytest.raises(Segment1BError) as caught:
        take_receipt(folder, STRICT, "data/p", 2)
    return caught.value


def schema_with(name: str, **field: Any) -> pa.Schema:
    """Return the schema of STRICT with one field changed."""
    at = STRICT.arrow_schema.get_field_index(name)
    old = STRICT.arrow_schema.field(at)
    return STRICT.arrow_schema.set(
        at, pa.field(field.get("name", name), field.get("type", old.type), field.get("null", False))
    )


def test_the_good_rows_of_these_tests_are_accepted(tmp_path: Path) -> None:
    assert take_receipt(write_files(tmp_path / "p", [strict(*GOOD)]), STRICT, "d", 1).rows == 3


def test_an_extra_column_is_refused_by_the_code_for_extras(tmp_path: Path) -> None:
    error = fault(tmp_path, strict(*GOOD).append_column("rank", pa.array([1, 2, 3])))
    assert error.code == EXTRAS
    assert "rank" in error.message


@pytest.mark.parametrize(
    "schema",
    [
        schema_with("merchant_id", type=pa.int64()),
        schema_with("country_iso", type=pa.large_string()),
        schema_with("area", type=pa.float32()),
        schema_with("area", null=True),
    ],
)
def test_another_type_or_a_nullable_column_is_refused(tmp_path: Path, schema: pa.Schema) -> None:
    assert fault(tmp_path, strict(*GOOD, schema=schema)).code == SCHEMA


def test_a_missing_or_misplaced_column_is_refused(tmp_path: Path) -> None:
    missing = strict(*GOOD).drop_columns(["area"])
    assert fault(tmp_path, missing).code == SCHEMA
    turned = strict(*GOOD).select(["country_iso", "merchant_id", "area"])
    assert fault(tmp_path, turned).code == SCHEMA


def test_a_null_is_refused(tmp_path: Path) -> None:
    rows = strict([1, 1], ["NO", "SE"], [0.5, None], schema=schema_with("area", null=True))
    assert fault(tmp_path, rows).code == SCHEMA
    with pytest.raises(Segment1BError, match="2 nulls") as caught:
        check_values(pa.array([1, None, None], pa.uint64()), STRICT, STRICT.columns[0])
    assert caught.value.code == SCHEMA


@pytest.mark.parametrize(
    ("columns", "column", "says"),
    [
        ([[1], ["NO"], [math.nan]], "area", "NaN"),
        ([[1], ["NO"], [0.0]], "area", "not above 0"),
        ([[1], ["NO"], [10.5]], "area", "above 10"),
        ([[1], ["NO"], [math.inf]], "area", "above 10"),
        ([[0], ["NO"], [1.0]], "merchant_id", "below 1"),
        ([[2**63], ["NO"], [1.0]], "merchant_id", "above 9223372036854775807"),
        ([[1], ["no"], [1.0]], "country_iso", "'no'"),
        ([[1], ["NOR"], [1.0]], "country_iso", "'NOR'"),
        ([[1], [""], [1.0]], "country_iso", "''"),
    ],
)
@pytest.mark.parametrize("before", [0, 1])
def test_a_value_that_the_schema_does_not_allow_is_refused_in_any_file(
    tmp_path: Path, columns: list[list[Any]], column: str, says: str, before: int
) -> None:
    error = fault(tmp_path, *([strict([1], ["AA"], [1.0])] * before), strict(*columns))
    assert error.code == SCHEMA
    assert error.scope["column"] == column
    assert says in error.message


UNSORTED_KEYS = [
    ([[(1, "SE"), (1, "NO")]], 2),
    ([[(2, "NO"), (1, "SE")]], 2),
    ([[(1, "NO"), (2, "NO")], [(1, "SE")]], 3),
    ([[(1, "NO")], [(2, "NO"), (1, "SE"), (3, "NO")]], 3),
    ([[(2**62 + 1, "NO"), (2**62, "NO")]], 2),
    ([[(1, "NO")], [], [(1, "AA")]], 2),
]
DUPLICATE_KEYS = [
    ([[(1, "NO"), (1, "NO")]], 2),
    ([[(1, "NO"), (1, "SE")], [(1, "SE"), (2, "NO")]], 3),
    ([[(1, "NO")], [(1, "SE")], [(1, "SE")]], 3),
    ([[(1, "NO")], [], [(1, "NO")]], 2),
    ([[(2**63 - 1, "NO"), (2**63 - 1, "NO")]], 2),
]


@pytest.mark.parametrize(
    ("files", "row", "code"),
    [(*one, UNSORTED) for one in UNSORTED_KEYS] + [(*one, DUPLICATE) for one in DUPLICATE_KEYS],
)
@pytest.mark.parametrize("group", [1, 100])
def test_keys_out_of_order_or_there_twice_are_refused_with_their_row(
    tmp_path: Path, files: list[list[tuple[int, str]]], row: int, code: str, group: int
) -> None:
    folder = tmp_path / "p"
    parts = [
        strict([m for m, _ in keys], [c for _, c in keys], [1.0] * len(keys)) for keys in files
    ]
    write_files(folder, parts, row_group_size=group)
    with pytest.raises(Segment1BError) as caught:
        take_receipt(folder, STRICT, "data/p", 2)
    merchant, country = [key for keys in files for key in keys][row - 1]
    assert caught.value.code == code
    assert caught.value.scope["row"] == row
    assert (caught.value.scope["merchant_id"], caught.value.scope["country_iso"]) == (
        merchant,
        country,
    )


def test_keys_that_rise_over_every_border_are_accepted(tmp_path: Path) -> None:
    keys = [[(1, "NO")], [], [(1, "SE"), (2, "AA")], [(2, "AB"), (2**63 - 1, "AA")]]
    parts = [strict([m for m, _ in k], [c for _, c in k], [1.0] * len(k)) for k in keys]
    folder = write_files(tmp_path / "p", parts, row_group_size=1)
    assert take_receipt(folder, STRICT, "d", 1).rows == 5


def test_key_words_keep_the_order_of_the_country_codes() -> None:
    codes = ["".join(pair) for pair in itertools.product(string.ascii_uppercase, repeat=2)]
    words = key_words(pa.array(codes))
    assert (np.diff(words.astype(int)) > 0).all()
    assert words[codes.index("GB")] == 18242
    ids = pa.chunked_array([pa.array([2**64 - 1, 0], pa.uint64())])
    assert key_words(ids).tolist() == [2**64 - 1, 0]


def damaged(whole: bytes) -> list[bytes]:
    """Return ways in which the bytes of a Parquet file can be hurt."""
    return [
        b"",
        b"PAR1",
        b"no Parquet at all",
        whole[:-1],
        whole[: len(whole) // 2],
        whole[4:],
        whole[:4] + b"\xff" * 200 + whole[204:],
    ]


@pytest.mark.parametrize("which", range(7))
def test_a_damaged_file_is_named(tmp_path: Path, which: int) -> None:
    rows = strict(range(1, 1001), ["NO"] * 1000, np.linspace(0.1, 9, 1000))
    folder = write_files(tmp_path / "p", [rows.slice(0, 500), rows.slice(500)], compression="zstd")
    path = folder / "part-00001.parquet"
    path.write_bytes(damaged(path.read_bytes())[which])
    with pytest.raises(Segment1BError, match=r"part-00001\.parquet") as caught:
        take_receipt(folder, STRICT, "data/p", 2)
    assert caught.value.code == "E_INPUT_UNREADABLE"


@pytest.mark.parametrize("words", [True, False])
def test_a_string_that_is_no_text_is_a_damaged_file(tmp_path: Path, words: bool) -> None:
    bad = pa.array([b"NO", b"\xff\xfe"]).view(pa.string())
    rows = pa.table(
        [pa.array([1, 2], pa.uint64()), bad, pa.array([1.0, 1.0])], schema=STRICT.arrow_schema
    )
    folder = write_files(tmp_path / "p", [rows], use_dictionary=words)
    with pytest.raises(Segment1BError, match="UTF8") as caught:
        take_receipt(folder, STRICT, "data/p", 2)
    assert caught.value.code == "E_INPUT_UNREADABLE"


def test_a_stray_file_in_a_partition_is_refused(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "p", [strict(*GOOD)])
    (folder / "_SUCCESS").touch()
    with pytest.raises(Segment1BError, match="_SUCCESS") as caught:
        take_receipt(folder, STRICT, "data/p", 1)
    assert caught.value.code == "E_INPUT_UNREADABLE"


@pytest.mark.parametrize(
    ("dataset_id", "code"),
    [
        ("tile_index", "E108_WRITER_HYGIENE"),
        ("tile_weights", "E105_NORMALIZATION"),
        ("s3_requirements", "E305_SCHEMA_INVALID"),
        ("s4_alloc_plan", "E405_SCHEMA_INVALID"),
    ],
)
def test_a_nullable_copy_of_a_published_dataset_has_that_dataset_s_code(
    tmp_path: Path, dataset_id: str, code: str
) -> None:
    known = load()[dataset_id]
    nullable = pa.schema([field.with_nullable(True) for field in known.arrow_schema])
    folder = write_files(tmp_path / "p", [nullable.empty_table()])
    with pytest.raises(Segment1BError) as caught:
        take_receipt(folder, known, "data/p", 1)
    assert caught.value.code == code


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


def test_a_column_without_limits_takes_every_number() -> None:
    check_values(pa.array([0, 2**64 - 1], pa.uint64()), STRICT, Column("any", "uint64"))
    check_values(pa.array([], pa.float64()), STRICT, STRICT.columns[2])
