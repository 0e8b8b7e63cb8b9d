"""A portfolio with its owner's ids, keys and columns, from the list to the exported table."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from rasterio.transform import from_origin

import bring
import segment1b
import worlds
from segment1b import audit, contracts
from segment1b.audit.results import Rule, judge
from segment1b.cli.app import app
from segment1b.errors import Segment1BError, pair_error
from segment1b.outlets.directories import directory
from segment1b.outlets.merchant_names import Naming
from segment1b.outlets.merchants import merchant_number
from segment1b.pipeline import execution
from segment1b.read import listed
from segment1b.read.explanation import explain
from segment1b.read.export import export
from segment1b.read.gate import locate
from segment1b.read.replay import replay

KNOWN = contracts.load()
HEAD = "region,merchant_id,outlet_id,country_iso,lon_deg"
ROWS = [f'"north, {n % 7}",ACME-{n:03d},key {n},DE,{n / 8}' for n in range(1, 301)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with 300 one-outlet merchants placed in one square country, to S9."""
    folder = tmp_path_factory.mktemp("portfolio")
    root = folder / "root"
    worlds.lay_small_world(root)
    worlds.put_countries(root, {"DE": shapely.box(5, 45, 15, 55)})
    people = np.ones((40, 40), np.uint32)
    raster = worlds.place(root, "population_raster_2025")
    bring.raster(raster, people, from_origin(5, 55, 0.25, 0.25))
    lines = list(ROWS)
    random.Random(1).shuffle(lines)
    (folder / "acme.csv").write_text("\n".join([HEAD, *lines]) + "\n")
    settings = ["allocation.law=stable"]
    worlds.run(root, outlets=folder / "acme.csv", settings=settings, to_state="s9", engine="serial")
    return root


def exported(root: Path, out: Path, **options: object) -> list[dict[str, str]]:
    export(root, out, format="csv", **options)  # type: ignore[arg-type]
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_merchant_has_its_own_place_and_its_own_columns(root: Path, tmp_path: Path) -> None:
    rows = exported(root, tmp_path / "a.csv")
    assert len({(row["lon_deg"], row["lat_deg"]) for row in rows}) == 300
    wanted = list(csv.DictReader([HEAD, *ROWS]))
    found = [
        {
            "region": row["region"],
            "merchant_id": row["merchant"],
            "outlet_id": row["outlet_id"],
            "country_iso": row["legal_country_iso"],
            "lon_deg": row["list_lon_deg"],
        }
        for row in rows
    ]
    key = lambda row: row["merchant_id"]  # noqa: E731
    assert sorted(found, key=key) == sorted(wanted, key=key)
    assert all(int(row["merchant_id"]) == merchant_number(row["merchant"]) for row in rows)


def test_every_format_has_the_same_columns(root: Path, tmp_path: Path) -> None:
    rows = {row["merchant"]: row for row in exported(root, tmp_path / "a.csv")}
    names = ("outlet_id", "region", "list_lon_deg")
    export(root, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    export(root, tmp_path / "a.fgb", format="flatgeobuf")
    frame = pyogrio.read_dataframe(tmp_path / "a.fgb").to_dict("records")
    export(root, tmp_path / "a.geojsonl", format="geojsonseq")
    lines = (tmp_path / "a.geojsonl").read_text().splitlines()
    features = [json.loads(line)["properties"] for line in lines]
    for found in (table, frame, features):
        assert len(found) == 300
        for row in found:
            assert [row[name] for name in names] == [rows[row["merchant"]][n] for n in names]


def test_commands_take_and_name_the_ids_of_the_list(root: Path, tmp_path: Path) -> None:
    (row,) = exported(root, tmp_path / "one.csv", merchants=["ACME-007"])
    assert (row["merchant"], row["outlet_id"]) == ("ACME-007", "key 7")
    assert explain(root, "ACME-007", "DE")["merchant"] == "ACME-007"
    result = replay(root, "ACME-007", "DE", 1)
    assert result["agrees"]
    assert (result["merchant"], result["outlet_id"]) == ("ACME-007", "key 7")
    assert str(result["point"]["lon_deg"]) == row["lon_deg"]
    with pytest.raises(Segment1BError, match=r"merchant ACME-007 \(\d+\) has no site 2 in DE"):
        replay(root, "ACME-007", "DE", 2)


@pytest.mark.code("E_EGRESS_CHECKSUM_MISMATCH")
@pytest.mark.parametrize("how", ["changed", "removed", "unsealed"])
def test_a_directory_that_is_not_the_sealed_one_is_refused(root: Path, how: str) -> None:
    (part,) = root.glob("data/layer1/1A/outlet_directory/*/part-00000.parquet")
    (document,) = root.glob("data/layer1/1A/validation/*/directories.json")
    fingerprint = document.parent.name.partition("=")[2]
    path = document if how == "unsealed" else part
    data = path.read_bytes()
    path.unlink()
    if how == "changed":
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    try:
        with pytest.raises(Segment1BError, match=r"^E_EGRESS_CHECKSUM_MISMATCH:"):
            directory(root, KNOWN, fingerprint)
    finally:
        path.write_bytes(data)
    assert directory(root, KNOWN, fingerprint) is not None


def test_columns_with_the_names_of_an_export_get_a_prefix_that_no_other_column_has() -> None:
    names = ["Merchant", "bbox", "list_BBOX", "list_merchant", "x"]
    shown = listed.shown_names(["outlet_id", *names])
    assert shown == {
        "outlet_id": "outlet_id",
        "Merchant": "list_list_Merchant",
        "bbox": "list_list_bbox",
        "list_BBOX": "list_BBOX",
        "list_merchant": "list_merchant",
        "x": "x",
    }


def test_errors_of_states_name_a_merchant_by_its_id_and_number(root: Path, tmp_path: Path) -> None:
    """Where they are raised, recorded and pickled; of a plain list the number alone."""
    fingerprint = locate(root).identity.manifest_fingerprint
    number = merchant_number("ACME-007")
    naming = Naming(root, KNOWN, fingerprint)
    error = naming.error(pair_error("E509_UNSORTED", number, "DE", "out of order"))
    assert error.message == f"merchant ACME-007 ({number}) in DE: out of order"
    assert (error.scope["merchant"], error.scope["merchant_id"]) == ("ACME-007", number)
    assert naming.error(error) is error
    key = naming.error(Segment1BError("E509_UNSORTED", f"key {number}", merchant_id=number))
    assert key.message == f"key {number}; merchant ACME-007 ({number})"
    for other in (pair_error("E509_UNSORTED", 7, "DE", "x"), Segment1BError("E_USAGE", "x")):
        assert naming.error(other) is other
        assert Naming(tmp_path, KNOWN, fingerprint).error(other) is other


def test_a_state_that_fails_names_the_merchant_by_its_id(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = merchant_number("ACME-007")

    def fails(*_: object) -> None:
        raise pair_error("E509_UNSORTED", number, "DE", "out of order")

    monkeypatch.setattr(execution, "run_state", fails)
    with pytest.raises(Segment1BError, match=rf"merchant ACME-007 \({number}\) in DE: out of"):
        worlds.run(root, settings=["allocation.law=stable"], from_state="s5", to_state="s5")
    record = max((root / "control/failures").iterdir())
    assert json.loads(record.read_text())["merchant"] == "ACME-007"


def test_validators_name_offending_merchants_by_their_ids(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number = merchant_number("ACME-007")
    row = {"merchant_id": number, "country_iso": "DE", "found": 2}
    found = judge(Rule("s5", "quotas", "E509_UNSORTED", "P", "it holds"), [row, {"found": 1}])
    monkeypatch.setattr(audit, "validate_published", lambda *_, **__: [found])
    (result,) = segment1b.validate(root, ["s5"])
    assert result.rows == [{"merchant": "ACME-007", **row}, {"found": 1}]
    assert app(["validate-s5", "--data-root", str(root)], standalone_mode=False) == 1
    assert f"'merchant': 'ACME-007', 'merchant_id': {number}" in capsys.readouterr().out
