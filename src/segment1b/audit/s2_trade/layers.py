"""The layers of each country and their shares of K, read from the rasters country by country.

Shares come of quotients by floats, which arithmetic modulo 2^64 corrects: off by less than the
total M, what is over, share * M - mass * K, is the same modulo 2^64.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from segment1b.audit.case import RASTER, Case
from segment1b.audit.passes import Group, Stretch, UnsettledError, numbered_groups, stretch, sum_of
from segment1b.audit.s2.settled import MOST_MASS, MOST_UNITS, Ints, areas_of, masses_of
from segment1b.audit.s2_trade.layer_cells import Placed, alignment, cells_of, has_layer, is_count
from segment1b.contracts.states import ROADS, URBAN
from segment1b.storage.rasters import open_raster

_CELLS_AT_ONCE = 1 << 22
# The layers of a country lie in memory; larger ones are left to queries, which can use the disk.
_MOST_TILES = 1 << 24


class Layers(NamedTuple):
    """The layers of a country.

    Attributes:
        groups: its row groups in tile_index with the numbers of their files.
        shares: of K, int64[tiles] each, in the order of LAYERS; None for a layer that is empty.
        sums: of the layers.
        metres: of road.
    """

    code: str
    groups: Sequence[tuple[int, Group]]
    shares: Sequence[Ints | None]
    sums: Sequence[int]
    metres: int


class World:
    """The layers of all countries, and what the policy says of all trades.

    Attributes:
        files: the row groups of each file of tile_index that was read.
    """

    def __init__(self, case: Case, stack: ExitStack) -> None:
        assert case.grid is not None
        prep, trades = case.policy("prep"), case.policy("trades")
        self.published, self.ncols = case.published, case.grid.ncols
        self.dp, self.units, self.boost = prep["dp"], 10 ** prep["dp"], trades["boost"]
        self.percents = {trade["id"]: trade["weights"] for trade in trades["trades"]}
        self.files: dict[int, list[Stretch]] = {}
        self.people = stack.enter_context(open_raster(case.published.path(RASTER)))
        self.layers: dict[str, tuple[Any, Placed] | None] = {URBAN: None, ROADS: None}
        for name in (name for name in self.layers if has_layer(case, name)):
            source = stack.enter_context(open_raster(case.published.path(name)))
            self.layers[name] = source, alignment(case, name)
        urban = alignment(case, URBAN)
        self.cells = urban.side**2 if urban.holds else 1
        if self.units > MOST_UNITS or len(self.percents) < len(trades["trades"]):
            raise UnsettledError

    def countries(self) -> Iterator[Layers]:
        """Yield the countries of tile_index in written order."""
        every = numbered_groups(self.published, "tile_index")
        for code, own in itertools.groupby(every, lambda pair: pair[1].words["country_iso"]):
            yield self._layers(code, own)

    def _layers(self, code: str, every: Iterable[tuple[int, Group]]) -> Layers:
        kept, parts, tiles = list[tuple[int, Group]](), list[tuple[Ints, ...]](), 0
        for number, group in every:
            rows = stretch(group)
            self.files.setdefault(number, []).append(rows)
            tiles += rows.rows
            if tiles > _MOST_TILES:
                raise UnsettledError
            parts.append(self._read(group))
            kept.append((number, Group(group.words, {"tile_id": group.values["tile_id"]})))
        people, area, urban, metres = map(np.concatenate, zip(*parts, strict=True))
        del parts
        roads = root(_product(people // 1000, metres))
        layers = [people, area, urban, _product(people, urban), roads]
        del people, area, urban, roads
        sums = [*map(sum_of, layers)]
        # Each layer goes as soon as it has been shared out.
        shares = [shares_of(layers.pop(0), total, self.units) for total in sums]
        return Layers(code, kept, shares, sums, sum_of(metres))

    def _read(self, index: Group) -> tuple[Ints, Ints, Ints, Ints]:
        """Return people in millionths, area, urban cells and metres of the tiles of a row group."""
        tiles = index.values["tile_id"]
        people = masses_of(self.people, tiles, self.ncols)
        row, col = np.divmod(tiles.astype(np.int64), self.ncols)
        urban, metres = (
            np.zeros(len(tiles), np.int64)
            if placed is None
            else np.concatenate([*_values(*placed, row, col, dealt=name == ROADS)])
            for name, placed in self.layers.items()
        )
        return people, areas_of(index), urban, metres


def _values(source: Any, placed: Placed, row: Ints, col: Ints, *, dealt: bool) -> Iterator[Ints]:
    """Yield the values of a layer for tiles in ascending order, some rows of them at once.

    They are sums of the cells of a tile, or the value of its cell; dealt, a part of this value.
    """
    step = max(1, _CELLS_AT_ONCE // (source.width * placed.side))
    value = _sums if placed.holds else _dealt if dealt else _copied
    for top in range(int(row[0]), int(row[-1]) + 1, step):
        low, high = np.searchsorted(row, [top, top + step])
        if low < high:
            yield value(source, placed, row[low:high], col[low:high])


def _sums(source: Any, placed: Placed, row: Ints, col: Ints) -> Ints:
    """Return the sums of the cells of tiles."""
    side, top, left = placed.side, int(row[0]), int(col.min())
    height, width = int(row[-1]) + 1 - top, int(col.max()) + 1 - left
    first = placed.first_row + top * side
    columns = (placed.first_col + np.arange(left * side, (left + width) * side)) % placed.turn
    cells = _whole(source, first, first + height * side, columns)
    summed = cells.reshape(height, side, width, side).sum(axis=(1, 3))
    found: Ints = summed[row - top, col - left]
    return found


def _copied(source: Any, placed: Placed, row: Ints, col: Ints) -> Ints:
    """Return the values of the cells that hold tiles."""
    row, col = row + placed.first_row, (col + placed.first_col) % placed.turn
    first, (columns, at) = (
        int(row[0]) // placed.side,
        np.unique(col // placed.side, return_inverse=True),
    )
    cells = _whole(source, first, int(row[-1]) // placed.side + 1, columns)
    found: Ints = cells[row // placed.side - first, at]
    return found


def _dealt(source: Any, placed: Placed, row: Ints, col: Ints) -> Ints:
    """Return what each tile gets of the value of its cell, the first ones of the rest one more."""
    side, value = placed.side, _copied(source, placed, row, col)
    row, col = row + placed.first_row, (col + placed.first_col) % placed.turn
    return value // side**2 + (row % side * side + col % side < value % side**2)


def _whole(source: Any, first: int, end: int, columns: Ints) -> Ints:
    """Return some columns of some rows of a layer, int64."""
    if not 0 <= first < end <= source.height:
        raise UnsettledError
    cells = cells_of(source, first, end - first)[:, columns]
    if not is_count(cells).all():
        raise UnsettledError
    return cells.astype(np.int64)


def _product(one: Ints, other: Ints) -> Ints:
    if float(one.max()) * float(other.max()) >= 2.0**61:
        raise UnsettledError
    return one * other


def root(values: Ints) -> Ints:
    """Return the whole roots, rounded down, of int64 values in 0..2^61."""
    found = np.sqrt(values.astype(np.float64)).astype(np.int64)
    found -= found * found > values
    return found + ((found + 1) * (found + 1) <= values)


def shares_of(mass: Ints, total: int, units: int) -> Ints | None:
    """Return the largest-remainder shares of `units` of masses in tile order; None without any.

    Raises:
        UnsettledError: the masses sum to 2^62 or more.
    """
    if total == 0:
        return None
    if total >= MOST_MASS:
        raise UnsettledError
    # A quotient of at most 10^15 by floats errs by less than one half.
    share: Ints = np.floor(mass * (units / total)).astype(np.int64)
    off = share.view(np.uint64) * np.uint64(total) - mass.view(np.uint64) * np.uint64(units)
    over = off.view(np.int64)
    for wrong, by in ((over > 0, -1), (over <= -total, 1)):
        share[wrong] += by
        over[wrong] += by * total
    left = units - sum_of(share)
    if left:
        last = np.partition(over, left - 1)[left - 1]
        share += over < last
        ties = np.flatnonzero(over == last)
        share[ties[: left - int(np.count_nonzero(over < last))]] += 1
    return share
