"""Changed traces, audit logs and event logs are found."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
import shapely
from pyarrow.parquet import read_table

from segment1b.audit.country_areas import Area
from segment1b.audit.s1.polygons import read_countries
from spoil import ASSIGN_LOG, JITTER_LOG, JITTERED, KNOWN, Change, Rows, World

Copy = Callable[[str], World]
TRACES = pytest.mark.parametrize(
    ("dataset_id", "state", "code"),
    [
        ("rng_trace_site_tile_assign", "s5", "E507_RNG_EVENT_MISMATCH"),
        ("rng_trace_in_cell_jitter", "s6", "E610_RNG_BUDGET_OR_COUNTERS"),
        ("rng_trace_centre_jitter", "s6", "E610_RNG_BUDGET_OR_COUNTERS"),
    ],
)


def trace_of(dataset_id: str) -> str:
    """Return the name of the check of a trace."""
    return "centre_trace" if "centre" in dataset_id else "trace"


@TRACES
@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.clear(),
        lambda rows: rows.append(dict(rows[-1])),
        lambda rows: rows[0].update(events_total=rows[0]["events_total"] + 1),
        lambda rows: rows[0].update(draws_total="7"),
        lambda rows: rows[0].update(part=1),
        lambda rows: rows[0].update(seed=7),
        lambda rows: rows[0].update(run_id="0" * 32),
        lambda rows: rows[0].update(module="1B.S7"),
        lambda rows: rows[0].update(note="later"),
    ],
    ids=["empty", "twice", "events", "draws", "part", "seed", "run_id", "module", "extra"],
)
def test_a_changed_trace_is_found(
    dataset_id: str, state: str, code: str, change: Change, world: Copy
) -> None:
    spoiled = world("permuted")
    spoiled.rewrite_lines(dataset_id, change)
    failing = spoiled.failing(state)
    assert failing.of_code(code)
    assert {f"{state} {trace_of(dataset_id)}", f"{state} readable_{dataset_id}"} & set(failing)


@TRACES
@pytest.mark.parametrize(
    "change",
    [
        None,
        lambda receipt: receipt.update(rows=receipt["rows"] + 1),
        lambda receipt: receipt.update(rows=float(receipt["rows"])),
        lambda receipt: receipt.update(content_sha256_hex="0" * 64),
    ],
    ids=["bytes", "rows", "float", "content"],
)
def test_a_trace_is_that_of_its_whole_receipt(
    dataset_id: str, state: str, code: str, change: Change | None, world: Copy
) -> None:
    spoiled = world("permuted")
    if change is None:
        spoiled.rewrite_lines(dataset_id, list)
    else:
        field = f"{trace_of(dataset_id)}_receipt"
        spoiled.rewrite(f"{state}_run_report", lambda report: change(report[field]))
    failing = spoiled.failing(state)
    assert set(failing) == {f"{state} {trace_of(dataset_id)}_receipt"}
    assert failing.of_code(code)


@pytest.mark.code("E507_RNG_EVENT_MISMATCH")
@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.clear(),
        lambda rows: rows.append(dict(rows[-1])),
        lambda rows: rows[0].update(seed=7),
        lambda rows: rows[0].update(ts_utc="2001-01-01T00:00:00.000000Z"),
        lambda rows: rows[0].pop("platform"),
    ],
    ids=["empty", "twice", "seed", "clock", "lost"],
)
def test_a_changed_audit_log_is_found(change: Change, world: Copy) -> None:
    spoiled = world("permuted")
    spoiled.rewrite_lines("rng_audit_log", change)
    assert spoiled.failing("s5").of_code("E507_RNG_EVENT_MISMATCH")


def test_an_event_without_draw_is_found_where_sites_take_their_own_points(world: Copy) -> None:
    spoiled = world("stable")
    row = {"merchant_id": 1, "legal_country_iso": "PT", "site_order": 1, "word": 5}
    schema = KNOWN[ASSIGN_LOG].arrow_schema
    spoiled.write(ASSIGN_LOG, lambda _: pa.Table.from_pylist([row], schema=schema))
    spoiled.forge_receipt(ASSIGN_LOG)
    assert {"s5 events", "s5 words", "s5 trace"} <= set(spoiled.failing("s5"))


@pytest.mark.code("E611_LOG_PARTITION_LAW")
@pytest.mark.parametrize("dataset_id", ["rng_trace_in_cell_jitter", JITTER_LOG])
def test_a_log_that_lies_elsewhere_is_found(dataset_id: str, world: Copy) -> None:
    spoiled = world("permuted")
    path = spoiled.path(dataset_id)
    path.rename(path.parent / "elsewhere")
    assert spoiled.failing("s6").of_code("E611_LOG_PARTITION_LAW")


# ------------------------------------------------------------------ the last lane


def lane_2(world: World) -> Rows:
    events = read_table(world.part(JITTER_LOG)).to_pylist()
    sites = read_table(world.part(JITTERED)).to_pylist()
    both = zip(sites, events, strict=True)
    return [site for site, event in both if event["lane"] == 2]


def other_delta(site: dict, tile: dict, shape: shapely.MultiPolygon) -> tuple[float, float] | None:
    """Return the surface point of the whole overlap where the largest piece has another one."""
    sides = (tile[f"{side}_deg"] for side in ("min_lon", "min_lat", "max_lon", "max_lat"))
    point = shapely.point_on_surface(shapely.intersection(shape, shapely.box(*sides)))
    delta = point.x - tile["centroid_lon_deg"], point.y - tile["centroid_lat_deg"]
    return None if delta == (site["delta_lon_deg"], site["delta_lat_deg"]) else delta


def test_another_point_on_the_surface_of_tile_and_country_is_refused(world: Copy) -> None:
    spoiled = world("hurried")
    countries = read_countries(spoiled.path("world_countries"))
    shapes = {country.code: Area(country).shape for country in countries}
    rows = read_table(spoiled.part("tile_bounds")).to_pylist()
    tiles = {(row["country_iso"], row["tile_id"]): row for row in rows}
    names = ("merchant_id", "legal_country_iso", "site_order")
    moved = {}
    for site in lane_2(spoiled):
        code = site["legal_country_iso"]
        if delta := other_delta(site, tiles[code, site["tile_id"]], shapes[code]):
            key = tuple(site[name] for name in names)
            moved[key] = dict(zip(("delta_lon_deg", "delta_lat_deg"), delta, strict=True))
    assert moved

    def move(rows: Rows) -> None:
        for row in rows:
            row.update(moved.get(tuple(row[name] for name in names), {}))

    spoiled.forge(JITTERED, move)
    failing = spoiled.failing("s6")
    assert set(failing) == {"s6 replay"}
    assert len(failing["s6 replay"].rows) == min(len(moved), 20)


def test_sites_of_the_last_lane_pass_as_published(published: Copy) -> None:
    world = published("hurried")
    assert len(lane_2(world)) > 20
    assert not world.failing("s5", "s6")
