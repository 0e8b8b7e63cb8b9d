"""The population prior: each country's people spread around its places, over its own land.

Places carry up to 90 % of a country's total, each as a Gaussian as wide as a town of 4,000 people
per km2; the rest goes around all places, also those without a known population, as Gaussians of
50 km with weight (people + 500)^0.5. Gaussians are cut at 3 sigma and at the country's land and
scaled to their mass again, so nothing spills into the sea or a neighbour. Widths were chosen by
comparison with a census-based grid at 1 degree; below that this is a synthetic prior.

Sums are taken in a fixed order, place by place: the bytes of the raster depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import rasterize
from rasterio.transform import Affine
from shapely import MultiPolygon
from shapely.geometry.base import BaseGeometry

from reference_sources.shapes import Floats, Shapes
from reference_sources.tables import People, Places

Int64s = npt.NDArray[np.int64]

#: Most of a country's people that its places can hold.
_MAX_URBAN: Final = 0.9
_TOWN_PEOPLE_PER_KM2: Final = 4000.0
_LEAST_TOWN_SIGMA_KM: Final = 2.5
_RURAL_SIGMA_KM: Final = 50.0
_RURAL_SHIFT: Final = 500
_CUT_SIGMAS: Final = 3
_KM_PER_DEGREE: Final = 111.32
#: Rows and columns of sample points a cell; land that all of them miss still counts a little.
_SAMPLES: Final = 5
_TRACE_OF_LAND: Final = 0.02
#: Land is rasterised in boxes that wide, for clipped shapes are much faster than whole ones.
_BOX_DEGREES: Final = 20


@dataclass(frozen=True, eq=False)
class Land:
    """A window of the raster around one country.

    Attributes:
        row0: raster row of its first row.
        col0: raster column of its first column.
        share: float64[h, w], share of each cell that is the country's land, 0..1.
    """

    row0: int
    col0: int
    share: Floats


class Cells(NamedTuple):
    """The places of one country on the raster.

    Attributes:
        lon: float64[n], degrees.
        lat: float64[n], degrees.
        row: int64[n], raster rows.
        col: int64[n], raster columns.
    """

    lon: Floats
    lat: Floats
    row: Int64s
    col: Int64s


class Kernels(NamedTuple):
    """The Gaussians around one country's places.

    Attributes:
        town: float64[n], people in towns.
        town_sigma: float64[n], km.
        rural: float64[n], people around them.
    """

    town: Floats
    town_sigma: Floats
    rural: Floats


def population_raster(
    land: Shapes, places: Places, people: Mapping[str, People], degrees: float
) -> Int64s:
    """Spread all countries' people over the globe.

    Args:
        land: land by country code.
        places: the places that people live around.
        people: totals by country code, which its cells sum to exactly.
        degrees: cell size; a divisor of 20 degrees.

    Returns:
        int64[180/degrees, 360/degrees], people per cell, north-west first.
    """
    rows, cols = round(180 / degrees), round(360 / degrees)
    world = np.zeros((rows, cols), np.int64)
    for code, (total, _) in people.items():
        own = np.flatnonzero(places.country_iso == code)
        if total <= 0 or code not in land or not len(own):
            continue
        cells = _cells(places, own, degrees, rows, cols)
        window = _with_places(_land(land[code], degrees, rows, cols), cells)
        kernels = _kernels(places.population[own].astype(np.float64), total)
        spread = _spread(window, cells, kernels, degrees)
        height, width = spread.shape
        target = world[window.row0 : window.row0 + height, window.col0 : window.col0 + width]
        target += _whole(spread * (total / spread.sum()), total)
    return world


def _cells(
    places: Places, own: npt.NDArray[np.intp], degrees: float, rows: int, cols: int
) -> Cells:
    lon, lat = places.lon_deg[own], places.lat_deg[own]
    row = np.clip(np.floor((90 - lat) / degrees).astype(np.int64), 0, rows - 1)
    col = np.clip(np.floor((lon + 180) / degrees).astype(np.int64), 0, cols - 1)
    return Cells(lon, lat, row, col)


def _kernels(population: Floats, total: int) -> Kernels:
    known = population.sum()
    urban = min(known / total, _MAX_URBAN) if known else 0.0
    town = population / known * urban * total if urban else population
    rural = np.sqrt(population + _RURAL_SHIFT)
    rural *= total * (1 - urban) / rural.sum()
    # Two thirds of the radius of a disc of the town's area.
    sigma = np.sqrt(population / (np.pi * _TOWN_PEOPLE_PER_KM2)) / 1.5
    return Kernels(town, np.maximum(_LEAST_TOWN_SIGMA_KM, sigma), rural)


def _spread(window: Land, cells: Cells, kernels: Kernels, degrees: float) -> Floats:
    """Sum the kernels: float64[h, w] people, whose sum is the total but for rounding."""
    spread: Floats = np.zeros_like(window.share)
    km_down = _KM_PER_DEGREE * degrees
    km_across = np.maximum(np.cos(np.radians(cells.lat)) * km_down, 1e-3)
    down = (90 - cells.lat) / degrees - 0.5 - window.row0
    across = (cells.lon + 180) / degrees - 0.5 - window.col0
    for i in range(len(cells.row)):
        at = (cells.row[i] - window.row0, cells.col[i] - window.col0)
        masses = ((kernels.town[i], kernels.town_sigma[i]), (kernels.rural[i], _RURAL_SIGMA_KM))
        for mass, sigma in masses:
            if mass <= 0:
                continue
            vertical = _profile(down[i], km_down, sigma, spread.shape[0])
            horizontal = _profile(across[i], km_across[i], sigma, spread.shape[1])
            part = (vertical.cells, horizontal.cells)
            weights = vertical.heights[:, None] * horizontal.heights[None, :] * window.share[part]
            norm = weights.sum()
            if norm > 1e-12:
                spread[part] += mass / norm * weights
            else:
                spread[at] += mass
    return spread


class _Profile(NamedTuple):
    cells: slice
    heights: Floats


def _profile(centre: float, km_per_cell: float, sigma: float, length: int) -> _Profile:
    """Return one axis of a Gaussian: the cells it reaches, float64 heights at their centres."""
    half = _CUT_SIGMAS * sigma / km_per_cell + 0.5
    first = max(0, int(np.floor(centre - half)))
    last = min(length, int(np.ceil(centre + half)) + 1)
    away = (np.arange(first, last) - centre) * km_per_cell / sigma
    return _Profile(slice(first, last), np.exp(-0.5 * away**2))


def _whole(spread: Floats, total: int) -> Int64s:
    """Round to whole people that sum to the total: largest remainders, ties by position."""
    floors = np.floor(spread)
    order = np.lexsort((np.arange(spread.size), -(spread - floors).ravel()))
    floors.ravel()[order[: int(total - floors.sum())]] += 1
    return floors.astype(np.int64)


def _with_places(land: Land, cells: Cells) -> Land:
    """Widen a window to all places of the country, each with a cell that counts as land."""
    height, width = land.share.shape
    top, bottom = min(land.row0, cells.row.min()), max(land.row0 + height, cells.row.max() + 1)
    left, right = min(land.col0, cells.col.min()), max(land.col0 + width, cells.col.max() + 1)
    above_and_below = (land.row0 - top, bottom - land.row0 - height)
    on_the_sides = (land.col0 - left, right - land.col0 - width)
    share = np.pad(land.share, (above_and_below, on_the_sides))
    at = (cells.row - top, cells.col - left)
    share[at] = np.maximum(share[at], _TRACE_OF_LAND)
    return Land(int(top), int(left), share)


def _land(shape: MultiPolygon, degrees: float, rows: int, cols: int) -> Land:
    west, south, east, north = shape.bounds
    left = max(0, int((west + 180) / degrees) - 1)
    right = min(cols, int((east + 180) / degrees) + 2)
    top = max(0, int((90 - north) / degrees) - 1)
    bottom = min(rows, int((90 - south) / degrees) + 2)
    share = np.zeros((bottom - top, right - left))
    step = round(_BOX_DEGREES / degrees)
    for row in range(top, bottom, step):
        for col in range(left, right, step):
            height, width = min(bottom, row + step) - row, min(right, col + step) - col
            box = share[row - top : row - top + height, col - left : col - left + width]
            _fill(box, shape, -180 + col * degrees, 90 - row * degrees, degrees)
    return Land(top, left, share)


def _fill(share: Floats, shape: BaseGeometry, west: float, north: float, degrees: float) -> None:
    """Set share, float64[h, w], of the box of cells whose north-west corner is given."""
    height, width = share.shape
    south, east = north - height * degrees, west + width * degrees
    piece = shapely.intersection(shape, shapely.box(west, south, east, north))
    if piece.is_empty or piece.area == 0:
        return
    finer = degrees / _SAMPLES
    sampled = (
        rasterize(
            [(piece, 1)],
            (height * _SAMPLES, width * _SAMPLES),
            transform=Affine(finer, 0, west, 0, -finer, north),
            dtype="uint8",
        )
        .reshape(height, _SAMPLES, width, _SAMPLES)
        .mean((1, 3))
    )
    touched = rasterize(
        [(piece, 1)],
        (height, width),
        transform=Affine(degrees, 0, west, 0, -degrees, north),
        dtype="uint8",
        all_touched=True,
    )
    share[...] = np.where((sampled == 0) & (touched == 1), _TRACE_OF_LAND, sampled)
