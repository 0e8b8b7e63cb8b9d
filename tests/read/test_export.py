"""Exports hold the published sites exactly, in forms that other people's tools open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import geopandas
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely

from read.conftest import KNOWN, PLACES, SITES, MakeRoot, sites
from segment1b.errors import Segment1BError
from segment1b.read import export as exports
from segment1b.read import geoparquet
from segment1b.read.export import FORMATS, export
from segment1b.storage import site_tables as rows
from shapes import files_end_at

KEY = ["merchant_id", "legal_country_iso", "site_order"]
WINDOW = (4.0, 52.0, 6.0, 53.0)


def write(root: Path, fmt: str, out: Path, **wanted: Any) -> Path:
    export(root, out, format=fmt, **wanted)
    return out


def same(found: pl.DataFrame, table: pa.Table) -> bool:
    """Return whether frames have the same rows, coordinates bit for bit, in any order."""
    wanted = pl.from_arrow(table)
    found = found.select([pl.col(c).cast(wanted[c].dtype) for c in wanted.columns])
    return found.sort(KEY).equals(wanted)


def frame(read: geopandas.GeoDataFrame) -> pl.DataFrame:
    degrees = {"lon_deg": read.geometry.x.to_numpy(), "lat_deg": read.geometry.y.to_numpy()}
    return pl.DataFrame({**{name: read[name].to_numpy() for name in KEY}, **degrees})


def groups_meeting(path: Path, window: Sequence[float]) -> tuple[int, int]:
    """Return how many row groups a window meets by their bbox statistics, and how many are."""
    meta = pq.read_metadata(path)
    names = [meta.schema.column(i).path for i in range(meta.num_columns)]
    met = 0
    for group in range(meta.num_row_groups):
        low, high = (
            [
                getattr(meta.row_group(group).column(names.index(f"bbox.{c}")).statistics, end)
                for c in corners
            ]
            for end, corners in (("min", ("xmin", "ymin")), ("max", ("xmax", "ymax")))
        )
        west, south, east, north = window
        met += low[0] <= east and low[1] <= north and high[0] >= west and high[1] >= south
    return met, meta.num_row_groups


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make batches and row groups small, so that a thousand sites need many."""
    monkeypatch.setattr(rows, "BATCH_ROWS", 64)
    monkeypatch.setattr(geoparquet, "GROUP_ROWS", 50)


@pytest.mark.parametrize("batches", ["small", "large"])
def test_geopandas_reads_geoparquet(
    root: Path, table: pa.Table, tmp_path: Path, batches: str, request: pytest.FixtureRequest
) -> None:
    if batches == "small":
        request.getfixturevalue("small")
    read = geopandas.read_parquet(write(root, "geoparquet", tmp_path / "s.parquet"))
    assert same(frame(read), table)
    assert read.crs == "OGC:CRS84"
    near = geopandas.read_parquet(tmp_path / "s.parquet", bbox=WINDOW)
    inside = read.cx[WINDOW[0] : WINDOW[2], WINDOW[1] : WINDOW[3]]
    assert 0 < len(near) < len(read)
    assert set(inside.geometry) <= set(near.geometry)


def test_geoparquet_says_what_it_is(root: Path, table: pa.Table, tmp_path: Path) -> None:
    path = write(root, "geoparquet", tmp_path / "s.parquet")
    file = pq.ParquetFile(path)
    geo = json.loads(file.metadata.metadata[b"geo"])
    lon, lat = (table.column(name).to_numpy() for name in ("lon_deg", "lat_deg"))
    assert geo["version"] == "1.1.0"
    column = geo["columns"]["geometry"]
    assert column["geometry_types"] == ["Point"]
    assert column["bbox"] == [lon.min(), lat.min(), lon.max(), lat.max()]
    assert column["covering"]["bbox"]["ymax"] == ["bbox", "ymax"]
    about = json.loads(file.metadata.metadata[b"segment1b"])
    assert about["manifest_fingerprint"] == PLACES["manifest_fingerprint"]
    assert about["licence"] == SITES.licence
    read = file.read()
    at = shapely.get_coordinates(shapely.from_wkb(read.column("geometry").to_pylist()))
    box = np.array([list(box.values()) for box in read.column("bbox").to_pylist()])
    assert (box[:, :2] <= at).all()
    assert (box[:, 2:] >= at).all()
    assert np.abs(box[:, 2:] - box[:, :2]).max() < 1e-4


@pytest.mark.usefixtures("small")
def test_a_map_window_reads_few_row_groups(make_root: MakeRoot, tmp_path: Path) -> None:
    table = sites(4000)
    path = write(make_root(table), "geoparquet", tmp_path / "s.parquet")
    met, total = groups_meeting(path, WINDOW)
    assert total == 80
    # A quarter of the sites lie about this town, three quarters of these in the window.
    assert 10 <= met <= 24


def test_duckdb_and_polars_read_geoparquet(root: Path, table: pa.Table, tmp_path: Path) -> None:
    path = write(root, "geoparquet", tmp_path / "s.parquet")
    with duckdb.connect() as db:
        source = db.read_parquet(str(path))
        assert str(source.types[source.columns.index("geometry")]) == "GEOMETRY('OGC:CRS84')"
        read = db.execute(
            "SELECT merchant_id, legal_country_iso, site_order, ST_AsWKB(geometry) "
            "FROM read_parquet(?) WHERE bbox.xmin >= 4 AND bbox.xmax <= 6",
            [str(path)],
        ).fetchall()
    by_key = {tuple(row[:3]): shapely.from_wkb(row[3]).coords[0] for row in read}
    rows_ = (tuple(row.values()) for row in table.to_pylist())
    assert by_key == {row[:3]: row[3:] for row in rows_ if 4 <= row[3] <= 6}
    seen = pl.read_parquet(path)
    assert seen.select(KEY).sort(KEY).rows() == pl.from_arrow(table).select(KEY).rows()


@pytest.mark.parametrize(("fmt", "ending"), [("flatgeobuf", "fgb"), ("geojsonseq", "geojsonl")])
def test_gdal_reads_the_exact_points(
    root: Path, table: pa.Table, tmp_path: Path, fmt: str, ending: str
) -> None:
    path = write(root, fmt, tmp_path / f"s.{ending}")
    about = pyogrio.read_info(path)
    assert about["features"] == 1000
    assert about["geometry_type"] == "Point"
    assert about["fields"].tolist() == KEY
    read = geopandas.read_file(path)
    assert same(frame(read), table)
    assert len(geopandas.read_file(path, bbox=WINDOW)) == len(
        read.cx[WINDOW[0] : WINDOW[2], WINDOW[1] : WINDOW[3]]
    )


def test_flatgeobuf_leaves_the_index_out_of_large_exports(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "INDEXED_ROWS", 10)
    plain = write(root, "flatgeobuf", tmp_path / "a.fgb")
    indexed = write(root, "flatgeobuf", tmp_path / "b.fgb", countries=["FJ"], merchants=[1001])
    assert not pyogrio.read_info(plain)["capabilities"]["fast_spatial_filter"]
    assert pyogrio.read_info(indexed)["capabilities"]["fast_spatial_filter"]


def test_csv_is_read_back_exactly(root: Path, table: pa.Table, tmp_path: Path) -> None:
    path = write(root, "csv", tmp_path / "s.csv")
    assert path.read_text().startswith("merchant_id,legal_country_iso,site_order,lon_deg,lat_deg\n")
    assert same(pl.read_csv(path), table)


@pytest.mark.parametrize("fmt", FORMATS)
def test_hard_numbers_stay_exact(make_root: MakeRoot, tmp_path: Path, fmt: str) -> None:
    lon = [-180.0, np.nextafter(180.0, 0), 1e-5 / 3, -1 / 3, 5e-324]
    lat = [-90.0, 90.0, 1e-17, 2 / 3, -0.0]
    table = pa.table(
        {
            "merchant_id": [2**63 - 1 - k for k in range(5)][::-1],
            "legal_country_iso": ["FJ"] * 5,
            "site_order": [1, 2**53 + 1, 3, 4, 5],
            "lon_deg": lon,
            "lat_deg": lat,
        }
    ).cast(SITES.arrow_schema)
    ending = {"flatgeobuf": "fgb", "geojsonseq": "geojsonl"}.get(fmt, fmt)
    path = write(make_root(table, parts=1), fmt, tmp_path / f"s.{ending}")
    if fmt == "csv":
        assert same(pl.read_csv(path, schema_overrides={"merchant_id": pl.UInt64}), table)
    elif fmt == "geoparquet":
        assert same(frame(geopandas.read_parquet(path)), table)
    elif fmt == "flatgeobuf":
        assert same(frame(geopandas.read_file(path)), table)
    else:
        features = [json.loads(line) for line in path.read_text().splitlines()]
        points = [f["geometry"]["coordinates"] for f in features]
        assert points == [list(pair) for pair in zip(lon, lat, strict=True)]
        assert [f["properties"]["site_order"] for f in features] == [1, 2**53 + 1, 3, 4, 5]


@pytest.mark.parametrize("fmt", FORMATS)
def test_filters(root: Path, table: pa.Table, tmp_path: Path, fmt: str) -> None:
    out = tmp_path / "some"
    merchants = [1003, 1007, 1024]
    count = export(root, out, format=fmt, countries=["NL", "AU"], merchants=merchants)
    mask = pc.and_(
        pc.is_in(table.column("legal_country_iso"), pa.array(["NL", "AU"])),
        pc.is_in(table.column("merchant_id"), pa.array(merchants, pa.uint64())),
    )
    assert count == table.filter(mask).num_rows == 60
    assert out.is_file()


@pytest.mark.parametrize("fmt", FORMATS)
def test_no_sites_make_an_empty_file(make_root: MakeRoot, tmp_path: Path, fmt: str) -> None:
    root = make_root(sites(10).slice(0, 0), parts=1)
    assert export(root, tmp_path / "none", format=fmt) == 0
    assert (tmp_path / "none").is_file()


def refused(root: Path, fmt: str, out: Path, **wanted: Any) -> str:
    with pytest.raises(Segment1BError) as caught:
        export(root, out, format=fmt, **wanted)
    return caught.value.code


@pytest.mark.parametrize(
    ("fmt", "target", "wanted"),
    [
        ("csv", "there.csv", {}),
        ("shapefile", "new.csv", {}),
        ("csv", "absent/new.csv", {}),
        ("csv", "new.csv", {"countries": ["nl"]}),
        ("csv", "new.csv", {"countries": ["DE"]}),
        ("geoparquet", "new.csv", {"merchants": [999]}),
        ("csv", "new.csv", {"merchants": [0]}),
    ],
)
def test_refusals_leave_nothing(
    root: Path, tmp_path: Path, fmt: str, target: str, wanted: dict[str, Any]
) -> None:
    (tmp_path / "there.csv").write_text("mine")
    before = sorted(tmp_path.iterdir())
    assert refused(root, fmt, tmp_path / target, **wanted) == "E_USAGE"
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("fmt", FORMATS)
def test_only_proven_sites_are_exported(root: Path, tmp_path: Path, fmt: str) -> None:
    (root / KNOWN["validation_bundle_1B"].locate(PLACES) / "_passed.flag").unlink()
    assert refused(root, fmt, tmp_path / "out") == "E910_FLAG_BAD_OR_MISSING"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_failure_on_the_way_leaves_nothing(
    root: Path, tmp_path: Path, fmt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rows.site_tables

    def breaks(*given: Any) -> Iterator[pa.Table]:
        yield next(iter(real(*given)))
        raise KeyboardInterrupt

    monkeypatch.setattr(rows, "site_tables", breaks)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        export(root, tmp_path / "out", format=fmt)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("index", [True, False])
def test_a_full_disk_is_named_and_leaves_nothing(
    root: Path, tmp_path: Path, fmt: str, index: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where GDAL reports nothing too: it loses what it still holds when it closes a file."""
    monkeypatch.setattr(exports, "INDEXED_ROWS", 10**9 if index else 0)
    whole = write(root, fmt, tmp_path / "whole").stat().st_size
    before = sorted(tmp_path.iterdir())
    for size in (0, 100, whole // 2, whole - 1):
        with files_end_at(size):
            code = refused(root, fmt, tmp_path / "out")
        assert code == "E_STORAGE_FULL"
        assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("fmt", FORMATS)
def test_no_table_grows_with_the_sites(
    make_root: MakeRoot, tmp_path: Path, fmt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_root(sites(9000))
    sizes: dict[str, list[int]] = {"read": [], "sorted": []}

    def watched(name: str, real: Callable[..., Iterator[pa.Table]]) -> Callable[..., Any]:
        def watch(*given: Any) -> Iterator[pa.Table]:
            for table in real(*given):
                sizes[name].append(table.num_rows)
                yield table

        return watch

    monkeypatch.setattr(rows, "site_tables", watched("read", rows.site_tables))
    monkeypatch.setattr(geoparquet, "in_curve_order", watched("sorted", geoparquet.in_curve_order))
    assert export(root, tmp_path / "out", format=fmt) == 9000
    assert max(sizes["read"]) <= 64
    # DuckDB passes on its vectors of 2048 rows.
    assert max(sizes["sorted"], default=0) <= 2048


def test_the_curve_visits_neighbours() -> None:
    side = 32
    at = (np.arange(side) + 0.5) / side
    lon, lat = (a.ravel() for a in np.meshgrid(at * 360 - 180, at * 180 - 90))
    coarse = geoparquet.positions(lon, lat) >> np.uint32(2 * (16 - 5))
    assert sorted(coarse.tolist()) == list(range(side * side))
    order = np.argsort(coarse)
    steps = np.abs(np.diff(lon[order])) / 360 + np.abs(np.diff(lat[order])) / 180
    np.testing.assert_allclose(steps, 1 / side)
    ends = geoparquet.positions(np.array([-180.0, 180.0]), np.array([-90.0, 90.0]))
    assert ends.dtype == np.uint32


def test_exports_do_not_depend_on_the_cut_into_files(
    make_root: MakeRoot, table: pa.Table, tmp_path: Path
) -> None:
    roots = [make_root(table, f"root-{parts}", parts=parts) for parts in (1, 3)]
    for fmt in ("geoparquet", "csv", "geojsonseq"):
        one, three = (write(root, fmt, tmp_path / f"{root.name}.{fmt}") for root in roots)
        if fmt == "geoparquet":
            assert pq.read_table(one).equals(pq.read_table(three))
        else:
            assert one.read_bytes() == three.read_bytes()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.parquet", "geoparquet"),
        ("a.csv", "csv"),
        ("A.CSV", "csv"),
        ("a.geojsonl", "geojsonseq"),
        ("a.fgb", "flatgeobuf"),
        ("-", "csv"),
    ],
)
def test_the_format_is_that_of_the_name(name: str, wanted: str) -> None:
    assert exports.format_of(name, None) == wanted
    assert exports.format_of(name, "geojsonseq") == "geojsonseq"


@pytest.mark.parametrize(
    ("name", "named", "text"),
    [
        ("a.txt", None, "the name a.txt tells no format"),
        ("outlets", None, "the name outlets tells no format"),
        ("-", "flatgeobuf", "flatgeobuf cannot be written to stdout"),
        ("a.csv", "cvs", "format 'cvs' is unknown"),
    ],
)
def test_a_name_that_tells_no_format_is_refused(name: str, named: str | None, text: str) -> None:
    with pytest.raises(Segment1BError, match=f"^E_USAGE: {text}"):
        exports.format_of(name, named)


@pytest.mark.parametrize("fmt", ["csv", "geojsonseq"])
def test_stdout_gets_the_bytes_of_the_file(root: Path, tmp_path: Path, fmt: str) -> None:
    written = write(root, fmt, tmp_path / "sites").read_bytes()
    command = ["export", "--data-root", root, "--format", fmt, "--out", "-"]
    done = subprocess.run(
        [sys.executable, "-m", "segment1b", *command],
        env={**os.environ, "PYTHONPATH": str(Path(exports.__file__).parents[2])},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == written
