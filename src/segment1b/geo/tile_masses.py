"""Integer masses of a country's tiles: people, area, urban cells and metres of road.

Source: docs/spec/s2-weights.md#integer-masses and docs/spec/trades.md#layers
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

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


def masses(
    reader: Reader, index: Partition, files: Sequence[int] | None, code: str, basis: str
) -> Int64s:
    """Return a country's integer masses: uniform 1, area in 1e-3 m2, population in 1e-6 people.

    `files` are the numbers of the part files of tile_index that hold the country, None for all.
    """
    columns = {"uniform": ["tile_id"], "area_m2": ["pixel_area_m2"], "population": _PLACE}[basis]
    # Filled in place: a list of groups and their concatenation would hold a large country twice.
    filled = np.ones(index.report["by_country"][code]["cells_included"], np.int64)
    for group, arrays in _groups(reader, index, files, code, columns):
        if basis == "area_m2":
            filled[group] = np.rint(arrays[0] * MASS_SCALE[basis])
        elif basis == "population":
            raster = open_population(reader.file("population_raster_2025"))
            filled[group], read = raster.masses(code, *arrays)
            reader.bytes_read["population_raster_2025"] += read
    return filled


def layer_cells(
    reader: Reader,
    index: Partition,
    grid: Grid,
    files: Sequence[int] | None,
    code: str,
    *,
    with_roads: bool,
) -> tuple[Int64s, Int64s, int]:
    """Return a country's urban cells and metres of road by tile, and the cells of a whole tile."""
    urban = open_layer(reader.file(URBAN), grid)
    roads = open_layer(reader.file(ROADS), grid) if with_roads else None
    filled = np.zeros((2, index.report["by_country"][code]["cells_included"]), np.int64)
    for group, place in _groups(reader, index, files, code, _PLACE):
        filled[0, group], read = urban.copied(*place)
        reader.bytes_read[URBAN] += read
        if roads is not None:
            filled[1, group], read = roads.dealt(*place)
            reader.bytes_read[ROADS] += read
    return filled[0], filled[1], urban.alignment.cells


def _groups(
    reader: Reader, index: Partition, files: Sequence[int] | None, code: str, columns: list[str]
) -> Iterator[tuple[slice, list[npt.NDArray[Any]]]]:
    """Yield columns of a country's row groups of tile_index, each with its range of tiles."""
    at = 0
    for table in reader.row_groups(index, columns, {"country_iso": (code, code)}, files):
        group = slice(at, at + table.num_rows)
        at = group.stop
        yield group, [column.to_numpy() for column in table.columns]
