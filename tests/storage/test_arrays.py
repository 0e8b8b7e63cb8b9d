"""Whole-array helpers give what numpy's own slower ones give."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segment1b.storage.arrays import distinct


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_distinct_values_are_those_of_a_set_in_ascending_order(values: list[int]) -> None:
    found = distinct(np.array(values, np.uint64))
    assert found.dtype == np.uint64
    assert found.tolist() == sorted(set(values))


@given(st.lists(st.floats(allow_nan=False)))
def test_distinct_numbers_are_those_that_compare_unequal(values: list[float]) -> None:
    assert distinct(np.array(values)).tolist() == sorted(set(values))
