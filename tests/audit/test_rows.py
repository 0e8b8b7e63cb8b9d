"""A changed row is found by its receipt, and by a check of its meaning when the receipt fits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from row_changes import CASES, each_of
from spoil import (
    BOUNDS,
    CENTRES,
    INDEX,
    KNOWN,
    NEEDS,
    STATE,
    WEIGHTS,
    Change,
    World,
    drop,
    swap,
)

RECEIPT_CODE = {
    **dict.fromkeys(STATE, "E410_NONDETERMINISTIC_OUTPUT"),
    **dict.fromkeys((INDEX, BOUNDS, WEIGHTS, CENTRES), "E107_DETERMINISM"),
    NEEDS: "E313_NONDETERMINISTIC_OUTPUT",
}


@pytest.mark.parametrize(("dataset_id", "code"), RECEIPT_CODE.items())
def test_exchanged_rows_are_found_by_the_receipt(
    dataset_id: str, code: str, world: Callable[[str], World]
) -> None:
    spoiled, state = world("permuted"), STATE[dataset_id]
    spoiled.edit(dataset_id, swap)
    found = spoiled.failing(state)[f"{state} receipt_{dataset_id}"]
    assert (found.code, found.rows[0]["path"]) == (code, "part-00000.parquet")


@each_of(CASES)
def test_a_changed_row_is_found_though_its_receipt_fits(
    name: str,
    dataset_id: str,
    change: Change,
    check: str,
    code: str,
    world: Callable[[str], World],
) -> None:
    spoiled = world(name)
    spoiled.forge(dataset_id, change)
    failing = spoiled.failing(check.partition(" ")[0])
    assert f"{STATE[dataset_id]} receipt_{dataset_id}" not in failing
    assert failing[check].code == code
    place = {"tile_id", "country_iso", "legal_country_iso", "merchant_id"}
    assert place & set().union(*failing[check].rows)


# ------------------------------------------------------------------ counters of run reports

#: The check of each counter that must be zero, which counts it again.
RECOUNTED = {
    ("s4", "fk_country_violations"): "country_codes",
    ("s4", "coverage_missing_countries"): "weights_there",
    ("s4", "tile_not_in_index"): "tiles_of_the_country",
    ("s5", "quota_mismatches"): "quotas",
    ("s5", "dup_sites"): "unique",
    ("s5", "tile_not_in_index"): "tiles_of_the_country",
    ("s5", "fk_country_violations"): "country_codes",
    ("s6", "fk_tile_index_failures"): "tiles_known",
    ("s6", "point_outside_pixel"): "in_tile",
    ("s6", "point_outside_country"): "inside",
    ("s6", "path_embed_mismatches"): "fingerprint",
    ("s7", "fk_tile_fail_count"): "tiles_known",
    ("s7", "inside_pixel_fail_count"): "in_tile",
    ("s7", "coverage_1a_miss_count"): "coverage_missing",
    ("s8", "schema_fail_count"): "values_site_locations",
    ("s8", "writer_sort_violations"): "sorted",
    # These count for a report or a column: see test_reports and test_files.
    ("s8", "path_embed_mismatches"): "tokens",
    ("s8", "order_leak_indicators"): "ranking",
}


def test_every_counter_that_must_be_zero_is_counted_again() -> None:
    checks = {check for _, _, _, check, _ in CASES} | {"s8 tokens", "s8 ranking"}
    assert {f"{state} {check}" for (state, _), check in RECOUNTED.items()} <= checks
    zeros = set()
    for state in (f"s{number}" for number in range(10)):
        node = KNOWN.schemas._node(KNOWN[f"{state}_run_report"].schema_ref)
        fields = node["schema"]["properties"].items()
        zeros |= {(state, name) for name, field in fields if field.get("const") == 0}
    assert zeros == RECOUNTED.keys()


@pytest.mark.parametrize(("state", "counter"), RECOUNTED)
def test_a_counter_that_is_not_zero_is_found(
    state: str, counter: str, world: Callable[[str], World]
) -> None:
    spoiled = world("permuted")
    spoiled.rewrite(f"{state}_run_report", lambda report: report.update({counter: 1}))
    assert f"{state} readable_{state}_run_report" in spoiled.failing(state)


def test_a_site_whose_outlet_is_not_in_the_catalogue_is_found(
    world: Callable[[str], World],
) -> None:
    spoiled = world("stable")
    spoiled.edit("outlet_catalogue", drop)
    failing = spoiled.failing("s7")
    assert failing["s7 coverage_extra"].code == "E708_1A_COVERAGE_FAIL"
    assert "s7 coverage_missing" not in failing
