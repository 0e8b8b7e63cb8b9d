"""Integer masses of a country's tiles: people, area, urban cells and metres of road.

Source: docs/spec/s2-weights.md#integer-masses and docs/spec/trades.md#layers
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from segment1b.contracts.states import ROADS, URBAN
from segment1b.geo.grid import Grid
from segment1b.geo.layers import open_layer
from segment1b.geo.population import open_population
from segment1b.storage.reader import Reader
from segment1b.storage.snapshot import Partition

Int64s = npt.NDArray[np.int64]
MASS_SCALE: Final = {"population": 1_000_000, "area_m2": 1_000, "uniform": 1}
_PLACE = ["raster_row", "raster_col"]
_COLUMNS = {"uniform": ["tile_id"], "area_m2": ["pixel_area_m2"], "population": _PLACE}


class Group(NamedTuple):
    """A row group of tile_index: its country, its range of the country's tiles, and columns."""

    code: str
    tiles: slice
    columns: dict[str, npt.NDArray[Any]]


def groups(
    reader: Reader, index: Partition, files: Sequence[int] | None, *bases: str, code: str = ""
) -> Iterator[Group]:
    """Yield the row groups of some part files of tile_index (None: all), or those of a country.

    They have the columns that the masses by some bases are made from.
    """
    columns = [name for basis in bases for name in _COLUMNS[basis]]
    where, before = {"country_iso": (code, code)} if code else {}, ("", 0)
    for table in reader.row_groups(index, ["country_iso", *columns], where, files):
        own = table.column(0)[0].as_py()
        start = before[1] if before[0] == own else 0
        before = own, start + table.num_rows
        arrays = {name: table.column(name).to_numpy() for name in columns}
        yield Group(own, slice(start, before[1]), arrays)


def by_country(rows: Iterable[Group]) -> Iterator[tuple[str, Iterator[Group]]]:
    """Yield the countries of row groups in written order, each with its own."""
    return itertools.groupby(rows, lambda group: group.code)


def masses(reader: Reader, basis: str, rows: Iterable[Group], count: int) -> Int64s:
    """Return the integer masses of `count` tiles of a country, in `rows`.

    They are uniform 1, area in 1e-3 m2, population in 1e-6 people.
    """
    # Filled in place: a list of groups and their concatenation would hold a large country twice.
    filled = np.ones(count, np.int64)
    for group in rows:
        if basis == "area_m2":
            filled[group.tiles] = _areas(group)
        elif basis == "population":
            filled[group.tiles] = _people(reader, group)
    return filled


def layer_columns(
    reader: Reader,
    index: Partition,
    grid: Grid,
    code: str,
    rows: Iterable[Group],
    *,
    with_roads: bool,
) -> tuple[tuple[Int64s, ...], int]:
    """Return people, area, urban cells and metres of road by tile, and the cells of a whole tile.

    The row groups are those by "population" and "area_m2".
    """
    urban = open_layer(reader.file(URBAN), grid)
    roads = open_layer(reader.file(ROADS), grid) if with_roads else None
    filled = np.zeros((4, tiles_of(index, code)), np.int64)
    for group in rows:
        place = [group.columns[name] for name in _PLACE]
        filled[0, group.tiles], filled[1, group.tiles] = _people(reader, group), _areas(group)
        filled[2, group.tiles], read = urban.copied(*place)
        reader.bytes_read[URBAN] += read
        if roads is not None:
            filled[3, group.tiles], read = roads.dealt(*place)
            reader.bytes_read[ROADS] += read
    return tuple(filled), urban.alignment.cells


def tiles_of(index: Partition, code: str) -> int:
    """Return the number of tiles of a country."""
    return int(index.report["by_country"][code]["cells_included"])


def _areas(group: Group) -> npt.NDArray[np.float64]:
    areas: npt.NDArray[np.float64] = group.columns["pixel_area_m2"]
    return np.rint(areas * MASS_SCALE["area_m2"])


def _people(reader: Reader, group: Group) -> Int64s:
    raster = open_population(reader.file("population_raster_2025"))
    people, read = raster.masses(group.code, *(group.columns[name] for name in _PLACE))
    reader.bytes_read["population_raster_2025"] += read
    return people
