"""Quality of a plan against its weights, and realism of sites with the policy's bounds on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segment1b.contracts.policy import RealismPolicy
from segment1b.storage.arrays import distinct

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
EARTH_RADIUS_KM = 6371.0088
_ROWS = 500


class Load(NamedTuple):
    """What a country's tiles have, and what they were to have.

    Attributes:
        ids: uint64[t], ascending: the tiles that have weight.
        sites: int64[t], sites of all pairs.
        mean: float64[t], T*p, the sites that tiles of share p get on average.
        missed: float64[t], T*log(1-p), the logarithm of the chance to get none.
    """

    ids: UInt64s
    sites: Int64s
    mean: Floats
    missed: Floats


def load_of(ids: UInt64s, sites: Int64s, weights: Int64s, scale: int) -> Load:
    """Return the load of tiles by pairs of one trade; the weights int64[t] sum to `scale`."""
    total, share = int(sites.sum()), weights / scale
    return Load(ids, sites, share * total, _missed(share, total))


def joined(loads: Sequence[Load]) -> Load:
    """Return the load of tiles by pairs of several trades, each with weights of its own."""
    if len(loads) == 1:
        return loads[0]
    ids = distinct(np.concatenate([load.ids for load in loads]))
    sites, mean, missed = np.zeros(len(ids), np.int64), np.zeros(len(ids)), np.zeros(len(ids))
    for load in loads:
        at = np.searchsorted(ids, load.ids)
        sites[at] += load.sites
        mean[at] += load.mean
        missed[at] += load.missed
    return Load(ids, sites, mean, missed)


def country_quality(sites: Int64s, weights: Int64s, scale: int, tiles: int) -> dict[str, Any]:
    """Return `load_quality` of the tiles of one trade, int64[t] sites and weights."""
    return load_quality(
        load_of(np.arange(len(sites), dtype=np.uint64), sites, weights, scale), tiles
    )


def load_quality(load: Load, tiles: int) -> dict[str, Any]:
    """Return the figures of docs/spec/s4-allocation.md#quality, with 9 significant digits.

    `tiles` counts all tiles of the country, those without weight (and so without site) too.
    """
    sites, total = load.sites, int(load.sites.sum())
    expected = float(-np.expm1(load.missed).sum()) if total else 0.0
    error = np.abs(sites - load.mean)
    held = sites[sites > 0]
    top = np.partition(held, max(0, len(held) - 5))[-5:]
    hit = len(held)
    return {
        "sites": total,
        "distinct_tiles": hit,
        "expected_tiles": expected,
        "tile_load_error_max": digits(error.max(initial=0.0)),
        "tile_load_error_p99": digits(_percentile_99(error, tiles)),
        "collapse_index": digits(hit / expected) if expected else 0.0,
        "top_five_share": digits(int(top.sum()) / total) if total else 0.0,
    }


def _percentile_99(error: npt.NDArray[np.float64], tiles: int) -> float:
    # The tiles that are left out have error 0 and come first.
    place = max(1, int(np.ceil(0.99 * tiles))) - 1 - (tiles - len(error))
    return float(np.partition(error, place)[place]) if place >= 0 else 0.0


def expected_tiles(share: npt.NDArray[np.float64], total: int) -> float:
    """Return the mean number of distinct tiles that `total` independent draws would hit."""
    return float(-np.expm1(_missed(share, total)).sum()) if total else 0.0


def _missed(share: Floats, total: int) -> Floats:
    if not total:
        return np.zeros(len(share))
    with np.errstate(divide="ignore"):
        return np.asarray(total * np.log1p(-share))


def overall_collapse(quality: dict[str, dict[str, Any]]) -> float:
    """Return the collapse index over all countries: distinct tiles over expected tiles."""
    expected = sum(country["expected_tiles"] for country in quality.values())
    hit = sum(country["distinct_tiles"] for country in quality.values())
    return digits(hit / expected) if expected else 0.0


def digits(value: float) -> float:
    """Round to 9 significant digits, so that a report does not depend on the last bits of a sum."""
    return float(f"{value:.9g}")


def measure(
    sites: Mapping[str, tuple[Floats, Floats, npt.NDArray[np.uint64]]],
    eligible: list[str],
    spans: Mapping[str, float],
    quality: Mapping[str, Mapping[str, Any]],
    policy: RealismPolicy,
    seed: int,
) -> dict[str, Any]:
    """Return the figures of docs/spec/s9-proof.md#realism.

    Args:
        sites: longitudes, latitudes (float64[n], degrees) and tile ids by country.
        eligible: countries that have tiles.
        spans: height of each country in degrees of latitude.
        quality: S4's quality by country.
        policy: bounds, and how many sites the neighbour sample has.
        seed: the run's seed, which chooses the sample.
    """
    counts = np.array([len(points[0]) for points in sites.values()], np.int64)
    total = int(counts.sum())
    largest = np.sort(counts)[::-1]
    lat = np.concatenate([points[1] for points in sites.values()])
    lon = np.concatenate([points[0] for points in sites.values()])
    shares = {
        f"top_{percent}_percent_share": digits(
            int(largest[: max(1, round(len(eligible) * percent / 100))].sum()) / total
        )
        for percent in (1, 5, 10)
    }
    return {
        "country_gini": digits(gini(counts)),
        **shares,
        "countries_with_sites_share": digits(len(sites) / len(eligible)),
        "southern_share": digits(int(np.count_nonzero(lat < 0)) / total),
        "nearest_neighbour_km": neighbours(lon, lat, policy.neighbour_sample, seed),
        "by_country": {
            code: _country(points, spans[code], quality[code], policy)
            for code, points in sites.items()
        },
    }


def breaches(figures: Mapping[str, Any], policy: RealismPolicy) -> list[dict[str, Any]]:
    """Return the figures that lie outside the policy's bounds; null bounds nothing."""
    worst = max(country["tile_load_error_max"] for country in figures["by_country"].values())
    bounds = {
        "country_gini": (None, policy.max_country_gini),
        "top_1_percent_share": (None, policy.max_top_one_percent_share),
        "countries_with_sites_share": (policy.min_countries_with_sites_share, None),
        "southern_share": (policy.min_southern_share, policy.max_southern_share),
        "tile_load_error_max": (None, policy.max_tile_load_error),
    }
    values = {**figures, "tile_load_error_max": worst}
    return [
        {"figure": name, "found": values[name], "minimum": low, "maximum": high}
        for name, (low, high) in bounds.items()
        if (low is not None and values[name] < low) or (high is not None and values[name] > high)
    ]


def gini(counts: npt.NDArray[np.int64]) -> float:
    """Return the Gini coefficient of counts: 0 all equal, towards 1 all in one."""
    ordered, n = np.sort(counts), len(counts)
    weighted = int((np.arange(1, n + 1) * ordered).sum())
    return 2 * weighted / (n * int(ordered.sum())) - (n + 1) / n


def neighbours(lon: Floats, lat: Floats, sample: int, seed: int) -> dict[str, float]:
    """Return p50, p90 and p99 of `nearest_km`, to the metre; 0.0 for fewer than two sites."""
    nearest = nearest_km(lon, lat, sample, seed)
    values = np.percentile(nearest, [50, 90, 99]) if len(nearest) else np.zeros(3)
    return dict(zip(("p50", "p90", "p99"), (round(float(v), 3) for v in values), strict=True))


def nearest_km(lon: Floats, lat: Floats, sample: int, seed: int) -> Floats:
    """Return float64[m] distances from sites of a seeded sample to the nearest other one of it."""
    if len(lon) > sample:
        words = np.random.Philox(key=np.array([seed, 9], np.uint64)).random_raw(sample)
        chosen = distinct((words >> np.uint64(11)) % np.uint64(len(lon)))
        lon, lat = lon[chosen], lat[chosen]
    if len(lon) < 2:
        return np.empty(0)
    x, y = np.radians(lon), np.radians(lat)
    unit = np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)])
    nearest = np.empty(len(lon))
    for at in range(0, len(lon), _ROWS):
        batch = unit[:, at : at + _ROWS]
        cosine = sum(batch[k][:, None] * unit[k][None, :] for k in range(3))
        cosine[np.arange(batch.shape[1]), at + np.arange(batch.shape[1])] = -2.0
        # The chord keeps digits where the arc cosine would lose them.
        closest = cosine.argmax(axis=1)
        chord = np.sqrt(((batch - unit[:, closest]) ** 2).sum(axis=0))
        nearest[at : at + _ROWS] = 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chord / 2, 1.0))
    return nearest


def _country(
    points: tuple[Floats, Floats, npt.NDArray[np.uint64]],
    span: float,
    quality: Mapping[str, Any],
    policy: RealismPolicy,
) -> dict[str, Any]:
    lon, lat, tile = points
    n = len(lon)
    latitudes = len(distinct(np.rint(lat * 10_000))) / n
    longitudes = len(distinct(np.rint(lon * 10_000))) / n
    return {
        "sites": n,
        "distinct_tiles_share": digits(len(distinct(tile)) / n),
        "distinct_latitudes_share": digits(latitudes),
        "distinct_longitudes_share": digits(longitudes),
        "collapsed": min(latitudes, longitudes) < policy.collapse_flag_below,
        "latitude_span_share": digits(float(lat.max() - lat.min()) / span) if span else 0.0,
        "tile_load_error_max": quality["tile_load_error_max"],
        "tile_load_error_p99": quality["tile_load_error_p99"],
    }
