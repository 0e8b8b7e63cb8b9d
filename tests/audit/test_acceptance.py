"""What S9 examines before it gives its verdict."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from segment1b.audit.acceptance import Acceptance, accept, examine, examined_states
from segment1b.identity import canonical_json
from spoil import (
    ASSIGN_LOG,
    ASSIGNED,
    JITTER_LOG,
    JITTERED,
    JOINED,
    LOCATED,
    Change,
    World,
    add,
    drop,
    put,
    repeat,
)

Copy = Callable[[str], World]


def accepted(world: World) -> dict[str, Acceptance]:
    root = world.published
    policy = root.document("parameter_policy_1B")["policy"]
    states = examined_states(policy["allocation"]["law"], trades="trades" in policy)
    examined = [check for state in states for check in examine(state, root)]
    return {one.check: one for one in accept(root, examined, tiles_proven=True)}


@pytest.mark.parametrize("name", ["stable", "permuted"])
def test_what_was_published_is_accepted(name: str, published: Copy) -> None:
    found = accepted(published(name))
    assert list(found) == [f"A{n}" for n in (*range(901, 906), *range(911, 916), 917, 918)]
    assert not [one for one in found.values() if one.failures or one.examples]


#: What is changed, and the acceptance checks that fail with their codes.
CHANGES: list[tuple[str, Change, dict[str, str]]] = [
    (LOCATED, drop, {"A901": "E901_ROW_MISSING", "A915": "E916_COVERAGE_1A"}),
    (
        LOCATED,
        put("lat_deg", 89.0),
        {"A913": "E914_DRAW_REPLAY_MISMATCH", "A914": "E915_POINT_OUTSIDE_COUNTRY"},
    ),
    (JOINED, repeat, {"A901": "E903_DUP_KEY"}),
    (ASSIGNED, repeat, {"A901": "E903_DUP_KEY"}),
    (
        LOCATED,
        lambda rows: rows.append(rows[-1] | {"site_order": 9999}),
        {"A901": "E902_ROW_EXTRA"},
    ),
    (
        "s8_run_report",
        lambda report: report["by_country"].update(PT=1),
        {"A905": "E907_RNG_BUDGET_OR_COUNTERS"},
    ),
    (
        "s3_run_report",
        lambda report: report.update(merchants_total=1),
        {"A917": "E918_UPSTREAM_NOT_PROVEN"},
    ),
    (
        JITTERED,
        add("merchant_id"),
        {"A901": "E901_ROW_MISSING", "A905": "E907_RNG_BUDGET_OR_COUNTERS"},
    ),
    (JITTERED, put("delta_lat_deg", math.nan), {"A902": "E904_EGRESS_SCHEMA_VIOLATION"}),
    (
        JITTERED,
        lambda rows: rows.reverse(),
        {"A901": "E906_WRITER_SORT_VIOLATION", "A904": "E906_WRITER_SORT_VIOLATION"},
    ),
    (ASSIGN_LOG, put("word", 0), {"A913": "E914_DRAW_REPLAY_MISMATCH"}),
    (
        JITTER_LOG,
        add("blocks"),
        {"A905": "E907_RNG_BUDGET_OR_COUNTERS", "A913": "E914_DRAW_REPLAY_MISMATCH"},
    ),
    (
        ASSIGNED,
        put("tile_id", 1),
        {"A902": "E904_EGRESS_SCHEMA_VIOLATION", "A913": "E914_DRAW_REPLAY_MISMATCH"},
    ),
]


@pytest.mark.parametrize(
    ("dataset_id", "change", "failing"),
    [pytest.param(*case, marks=pytest.mark.code(*case[2].values())) for case in CHANGES],
)
def test_what_was_changed_is_not_accepted(
    dataset_id: str, change: Change, failing: dict[str, str], world: Copy
) -> None:
    spoiled = world("permuted")
    if dataset_id.endswith("_run_report"):
        spoiled.rewrite(dataset_id, lambda report: change(report) and None)
    else:
        spoiled.edit(dataset_id, change)
        assert accepted(spoiled)["A903"].failures
        spoiled.forge_receipt(dataset_id)
    found = accepted(spoiled)
    for check, code in failing.items():
        assert (found[check].code, found[check].failures > 0) == (code, True)
        assert found[check].examples
        canonical_json(found[check].examples)


@pytest.mark.parametrize("state", ["s4", "s5", "s8"])
def test_what_no_report_commits_is_not_looked_into(state: str, world: Copy) -> None:
    spoiled = world("permuted")
    spoiled.path(f"{state}_run_report").unlink()
    found = accepted(spoiled)
    assert all(one.failures for one in found.values() if one.check != "A918")
    assert f"{state}_run_report" in str(found["A901"].examples[0])


def test_a_damaged_partition_fails_every_check_that_needs_it(world: Copy) -> None:
    spoiled = world("permuted")
    path = spoiled.part("s6_site_jitter")
    path.write_bytes(path.read_bytes()[:-50])
    found = accepted(spoiled)
    assert {"A901", "A902", "A903", "A904", "A905", "A911", "A913"} <= {
        one.check for one in found.values() if one.failures
    }
