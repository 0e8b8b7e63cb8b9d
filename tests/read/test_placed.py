"""`segment1b.place`: one call, the sites of the command line, and the user's own columns."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import geopandas
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import segment1b
from segment1b.cli.app import app
from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.pipeline import worlds
from segment1b.read.placed import Placed
from worlds import lay_small_world, place, run

ROWS = [
    {"merchant_id": 259, "country_iso": "NL", "n_outlets": 4, "chain": "Koffie"},
    {"merchant_id": 12, "country_iso": "LS", "n_outlets": 2, "chain": "Lesotho & Co"},
    {"merchant_id": 12, "country_iso": "NL", "n_outlets": 1, "chain": None},
]
CSV = "merchant_id,country_iso,n_outlets\n259,NL,4\n12,LS,2\n12,NL,1\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare a world of two countries."""
    folder = tmp_path_factory.mktemp("placed")
    root = lay_small_world(folder / "root", countries=("LS", "NL"))
    (folder / "first.csv").write_text(CSV)
    return run(root, outlets=folder / "first.csv", to_state="s2").root


@pytest.fixture(scope="module")
def placed(world: Path) -> Iterator[Placed]:
    with segment1b.place(ROWS, world=world) as made:
        yield made


def test_the_sites_are_those_of_the_command_line_byte_for_byte(
    placed: Placed, world: Path, tmp_path: Path
) -> None:
    (tmp_path / "my.csv").write_text(CSV)
    root = tmp_path / "root"
    words = ["run", "--outlets", str(tmp_path / "my.csv"), "--data-root", str(root)]
    words += ["--world", str(world), "--set", "allocation.law=stable", "--to-state", "s8"]
    assert not app([*words, "--quiet"], standalone_mode=False)
    parts = [
        sorted(folder.rglob("site_locations/**/*.parquet")) for folder in (root, placed.result.root)
    ]
    assert parts[0]
    ours, theirs = ([path.read_bytes() for path in found] for found in parts)
    assert ours == theirs
    published = pa.concat_tables([pq.ParquetFile(path).read() for path in parts[0]])
    assert placed.sites["lon_deg"].to_pylist() == published["lon_deg"].to_pylist()
    assert placed.sites["merchant_id"].to_pylist() == published["merchant_id"].to_pylist()


def test_the_sites_have_the_columns_of_the_list_and_their_place(placed: Placed) -> None:
    names = ["merchant_id", "n_outlets", "chain", "country_iso", "site_order"]
    assert placed.sites.column_names == [*names, "lon_deg", "lat_deg", "tile_id", "tzid"]
    rows = [tuple(row.values()) for row in placed.sites.select(names).to_pylist()]
    assert rows == [
        *((12, 2, "Lesotho & Co", "LS", order) for order in (1, 2)),
        (12, 1, None, "NL", 1),
        *((259, 4, "Koffie", "NL", order) for order in (1, 2, 3, 4)),
    ]
    columns = (placed.sites[name].to_pylist() for name in ("country_iso", "tzid"))
    assert dict(zip(*columns, strict=True)) == {"LS": "Africa/Maseru", "NL": "Europe/Amsterdam"}
    assert repr(placed) == "<7 outlets of 2 merchants in 2 countries>"


def _inputs(folder: Path) -> dict[str, Any]:
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, folder / "list.parquet")
    return {
        "pandas": pd.DataFrame(ROWS, index=[7, 5, 3]),
        "polars": pl.DataFrame(ROWS),
        "arrow": table,
        "reader": pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
        "duckdb": duckdb.connect().from_arrow(table),
        "parquet": folder / "list.parquet",
        "parquet_name": str(folder / "list.parquet"),
        "categories": table.set_column(1, "country_iso", table["country_iso"].dictionary_encode()),
        "reversed": ROWS[::-1],
    }


KINDS = ("pandas", "polars", "arrow", "reader", "duckdb", "parquet", "parquet_name")


@pytest.mark.parametrize("kind", [*KINDS, "categories", "reversed"])
def test_any_table_gives_the_same_sites(
    kind: str, placed: Placed, world: Path, tmp_path: Path
) -> None:
    with segment1b.place(_inputs(tmp_path)[kind], world=world) as other:
        assert other.sites.to_pylist() == placed.sites.to_pylist()


def test_rows_that_are_outlets_keep_their_columns_in_any_order(world: Path) -> None:
    rows = [
        {"merchant_id": merchant, "country_iso": "NL", "name": name}
        for merchant in (3, 20)
        for name in ("c", None, "b")
    ]
    made = []
    for some in (rows, rows[::-1], [rows[k] for k in (4, 1, 3, 0, 5, 2)]):
        with segment1b.place(some, world=world) as placed:
            made.append(placed.sites.to_pylist())
    assert made[0] == made[1] == made[2]
    assert [row["name"] for row in made[0]] == [None, "b", "c"] * 2


def test_ids_and_keys_of_any_text_are_those_of_the_sites(world: Path, tmp_path: Path) -> None:
    rows = [
        {"merchant_id": merchant, "country_iso": "NL", "outlet_id": key, "open": key > "b"}
        for merchant in ("ACME-001", "Ünique & Söhne")
        for key in ("c-3", "a-1", "b-2")
    ]
    with segment1b.place(rows, world=world) as placed:
        sites = placed.sites.to_pylist()
        assert placed.explain("ACME-001", "NL")["agrees"]
        again = placed.replay("ACME-001", "NL", 3)
        placed.save(tmp_path / "root")
    acme = [row for row in sites if row["merchant_id"] == "ACME-001"]
    assert [(row["outlet_id"], row["open"]) for row in acme] == [
        ("a-1", False),
        ("b-2", True),
        ("c-3", True),
    ]
    assert again["point"] == {name: acme[2][name] for name in ("lon_deg", "lat_deg")}
    segment1b.export(tmp_path / "root", tmp_path / "sites.csv", format="csv")
    exported = pd.read_csv(tmp_path / "sites.csv")
    names = ["merchant", "outlet_id", "lon_deg"]
    ours = [(row["merchant_id"], row["outlet_id"], row["lon_deg"]) for row in sites]
    assert [*exported[names].itertuples(index=False, name=None)] == ours


def test_site_order_of_the_list_decides_which_site_a_row_has(world: Path) -> None:
    rows = [
        {"merchant_id": 5, "country_iso": "NL", "site_order": order, "name": name}
        for order, name in ((2, "a"), (10, "c"), (1, "b"), *((k, "d") for k in range(3, 10)))
    ]
    with segment1b.place(rows, world=world) as placed:
        got = placed.sites.select(["site_order", "name"]).to_pylist()
    assert got == sorted(
        ({"site_order": row["site_order"], "name": row["name"]} for row in rows),
        key=lambda row: row["site_order"],
    )


def test_columns_names_what_is_carried(world: Path) -> None:
    table = pa.Table.from_pylist([{**row, "lon_deg": 1.0} for row in ROWS])
    with segment1b.place(table, world=world, columns=[]) as placed:
        assert placed.sites.column_names[:3] == ["merchant_id", "n_outlets", "country_iso"]
    with pytest.raises(Segment1BError, match="column lon_deg, which the sites have too"):
        segment1b.place(table, world=world)
    with pytest.raises(Segment1BError, match=r"no column 'chian'.*chain"):
        segment1b.place(table, world=world, columns=["chian"])


LOOSE = [
    {"Kunde": "259 ", "Land": "Nederland", "Filialen": "4.0", "chain": "Koffie"},
    {"Kunde": "12", "Land": "lso", "Filialen": " 2", "chain": "Lesotho & Co"},
    {"Kunde": "12", "Land": " NL", "Filialen": "1", "chain": None},
]
MAP = ["merchant_id=Kunde", "country_iso=Land", "n_outlets=Filialen"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rows", "csv"])
def test_a_loose_list_gives_the_sites_of_the_exact_one(
    kind: str, placed: Placed, world: Path, tmp_path: Path
) -> None:
    outlets: Any = LOOSE
    if kind == "csv":
        outlets = tmp_path / "loose.csv"
        pd.DataFrame(LOOSE).to_csv(outlets, index=False)
    options: dict[str, Any] = {"world": world, "map_columns": MAP}
    with segment1b.place(outlets, normalise=True, **options) as other:
        assert other.sites.drop("chain").to_pylist() == [
            {**row, "merchant_id": str(row["merchant_id"]), "n_outlets": str(row["n_outlets"])}
            for row in placed.sites.drop("chain").to_pylist()
        ]
        assert other.sites["chain"].to_pylist()[:2] == ["Lesotho & Co"] * 2
        (manifest,) = other.result.root.rglob("1A/validation/*/MANIFEST.json")
        assert json.loads(manifest.read_text())["corrections"]["by_kind"]["spaces"] == 3
        other.save(tmp_path / "root")
    with pytest.raises(Segment1BError, match=r"the table|loose\.csv") as caught:
        segment1b.place(outlets, **options)
    assert (caught.value.code, caught.value.scope["total"]) == ("E_OUTLETS_INVALID", 3)


def test_common_names_of_columns_are_recognised_in_a_table(placed: Placed, world: Path) -> None:
    names = {"merchant_id": "Merchant", "country_iso": "country", "n_outlets": "stores"}
    with segment1b.place(pd.DataFrame(ROWS).rename(columns=names), world=world) as other:
        assert other.sites.to_pylist() == placed.sites.to_pylist()


@pytest.mark.code("E_USAGE")
def test_a_map_of_no_column_is_refused(world: Path) -> None:
    with pytest.raises(Segment1BError, match="--map 'land=Land' names no column"):
        segment1b.place(LOOSE, world=world, map_columns=["land=Land"])


@pytest.mark.code("E_OUTLETS_INVALID")
def test_one_error_lists_all_bad_rows_as_a_table(world: Path) -> None:
    rows = [{"merchant_id": k, "country_iso": "XX", "n_outlets": 1} for k in range(1, 51)]
    rows[7] = {"merchant_id": 8, "country_iso": "NL", "n_outlets": 0}
    with pytest.raises(Segment1BError) as caught:
        segment1b.place(rows, world=world)
    error = caught.value
    assert error.code == "E_OUTLETS_INVALID"
    assert [row["line"] for row in error.scope["rows"]] == [*range(1, 51)]
    lines = error.message.splitlines()
    assert lines[0] == "the table has 50 bad rows:"
    assert lines[1].split() == ["row", "column", "reason"]
    assert lines[2].split(maxsplit=2) == ["1", "country_iso", "'XX' is not in the ISO table"]
    assert lines[9].split(maxsplit=2) == [
        "8",
        "n_outlets",
        "'0' is not a whole number in 1..999999",
    ]
    assert len(lines) == 52
    assert pd.DataFrame(error.scope["rows"])["column"].value_counts()["country_iso"] == 49


@pytest.mark.code("E_USAGE", "E_OUTLETS_INVALID")
@pytest.mark.parametrize(
    ("outlets", "code", "says"),
    [
        (7, "E_USAGE", "given as int"),
        ([1, 2], "E_USAGE", "given as list"),
        ([{"merchant_id": 1}], "E_OUTLETS_INVALID", "the table has no column country_iso"),
        ([{"merchant_id": 1}, {"merchant_id": []}], "E_OUTLETS_INVALID", "Arrow cannot hold"),
        ([], "E_OUTLETS_INVALID", "the table"),
        (Path("absent.csv"), "E_OUTLETS_INVALID", "absent.csv"),
    ],
)
def test_what_is_no_list_is_refused(outlets: Any, code: str, says: str, world: Path) -> None:
    with pytest.raises(Segment1BError, match=says) as caught:
        segment1b.place(outlets, world=world)
    assert caught.value.code == code
    assert "segment1b-" not in str(caught.value)


@pytest.mark.parametrize("name", ["pandas", "polars", "geopandas"])
def test_without_the_extra_an_error_names_it(
    name: str, placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Segment1BError, match=rf"'{name}'.*segment1b\[notebook\]") as caught:
        getattr(placed, f"to_{name}")()
    assert caught.value.code == "E_USAGE"


def test_frames_hold_the_sites(placed: Placed) -> None:
    sites = placed.sites
    assert placed.to_polars().to_arrow().to_pylist() == sites.to_pylist()
    assert placed.to_pandas()["lat_deg"].tolist() == sites["lat_deg"].to_pylist()
    frame = placed.to_geopandas()
    assert isinstance(frame, geopandas.GeoDataFrame)
    assert frame.crs == "EPSG:4326"
    assert frame.geometry.x.tolist() == sites["lon_deg"].to_pylist()
    shapes = read_countries(place(placed.result.root, "world_countries"))
    pairs = zip(frame["country_iso"], frame.geometry, strict=True)
    assert all(shapes[code].contains(point) for code, point in pairs)


def test_the_map_has_outlines_and_every_outlet_and_no_request(placed: Placed) -> None:
    figure = placed.explore()
    land, points = figure.data
    assert [*points.x] == placed.sites["lon_deg"].to_pylist()
    assert points.text[0] == "12 LS 1 Africa/Maseru"
    assert len(land.x) > 100
    low, high = figure.layout.yaxis.range
    assert low < min(points.y) < max(points.y) < high
    page = json.loads(figure.to_json())
    assert "http" not in json.dumps(page["data"])
    # A geographic subplot would load its outlines from a server.
    assert not {"geo", "map", "mapbox"} & page["layout"].keys()


def test_explain_replay_and_validate_speak_of_the_run(placed: Placed) -> None:
    told = placed.explain("259", "NL")
    assert told["agrees"]
    assert told["merchant_id"] == 259
    again = placed.replay(259, "NL", 3)
    assert again["agrees"]
    assert again["point"] == {
        name: placed.sites[name].to_pylist()[5] for name in ("lon_deg", "lat_deg")
    }
    results = placed.validate()
    assert {result.state for result in results} == {f"s{k}" for k in range(9)}
    assert [result for result in results if not result.ok] == []


def test_save_proves_and_publishes(placed: Placed, tmp_path: Path) -> None:
    placed.save(tmp_path / "root", name="koffie")
    sites = segment1b.open(tmp_path / "root", list="koffie").sites
    for name in ("merchant_id", "site_order", "lon_deg", "lat_deg"):
        assert sites[name].to_pylist() == placed.sites[name].to_pylist()
    other = lay_small_world(tmp_path / "other", countries=("NL",))
    with pytest.raises(Segment1BError, match="other reference surfaces"):
        placed.save(other)
    assert not [*other.glob("data")]


def test_seed_and_method_decide_the_sites(placed: Placed, world: Path) -> None:
    for options in ({"seed": 7}, {"method": "largest_remainder"}):
        with segment1b.place(ROWS, world=world, **options) as other:  # type: ignore[arg-type]
            assert other.sites["lon_deg"] != placed.sites["lon_deg"]
    with pytest.raises(Segment1BError, match="E_POLICY_INVALID"):
        segment1b.place(ROWS, world=world, method="stabel")


def test_the_files_go_at_the_end_and_the_table_stays(world: Path) -> None:
    with segment1b.place(ROWS, world=world) as placed:
        folder = placed.result.root.parent
        assert folder.is_dir()
    assert not folder.exists()
    assert placed.to_pandas().shape == (7, 9)
    with pytest.raises(Segment1BError, match="files of the placed outlets are removed"):
        placed.explore()


def test_the_files_go_with_the_object(world: Path) -> None:
    placed = segment1b.place(ROWS, world=world)
    folder = placed.result.root.parent
    del placed
    gc.collect()
    assert not folder.exists()


def test_proof_runs_s9(world: Path) -> None:
    with segment1b.place(ROWS, world=world, proof=True) as placed:
        assert placed.result.s9.report["verdict"] == "PASS"


@pytest.mark.slow
def test_the_embedded_world_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a world the first call keeps its tiles in the cache, and the second adopts them."""
    monkeypatch.setenv("SEGMENT1B_CACHE", str(tmp_path / "cache"))
    made = []
    for _ in range(2):
        with segment1b.place(ROWS) as placed:
            made.append(placed.sites.drop(["tile_id"]))
            kinds = [placed.result.state(name).what for name in ("s1", "s2")]
        assert len(worlds.cached_worlds()) == 1
    assert kinds == ["adopted", "adopted"]
    assert made[0].equals(made[1])
    assert pc.all(
        pc.is_in(made[0]["tzid"], pa.array(["Africa/Maseru", "Europe/Amsterdam"]))
    ).as_py()


@pytest.mark.slow
def test_outlets_follow_those_placed_before(world: Path, tmp_path: Path) -> None:
    """Rows stay with their keys, and keys with their coordinates, also once both are saved."""

    def rows(keys: str) -> list[dict[str, Any]]:
        return [
            {"merchant_id": "Koffie", "country_iso": "NL", "outlet_id": key, "name": f"shop {key}"}
            for key in keys
        ]

    def found(placed: Placed) -> dict[str, tuple[float, float]]:
        sites = placed.sites.to_pylist()
        assert all(row["name"] == f"shop {row['outlet_id']}" for row in sites)
        return {row["outlet_id"]: (row["lon_deg"], row["lat_deg"]) for row in sites}

    with segment1b.place(rows("hgfe"), world=world, seed=5) as before:
        with segment1b.place(rows("ahgzcf"), since=before) as after:
            assert after.result.identity["seed"] == 5
            assert after.result.since is not None
            assert after.result.since.counts["moved"] == 0
            then, now = found(before), found(after)
            assert {key: now[key] for key in "hgf"} == {key: then[key] for key in "hgf"}
            before.close()
            after.save(tmp_path / "saved")
        with segment1b.place(rows("zh"), since=tmp_path / "saved") as last:
            moved = last.result.since.moved.to_pylist()  # type: ignore[union-attr]
            assert found(last).keys() - {row["outlet_id"] for row in moved} <= now.keys()
            same = {key for key, place in found(last).items() if place == now[key]}
            assert same == {"z", "h"} - {row["outlet_id"] for row in moved}
