"""Text ids, outlet keys and carried columns in lists of every format, and with corrections."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from listed import arrow, xlsx
from segment1b.errors import Segment1BError
from segment1b.outlets.dividing import divide
from segment1b.outlets.frames import table_of
from segment1b.outlets.lists import Reading
from segment1b.outlets.pairs import Pairs, read_outlets

ISO = {"DE", "FR"}
NAMES = ["merchant", "country", "store", "area"]
ROWS = [["ACME-1", "DE", "b", "x"], ["17", "FR", "a", "y"], ["ACME-1", "DE", "a", "z"]]
TABLE = pa.table(dict(zip(NAMES, zip(*ROWS, strict=True), strict=True)))
OBJECTS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]


def parquet(path: Path) -> None:
    pq.write_table(TABLE, path)


FORMATS: dict[str, Callable[[Path], object]] = {
    "a.csv": lambda path: path.write_text("\n".join(map(";".join, [NAMES, *ROWS]))),
    "a.json": lambda path: path.write_text(json.dumps(OBJECTS)),
    "a.jsonl": lambda path: path.write_text("\n".join(map(json.dumps, OBJECTS))),
    "a.xlsx": lambda path: path.write_bytes(xlsx([NAMES, *ROWS])),
    "a.arrow": lambda path: path.write_bytes(arrow(TABLE)),
    "a.parquet": parquet,
}


def written(folder: Path, text: str) -> Path:
    path = folder / "a.csv"
    path.write_text(text, encoding="utf-8")
    return path


def merchants(pairs: Pairs) -> list[str]:
    assert pairs.directories is not None
    found: list[str] = pairs.directories.merchants["merchant"].to_pylist()
    return found


@pytest.mark.parametrize("normalise", [False, True])
def test_every_format_carries_the_same_list(normalise: bool, tmp_path: Path) -> None:
    found = set()
    for name, write in FORMATS.items():
        write(tmp_path / name)
        pairs = read_outlets(tmp_path / name, ISO, Reading(normalise))
        assert pairs.directories is not None
        outlets = pairs.directories.outlets
        assert outlets is not None
        assert outlets.column_names[3:] == ["outlet_id", "area"]
        assert pairs.findings.columns["outlet_id"] == "store"
        found.add(pairs.fingerprint)
        assert sorted(table_of(tmp_path / name)["area"].to_pylist()) == ["x", "y", "z"]
    assert len(found) == 1


def test_arrow_carries_its_own_types(tmp_path: Path) -> None:
    day = pa.array([1, None, 3], pa.date32())
    (tmp_path / "a.arrow").write_bytes(arrow(TABLE.set_column(3, "area", day)))
    directories = read_outlets(tmp_path / "a.arrow", ISO).directories
    assert directories is not None
    assert directories.outlets is not None
    assert directories.outlets.schema.field("area").type == pa.date32()
    nested = TABLE.set_column(3, "area", pa.array([[1], [2], [3]]))
    (tmp_path / "a.arrow").write_bytes(arrow(nested))
    with pytest.raises(Segment1BError, match=r"has list<.*> in column area"):
        read_outlets(tmp_path / "a.arrow", ISO)
    assert read_outlets(tmp_path / "a.arrow", ISO, wanted="none").ignored == ("area",)


def test_a_long_text_is_refused_where_it_is_carried(tmp_path: Path) -> None:
    long = TABLE.set_column(3, "area", pa.array(["x" * 4097] * 3))
    pq.write_table(long, tmp_path / "a.parquet")
    (tmp_path / "a.arrow").write_bytes(arrow(long))
    for name in ("a.parquet", "a.arrow"):
        with pytest.raises(Segment1BError, match=r"a text of 4,097 bytes in column 'area'"):
            read_outlets(tmp_path / name, ISO)
        assert read_outlets(tmp_path / name, ISO, wanted="none").n_sites.sum() == 3


def test_a_map_names_the_keys_and_a_mapped_name_is_not_carried(tmp_path: Path) -> None:
    path = written(tmp_path, "Kunde,Land,Filiale,area\nA,DE,1,x\n")
    mapped = {"merchant_id": "Kunde", "country_iso": "Land", "outlet_id": "Filiale"}
    pairs = read_outlets(path, ISO, Reading(mapped=mapped), "Land,area")
    assert pairs.directories is not None
    assert pairs.directories.carried == ["area"]


def test_a_count_by_its_exact_name_leaves_a_store_as_any_column(tmp_path: Path) -> None:
    path = written(tmp_path, "merchant_id,country_iso,n_outlets,store\n1,DE,3,main\n")
    pairs = read_outlets(path, ISO)
    assert pairs.n_sites.tolist() == [3]
    assert pairs.directories is not None
    assert pairs.directories.carried == ["store"]


@pytest.mark.parametrize(
    ("ids", "want"),
    [
        (["12.0", "13.0"], None),
        (["12.0", "13"], ["12.0", "13"]),
        (["12.0", "A"], ["12.0", "A"]),
        (["012.0", "13.0"], ["012.0", "13.0"]),
        ([" A ", "B"], ["A", "B"]),
    ],
)
def test_ids_are_corrected_where_all_are_fractions(
    ids: list[str], want: list[str] | None, tmp_path: Path
) -> None:
    rows = "".join(f"{one},DE,1\n" for one in ids)
    path = written(tmp_path, f"merchant_id,country_iso,n_outlets\n{rows}")
    pairs = read_outlets(path, ISO, Reading(True))
    if want is None:
        assert pairs.merchant_id.tolist() == [12, 13]
        assert pairs.findings.corrections == {"decimals": 2}
    else:
        assert sorted(merchants(pairs)) == want
    counts = divide(path, ISO, {}, tmp_path / "f.csv", None)
    assert counts["accepted"] == 2
    assert read_outlets(tmp_path / "f.csv", ISO).fingerprint == pairs.fingerprint


def test_ids_of_a_floating_type_are_whole_or_refused(tmp_path: Path) -> None:
    for ids, says in (([1.0, 2.0], ""), ([1.0, 2.5], "2.5' is not a whole number")):
        table = pa.table({"merchant_id": ids, "country_iso": ["DE", "FR"], "n_outlets": [1, 2]})
        pq.write_table(table, tmp_path / "a.parquet")
        counts = divide(tmp_path / "a.parquet", ISO, {}, tmp_path / f"f{len(says)}.csv", None)
        assert counts["rejected"] == bool(says)
        if not says:
            pairs = read_outlets(tmp_path / "a.parquet", ISO, Reading(True))
            assert pairs.directories is None
            assert read_outlets(tmp_path / "f0.csv", ISO).fingerprint == pairs.fingerprint
            continue
        with pytest.raises(Segment1BError, match=says):
            read_outlets(tmp_path / "a.parquet", ISO, Reading(True))


def test_a_key_twice_is_divided_off(tmp_path: Path) -> None:
    rows = "A,DE,k,\nA,DE, k ,2\nA,FR,k,3\nB,DE,,4\n" + "x" * 257 + ",DE,k,5\n"
    path = written(tmp_path, f"merchant_id,country_iso,outlet_id,area\n{rows}")
    counts = divide(path, ISO, {}, tmp_path / "f.csv", tmp_path / "b.csv")
    assert (counts["accepted"], counts["rejected"]) == (2, 3)
    said = (tmp_path / "b.csv").read_text()
    for reason in ("duplicate of an earlier row", "outlet_id: value is missing", "256 bytes"):
        assert reason in said
    assert read_outlets(tmp_path / "f.csv", ISO).n_sites.sum() == 2


def test_ids_with_one_number_are_divided_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segment1b.outlets.merchants._number", len)
    path = written(tmp_path, "merchant_id,country_iso,n_outlets\nAB,DE,1\n CD ,DE,2\nEFG,DE,3\n")
    counts = divide(path, ISO, {}, tmp_path / "f.csv", tmp_path / "b.csv")
    assert (counts["accepted"], counts["rejected"]) == (1, 2)
    assert (tmp_path / "b.csv").read_text().count("'AB' and 'CD' have one number") == 2
    with pytest.raises(Segment1BError, match="'AB' and 'CD' have one number"):
        read_outlets(path, ISO, Reading(True))
