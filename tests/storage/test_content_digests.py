"""The content digest against its definition, and what a receipt holds."""

from __future__ import annotations

import hashlib
import itertools
import json
import pickle
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from published import raises
from segment1b.audit import proofs as own_proofs
from segment1b.audit.proofs import prove_table, values_of
from segment1b.contracts import Dataset
from segment1b.identity import canonical_json
from segment1b.storage import digests
from segment1b.storage import proofs as proofs_of
from segment1b.storage.digests import value_bytes
from segment1b.storage.proofs import joined_receipt, prove, take_receipt
from segment1b.storage.receipts import Receipt, document_receipt, hash_files
from shapes import dataset, flip, table, write_files

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


@contextmanager
def blocks_of(rows: int) -> Iterator[None]:
    """Let producer and validator take blocks of another size."""
    with (
        patch.object(digests, "BLOCK_ROWS", rows),
        patch.object(proofs_of, "BLOCK_ROWS", rows),
        patch.object(own_proofs, "BLOCK_ROWS", rows),
    ):
        yield


FEW = settings(deadline=None, derandomize=True, max_examples=60)


ARROW = {"float64": "double"}


def naive_values(kind: str, values: Sequence[Any]) -> bytes:
    """Return the bytes of a column of a block by the rule, value by value."""
    if kind != "string":
        return b"".join(struct.pack(PACK[kind], value) for value in values)
    words = list(dict.fromkeys(values))
    texts = [word.encode() for word in words]
    head = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    width = 0 if len(words) < 2 else 1 if len(words) <= 256 else 2 if len(words) <= 65536 else 4
    places = b"".join(words.index(value).to_bytes(width, "little") for value in values)
    return struct.pack("<I", len(words)) + head + places


def naive_digest(
    kinds: Sequence[str], columns: Sequence[Sequence[Any]], size: int, by: int | None = None
) -> str:
    """Return the content digest by its definition, of blocks of `size` rows.

    Columns are named c0, c1 ..; `by` is the number of the one that begins blocks.
    """
    text = "segment1b content digest 2\n"
    for number, kind in enumerate(kinds):
        text += f"c{number} {ARROW.get(kind, kind)}\n"
    whole = hashlib.sha256(text.encode())
    rows = list(zip(*columns, strict=True))
    for _, stretch in itertools.groupby(rows, lambda row: None if by is None else row[by]):
        own = list(stretch)
        for start in range(0, len(own), size):
            block = own[start : start + size]
            whole.update(struct.pack("<I", len(block)))
            for kind, values in zip(kinds, zip(*block, strict=True), strict=True):
                whole.update(hashlib.sha256(naive_values(kind, values)).digest())
    return whole.hexdigest()


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
    page = Path(__file__).parents[2] / "docs" / "spec" / "receipts.md"
    digest = content(write_files(tmp_path / "p", [rows]), s5)
    assert f"`{digest}`" in page.read_text(encoding="utf-8")


def write_cut(folder: Path, data: st.DataObject, whole: pa.Table, **options: Any) -> Path:
    """Write a table in files and row groups that are cut anywhere; return the folder."""
    folder.mkdir()
    for number, (low, high) in enumerate(itertools.pairwise(data.draw(cuts(whole.num_rows)))):
        path = folder / f"part-{number}.parquet"
        with pq.ParquetWriter(path, whole.schema, **options) as writer:
            for start, stop in itertools.pairwise(data.draw(cuts(high - low))):
                writer.write_table(whole.slice(low + start, stop - start))
    return folder


@FEW
@given(
    st.data(),
    tables(),
    st.sampled_from(["none", "snappy", "zstd"]),
    st.booleans(),
    st.sampled_from([1, 2, 7, 100]),
)
def test_the_digest_is_its_definition_however_the_rows_are_cut_and_packed(
    data: st.DataObject,
    drawn: tuple[list[str], list[list[Any]]],
    compression: str,
    words: bool,
    size: int,
) -> None:
    kinds, columns = drawn
    of = dataset({f"c{i}": kind for i, kind in enumerate(kinds)}, ["c0"])
    whole = table(of, *columns)
    with tempfile.TemporaryDirectory() as base, blocks_of(size):
        how: dict[str, Any] = {"compression": compression, "use_dictionary": words}
        folder = write_cut(Path(base) / "p", data, whole, **how)
        receipt = take_receipt(folder, of, "data/x", data.draw(st.integers(1, 3)))
        names = [(field.name, str(field.type), False) for field in of.arrow_schema]
        proof = prove_table(folder, sorted(folder.iterdir()), names)
    assert receipt.content_sha256_hex == naive_digest(kinds, columns, size) == proof.content
    assert receipt.rows == whole.num_rows == proof.rows


@FEW
@given(
    st.data(),
    st.lists(st.tuples(st.sampled_from(["AA", "AB", "ZZ"]), st.integers(0, 99)), max_size=25,
             unique=True).map(sorted),
    st.sampled_from([1, 2, 7, 100]),
    st.sampled_from([0, 2, 4096]),
)  # fmt: skip
def test_a_country_of_a_tile_dataset_begins_a_block_wherever_files_are_cut(
    data: st.DataObject, keys: list[tuple[str, int]], size: int, kept: int
) -> None:
    columns = [[country for country, _ in keys], [tile for _, tile in keys]]
    of = dataset({"c0": "string", "c1": "uint64"}, ["c0", "c1"], cut="tiles")
    with tempfile.TemporaryDirectory() as base, blocks_of(size):
        folder = write_cut(Path(base) / "p", data, table(of, *columns))
        found = content(folder, of)
        names = [(field.name, str(field.type), False) for field in of.arrow_schema]
        with patch.object(own_proofs, "_MOST_BLOCKS", kept):  # more blocks are not held at once
            own = prove_table(folder, sorted(folder.iterdir()), names, "c0").content
    assert found == own == naive_digest(["string", "uint64"], columns, size, 0)


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
    assert {bytes(value_bytes(one)) for one in held} == {naive_values("string", words)}


@pytest.mark.parametrize("many", [1, 2, 256, 257, 65_536, 65_537])
def test_places_of_words_take_no_more_bytes_than_they_need(many: int) -> None:
    words = pa.array([f"{number:x}" for number in range(many)])
    texts = sum(4 + len(word) for word in words.to_pylist())
    width = {1: 0, 2: 1, 256: 1, 257: 2, 65_536: 2, 65_537: 4}[many]
    assert len(value_bytes(words)) == 4 + texts + many * width
    assert bytes(value_bytes(words)) == values_of(pa.chunked_array([words]))


TILES = dataset({"c0": "string", "c1": "uint64", "c2": "int64"}, ["c0", "c1"], cut="tiles")
ROWS = [["AA"] * 5 + ["BB"] * 4, [*range(5), *range(4)], [5, 6, 7, 8, 9, 5, 6, 7, 8]]


def swapped(column: int, one: int, other: int) -> list[list[Any]]:
    """Return ROWS with two values of a column in each other's place."""
    columns = [list(values) for values in ROWS]
    own = columns[column]
    own[one], own[other] = own[other], own[one]
    return columns


@pytest.mark.parametrize("block", [2, 100])
def test_any_other_value_or_place_of_a_value_changes_the_digest(tmp_path: Path, block: int) -> None:
    changed = [ROWS, [*ROWS[:2], [5, 6, 7, 8, 9, 5, 6, 7, 9]]]
    # Within a block, between blocks, between countries.
    changed += [swapped(2, *pair) for pair in ((0, 1), (0, 4), (0, 6))]
    # Values that change columns, of equal type: the second is the key.
    changed.append([ROWS[0], [0, 1, 2, 3, 9, *range(4)], [5, 6, 7, 8, 4, 5, 6, 7, 8]])
    changed.append([["AA"] * 4 + ["BB"] * 5, [*range(4), *range(5)], ROWS[2]])
    changed.append([values[:-1] for values in ROWS])
    with blocks_of(block):
        seen = {
            content(write_files(tmp_path / str(number), [table(TILES, *columns)]), TILES)
            for number, columns in enumerate(changed)
        }
    assert len(seen) == len(changed)


def test_names_and_types_of_columns_are_part_of_the_digest(tmp_path: Path) -> None:
    shapes: list[dict[str, str]] = [
        {"k": "uint64", "a": "uint8"},
        {"k": "uint64", "b": "uint8"},
        {"k": "uint64", "a": "uint32"},
        {"k": "uint64"},
    ]
    seen = set()
    for number, shape in enumerate(shapes):
        of = dataset(shape, ["k"])
        for rows in (0, 1):
            columns = [[1] * rows for _ in shape]
            folder = write_files(tmp_path / f"{number}-{rows}", [table(of, *columns)])
            seen.add(content(folder, of))
    assert len(seen) == 2 * len(shapes)


def test_an_empty_partition_has_one_digest_with_or_without_files(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    empty = table(TILES, [], [], [])
    folders = [
        tmp_path / "none",
        write_files(tmp_path / "one", [empty]),
        write_files(tmp_path / "two", [empty, empty]),
    ]
    expected = naive_digest(["string", "uint64", "int64"], [[], [], []], 9, 0)
    assert {content(folder, TILES) for folder in folders} == {expected}


def test_proofs_of_workers_join_to_the_receipt_of_all_files(tmp_path: Path) -> None:
    whole = table(TILES, *ROWS)
    for number, edges in enumerate(([0, 4, 5, 9], [0, 3, 9], [0, 0, 5, 7, 9])):
        files = [whole.slice(low, high - low) for low, high in itertools.pairwise(edges)]
        folder = write_files(tmp_path / str(number), files)
        with blocks_of(2):
            proofs = [prove([path], TILES) for path in sorted(folder.iterdir())]
            assert pickle.loads(pickle.dumps(proofs)) == proofs  # noqa: S301 - its own
            receipt = joined_receipt(folder, TILES, "data/x", proofs)
            assert receipt == take_receipt(folder, TILES, "data/x", 1)
        kinds = ["string", "uint64", "int64"]
        assert receipt.content_sha256_hex == naive_digest(kinds, ROWS, 2, 0)


@pytest.mark.code("E_STAGING_DAMAGED")
@pytest.mark.parametrize("fault", ["changed", "gone", "stray"])
def test_files_that_are_not_those_that_were_proven_are_refused(tmp_path: Path, fault: str) -> None:
    whole = table(TILES, *ROWS)
    folder = write_files(tmp_path / "p", [whole.slice(0, 5), whole.slice(5)])
    proofs = [prove([path], TILES) for path in sorted(folder.iterdir())]
    path = folder / "part-00001.parquet"
    if fault == "gone":
        path.unlink()
    elif fault == "changed":
        flip(path)
    else:
        path = folder / "part-00002.parquet"
        pq.write_table(whole, path)
    with raises("E_STAGING_DAMAGED", path.name):
        joined_receipt(folder, TILES, "data/x", proofs)


def test_proofs_of_files_out_of_order_do_not_join(tmp_path: Path) -> None:
    whole = table(TILES, *ROWS)
    folder = write_files(tmp_path / "p", [whole.slice(5), whole.slice(0, 5)])
    proofs = [prove([path], TILES) for path in sorted(folder.iterdir())]
    with raises("E408_UNSORTED", r"row 1 of part-00001\.parquet"):
        joined_receipt(folder, TILES, "data/x", proofs)


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
