"""Ids, keys and columns of a list: one content whatever the order, the format or the writer."""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import random
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b import contracts
from segment1b.errors import Segment1BError
from segment1b.outlets import columns, merchants
from segment1b.outlets.directories import content_digest, directory
from segment1b.outlets.merchants import merchant_number
from segment1b.outlets.pairs import Pairs, read_outlets
from segment1b.outlets.positions import positions
from segment1b.outlets.publishing import issue, pairs_of

KNOWN = contracts.load()
ISO = {"DE", "FR"}
P, Q = "a1" * 32, "b2" * 32
HEAD = "merchant_id,country_iso,outlet_id,label\n"
ACME = HEAD + "ACME,DE,b,x\nACME,DE,a,\n17,FR,q,z\n"

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=4)
LISTS = st.dictionaries(
    st.tuples(TEXTS, st.sampled_from(sorted(ISO)), TEXTS),
    st.tuples(st.text("ab,\"'é", max_size=3), st.integers(0, 9)),
    min_size=1,
    max_size=9,
)


def read(folder: Path, text: str, wanted: str = "all", name: str = "list.csv") -> Pairs:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return read_outlets(path, ISO, wanted=wanted)


def refused(folder: Path, text: str, wanted: str = "all") -> Segment1BError:
    with pytest.raises(Segment1BError) as caught:
        read(folder, text, wanted)
    assert caught.value.code == "E_OUTLETS_INVALID"
    return caught.value


def as_csv(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([names, *rows])
    return out.getvalue()


def outlets(pairs: Pairs) -> list[dict[str, Any]]:
    assert pairs.directories is not None
    assert pairs.directories.outlets is not None
    rows: list[dict[str, Any]] = pairs.directories.outlets.to_pylist()
    return rows


@settings(max_examples=40, deadline=None)
@given(LISTS, st.randoms())
def test_fingerprint_and_positions_depend_on_the_values_alone(
    keys: dict[tuple[str, str, str], tuple[str, int]], order: random.Random
) -> None:
    """Of rows in any order, in CSV and Parquet; positions are those of the keys in UTF-8."""
    names = ["merchant_id", "country_iso", "outlet_id", "note", "n"]
    rows = [(*key, *values) for key, values in keys.items()]
    shuffled = order.sample(rows, len(rows))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, second = (read(folder, as_csv(names, some)) for some in (rows, shuffled))
        values = map(list, zip(*rows, strict=True))
        table = pa.table(dict(zip(names, values, strict=True)))
        pq.write_table(table.select(names[::-1]), folder / "list.parquet")
        third = read_outlets(folder / "list.parquet", ISO)
    assert first.fingerprint == second.fingerprint == third.fingerprint
    now = pa.table(
        {
            "merchant_id": pa.array([merchant_number(m) for m, *_ in keys], pa.uint64()),
            "country_iso": [code for _, code, _ in keys],
            "outlet_id": [key for *_, key in keys],
        }
    )
    wanted = positions(now).drop(["row", "previous"]).to_pylist()
    found = [{name: row[name] for name in wanted[0]} for row in outlets(second)]
    assert found == wanted
    for row in outlets(third):
        assert (row["merchant_id"], row["n"]) in {
            (merchant_number(key[0]), value[1]) for key, value in keys.items()
        }


@given(st.lists(st.tuples(st.integers(0, 99), st.none() | st.text(max_size=3)), max_size=9))
def test_content_digest_against_its_definition(rows: list[tuple[int, str | None]]) -> None:
    table = pa.table(
        {
            "merchant_id": pa.array([number for number, _ in rows], pa.uint64()),
            "é": pa.array([text for _, text in rows], pa.string()),
        }
    )
    whole = hashlib.sha256()
    for at, name in enumerate(table.column_names):
        texts = [None if row[at] is None else str(row[at]).encode() for row in rows]
        sizes = [0xFFFFFFFF if text is None else len(text) for text in texts]
        data = len(name.encode()).to_bytes(4, "little") + name.encode()
        data += b"".join(size.to_bytes(4, "little") for size in sizes)
        whole.update(hashlib.sha256(data + b"".join(filter(None, texts))).digest())
    assert content_digest(table) == whole.hexdigest()
    if rows:
        assert content_digest(table.slice(1)) != whole.hexdigest()


def test_lists_that_differ_in_any_way_have_different_fingerprints(tmp_path: Path) -> None:
    texts = [
        ACME,
        ACME.replace("17,", "18,"),
        ACME.replace("17,", "017,"),
        ACME.replace("ACME,DE,a", "ACME,DE,c"),
        ACME.replace(",x", ",y"),
        ACME.replace("label", "labels"),
        ACME.replace("q,z", "q,"),
        "merchant_id,country_iso\nACME,DE\nACME,DE\n17,FR\n",
        "merchant_id,country_iso\n9,DE\n9,DE\n17,FR\n",
    ]
    found = {read(tmp_path, text).fingerprint for text in texts}
    assert len(found | {read(tmp_path, ACME, "none").fingerprint}) == len(texts) + 1


def test_without_keys_positions_follow_the_carried_values(tmp_path: Path) -> None:
    head = "b,merchant_id,country_iso,a\n"
    rows = ["2,7,DE,x\n", "1,7,DE,x\n", ",7,DE,x\n", "9,7,DE,\n", "5,7,FR,x\n"]
    first = read(tmp_path, head + "".join(rows))
    second = read(tmp_path, head + "".join(rows[::-1]))
    assert first.fingerprint == second.fingerprint
    values = [(r["country_iso"], r["site_order"], r["a"], r["b"]) for r in outlets(first)]
    assert values == [
        ("DE", 1, None, "9"),
        ("DE", 2, "x", None),
        ("DE", 3, "x", "1"),
        ("DE", 4, "x", "2"),
        ("FR", 1, "x", "5"),
    ]


def test_columns_of_pairs_and_of_given_positions(tmp_path: Path) -> None:
    pair = outlets(read(tmp_path, "merchant_id,country_iso,n_outlets,a\n7,DE,3,x\n"))
    assert [(row["site_order"], row["a"]) for row in pair] == [(0, "x")]
    text = "merchant_id,country_iso,site_order,a\n7,DE,2,x\n7,DE,1,y\n"
    assert [row["a"] for row in outlets(read(tmp_path, text))] == ["y", "x"]


def test_the_user_chooses_the_columns(tmp_path: Path) -> None:
    text = "merchant_id,country_iso,n_outlets,a,b,c\n7,DE,3,1,2,3\n"
    pairs = read(tmp_path, text, "c, a")
    assert pairs.directories is not None
    assert (pairs.directories.carried, pairs.ignored) == (["a", "c"], ("b",))
    plain = read(tmp_path, text, "none")
    assert (plain.directories, plain.ignored) == (None, ("a", "b", "c"))
    bare = read(tmp_path, "merchant_id,country_iso,n_outlets\n7,DE,3\n")
    assert plain.fingerprint == bare.fingerprint
    assert "has no column d" in refused(tmp_path, text, "d").message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("merchant_id,country_iso,n_outlets,outlet_id\n1,DE,1,2\n", "n_outlets and outlet_id"),
        ("merchant_id,country_iso,site_order,outlet_id\n1,DE,1,2\n", "site_order and outlet_id"),
        ("merchant_id,country_iso,n_outlets,\n1,DE,1,2\n", "a column without a name"),
        ("merchant_id,country_iso,n_outlets,a,A\n1,DE,1,2,3\n", "differ in case alone"),
        ("merchant_id,country_iso,n_outlets,Site_Order\n1,DE,1,2\n", "but for its case"),
        (f"merchant_id,country_iso,n_outlets,{'q' * 257}\n1,DE,1,2\n", "more than 256 bytes"),
        (HEAD + "A,DE,1,\nA,DE,2,\nA,DE,1,\n", "'1' of merchant A in DE: duplicate of line 2"),
        (HEAD + "A,DE,,\n", "column outlet_id: value is missing"),
        (HEAD + "A,DE, 1,\n", "column outlet_id: ' 1' begins or ends with a space"),
        (f"merchant_id,country_iso\nA,DE\n{merchant_number('A')},FR\n", "and 'A' have one number"),
    ],
)
@pytest.mark.code("E_OUTLETS_INVALID")
def test_what_cannot_be_told_apart_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in refused(tmp_path, text).message


def test_two_texts_with_one_number_are_refused_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merchants, "_number", len)
    error = refused(tmp_path, "merchant_id,country_iso\nab,DE\nxyz,DE\ncd,FR\n")
    assert [row["line"] for row in error.scope["rows"]] == [2, 4]
    assert error.message.count("'ab' and 'cd' have one number") == 2


def test_types_are_carried_and_others_refused(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    good = {
        "bool": pa.array([True, None]),
        "date": pa.array([moment.date(), None], pa.date32()),
        "decimal": pa.array([Decimal("1.20"), None]),
        "float": pa.array([0.1, float("nan")]),
        "here": pa.array([moment, None], pa.timestamp("ms", "Europe/Berlin")),
        "int": pa.array([-5, None], pa.int16()),
        "local": pa.array([moment.replace(tzinfo=None), None], pa.timestamp("ns")),
        "nothing": pa.nulls(2),
        "text": pa.array(["é", ""], pa.large_string()),
        "words": pa.array(["é", None]).dictionary_encode(),
    }
    base = {"merchant_id": [1, 2], "country_iso": ["DE", "DE"]}
    path = tmp_path / "list.parquet"
    pq.write_table(pa.table(base | good), path)
    pairs = read_outlets(path, ISO)
    root = tmp_path / "root"
    issue(root, KNOWN, pairs, 42, P, root / ".staging")
    back = directory(root, KNOWN, pairs.fingerprint)
    assert back is not None
    assert back.outlets is not None
    assert pairs.directories is not None
    assert back.digests == pairs.directories.digests
    first, second = back.outlets.select(sorted(good)).to_pylist()
    assert set(second.values()) == {None}
    assert [first[name] for name in ("bool", "decimal", "float", "here", "int", "words")] == [
        True,
        Decimal("1.20"),
        0.1,
        moment,
        -5,
        "é",
    ]
    for array in (pa.array([[1], [2]]), pa.array([b"a", b"b"]), pa.array([1, 2], pa.time32("s"))):
        pq.write_table(pa.table(base | {"x": array}), path)
        with pytest.raises(Segment1BError, match=r"^E_OUTLETS_INVALID:.* x|'x'") as caught:
            read_outlets(path, ISO)
        assert "--columns" in caught.value.hint
        assert read_outlets(path, ISO, wanted="none").directories is None


@pytest.mark.code("E_INPUT_TOO_LARGE")
def test_texts_are_bounded_each_and_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list.parquet"
    long = {"merchant_id": ["A", "A"], "country_iso": ["DE", "DE"], "x": ["é" * 2048, "y"]}
    pq.write_table(pa.table(long), path)
    assert read_outlets(path, ISO).directories is not None
    monkeypatch.setattr(columns, "MAX_HELD", 4096)
    with pytest.raises(Segment1BError, match=r"^E_INPUT_TOO_LARGE:.*4,096 bytes of ids"):
        read_outlets(path, ISO)
    monkeypatch.setattr(columns, "MAX_VALUE", 4095)
    with pytest.raises(Segment1BError, match=r"^E_INPUT_TOO_LARGE:.*4,096 bytes in column 'x'"):
        read_outlets(path, ISO)


def test_a_list_comes_back_from_the_root_and_is_sealed_again(tmp_path: Path) -> None:
    """Also under another policy; what is there stays, in the bytes of whoever wrote it first."""
    pairs, root = read(tmp_path, ACME), tmp_path / "root"
    issue(root, KNOWN, pairs, 42, P, root / ".staging")
    back = pairs_of(root, KNOWN, 42, pairs.fingerprint)
    assert outlets(back) == outlets(pairs)
    issue(root, KNOWN, back, 42, Q, root / ".staging")
    (part,) = root.glob("data/layer1/1A/outlet_directory/*/*.parquet")
    pq.write_table(pq.read_table(part), part, compression="none")
    rewritten = part.read_bytes()
    (bundle,) = root.glob("data/layer1/1A/validation/*")
    for path in bundle.iterdir():
        path.unlink()
    bundle.rmdir()
    issue(root, KNOWN, pairs, 42, P, root / ".staging")
    assert part.read_bytes() == rewritten
    assert directory(root, KNOWN, pairs.fingerprint) is not None


def test_a_plain_list_publishes_no_directory(tmp_path: Path) -> None:
    pairs, root = read(tmp_path, "merchant_id,country_iso\n7,DE\n"), tmp_path / "root"
    issue(root, KNOWN, pairs, 42, P, root / ".staging")
    assert directory(root, KNOWN, pairs.fingerprint) is None
    assert not list(root.glob("data/layer1/1A/*_directory"))
    assert not list(root.rglob("directories.json"))
