"""Run reports: identity, reads, digests of inputs, figures and budgets are checked."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import pytest

from segment1b.audit import validate
from spoil import INDEX, KNOWN, NEEDS, PLAN, WEIGHTS, Change, Rows, World, swap

Copy = Callable[[str], World]
ZEROS = "0" * 64


def raised(field: str) -> Change:
    return lambda report: report.update({field: report[field] + 1})


def within(*keys: str, **fields: Any) -> Change:
    """Change fields of the report, or of an object in it."""
    return lambda report: functools.reduce(operator.getitem, keys, report).update(fields)


def another_read(dataset_id: str) -> Change:
    return within("input_digests", **{dataset_id: ZEROS})


#: The state, the change of its report, the code of a check that fails, what its rows name.
REPORTS: list[tuple[str, Change, str, str]] = [
    ("s0", within(parameter_hash=ZEROS), "E_PATH_EMBED_MISMATCH", "parameter_hash"),
    ("s1", within(parameter_hash=ZEROS), "E108_WRITER_HYGIENE", "parameter_hash"),
    ("s2", within(parameter_hash=ZEROS), "E108_WRITER_HYGIENE", "parameter_hash"),
    ("s3", within(parameter_hash=ZEROS), "E306_TOKEN_MISMATCH", "parameter_hash"),
    ("s4", within(parameter_hash=ZEROS), "E406_TOKEN_MISMATCH", "parameter_hash"),
    ("s0", another_read("populated_places"), "E_FORBIDDEN_SURFACE_READ", "populated_places"),
    ("s1", another_read("populated_places"), "E_FORBIDDEN_SURFACE_READ", "populated_places"),
    ("s2", another_read("populated_places"), "E_FORBIDDEN_SURFACE_READ", "populated_places"),
    ("s3", another_read("populated_places"), "E311_DISALLOWED_READ", "populated_places"),
    ("s4", another_read("populated_places"), "E409_DISALLOWED_READ", "populated_places"),
    ("s5", raised("rows_emitted"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s5", raised("pairs_total"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s5", raised("rng_events_emitted"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s5", raised("ties_broken_total"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s5", within(match="own_point"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s5", lambda r: r.pop("pairs_total"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s5", within(run_id="0" * 32), "E508_TOKEN_MISMATCH", ""),
    ("s5", another_read(PLAN), "E508_TOKEN_MISMATCH", PLAN),
    ("s5", another_read("world_countries"), "E510_DISALLOWED_READ", "world_countries"),
    ("s5", within(audit_sha256_hex=ZEROS), "E507_RNG_EVENT_MISMATCH", ""),
    ("s6", raised("sites_total"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s6", raised("interior_tiles"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s6", raised("border_tiles"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s6", lambda r: r["by_country"].pop("PT"), "E515_RUN_REPORT_MISSING_FIELDS", "PT"),
    ("s6", within("by_country", "PT", attempts=1), "E515_RUN_REPORT_MISSING_FIELDS", "PT"),
    ("s6", within("rng", events_total=1), "E610_RNG_BUDGET_OR_COUNTERS", ""),
    ("s6", within("rng", draws_total="1"), "E610_RNG_BUDGET_OR_COUNTERS", ""),
    ("s6", within("rng", lanes=[1, 2, 3]), "E610_RNG_BUDGET_OR_COUNTERS", ""),
    ("s6", within("rng", "attempt_histogram", **{"3": 9}), "E610_RNG_BUDGET_OR_COUNTERS", ""),
    ("s6", another_read("tile_bounds"), "E508_TOKEN_MISMATCH", "tile_bounds"),
    ("s7", raised("sites_total_s5"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s7", raised("sites_total_s6"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s7", raised("sites_total_s7"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s7", raised("coverage_1a_ok_count"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s7", lambda r: r["by_country"].pop("PT"), "E515_RUN_REPORT_MISSING_FIELDS", "PT"),
    ("s7", within("by_country", "PT", inside=1), "E515_RUN_REPORT_MISSING_FIELDS", "PT"),
    ("s7", raised("fk_tile_ok_count"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s7", raised("inside_pixel_ok_count"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s7", within(flag_sha256_hex=ZEROS), "E705_PARTITION_OR_IDENTITY", ""),
    ("s7", within(excluded_by_policy={}), "E708_1A_COVERAGE_FAIL", ""),
    ("s8", within(parameter_hash_consumed=ZEROS), "E809_PARTITION_SHIFT_VIOLATION", ""),
    ("s8", raised("rows_s7"), "E515_RUN_REPORT_MISSING_FIELDS", ""),
    ("s8", within("by_country", PT=1), "E515_RUN_REPORT_MISSING_FIELDS", "PT"),
    ("s8", within(seed=7), "E805_PARTITION_OR_IDENTITY", "seed"),
    (
        "s8",
        within("determinism_receipt", partition_path="data/x"),
        "E812_RESOLUTION_DISCIPLINE",
        "",
    ),
]


@pytest.mark.parametrize(("state", "change", "code", "named"), REPORTS)
def test_a_changed_run_report_is_found(
    state: str, change: Change, code: str, named: str, world: Copy
) -> None:
    spoiled = world("stable" if state < "s5" else "permuted")
    spoiled.rewrite(f"{state}_run_report", lambda report: change(report) and None)
    assert named in str(spoiled.failing(state).rows(code) or spoiled.failing(state).of_code(code))


@pytest.mark.parametrize("state", ["s0", "s1", "s2", "s3", "s4"])
@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"[]", b"{}"])
def test_a_run_report_that_cannot_be_read_is_one_fault(
    state: str, text: bytes, world: Copy
) -> None:
    spoiled = world("stable")
    spoiled.path(f"{state}_run_report").write_bytes(text)
    (found,) = spoiled.failing(state).values()
    assert found.name == f"readable_{state}_run_report"
    assert found.detail.startswith("checks not possible: ")


@pytest.mark.parametrize(
    ("dataset_id", "state", "code"),
    [
        (INDEX, "s2", "E101_TILE_INDEX_MISSING"),
        (WEIGHTS, "s3", "E306_TOKEN_MISMATCH"),
        (WEIGHTS, "s4", "E406_TOKEN_MISMATCH"),
        (NEEDS, "s4", "E406_TOKEN_MISMATCH"),
    ],
)
def test_a_changed_input_breaks_the_chain_of_digests_even_when_its_own_receipt_was_forged(
    dataset_id: str, state: str, code: str, world: Copy
) -> None:
    spoiled = world("stable")
    spoiled.forge(dataset_id, swap)
    found = spoiled.failing(state).of_code(code)
    assert [row["dataset"] for row in found.rows] == [dataset_id]


@pytest.mark.code("E411_TIE_RULE_VIOLATION", "E417_LAW_VIOLATION")
def test_a_tie_that_was_decided_otherwise_is_told_from_another_law(world: Copy) -> None:
    spoiled = world("ties")

    def give_away(rows: Rows) -> None:
        pairs: dict[Any, Rows] = {}
        for row in rows:
            pairs.setdefault((row["merchant_id"], row["legal_country_iso"]), []).append(row)
        # With equal weights the first tiles have the sites; the last of these loses its own.
        row = next(own[-1] for (_, code), own in pairs.items() if code == "ZA" and len(own) > 2)
        row["tile_id"] = max(r["tile_id"] for r in rows if r["legal_country_iso"] == "ZA")

    spoiled.forge(PLAN, give_away)
    failing = spoiled.failing("s4")
    rows = failing.rows("E411_TIE_RULE_VIOLATION")
    assert len(rows) == 2
    assert {row["found"] for row in rows} == {0, 1}
    assert not failing.rows("E417_LAW_VIOLATION")
    # Two sites on one tile, and none on the next, is no question of ties.
    spoiled.forge(PLAN, lambda rows: rows[3].update(n_sites_tile=2))
    assert spoiled.failing("s4").rows("E417_LAW_VIOLATION")


def test_figures_of_a_report_that_are_not_those_of_the_data_are_found(world: Copy) -> None:
    spoiled = world("stable")

    def change(report: dict[str, Any]) -> None:
        report["quality_by_country"]["PT"]["collapse_index"] *= 1 + 1e-5
        report["quality_by_country"]["ZA"]["tile_load_error_p99"] += 0.1
        report["merchant_summaries"][0]["n_sites_total"] += 1
        report["ingress_versions"]["iso3166"] = "1999"

    spoiled.rewrite("s4_run_report", change)
    failing = spoiled.failing("s4")
    assert set(failing) == {"s4 quality", "s4 merchant_summaries", "s4 versions"}
    assert {r["country_iso"] for r in failing["s4 quality"].rows} == {"PT", "ZA"}


def fractional_rows(report: dict[str, Any]) -> None:
    report["determinism_receipt"]["rows"] = float(report["determinism_receipt"]["rows"])


@pytest.mark.parametrize(
    ("state", "change", "check", "named"),
    [
        ("s1", within("ingress_versions", **{name: "1999"}), "versions", name)
        for name in ("iso3166_canonical_2024", "world_countries", "population_raster_2025")
    ]
    + [
        ("s2", within(policy_sha256="ab" * 32), "report_policy", "policy_sha256"),
        ("s3", fractional_rows, "receipt_s3_requirements", "rows"),
    ],
)
def test_a_figure_that_is_not_that_of_the_inputs_fails_one_check(
    state: str, change: Change, check: str, named: str, world: Copy
) -> None:
    spoiled = world("stable")
    spoiled.rewrite(f"{state}_run_report", change)
    failing = spoiled.failing(state)
    assert set(failing) == {f"{state} {check}"}
    assert [row["field"] for row in failing[f"{state} {check}"].rows] == [named]


@pytest.mark.parametrize(
    ("state", "code"), [("s1", "E009_PERF_BUDGET"), ("s2", "E109_PERF_BUDGET")]
)
def test_budgets_are_checked_on_demand(state: str, code: str, world: Copy) -> None:
    spoiled = world("stable")
    beyond = {
        "max_worker_rss_bytes": 2 << 30,
        "open_files_peak": 1000,
        "wall_clock_seconds_total": 1e6,
    }
    spoiled.rewrite(f"{state}_run_report", lambda report: report["resources"].update(beyond))
    assert not spoiled.failing(state)
    results = validate(spoiled.root, KNOWN, spoiled.tokens, [state], perf=True)
    (breach,) = [result for result in results if not result.ok]
    assert breach.code == code
    assert beyond.keys() <= {row["field"] for row in breach.rows}


def test_a_law_that_nobody_can_derive_again_is_no_silent_pass(
    world: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segment1b.audit.s4.curve_laws.LAWS", frozenset({"stable"}))
    spoiled = world("stable")
    spoiled.rewrite(
        "parameter_policy_1B", lambda d: d["policy"]["allocation"].update(law="balanced")
    )
    failing = spoiled.failing("s4")
    assert failing["s4 known_law"].rows == [{"found": "balanced"}]
    assert "law" in failing["s4 readable_expected_plan"].detail
