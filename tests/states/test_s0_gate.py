"""The gate: each step of its law, provoked by changing one thing in a bundle that passes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import foreign
from gates import (
    KNOWN,
    POLICY_PATH,
    REFERENCES,
    SEED,
    F,
    P,
    a_run,
    edit,
    gate,
    lay,
    refused,
    shards_of,
)
from segment1b.errors import Segment1BError
from segment1b.states.protocol import Report, Run
from segment1b.states.s0_gate import S0Gate
from segment1b.storage.publisher import publish_document
from segment1b.storage.receipts import Receipt
from shapes import tree


def publish(run: Run, report: Report) -> tuple[Receipt, bool]:
    """Publish the receipt as the pipeline does."""
    entry = run.contracts["s0_gate_receipt_1B"]
    document = report.documents[entry.id]
    return publish_document(run.root, run.contracts, entry, run.tokens, document, run.staging)


# ------------------------------------------------------------------ a bundle that passes


def test_a_foreign_bundle_passes(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    report = gate(a_run(tmp_path))
    flag = (bundle / "_passed.flag").read_text().split()[-1]
    assert report.body == {
        "seed": SEED,
        "manifest_fingerprint": F,
        "parameter_hash": P,
        "flag_sha256_hex": flag,
        "bundle_files": 8,
        "outlet_rows": 7,
    }
    receipt = report.documents["s0_gate_receipt_1B"]
    assert receipt["flag_sha256_hex"] == flag
    assert receipt["validation_bundle_path"] == f"data/layer1/1A/validation/fingerprint={F}"
    assert receipt["notes"] is None


def test_the_seal_holds_path_size_and_sha256_of_every_input_sorted_by_id(tmp_path: Path) -> None:
    lay(tmp_path)
    sealed = gate(a_run(tmp_path)).documents["s0_gate_receipt_1B"]["sealed_inputs"]
    files = {**REFERENCES, "parameter_policy_1B": POLICY_PATH}
    folders = {
        "outlet_catalogue": f"data/layer1/1A/outlet_catalogue/seed={SEED}/fingerprint={F}",
        "s3_candidate_set": f"data/layer1/1A/s3_candidate_set/parameter_hash={P}",
    }
    assert [entry["id"] for entry in sealed] == sorted([*files, *folders])
    for entry in sealed:
        path = tmp_path / {**files, **folders}[entry["id"]]
        names = foreign.files_below(path) if path.is_dir() else [path.name]
        folder = path if path.is_dir() else path.parent
        assert entry["path"] == path.relative_to(tmp_path).as_posix()
        assert entry["sha256_hex"] == foreign.joined_sha256(folder, names)
        assert entry["size_bytes"] == sum((folder / name).stat().st_size for name in names)
        assert entry["partition"] == [s for s in entry["path"].split("/") if "=" in s]
        assert entry["schema_ref"] == KNOWN[entry["id"]].schema_ref
        assert entry["version_tag"] == KNOWN[entry["id"]].version_tag


def test_the_receipt_is_published_by_its_schema(tmp_path: Path) -> None:
    lay(tmp_path)
    run = a_run(tmp_path)
    receipt, there = publish(run, gate(run))
    path = tmp_path / f"data/layer1/1B/s0_gate_receipt/fingerprint={F}/s0_gate_receipt.json"
    assert not there
    assert hashlib.sha256(path.read_bytes()).hexdigest() == receipt.sha256_hex


@pytest.mark.parametrize("seed", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_every_unsigned_64_bit_seed_passes(tmp_path: Path, seed: int) -> None:
    lay(tmp_path, seed)
    assert gate(a_run(tmp_path, seed)).body["outlet_rows"] == 7


@pytest.mark.parametrize("files", [1, 7])
def test_the_catalogue_may_be_cut_into_any_files(tmp_path: Path, files: int) -> None:
    lay(tmp_path, files=files)
    run = a_run(tmp_path)
    assert len(shards_of(run)) == files
    assert gate(run).body["outlet_rows"] == 7


def test_the_work_says_what_it_has_read(tmp_path: Path) -> None:
    lay(tmp_path, files=1)
    run = a_run(tmp_path)
    (shard,) = shards_of(run)
    reader = run.reader(S0Gate())
    result = S0Gate().work(run, reader, shard)
    group = pq.read_metadata(foreign.outlet_folder(tmp_path, SEED, F) / shard).row_group(0)
    chunks = {group.column(at).path_in_schema: group.column(at) for at in range(10)}
    wanted = ["manifest_fingerprint", "global_seed"]
    assert result.rows == 7
    assert reader.bytes_read == {
        "outlet_catalogue": sum(chunks[name].total_compressed_size for name in wanted)
    }


def test_a_bundle_elsewhere_passes_and_is_named_by_its_whole_path(tmp_path: Path) -> None:
    bundle = lay(tmp_path / "root")
    bundle.rename(tmp_path / "bundle")
    assert refused(a_run(tmp_path / "root")).code == "E_BUNDLE_MISSING"
    report = gate(a_run(tmp_path / "root", bundle=tmp_path / "bundle"))
    receipt = report.documents["s0_gate_receipt_1B"]
    assert receipt["validation_bundle_path"] == str(tmp_path / "bundle")


def test_egress_paths_may_start_at_the_root(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    prefix = f"data/layer1/1A/outlet_catalogue/seed={SEED}/fingerprint={F}/"

    def change(said: dict[str, Any]) -> None:
        for file in said["files"]:
            file["path"] = prefix + file["path"]

    edit(bundle / "egress_checksums.json", change)
    foreign.write_flag(bundle)
    assert gate(a_run(tmp_path)).body["outlet_rows"] == 7


# ----------------------------------------------------------------------- steps 1 to 5


@pytest.mark.parametrize("end", ["", "\n"])
def test_step_3_the_flag_may_end_with_one_newline_or_none(tmp_path: Path, end: str) -> None:
    bundle = lay(tmp_path)
    digest = foreign.write_flag(bundle)
    (bundle / "_passed.flag").write_bytes(f"sha256_hex = {digest}{end}".encode())
    assert gate(a_run(tmp_path)).body["flag_sha256_hex"] == digest


@pytest.mark.parametrize(
    "manifest",
    [{}, [], {"artefacts": []}, {"seed": str(SEED), "parameter_hash": P, "run_id": "other"}],
)
def test_step_5_a_manifest_need_not_name_the_identity(tmp_path: Path, manifest: Any) -> None:
    bundle = lay(tmp_path)
    foreign.write_json(bundle / "MANIFEST.json", manifest)
    foreign.write_flag(bundle)
    assert gate(a_run(tmp_path)).body["manifest_fingerprint"] == F


def test_step_7_keys_that_are_not_used_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = lay(tmp_path)
    gate(a_run(tmp_path))
    assert caplog.text == ""
    edit(bundle / "egress_checksums.json", lambda said: said.update(made_by="1A", host="x"))
    foreign.write_flag(bundle)
    gate(a_run(tmp_path))
    assert "egress_checksums.json: no use is made of the keys host, made_by" in caplog.text


def test_step_7_a_seed_in_decimal_text_is_a_seed(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    edit(bundle / "egress_checksums.json", lambda said: said.update(seed="42"))
    foreign.write_flag(bundle)
    assert gate(a_run(tmp_path)).body["seed"] == 42


# ------------------------------------------------------------------------------ re-runs


def receipt_path(root: Path) -> Path:
    return root / f"data/layer1/1B/s0_gate_receipt/fingerprint={F}/s0_gate_receipt.json"


def test_a_rerun_keeps_the_old_receipt_and_its_clock(tmp_path: Path) -> None:
    lay(tmp_path)
    run = a_run(tmp_path)
    first, there = publish(run, gate(run))
    assert not there
    before = tree(tmp_path)
    second = gate(run)
    old = json.loads(receipt_path(tmp_path).read_bytes())
    assert second.documents["s0_gate_receipt_1B"]["verified_at_utc"] > old["verified_at_utc"]
    assert publish(run, second) == (first, True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("path", [*REFERENCES.values(), POLICY_PATH])
def test_a_sealed_input_that_changed_cannot_be_sealed_again(tmp_path: Path, path: str) -> None:
    lay(tmp_path)
    run = a_run(tmp_path)
    publish(run, gate(run))
    with (tmp_path / path).open("ab") as handle:
        handle.write(b" ")
    before = tree(tmp_path)
    with pytest.raises(Segment1BError, match="another sealed_inputs") as caught:
        publish(run, gate(run))
    assert caught.value.code == "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"
    assert tree(tmp_path) == before


def test_a_candidate_set_with_another_file_is_another_input(tmp_path: Path) -> None:
    lay(tmp_path)
    run = a_run(tmp_path)
    publish(run, gate(run))
    folder = tmp_path / f"data/layer1/1A/s3_candidate_set/parameter_hash={P}"
    pq.write_table(pq.read_table(folder / "part-0.parquet"), folder / "part-1.parquet")
    with pytest.raises(Segment1BError, match=r"^E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL:"):
        publish(run, gate(run))


def test_a_receipt_that_does_not_fit_its_schema_is_not_published(tmp_path: Path) -> None:
    lay(tmp_path)
    run = a_run(tmp_path)
    report = gate(run)
    report.documents["s0_gate_receipt_1B"]["sealed_inputs"].pop()
    report.documents["s0_gate_receipt_1B"]["rank"] = 1
    with pytest.raises(Segment1BError, match=r"^E_RECEIPT_SCHEMA_INVALID:"):
        publish(run, report)
    assert not receipt_path(tmp_path).exists()
