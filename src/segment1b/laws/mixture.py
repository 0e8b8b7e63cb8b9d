"""Tile weights of a trade: a mixture of layers in whole percents, exact in integers.

Source: docs/spec/trades.md#mixture
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from segment1b.laws.apportionment import quantise
from segment1b.laws.division import Int64s, checked_sum

#: Products of two columns stay below this.
_LIMIT: Final = 1 << 62
#: People of a tile enter the roads layer in thousandths, so that the product fits.
_MILLI: Final = 1_000


def isqrt(values: Int64s) -> Int64s:
    """Return the whole square roots of int64[t] values, each 0 <= value < 2^62.

    The float root errs by one at most, and the squares of its neighbours fit 64 bits.
    """
    root = np.floor(np.sqrt(values.astype(np.float64))).astype(np.int64)
    root -= root * root > values
    root += (root + 1) * (root + 1) <= values
    return root


def product(a: Int64s, b: Int64s, name: str) -> Int64s:
    """Return a*b of int64[t] values >= 0; OverflowError where one is 2^62 or more."""
    if bool((a > (_LIMIT - 1) // np.maximum(b, 1)).any()):
        raise OverflowError(f"{name}: a product passes 2^62 - 1")
    return a * b


def layers_of(people: Int64s, area: Int64s, urban: Int64s, metres: Int64s) -> tuple[Int64s, ...]:
    """Return the five layers of a country's tiles, int64[t] each, in the order of `LAYERS`.

    Args:
        people: micro-people.
        area: 1/1000 m2.
        urban: urban cells.
        metres: metres of main road.

    Raises:
        OverflowError: a product of two of them passes 2^62 - 1.
    """
    urban_people = product(people, urban, "people of urban cells")
    roads = isqrt(product(people // _MILLI, metres, "people times metres of road"))
    return people, area, urban, urban_people, roads


def country_percents(
    percents: Sequence[int], sums: Sequence[int], boost: int, cells: int
) -> tuple[int, ...]:
    """Return a trade's percents in one country.

    Those of the urban layers shrink where few of the country's people are in urban cells: a person
    in a wholly urban tile counts at most `boost` times. A layer without mass gets 0. What is lost
    goes to people.

    Args:
        percents: of the layers, sum 100.
        sums: of the country's layers, as Python integers; that of people is above 0.
        boost: B.
        cells: cells of the urban layer in a tile, c.
    """
    whole = cells * sums[0]
    share = min(boost * sums[3], whole)
    kept = [percent if total else 0 for percent, total in zip(percents, sums, strict=True)]
    for layer in (2, 3):
        kept[layer] = kept[layer] * share // whole
    kept[0] = 100 - sum(kept[1:])
    return tuple(kept)


def mix(layers: Sequence[Int64s | None], percents: Sequence[int], units: int) -> Int64s:
    """Return a trade's weights of a country's tiles, int64[t], that sum to `units`.

    Args:
        layers: the quantised layers, int64[t] that sum to `units`; those of percent 0 may be None.
        percents: of the layers in this country, sum 100.
        units: K = 10^dp, at most 10^15.
    """
    mass = sum(
        percent * layer
        for percent, layer in zip(percents, layers, strict=True)
        if percent and layer is not None
    )
    assert isinstance(mass, np.ndarray)
    return quantise(mass, units)[0]


def totals(layers: Sequence[Int64s]) -> list[int]:
    """Return the sum of each layer; OverflowError where one passes 2^62 - 1."""
    return [checked_sum(layer, "layer") for layer in layers]
