"""What rooms high and low ask of whole arrays, and numpy does slowly."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", bound=np.generic)


def distinct(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return the distinct values of an array, ascending; none may be NaN.

    The same as `numpy.unique`, whose hash table takes ten times as long as sorting where most
    values differ (0.8 µs a value against 0.03).
    """
    ordered: npt.NDArray[Any] = np.sort(values)
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]
