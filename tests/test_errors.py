"""The one exception: its table of codes, its text, its way through pickle."""

from __future__ import annotations

import pickle
import re

import pytest

from segment1b.errors import CODES, Segment1BError


def test_a_code_that_is_not_in_the_table_cannot_be_raised() -> None:
    with pytest.raises(KeyError, match="E999"):
        Segment1BError("E999_NOTHING", "x")


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_scope_and_a_meaning(code: str) -> None:
    scope, meaning = CODES[code]
    assert re.fullmatch(r"E\d{3}_[A-Z0-9_]+|E_[A-Z0-9_]+", code)
    assert scope in {"R", "C", "P", "T", "S", "D"}
    assert len(meaning) > 10


def test_the_text_has_code_message_and_hint() -> None:
    assert str(Segment1BError("E_USAGE", "no seed", "give one")) == "E_USAGE: no seed (give one)"
    assert str(Segment1BError("E_USAGE", "no seed")) == "E_USAGE: no seed"


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_goes_through_pickle_whole(protocol: int) -> None:
    error = Segment1BError("E302_FK_COUNTRY", "XX", "mend it", merchant_id=7, rows=[1, 2])
    copy = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes
    assert type(copy) is Segment1BError
    assert (copy.code, copy.message, copy.hint) == ("E302_FK_COUNTRY", "XX", "mend it")
    assert copy.scope == {"merchant_id": 7, "rows": [1, 2]}
    assert str(copy) == str(error)
