"""Flipped bytes, truncated, stray and absent files, and other columns are found."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from segment1b.audit import validate
from spoil import (
    ASSIGNED,
    BOUNDS,
    INDEX,
    JITTERED,
    JOINED,
    KNOWN,
    LOCATED,
    NEEDS,
    PLAN,
    STATE,
    WEIGHTS,
    WORLDS,
    World,
)

Copy = Callable[[str], World]
TABLES = [("stable" if state < "s5" else "permuted", name) for name, state in STATE.items()]
STRAY_CODE = {
    "s1": "E108_WRITER_HYGIENE",
    "s2": "E108_WRITER_HYGIENE",
    "s3": "E313_NONDETERMINISTIC_OUTPUT",
    "s4": "E410_NONDETERMINISTIC_OUTPUT",
    "s5": "E410_NONDETERMINISTIC_OUTPUT",
    "s6": "E604_PARTITION_OR_IDENTITY",
    "s7": "E705_PARTITION_OR_IDENTITY",
    "s8": "E805_PARTITION_OR_IDENTITY",
}


def receipt_code(dataset_id: str) -> str:
    return KNOWN[dataset_id].code("receipt")


OTHER_LAWS = ("systematic", "balanced", "permuted", "ties")


@pytest.mark.parametrize(
    "name", ["stable", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHER_LAWS)]
)
def test_what_was_published_passes_every_check(
    name: str, published: Callable[[str], World]
) -> None:
    world, last = published(name), int(WORLDS[name][0][1])
    results = validate(world.root, KNOWN, world.tokens, [f"s{n}" for n in range(last + 1)])
    assert not [result for result in results if not result.ok]
    names = [(result.state, result.name) for result in results]
    assert len(set(names)) == len(names) > (290 if last == 9 else 140)
    assert all(result.proves and result.code and result.scope for result in results)


@pytest.mark.parametrize(("name", "dataset_id"), TABLES)
def test_a_flipped_byte_is_found_wherever_it_is(name: str, dataset_id: str, world: Copy) -> None:
    spoiled, state = world(name), STATE[dataset_id]
    path = spoiled.part(dataset_id)
    whole = path.read_bytes()
    for at in range(4, len(whole), len(whole) // 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        found = spoiled.failing(state).of_code(receipt_code(dataset_id))
        assert "part-00000.parquet" in str(found.rows[0])


@pytest.mark.parametrize("dataset_id", ["tile_bounds", "site_locations"])
def test_a_forged_content_digest_is_found_though_all_bytes_are_those_of_the_receipt(
    dataset_id: str, world: Copy
) -> None:
    spoiled, dataset, state = world("systematic"), KNOWN[dataset_id], STATE[dataset_id]
    forged = {"content_sha256_hex": "0" * 64}
    spoiled.rewrite(
        str(dataset.receipt_in), lambda report: report[dataset.receipt_field].update(forged)
    )
    found = spoiled.failing(state)[f"{state} receipt_{dataset_id}"]
    assert found.code == receipt_code(dataset_id)
    assert [(row["field"], row["expected"]) for row in found.rows] == [*forged.items()]


@pytest.mark.parametrize(("name", "dataset_id"), TABLES)
def test_a_truncated_file_is_one_fault_that_names_the_checks_it_makes_impossible(
    name: str, dataset_id: str, world: Copy
) -> None:
    spoiled = world(name)
    path = spoiled.part(dataset_id)
    path.write_bytes(path.read_bytes()[:-50])
    (found,) = spoiled.failing(STATE[dataset_id]).values()
    assert (found.name, found.code) == (f"readable_{dataset_id}", receipt_code(dataset_id))
    assert "part-00000.parquet" in found.rows[0]["reason"]
    assert "sorted" in found.detail


@pytest.mark.parametrize(("name", "dataset_id"), TABLES)
def test_stray_files_and_another_cut_into_row_groups_are_found(
    name: str, dataset_id: str, world: Copy
) -> None:
    spoiled, state = world(name), STATE[dataset_id]
    schema = KNOWN[dataset_id].arrow_schema
    spoiled.write(dataset_id, lambda table: table.cast(schema), row_group_size=7)
    spoiled.forge_receipt(dataset_id)
    folder = spoiled.path(dataset_id)
    (folder / "notes.txt").write_text("later")
    (folder / "more").mkdir()
    failing = spoiled.failing(state)
    stray, cut = (f"{state} {name}_{dataset_id}" for name in ("stray_files", "file_cut"))
    assert set(failing) == {stray, cut}
    assert {result.code for result in failing.values()} == {STRAY_CODE[state]}
    assert {row["path"] for row in failing[stray].rows} == {"notes.txt", "more"}
    assert failing[cut].rows[0]["path"] == "part-00000.parquet"


@pytest.mark.parametrize(
    ("dataset_id", "column", "code"),
    [
        (INDEX, "note", "E108_WRITER_HYGIENE"),
        (WEIGHTS, "note", "E105_NORMALIZATION"),
        (NEEDS, "note", "E305_SCHEMA_EXTRAS"),
        (NEEDS, "country_rank", "E312_ORDER_AUTHORITY_VIOLATION"),
        (PLAN, "note", "E405_SCHEMA_INVALID"),
        (PLAN, "candidate_order", "E312_ORDER_AUTHORITY_VIOLATION"),
        (ASSIGNED, "note", "E506_SCHEMA_EXTRAS"),
        (ASSIGNED, "country_rank", "E312_ORDER_AUTHORITY_VIOLATION"),
        (JITTERED, "note", "E612_DICT_SCHEMA_MISMATCH"),
        (JOINED, "note", "E704_SCHEMA_VIOLATION"),
        (JOINED, "candidate_rank", "E710_ORDER_LEAK"),
        (LOCATED, "note", "E804_SCHEMA_VIOLATION"),
        (LOCATED, "country_order", "E807_ORDER_LEAK"),
    ],
)
def test_an_undeclared_column_is_found(
    dataset_id: str, column: str, code: str, world: Copy
) -> None:
    spoiled = world("permuted")
    spoiled.write(dataset_id, lambda t: t.append_column(column, pa.array(range(len(t)))))
    assert column in str(spoiled.failing(STATE[dataset_id]).of_code(code).rows[0])


@pytest.mark.parametrize(
    ("dataset_id", "column", "code"),
    [
        (BOUNDS, "min_lat_deg", "E108_WRITER_HYGIENE"),
        (WEIGHTS, "weight_fp", "E105_NORMALIZATION"),
        (NEEDS, "n_sites", "E305_SCHEMA_INVALID"),
        (PLAN, "n_sites_tile", "E405_SCHEMA_INVALID"),
    ],
)
def test_a_column_of_another_type_is_one_fault_beside_the_receipt(
    dataset_id: str, column: str, code: str, world: Copy
) -> None:
    spoiled, state = world("stable"), STATE[dataset_id]

    def as_text(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(column)
        return table.set_column(at, column, table.column(column).cast(pa.string()))

    spoiled.write(dataset_id, as_text)
    failing = spoiled.failing(state)
    assert set(failing) == {f"{state} readable_{dataset_id}", f"{state} receipt_{dataset_id}"}
    assert column in failing.of_code(code).rows[0]["reason"]


def test_a_row_without_a_country_is_found(world: Copy) -> None:
    spoiled, at = world("stable"), KNOWN[INDEX].arrow_schema.get_field_index("country_iso")

    def without_first(table: pa.Table) -> pa.Table:
        codes = [None, *table.column("country_iso").to_pylist()[1:]]
        return table.set_column(at, "country_iso", pa.array(codes, pa.string()))

    spoiled.write(INDEX, without_first)
    failing = spoiled.failing("s1")
    assert {f"s1 {name}_{INDEX}" for name in ("columns", "values", "file_cut")} <= set(failing)


@pytest.mark.parametrize(
    ("gone", "state", "code"),
    [
        ("s0_gate_receipt_1B", "s0", "E301_NO_PASS_FLAG"),
        ("outlet_catalogue", "s0", "E_PARTITION_MISPLACED"),
        ("s1_run_report", "s1", "E108_WRITER_HYGIENE"),
        ("world_countries", "s1", "E_REFERENCE_SURFACE_MISSING"),
        (INDEX, "s2", "E101_TILE_INDEX_MISSING"),
        ("population_raster_2025", "s2", "E_REFERENCE_SURFACE_MISSING"),
        ("s0_gate_receipt_1B", "s3", "E301_NO_PASS_FLAG"),
        (WEIGHTS, "s3", "E303_MISSING_WEIGHTS"),
        ("outlet_catalogue", "s3", "E_PARTITION_MISPLACED"),
        (NEEDS, "s4", "E401_NO_S3_REQUIREMENTS"),
        ("s3_run_report", "s4", "E401_NO_S3_REQUIREMENTS"),
        (WEIGHTS, "s4", "E402_MISSING_TILE_WEIGHTS"),
        (INDEX, "s4", "E403_ZERO_TILE_UNIVERSE"),
        ("s4_run_report", "s4", "E415_RUN_REPORT_MISSING_FIELDS"),
        ("parameter_policy_1B", "s4", "E_REFERENCE_SURFACE_MISSING"),
        ("iso3166_canonical_2024", "s4", "E_REFERENCE_SURFACE_MISSING"),
    ],
)
def test_what_is_absent_is_reported_once_under_the_code_of_the_state_that_needs_it(
    gone: str, state: str, code: str, world: Copy
) -> None:
    spoiled = world("stable")
    spoiled.path(gone).rename(spoiled.root / "taken away")
    failing = spoiled.failing(state)
    found = failing.pop(f"{state} readable_{gone}")
    assert (found.code, found.offending) == (code, 1)
    # The gate names what it misses once more, where it counts what was sealed.
    assert state == "s0" or not failing


@pytest.mark.parametrize("other", [None, pa.list_(pa.string()), pa.large_string()])
def test_a_table_without_its_column_of_texts_is_a_finding(
    other: pa.DataType | None, world: Callable[[str], World]
) -> None:
    spoiled = world("stable")

    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index("legal_country_iso")
        codes = table.column(at).to_pylist()
        if other is None:
            return table.remove_column(at)
        values = [[code] for code in codes] if pa.types.is_list(other) else codes
        return table.set_column(at, "legal_country_iso", pa.array(values, other))

    spoiled.write(ASSIGNED, change)
    assert {name.partition(" ")[2] for name in spoiled.failing("s5")} & {
        "readable_s5_site_tile_assignment",
        "columns_s5_site_tile_assignment",
    }
