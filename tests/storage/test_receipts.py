"""Receipts: the content digest against its definition, and strictness about what is receipted."""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from published import raises
from segment1b.contracts import Column, load
from segment1b.errors import Segment1BError
from segment1b.storage.proofs import check_values, take_receipt
from segment1b.storage.receipts import key_words
from shapes import DUPLICATE, EXTRAS, SCHEMA, UNSORTED, dataset, write_files

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
    "rows",
    [
        strict(*GOOD, schema=schema_with("merchant_id", type=pa.int64())),
        strict(*GOOD, schema=schema_with("country_iso", type=pa.large_string())),
        strict(*GOOD, schema=schema_with("area", type=pa.float32())),
        strict(*GOOD, schema=schema_with("area", null=True)),
        strict(*GOOD).drop_columns(["area"]),
        strict(*GOOD).select(["country_iso", "merchant_id", "area"]),
    ],
)
def test_a_column_that_is_not_as_declared_is_refused(tmp_path: Path, rows: pa.Table) -> None:
    assert fault(tmp_path, rows).code == SCHEMA


def test_a_null_is_refused(tmp_path: Path) -> None:
    rows = strict([1, 1], ["NO", "SE"], [0.5, None], schema=schema_with("area", null=True))
    assert fault(tmp_path, rows).code == SCHEMA
    with raises(SCHEMA, "2 nulls"):
        check_values(pa.array([1, None, None], pa.uint64()), STRICT, STRICT.columns[0])


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


def parts(files: Sequence[Sequence[tuple[int, str]]]) -> list[pa.Table]:
    """Return files of rows with these keys."""
    return [strict([m for m, _ in keys], [c for _, c in keys], [1.0] * len(keys)) for keys in files]


@pytest.mark.parametrize(
    ("code", "row", "files"),
    [
        (UNSORTED, 2, [[(1, "SE"), (1, "NO")]]),
        (UNSORTED, 2, [[(2, "NO"), (1, "SE")]]),
        (UNSORTED, 3, [[(1, "NO"), (2, "NO")], [(1, "SE")]]),
        (UNSORTED, 3, [[(1, "NO")], [(2, "NO"), (1, "SE"), (3, "NO")]]),
        (UNSORTED, 2, [[(2**62 + 1, "NO"), (2**62, "NO")]]),
        (UNSORTED, 2, [[(1, "NO")], [], [(1, "AA")]]),
        (DUPLICATE, 2, [[(1, "NO"), (1, "NO")]]),
        (DUPLICATE, 3, [[(1, "NO"), (1, "SE")], [(1, "SE"), (2, "NO")]]),
        (DUPLICATE, 3, [[(1, "NO")], [(1, "SE")], [(1, "SE")]]),
        (DUPLICATE, 2, [[(1, "NO")], [], [(1, "NO")]]),
        (DUPLICATE, 2, [[(2**63 - 1, "NO"), (2**63 - 1, "NO")]]),
    ],
)
@pytest.mark.parametrize("group", [1, 100])
def test_keys_out_of_order_or_there_twice_are_refused_with_file_and_row(
    tmp_path: Path, files: list[list[tuple[int, str]]], row: int, code: str, group: int
) -> None:
    folder = write_files(tmp_path / "p", parts(files), row_group_size=group)
    with raises(code) as caught:
        take_receipt(folder, STRICT, "data/p", 2)
    rows = [
        {
            "path": f"part-{number:05d}.parquet",
            "row": at,
            "merchant_id": key[0],
            "country_iso": key[1],
        }
        for number, keys in enumerate(files)
        for at, key in enumerate(keys, 1)
    ]
    assert rows[row - 1].items() <= caught.value.scope.items()


def test_keys_that_rise_over_every_border_are_accepted(tmp_path: Path) -> None:
    keys = [[(1, "NO")], [], [(1, "SE"), (2, "AA")], [(2, "AB"), (2**63 - 1, "AA")]]
    folder = write_files(tmp_path / "p", parts(keys), row_group_size=1)
    assert take_receipt(folder, STRICT, "d", 1).rows == 5


def test_key_words_keep_the_order_of_the_country_codes() -> None:
    codes = ["".join(pair) for pair in itertools.product(string.ascii_uppercase, repeat=2)]
    words = key_words(pa.array(codes))
    assert (np.diff(words.astype(int)) > 0).all()
    assert words[codes.index("GB")] == 18242
    ids = pa.chunked_array([pa.array([2**64 - 1, 0], pa.uint64())])
    assert key_words(ids).tolist() == [2**64 - 1, 0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"PAR1",
        lambda _: b"no Parquet at all",
        lambda whole: whole[:-1],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[4:],
        lambda whole: whole[:4] + b"\xff" * 200 + whole[204:],
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    rows = strict(range(1, 1001), ["NO"] * 1000, np.linspace(0.1, 9, 1000))
    folder = write_files(tmp_path / "p", [rows.slice(0, 500), rows.slice(500)], compression="zstd")
    path = folder / "part-00001.parquet"
    path.write_bytes(damage(path.read_bytes()))
    with raises("E_INPUT_UNREADABLE", r"part-00001\.parquet"):
        take_receipt(folder, STRICT, "data/p", 2)


@pytest.mark.parametrize("words", [True, False])
def test_a_string_that_is_no_text_is_a_damaged_file(tmp_path: Path, words: bool) -> None:
    bad = pa.array([b"NO", b"\xff\xfe"]).view(pa.string())
    rows = pa.table(
        [pa.array([1, 2], pa.uint64()), bad, pa.array([1.0, 1.0])], schema=STRICT.arrow_schema
    )
    folder = write_files(tmp_path / "p", [rows], use_dictionary=words)
    with raises("E_INPUT_UNREADABLE", "UTF8"):
        take_receipt(folder, STRICT, "data/p", 2)


def test_a_stray_file_in_a_partition_is_refused(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "p", [strict(*GOOD)])
    (folder / "_SUCCESS").touch()
    with raises("E_INPUT_UNREADABLE", "_SUCCESS"):
        take_receipt(folder, STRICT, "data/p", 1)


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
    with raises(code):
        take_receipt(folder, known, "data/p", 1)


def test_a_column_without_limits_takes_every_number() -> None:
    check_values(pa.array([0, 2**64 - 1], pa.uint64()), STRICT, Column("any", "uint64"))
    check_values(pa.array([], pa.float64()), STRICT, STRICT.columns[2])
