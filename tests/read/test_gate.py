"""The consumer's gate refuses whatever is not byte for byte what passed."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import segment1b
from read.conftest import IDENTITY, KNOWN, PLACES, SITES, MakeRoot, lay_sites, sites, write_flag
from segment1b.errors import Segment1BError
from segment1b.read.gate import find_places, verify_bundle
from segment1b.storage.receipts import Receipt, take_receipt
from shapes import flip

EGRESS = SITES.locate(PLACES)
BUNDLE = KNOWN["validation_bundle_1B"].locate(PLACES)


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(Segment1BError) as caught:
        call()
    return caught.value.code


def test_a_passed_root_is_verified(root: Path) -> None:
    found = verify_bundle(root, KNOWN, PLACES)
    assert found["egress"]["files"] == 2
    assert found["bundle_files"] == 8
    assert found["receipts"] == []
    assert find_places(root, KNOWN) == PLACES


def test_sites_are_read_by_arrow_and_polars(root: Path, table: pa.Table) -> None:
    by_arrow = segment1b.read_site_locations(root)
    assert by_arrow.to_table().equals(table)
    assert by_arrow.schema == SITES.arrow_schema
    lazy = segment1b.read_site_locations(str(root), seed=42, as_="polars")
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().equals(pl.from_arrow(table))


def test_polars_is_optional(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "polars":
            raise ImportError
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert code_of(lambda: segment1b.read_site_locations(root, as_="polars")) == "E_USAGE"
    assert segment1b.read_site_locations(root).count_rows() == 1000


def test_the_package_imports_without_arrow() -> None:
    script = "import segment1b, sys; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
    with pytest.raises(AttributeError):
        segment1b.nothing  # noqa: B018 - the attribute is asked for


def _no_flag(root: Path) -> None:
    (root / BUNDLE / "_passed.flag").unlink()


def _space_in_flag(root: Path) -> None:
    flag = root / BUNDLE / "_passed.flag"
    flag.write_bytes(flag.read_bytes().rstrip(b"\n") + b" \n")


def _other_flag(root: Path) -> None:
    (root / BUNDLE / "_passed.flag").write_text(f"sha256_hex = {'0' * 64}\n")


def _edited_summary(root: Path) -> None:
    (root / BUNDLE / "s9_summary.json").write_text('{"verdict":"PASS"}')


def _no_bundle(root: Path) -> None:
    (root / BUNDLE).rename(root / "elsewhere")


def _file_missing(root: Path) -> None:
    (root / BUNDLE / "realism.json").unlink()


def _index_missing(root: Path) -> None:
    (root / BUNDLE / "index.json").unlink()


def _extra_file(root: Path) -> None:
    (root / BUNDLE / "notes.txt").write_text("hello")


def _hidden_file(root: Path) -> None:
    (root / BUNDLE / ".hidden").write_text("")


def _link(root: Path) -> None:
    (root / BUNDLE / "realism.json").unlink()
    (root / BUNDLE / "realism.json").symlink_to(root / BUNDLE / "s9_summary.json")


def _index_with(**entry: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / BUNDLE / "index.json"
        index = json.loads(path.read_text())
        index[0].update(entry)
        path.write_text(json.dumps(index))

    return change


def _index_no_json(root: Path) -> None:
    (root / BUNDLE / "index.json").write_text("[")


def _index_twice(root: Path) -> None:
    path = root / BUNDLE / "index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps([*index, {**index[0], "artifact_id": "again"}]))


def _site_byte(root: Path) -> None:
    flip(root / EGRESS / "part-00001.parquet")


def _site_file_missing(root: Path) -> None:
    (root / EGRESS / "part-00001.parquet").unlink()


def _site_file_extra(root: Path) -> None:
    (root / EGRESS / "part-00002.parquet").write_bytes(b"PAR1")


def _sites_missing(root: Path) -> None:
    (root / EGRESS).rename(root / "elsewhere")


def _checksums_of_another(root: Path) -> None:
    path = root / BUNDLE / "egress_checksums.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dataset_id": "s7"}))
    write_flag(root / BUNDLE)


def _checksums_wrong_whole(root: Path) -> None:
    path = root / BUNDLE / "egress_checksums.json"
    held = json.loads(path.read_text()) | {"composite_sha256_hex": "0" * 64}
    path.write_text(json.dumps(held))
    write_flag(root / BUNDLE)


def _summary_of(**fields: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / BUNDLE / "s9_summary.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
        write_flag(root / BUNDLE)

    return change


def _seedless(root: Path) -> None:
    path = root / BUNDLE / "parameter_hash_resolved.json"
    path.write_text("{}")
    write_flag(root / BUNDLE)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (_no_flag, "E910_FLAG_BAD_OR_MISSING"),
        (_space_in_flag, "E910_FLAG_BAD_OR_MISSING"),
        (_other_flag, "E910_FLAG_BAD_OR_MISSING"),
        (_edited_summary, "E910_FLAG_BAD_OR_MISSING"),
        (_summary_of(verdict="FAIL"), "E910_FLAG_BAD_OR_MISSING"),
        (_summary_of(verdict=None), "E910_FLAG_BAD_OR_MISSING"),
        (_summary_of(checks={}), "E910_FLAG_BAD_OR_MISSING"),
        (_summary_of(checks=[1]), "E910_FLAG_BAD_OR_MISSING"),
        (_summary_of(checks={"A913": {"failures": 1}}), "E910_FLAG_BAD_OR_MISSING"),
        (_summary_of(checks={"A913": {}}), "E910_FLAG_BAD_OR_MISSING"),
        (_no_bundle, "E908_BUNDLE_CONTENTS_MISSING"),
        (_file_missing, "E908_BUNDLE_CONTENTS_MISSING"),
        (_index_missing, "E908_BUNDLE_CONTENTS_MISSING"),
        (_seedless, "E908_BUNDLE_CONTENTS_MISSING"),
        (_extra_file, "E909_INDEX_INVALID"),
        (_hidden_file, "E909_INDEX_INVALID"),
        (_link, "E909_INDEX_INVALID"),
        (_index_no_json, "E909_INDEX_INVALID"),
        (_index_twice, "E909_INDEX_INVALID"),
        (_index_with(path="../MANIFEST.json"), "E909_INDEX_INVALID"),
        (_index_with(path="/MANIFEST.json"), "E909_INDEX_INVALID"),
        (_index_with(path="MANIFÉST.json"), "E909_INDEX_INVALID"),
        (_index_with(kind="poem"), "E909_INDEX_INVALID"),
        (_site_byte, "E_EGRESS_CHECKSUM_MISMATCH"),
        (_site_file_missing, "E_EGRESS_CHECKSUM_MISMATCH"),
        (_site_file_extra, "E_EGRESS_CHECKSUM_MISMATCH"),
        (_sites_missing, "E_EGRESS_CHECKSUM_MISMATCH"),
        (_checksums_of_another, "E_EGRESS_CHECKSUM_MISMATCH"),
        (_checksums_wrong_whole, "E_EGRESS_CHECKSUM_MISMATCH"),
    ],
)
def test_what_is_not_proven_is_not_read(
    root: Path, fault: Callable[[Path], None], code: str
) -> None:
    fault(root)
    assert code_of(lambda: verify_bundle(root, KNOWN, PLACES)) == code
    assert code_of(lambda: segment1b.read_site_locations(root)) == code


def test_the_flag_may_lack_its_newline(root: Path) -> None:
    flag = root / BUNDLE / "_passed.flag"
    flag.write_text(flag.read_text().rstrip("\n"))
    assert verify_bundle(root, KNOWN, PLACES)["bundle_files"] == 8


def test_other_tokens_are_refused(root: Path) -> None:
    for given in ({"seed": 7}, {"parameter_hash": "3" * 64}):
        assert code_of(lambda g=given: segment1b.read_site_locations(root, **g)) == (
            "E_PATH_EMBED_MISMATCH"
        )
        places = PLACES | given
        assert code_of(lambda p=places: verify_bundle(root, KNOWN, p)) == "E_PATH_EMBED_MISMATCH"
    assert code_of(lambda: segment1b.read_site_locations(root, manifest_fingerprint="4" * 64)) == (
        "E908_BUNDLE_CONTENTS_MISSING"
    )


def test_several_bundles_need_a_fingerprint(root: Path) -> None:
    (root / BUNDLE).with_name(f"fingerprint={'5' * 64}").mkdir()
    assert code_of(lambda: segment1b.read_site_locations(root)) == "E_USAGE"
    chosen = segment1b.read_site_locations(root, manifest_fingerprint="1" * 64)
    assert chosen.count_rows() == 1000


def test_an_unknown_form_is_usage(root: Path) -> None:
    assert code_of(lambda: segment1b.read_site_locations(root, as_="pandas")) == "E_USAGE"  # type: ignore[arg-type]


def _report(root: Path, receipt: Receipt, entry: str) -> None:
    path = root / KNOWN[entry].locate(PLACES)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"determinism_receipt": receipt.as_json(), "input_digests": {}}))


def test_receipts_of_the_root_are_checked(make_root: MakeRoot, tmp_path: Path) -> None:
    table = sites(100)
    root = make_root(table)
    receipt = take_receipt(root / EGRESS, SITES, EGRESS, 1)
    _report(root, receipt, "s8_run_report")
    assert verify_bundle(root, KNOWN, PLACES)["receipts"] == ["site_locations"]
    other = lay_sites(tmp_path / "other", sites(100, seed=2), identity=IDENTITY)
    foreign = take_receipt(other, SITES, EGRESS, 1)
    path = root / KNOWN["s8_run_report"].locate(PLACES)
    path.write_text(json.dumps({"determinism_receipt": foreign.as_json(), "input_digests": {}}))
    assert code_of(lambda: verify_bundle(root, KNOWN, PLACES)) == SITES.code("receipt")


def test_a_partition_without_report_is_refused(root: Path) -> None:
    dataset = KNOWN["s7_site_synthesis"]
    (root / dataset.locate(PLACES)).mkdir(parents=True)
    assert code_of(lambda: verify_bundle(root, KNOWN, PLACES)) == dataset.code("receipt")
