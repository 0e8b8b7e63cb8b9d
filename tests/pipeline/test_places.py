"""From the plan to points: every outlet inside its country, the same on every way there."""

from __future__ import annotations

import itertools
import json
import math
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin
from shapely import MultiPolygon, Polygon, box

import foreign
import worlds
from segment1b import contracts
from segment1b.audit import validate
from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.pipeline.outcome import RunResult
from segment1b.read.replay import replay
from segment1b.reference import embedded
from segment1b.states import STATES
from segment1b.storage.receipts import hash_files

LAWS = ("stable", "largest_remainder")
RECEIPTS = ("determinism_receipt", "event_log_receipt", "trace_receipt")
Rows = list[dict[str, Any]]


# ------------------------------------------------------------------ worlds


def lay(root: Path, shapes: Mapping[str, Any], x0: float = -180.0, cell: float = 0.5) -> Path:
    """Lay hand-made countries and a raster with one person in every cell."""
    for dataset_id, name in (
        ("iso3166_canonical_2024", "iso3166.parquet"),
        ("tz_world_2025a", "tz_world.parquet"),
    ):
        shutil.copy(embedded.surface(name), worlds.place(root, dataset_id))
    geo = {
        "version": "1.1.0",
        "primary_column": "geom",
        "columns": {"geom": {"encoding": "WKB", "geometry_types": []}},
    }
    columns = {"country_iso": list(shapes), "geom": [shapely.to_wkb(s) for s in shapes.values()]}
    table = pa.table(columns).replace_schema_metadata({"geo": json.dumps(geo)})
    pq.write_table(table, worlds.place(root, "world_countries"))
    rows, cols = round(180 / cell), round(360 / cell)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint32", "crs": "EPSG:4326"}
    with rasterio.open(
        worlds.place(root, "population_raster_2025"),
        "w",
        height=rows,
        width=cols,
        compress="deflate",
        transform=from_origin(x0, 90, cell, cell),
        **profile,
    ) as target:
        target.write(np.ones((rows, cols), np.uint32), 1)
    return root


def listed(path: Path, *pairs: tuple[int, str, int]) -> Path:
    """Write an outlet list."""
    lines = ["merchant_id,country_iso,n_outlets", *(f"{m},{c},{n}" for m, c, n in pairs)]
    path.write_text("\n".join(lines) + "\n")
    return path


def pairs_of(path: Path) -> list[tuple[int, str, int]]:
    """Read an outlet list."""
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    return [(int(m), c, int(n)) for m, c, n in rows]


def run(root: Path, *settings: str, **more: Any) -> RunResult:
    """Run S0 to S8."""
    return worlds.run(root, to_state=more.pop("to_state", "s8"), settings=settings, **more)


def law(name: str) -> str:
    """Return the setting that asks for a law."""
    return f"allocation.law={name}"


def report(result: RunResult, state: str) -> dict[str, Any]:
    """Return the run report of a state."""
    return next(o.report for o in result.outcomes if o.state == state)


def where(result: RunResult, dataset_id: str) -> Path:
    """Return where a dataset of the run lies."""
    tokens = {**result.identity, "run_id": report(result, "s5")["run_id"]}
    return result.root / contracts.load()[dataset_id].locate(tokens)


def rows_of(result: RunResult, dataset_id: str = "site_locations") -> pa.Table:
    """Return all rows of a dataset."""
    parts = sorted(where(result, dataset_id).iterdir())
    return pa.concat_tables([pq.ParquetFile(part).read() for part in parts])


Site = tuple[int, str, int]


def coordinates(result: RunResult) -> dict[Site, tuple[float, float]]:
    """Return the published coordinate of every site."""
    columns = [column.to_pylist() for column in rows_of(result).columns]
    return {(m, c, j): (lon, lat) for m, c, j, lon, lat in zip(*columns, strict=True)}


def replayed(result: RunResult, site: Site) -> dict[str, Any]:
    """Return how a site came to its coordinate."""
    return replay(result.root, *site, result.identity, None)


def prove(result: RunResult, outlets: Path, excluded: tuple[str, ...] = ()) -> pa.Table:
    """Check that all points are inside their country and are those of the list; return them."""
    table = rows_of(result)
    shapes = read_countries(worlds.place(result.root, "world_countries"))
    codes = np.array(table.column("legal_country_iso").to_pylist())
    lon, lat = (table.column(name).to_numpy() for name in ("lon_deg", "lat_deg"))
    for code in np.unique(codes):
        mine = codes == code
        assert shapely.contains_xy(shapes[code], lon[mine], lat[mine]).all(), code
    assert ((lon >= -180) & (lon < 180)).all()
    expected: Counter[str] = Counter()
    for _, code, n in pairs_of(outlets):
        expected[code] += n if code not in excluded else 0
    assert Counter(codes.tolist()) == +expected
    return table


def duplicates(table: pa.Table) -> int:
    """Return how many coordinates of a merchant stand twice."""
    names = ("merchant_id", "lon_deg", "lat_deg")
    found = np.stack([table.column(name).to_numpy().view(np.uint64) for name in names])
    return table.num_rows - np.unique(found, axis=1).shape[1]


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.lay_small_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def outlets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return worlds.outlet_list(tmp_path_factory.mktemp("list") / "outlets.csv")


@pytest.fixture(scope="module")
def published(
    surfaces: Path, outlets: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, RunResult]:
    """Publish the small world under both laws."""
    found = {}
    for name in LAWS:
        root = tmp_path_factory.mktemp(name) / "root"
        shutil.copytree(surfaces, root)
        found[name] = run(root, law(name), outlets=outlets, workers=1, engine="serial")
    return found


@pytest.fixture
def copy(published: dict[str, RunResult], tmp_path: Path) -> Callable[[str], RunResult]:
    """Give a copy of a published world, to be spoiled."""

    def made(name: str) -> RunResult:
        result = published[name]
        shutil.copytree(result.root, tmp_path / name)
        return RunResult(tmp_path / name, result.identity, result.policy, result.outcomes)

    return made


# ------------------------------------------------------------------ the planet


@pytest.mark.parametrize("name", LAWS)
def test_every_point_is_in_its_country_and_the_counts_are_the_lists(
    published: dict[str, RunResult], outlets: Path, name: str
) -> None:
    table = prove(published[name], outlets)
    assert duplicates(table) == 0
    keys = coordinates(published[name]).keys()
    assert set(keys) == {(m, c, j) for m, c, n in pairs_of(outlets) for j in range(1, n + 1)}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize(("engine", "workers"), [("threads", 1), ("threads", 2), ("processes", 2)])
def test_engine_and_workers_change_no_byte_of_datasets_and_logs(
    surfaces: Path,
    outlets: Path,
    published: dict[str, RunResult],
    tmp_path: Path,
    name: str,
    engine: str,
    workers: int,
) -> None:
    shutil.copytree(surfaces, tmp_path / "root")
    again = run(tmp_path / "root", law(name), outlets=outlets, engine=engine, workers=workers)
    assert receipts(again) == receipts(published[name])


def receipts(result: RunResult) -> dict[tuple[str, str], tuple[str, str]]:
    """Return both digests of every dataset and log of S5 to S8."""
    found = {
        (o.state, field): (o.report[field]["content_sha256_hex"], o.report[field]["sha256_hex"])
        for o in result.outcomes
        for field in RECEIPTS
        if o.state >= "s5" and field in o.report
    }
    assert len(found) >= 8
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
def test_replaying_a_thousand_outlets_gives_the_published_coordinates(
    published: dict[str, RunResult], name: str
) -> None:
    known = coordinates(published[name])
    for site in random.Random(4).sample(sorted(known), 1000):
        found = replayed(published[name], site)
        point = (found["point"]["lon_deg"], found["point"]["lat_deg"])
        assert (point, found["agrees"]) == (known[site], True), site


def test_growing_lists_move_no_outlet(
    published: dict[str, RunResult], outlets: Path, copy: Callable[[str], RunResult], tmp_path: Path
) -> None:
    """Under the law `stable`: 5 % more outlets and 50 new merchants."""
    pairs = pairs_of(outlets)
    more = Counter(random.Random(6).choices(range(len(pairs)), k=math.ceil(_total(pairs) / 20)))
    grown = [(m, c, n + more[at]) for at, (m, c, n) in enumerate(pairs)]
    new = [(10**6 + m, c, 1 + m % 7) for m in range(50) for c in ("NL", "ZA")]
    old = copy("stable")
    result = run(old.root, law("stable"), outlets=listed(tmp_path / "grown.csv", *grown, *new))
    before, after = coordinates(published["stable"]), coordinates(result)
    assert len(after) == _total(grown) + _total(new) > 1.05 * len(before)
    assert {site: after[site] for site in before} == before
    assert coordinates(old) == before  # the first list's dataset stands untouched beside it


def _total(pairs: list[tuple[int, str, int]]) -> int:
    return sum(n for _, _, n in pairs)


def test_excluded_countries_have_no_location(surfaces: Path, outlets: Path, tmp_path: Path) -> None:
    shutil.copytree(surfaces, tmp_path / "root")
    result = run(tmp_path / "root", "exclude_countries=[NL, PT]", outlets=outlets)
    table = prove(result, outlets, excluded=("NL", "PT"))
    assert not {"NL", "PT"} & set(table.column("legal_country_iso").to_pylist())
    assert set(report(result, "s7")["excluded_by_policy"]) == {"NL", "PT"}


def test_the_largest_merchant_id_has_its_outlets(surfaces: Path, tmp_path: Path) -> None:
    shutil.copytree(surfaces, tmp_path / "root")
    outlets = listed(tmp_path / "one.csv", (2**63 - 1, "NL", 5), (1, "PT", 2))
    for name in LAWS:
        shutil.copytree(tmp_path / "root", tmp_path / name)
        result = run(tmp_path / name, law(name), outlets=outlets)
        prove(result, outlets)
        site = (2**63 - 1, "NL", 5)
        assert site in coordinates(result)
        assert replayed(result, site)["agrees"]


# ------------------------------------------------------------------ hard shapes

METRE = 9e-6
UPRIGHT = box(5.2, 5.0, 5.2 + METRE, 5.5)
SLANTED = Polygon([(5.0, 5.0), (5.0 + METRE, 5.0), (5.5, 5.5), (5.5 - METRE, 5.5)])


@pytest.mark.parametrize(("sliver", "lane"), [(UPRIGHT, 1), (SLANTED, 2)])
def test_a_sliver_of_a_metre_in_a_tile_gets_its_points(
    tmp_path: Path, sliver: Polygon, lane: int
) -> None:
    """An upright one fills its envelope; of a slanted one's, attempts hardly ever hit it."""
    root = lay(tmp_path / "root", {"NL": MultiPolygon([box(0, 0, 2, 2), sliver])})
    outlets = listed(tmp_path / "one.csv", *((m, "NL", 20) for m in range(1, 6)))
    result = run(root, law("stable"), "inclusion_rule=any_overlap", outlets=outlets)
    table = prove(result, outlets)
    there = int((table.column("lon_deg").to_numpy() >= 5).sum())
    assert there > 0
    own = report(result, "s6")
    lanes = own["rng"]["lanes"]
    assert lanes[lane] > there // 2
    assert lanes[1] + lanes[2] == there
    assert own["by_country"]["NL"]["lanes"] == lanes
    assert own["rng"]["resample_sites"] >= there
    for site in list(coordinates(result))[:20]:
        assert replayed(result, site)["agrees"]


def test_without_attempts_in_the_clip_a_sliver_has_its_surface_point(tmp_path: Path) -> None:
    root = lay(tmp_path / "root", {"NL": MultiPolygon([box(0, 0, 2, 2), UPRIGHT])})
    outlets = listed(tmp_path / "one.csv", (1, "NL", 60))
    jitter = ("max_attempts_tile=1", "max_attempts_clip=0", "inclusion_rule=any_overlap")
    result = run(root, law("stable"), *jitter, outlets=outlets)
    prove(result, outlets)
    lanes = report(result, "s6")["rng"]["lanes"]
    assert lanes[1] == 0
    assert lanes[2] > 0
    for site in coordinates(result):
        assert replayed(result, site)["agrees"]


@pytest.mark.parametrize("name", LAWS)
def test_a_tile_across_the_antimeridian_has_points_on_both_sides(tmp_path: Path, name: str) -> None:
    """Cells of half a degree from -180.25: column 0 lies across."""
    fiji = MultiPolygon([box(178.1, -18, 180, -16.1), box(-180, -18, -178.1, -16.1)])
    root = lay(tmp_path / "root", {"FJ": fiji}, x0=-180.25)
    outlets = listed(tmp_path / "one.csv", *((m, "FJ", 50) for m in range(1, 9)))
    result = run(root, law(name), outlets=outlets)
    prove(result, outlets)
    synthesis = rows_of(result, "s7_site_synthesis")
    across = synthesis.column("tile_id").to_numpy() % 720 == 0
    lon = synthesis.column("lon_deg").to_numpy()[across]
    assert (lon >= 179.75).any()
    assert (lon <= -179.75).any()
    assert ((lon >= 179.75) | (lon <= -179.75)).all()


def test_half_a_tile_at_the_antimeridian_is_reached_by_its_clip(tmp_path: Path) -> None:
    """A sliver on either side of the date line, each in a tile that lies across it."""
    parts = [
        box(178, -18, 179, -17),
        box(180 - METRE, -18, 180, -17.5),
        box(-180, -17.5, -180 + METRE, -17),
    ]
    root = lay(tmp_path / "root", {"FJ": MultiPolygon(parts)}, x0=-180.25)
    outlets = listed(tmp_path / "one.csv", *((m, "FJ", 30) for m in range(1, 5)))
    result = run(root, law("stable"), "inclusion_rule=any_overlap", outlets=outlets)
    lon = prove(result, outlets).column("lon_deg").to_numpy()
    assert (lon > 179.9).any()
    assert (lon < -179.9).any()
    assert report(result, "s6")["rng"]["lanes"][2] == 0


@pytest.mark.parametrize("name", LAWS)
def test_a_country_over_the_pole_has_points_up_to_it(tmp_path: Path, name: str) -> None:
    cap = Polygon([(lon, -80.0) for lon in (-150, -90, -30, 30, 90, 150)])
    root = lay(tmp_path / "root", {"AQ": cap}, cell=1.0)
    outlets = listed(tmp_path / "one.csv", *((m, "AQ", 300) for m in range(1, 11)))
    result = run(root, law(name), outlets=outlets)
    lat = prove(result, outlets).column("lat_deg").to_numpy()
    assert (lat < -80).all()
    if name == "stable":
        assert lat.min() < -89


@pytest.mark.slow
def test_a_million_outlets_of_a_merchant_in_three_tiles(tmp_path: Path) -> None:
    root = lay(tmp_path / "root", {"NL": box(0.1, 0.1, 1.4, 0.4)})
    outlets = listed(tmp_path / "one.csv", (7, "NL", 999_999))
    for name in LAWS:
        shutil.copytree(root, tmp_path / name)
        result = run(tmp_path / name, law(name), outlets=outlets)
        assert report(result, "s4")["rows_emitted"] == 3
        assert duplicates(prove(result, outlets)) == 0


# ------------------------------------------------------------------ wrong between states


def edit(folder: Path, change: Callable[[Rows], Any]) -> None:
    """Rewrite a part with changed rows, in the row groups it had."""
    part = folder / "part-00000.parquet"
    with pq.ParquetFile(part) as file:
        schema, groups = file.schema_arrow, range(file.num_row_groups)
        rows = [{**r, "_": g} for g in groups for r in file.read_row_group(g).to_pylist()]
    change(rows)
    with pq.ParquetWriter(part, schema) as writer:
        for group in sorted({row["_"] for row in rows}):
            own = [{n: r[n] for n in schema.names} for r in rows if r["_"] == group]
            writer.write_table(pa.Table.from_pylist(own, schema=schema))


def commit(result: RunResult, dataset_id: str, **more: Any) -> None:
    """Make the run report's receipt fit the files as they are now."""
    dataset, folder = contracts.load()[dataset_id], where(result, dataset_id)
    assert dataset.receipt_in is not None
    path = where(result, dataset.receipt_in)
    value = json.loads(path.read_text())
    files, whole = hash_files(folder, [p.name for p in folder.iterdir()])
    value[dataset.receipt_field] |= {
        "files": [{"path": p, "bytes": b, "sha256_hex": s} for p, b, s in files],
        "rows": sum(pq.read_metadata(folder / name).num_rows for name, _, _ in files),
        "sha256_hex": whole,
        "content_sha256_hex": whole,
    }
    path.write_text(json.dumps(value | more))


def forget(result: RunResult, *states: str) -> None:
    """Remove the run reports of states, so that they run again."""
    for state in states:
        where(result, f"{state}_run_report").unlink(missing_ok=True)


def refused(result: RunResult, state: str, to_state: str = "", **more: Any) -> Segment1BError:
    """Run a state again and expect a coded refusal that is recorded; nothing stays staged."""
    settings = (law(result.policy["allocation"]["law"]),)
    with pytest.raises(Segment1BError) as caught:
        worlds.run(
            result.root, settings=settings, from_state=state, to_state=to_state or state, **more
        )
    records = [json.loads(p.read_text()) for p in (result.root / "control/failures").iterdir()]
    assert caught.value.code in {record["code"] for record in records}
    assert not [p for p in (result.root / ".staging").iterdir() if p.is_dir()]
    return caught.value


@pytest.mark.parametrize(
    ("dataset_id", "state", "code"),
    [
        ("s4_alloc_plan", "s5", "E501_NO_S4_ALLOC_PLAN"),
        ("s5_site_tile_assignment", "s6", "E601_ROW_MISSING"),
        ("s6_site_jitter", "s7", "E701_ROW_MISSING"),
        ("s7_site_synthesis", "s8", "E801_ROW_MISSING"),
        ("site_locations", "s9", "E901_ROW_MISSING"),
    ],
)
def test_a_state_without_its_input_says_so(
    copy: Callable[[str], RunResult], dataset_id: str, state: str, code: str
) -> None:
    result = copy("stable")
    shutil.rmtree(where(result, dataset_id))
    assert refused(result, state).code == code


def test_a_state_without_the_seal_is_e301(copy: Callable[[str], RunResult]) -> None:
    result = copy("stable")
    where(result, "s0_gate_receipt_1B").unlink()
    for state in ("s5", "s6", "s7", "s8", "s9"):
        assert refused(result, state).code == "E301_NO_PASS_FLAG", state


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("s5", "E508_TOKEN_MISMATCH"),
        ("s6", "E508_TOKEN_MISMATCH"),
        ("s7", "E508_TOKEN_MISMATCH"),
        ("s8", "E809_PARTITION_SHIFT_VIOLATION"),
        ("s9", "E905_PARTITION_OR_IDENTITY"),
    ],
)
def test_a_seal_of_another_policy_is_refused(
    copy: Callable[[str], RunResult], state: str, code: str
) -> None:
    result = copy("stable")
    path = where(result, "s0_gate_receipt_1B")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"parameter_hash": "ab" * 32}))
    assert refused(result, state).code == code


@pytest.mark.parametrize("name", LAWS)
def test_plan_files_of_another_list_are_e410(
    copy: Callable[[str], RunResult], tmp_path: Path, name: str
) -> None:
    result = copy(name)
    other = run(
        result.root, law(name), outlets=listed(tmp_path / "b.csv", (5, "NL", 3)), to_state="s5"
    )
    plan = where(result, "s4_alloc_plan")
    shutil.rmtree(plan)
    shutil.copytree(where(other, "s4_alloc_plan"), plan)
    more = {"manifest_fingerprint": result.identity["manifest_fingerprint"]}
    assert refused(result, "s5", **more).code == "E410_NONDETERMINISTIC_OUTPUT"


def move(rows: Rows) -> None:
    """Give one site of a pair's first tile to the second."""
    for row, after in itertools.pairwise(rows):
        pair = ("merchant_id", "legal_country_iso")
        if row["n_sites_tile"] > 1 and all(row[n] == after[n] for n in pair):
            row["n_sites_tile"] -= 1
            after["n_sites_tile"] += 1
            return


def swap_tiles(rows: Rows) -> None:
    """Swap two rows of one pair."""
    for at, (row, after) in enumerate(itertools.pairwise(rows)):
        if all(row[n] == after[n] for n in ("merchant_id", "legal_country_iso")):
            rows[at], rows[at + 1] = after, row
            return


def first(**values: Any) -> Callable[[Rows], None]:
    """Change fields of the first row."""
    return lambda rows: rows[0].update(values)


@pytest.mark.parametrize("change", [move, first(n_sites_tile=77)])
def test_an_edited_plan_is_e410_and_e503_when_its_receipt_was_forged(
    copy: Callable[[str], RunResult], change: Callable[[Rows], None]
) -> None:
    result = copy("stable")
    edit(where(result, "s4_alloc_plan"), change)
    error = refused(result, "s5", verify=True)
    assert error.code == "E410_NONDETERMINISTIC_OUTPUT"
    commit(result, "s4_alloc_plan")
    error = refused(result, "s5")
    assert error.code == "E503_TILE_QUOTA_MISMATCH"
    assert {"merchant_id", "country_iso", "tile_id"} <= set(error.scope)


def test_a_plan_that_is_one_site_too_long_is_found_by_coverage(
    copy: Callable[[str], RunResult],
) -> None:
    """Under a law that has no points of its own, S5 fills whatever quotas it is given."""
    result = copy("largest_remainder")
    more: list[int] = []

    def lengthen(rows: Rows) -> None:
        more.append(77 - rows[0]["n_sites_tile"])
        rows[0].update(n_sites_tile=77)

    edit(where(result, "s4_alloc_plan"), lengthen)
    sites = report(result, "s4")["sites_total"] + more[0]
    commit(result, "s4_alloc_plan", sites_total=sites)
    for dataset_id in ("s5_site_tile_assignment", "s6_site_jitter"):
        shutil.rmtree(where(result, dataset_id))
    shutil.rmtree(result.root / "logs")
    forget(result, "s5", "s6", "s7")
    assert refused(result, "s5", "s7").code == "E708_1A_COVERAGE_FAIL"


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (first(n_sites_tile=0), "E414_WEIGHT_TAMPER"),
        (swap_tiles, "E509_UNSORTED"),
        (first(legal_country_iso="QQ"), "E302_FK_COUNTRY"),
        (lambda rows: rows.clear(), "E501_NO_S4_ALLOC_PLAN"),
    ],
)
def test_an_impossible_plan_has_its_code(
    copy: Callable[[str], RunResult], change: Callable[[Rows], Any], code: str, name: str
) -> None:
    result = copy(name)
    edit(where(result, "s4_alloc_plan"), change)
    commit(result, "s4_alloc_plan")
    assert refused(result, "s5").code == code


def without(country: str, tile_id: int) -> Callable[[Rows], None]:
    """Drop a tile's row."""

    def change(rows: Rows) -> None:
        rows[:] = [r for r in rows if (r["country_iso"], r["tile_id"]) != (country, tile_id)]

    return change


def used_tile(result: RunResult, country: str = "ZA") -> int:
    """Return a tile with a site."""
    rows = rows_of(result, "s5_site_tile_assignment").to_pylist()
    return next(r["tile_id"] for r in rows if r["legal_country_iso"] == country)


@pytest.mark.parametrize("name", LAWS)
def test_a_tile_that_left_the_index_is_e505_and_e606(
    copy: Callable[[str], RunResult], name: str
) -> None:
    result = copy(name)
    edit(where(result, "tile_index"), without("ZA", used_tile(result)))
    commit(result, "tile_index")
    for state, code in (("s5", "E505_TILE_NOT_IN_INDEX"), ("s6", "E606_FK_TILE_INDEX")):
        error = refused(result, state)
        assert (error.code, error.scope["country_iso"]) == (code, "ZA")


def test_a_tile_without_bounds_is_e606_and_e709(copy: Callable[[str], RunResult]) -> None:
    result = copy("stable")
    tile = used_tile(result)
    edit(where(result, "tile_bounds"), without("ZA", tile))
    commit(result, "tile_bounds")
    for state, code in (("s6", "E606_FK_TILE_INDEX"), ("s7", "E709_TILE_FK_VIOLATION")):
        error = refused(result, state)
        assert (error.code, error.scope["tile_id"]) == (code, tile)


def test_a_country_without_a_shape_is_e606(copy: Callable[[str], RunResult]) -> None:
    result = copy("stable")
    edit(where(result, "s5_site_tile_assignment"), first(legal_country_iso="DE"))
    commit(result, "s5_site_tile_assignment")
    error = refused(result, "s6")
    assert (error.code, error.scope["country_iso"]) == ("E606_FK_TILE_INDEX", "DE")


@pytest.mark.code("E613_RESAMPLE_EXHAUSTED")
def test_a_tile_that_lies_elsewhere_than_its_country_is_e613(
    copy: Callable[[str], RunResult],
) -> None:
    result = copy("stable")
    tile = used_tile(result)

    def north(rows: Rows) -> None:
        for row in rows:
            if (row["country_iso"], row["tile_id"]) == ("ZA", tile):
                for name in ("min_lat_deg", "max_lat_deg", "centroid_lat_deg"):
                    row[name] += 60.0

    edit(where(result, "tile_bounds"), north)
    commit(result, "tile_bounds")
    error = refused(result, "s6")
    assert (error.code, error.scope["tile_id"]) == ("E613_RESAMPLE_EXHAUSTED", tile)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda rows: rows.pop(), "E701_ROW_MISSING"),
        (lambda rows: rows.append(rows[-1] | {"site_order": 9999}), "E702_ROW_EXTRA"),
        (first(site_order=9999), "E701_ROW_MISSING"),
        (first(tile_id=1), "E702_ROW_EXTRA"),
        (first(delta_lat_deg=1.0), "E707_POINT_OUTSIDE_PIXEL"),
        (first(delta_lon_deg=-0.26), "E707_POINT_OUTSIDE_PIXEL"),
    ],
)
def test_s6_rows_that_are_not_those_of_s5_or_leave_their_tile_are_refused(
    copy: Callable[[str], RunResult], change: Callable[[Rows], Any], code: str
) -> None:
    result = copy("stable")
    edit(where(result, "s6_site_jitter"), change)
    commit(result, "s6_site_jitter")
    assert refused(result, "s7").code == code


@pytest.mark.parametrize(
    ("dataset_id", "state", "change", "code"),
    [
        ("s7_site_synthesis", "s7", first(lat_deg=1.0), "E712_ATOMIC_PUBLISH_VIOLATION"),
        ("site_locations", "s8", first(lat_deg=1.0), "E810_PUBLISH_POSTURE"),
        (
            "s5_site_tile_assignment",
            "s5",
            first(tile_id=1),
            "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL",
        ),
        (
            "s6_site_jitter",
            "s6",
            first(delta_lat_deg=0.0),
            "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL",
        ),
        (
            "rng_event_in_cell_jitter",
            "s6",
            first(blocks=9),
            "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL",
        ),
    ],
)
def test_other_content_that_is_committed_is_never_overwritten(
    copy: Callable[[str], RunResult],
    dataset_id: str,
    state: str,
    change: Callable[[Rows], Any],
    code: str,
) -> None:
    result = copy("stable")
    edit(where(result, dataset_id), change)
    commit(result, dataset_id, input_digests={})
    part = where(result, dataset_id) / "part-00000.parquet"
    before = part.read_bytes()
    assert refused(result, state).code == code
    assert part.read_bytes() == before


def test_another_trace_is_never_overwritten_where_a_report_commits_it(
    copy: Callable[[str], RunResult],
) -> None:
    result = copy("stable")
    trace = where(result, "rng_trace_in_cell_jitter")
    own = trace.read_bytes()
    trace.write_bytes(own * 2)
    commit(result, "s6_site_jitter", input_digests={})
    error = refused(result, "s6")
    assert error.code == "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"
    assert trace.name in error.message
    forget(result, "s6")
    worlds.run(result.root, settings=(law("stable"),), from_state="s6", to_state="s6")
    assert trace.read_bytes() == own


@pytest.mark.parametrize(
    ("dataset_id", "name", "state"),
    [
        ("rng_event_in_cell_jitter", "stable", "s6"),
        ("rng_event_site_tile_assign", "largest_remainder", "s5"),
    ],
)
@pytest.mark.parametrize("change", [lambda rows: rows.pop(3), lambda rows: rows.insert(3, rows[3])])
@pytest.mark.code("E410_NONDETERMINISTIC_OUTPUT")
def test_event_rows_that_were_removed_or_doubled_are_refused_when_read(
    copy: Callable[[str], RunResult],
    dataset_id: str,
    name: str,
    state: str,
    change: Callable[[Rows], Any],
) -> None:
    result = copy(name)
    edit(where(result, dataset_id), change)
    error = refused(result, state)
    assert error.code == "E410_NONDETERMINISTIC_OUTPUT"
    assert dataset_id in error.message
    if dataset_id == "rng_event_in_cell_jitter":
        with pytest.raises(Segment1BError) as caught:
            replayed(result, (1007, "LS", 1))
        assert caught.value.code == "E410_NONDETERMINISTIC_OUTPUT"


def test_a_flipped_bit_of_an_event_is_refused_by_verify(copy: Callable[[str], RunResult]) -> None:
    result = copy("stable")
    part = where(result, "rng_event_in_cell_jitter") / "part-00000.parquet"
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)
    assert refused(result, "s6", verify=True).code == "E410_NONDETERMINISTIC_OUTPUT"


def test_replay_of_a_site_that_does_not_exist_is_a_usage_error(
    published: dict[str, RunResult],
) -> None:
    for site in ((1007, "NL", 10**6), (5, "NL", 1), (1007, "nl", 1)):
        with pytest.raises(Segment1BError) as caught:
            replayed(published["stable"], site)
        assert caught.value.code == "E_USAGE"


# ------------------------------------------------------------------ what only S9 and validators see


def found_by(result: RunResult, *states: str, dictionary: Path | None = None) -> set[str]:
    """Return the codes of the checks that fail."""
    known = contracts.load(str(dictionary) if dictionary else None)
    return {r.code for r in validate(result.root, known, result.identity, states) if not r.ok}


def other_dictionary(folder: Path, old: str, new: str) -> Path:
    """Write the packaged dictionary with a text replaced where site_locations is described."""
    text = contracts.load().path.read_text(encoding="utf-8")
    head, mark, tail = text.partition("  site_locations:\n")
    assert old in tail
    path = folder / "dictionary.yaml"
    path.write_text(head + mark + tail.replace(old, new, 1), encoding="utf-8")
    return path


def extra_site(rows: Rows) -> None:
    """Add a location without site."""
    rows.append(rows[-1] | {"site_order": 9999})


@pytest.mark.code("E902_ROW_EXTRA")
def test_a_location_too_many_is_e902(copy: Callable[[str], RunResult]) -> None:
    result = copy("stable")
    edit(where(result, "site_locations"), extra_site)
    commit(result, "site_locations")
    error = refused(result, "s9")
    assert "E902_ROW_EXTRA" in error.message or error.code == "E902_ROW_EXTRA"


def test_a_failed_bundle_goes_aside_and_carries_no_flag(copy: Callable[[str], RunResult]) -> None:
    """So it cannot hold the place of the bundle of a later run that passes."""
    result = copy("stable")
    whole = (where(result, "site_locations") / "part-00000.parquet").read_bytes()
    report_path = where(result, "s8_run_report")
    said = report_path.read_bytes()
    edit(where(result, "site_locations"), first(lat_deg=0.5))
    commit(result, "site_locations")
    for attempt in (1, 2):
        refused(result, "s9")
        failed = result.root / f"data/layer1/1B/validation_failed/fingerprint={_hex(result)}"
        assert len(list(failed.iterdir())) == attempt
        assert not list(failed.rglob("_passed.flag"))
        summary = json.loads((failed / f"attempt={attempt}" / "s9_summary.json").read_text())
        assert summary["verdict"] == "FAIL"
    (where(result, "site_locations") / "part-00000.parquet").write_bytes(whole)
    report_path.write_bytes(said)
    run(result.root, law("stable"), from_state="s9", to_state="s9")
    assert (where(result, "validation_bundle_1B") / "_passed.flag").stat().st_size == 78


def _hex(result: RunResult) -> str:
    return str(result.identity["manifest_fingerprint"])


@pytest.mark.code("E912_IDENTITY_COHERENCE")
def test_locations_of_another_policy_are_e912(copy: Callable[[str], RunResult]) -> None:
    result = copy("stable")
    path = where(result, "s8_run_report")
    said = json.loads(path.read_text()) | {"parameter_hash_consumed": "ab" * 32}
    path.write_text(json.dumps(said))
    assert refused(result, "s9").code == "E912_IDENTITY_COHERENCE"


@pytest.mark.code("E811_FINAL_FLAG_MISMATCH", "E911_FINALITY_OR_ORDER_LEAK")
def test_a_dictionary_without_finality_is_e811_and_e911(
    copy: Callable[[str], RunResult], tmp_path: Path
) -> None:
    result = copy("stable")
    given = other_dictionary(tmp_path, "    final_in_layer: true\n", "")
    assert refused(result, "s9", dictionary=given).code == "E911_FINALITY_OR_ORDER_LEAK"
    forget(result, "s8")
    assert refused(result, "s8", dictionary=given).code == "E811_FINAL_FLAG_MISMATCH"


@pytest.mark.code("E711_DICT_SCHEMA_MISMATCH", "E808_DICT_SCHEMA_MISMATCH")
def test_a_dictionary_that_disagrees_with_its_schema_is_e711_and_e808(
    copy: Callable[[str], RunResult], tmp_path: Path
) -> None:
    result = copy("stable")
    given = other_dictionary(tmp_path, "      lon_deg: BYTE_STREAM_SPLIT\n", "")
    assert found_by(result, "s8", dictionary=given) == {"E808_DICT_SCHEMA_MISMATCH"}
    text = contracts.load().path.read_text(encoding="utf-8")
    head, mark, tail = text.partition("  s7_site_synthesis:\n")
    given.write_text(head + mark + tail.replace("      lon_deg: BYTE_STREAM_SPLIT\n", "", 1))
    contracts.load.cache_clear()
    assert found_by(result, "s7", dictionary=given) == {"E711_DICT_SCHEMA_MISMATCH"}


@pytest.mark.code("E805_PARTITION_OR_IDENTITY")
def test_a_report_of_other_tokens_is_e805(copy: Callable[[str], RunResult]) -> None:
    result = copy("stable")
    path = where(result, "s8_run_report")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 7}))
    assert "E805_PARTITION_OR_IDENTITY" in found_by(result, "s8")


@pytest.mark.code("E506_SCHEMA_INVALID")
def test_a_value_that_no_site_can_have_is_e506(copy: Callable[[str], RunResult]) -> None:
    result = copy("stable")
    edit(where(result, "s5_site_tile_assignment"), first(site_order=0))
    commit(result, "s5_site_tile_assignment")
    assert "E506_SCHEMA_INVALID" in found_by(result, "s5")


@pytest.mark.code("E913_ATOMIC_PUBLISH_VIOLATION")
def test_another_bundle_is_never_overwritten(copy: Callable[[str], RunResult]) -> None:
    result = copy("stable")
    run(result.root, law("stable"), from_state="s9", to_state="s9")
    bundle = where(result, "validation_bundle_1B")
    path, said = bundle / "realism.json", where(result, "s9_run_report")
    path.write_bytes(path.read_bytes().replace(b"}", b" }", 1))
    before = path.read_bytes()
    value = json.loads(said.read_text()) | {"input_digests": {}}
    said.write_text(json.dumps(value))
    assert refused(result, "s9").code == "E913_ATOMIC_PUBLISH_VIOLATION"
    assert path.read_bytes() == before


def test_a_planet_beyond_a_bound_of_the_policy_is_e917(
    surfaces: Path, outlets: Path, tmp_path: Path
) -> None:
    shutil.copytree(surfaces, tmp_path / "root")
    with pytest.raises(Segment1BError) as caught:
        run(tmp_path / "root", "max_country_gini=0.0", outlets=outlets, to_state="s9")
    assert caught.value.code == "E917_REALISM_BOUND"


# ------------------------------------------------------------------ before the plan


@pytest.mark.code("E003_DUP_TILE")
def test_a_tile_listed_twice_is_e003(copy: Callable[[str], RunResult]) -> None:
    result = copy("stable")
    edit(where(result, "tile_index"), lambda rows: rows.insert(3, dict(rows[3])))
    commit(result, "tile_index")
    assert "E003_DUP_TILE" in found_by(result, "s1")


@pytest.mark.code("E307_PK_DUPLICATE")
def test_a_pair_listed_twice_is_e307(copy: Callable[[str], RunResult]) -> None:
    result = copy("stable")
    edit(where(result, "s3_requirements"), lambda rows: rows.insert(3, dict(rows[3])))
    commit(result, "s3_requirements")
    assert "E307_PK_DUPLICATE" in found_by(result, "s3")


@pytest.mark.code("E106_MONOTONICITY")
def test_a_lighter_weight_for_a_heavier_mass_is_e106(copy: Callable[[str], RunResult]) -> None:
    result = copy("stable")

    def exchange(rows: Rows) -> None:
        own = [row for row in rows if row["country_iso"] == "ZA"]
        least, most = (f(own, key=lambda row: row["weight_fp"]) for f in (min, max))
        least["weight_fp"], most["weight_fp"] = most["weight_fp"], least["weight_fp"]

    edit(where(result, "tile_weights"), exchange)
    commit(result, "tile_weights")
    assert "E106_MONOTONICITY" in found_by(result, "s2")


@pytest.mark.code("E103_ZERO_COUNTRY")
def test_a_country_without_a_cells_centre_is_e103_when_the_policy_says_abort(
    surfaces: Path, outlets: Path, tmp_path: Path
) -> None:
    shutil.copytree(surfaces, tmp_path / "root")
    with pytest.raises(Segment1BError) as caught:
        run(tmp_path / "root", "on_empty_country=abort", outlets=outlets)
    assert caught.value.code == "E103_ZERO_COUNTRY"
    assert caught.value.scope["country_iso"] == "MV"


@pytest.mark.code("E314_SITE_ORDER_INTEGRITY")
def test_a_gap_in_the_site_numbers_of_a_sealed_list_is_e314(surfaces: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(surfaces, root)
    seed, fingerprint, parameters = 5, "5e" * 32, "a7" * 32
    bundle = foreign.lay_bundle(root, seed, fingerprint, parameters, [(1, "NL", 6)], files=1)
    (part,) = foreign.outlet_folder(root, seed, fingerprint).iterdir()
    rows = pq.ParquetFile(part).read()
    pq.write_table(pa.concat_tables([rows.slice(0, 2), rows.slice(3)]), part)
    foreign.write_checksums(root, bundle, seed, fingerprint)
    foreign.seal(bundle)
    with pytest.raises(Segment1BError) as caught:
        run(root, parameter_hash=parameters, to_state="s3")
    assert caught.value.code == "E314_SITE_ORDER_INTEGRITY"


@pytest.mark.code("E416_NUMERIC_OVERFLOW")
def test_a_requirement_beyond_the_exact_path_is_e416(copy: Callable[[str], RunResult]) -> None:
    result = copy("largest_remainder")
    edit(where(result, "s3_requirements"), first(n_sites=2**62))
    commit(result, "s3_requirements")
    assert refused(result, "s4").code == "E416_NUMERIC_OVERFLOW"


def test_a_run_that_is_interrupted_says_so_and_goes_on_later(
    copy: Callable[[str], RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    result = copy("stable")
    monkeypatch.setattr(STATES["s9"], "report", interrupt)
    error = refused(result, "s9")
    assert error.code == "E_INTERRUPTED"
    assert not where(result, "validation_bundle_1B").exists()
    monkeypatch.undo()
    run(result.root, law("stable"), from_state="s9", to_state="s9")
