"""Exact division and multiply-high at the limits of what 64 bits hold."""

import numpy as np
import pytest

from segment1b.laws.division import BLOCK, checked_sum, muldiv, multiply_high


def exact(a: list[int], b: int, m: int) -> list[tuple[int, int]]:
    return [divmod(x * b, m) for x in a]


def test_quotients_reach_2_to_the_51_with_a_divisor_below_2_to_the_62() -> None:
    """At both limits at once, around every multiple of m, quotient and remainder are exact."""
    m, b = (1 << 62) - 1, (1 << 51) - 1
    a = [0, 1, 2, m // b, m // b + 1, m // 2, m - 2, m - 1, m]
    q, r = muldiv(np.array(a, np.int64), b, m)
    assert list(zip(q.tolist(), r.tolist(), strict=True)) == exact(a, b, m)


@pytest.mark.parametrize("near", [-1, 0, 1])
def test_values_beside_an_exact_multiple_fall_on_the_right_side(near: int) -> None:
    """Float64 rounds a*b/m to a whole number there; the correction must undo it."""
    m, b = 10**15, 10**15
    quotients = np.random.default_rng(5).integers(1, 10**15, 3 * BLOCK + 17)
    a = (quotients + near).astype(np.int64)
    q, r = muldiv(a, b, m)
    assert q.tolist() == a.tolist()
    assert not r.any()


def test_an_empty_array_divides_into_empty_arrays() -> None:
    """No tiles, no quotients."""
    q, r = muldiv(np.empty(0, np.int64), 3, 7)
    assert len(q) == len(r) == 0


def test_multiply_high_equals_python_integers() -> None:
    """All-ones operands would carry out of a careless sum."""
    edges = [0, 1, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
    drawn = np.random.default_rng(3).integers(0, 1 << 64, 1000, dtype=np.uint64, endpoint=False)
    a = [*edges, *drawn.tolist()]
    for b in [*edges, 10**15, 0xD2E7470EE14C6C93]:
        high = multiply_high(np.array(a, np.uint64), b)
        assert high.tolist() == [x * b >> 64 for x in a]
    pairs = [(x, y) for x in a for y in edges]
    many, factors = (np.array(column, np.uint64) for column in zip(*pairs, strict=True))
    assert multiply_high(many, factors).tolist() == [x * y >> 64 for x, y in pairs]


def test_multiply_high_leaves_its_operand_alone() -> None:
    """It works in place on its own halves only."""
    a = np.arange(10, dtype=np.uint64)
    multiply_high(a, 1 << 63)
    assert a.tolist() == list(range(10))


def test_a_sum_that_would_wrap_is_refused() -> None:
    """Four times 2^62 wraps to 0 in int64, which a sum check would take for sound."""
    for times in range(2, 10):
        with pytest.raises(OverflowError, match="2\\^62"):
            checked_sum(np.full(times, 1 << 62, np.int64), "masses")
    with pytest.raises(OverflowError, match="2\\^62"):
        checked_sum(np.array([1 << 62], np.int64), "masses")
    assert checked_sum(np.array([(1 << 62) - 2, 1], np.int64), "masses") == (1 << 62) - 1
