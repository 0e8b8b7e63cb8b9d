"""Distances between outlets on a sphere: of the same chain, and to the nearest other chain.

The law is docs/spec/realism.md#distances.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

RADIUS_KM = 6371.0
#: Outlets of a chain, or of a group, whose distances are taken; of more, every k-th.
SAMPLE = 5000
_BLOCK = 1 << 21  # distances in memory at a time
#: By how much boxes are larger than needed, for rounding, in degrees.
_SLACK = 1e-9
Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Points(NamedTuple):
    """Outlets ordered by chain, country, longitude and latitude.

    Attributes:
        lon, lat: float64[n], degrees.
        country, chain: int64[n], numbers from 0.
    """

    lon: Floats
    lat: Floats
    country: Int64s
    chain: Int64s


class Own(NamedTuple):
    """What the outlets of the same chain are apart.

    Attributes:
        nearest_km: float64[m] from each outlet of the sample to the nearest other of its chain.
        near: int64[countries, distances], ordered pairs of a chain within the distances.
        pairs: int64[countries], all ordered pairs of a chain, from outlets of the sample.
    """

    nearest_km: Floats
    near: Int64s
    pairs: Int64s


def unit(lon: Floats, lat: Floats) -> Floats:
    """Return unit vectors, float64[3, n]."""
    x, y = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)])


def kilometres(square: Floats) -> Floats:
    """Return the great-circle distances of squared chords of the unit sphere."""
    return 2 * RADIUS_KM * np.arcsin(np.minimum(np.sqrt(square) / 2, 1.0))


def sampled(count: int) -> Int64s:
    """Return positions of a sample of at most SAMPLE: every k-th, from the middle of the first."""
    step = max(1, -(-count // SAMPLE))
    return np.arange((step - 1) // 2, count, step)


def own_chain(points: Points, countries: int, distances_km: tuple[float, ...]) -> Own:
    """Return nearest outlets, of any country, and pairs of a country within distances, by chain."""
    near = np.zeros((countries, len(distances_km)), np.int64)
    pairs, nearest = np.zeros(countries, np.int64), [np.empty(0)]
    starts = np.flatnonzero(np.diff(points.chain, prepend=-1))
    for low, high in zip(starts, np.append(starts[1:], len(points.chain)), strict=True):
        if high - low < 2:
            continue
        vectors = unit(points.lon[low:high], points.lat[low:high])
        country, sample = points.country[low:high], sampled(high - low)
        held = np.bincount(country, minlength=countries)
        pairs += np.bincount(country[sample], minlength=countries) * (held - 1).clip(0)
        step = max(1, _BLOCK // (high - low))
        for at in range(0, len(sample), step):
            rows = sample[at : at + step]
            squares = _squares(vectors[:, rows], vectors)
            squares[np.arange(len(rows)), rows] = np.inf
            nearest.append(kilometres(squares.min(axis=1)))
            same = country[rows][:, None] == country[None, :]
            for k, distance in enumerate(distances_km):
                hits = ((squares <= _square(distance)) & same).sum(axis=1)
                np.add.at(near[:, k], country[rows], hits)
    return Own(np.concatenate(nearest), near, pairs)


def _squares(one: Floats, other: Floats) -> Floats:
    """Return the squared chords of unit vectors [3, m] and [3, n], float64[m, n]."""
    # Differences of coordinates keep the digits that a cosine would lose.
    return np.asarray(sum((one[k][:, None] - other[k][None, :]) ** 2 for k in range(3)))


def _square(km: float) -> float:
    """Return the squared chord of a great-circle distance."""
    return float(4 * np.sin(km / (2 * RADIUS_KM)) ** 2)


def other_chain_km(points: Points, which: Int64s, reach_km: float) -> Floats:
    """Return the distance of outlets `which` to the nearest of another chain, within reach_km.

    Infinity beyond. Boxes of longitude and latitude hold the candidates, found in a tree; the
    chord decides.
    """
    tree = shapely.STRtree(shapely.points(points.lon, points.lat))
    vectors = unit(points.lon, points.lat)
    found = np.full(len(which), np.inf)
    step = 1 << 12
    for at in range(0, len(which), step):
        rows = which[at : at + step]
        west, east, south, north = _boxes(points.lon[rows], points.lat[rows], reach_km)
        for turn in (-360.0, 0.0, 360.0):
            here, there = tree.query(shapely.box(west + turn, south, east + turn, north))
            other = points.chain[rows[here]] != points.chain[there]
            here, there = here[other], there[other]
            gap = vectors[:, rows[here]] - vectors[:, there]
            km = kilometres((gap**2).sum(axis=0))
            np.minimum.at(found, at + here, np.where(km <= reach_km, km, np.inf))
    return found


def _boxes(lon: Floats, lat: Floats, km: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return west, east, south and north of boxes that hold all points within `km`, in degrees."""
    angle = km / RADIUS_KM
    high = np.degrees(angle) + _SLACK
    # The meridian that touches a circle around the point; around a pole there is none.
    sine = np.sin(angle) / np.maximum(np.cos(np.radians(lat)), 1e-300)
    polar = (np.abs(lat) + high >= 90) | (sine >= 1)
    wide = np.where(polar, 180.0, np.degrees(np.arcsin(np.minimum(sine, 1.0))) + _SLACK)
    return lon - wide, lon + wide, lat - high, lat + high
