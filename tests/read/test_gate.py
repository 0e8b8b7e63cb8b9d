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
from segment1b.storage.proofs import take_receipt
from segment1b.storage.receipts import Receipt
from segment1b.storage.snapshot import Snapshot
from shapes import flip

EGRESS = SITES.locate(PLACES)
BUNDLE = KNOWN["validation_bundle_1B"].locate(PLACES)
FLAG = f"{BUNDLE}/_passed.flag"


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(Segment1BError) as caught:
        call()
    return caught.value.code


def test_a_passed_root_is_verified(root: Path) -> None:
    found = verify_bundle(Snapshot(root, KNOWN, PLACES))
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


Fault = Callable[[Path], object]


def remove(path: str) -> Fault:
    return lambda root: (root / path).unlink()


def write(path: str, text: str) -> Fault:
    return lambda root: (root / path).write_text(text)


def move(path: str) -> Fault:
    return lambda root: (root / path).rename(root / "elsewhere")


def flagged(name: str, **fields: Any) -> Fault:
    """Change fields of a document of the bundle, and the flag to fit."""

    def change(root: Path) -> None:
        path = root / BUNDLE / name
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
        write_flag(root / BUNDLE)

    return change


def index_with(*, again: bool = False, **fields: Any) -> Fault:
    """Change the first entry of the index, or repeat it under another id."""

    def change(root: Path) -> None:
        path = root / BUNDLE / "index.json"
        first, *more = json.loads(path.read_text())
        entries = [first] if again else []
        path.write_text(json.dumps([*entries, {**first, **fields}, *more]))

    return change


def space_in_flag(root: Path) -> None:
    flag = root / FLAG
    flag.write_bytes(flag.read_bytes().rstrip(b"\n") + b" \n")


def link(root: Path) -> None:
    (root / BUNDLE / "realism.json").unlink()
    (root / BUNDLE / "realism.json").symlink_to(root / BUNDLE / "s9_summary.json")


FAULTS: dict[str, list[Fault]] = {
    "E910_FLAG_BAD_OR_MISSING": [
        remove(FLAG),
        space_in_flag,
        write(FLAG, f"sha256_hex = {'0' * 64}\n"),
        write(f"{BUNDLE}/s9_summary.json", '{"verdict":"PASS"}'),
        flagged("s9_summary.json", verdict="FAIL"),
        flagged("s9_summary.json", verdict=None),
        flagged("s9_summary.json", checks={}),
        flagged("s9_summary.json", checks=[1]),
        flagged("s9_summary.json", checks={"A913": {"failures": 1}}),
        flagged("s9_summary.json", checks={"A913": {}}),
    ],
    "E908_BUNDLE_CONTENTS_MISSING": [
        move(BUNDLE),
        remove(f"{BUNDLE}/realism.json"),
        remove(f"{BUNDLE}/index.json"),
        flagged("parameter_hash_resolved.json", parameter_hash=None),
    ],
    "E909_INDEX_INVALID": [
        write(f"{BUNDLE}/notes.txt", "hello"),
        write(f"{BUNDLE}/.hidden", ""),
        link,
        write(f"{BUNDLE}/index.json", "["),
        index_with(again=True, artifact_id="again"),
        index_with(path="../MANIFEST.json"),
        index_with(path="/MANIFEST.json"),
        index_with(path="MANIFÉST.json"),
        index_with(kind="poem"),
    ],
    "E_EGRESS_CHECKSUM_MISMATCH": [
        lambda root: flip(root / EGRESS / "part-00001.parquet"),
        remove(f"{EGRESS}/part-00001.parquet"),
        write(f"{EGRESS}/part-00002.parquet", "PAR1"),
        move(EGRESS),
        flagged("egress_checksums.json", dataset_id="s7"),
        flagged("egress_checksums.json", composite_sha256_hex="0" * 64),
    ],
}


@pytest.mark.parametrize(
    ("fault", "code"), [(fault, code) for code, faults in FAULTS.items() for fault in faults]
)
def test_what_is_not_proven_is_not_read(root: Path, fault: Fault, code: str) -> None:
    fault(root)
    assert code_of(lambda: verify_bundle(Snapshot(root, KNOWN, PLACES))) == code
    assert code_of(lambda: segment1b.read_site_locations(root)) == code


def test_the_flag_may_lack_its_newline(root: Path) -> None:
    flag = root / FLAG
    flag.write_text(flag.read_text().rstrip("\n"))
    assert verify_bundle(Snapshot(root, KNOWN, PLACES))["bundle_files"] == 8


@pytest.mark.parametrize("given", [{"seed": 7}, {"parameter_hash": "3" * 64}])
def test_other_tokens_are_refused(root: Path, given: dict[str, Any]) -> None:
    code = "E_PATH_EMBED_MISMATCH"
    assert code_of(lambda: segment1b.read_site_locations(root, **given)) == code
    assert code_of(lambda: verify_bundle(Snapshot(root, KNOWN, PLACES | given))) == code


def test_another_fingerprint_is_absent(root: Path) -> None:
    code = code_of(lambda: segment1b.read_site_locations(root, manifest_fingerprint="4" * 64))
    assert code == "E908_BUNDLE_CONTENTS_MISSING"


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
    assert verify_bundle(Snapshot(root, KNOWN, PLACES))["receipts"] == ["site_locations"]
    other = lay_sites(tmp_path / "other", sites(100, seed=2), identity=IDENTITY)
    foreign = take_receipt(other, SITES, EGRESS, 1)
    path = root / KNOWN["s8_run_report"].locate(PLACES)
    path.write_text(json.dumps({"determinism_receipt": foreign.as_json(), "input_digests": {}}))
    assert code_of(lambda: verify_bundle(Snapshot(root, KNOWN, PLACES))) == SITES.code("receipt")


def test_a_partition_without_report_is_refused(root: Path) -> None:
    dataset = KNOWN["s7_site_synthesis"]
    (root / dataset.locate(PLACES)).mkdir(parents=True)
    assert code_of(lambda: verify_bundle(Snapshot(root, KNOWN, PLACES))) == dataset.code("receipt")
