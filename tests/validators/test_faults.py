"""What is absent or cannot be read is one fault, under the code of the state that needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

World = Any  # of conftest.py, which the import mode keeps out of reach
Copy = Callable[..., World]


@pytest.mark.parametrize(
    ("gone", "state", "code"),
    [
        ("s0_gate_receipt_1B", "s0", "E301_NO_PASS_FLAG"),
        ("outlet_catalogue", "s0", "E_PARTITION_MISPLACED"),
        ("s1_run_report", "s1", "E108_WRITER_HYGIENE"),
        ("world_countries", "s1", "E_REFERENCE_SURFACE_MISSING"),
        ("tile_index", "s2", "E101_TILE_INDEX_MISSING"),
        ("population_raster_2025", "s2", "E_REFERENCE_SURFACE_MISSING"),
        ("s0_gate_receipt_1B", "s3", "E301_NO_PASS_FLAG"),
        ("tile_weights", "s3", "E303_MISSING_WEIGHTS"),
        ("outlet_catalogue", "s3", "E_PARTITION_MISPLACED"),
        ("s3_requirements", "s4", "E401_NO_S3_REQUIREMENTS"),
        ("s3_run_report", "s4", "E401_NO_S3_REQUIREMENTS"),
        ("tile_weights", "s4", "E402_MISSING_TILE_WEIGHTS"),
        ("tile_index", "s4", "E403_ZERO_TILE_UNIVERSE"),
        ("s4_run_report", "s4", "E415_RUN_REPORT_MISSING_FIELDS"),
        ("parameter_policy_1B", "s4", "E_REFERENCE_SURFACE_MISSING"),
        ("iso3166_canonical_2024", "s4", "E_REFERENCE_SURFACE_MISSING"),
    ],
)
def test_what_is_absent_is_reported_once_under_the_code_of_the_state_that_needs_it(
    gone: str, state: str, code: str, world: Copy
) -> None:
    spoiled = world()
    spoiled.path(gone).rename(spoiled.root / "taken away")
    failing = spoiled.failing(state)
    found = failing[f"{state} readable_{gone}"]
    assert (found.code, found.offending) == (code, 1)
    # The gate names what it misses once more, where it counts what was sealed.
    others = {name for name in failing if name != f"{state} readable_{gone}"}
    assert state == "s0" or not others


@pytest.mark.parametrize("state", ["s0", "s1", "s2", "s3", "s4"])
@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"[]", b"{}"])
def test_a_run_report_that_cannot_be_read_is_one_fault(
    state: str, text: bytes, world: Copy
) -> None:
    spoiled = world()
    spoiled.path(f"{state}_run_report").write_bytes(text)
    (found,) = spoiled.failing(state).values()
    assert found.name == f"readable_{state}_run_report"
    assert found.detail.startswith("checks not possible: ")
