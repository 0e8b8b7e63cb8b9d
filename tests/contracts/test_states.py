"""The contracts declare what each state reads, writes and refuses, for the state and its checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from segment1b.audit.plans import PLANS
from segment1b.audit.plans import TRADES as AUDITED_TRADES
from segment1b.contracts import dictionary, load, load_states, locations, states
from segment1b.contracts.program import contracts_root
from segment1b.errors import Segment1BError
from segment1b.states import STATES, TRADES

RAW: dict[str, Any] = yaml.safe_load((contracts_root() / locations.STATES).read_text())


def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put another file in the place of the packaged one."""
    (tmp_path / locations.STATES).parent.mkdir(parents=True)
    (tmp_path / locations.STATES).write_text(text)
    monkeypatch.setattr(states, "contracts_root", lambda: tmp_path)


@pytest.mark.parametrize("state", RAW)
def test_a_state_and_its_validator_have_what_the_contracts_declare(state: str) -> None:
    made = TRADES if state == TRADES.id else STATES[state]
    plan = AUDITED_TRADES if state == TRADES.id else PLANS[state]
    entry = RAW[state]
    assert [list(made.reads), list(made.writes)] == [entry["reads"], entry["writes"]]
    assert list(made.contract.with_trades) == entry.get("with_trades", [])
    assert made.contract.disallowed == entry["disallowed"]
    assert made.contract.stale == entry["stale"]
    assert dict(made.contract.missing) == entry["missing"]
    assert list(plan.absent) == entry["audit"]["opens"]
    assert plan.absent[plan.report] == entry["audit"]["report"]


@pytest.mark.parametrize(
    ("field", "value", "finding"),
    [
        ("reads", ["tile_indices"], "s2: unknown dataset tile_indices"),
        ("stale", "E999_NOTHING", "s2: unknown code E999_NOTHING"),
    ],
)
def test_check_reports_unknown_datasets_and_codes_of_a_state(
    field: str, value: Any, finding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = states.StateContract(**{**RAW["s2"], field: value})
    monkeypatch.setattr(dictionary, "load_states", lambda: {**load_states(), "s2": wrong})
    assert load().check() == [finding]


@pytest.mark.parametrize("text", ["s2: {reads: []}", "s2: 3", "s2: {colour: red}", "- s2"])
def test_an_entry_of_another_shape_is_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited(tmp_path, monkeypatch, text)
    with pytest.raises(Segment1BError, match=r"^E_DICTIONARY_RESOLUTION_FAILED:"):
        load_states.__wrapped__()
