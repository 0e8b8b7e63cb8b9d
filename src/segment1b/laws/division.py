"""Exact arithmetic whose products pass 64 bits, in numpy's 64-bit integers.

Source: docs/spec/s2-weights.md#exact-division
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

#: Elements worked on at a time: the arrays of one block stay in the second-level cache.
BLOCK: Final = 1 << 16

_DIVISOR_LIMIT: Final = 1 << 62
_QUOTIENT_LIMIT: Final = 1 << 51
_SUM_LIMIT: Final = 1 << 62
_WORD: Final = (1 << 64) - 1
_LOW_HALF: Final = np.uint64(0xFFFFFFFF)
_HALF: Final = np.uint64(32)


def checked_sum(values: Int64s, name: str) -> int:
    """Sum whole numbers exactly, refusing sums that 64 bits cannot hold.

    Args:
        values: int64[t], each >= 0, any unit.
        name: name of the values in an error message.

    Raises:
        ValueError: `values` is not a one-dimensional int64 array, or a value is negative.
        OverflowError: the sum is 2^62 or more.
    """
    if values.ndim != 1 or values.dtype != np.int64:
        raise ValueError(f"{name}: want int64[t], got {values.dtype}{list(values.shape)}")
    if not values.size:
        return 0
    if int(values.min()) < 0:
        raise ValueError(f"{name}: {int(values.min())} is negative")
    # A wrapped int64 sum can look sound; the float sum, right within far less than a factor of
    # two, tells whether wrapping was possible at all.
    total = int(values.sum())
    if float(values.sum(dtype=np.float64)) >= 1.5 * _SUM_LIMIT:
        total = _SUM_LIMIT
    check_limit(total, name)
    return total


def check_limit(total: int, name: str) -> None:
    """Raise OverflowError for a sum of 2^62 or more."""
    if total >= _SUM_LIMIT:
        raise OverflowError(f"{name}: the sum passes 2^62 - 1")


def muldiv(a: Int64s, b: int, m: int, r: Int64s | None = None) -> tuple[Int64s, Int64s]:
    """Divide a*b by m exactly: `q = floor(a*b / m)` and `r = a*b - q*m`.

    The quotient is estimated in float64. `b / m` is rounded once, `a` once and their product once,
    so the relative error is below 3 * 2^-53 (and a hair), which below 2^51 is less than 1: the
    estimate is off by one at most, the remainder it leaves lies in [-m, 2m), and with m < 2^62
    that fits a wrapping 64-bit word.

    Args:
        a: int64[t], each >= 0.
        b: the factor, 0 <= b < 2^63.
        m: the divisor, 1 <= m < 2^62.
        r: int64[t] that takes the remainders, made when absent; it may be `a`, then overwritten.

    Returns:
        int64[t] quotients and int64[t] remainders, 0 <= r < m.

    Raises:
        ValueError: `a` is not int64[t], or something is negative or m is 0.
        OverflowError: m >= 2^62, b >= 2^63, or some quotient is 2^51 or more.
    """
    _check_operands(a, b, m)
    q = np.empty(a.shape, np.int64)
    r = np.empty(a.shape, np.int64) if r is None else r
    for start in range(0, len(a), BLOCK):
        part = slice(start, start + BLOCK)
        _muldiv_block(a[part], b, m, q[part], r[part])
    return q, r


def multiply_high(a: UInt64s, b: int | UInt64s) -> UInt64s:
    """Return the upper 64 bits, uint64[t], of products of uint64[t] a and b: `floor(a*b / 2^64)`.

    `b` is one factor for all or uint64[t]. About six arrays of the size of `a` are alive for a
    moment, so long arrays go by blocks.

    Raises:
        OverflowError: b is negative or 2^64 or more.
    """
    if isinstance(b, int) and not 0 <= b <= _WORD:
        raise OverflowError(f"factor {b} is outside 0..2^64-1")
    factor: np.uint64 | UInt64s = np.uint64(b) if isinstance(b, int) else b
    b_low, b_high = factor & _LOW_HALF, factor >> _HALF
    a_low, a_high = a & _LOW_HALF, a >> _HALF
    # Neither sum can wrap: (2^32-1)^2 + 2*(2^32-1) = 2^64 - 1.
    carry = a_low * b_low
    carry >>= _HALF
    carry += a_high * b_low
    middle = a_low
    middle *= b_high
    middle += carry & _LOW_HALF
    high = a_high
    high *= b_high
    carry >>= _HALF
    high += carry
    middle >>= _HALF
    high += middle
    return high


def _check_operands(a: Int64s, b: int, m: int) -> None:
    if a.ndim != 1 or a.dtype != np.int64:
        raise ValueError(f"want int64[t] to divide, got {a.dtype}{list(a.shape)}")
    if m < 1 or b < 0 or (a.size and int(a.min()) < 0):
        raise ValueError(f"a*b/m wants a >= 0, b >= 0 and m >= 1, got b={b}, m={m}")
    if m >= _DIVISOR_LIMIT or b >= 1 << 63:
        raise OverflowError(f"a*b/m is exact for m < 2^62 and b < 2^63, got b={b}, m={m}")
    if a.size and int(a.max()) * b // m >= _QUOTIENT_LIMIT:
        raise OverflowError(f"a*b/m passes 2^51 - 1 for a={int(a.max())}, b={b}, m={m}")


def _muldiv_block(a: Int64s, b: int, m: int, q: Int64s, r: Int64s) -> None:
    """Fill q and r for one block; all of it wraps modulo 2^64 by intent."""
    q[...] = a * (b / m)
    remainder = r.view(np.uint64)
    np.multiply(a.view(np.uint64), np.uint64(b), out=remainder)
    remainder -= q.view(np.uint64) * np.uint64(m)
    # A negative remainder reads as a huge unsigned one, so one maximum sees both faults.
    while int(remainder.max()) >= m:
        below, above = r < 0, r >= m
        q += above
        q -= below
        r -= above * np.int64(m)
        r += below * np.int64(m)
