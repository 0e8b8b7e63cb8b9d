"""The one exception: its table of codes, its text, its way through pickle."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from segment1b.errors import CODES, EXIT_CODES, HINTS, Segment1BError, file_error


def test_a_code_that_is_not_in_the_table_cannot_be_raised() -> None:
    with pytest.raises(KeyError, match="E999"):
        Segment1BError("E999_NOTHING", "x")


@pytest.mark.parametrize("name", CODES)
def test_every_code_has_a_scope_and_a_meaning(name: str) -> None:
    scope, meaning = CODES[name]
    assert re.fullmatch(r"E\d{3}_[A-Z0-9_]+|E_[A-Z0-9_]+", name)
    assert scope in {"R", "C", "P", "T", "S", "D"}
    assert len(meaning) > 10


@pytest.mark.parametrize(
    ("code", "hint", "text"),
    [
        ("E_USAGE", "give one", "E_USAGE: x (give one)"),
        ("E_USAGE", None, "E_USAGE: x"),
        ("E_LOCKED", None, "E_LOCKED: x (wait until the other process ends)"),
        ("E_LOCKED", "", "E_LOCKED: x"),
    ],
)
def test_the_text_has_code_message_and_the_hint_that_is_given_or_that_of_the_code(
    code: str, hint: str | None, text: str
) -> None:
    assert str(Segment1BError(code, "x", hint)) == text


def test_hints_and_exit_codes_are_those_of_codes_of_the_table() -> None:
    assert {*HINTS, *EXIT_CODES} <= CODES.keys()


@pytest.mark.parametrize(
    ("problem", "message"),
    [("is empty", "a/b is empty"), (": no row", "a/b: no row"), (", row 2: x", "a/b, row 2: x")],
)
def test_the_error_about_a_file_begins_with_its_path(problem: str, message: str) -> None:
    error = file_error("E_INPUT_UNREADABLE", Path("a/b"), problem, "correct it", row=2)
    assert (error.message, error.hint) == (message, "correct it")
    assert error.scope == {"path": "a/b", "row": 2}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_goes_through_pickle_whole(protocol: int) -> None:
    error = Segment1BError("E302_FK_COUNTRY", "XX", "correct it", merchant_id=7, rows=[1, 2])
    copy = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes
    assert type(copy) is Segment1BError
    assert (copy.code, copy.message, copy.hint) == ("E302_FK_COUNTRY", "XX", "correct it")
    assert copy.scope == {"merchant_id": 7, "rows": [1, 2]}
    assert str(copy) == str(error)
