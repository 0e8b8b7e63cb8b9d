"""Ties, chains of digests and reports: what only a comparison of several things can find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segment1b import contracts
from segment1b.audit import validate

Rows = list[dict[str, Any]]
World = Any  # of conftest.py, which the import mode keeps out of reach
Copy = Callable[..., World]


def swap(rows: Rows) -> None:
    rows[2], rows[3] = rows[3], rows[2]


@pytest.mark.code("E411_TIE_RULE_VIOLATION")
def test_a_tie_that_was_decided_otherwise_is_told_from_another_law(world: Copy) -> None:
    spoiled = world("ties")

    def give_away(rows: Rows) -> None:
        pairs: dict[Any, Rows] = {}
        for row in rows:
            pairs.setdefault((row["merchant_id"], row["legal_country_iso"]), []).append(row)
        # With equal weights the first tiles have the sites; the last of these loses its own.
        row = next(own[-1] for (_, code), own in pairs.items() if code == "ZA" and len(own) > 2)
        row["tile_id"] = max(r["tile_id"] for r in rows if r["legal_country_iso"] == "ZA")

    spoiled.edit("s4_alloc_plan", give_away)
    spoiled.forge_receipt("s4_alloc_plan")
    failing = spoiled.failing("s4")
    rows = failing.rows("E411_TIE_RULE_VIOLATION")
    assert len(rows) == 2
    assert {row["found"] for row in rows} == {0, 1}
    assert not failing.rows("E417_LAW_VIOLATION")
    # Two sites on one tile, and none on the next, is no question of ties.
    spoiled.edit("s4_alloc_plan", lambda rows: rows[3].update(n_sites_tile=2))
    spoiled.forge_receipt("s4_alloc_plan")
    assert spoiled.failing("s4").rows("E417_LAW_VIOLATION")


@pytest.mark.parametrize(
    ("dataset_id", "state", "code"),
    [
        ("tile_index", "s2", "E101_TILE_INDEX_MISSING"),
        ("tile_weights", "s3", "E306_TOKEN_MISMATCH"),
        ("tile_weights", "s4", "E406_TOKEN_MISMATCH"),
        ("s3_requirements", "s4", "E406_TOKEN_MISMATCH"),
    ],
)
def test_a_changed_input_breaks_the_chain_of_digests_even_when_its_own_receipt_was_forged(
    dataset_id: str, state: str, code: str, world: Copy
) -> None:
    spoiled = world()
    spoiled.edit(dataset_id, swap)
    spoiled.forge_receipt(dataset_id)
    found = spoiled.failing(state).of_code(code)
    assert [row["dataset"] for row in found.rows] == [dataset_id]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("s0", "E_PATH_EMBED_MISMATCH"),
        ("s1", "E108_WRITER_HYGIENE"),
        ("s2", "E108_WRITER_HYGIENE"),
        ("s3", "E306_TOKEN_MISMATCH"),
        ("s4", "E406_TOKEN_MISMATCH"),
    ],
)
def test_a_report_of_another_identity_is_found(state: str, code: str, world: Copy) -> None:
    spoiled = world()
    spoiled.rewrite(f"{state}_run_report", lambda r: r.update(parameter_hash="ab" * 32))
    assert spoiled.failing(state).of_code(code).rows[0]["field"] == "parameter_hash"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("s0", "E_FORBIDDEN_SURFACE_READ"),
        ("s1", "E_FORBIDDEN_SURFACE_READ"),
        ("s2", "E_FORBIDDEN_SURFACE_READ"),
        ("s3", "E311_DISALLOWED_READ"),
        ("s4", "E409_DISALLOWED_READ"),
    ],
)
def test_a_read_outside_the_contract_is_found(state: str, code: str, world: Copy) -> None:
    spoiled = world()
    spoiled.rewrite(
        f"{state}_run_report",
        lambda r: r["input_digests"].update(populated_places="ab" * 32),
    )
    assert spoiled.failing(state).of_code(code).rows[0]["dataset"] == "populated_places"


def test_figures_of_a_report_that_are_not_those_of_the_data_are_found(world: Copy) -> None:
    spoiled = world()

    def change(report: dict[str, Any]) -> None:
        report["quality_by_country"]["PT"]["collapse_index"] *= 1 + 1e-5
        report["quality_by_country"]["ZA"]["tile_load_error_p99"] += 0.1
        report["merchant_summaries"][0]["n_sites_total"] += 1
        report["ingress_versions"]["iso3166"] = "1999"

    spoiled.rewrite("s4_run_report", change)
    failing = spoiled.failing("s4")
    assert set(failing) == {"s4 quality", "s4 merchant_summaries", "s4 versions"}
    assert {r["country_iso"] for r in failing["s4 quality"].rows} == {"PT", "ZA"}
    spoiled.rewrite("s2_run_report", lambda r: r.update(policy_sha256="ab" * 32))
    assert set(spoiled.failing("s2")) == {"s2 report_policy"}


@pytest.mark.parametrize(
    "name", ["iso3166_canonical_2024", "world_countries", "population_raster_2025"]
)
def test_an_input_version_that_is_not_the_dictionarys_is_found(name: str, world: Copy) -> None:
    spoiled = world()
    spoiled.rewrite("s1_run_report", lambda r: r["ingress_versions"].update({name: "1999"}))
    (row,) = spoiled.failing("s1")["s1 versions"].rows
    assert (row["field"], row["found"]) == (name, "1999")


@pytest.mark.code("E009_PERF_BUDGET", "E109_PERF_BUDGET")
def test_budgets_are_checked_when_asked_for(world: Copy) -> None:
    spoiled = world()

    def change(report: dict[str, Any]) -> None:
        report["resources"] |= {
            "max_worker_rss_bytes": 2 << 30,
            "open_files_peak": 1000,
            "wall_clock_seconds_total": 1e6,
        }

    for state, code in (("s1", "E009_PERF_BUDGET"), ("s2", "E109_PERF_BUDGET")):
        spoiled.rewrite(f"{state}_run_report", change)
        assert not spoiled.failing(state)
        found = validate(spoiled.root, contracts.load(), spoiled.tokens, [state], perf=True)
        (breach,) = [result for result in found if not result.ok]
        assert breach.code == code
        assert {"max_worker_rss_bytes", "open_files_peak", "wall_clock_seconds_total"} <= {
            row["field"] for row in breach.rows
        }


def test_a_law_that_nobody_can_derive_again_is_no_silent_pass(
    world: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segment1b.audit.s4.curve_laws.LAWS", frozenset({"stable"}))
    spoiled = world()
    spoiled.rewrite(
        "parameter_policy_1B", lambda d: d["policy"]["allocation"].update(law="balanced")
    )
    failing = spoiled.failing("s4")
    assert failing["s4 known_law"].rows == [{"found": "balanced"}]
    assert "law" in failing["s4 readable_expected_plan"].detail
