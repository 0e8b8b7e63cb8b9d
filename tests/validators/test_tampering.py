"""Whatever is changed in published data, the right check says so, with the rows that offend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segment1b import contracts
from segment1b.audit import validate

Rows = list[dict[str, Any]]
Change = Callable[[Rows], None]
World = Any  # of conftest.py, which the import mode keeps out of reach
Copy = Callable[..., World]

STATE = {
    "tile_index": "s1",
    "tile_bounds": "s1",
    "tile_weights": "s2",
    "s3_requirements": "s3",
    "s4_alloc_plan": "s4",
}
RECEIPT_CODE = {
    "tile_index": "E107_DETERMINISM",
    "tile_bounds": "E107_DETERMINISM",
    "tile_weights": "E107_DETERMINISM",
    "s3_requirements": "E313_NONDETERMINISTIC_OUTPUT",
    "s4_alloc_plan": "E410_NONDETERMINISTIC_OUTPUT",
}
STRAY_CODE = {
    **RECEIPT_CODE,
    "tile_index": "E108_WRITER_HYGIENE",
    "tile_bounds": "E108_WRITER_HYGIENE",
    "tile_weights": "E108_WRITER_HYGIENE",
}


# ------------------------------------------------------------------ changes


def middle(rows: Rows) -> int:
    """Return a row in Portugal, or the middle one, that has a neighbour in its row group."""
    for at, row in enumerate(rows[:-1]):
        if row.get("country_iso") == "PT" and rows[at + 1]["_group"] == row["_group"]:
            return at
    return len(rows) // 2


def drop(rows: Rows) -> None:
    del rows[middle(rows)]


def swap(rows: Rows) -> None:
    at = middle(rows)
    rows[at], rows[at + 1] = rows[at + 1], rows[at]


def add(column: str, value: Any = 1) -> Change:
    def change(rows: Rows) -> None:
        row = rows[middle(rows)]
        row[column] = value if isinstance(value, str) else row[column] + value

    return change


def move_unit(column: str) -> Change:
    """Take one from a row and give it to its neighbour, so that sums still hold."""

    def change(rows: Rows) -> None:
        at = middle(rows)
        rows[at][column], rows[at + 1][column] = rows[at][column] - 1, rows[at + 1][column] + 1

    return change


def move_site(rows: Rows) -> None:
    """Give a site of a pair's first tile to its second."""
    at = next(
        at
        for at, row in enumerate(rows)
        if row["n_sites_tile"] > 1
        and all(rows[at + 1][n] == row[n] for n in ("merchant_id", "legal_country_iso"))
    )
    rows[at]["n_sites_tile"] -= 1
    rows[at + 1]["n_sites_tile"] += 1


#: dataset, what is done, the code when the receipt was forged to fit.
CHANGES: list[tuple[str, str, Change, str]] = [
    ("tile_index", "drop a row", drop, "E008_INCLUSION_RULE"),
    ("tile_index", "swap two rows", swap, "E108_WRITER_HYGIENE"),
    ("tile_index", "add one to tile_id", add("tile_id"), "E002_RASTER_MISMATCH"),
    ("tile_index", "add one to raster_row", add("raster_row"), "E002_RASTER_MISMATCH"),
    ("tile_index", "add one to raster_col", add("raster_col"), "E002_RASTER_MISMATCH"),
    ("tile_index", "add one to centroid_lon", add("centroid_lon"), "E004_BOUNDS"),
    ("tile_index", "add one to centroid_lat", add("centroid_lat"), "E004_BOUNDS"),
    ("tile_index", "add one to pixel_area_m2", add("pixel_area_m2"), "E006_AREA_NONPOS"),
    ("tile_index", "rename a country", add("country_iso", "QQ"), "E005_ISO_FK"),
    ("tile_index", "rename a rule", add("inclusion_rule", "center"), "E008_INCLUSION_RULE"),
    ("tile_bounds", "drop a row", drop, "E108_WRITER_HYGIENE"),
    ("tile_bounds", "swap two rows", swap, "E108_WRITER_HYGIENE"),
    ("tile_bounds", "add one to tile_id", add("tile_id"), "E004_BOUNDS"),
    *(
        ("tile_bounds", f"add one to {name}", add(name), "E004_BOUNDS")
        for name in (
            "min_lat_deg",
            "max_lat_deg",
            "min_lon_deg",
            "max_lon_deg",
            "centroid_lat_deg",
            "centroid_lon_deg",
        )
    ),
    ("tile_weights", "drop a row", drop, "E102_FK_MISMATCH"),
    ("tile_weights", "swap two rows", swap, "E108_WRITER_HYGIENE"),
    ("tile_weights", "add one to tile_id", add("tile_id"), "E102_FK_MISMATCH"),
    ("tile_weights", "add one to weight_fp", add("weight_fp"), "E105_NORMALIZATION"),
    ("tile_weights", "add one to dp", add("dp"), "E105_NORMALIZATION"),
    ("tile_weights", "rename a basis", add("basis", "uniform"), "E104_ZERO_MASS"),
    ("tile_weights", "move a unit", move_unit("weight_fp"), "E105_NORMALIZATION"),
    ("s3_requirements", "drop a row", drop, "E308_COUNTS_MISMATCH"),
    ("s3_requirements", "swap two rows", swap, "E310_UNSORTED"),
    ("s3_requirements", "add one to merchant_id", add("merchant_id"), "E308_COUNTS_MISMATCH"),
    ("s3_requirements", "add one to n_sites", add("n_sites"), "E308_COUNTS_MISMATCH"),
    ("s3_requirements", "rename a country", add("legal_country_iso", "QQ"), "E302_FK_COUNTRY"),
    (
        "s3_requirements",
        "empty a pair",
        lambda rows: rows[3].update(n_sites=0),
        "E304_ZERO_SITES_ROW",
    ),
    ("s4_alloc_plan", "drop a row", drop, "E404_ALLOCATION_MISMATCH"),
    ("s4_alloc_plan", "swap two rows", swap, "E408_UNSORTED"),
    ("s4_alloc_plan", "add one to n_sites_tile", add("n_sites_tile"), "E404_ALLOCATION_MISMATCH"),
    ("s4_alloc_plan", "add one to tile_id", add("tile_id"), "E417_LAW_VIOLATION"),
    ("s4_alloc_plan", "leave the index", add("tile_id", 10**6), "E413_TILE_NOT_IN_INDEX"),
    ("s4_alloc_plan", "move a site", move_site, "E417_LAW_VIOLATION"),
    (
        "s4_alloc_plan",
        "repeat a row",
        lambda rows: rows.insert(3, dict(rows[3])),
        "E407_PK_DUPLICATE",
    ),
    (
        "s4_alloc_plan",
        "empty a row",
        lambda rows: rows[3].update(n_sites_tile=0),
        "E412_ZERO_ROW_EMITTED",
    ),
]


@pytest.mark.parametrize(
    ("dataset_id", "what", "change", "code"),
    CHANGES,
    ids=[f"{d}: {what}" for d, what, _, _ in CHANGES],
)
def test_a_changed_row_is_found_by_the_receipt_and_by_the_law_where_the_receipt_was_forged(
    dataset_id: str, what: str, change: Change, code: str, world: Copy
) -> None:
    spoiled, state = world(), STATE[dataset_id]
    spoiled.edit(dataset_id, change)
    found = spoiled.failing(state).of_code(RECEIPT_CODE[dataset_id])
    assert found.rows[0]["path"] == "part-00000.parquet"
    spoiled.forge_receipt(dataset_id)
    failing = spoiled.failing(state)
    assert f"{state} receipt_{dataset_id}" not in failing
    place = {"tile_id", "country_iso", "legal_country_iso", "merchant_id"}
    assert place & set().union(*failing.rows(code))


@pytest.mark.parametrize("dataset_id", STATE)
def test_a_flipped_byte_is_found_wherever_it_stands(dataset_id: str, world: Copy) -> None:
    spoiled = world()
    path = spoiled.part(dataset_id)
    whole = path.read_bytes()
    for at in range(4, len(whole), len(whole) // 6):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        found = spoiled.failing(STATE[dataset_id]).of_code(RECEIPT_CODE[dataset_id])
        assert "part-00000.parquet" in str(found.rows[0])


@pytest.mark.parametrize("dataset_id", STATE)
def test_a_truncated_file_is_one_fault_that_names_the_checks_it_makes_impossible(
    dataset_id: str, world: Copy
) -> None:
    spoiled, state = world(), STATE[dataset_id]
    path = spoiled.part(dataset_id)
    path.write_bytes(path.read_bytes()[:-50])
    (found,) = spoiled.failing(state).values()
    assert (found.name, found.code) == (f"readable_{dataset_id}", RECEIPT_CODE[dataset_id])
    assert "part-00000.parquet" in found.rows[0]["reason"]
    assert "sorted" in found.detail


@pytest.mark.parametrize("dataset_id", STATE)
def test_stray_files_and_folders_are_found(dataset_id: str, world: Copy) -> None:
    spoiled = world()
    folder = spoiled.path(dataset_id)
    (folder / "notes.txt").write_text("later")
    (folder / "more").mkdir()
    failing = spoiled.failing(STATE[dataset_id])
    assert {r["path"] for r in failing.rows(STRAY_CODE[dataset_id])} == {"notes.txt", "more"}
    assert len(failing) == 1


@pytest.mark.parametrize("dataset_id", STATE)
def test_another_cut_into_row_groups_is_found(dataset_id: str, world: Copy) -> None:
    spoiled = world()
    path = spoiled.part(dataset_id)
    table = pq.read_table(path)
    schema = contracts.load()[dataset_id].arrow_schema
    pq.write_table(table.cast(schema), path, row_group_size=7)
    spoiled.forge_receipt(dataset_id)
    failing = spoiled.failing(STATE[dataset_id])
    assert set(failing) == {f"{STATE[dataset_id]} file_cut_{dataset_id}"}
    assert failing.of_code(STRAY_CODE[dataset_id]).rows[0]["path"] == "part-00000.parquet"


@pytest.mark.parametrize(
    ("dataset_id", "column", "code"),
    [
        ("tile_index", "note", "E108_WRITER_HYGIENE"),
        ("tile_weights", "note", "E105_NORMALIZATION"),
        ("s3_requirements", "note", "E305_SCHEMA_EXTRAS"),
        ("s4_alloc_plan", "note", "E405_SCHEMA_INVALID"),
        ("s3_requirements", "country_rank", "E312_ORDER_AUTHORITY_VIOLATION"),
        ("s4_alloc_plan", "candidate_order", "E312_ORDER_AUTHORITY_VIOLATION"),
    ],
)
def test_an_undeclared_column_is_found(
    dataset_id: str, column: str, code: str, world: Copy
) -> None:
    spoiled = world()
    path = spoiled.part(dataset_id)
    table = pq.read_table(path)
    pq.write_table(table.append_column(column, pa.array(range(len(table)))), path)
    assert column in str(spoiled.failing(STATE[dataset_id]).of_code(code).rows[0])


def test_rows_of_a_receipt_that_are_no_whole_number_are_found(world: Copy) -> None:
    spoiled = world()

    def change(report: Any) -> None:
        receipt = report["determinism_receipt"]
        receipt["rows"] = float(receipt["rows"])

    spoiled.rewrite("s3_run_report", change)
    assert set(spoiled.failing("s3")) == {"s3 receipt_s3_requirements"}


@pytest.mark.parametrize(
    ("dataset_id", "column", "code"),
    [
        ("tile_bounds", "min_lat_deg", "E108_WRITER_HYGIENE"),
        ("tile_weights", "weight_fp", "E105_NORMALIZATION"),
        ("s3_requirements", "n_sites", "E305_SCHEMA_INVALID"),
        ("s4_alloc_plan", "n_sites_tile", "E405_SCHEMA_INVALID"),
    ],
)
def test_a_column_of_another_type_is_one_fault_beside_the_receipt(
    dataset_id: str, column: str, code: str, world: Copy
) -> None:
    spoiled = world()
    path = spoiled.part(dataset_id)
    table = pq.read_table(path)
    at = table.schema.get_field_index(column)
    pq.write_table(table.set_column(at, column, table.column(column).cast(pa.string())), path)
    state = STATE[dataset_id]
    failing = spoiled.failing(state)
    assert set(failing) == {f"{state} readable_{dataset_id}", f"{state} receipt_{dataset_id}"}
    assert column in failing.of_code(code).rows[0]["reason"]


@pytest.mark.parametrize("name", ["systematic", "stable", "balanced", "ties"])
def test_what_was_published_passes_every_check(name: str, published: dict[str, World]) -> None:
    world = published[name]
    states = ["s0", "s1", "s2", "s3", "s4"]
    found = validate(world.root, contracts.load(), world.tokens, states)
    assert not [result for result in found if not result.ok]
    names = [(result.state, result.name) for result in found]
    assert len(set(names)) == len(names) > 140
    assert all(result.proves and result.code and result.scope for result in found)
