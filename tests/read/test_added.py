"""Columns of tiles, weights and time zones in exports, against lookups row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from rasterio.transform import from_origin

import bring
import worlds
from segment1b import contracts
from segment1b.errors import Segment1BError
from segment1b.read import added
from segment1b.read.export import export
from segment1b.read.gate import locate
from segment1b.storage import site_tables

KNOWN = contracts.load()
#: The list has a column with the name of an added one.
LIST = ["merchant_id,country_iso,outlet_id,tzid"]
LIST += [f"{n // 20 + 1},{'DE' if n % 3 else 'FR'},{n},mine {n}" for n in range(200)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with two square countries of uneven tiles and 200 outlets, to S9."""
    folder = tmp_path_factory.mktemp("added")
    root = worlds.lay_small_world(folder / "root")
    worlds.put_countries(root, {"DE": shapely.box(5, 45, 15, 55), "FR": shapely.box(-5, 45, 5, 55)})
    people = np.arange(1600, dtype=np.uint32).reshape(20, 80) + 1
    raster = worlds.place(root, "population_raster_2025")
    bring.raster(raster, people, from_origin(-5, 55, 0.25, 0.5))
    (folder / "list.csv").write_text("\n".join(LIST) + "\n")
    worlds.run(root, outlets=folder / "list.csv", to_state="s9", engine="serial")
    return root


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_tables, "BATCH_ROWS", 16)


def as_csv(root: Path, out: Path, **options: Any) -> list[dict[str, str]]:
    export(root, out, format="csv", **options)
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rows_of(root: Path, dataset_id: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        locate(root).path(dataset_id), partitioning=None
    ).to_pylist()
    return rows


def test_the_columns_are_those_of_the_published_rows(root: Path, tmp_path: Path) -> None:
    tiles = {
        (row["merchant_id"], row["legal_country_iso"], row["site_order"]): row["tile_id"]
        for row in rows_of(root, "s7_site_synthesis")
    }
    columns = {"weight_fp": "tile_weights", "pixel_area_m2": "tile_index"}
    of_tile = {
        name: {(row["country_iso"], row["tile_id"]): row[name] for row in rows_of(root, dataset)}
        for name, dataset in columns.items()
    }
    zones = {row["tzid"]: shapely.from_wkb(row["geom"]) for row in rows_of(root, "tz_world_2025a")}
    rows = as_csv(root, tmp_path / "a.csv", with_columns=added.COLUMNS)
    assert len(rows) == 200
    for row in rows:
        country = row["legal_country_iso"]
        tile = tiles[int(row["merchant_id"]), country, int(row["site_order"])]
        assert int(row["tile_id"]) == tile
        for name, values in of_tile.items():
            assert float(row[name]) == values[country, tile]
        spot = shapely.Point(float(row["lon_deg"]), float(row["lat_deg"]))
        away = {name: zone.distance(spot) for name, zone in zones.items()}
        assert away[row["tzid"]] == min(away.values())
        assert row["list_tzid"] == f"mine {row['outlet_id']}"


def test_every_format_has_the_same_added_columns(root: Path, tmp_path: Path) -> None:
    names = ["pixel_area_m2", "tile_id", "tzid", "weight_fp"]
    rows = {row["outlet_id"]: row for row in as_csv(root, tmp_path / "a.csv", with_columns=names)}
    assert list(rows["0"])[-4:] == names
    for ending in ("parquet", "fgb", "geojsonl"):
        export(root, tmp_path / f"a.{ending}", with_columns=names)
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    frame = pyogrio.read_dataframe(tmp_path / "a.fgb").to_dict("records")
    lines = (tmp_path / "a.geojsonl").read_text().splitlines()
    for found in (table, frame, [json.loads(line)["properties"] for line in lines]):
        assert len(found) == 200
        for row in found:
            wanted = rows[row["outlet_id"]]
            assert [str(row[name]) for name in names] == [wanted[name] for name in names]


@pytest.mark.parametrize("filters", [{"countries": ["FR"]}, {"merchants": [3, 7]}])
@pytest.mark.parametrize("name", added.COLUMNS)
def test_filters_leave_the_values_as_they_are(
    root: Path, tmp_path: Path, filters: dict[str, Any], name: str
) -> None:
    every = as_csv(root, tmp_path / "a.csv", with_columns=[name])
    some = as_csv(root, tmp_path / "b.csv", with_columns=[name, name], **filters)
    assert 0 < len(some) < len(every)
    assert [row for row in every if row in some] == some


def test_without_the_option_the_list_keeps_its_names(root: Path, tmp_path: Path) -> None:
    row = as_csv(root, tmp_path / "a.csv")[0]
    assert row["tzid"].startswith("mine ")
    assert "tile_id" not in row


def test_an_unknown_column_is_answered_with_the_nearest(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Segment1BError, match="--with: column 'tile' is unknown") as caught:
        export(root, tmp_path / "a.csv", with_columns=["tzid", "tile"])
    assert (caught.value.code, caught.value.hint) == ("E_USAGE", "did you mean 'tile_id'?")
    with pytest.raises(Segment1BError) as caught:
        export(root, tmp_path / "a.csv", with_columns=[""])
    assert caught.value.hint == "known: pixel_area_m2, tile_id, tzid, weight_fp"
    assert not list(tmp_path.iterdir())


@pytest.fixture
def spoiled(root: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Change the last byte but eight of a dataset's first file; put it back afterwards."""
    path = locate(root).path(request.param)
    path = min(path.iterdir()) if path.is_dir() else path
    data = path.read_bytes()
    path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    yield root
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoiled", "name", "code"),
    [
        ("s7_site_synthesis", "tile_id", "E410_NONDETERMINISTIC_OUTPUT"),
        ("tile_weights", "weight_fp", "E107_DETERMINISM"),
        ("tile_index", "pixel_area_m2", "E107_DETERMINISM"),
        ("tz_world_2025a", "tzid", "E306_TOKEN_MISMATCH"),
        ("s0_gate_receipt_1B", "tzid", "E_INPUT_SCHEMA_INVALID"),
    ],
    indirect=["spoiled"],
)
def test_what_is_not_as_it_was_published_is_not_joined(
    spoiled: Path, tmp_path: Path, name: str, code: str
) -> None:
    with pytest.raises(Segment1BError) as caught:
        export(spoiled, tmp_path / "a.csv", with_columns=[name])
    assert caught.value.code == code
    assert not list(tmp_path.iterdir())


def test_a_join_of_other_sites_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = added.Added._synthesis

    def shorter(self: added.Added, columns: list[str]) -> Iterator[Any]:
        yield from list(real(self, columns))[:-1]

    monkeypatch.setattr(added.Added, "_synthesis", shorter)
    with pytest.raises(Segment1BError, match="does not have the published sites"):
        export(root, tmp_path / "a.csv", with_columns=["tile_id"])
