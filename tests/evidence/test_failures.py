"""Failure records: one JSON object each, and never in the way of the failure itself."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from published import KNOWN, TOKENS
from segment1b.errors import Segment1BError
from segment1b.storage.failures import record_failure, utc_now
from segment1b.storage.root import open_root

ERROR = Segment1BError(
    "E302_FK_COUNTRY", "merchant 7 in 'XX'", "mend it", merchant_id=7, country_iso="XX"
)


def recorded(root: Path, error: Segment1BError, state: str | None = "s3") -> dict[str, Any]:
    """Record one failure in a fresh root and return the record."""
    record_failure(open_root(root), KNOWN, error, state, TOKENS if state else {})
    (path,) = (root / "control/failures").iterdir()
    value: dict[str, Any] = json.loads(path.read_bytes())
    assert KNOWN.schemas.problems("schemas.1B.yaml#/report/failure_record", value) == []
    assert path.name == f"{value['at'].replace(':', '')}_{error.code}.json"
    return value


def test_a_record_says_what_where_when_and_in_which_run(tmp_path: Path) -> None:
    record = recorded(tmp_path, ERROR)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record.pop("at"))
    assert record == {
        "event": "S3_ERROR",
        "code": "E302_FK_COUNTRY",
        "tokens": TOKENS,
        "detail": "merchant 7 in 'XX'",
        "merchant_id": 7,
        "country_iso": "XX",
    }


def test_a_failure_outside_a_state_is_the_run_s(tmp_path: Path) -> None:
    record = recorded(tmp_path, Segment1BError("E_USAGE", "no"), None)
    assert (record["event"], record["tokens"]) == ("RUN_ERROR", {})


def test_what_json_cannot_say_is_left_out(tmp_path: Path) -> None:
    error = Segment1BError(
        "E105_NORMALIZATION", "x", path=Path("/a"), mass=float("nan"), row=np.int64(3), col=4,
        rows=[1, {"a": None}], sets={1}, none=None,
    )  # fmt: skip
    record = recorded(tmp_path, error)
    assert {name for name in record if name not in ("event", "code", "at", "tokens", "detail")} == {
        "col",
        "rows",
    }


def test_every_failure_has_a_record_of_its_own_in_order_of_time(tmp_path: Path) -> None:
    root = open_root(tmp_path)
    for number in range(5):
        record_failure(root, KNOWN, Segment1BError("E_USAGE", str(number)), None, {})
    paths = sorted((root / "control/failures").iterdir())
    assert [json.loads(path.read_bytes())["detail"] for path in paths] == list("01234")
    assert list((root / ".staging").iterdir()) == []


@pytest.mark.parametrize("taken", ["control", "control/failures", ".staging"])
def test_a_root_that_cannot_be_written_keeps_no_record_and_raises_nothing(
    tmp_path: Path, taken: str
) -> None:
    path = tmp_path / taken
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    record_failure(tmp_path, KNOWN, ERROR, "s3", TOKENS)
    assert path.read_text() == "mine"
    assert not list(tmp_path.rglob("*.json"))


def test_the_time_is_utc_with_microseconds() -> None:
    before = datetime.now(UTC)
    said = datetime.fromisoformat(utc_now())
    assert before <= said <= datetime.now(UTC)
