"""Publishing into a folder: whole, never over other content; `test_root_contract` has the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from published import (
    IMMUTABLE,
    KNOWN,
    ONE,
    OTHER,
    S3,
    TARGET,
    TOKENS,
    commit,
    publish,
    raises,
    requirements,
    s3_report,
)
from segment1b.identity import canonical_json
from segment1b.storage.durable import read_json
from segment1b.storage.proofs import take_receipt
from segment1b.storage.publisher import check_document, publish_document, publish_report
from segment1b.storage.receipts import Receipt
from shapes import files_end_at, tree

POLICY = KNOWN["parameter_policy_1B"]
PART = f"{TARGET}/part-00000.parquet"


def rows(root: Path) -> list[int]:
    found: list[int] = pq.read_table(root / TARGET).column("n_sites").to_pylist()
    return found


def test_a_partition_is_published_with_a_receipt_of_its_bytes(tmp_path: Path) -> None:
    receipt = publish(tmp_path, ONE)
    assert rows(tmp_path) == [2, 1, 5]
    assert take_receipt(tmp_path / TARGET, S3, TARGET, 1) == receipt
    assert receipt.partition_path == TARGET
    assert [name for name in tree(tmp_path) if not name.startswith(".staging")] == [PART]


def test_a_committed_partition_that_cannot_be_read_is_not_overwritten(tmp_path: Path) -> None:
    publish(tmp_path, ONE)
    part = tmp_path / PART
    part.write_bytes(part.read_bytes()[:100])
    before = tree(tmp_path / "data")
    with raises(IMMUTABLE, "cannot be read"):
        publish(tmp_path, ONE, is_committed=True)
    assert tree(tmp_path / "data") == before


def test_what_a_killed_run_left_uncommitted_is_replaced(tmp_path: Path) -> None:
    publish(tmp_path, ONE)
    receipt = publish(tmp_path, OTHER, is_committed=False)
    assert rows(tmp_path) == [2, 1, 6]
    assert take_receipt(tmp_path / TARGET, S3, TARGET, 1) == receipt


def test_broken_leftovers_are_replaced_whole(tmp_path: Path) -> None:
    publish(tmp_path, ONE, [requirements((3, "NO", 1))])
    for part in (tmp_path / TARGET).iterdir():
        part.write_bytes(b"half a fi")
    publish(tmp_path, ONE)
    assert [path.name for path in (tmp_path / TARGET).iterdir()] == ["part-00000.parquet"]
    assert rows(tmp_path) == [2, 1, 5]


def test_an_empty_folder_left_behind_is_filled(tmp_path: Path) -> None:
    (tmp_path / TARGET).mkdir(parents=True)
    publish(tmp_path, ONE, is_committed=True)
    assert rows(tmp_path) == [2, 1, 5]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (requirements((2, "NO", 1), (1, "NO", 1)), "E310_UNSORTED"),
        (requirements((1, "NO", 1), (1, "NO", 2)), "E307_PK_DUPLICATE"),
        (requirements((1, "NO", 0)), "E305_SCHEMA_INVALID"),
    ],
)
def test_rows_that_break_the_contract_are_never_published(
    tmp_path: Path, bad: pa.Table, code: str
) -> None:
    with raises(code):
        publish(tmp_path, [bad])
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("place", [TARGET, "data"])
def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("mine")
    with raises("E_DATA_ROOT_UNUSABLE"):
        publish(tmp_path, ONE)
    assert (tmp_path / place).read_text() == "mine"


# ------------------------------------------------------------------------- documents


def policy(dp: int, **surfaces: str) -> dict[str, Any]:
    sections: dict[str, Any] = {"prep": {"dp": dp}, "allocation": {}, "jitter": {}, "realism": {}}
    return {"policy": sections, "surfaces": surfaces}


def publish_policy(
    root: Path, value: dict[str, Any], volatile: tuple[str, ...] = ()
) -> tuple[Receipt, bool]:
    dataset = POLICY.model_copy(update={"volatile": volatile})
    return publish_document(root, KNOWN, dataset, TOKENS, value, root)


def test_a_document_is_published_once_in_canonical_json(tmp_path: Path) -> None:
    first, there = publish_policy(tmp_path, policy(12))
    assert not there
    assert (tmp_path / POLICY.locate(TOKENS)).read_bytes() == canonical_json(policy(12))
    before = tree(tmp_path)
    assert publish_policy(tmp_path, policy(12)) == (first, True)
    # What is volatile is not compared.
    assert publish_policy(tmp_path, policy(12, a="0" * 64), ("surfaces",)) == (
        publish_policy(tmp_path, policy(12), ("surfaces",))
    )
    assert tree(tmp_path) == before


def test_another_document_is_refused_by_its_first_field_and_nothing_is_touched(
    tmp_path: Path,
) -> None:
    publish_policy(tmp_path, policy(12))
    before = tree(tmp_path)
    with raises("E_PARAMETER_HASH_REUSED", 'another policy.*"dp":12.*"dp":11') as caught:
        publish_policy(tmp_path, policy(11))
    assert caught.value.scope["field"] == "policy"
    assert tree(tmp_path) == before


@pytest.mark.parametrize("text", [b"[]", b"null", b"{}"])
def test_a_published_document_that_lost_its_content_is_not_overwritten(
    tmp_path: Path, text: bytes
) -> None:
    publish_policy(tmp_path, policy(12))
    path = tmp_path / POLICY.locate(TOKENS)
    path.write_bytes(text)
    with raises("E_PARAMETER_HASH_REUSED"):
        publish_policy(tmp_path, policy(12))
    assert path.read_bytes() == text


def test_a_document_that_does_not_fit_its_schema_is_refused_by_its_own_code(
    tmp_path: Path,
) -> None:
    receipt = KNOWN["s0_gate_receipt_1B"]
    with raises("E_RECEIPT_SCHEMA_INVALID", "does not fit its schema"):
        publish_document(tmp_path, KNOWN, receipt, TOKENS, {"seed": 42}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    with raises(POLICY.code("schema"), "surfaces"):
        check_document(KNOWN, POLICY, {"policy": policy(1)["policy"]})


# --------------------------------------------------------------------------- reports


def test_a_report_replaces_the_one_of_an_earlier_run_whose_readers_read_it_whole(
    tmp_path: Path,
) -> None:
    receipt = publish(tmp_path, ONE)
    path = commit(tmp_path, receipt)
    assert path == tmp_path / KNOWN["s3_run_report"].locate(TOKENS)
    before = path.read_bytes()
    assert read_json(path) == s3_report(receipt)
    with path.open("rb") as old:
        commit(tmp_path, receipt, source_rows_total=9)
        assert old.read() == before
    assert path.read_bytes() == canonical_json(s3_report(receipt, source_rows_total=9))


def test_a_report_that_cannot_be_published_leaves_the_old_one(tmp_path: Path) -> None:
    receipt = publish(tmp_path, ONE)
    path = commit(tmp_path, receipt)
    before = path.read_bytes()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    entry = KNOWN["s3_run_report"]
    with raises(entry.code("schema"), "does not fit its schema"):
        commit(tmp_path, receipt, rank=1)
    with files_end_at(100), raises("E_STORAGE_FULL"):
        publish_report(tmp_path, KNOWN, entry, TOKENS, s3_report(receipt), scratch)
    assert path.read_bytes() == before
    assert not list(scratch.iterdir())
