"""Publishing: once, whole, never over other content."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from published import KNOWN, S3, TOKENS, commit, publish, requirements, s3_report
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.storage.durable import read_json
from segment1b.storage.publisher import (
    check_document,
    create_bytes,
    publish_document,
    publish_report,
)
from segment1b.storage.receipts import take_receipt
from segment1b.storage.root import root_at
from shapes import files_end_at, tree

ONE = [requirements((1, "NO", 2), (1, "SE", 1), (2, "NO", 5))]
OTHER = [requirements((1, "NO", 2), (1, "SE", 1), (2, "NO", 6))]
TARGET = S3.locate(TOKENS)
IMMUTABLE = "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"
POLICY = KNOWN["parameter_policy_1B"]


def rows(root: Path) -> list[int]:
    found: list[int] = pq.read_table(root / TARGET).column("n_sites").to_pylist()
    return found


def data(root: Path) -> dict[str, Any]:
    return {name: own for name, own in tree(root).items() if not name.startswith(".staging")}


def test_a_partition_is_published_with_a_receipt_of_its_bytes(tmp_path: Path) -> None:
    receipt = publish(tmp_path, ONE)
    assert rows(tmp_path) == [2, 1, 5]
    assert take_receipt(tmp_path / TARGET, S3, TARGET, 1) == receipt
    assert receipt.partition_path == TARGET
    assert list(data(tmp_path)) == [f"{TARGET}/part-00000.parquet"]


@pytest.mark.parametrize("is_committed", [True, False])
def test_the_same_content_twice_leaves_what_is_there(tmp_path: Path, is_committed: bool) -> None:
    first = publish(tmp_path, ONE)
    before = data(tmp_path)
    assert publish(tmp_path, ONE, is_committed=is_committed) == first
    assert data(tmp_path) == before


def test_the_same_content_cut_otherwise_keeps_the_files_that_are_there(tmp_path: Path) -> None:
    first = publish(tmp_path, ONE)
    before = data(tmp_path)
    (whole,) = ONE
    again = publish(tmp_path, [whole.slice(0, 1)], [whole.slice(1)], is_committed=True)
    assert again == first
    assert data(tmp_path) == before


def test_other_content_on_a_committed_partition_is_refused_with_both_digests(
    tmp_path: Path,
) -> None:
    first = publish(tmp_path, ONE)
    commit(tmp_path, first)
    before = data(tmp_path)
    with pytest.raises(Segment1BError) as caught:
        publish(tmp_path, OTHER, is_committed=True)
    assert caught.value.code == IMMUTABLE
    other = publish(tmp_path / "elsewhere", OTHER)
    assert first.content_sha256_hex in caught.value.message
    assert other.content_sha256_hex in caught.value.message
    assert caught.value.scope["path"] == TARGET
    after = {name: own for name, own in data(tmp_path).items() if "elsewhere" not in name}
    assert after == before


def test_a_committed_partition_that_cannot_be_read_is_not_overwritten(tmp_path: Path) -> None:
    publish(tmp_path, ONE)
    part = tmp_path / TARGET / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:100])
    before = data(tmp_path)
    with pytest.raises(Segment1BError, match="cannot be read") as caught:
        publish(tmp_path, ONE, is_committed=True)
    assert caught.value.code == IMMUTABLE
    assert data(tmp_path) == before


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


def test_rows_that_break_the_contract_are_never_published(tmp_path: Path) -> None:
    for bad, code in [
        (requirements((2, "NO", 1), (1, "NO", 1)), "E310_UNSORTED"),
        (requirements((1, "NO", 1), (1, "NO", 2)), "E307_PK_DUPLICATE"),
        (requirements((1, "NO", 0)), "E305_SCHEMA_INVALID"),
    ]:
        with pytest.raises(Segment1BError) as caught:
            publish(tmp_path, [bad])
        assert caught.value.code == code
        assert not (tmp_path / "data").exists()


def test_a_file_where_the_partition_belongs_is_refused(tmp_path: Path) -> None:
    (tmp_path / TARGET).parent.mkdir(parents=True)
    (tmp_path / TARGET).write_text("mine")
    with pytest.raises(Segment1BError, match=r"^E_DATA_ROOT_UNUSABLE:"):
        publish(tmp_path, ONE)
    assert (tmp_path / TARGET).read_text() == "mine"


def test_a_file_where_a_folder_of_the_path_belongs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(Segment1BError, match=r"^E_DATA_ROOT_UNUSABLE:"):
        publish(tmp_path, ONE)


# ------------------------------------------------------------------------- documents


def policy(dp: int) -> dict[str, Any]:
    sections: dict[str, Any] = {"prep": {"dp": dp}, "allocation": {}, "jitter": {}, "realism": {}}
    return {"policy": sections, "surfaces": {}}


def test_a_document_is_published_once_in_canonical_json(tmp_path: Path) -> None:
    first, there = publish_document(tmp_path, KNOWN, POLICY, TOKENS, policy(12), tmp_path)
    assert not there
    path = tmp_path / POLICY.locate(TOKENS)
    assert path.read_bytes() == canonical_json(policy(12))
    before = tree(tmp_path)
    again, there = publish_document(tmp_path, KNOWN, POLICY, TOKENS, policy(12), tmp_path)
    assert there
    assert again == first
    assert tree(tmp_path) == before


def test_another_document_is_refused_by_its_first_field_and_nothing_is_touched(
    tmp_path: Path,
) -> None:
    publish_document(tmp_path, KNOWN, POLICY, TOKENS, policy(12), tmp_path)
    before = tree(tmp_path)
    with pytest.raises(Segment1BError, match="another policy") as caught:
        publish_document(tmp_path, KNOWN, POLICY, TOKENS, policy(11), tmp_path)
    assert caught.value.code == "E_PARAMETER_HASH_REUSED"
    assert caught.value.scope["field"] == "policy"
    assert '"dp":12' in caught.value.message
    assert '"dp":11' in caught.value.message
    assert tree(tmp_path) == before


def test_volatile_fields_are_not_compared_and_the_old_document_stays(tmp_path: Path) -> None:
    dataset = POLICY.model_copy(update={"volatile": ["surfaces"]})
    first, _ = publish_document(tmp_path, KNOWN, dataset, TOKENS, policy(12), tmp_path)
    later = policy(12) | {"surfaces": {"a": "0" * 64}}
    again, there = publish_document(tmp_path, KNOWN, dataset, TOKENS, later, tmp_path)
    assert there
    assert again == first
    assert read_json(tmp_path / dataset.locate(TOKENS)) == policy(12)


@pytest.mark.parametrize("text", [b"[]", b"null", b"{}"])
def test_a_published_document_that_lost_its_content_is_not_overwritten(
    tmp_path: Path, text: bytes
) -> None:
    publish_document(tmp_path, KNOWN, POLICY, TOKENS, policy(12), tmp_path)
    path = tmp_path / POLICY.locate(TOKENS)
    path.write_bytes(text)
    with pytest.raises(Segment1BError, match=r"^E_PARAMETER_HASH_REUSED:"):
        publish_document(tmp_path, KNOWN, POLICY, TOKENS, policy(12), tmp_path)
    assert path.read_bytes() == text


def test_a_document_that_does_not_fit_its_schema_is_refused_by_its_own_code(
    tmp_path: Path,
) -> None:
    receipt = KNOWN["s0_gate_receipt_1B"]
    with pytest.raises(Segment1BError, match="does not fit its schema") as caught:
        publish_document(tmp_path, KNOWN, receipt, TOKENS, {"seed": 42}, tmp_path)
    assert caught.value.code == "E_RECEIPT_SCHEMA_INVALID"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Segment1BError, match="surfaces"):
        check_document(KNOWN, POLICY, {"policy": policy(1)["policy"]})


# --------------------------------------------------------------------------- reports


def test_a_report_replaces_the_one_of_an_earlier_run(tmp_path: Path) -> None:
    receipt = publish(tmp_path, ONE)
    path = commit(tmp_path, receipt)
    assert path == tmp_path / KNOWN["s3_run_report"].locate(TOKENS)
    assert read_json(path) == s3_report(receipt)
    commit(tmp_path, receipt, source_rows_total=9)
    assert read_json(path)["source_rows_total"] == 9
    assert path.read_bytes() == canonical_json(s3_report(receipt, source_rows_total=9))


def test_a_reader_of_the_old_report_reads_it_whole(tmp_path: Path) -> None:
    receipt = publish(tmp_path, ONE)
    path = commit(tmp_path, receipt)
    before = path.read_bytes()
    with path.open("rb") as old:
        commit(tmp_path, receipt, source_rows_total=9)
        assert old.read() == before
    assert path.read_bytes() != before


def test_a_report_that_does_not_fit_its_schema_leaves_the_old_one(tmp_path: Path) -> None:
    receipt = publish(tmp_path, ONE)
    path = commit(tmp_path, receipt)
    before = path.read_bytes()
    with pytest.raises(Segment1BError, match="does not fit its schema"):
        commit(tmp_path, receipt, rank=1)
    assert path.read_bytes() == before


def test_a_report_on_a_full_disk_leaves_the_old_one(tmp_path: Path) -> None:
    receipt = publish(tmp_path, ONE)
    path = commit(tmp_path, receipt)
    before = path.read_bytes()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    entry = KNOWN["s3_run_report"]
    with files_end_at(100), pytest.raises(Segment1BError, match=r"^E_STORAGE_FULL:"):
        publish_report(tmp_path, KNOWN, entry, TOKENS, s3_report(receipt), scratch)
    assert path.read_bytes() == before
    assert not list(scratch.iterdir())


def test_a_side_file_is_replaced_with_its_report(tmp_path: Path) -> None:
    side = KNOWN["s4_merchant_summaries"]
    path = tmp_path / side.locate(TOKENS)
    root_at(tmp_path).replace(side.locate(TOKENS), b"one", tmp_path)
    root_at(tmp_path).replace(side.locate(TOKENS), b"two", tmp_path)
    assert path.read_bytes() == b"two"


def test_of_many_writers_of_one_file_one_creates_it(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def write(number: int) -> bool:
        scratch = tmp_path / f"scratch{number}"
        scratch.mkdir()
        start.wait()
        return create_bytes(tmp_path, "logs/a.json", b"%d" % number * 9, scratch)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(write, range(8)))
    assert sum(made) == 1
    assert (tmp_path / "logs" / "a.json").read_bytes() == b"%d" % made.index(True) * 9
    assert not list(tmp_path.glob("scratch*/*"))
