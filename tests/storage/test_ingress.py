"""Reading what others wrote: other layouts of the same values, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from published import KNOWN, raises
from segment1b.errors import Segment1BError
from segment1b.storage.ingress import ingress_groups, iso_codes
from segment1b.storage.reader import Reader
from segment1b.storage.snapshot import Snapshot
from shapes import dataset

OF = dataset(
    {
        "merchant_id": "uint64",
        "country_iso": "string",
        "site_order": "int32",
        "area": "float64",
        "single": "bool",
        "geom": "binary",
    },
    ["merchant_id"],
)
NAMES = [column.name for column in OF.columns]
PLAIN: dict[str, Any] = {
    "merchant_id": pa.array([1, 2**63 - 1], pa.uint64()),
    "country_iso": pa.array(["NO", "SE"]),
    "site_order": pa.array([1, 2], pa.int32()),
    "area": pa.array([0.5, 2.0]),
    "single": pa.array([True, False]),
    "geom": pa.array([b"\x01", b""]),
}


def a_reader(root: Path) -> Reader:
    return Reader(Snapshot(root, KNOWN, {}), ("iso3166_canonical_2024",))


def read(path: Path, names: list[str] | None = None, **more: Any) -> list[pa.Table]:
    """Read a file as the dataset OF."""
    return list(ingress_groups(a_reader(path.parent), OF, path, names or NAMES, **more))


def written(tmp_path: Path, columns: dict[str, Any], **options: Any) -> Path:
    """Write columns as a file."""
    path = tmp_path / "foreign.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def refused(path: Path, names: list[str] | None = None, **more: Any) -> Segment1BError:
    """Return the error that reading the file raises; it names the file."""
    with pytest.raises(Segment1BError) as caught:
        read(path, names, **more)
    assert str(path) in caught.value.message
    return caught.value


def test_columns_come_by_name_in_their_declared_types_whatever_their_order(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, {"rank": pa.array([9, 9])} | dict(reversed(PLAIN.items())))
    (table,) = read(path)
    assert table.to_pydict() == pa.table(PLAIN).to_pydict()
    assert [field.type for field in table.schema] == [c.arrow_type for c in OF.columns]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("country_iso", pa.array(["NO", "SE"], pa.large_string())),
        ("country_iso", pa.array(["NO", "SE"], pa.string_view())),
        ("country_iso", pa.array(["NO", "SE"]).dictionary_encode()),
        ("country_iso", pa.array(["NO", "SE"], pa.large_string()).dictionary_encode()),
        ("merchant_id", pa.array([1, 2**63 - 1], pa.int64())),
        ("merchant_id", pa.array([1, 2**63 - 1], pa.uint64()).dictionary_encode()),
        ("site_order", pa.array([1, 2], pa.int64())),
        ("site_order", pa.array([1, 2], pa.uint8())),
        ("area", pa.array([0.5, 2.0], pa.float32())),
        ("geom", pa.array([b"\x01", b""], pa.large_binary())),
    ],
)
def test_other_layouts_of_the_same_values_are_accepted(
    tmp_path: Path, name: str, array: Any
) -> None:
    (table,) = read(written(tmp_path, PLAIN | {name: array}))
    assert table.schema.field(name).type == OF.arrow_schema.field(name).type
    assert table.to_pydict() == pa.table(PLAIN).to_pydict()


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("merchant_id", pa.array([1, -1], pa.int64())),
        ("merchant_id", pa.array([1.0, 2.0])),
        ("merchant_id", pa.array(["1", "2"])),
        ("merchant_id", pa.array([True, False])),
        ("merchant_id", pa.array([1, 2], pa.timestamp("us"))),
        ("merchant_id", pa.array([{"a": 1}, {"a": 2}])),
        ("merchant_id", pa.array([[1], [2]])),
        ("site_order", pa.array([1, 2**31], pa.int64())),
        ("country_iso", pa.array([1, 2])),
        ("country_iso", pa.array([b"NO", b"SE"])),
        ("area", pa.array(["1", "2"])),
        ("area", pa.array([True, False])),
        ("single", pa.array([1, 0])),
        ("geom", pa.array(["a", "b"])),
    ],
)
def test_values_that_do_not_fit_the_declared_type_are_refused(
    tmp_path: Path, name: str, array: Any
) -> None:
    error = refused(written(tmp_path, PLAIN | {name: array}))
    assert error.code == "E_INPUT_SCHEMA_INVALID"
    assert f"column {name} is " in error.message
    assert f"declared is {OF.arrow_schema.field(name).type}".replace("double", "float64") in (
        error.message
    )


def test_a_key_of_another_type_is_refused_before_statistics_are_compared(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN | {"merchant_id": pa.array(["1", "2"])})
    assert refused(path, where={"merchant_id": (1, 2)}).code == "E_INPUT_SCHEMA_INVALID"


@pytest.mark.parametrize(
    ("names", "problem", "hint"),
    [
        (["merchantid"], "no column merchant_id", "did you mean 'merchantid'?"),
        (["merchant_id", "merchant_id"], "several columns merchant_id", ""),
    ],
)
def test_a_column_that_is_missing_or_there_twice_is_refused(
    tmp_path: Path, names: list[str], problem: str, hint: str
) -> None:
    path = tmp_path / "foreign.parquet"
    pq.write_table(pa.table([pa.array([1])] * len(names), names=names), path)
    error = refused(path, ["merchant_id"])
    assert error.code == "E_INPUT_SCHEMA_INVALID"
    assert problem in error.message
    assert hint in error.hint


def test_a_column_that_nobody_asks_for_may_be_missing_or_wrong(tmp_path: Path) -> None:
    path = written(tmp_path, {"merchant_id": pa.array([1, 2]), "area": pa.array(["x", "y"])})
    (table,) = read(path, ["merchant_id"])
    assert table.to_pydict() == {"merchant_id": [1, 2]}


def test_nulls_are_left_for_the_state_to_judge(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN | {"site_order": pa.array([1, None], pa.int32())})
    (table,) = read(path, ["site_order"])
    assert table.to_pydict() == {"site_order": [1, None]}


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda data, keep=keep: data[:keep] for keep in (0, 4, 100, -1)),
        lambda data: data[:4] + b"\xff" * 500 + data[504:],
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = written(tmp_path, {"merchant_id": pa.array(np.arange(9999) * 7919 % 10_007)})
    path.write_bytes(damage(path.read_bytes()))
    assert refused(path, ["merchant_id"]).code == "E_INPUT_UNREADABLE"


@pytest.mark.parametrize("words", [True, False])
def test_text_that_is_no_utf8_is_refused(tmp_path: Path, words: bool) -> None:
    bad = pa.array([b"NO", b"\xff\xfe"]).view(pa.string())
    path = written(tmp_path, PLAIN | {"country_iso": bad}, use_dictionary=words)
    assert refused(path).code == "E_INPUT_UNREADABLE"


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "foreign.parquet").mkdir()
    assert refused(tmp_path / "foreign.parquet").code == "E_INPUT_UNREADABLE"


def test_row_groups_that_cannot_match_are_neither_read_nor_counted(tmp_path: Path) -> None:
    path = written(tmp_path, {"merchant_id": pa.array([1, 2, 3, 4, 5, 6])}, row_group_size=2)
    mine = a_reader(tmp_path)
    where = {"merchant_id": (3, 4)}
    (table,) = ingress_groups(mine, OF, path, ["merchant_id"], where)
    assert table.to_pydict() == {"merchant_id": [3, 4]}
    chunk = pq.read_metadata(path).row_group(1).column(0)
    assert mine.bytes_read[OF.id] == chunk.total_compressed_size > 0


@pytest.mark.parametrize(
    ("column", "codes"),
    [
        (pa.array(["SE", "NO", None, "SE", "AD"]).dictionary_encode(), ["AD", "NO", "SE"]),
        (pa.array([], pa.string()), []),
    ],
    ids=["three", "none"],
)
def test_iso_codes_of_all_row_groups_are_distinct_in_ascii_order_and_never_null(
    tmp_path: Path, column: Any, codes: list[str]
) -> None:
    path = tmp_path / KNOWN["iso3166_canonical_2024"].locate({})
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"country_iso": column}), path, row_group_size=1)
    assert iso_codes(a_reader(tmp_path)) == codes


def test_an_absent_iso_table_is_refused_with_its_path(tmp_path: Path) -> None:
    with raises("E_REFERENCE_SURFACE_MISSING", "iso3166_canonical_2024 is absent"):
        iso_codes(a_reader(tmp_path))
