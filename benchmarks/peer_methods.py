"""How others put outlets into countries, each used as its documentation says."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from shapely import MultiPolygon

from segment1b.geo.countries import read_countries
from segment1b.geo.grid import Grid

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
COUNTRY_SECONDS = 3


@dataclass(frozen=True)
class Inputs:
    """What every method starts from.

    Attributes:
        grid: the grid of the cells.
        codes: codes of the countries that have cells, in ASCII order.
        shapes: their polygons.
        first: int64 [c + 1], where each country's cells start.
        cell: int64 [t], number of each cell in the grid.
        weight: float64 [t], share of the cell in its country; a country's sum is 1.
        merchant: int64 [p] of each pair on the outlet list, in the order of the list.
        country: int64 [p], place of the pair's country in `codes`.
        n: int64 [p], outlets of the pair.
    """

    grid: Grid
    codes: list[str]
    shapes: list[MultiPolygon]
    first: Ints
    cell: Ints
    weight: Floats
    merchant: Ints
    country: Ints
    n: Ints

    def cells(self, country: int) -> tuple[Ints, Floats]:
        """Return the cells of a country and their shares."""
        own = slice(int(self.first[country]), int(self.first[country + 1]))
        return self.cell[own], self.weight[own]

    def by_country(self) -> Iterator[tuple[int, Ints]]:
        """Yield each country that has outlets, and its pairs in the order of the list."""
        order = np.argsort(self.country, kind="stable")
        found, starts = np.unique(self.country[order], return_index=True)
        yield from zip(found.tolist(), np.split(order, starts[1:]), strict=True)


@dataclass(frozen=True)
class Sites:
    """Placed outlets, [s] each; methods that only choose cells have no coordinates.

    Attributes:
        pair: place of the outlet's pair on the list.
        cell: number of its cell in the grid.
        lon: longitude in degrees, NaN where there is none.
        lat: latitude in degrees, NaN where there is none.
    """

    pair: Ints
    cell: Ints
    lon: Floats
    lat: Floats


Method = Callable[[Inputs, int], Iterator[Sites]]


def read_inputs(folder: Path, outlets: Path, *, backwards: bool = False) -> Inputs:
    """Read what `peers.prepare` has laid, and an outlet list.

    Args:
        folder: holds cells.npz and countries.parquet.
        outlets: Parquet list (merchant_id, country_iso, n_outlets).
        backwards: take the list from its end to its start.
    """
    with np.load(folder / "cells.npz") as held:
        codes, grid = held["codes"].tolist(), Grid(*held["grid"][:4], *held["size"].tolist())
        first, cell, weight = held["first"], held["cell"], held["weight"]
    shapes = read_countries(folder / "countries.parquet")
    table = pq.read_table(outlets)
    if backwards:
        table = table.take(pa.array(np.arange(table.num_rows)[::-1]))
    country = np.searchsorted(
        codes, table["country_iso"].to_numpy(zero_copy_only=False).astype(str)
    )
    return Inputs(
        grid,
        codes,
        [shapes[code] for code in codes],
        first,
        cell,
        weight,
        table["merchant_id"].to_numpy().astype(np.int64),
        country.astype(np.int64),
        table["n_outlets"].to_numpy().astype(np.int64),
    )


def notebook(inputs: Inputs, seed: int) -> Iterator[Sites]:
    """Draw cells by weight and a point in each: what most notebooks do, country by country."""
    rng = np.random.default_rng(seed)
    for country, pairs in inputs.by_country():
        cells, share = inputs.cells(country)
        pair = np.repeat(pairs, inputs.n[pairs])
        cell = rng.choice(cells, size=len(pair), p=share)
        row, col = np.divmod(cell, inputs.grid.ncols)
        lon = inputs.grid.x0 + (col + rng.random(len(cell))) * inputs.grid.a
        lat = inputs.grid.y0 - (row + rng.random(len(cell))) * inputs.grid.b
        yield Sites(pair, cell, lon, lat)


def sample_points(inputs: Inputs, seed: int) -> Iterator[Sites]:
    """Draw points in polygons with GeoPandas; a country that takes too long is left out."""
    import geopandas as gpd
    import shapely

    rng = np.random.default_rng(seed)
    for country, pairs in inputs.by_country():
        pair = np.repeat(pairs, inputs.n[pairs])
        shape = gpd.GeoSeries([inputs.shapes[country]], crs=4326)
        try:
            with _alarm(COUNTRY_SECONDS):
                points = shape.sample_points(size=[len(pair)], rng=rng).iloc[0]
        except TimeoutError:
            continue
        lon, lat = shapely.get_coordinates(points).T
        yield Sites(pair, cells_of(inputs.grid, lon, lat), lon, lat)


def integerise(inputs: Inputs, _seed: int) -> Iterator[Sites]:
    """Round each pair's expected outlets to whole ones with humanleague, pair by pair."""
    import humanleague

    for pair, (country, n) in enumerate(zip(inputs.country, inputs.n, strict=True)):
        cells, share = inputs.cells(int(country))
        counts, _ = humanleague.integerise(share * n, int(n))
        yield _without_points(pair, cells, counts)


def hamilton(inputs: Inputs, _seed: int) -> Iterator[Sites]:
    """Give each pair's outlets to cells with the apportionment package, pair by pair."""
    from apportionment.methods import compute

    names = [str(place) for place in range(int(np.diff(inputs.first).max()))]
    for pair, (country, n) in enumerate(zip(inputs.country, inputs.n, strict=True)):
        cells, share = inputs.cells(int(country))
        seats = compute("hamilton", share, int(n), parties=names[: len(cells)])
        yield _without_points(pair, cells, np.array(seats))


METHODS: dict[str, Method] = {
    "notebook": notebook,
    "sample_points": sample_points,
    "humanleague": integerise,
    "apportionment": hamilton,
}


def until(sites: Iterator[Sites], late: Callable[[], bool]) -> tuple[Sites, bool]:
    """Return what was placed before it got late, and whether that was all."""
    chunks: list[Sites] = []
    whole = True
    for chunk in sites:
        chunks.append(chunk)
        if late():
            whole = next(sites, None) is None
            break
    return joined(chunks), whole


def joined(chunks: list[Sites]) -> Sites:
    """Return the outlets of all chunks."""
    return Sites(
        *(np.concatenate([getattr(c, f.name) for c in chunks]) for f in dataclasses.fields(Sites))
    )


def cells_of(grid: Grid, lon: Floats, lat: Floats) -> Ints:
    """Return the numbers of the cells in which points lie."""
    row = np.clip(np.floor((grid.y0 - lat) / grid.b), 0, grid.nrows - 1).astype(np.int64)
    col = np.clip(np.floor((lon - grid.x0) / grid.a), 0, grid.ncols - 1).astype(np.int64)
    return row * grid.ncols + col


def _without_points(pair: int, cells: Ints, counts: npt.NDArray[Any]) -> Sites:
    cell = np.repeat(cells, counts)
    nowhere = np.full(len(cell), np.nan)
    return Sites(np.full(len(cell), pair), cell, nowhere, nowhere)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError

    # Processor seconds, so that a busy machine leaves out no more countries than an idle one.
    signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
