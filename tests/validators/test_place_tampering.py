"""Whatever is changed in what S5 to S8 have published, the right check says so."""

from __future__ import annotations

import json
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
KEY = ("merchant_id", "legal_country_iso")

ASSIGNED, ASSIGN_LOG = "s5_site_tile_assignment", "rng_event_site_tile_assign"
JITTERED, JITTER_LOG = "s6_site_jitter", "rng_event_in_cell_jitter"
JOINED, LOCATED = "s7_site_synthesis", "site_locations"
STATE = {
    ASSIGNED: "s5",
    ASSIGN_LOG: "s5",
    JITTERED: "s6",
    JITTER_LOG: "s6",
    JOINED: "s7",
    LOCATED: "s8",
}
RECEIPT_CODE = "E410_NONDETERMINISTIC_OUTPUT"


# ------------------------------------------------------------------ changes


def drop(rows: Rows) -> None:
    del rows[len(rows) // 2]


def swap(rows: Rows) -> None:
    at = len(rows) // 2
    rows[at], rows[at + 1] = rows[at + 1], rows[at]


def repeat(rows: Rows) -> None:
    at = len(rows) // 2
    rows.insert(at, dict(rows[at]))


def add(column: str, value: Any = 1) -> Change:
    def change(rows: Rows) -> None:
        row = rows[len(rows) // 2]
        row[column] = value if isinstance(value, str) else row[column] + value

    return change


def other_word(rows: Rows) -> None:
    rows[len(rows) // 2]["word"] ^= 1


def other_lane(rows: Rows) -> None:
    row = next(row for row in rows if row["lane"] == 0)
    row["lane"] = 1


def unlogged_attempt(rows: Rows) -> None:
    """Log a site that took several attempts as if it had taken one fewer."""
    row = next(row for row in rows if row["lane"] == 0 and row["blocks"] > 1)
    row["blocks"] -= 1


def exchange(column: str) -> Change:
    """Exchange the values of two sites of a pair, so that counts still hold."""

    def change(rows: Rows) -> None:
        at = next(
            at
            for at, row in enumerate(rows[:-1])
            if all(rows[at + 1][n] == row[n] for n in KEY) and rows[at + 1][column] != row[column]
        )
        rows[at][column], rows[at + 1][column] = rows[at + 1][column], rows[at][column]

    return change


def move_surface(rows: Rows) -> None:
    """Move the point of every site of an atoll a little."""
    for row in rows:
        if row["legal_country_iso"] == "MV":
            row["delta_lat_deg"] += 1e-12


#: dataset, what is done, the world, the change, the code when the receipt was forged to fit.
CHANGES: list[tuple[str, str, str, Change, str]] = [
    (ASSIGNED, "drop", "permuted", drop, "E504_SUM_TO_N_MISMATCH"),
    (ASSIGNED, "drop", "own_point", drop, "E503_TILE_QUOTA_MISMATCH"),
    (ASSIGNED, "swap", "permuted", swap, "E509_UNSORTED"),
    (ASSIGNED, "repeat", "own_point", repeat, "E502_PK_DUPLICATE_SITE"),
    (ASSIGNED, "add one to tile_id", "permuted", add("tile_id"), "E503_TILE_QUOTA_MISMATCH"),
    (ASSIGNED, "leave the index", "permuted", add("tile_id", 10**6), "E505_TILE_NOT_IN_INDEX"),
    (ASSIGNED, "skip an order", "permuted", add("site_order", 500), "E504_SUM_TO_N_MISMATCH"),
    (ASSIGNED, "rename", "permuted", add("legal_country_iso", "QQ"), "E302_FK_COUNTRY"),
    (ASSIGNED, "exchange", "permuted", exchange("tile_id"), "E507_RNG_EVENT_MISMATCH"),
    (ASSIGNED, "exchange", "own_point", exchange("tile_id"), "E503_TILE_QUOTA_MISMATCH"),
    (ASSIGN_LOG, "drop", "permuted", drop, "E507_RNG_EVENT_MISMATCH"),
    (ASSIGN_LOG, "swap", "permuted", swap, "E507_RNG_EVENT_MISMATCH"),
    (ASSIGN_LOG, "repeat", "permuted", repeat, "E507_RNG_EVENT_MISMATCH"),
    (ASSIGN_LOG, "flip a bit", "permuted", other_word, "E507_RNG_EVENT_MISMATCH"),
    (ASSIGN_LOG, "add to the key", "permuted", add("merchant_id"), "E507_RNG_EVENT_MISMATCH"),
    (JITTERED, "drop", "permuted", drop, "E601_ROW_MISSING"),
    (JITTERED, "swap", "own_point", swap, "E605_SORT_VIOLATION"),
    (JITTERED, "repeat", "permuted", repeat, "E603_DUP_KEY"),
    (JITTERED, "add one to tile_id", "permuted", add("tile_id"), "E602_ROW_EXTRA"),
    (JITTERED, "leave the index", "permuted", add("tile_id", 10**6), "E606_FK_TILE_INDEX"),
    (JITTERED, "add to the key", "permuted", add("merchant_id"), "E602_ROW_EXTRA"),
    (JITTERED, "nudge", "permuted", add("delta_lon_deg", 1e-12), "E610_RNG_BUDGET_OR_COUNTERS"),
    (JITTERED, "nudge", "own_point", add("delta_lat_deg", 1e-12), "E610_RNG_BUDGET_OR_COUNTERS"),
    (JITTERED, "nudge atolls", "own_point", move_surface, "E610_RNG_BUDGET_OR_COUNTERS"),
    (
        JITTERED,
        "leave the tile",
        "permuted",
        add("delta_lon_deg", 0.99),
        "E607_POINT_OUTSIDE_PIXEL",
    ),
    (
        JITTERED,
        "leave the country",
        "permuted",
        lambda rows: [row.update(delta_lat_deg=0.49) for row in rows],
        "E608_POINT_OUTSIDE_COUNTRY",
    ),
    (
        JITTERED,
        "rename the lineage",
        "permuted",
        add("manifest_fingerprint", "0" * 64),
        "E604_PARTITION_OR_IDENTITY",
    ),
    (JITTERED, "rename", "permuted", add("legal_country_iso", "QQ"), "E606_FK_TILE_INDEX"),
    (JITTER_LOG, "drop", "permuted", drop, "E609_RNG_EVENT_COUNT"),
    (JITTER_LOG, "swap", "permuted", swap, "E609_RNG_EVENT_COUNT"),
    (JITTER_LOG, "repeat", "permuted", repeat, "E609_RNG_EVENT_COUNT"),
    (JITTER_LOG, "add one", "permuted", add("blocks"), "E610_RNG_BUDGET_OR_COUNTERS"),
    (JITTER_LOG, "take one", "own_point", unlogged_attempt, "E610_RNG_BUDGET_OR_COUNTERS"),
    (JITTER_LOG, "another lane", "permuted", other_lane, "E610_RNG_BUDGET_OR_COUNTERS"),
    (JOINED, "drop", "permuted", drop, "E701_ROW_MISSING"),
    (JOINED, "drop an outlet", "own_point", drop, "E708_1A_COVERAGE_FAIL"),
    (JOINED, "swap", "permuted", swap, "E706_WRITER_SORT_VIOLATION"),
    (JOINED, "repeat", "permuted", repeat, "E703_DUP_KEY"),
    (JOINED, "add one to tile_id", "permuted", add("tile_id"), "E702_ROW_EXTRA"),
    (JOINED, "leave the index", "permuted", add("tile_id", 10**6), "E709_TILE_FK_VIOLATION"),
    (JOINED, "add to the key", "permuted", add("merchant_id"), "E708_1A_COVERAGE_FAIL"),
    (JOINED, "nudge", "own_point", add("lon_deg", 1e-12), "E702_ROW_EXTRA"),
    (JOINED, "leave the tile", "permuted", add("lat_deg", 1.0), "E707_POINT_OUTSIDE_PIXEL"),
    (LOCATED, "drop", "permuted", drop, "E801_ROW_MISSING"),
    (LOCATED, "swap", "permuted", swap, "E806_WRITER_SORT_VIOLATION"),
    (LOCATED, "repeat", "permuted", repeat, "E803_DUP_KEY"),
    (LOCATED, "add to the key", "permuted", add("merchant_id"), "E802_ROW_EXTRA"),
    (LOCATED, "nudge", "permuted", add("lat_deg", 1e-12), "E802_ROW_EXTRA"),
    (LOCATED, "exchange", "own_point", exchange("lon_deg"), "E802_ROW_EXTRA"),
]


@pytest.mark.parametrize(
    ("dataset_id", "what", "law", "change", "code"),
    CHANGES,
    ids=[f"{d}: {what}, {law}" for d, what, law, _, _ in CHANGES],
)
def test_a_changed_row_is_found_by_the_receipt_and_by_the_law_where_the_receipt_was_forged(
    dataset_id: str, what: str, law: str, change: Change, code: str, place: Copy
) -> None:
    spoiled, state = place(law), STATE[dataset_id]
    spoiled.edit(dataset_id, change)
    found = spoiled.failing(state).of_code(RECEIPT_CODE)
    assert found.rows[0]["path"] == "part-00000.parquet"
    spoiled.forge_receipt(dataset_id)
    failing = spoiled.failing(state)
    assert f"{state} receipt_{dataset_id}" not in failing
    keys = {"tile_id", "legal_country_iso", "merchant_id"}
    assert keys & set().union(*failing.rows(code))


@pytest.mark.parametrize("dataset_id", STATE)
def test_a_flipped_byte_is_found_wherever_it_stands(dataset_id: str, place: Copy) -> None:
    spoiled = place()
    path = spoiled.part(dataset_id)
    whole = path.read_bytes()
    for at in range(4, len(whole), len(whole) // 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        found = spoiled.failing(STATE[dataset_id]).of_code(RECEIPT_CODE)
        assert "part-00000.parquet" in str(found.rows[0])


@pytest.mark.parametrize("dataset_id", STATE)
def test_a_stray_file_and_another_cut_are_found(dataset_id: str, place: Copy) -> None:
    spoiled, state = place(), STATE[dataset_id]
    path = spoiled.part(dataset_id)
    schema = contracts.load()[dataset_id].arrow_schema
    pq.write_table(pq.read_table(path).cast(schema), path, row_group_size=7)
    spoiled.forge_receipt(dataset_id)
    (path.parent / "notes.txt").write_text("later")
    failing = spoiled.failing(state)
    assert f"{state} stray_files_{dataset_id}" in failing
    assert f"{state} file_cut_{dataset_id}" in failing


@pytest.mark.parametrize(
    ("dataset_id", "column", "code"),
    [
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
    dataset_id: str, column: str, code: str, place: Copy
) -> None:
    spoiled = place()
    path = spoiled.part(dataset_id)
    table = pq.read_table(path)
    pq.write_table(table.append_column(column, pa.array(range(len(table)))), path)
    assert column in str(spoiled.failing(STATE[dataset_id]).of_code(code).rows[0])


# ------------------------------------------------------------------ trace and audit

TRACES = [
    ("rng_trace_site_tile_assign", "s5", "E507_RNG_EVENT_MISMATCH"),
    ("rng_trace_in_cell_jitter", "s6", "E610_RNG_BUDGET_OR_COUNTERS"),
]


def edit_lines(world: World, dataset_id: str, change: Callable[[Rows], Any]) -> None:
    path = world.path(dataset_id)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(("dataset_id", "state", "code"), TRACES)
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
    dataset_id: str, state: str, code: str, change: Callable[[Rows], Any], place: Copy
) -> None:
    spoiled = place()
    edit_lines(spoiled, dataset_id, change)
    failing = spoiled.failing(state)
    assert failing.of_code(code)
    assert {f"{state} trace", f"{state} readable_{dataset_id}"} & set(failing)


@pytest.mark.parametrize(("dataset_id", "state", "code"), TRACES)
def test_a_trace_with_other_bytes_is_not_that_of_its_receipt(
    dataset_id: str, state: str, code: str, place: Copy
) -> None:
    spoiled = place()
    edit_lines(spoiled, dataset_id, list)
    failing = spoiled.failing(state)
    assert set(failing) == {f"{state} trace_receipt"}
    assert failing.of_code(code)


@pytest.mark.parametrize(("dataset_id", "state", "code"), TRACES)
@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.update(rows=said["rows"] + 1),
        lambda said: said.update(rows=float(said["rows"])),
        lambda said: said.update(content_sha256_hex="0" * 64),
    ],
    ids=["rows", "float", "content"],
)
def test_the_receipt_of_a_trace_is_taken_again_whole(
    dataset_id: str, state: str, code: str, change: Callable[[Any], Any], place: Copy
) -> None:
    spoiled = place()
    spoiled.rewrite(f"{state}_run_report", lambda report: change(report["trace_receipt"]))
    failing = spoiled.failing(state)
    assert set(failing) == {f"{state} trace_receipt"}
    assert failing.of_code(code)


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
def test_a_changed_audit_log_is_found(change: Callable[[Rows], Any], place: Copy) -> None:
    spoiled = place()
    edit_lines(spoiled, "rng_audit_log", change)
    assert spoiled.failing("s5").of_code("E507_RNG_EVENT_MISMATCH")


def test_an_event_without_draw_is_found_where_sites_take_their_own_points(place: Copy) -> None:
    spoiled = place("own_point")
    path = spoiled.part(ASSIGN_LOG)
    row = {"merchant_id": 1, "legal_country_iso": "PT", "site_order": 1, "word": 5}
    schema = contracts.load()[ASSIGN_LOG].arrow_schema
    pq.write_table(pa.Table.from_pylist([row], schema=schema), path)
    spoiled.forge_receipt(ASSIGN_LOG)
    assert {"s5 events", "s5 words", "s5 trace"} <= set(spoiled.failing("s5"))


@pytest.mark.parametrize("dataset_id", ["rng_trace_in_cell_jitter", JITTER_LOG])
@pytest.mark.code("E611_LOG_PARTITION_LAW")
def test_a_log_that_lies_elsewhere_is_found(dataset_id: str, place: Copy) -> None:
    spoiled = place()
    path = spoiled.path(dataset_id)
    other = path.parent / "elsewhere"
    path.rename(other)
    assert spoiled.failing("s6").of_code("E611_LOG_PARTITION_LAW")


# ------------------------------------------------------------------ run reports


def raised(field: str) -> Callable[[dict[str, Any]], None]:
    def change(report: dict[str, Any]) -> None:
        report[field] += 1

    return change


REPORTS: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    *(
        ("s5", raised(name), "E515_RUN_REPORT_MISSING_FIELDS")
        for name in ("rows_emitted", "pairs_total", "rng_events_emitted", "ties_broken_total")
    ),
    ("s5", lambda r: r.update(match="own_point"), "E515_RUN_REPORT_MISSING_FIELDS"),
    ("s5", lambda r: r.pop("pairs_total"), "E515_RUN_REPORT_MISSING_FIELDS"),
    ("s5", lambda r: r.update(run_id="0" * 32), "E508_TOKEN_MISMATCH"),
    ("s5", lambda r: r["input_digests"].update(s4_alloc_plan="0" * 64), "E508_TOKEN_MISMATCH"),
    ("s5", lambda r: r["input_digests"].update(world_countries="0" * 64), "E510_DISALLOWED_READ"),
    ("s5", lambda r: r.update(audit_sha256_hex="0" * 64), "E507_RNG_EVENT_MISMATCH"),
    ("s6", raised("sites_total"), "E515_RUN_REPORT_MISSING_FIELDS"),
    ("s6", raised("interior_tiles"), "E515_RUN_REPORT_MISSING_FIELDS"),
    ("s6", raised("border_tiles"), "E515_RUN_REPORT_MISSING_FIELDS"),
    ("s6", lambda r: r["by_country"].pop("PT"), "E515_RUN_REPORT_MISSING_FIELDS"),
    ("s6", lambda r: r["by_country"]["PT"].update(attempts=1), "E515_RUN_REPORT_MISSING_FIELDS"),
    ("s6", lambda r: r["rng"].update(events_total=1), "E610_RNG_BUDGET_OR_COUNTERS"),
    ("s6", lambda r: r["rng"].update(draws_total="1"), "E610_RNG_BUDGET_OR_COUNTERS"),
    ("s6", lambda r: r["rng"].update(lanes=[1, 2, 3]), "E610_RNG_BUDGET_OR_COUNTERS"),
    ("s6", lambda r: r["rng"]["attempt_histogram"].update({"3": 9}), "E610_RNG_BUDGET_OR_COUNTERS"),
    ("s6", lambda r: r["input_digests"].update(tile_bounds="0" * 64), "E508_TOKEN_MISMATCH"),
    *(
        ("s7", raised(name), "E515_RUN_REPORT_MISSING_FIELDS")
        for name in ("sites_total_s5", "sites_total_s6", "sites_total_s7", "coverage_1a_ok_count")
    ),
    ("s7", lambda r: r["by_country"].pop("PT"), "E515_RUN_REPORT_MISSING_FIELDS"),
    ("s7", lambda r: r["by_country"]["PT"].update(inside=1), "E515_RUN_REPORT_MISSING_FIELDS"),
    *(
        ("s7", raised(name), "E515_RUN_REPORT_MISSING_FIELDS")
        for name in ("fk_tile_ok_count", "inside_pixel_ok_count", "coverage_1a_miss_count")
    ),
    ("s7", lambda r: r.update(flag_sha256_hex="0" * 64), "E705_PARTITION_OR_IDENTITY"),
    ("s7", lambda r: r.update(excluded_by_policy={}), "E708_1A_COVERAGE_FAIL"),
    (
        "s8",
        lambda r: r.update(parameter_hash_consumed="0" * 64),
        "E809_PARTITION_SHIFT_VIOLATION",
    ),
    ("s8", raised("rows_s7"), "E515_RUN_REPORT_MISSING_FIELDS"),
    ("s8", lambda r: r["by_country"].update(PT=1), "E515_RUN_REPORT_MISSING_FIELDS"),
    (
        "s8",
        lambda r: r["determinism_receipt"].update(partition_path="data/elsewhere"),
        "E812_RESOLUTION_DISCIPLINE",
    ),
]


@pytest.mark.parametrize(("state", "change", "code"), REPORTS)
def test_a_changed_run_report_is_found(
    state: str, change: Callable[[dict[str, Any]], Any], code: str, place: Copy
) -> None:
    spoiled = place()
    spoiled.rewrite(f"{state}_run_report", lambda report: change(report) and None)
    assert spoiled.failing(state).of_code(code)


@pytest.mark.parametrize("name", ["own_point", "permuted"])
def test_what_was_published_passes_every_check(name: str, placed: dict[str, World]) -> None:
    world = placed[name]
    found = validate(world.root, contracts.load(), world.tokens, ["s5", "s6", "s7", "s8", "s9"])
    assert not [result for result in found if not result.ok]
    names = [(result.state, result.name) for result in found]
    assert len(set(names)) == len(names) > 150
    assert all(result.proves and result.code and result.scope for result in found)
