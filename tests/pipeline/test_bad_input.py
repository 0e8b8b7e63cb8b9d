"""Bad input gets one error with a code and a place, and nothing is published."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from rasterio.transform import Affine

import worlds
from segment1b.errors import Segment1BError
from segment1b.states import STATES


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.lay_small_world(tmp_path_factory.mktemp("world"), degrees=1.0)


@pytest.fixture
def root(surfaces: Path, tmp_path: Path) -> Path:
    shutil.copytree(surfaces, tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def outlets(tmp_path: Path) -> Path:
    return worlds.outlet_list(tmp_path / "outlets.csv")


Change = Callable[[Path], None]


def published(root: Path) -> list[str]:
    """Return the segment's own datasets that are visible under a root."""
    folder = root / "data" / "layer1" / "1B"
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def refused(root: Path, **settings: Any) -> Segment1BError:
    """Run, expect a coded refusal, and check that it is recorded and staging is clean."""
    with pytest.raises(Segment1BError) as caught:
        worlds.run(root, **settings)
    records = [json.loads(p.read_text()) for p in (root / "control" / "failures").iterdir()]
    assert caught.value.code in {record["code"] for record in records}
    assert not [p for p in (root / ".staging").iterdir() if p.is_dir()]
    return caught.value


def rewrite_countries(root: Path, change: Callable[[str, Any], Any], **metadata: Any) -> None:
    """Rewrite world_countries with each geometry changed, and other GeoParquet metadata."""
    table = pq.read_table(worlds.place(root, "world_countries"))
    old = zip(*(table[name].to_pylist() for name in ("country_iso", "geom")), strict=True)
    shapes = {code: change(code, shapely.from_wkb(wkb)) for code, wkb in old}
    worlds.put_countries(root, shapes, **metadata)


def rewrite_raster(root: Path, change: Callable[[Any, dict[str, Any]], Any]) -> None:
    """Rewrite the population raster with other values or another profile."""
    path = worlds.place(root, "population_raster_2025")
    with rasterio.open(path) as source:
        values, profile = source.read(1), dict(source.profile)
    values = change(values, profile)
    with rasterio.open(path, "w", **profile) as target:
        target.write(values, 1)


def turned(values: Any, profile: dict[str, Any]) -> Any:
    profile["transform"] = profile["transform"] * Affine.rotation(10)
    return values


def south_up(values: Any, profile: dict[str, Any]) -> Any:
    profile["transform"] = Affine(1.0, 0.0, -180.0, 0.0, 1.0, -90.0)
    return values[::-1]


def projected(values: Any, profile: dict[str, Any]) -> Any:
    profile["crs"] = "ESRI:54009"
    return values


def raster(change: Callable[[Any, dict[str, Any]], Any]) -> Change:
    return lambda root: rewrite_raster(root, change)


def populated(value: float) -> Change:
    """Put a value into a cell at 52.5 N, 5.5 E: the Netherlands."""

    def put(values: Any, profile: dict[str, Any]) -> Any:
        profile.update(dtype="float64", nodata=None)
        values = values.astype(np.float64)
        values[37, 185] = value
        return values

    return raster(put)


def shaped(shape: Any) -> Change:
    """Give the Netherlands another shape."""
    return lambda root: rewrite_countries(root, lambda code, old: shape if code == "NL" else old)


def in_mercator(root: Path) -> None:
    crs = {"name": "WGS 84 / Pseudo-Mercator", "id": {"authority": "EPSG", "code": 3857}}
    rewrite_countries(root, lambda _, old: old, crs=crs)


def with_unknown_code(root: Path) -> None:
    path = worlds.place(root, "world_countries")
    table = pq.read_table(path)
    codes = ["XX" if c == "PT" else c for c in table.column("country_iso").to_pylist()]
    pq.write_table(table.set_column(0, "country_iso", pa.array(codes)), path)


def damaged(dataset_id: str, damage: Callable[[bytes], bytes | None]) -> Change:
    """Replace the bytes of a surface; None removes it."""

    def change(root: Path) -> None:
        path = worlds.place(root, dataset_id)
        data = damage(path.read_bytes())
        path.unlink() if data is None else path.write_bytes(data)

    return change


def nothing(_: Path) -> None:
    """Leave the surfaces as they are."""


CELL = {"country_iso": "NL", "raster_row": 37, "raster_col": 185}
BOWTIE = shapely.Polygon([(5, 50), (7, 52), (7, 50), (5, 52)])
LINE = shapely.LineString([(4, 51), (6, 52)])
GRID, INVALID = "E002_RASTER_MISMATCH", "E001_GEO_INVALID"
READ = ("iso3166_canonical_2024", "world_countries", "population_raster_2025")


@pytest.mark.parametrize(
    ("change", "settings", "code", "text", "scope"),
    [
        *(
            (shaped(shape), "", INVALID, "", {"country_iso": "NL", "row": 4})
            for shape in (BOWTIE, shapely.Polygon(), LINE, None)
        ),
        (in_mercator, "", "E007_CRS_MISMATCH", "Pseudo-Mercator", {}),
        (with_unknown_code, "", "E005_ISO_FK", "", {"country_iso": "XX"}),
        (raster(turned), "", GRID, "gdalwarp", {}),
        (raster(south_up), "", GRID, "gdalwarp", {}),
        (raster(projected), "", "E007_CRS_MISMATCH", "gdalwarp", {}),
        *(
            (populated(value), "", "E105_NORMALIZATION", "", CELL)
            for value in (np.nan, -1.0, np.inf, -np.inf, 1e30)
        ),
        (nothing, "dp=3", "E105_NORMALIZATION", "raise prep.dp", {}),
        (nothing, "exclude_countries=[XQ]", "E315_POLICY_ISO_UNKNOWN", "", {}),
        (nothing, "grid=0.1", GRID, "", {}),
        *(
            (damaged(name, damage), "", "E_INPUT_UNREADABLE", name.partition("_")[0], {})
            for name in READ
            for damage in (lambda data: data[: len(data) // 2], lambda _: b"nonsense" * 100)
        ),
        *(
            (damaged(name, lambda _: None), "", "E_REFERENCE_SURFACE_MISSING", name, {})
            for name in ("world_countries", "tz_world_2025a")
        ),
    ],
)
def test_a_bad_surface_or_setting_is_one_error_with_its_place(
    root: Path,
    outlets: Path,
    change: Change,
    settings: str,
    code: str,
    text: str,
    scope: dict[str, Any],
) -> None:
    change(root)
    error = refused(root, outlets=outlets, settings=tuple(filter(None, [settings])))
    assert error.code == code
    assert text in str(error)
    assert scope.items() <= error.scope.items()
    if code == "E_INPUT_UNREADABLE":
        assert Path(error.scope["path"]).is_relative_to(root)
    # S1 raises the codes E0.., S3 those that begin with E3.
    absent = {"E0": {"tile_index", "tile_weights"}, "E3": {"s3_requirements"}}
    assert not absent.get(code[:2], {"tile_weights"}) & set(published(root))


@pytest.mark.parametrize("nodata", [-99999.0, np.nan])
def test_declared_nodata_counts_as_nobody(root: Path, outlets: Path, nodata: float) -> None:
    def put(values: Any, profile: dict[str, Any]) -> Any:
        profile.update(dtype="float32", nodata=nodata)
        values = values.astype(np.float32)
        values[values == 0] = nodata
        return values

    plain = worlds.digests(
        worlds.run(shutil.copytree(root, root.parent / "plain"), outlets=outlets)
    )
    rewrite_raster(root, put)
    assert worlds.digests(worlds.run(root, outlets=outlets))["s2"] == plain["s2"]


def test_a_country_outside_the_raster_has_no_tiles_and_s3_lists_it_with_its_outlets(
    root: Path, outlets: Path
) -> None:
    def crop(values: Any, profile: dict[str, Any]) -> Any:
        profile["height"] = 100  # down to 10 S: no Fiji, Lesotho or South Africa
        return values[:100]

    rewrite_raster(root, crop)
    error = refused(root, outlets=outlets)
    assert error.code == "E303_MISSING_WEIGHTS"
    assert set(error.scope["countries"]) == {"FJ", "LS", "ZA"}
    assert all(count > 0 for count in error.scope["countries"].values())
    kept = worlds.run(root, outlets=outlets, to_state="s1")
    assert kept.outcomes[-1].report["countries_without_tiles"] == ["FJ", "LS", "ZA"]


def test_excluded_countries_are_left_out_and_listed_with_pairs_and_sites(
    root: Path, outlets: Path
) -> None:
    result = worlds.run(root, outlets=outlets, settings=("exclude_countries=[NL, PT]",))
    report = result.outcomes[3].report
    rows = [line.split(",") for line in outlets.read_text().splitlines()[1:]]
    for code in ("NL", "PT"):
        mine = [int(n) for _, c, n in rows if c == code]
        assert report["excluded_by_policy"][code] == {"pairs": len(mine), "sites": sum(mine)}
    kept = sum(int(n) for _, c, n in rows if c not in ("NL", "PT"))
    assert result.outcomes[4].report["sites_total"] == kept


@pytest.mark.parametrize("state", ["s1", "s2", "s3"])
@pytest.mark.code("E107_DETERMINISM", "E313_NONDETERMINISTIC_OUTPUT")
def test_published_parts_that_were_cut_short_are_refused_by_the_next_run(
    root: Path, outlets: Path, state: str
) -> None:
    result = worlds.run(root, outlets=outlets)
    folder = next(o for o in result.outcomes if o.state == state).datasets[0]
    part = next(folder.iterdir())
    part.write_bytes(part.read_bytes()[:-10])
    error = refused(root, outlets=outlets)
    assert error.code in ("E107_DETERMINISM", "E313_NONDETERMINISTIC_OUTPUT")
    assert str(folder) in error.message


@pytest.mark.parametrize(
    ("change", "settings", "text"),
    [
        (nothing, ("dp=11",), "policy"),
        (raster(lambda values, _: values + np.uint32(1)), (), "surfaces"),
    ],
)
def test_the_same_hash_with_another_policy_or_surface_is_refused(
    root: Path, outlets: Path, change: Change, settings: tuple[str, ...], text: str
) -> None:
    given = "ab" * 32
    worlds.run(root, outlets=outlets, parameter_hash=given)
    change(root)
    error = refused(root, outlets=outlets, parameter_hash=given, settings=settings)
    assert error.code == "E_PARAMETER_HASH_REUSED"
    assert text in error.message


def test_a_changed_published_plan_is_never_overwritten(root: Path, outlets: Path) -> None:
    result = worlds.run(root, outlets=outlets)
    plan = result.outcomes[4].datasets[0]
    part = next(plan.iterdir())
    table = pq.read_table(part)
    pq.write_table(table.slice(0, table.num_rows - 1), part)
    before = part.read_bytes()
    error = refused(root, outlets=outlets)
    assert error.code == "E410_NONDETERMINISTIC_OUTPUT"
    assert part.read_bytes() == before


@pytest.mark.code("E_DATA_ROOT_UNUSABLE")
def test_a_data_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Segment1BError, match=r"^E_DATA_ROOT_UNUSABLE:"):
        worlds.run(tmp_path / "file")


def test_skipping_the_gate_without_its_receipt_is_e301(root: Path, outlets: Path) -> None:
    worlds.run(root, outlets=outlets, to_state="s2", skip_s0=True)
    error = refused(root, from_state="s3")
    assert error.code == "E301_NO_PASS_FLAG"


@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_a_fault_of_the_program_is_recorded_with_its_traceback(
    root: Path, outlets: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state's work gets a shard that is none: in this process, and in another one."""
    monkeypatch.setattr(STATES["s1"], "shards", lambda *_: [None])
    error = refused(root, outlets=outlets, engine=engine, workers=1)
    assert error.code == "E_INTERNAL"
    path = Path(error.scope["traceback_path"])
    assert path.parent == root / "control/failures"
    assert "AttributeError: 'NoneType'" in json.loads(path.read_text())["traceback"]
    assert str(path) in error.hint


@pytest.mark.parametrize("text", ['{"seed": NaN}', '{"seed": 1e400}', '{"seed": "x"}', "[]"])
def test_a_bundle_without_a_seed_is_e511(root: Path, outlets: Path, text: str) -> None:
    worlds.run(root, outlets=outlets, to_state="s0")
    (path,) = root.glob("data/layer1/1A/validation/*/egress_checksums.json")
    path.write_text(text)
    assert refused(root).code == "E511_INVALID_SEED"
