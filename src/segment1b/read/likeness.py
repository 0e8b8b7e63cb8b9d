"""Figures of how alike real and placed outlets of one group are.

The law is docs/spec/realism.md#figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b.read.cells import Country
from segment1b.read.sphere import Points, other_chain_km, own_chain, sampled
from segment1b.states.quality import digits

#: Real outlets from which a country counts in medians and means over countries.
LARGE = 50
L_KM = (1.0, 5.0, 20.0, 50.0)
COLOCATED_M = (250, 500, 1000)
_TOP = 0.01
_MIXED = 1e-4
_DECILES = tuple(range(10, 100, 10))
Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Side:
    """Outlets of one side, real or placed, in the countries that both have.

    They are ordered by chain, country, longitude and latitude, whatever the order of the input.

    Attributes:
        lon, lat: float64[n], degrees.
        country: int64[n], numbers of the sorted codes.
        chain: int64[n], numbers from 0; None where chains are not known.
        trade: object[n], ids of trades.
        cell: int64[n], -1 outside the grid.
        urban: bool[n]; None without an urban layer that fits.
    """

    lon: Floats
    lat: Floats
    country: Int64s
    chain: Int64s | None
    trade: npt.NDArray[np.object_]
    cell: Int64s
    urban: Bools | None

    def points(self, chosen: Bools) -> Points | None:
        """Return the chosen outlets with their chains; None where chains are not known."""
        if self.chain is None:
            return None
        return Points(self.lon[chosen], self.lat[chosen], self.country[chosen], self.chain[chosen])


def compare(
    sides: Mapping[str, Side], chosen: Mapping[str, Bools], world: Sequence[tuple[str, Country]]
) -> dict[str, Any]:
    """Return the figures of one group.

    Args:
        sides: the sides `real` and `placed`.
        chosen: the outlets of the group on each side, bool[n].
        world: codes and cells of the countries in the order of their numbers.
    """
    by_country = {}
    for number, (code, country) in enumerate(world):
        here = {name: chosen[name] & (side.country == number) for name, side in sides.items()}
        if all(mask.any() for mask in here.values()):
            by_country[code] = _in_country(sides, here, country)
    counts = {c: row["outlets"]["real"] for c, row in by_country.items()}
    large = [code for code, n in counts.items() if n >= LARGE]
    overlaps = [by_country[code]["overlap_half_degree"] for code in large]
    used = [number for number, (code, _) in enumerate(world) if code in by_country]
    mine = {n: chosen[n] & np.isin(side.country, used) for n, side in sides.items()}
    return {
        "outlets": {name: int(mask.sum()) for name, mask in mine.items()},
        "countries": len(by_country),
        "large_countries": len(large),
        "top_1_percent_share": _weighted(by_country, counts, "top_1_percent_share"),
        "urban_share": _weighted(by_country, counts, "urban_share"),
        "overlap_half_degree": digits(float(np.median(overlaps))) if large else None,
        "bits": _bits(by_country),
        **_distances(sides, mine, world, large),
        "colocated_m": _colocated(sides, mine),
        "by_country": by_country,
    }


def _in_country(
    sides: Mapping[str, Side], here: Mapping[str, Bools], country: Country
) -> dict[str, Any]:
    """Return the figures of one country that both sides have."""
    place = {name: country.places(side.cell[here[name]]) for name, side in sides.items()}
    top = np.append(country.top(_TOP), False)  # the last is for outlets in no cell of the country
    real, placed = (sides[name] for name in ("real", "placed"))
    inside = place["real"][place["real"] >= 0]
    expected = _expected(placed.trade[here["placed"]], country)
    area = country.area_km2 / country.area_km2.sum()
    q, p = (
        (1 - _MIXED) * share[inside] + _MIXED * area[inside] for share in (expected, country.people)
    )
    urban = {n: None if side.urban is None else side.urban[here[n]] for n, side in sides.items()}
    return {
        "outlets": {name: int(mask.sum()) for name, mask in here.items()},
        "outside": {name: int((at < 0).sum()) for name, at in place.items()},
        "top_1_percent_share": {name: digits(top[at].mean()) for name, at in place.items()},
        "urban_share": {
            name: None if mask is None else digits(mask.mean()) for name, mask in urban.items()
        },
        "overlap_half_degree": digits(_overlap(real, placed, here)),
        "bits": digits(np.log2(q / p).mean()) if len(inside) else None,
    }


def _expected(trades: npt.NDArray[np.object_], country: Country) -> Floats:
    """Return the share of outlets of these trades that each cell is expected to have."""
    names, counts = np.unique(trades.astype(str), return_counts=True)
    shares = zip(names.tolist(), counts / counts.sum(), strict=True)
    return np.asarray(sum(share * country.expected[name] for name, share in shares))


def _overlap(real: Side, placed: Side, here: Mapping[str, Bools]) -> float:
    """Return the sum over blocks of half a degree of the lesser share."""
    blocks = []
    for side, mask in ((real, here["real"]), (placed, here["placed"])):
        row, col = (np.floor(2 * values[mask]) for values in (side.lat, side.lon))
        block, n = np.unique(row * 1000 + col, return_counts=True)
        blocks.append(dict(zip(block.tolist(), (n / n.sum()).tolist(), strict=True)))
    one, other = blocks
    return float(sum(min(share, other.get(block, 0.0)) for block, share in one.items()))


def _weighted(
    rows: Mapping[str, Any], counts: Mapping[str, int], figure: str
) -> dict[str, float | None]:
    """Return a share on each side over all countries, weighted by their real outlets."""
    total, found = sum(counts.values()), {}
    for side in ("real", "placed"):
        shares = [rows[code][figure][side] for code in counts]
        known = total > 0 and None not in shares
        mean = sum(n * s for n, s in zip(counts.values(), shares, strict=True)) if known else 0
        found[side] = digits(mean / total) if known else None
    return found


def _bits(rows: Mapping[str, Any]) -> float | None:
    """Return the mean over real outlets in cells of their countries."""
    inside = {code: row["outlets"]["real"] - row["outside"]["real"] for code, row in rows.items()}
    total = sum(inside.values())
    if not total:
        return None
    return digits(sum(n * rows[code]["bits"] for code, n in inside.items() if n) / total)


def _distances(
    sides: Mapping[str, Side],
    mine: Mapping[str, Bools],
    world: Sequence[tuple[str, Country]],
    large: Sequence[str],
) -> dict[str, Any]:
    """Return the figures of outlets of the same chain; None where chains are not known."""
    names = [code for code, _ in world]
    at = np.array([names.index(code) for code in large], np.int64)
    area = np.array([country.area_km2.sum() for _, country in world])[at]
    nearest, lengths = {}, {}
    for name, side in sides.items():
        points = side.points(mine[name])
        if points is None:
            return {"nearest_own_ks": None, "nearest_own_km": None, "ripley_l_km": None}
        own = own_chain(points, len(world), L_KM)
        nearest[name] = np.sort(own.nearest_km)
        with np.errstate(invalid="ignore", divide="ignore"):
            square = area[:, None] * own.near[at] / (np.pi * own.pairs[at][:, None])
        lengths[name] = np.sqrt(square)
    both = np.isfinite(lengths["real"]).all(1) & np.isfinite(lengths["placed"]).all(1)
    known = all(len(km) for km in nearest.values())
    return {
        "nearest_own_ks": digits(ks(nearest["real"], nearest["placed"])) if known else None,
        "nearest_own_km": {
            name: [digits(km) for km in np.percentile(values, _DECILES)] if len(values) else None
            for name, values in nearest.items()
        },
        "ripley_l_km": {
            f"{distance:g}": {
                name: digits(values[both, k].mean()) if both.any() else None
                for name, values in lengths.items()
            }
            for k, distance in enumerate(L_KM)
        },
    }


def ks(one: Floats, other: Floats) -> float:
    """Return the largest difference of two cumulative distributions, given as sorted values."""
    at = np.concatenate([one, other])
    shares = (np.searchsorted(v, at, side="right") / len(v) for v in (one, other))
    return float(np.abs(next(shares) - next(shares)).max())


def _colocated(sides: Mapping[str, Side], mine: Mapping[str, Bools]) -> dict[str, Any] | None:
    """Return shares of outlets near another chain; None unless both sides have two chains."""
    shares: dict[str, Any] = {f"{metres}": {} for metres in COLOCATED_M}
    for name, side in sides.items():
        points = side.points(np.ones(len(side.lon), np.bool_))
        which = np.flatnonzero(mine[name])
        if points is None or not len(which) or points.chain.min() == points.chain.max():
            return None
        which = which[sampled(len(which))]
        km = other_chain_km(points, which, COLOCATED_M[-1] / 1000)
        for metres in COLOCATED_M:
            shares[f"{metres}"][name] = digits((km <= metres / 1000).mean())
    return shares
