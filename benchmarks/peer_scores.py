"""What is asked of placed outlets, the same for every method."""

from __future__ import annotations

import hashlib

import numpy as np
import shapely

from benchmarks.peer_methods import Inputs, Sites


def digest(inputs: Inputs, sites: Sites) -> str:
    """Return the SHA-256 over the outlets of each pair, in an order that no list can change."""
    merchant, country = inputs.merchant[sites.pair], inputs.country[sites.pair]
    columns = (sites.lat, sites.lon, sites.cell, country, merchant)
    order = np.lexsort(columns)
    return hashlib.sha256(b"".join(column[order].tobytes() for column in columns)).hexdigest()


def wrong_pairs(inputs: Inputs, sites: Sites) -> int:
    """Return how many pairs have another number of outlets than the list says."""
    placed = np.bincount(sites.pair, minlength=len(inputs.n))
    return int(np.count_nonzero(placed != inputs.n))


def outside(inputs: Inputs, sites: Sites) -> int | None:
    """Return how many points do not lie strictly inside their country; None without points."""
    if np.isnan(sites.lon).all():
        return None
    country = inputs.country[sites.pair]
    lost = 0
    for place in np.unique(country).tolist():
        shape = inputs.shapes[place]
        shapely.prepare(shape)
        own = country == place
        inside = shapely.contains_xy(shape, sites.lon[own], sites.lat[own])
        lost += int(np.count_nonzero(~inside))
    return lost


def largest_error(inputs: Inputs, sites: Sites) -> float:
    """Return the largest distance, in outlets, of a cell's load from its share of its country.

    The share is of the outlets that the list has in the country.
    """
    country, worst = inputs.country[sites.pair], 0.0
    total = np.bincount(inputs.country, inputs.n, len(inputs.codes))
    for place in np.unique(inputs.country).tolist():
        cells, share = inputs.cells(place)
        known, load = np.unique(sites.cell[country == place], return_counts=True)
        every = np.union1d(cells, known)
        gap = np.zeros(len(every))
        gap[np.searchsorted(every, known)] += load
        gap[np.searchsorted(every, cells)] -= share * total[place]
        worst = max(worst, float(np.abs(gap).max()))
    return worst
