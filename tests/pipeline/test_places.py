"""From the plan to points: every outlet inside its country, the same on every way there."""

from __future__ import annotations

import dataclasses
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
import shapely
from rasterio.transform import from_origin
from shapely import MultiPolygon, Polygon, box

import bring
import foreign
import worlds
from segment1b import contracts
from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.pipeline.outcome import RunResult
from segment1b.read.replay import replay
from segment1b.reference import embedded

Undisturbed = Callable[[str], RunResult]
LAWS = ("stable", "largest_remainder")
Rows = list[dict[str, Any]]


# ------------------------------------------------------------------ worlds


def lay(root: Path, shapes: Mapping[str, Any], x0: float = -180.0, cell: float = 0.5) -> Path:
    """Lay hand-made countries and a raster with one person in every cell."""
    for dataset_id, name in (
        ("iso3166_canonical_2024", "iso3166.parquet"),
        ("tz_world_2025a", "tz_world.parquet"),
    ):
        shutil.copy(embedded.surface(name), worlds.place(root, dataset_id))
    worlds.put_countries(root, shapes)
    people = np.ones((round(180 / cell), round(360 / cell)), np.uint32)
    raster, transform = (
        worlds.place(root, "population_raster_2025"),
        from_origin(x0, 90, cell, cell),
    )
    bring.raster(raster, people, transform, compress="deflate")
    return root


def listed(path: Path, *pairs: tuple[int, str, int]) -> Path:
    lines = ["merchant_id,country_iso,n_outlets", *(f"{m},{c},{n}" for m, c, n in pairs)]
    path.write_text("\n".join(lines) + "\n")
    return path


def pairs_of(path: Path) -> list[tuple[int, str, int]]:
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    return [(int(m), c, int(n)) for m, c, n in rows]


def run(root: Path, *settings: str, **more: Any) -> RunResult:
    return worlds.run(root, to_state=more.pop("to_state", "s8"), settings=settings, **more)


def law(name: str) -> str:
    """Return the setting that asks for a law."""
    return f"allocation.law={name}"


def report(result: RunResult, state: str) -> dict[str, Any]:
    return next(o.report for o in result.outcomes if o.state == state)


def where(result: RunResult, dataset_id: str) -> Path:
    tokens = {**result.identity, "run_id": report(result, "s5")["run_id"]}
    return result.root / contracts.load()[dataset_id].locate(tokens)


def rows_of(result: RunResult, dataset_id: str = "site_locations") -> pa.Table:
    parts = sorted(where(result, dataset_id).iterdir())
    return pa.concat_tables([pq.ParquetFile(part).read() for part in parts])


Site = tuple[int, str, int]


def coordinates(result: RunResult) -> dict[Site, tuple[float, float]]:
    columns = [column.to_pylist() for column in rows_of(result).columns]
    return {(m, c, j): (lon, lat) for m, c, j, lon, lat in zip(*columns, strict=True)}


def replayed(result: RunResult, site: Site) -> dict[str, Any]:
    return replay(result.root, *site, **result.identity)


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
    names = ("merchant_id", "lon_deg", "lat_deg")
    found = np.stack([table.column(name).to_numpy().view(np.uint64) for name in names])
    return table.num_rows - np.unique(found, axis=1).shape[1]


# ------------------------------------------------------------------ the planet


@pytest.mark.parametrize("name", LAWS)
def test_every_point_is_in_its_country_and_the_counts_are_the_lists(
    undisturbed: Undisturbed, outlets: Path, name: str
) -> None:
    table = prove(undisturbed(name), outlets)
    assert duplicates(table) == 0
    keys = coordinates(undisturbed(name)).keys()
    assert set(keys) == {(m, c, j) for m, c, n in pairs_of(outlets) for j in range(1, n + 1)}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
def test_replaying_a_thousand_outlets_gives_the_published_coordinates(
    undisturbed: Undisturbed, name: str
) -> None:
    known = coordinates(undisturbed(name))
    for site in random.Random(4).sample(sorted(known), 1000):
        found = replayed(undisturbed(name), site)
        point = (found["point"]["lon_deg"], found["point"]["lat_deg"])
        assert (point, found["agrees"]) == (known[site], True), site


def test_growing_lists_move_no_outlet(
    undisturbed: Undisturbed, outlets: Path, tmp_path: Path
) -> None:
    """Under the law `stable`: 5 % more outlets and 50 new merchants."""
    pairs = pairs_of(outlets)
    more = Counter(random.Random(6).choices(range(len(pairs)), k=math.ceil(_total(pairs) / 20)))
    grown = [(m, c, n + more[at]) for at, (m, c, n) in enumerate(pairs)]
    new = [(10**6 + m, c, 1 + m % 7) for m in range(50) for c in ("NL", "ZA")]
    root = shutil.copytree(undisturbed("stable").root, tmp_path / "root")
    result = run(root, law("stable"), outlets=listed(tmp_path / "grown.csv", *grown, *new))
    before, after = coordinates(undisturbed("stable")), coordinates(result)
    assert len(after) == _total(grown) + _total(new) > 1.05 * len(before)
    assert {site: after[site] for site in before} == before
    # The first list's dataset lies untouched beside it.
    old = dataclasses.replace(undisturbed("stable"), root=root)
    assert coordinates(old) == before


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


# ------------------------------------------------------------------ refused inputs


@pytest.mark.parametrize(
    ("setting", "to_state", "code", "scope"),
    [
        ("on_empty_country=abort", "s8", "E103_ZERO_COUNTRY", {"country_iso": "MV"}),
        ("max_country_gini=0.0", "s9", "E917_REALISM_BOUND", {}),
    ],
)
def test_a_planet_beyond_a_bound_of_the_policy_is_refused(
    surfaces: Path,
    outlets: Path,
    tmp_path: Path,
    setting: str,
    to_state: str,
    code: str,
    scope: dict[str, str],
) -> None:
    shutil.copytree(surfaces, tmp_path / "root")
    with pytest.raises(Segment1BError, match=f"^{code}:") as caught:
        run(tmp_path / "root", setting, outlets=outlets, to_state=to_state)
    assert scope.items() <= caught.value.scope.items()


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
    with pytest.raises(Segment1BError, match=r"^E314_SITE_ORDER_INTEGRITY:"):
        run(root, parameter_hash=parameters, to_state="s3")
