"""What the laws refuse: nothing wraps, nothing is silently placed elsewhere."""

from collections.abc import Callable

import numpy as np
import pytest

from segment1b.laws.apportionment import (
    cut_largest,
    give_largest,
    heaviest,
    largest_remainder,
    largest_remainder_by_n,
    quantise,
)
from segment1b.laws.curves import hilbert_index, locate
from segment1b.laws.division import muldiv, multiply_high
from segment1b.laws.philox import country_word, key_of, philox4x64
from segment1b.laws.points import balanced_points, deal, stable_points, systematic_points

KEY = (0x97B373B73186A9E6, 0x764539BF91958F65)


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def one_point(tiles: np.ndarray, weights: np.ndarray, ncols: int, nrows: int) -> np.ndarray:
    return locate(tiles, weights, ncols, nrows, whole(0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        # Site counts out of order.
        (lambda: largest_remainder_by_n(whole(10), whole(2, 2), 10), ValueError, "ascending"),
        (lambda: largest_remainder_by_n(whole(10), whole(0), 10), ValueError, "ascending"),
        # Weights that cannot be of this country.
        (lambda: largest_remainder(whole(6, 5), 1, 10), ValueError, "more than K"),
        (lambda: largest_remainder(whole(-1, 11), 1, 10), ValueError, "negative"),
        (lambda: largest_remainder(whole(1, 0), 5, 10), ValueError, "wrong weights"),
        (lambda: largest_remainder(whole(1, 0), 2, 10), ValueError, "wrong weights"),
        (lambda: largest_remainder(whole(), 5, 10), ValueError, "wrong weights"),
        (lambda: give_largest(whole(0), whole(1), -1), ValueError, "wrong weights"),
        # No sites, more of them than the exact path can hold, or a cut of nothing.
        (lambda: largest_remainder(whole(10), 0, 10), ValueError, "at least one site"),
        (lambda: largest_remainder(whole(10), 1 << 51, 10), OverflowError, "2\\^51"),
        (lambda: cut_largest(whole(1, 2), 3), ValueError, "cannot take"),
        (lambda: heaviest(whole(1, 2), -1), ValueError, "cannot take"),
        # The bounds under which quantisation is exact; mass 0 calls for the state's fallback.
        (lambda: quantise(whole(1 << 61, 1 << 61), 10), OverflowError, "2\\^62"),
        (lambda: quantise(whole(1), 10**15 + 1), OverflowError, "10\\^15"),
        (lambda: quantise(whole(0, 0), 1), ValueError, "sum to 0"),
        (lambda: quantise(whole(), 1), ValueError, "sum to 0"),
        (lambda: quantise(whole(2, -1), 10), ValueError, "negative"),
        (lambda: quantise(whole(1), 0), ValueError, "at least one unit"),
        # Points of the curve methods.
        (lambda: stable_points(ids(1), whole(-1), 10), ValueError, "negative"),
        (lambda: stable_points(ids(1), whole(1), 0), ValueError, "K = 0"),
        (lambda: stable_points(ids(1, 2), whole(1), 10), ValueError, "2 offsets for 1"),
        (lambda: systematic_points(ids(1), whole(1 << 31), 10), OverflowError, "below 2\\^31"),
        (lambda: systematic_points(ids(1), whole(1), 1 << 62), OverflowError, "2\\^62"),
        (lambda: systematic_points(ids(1), whole(1), 0), ValueError, "no length"),
        (lambda: systematic_points(ids(1, 2), whole(1), 10), ValueError, "2 offsets for 1"),
        (lambda: balanced_points(0, 1, 1 << 31, 10), OverflowError, "below 2\\^31"),
        (lambda: balanced_points(0, 1, 1, 1 << 62), OverflowError, "2\\^62"),
        (lambda: balanced_points(2, 4, 3, 10), ValueError, "points 2 to 4"),
        (lambda: deal(ids(1, 1), whole(1 << 30, 1 << 30), 10), OverflowError, "below 2\\^31"),
        (lambda: deal(ids(1), whole(-1), 10), ValueError, "negative"),
        # Counters, keys and countries of random words.
        (lambda: philox4x64((1 << 64, 0, 0, 0), KEY), OverflowError, "counter word"),
        (lambda: philox4x64((-1, 0, 0, 0), KEY), OverflowError, "counter word"),
        (lambda: philox4x64((0, 0, 0, 0), (1 << 64, 0)), OverflowError, "key word"),
        (lambda: key_of("alloc_offset", 1 << 64), OverflowError, "too big"),
        (lambda: key_of("a\0b", 1), ValueError, "NUL"),
        (lambda: philox4x64((0, np.array([-1]), 0, 0), KEY), ValueError, "negative"),
        (lambda: philox4x64((0, np.array([1.0]), 0, 0), KEY), ValueError, "float64"),
        (lambda: philox4x64((0, np.arange(2), np.arange(1), 0), KEY), ValueError, "lengths"),
        *(
            (lambda iso=iso: country_word(iso), ValueError, "two capital letters")
            for iso in ("gb", "G", "GBR", "G1", "GB\n", "")
        ),
        # Operands of the exact divisions: a wrapped remainder would look sound.
        *(
            (lambda a=a, b=b, m=m: muldiv(whole(a), b, m), OverflowError, "2\\^")
            for a, b, m in (
                *((1, 1, 1 << 62), (1, 1 << 63, 1 << 61)),
                *((1 << 51, 1, 1), (1 << 40, 1 << 12, 2)),
            )
        ),
        *(
            (lambda a=a, b=b, m=m: muldiv(whole(a), b, m), ValueError, "wants a >= 0")
            for a, b, m in ((-1, 1, 1), (1, -1, 1), (1, 1, 0))
        ),
        # Floats would pass through the estimate and come out nearly right.
        (lambda: muldiv(np.array([1.5]), 1, 1), ValueError, "int64"),
        (lambda: multiply_high(ids(0), 1 << 64), OverflowError, "factor"),
        # A coordinate with more bits than the order would take another cell's place.
        *(
            (lambda at=at: hilbert_index(whole(at[0]), whole(at[1]), at[2]), ValueError, "order")
            for at in ((4, 0, 2), (0, -1, 2), (0, 0, 33), (0, 0, -1))
        ),
        # The line of weights is half open.
        *(
            (lambda x=x: locate(ids(0, 1), whole(4, 6), 2, 1, whole(x)), ValueError, "the line")
            for x in (-1, 10)
        ),
        # Unsorted, repeated or foreign tiles would put points silently elsewhere.
        (lambda: one_point(ids(1, 0), whole(1, 1), 2, 2), ValueError, "ascending"),
        (lambda: one_point(ids(1, 1), whole(1, 1), 2, 2), ValueError, "ascending"),
        (lambda: one_point(ids(0, 4), whole(1, 1), 2, 2), ValueError, "outside a raster"),
        (lambda: one_point(ids(0, 1), whole(1), 2, 2), ValueError, "one a weight"),
        (lambda: one_point(whole(0), whole(1), 2, 2), ValueError, "uint64"),
        (lambda: one_point(ids(0), whole(-1), 2, 2), ValueError, "negative"),
        (lambda: one_point(ids(0), whole(1), 1 << 27, 1 << 27), ValueError, "2\\^53"),
        (lambda: one_point(ids(0), whole(1), (1 << 32) + 1, 1), ValueError, "2\\^32"),
    ],
)
def test_what_a_law_cannot_do_exactly_is_refused(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()
