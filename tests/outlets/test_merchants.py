"""Any text is a merchant id, and each id alone decides about its number."""

from __future__ import annotations

import hashlib
import re

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segment1b.outlets import merchants
from segment1b.outlets.merchants import clashes, merchant_numbers


@given(st.lists(st.one_of(st.none(), st.text(), st.integers(-5, 2**64).map(str))))
@example(["٣", "1\n", "01", "+1", "1.0", "9223372036854775808", " "])
def test_numbers_stay_and_texts_have_bits_of_their_digest(ids: list[str | None]) -> None:
    found = merchant_numbers(pa.array(ids, pa.string())).tolist()
    for text, number in zip(ids, found, strict=True):
        if re.fullmatch("[1-9][0-9]*", text or "") and int(text or 0) < 2**63:
            assert str(number) == text
        elif text and not text.isspace():
            assert number == int(hashlib.sha256(text.encode()).hexdigest(), 16) >> 193
        else:
            assert number == 0


def test_worked_numbers() -> None:
    ids = ["259", "ACME-001", "007", "9223372036854775807", "9223372036854775808", None]
    assert merchant_numbers(pa.array(ids)).tolist() == [
        259,
        int(hashlib.sha256(b"ACME-001").hexdigest()[:16], 16) // 2,
        int(hashlib.sha256(b"007").hexdigest()[:16], 16) // 2,
        9223372036854775807,
        int(hashlib.sha256(b"9223372036854775808").hexdigest()[:16], 16) // 2,
        0,
    ]


def test_two_ids_with_one_number_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    number = int(hashlib.sha256(b"ACME").hexdigest()[:16], 16) // 2
    assert clashes(pa.array(["ACME", str(number), "x", "x", None])) == [(str(number), "ACME")]
    assert clashes(pa.array(["ACME", "acme", "1", "01"])) == []
    monkeypatch.setattr(merchants.hashlib, "sha256", lambda _: hashlib.md5(b"one"))  # noqa: S324
    assert clashes(pa.array(["a", "b"])) == [("a", "b")]
