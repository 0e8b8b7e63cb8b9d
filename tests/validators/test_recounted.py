"""Every counter that must be zero is counted again from the data by a validator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segment1b import contracts

Rows = list[dict[str, Any]]
World = Any  # of conftest.py, which the import mode keeps out of reach
Copy = Callable[..., World]
KNOWN = contracts.load()


def update(**values: Any) -> Callable[[Rows], None]:
    """Change fields of the sixth row; a function is applied to the value."""

    def change(rows: Rows) -> None:
        for name, value in values.items():
            rows[5][name] = value(rows[5][name]) if callable(value) else value

    return change


def without_portugal(rows: Rows) -> None:
    rows[:] = [row for row in rows if row["country_iso"] != "PT"]


def leave_the_country(rows: Rows) -> None:
    for row in rows:
        row["delta_lat_deg"] = 0.49


def elsewhere(tile: int) -> int:
    return tile + 10**6


PLAN, ASSIGNED, JITTERED = "s4_alloc_plan", "s5_site_tile_assignment", "s6_site_jitter"
JOINED, LOCATED = "s7_site_synthesis", "site_locations"
#: (state, counter): the check that counts it again, and a change of data that makes it count.
RECOUNTED: dict[tuple[str, str], tuple[str, str, Callable[[Rows], Any]]] = {
    ("s4", "fk_country_violations"): ("country_codes", PLAN, update(legal_country_iso="QQ")),
    ("s4", "coverage_missing_countries"): ("weights_there", "tile_weights", without_portugal),
    ("s4", "tile_not_in_index"): ("tiles_of_the_country", PLAN, update(tile_id=elsewhere)),
    ("s5", "quota_mismatches"): ("quotas", ASSIGNED, update(tile_id=elsewhere)),
    ("s5", "dup_sites"): ("unique", ASSIGNED, lambda rows: rows.insert(5, dict(rows[5]))),
    ("s5", "tile_not_in_index"): ("tiles_of_the_country", ASSIGNED, update(tile_id=elsewhere)),
    ("s5", "fk_country_violations"): ("country_codes", ASSIGNED, update(legal_country_iso="QQ")),
    ("s6", "fk_tile_index_failures"): ("tiles_known", JITTERED, update(tile_id=elsewhere)),
    ("s6", "point_outside_pixel"): ("in_tile", JITTERED, update(delta_lon_deg=0.99)),
    ("s6", "point_outside_country"): ("inside", JITTERED, leave_the_country),
    ("s6", "path_embed_mismatches"): (
        "fingerprint",
        JITTERED,
        update(manifest_fingerprint="0" * 64),
    ),
    ("s7", "fk_tile_fail_count"): ("tiles_known", JOINED, update(tile_id=elsewhere)),
    ("s7", "inside_pixel_fail_count"): ("in_tile", JOINED, update(lat_deg=89.0)),
    ("s7", "coverage_1a_miss_count"): ("coverage_missing", JOINED, lambda rows: rows.pop(5)),
    ("s8", "schema_fail_count"): ("values_site_locations", LOCATED, update(lat_deg=91.0)),
    ("s8", "writer_sort_violations"): ("sorted", LOCATED, lambda rows: rows.reverse()),
}
#: The same where no row, but a report or a column, makes it count.
OTHERWISE = {("s8", "path_embed_mismatches"), ("s8", "order_leak_indicators")}
CASES = [(*counter, *case) for counter, case in RECOUNTED.items()]


def zeros(state: str) -> set[str]:
    """Return the fields of a run report that can be nothing but zero."""
    node = KNOWN.schemas._node(KNOWN[f"{state}_run_report"].schema_ref)
    return {n for n, field in node["schema"]["properties"].items() if field.get("const") == 0}


def test_every_counter_that_must_be_zero_has_its_check() -> None:
    states = [f"s{number}" for number in range(10)]
    counters = {(state, name) for state in states for name in zeros(state)}
    assert counters == {*RECOUNTED} | OTHERWISE


@pytest.mark.parametrize(("state", "counter", "check", "dataset_id", "change"), CASES)
def test_data_that_ought_to_count_is_found_though_receipt_and_counter_say_otherwise(
    state: str, counter: str, check: str, dataset_id: str, change: Any, place: Copy
) -> None:
    spoiled = place()
    spoiled.edit(dataset_id, change)
    spoiled.forge_receipt(dataset_id)
    assert f"{state} {check}" in spoiled.failing(state), counter


@pytest.mark.parametrize(("state", "counter"), sorted({*RECOUNTED} | OTHERWISE))
def test_a_counter_that_is_not_zero_is_found(state: str, counter: str, place: Copy) -> None:
    spoiled = place()
    spoiled.rewrite(f"{state}_run_report", lambda report: report.update({counter: 1}))
    assert f"{state} readable_{state}_run_report" in spoiled.failing(state)


def test_a_ranking_column_and_other_tokens_of_the_egress_are_found(place: Copy) -> None:
    spoiled = place()
    spoiled.rewrite("s8_run_report", lambda report: report.update(seed=7))
    assert "s8 tokens" in spoiled.failing("s8")
    path = spoiled.part(LOCATED)
    table = pq.read_table(path)
    pq.write_table(table.append_column("country_rank", pa.array(range(len(table)))), path)
    assert "s8 ranking" in spoiled.failing("s8")
