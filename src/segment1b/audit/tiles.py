"""Rows of the tile datasets, which have hundreds of millions, for one country or for used tiles.

Files are read by row group: asking a database for each row whether its tile has a site costs many
times as much as looking up the few used tiles in a row group.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.audit.case import Case, Preparation
from segment1b.audit.published_files import Published
from segment1b.audit.session import repeated
from segment1b.audit.strides import COUNTRY, letters_of
from segment1b.storage.arrays import distinct

INDEX = ("pixel_area_m2",)
BOUNDS = (
    *("min_lon_deg", "max_lon_deg", "min_lat_deg", "max_lat_deg"),
    *("centroid_lon_deg", "centroid_lat_deg"),
)
_CODE = "country_iso"
_EVERY = range(1 << 64)
# A country word and a tile id share one number.
_COUNTRY_BITS, _TILE_BITS = np.uint64(16), np.uint64(48)
_KEYS_TOGETHER = 1 << 22
_SITES = (
    f"SELECT {COUNTRY}, tile_id FROM {{view}} "  # noqa: S608
    "WHERE legal_country_iso IS NOT NULL AND tile_id IS NOT NULL"
)


@dataclass(frozen=True)
class RowGroup:
    """A row group: its file and number, and between which countries and tiles its rows are."""

    path: Path
    footer: pq.FileMetaData
    number: int
    countries: tuple[str, str]
    tiles: tuple[int, int]


def rows_of(
    case: Case, dataset_id: str, code: str, columns: Sequence[str], tiles: range = _EVERY
) -> Iterator[pa.Table]:
    """Yield the rows of one country of a tile dataset, some columns, a row group at a time.

    `tiles`, if given, are those that are wanted, and tile_id is among the columns.
    """
    texts = [c.name for c in case.published.dataset(dataset_id).columns if c.type == "string"]
    for group in row_groups(case.published, dataset_id):
        (first, last), (low, high) = group.countries, group.tiles
        if not first <= code <= last or high < tiles.start or low >= tiles.stop:
            continue
        whole = first == last
        wanted = list(columns) if whole else [*columns, _CODE]
        with pq.ParquetFile(group.path, metadata=group.footer, read_dictionary=texts) as file:
            table = file.read_row_group(group.number, columns=wanted, use_threads=False)
        if low < tiles.start or high >= tiles.stop:
            least, most = (pa.scalar(tile, pa.uint64()) for tile in (tiles.start, tiles.stop - 1))
            ids = table.column("tile_id")
            table = table.filter(pc.and_(pc.greater_equal(ids, least), pc.less_equal(ids, most)))
        if not whole:
            table = table.filter(pc.equal(table.column(_CODE), code)).select(list(columns))
        if any(column.null_count for column in table.columns):
            table = table.drop_null()
        if len(table):
            yield table


def row_groups(published: Published, dataset_id: str) -> list[RowGroup]:
    """Return the row groups of a tile dataset in written order, footers read once."""
    return published.once(
        f"row groups of {dataset_id}",
        lambda: [group for path in published.files(dataset_id) for group in _groups_of(path)],
    )


def _groups_of(path: Path) -> list[RowGroup]:
    status = path.stat()
    known = status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    return _known_groups(path, known)


@functools.lru_cache(maxsize=2048)  # parts of a world read the same footers, of some 50 KB
def _known_groups(path: Path, _status: tuple[int, ...]) -> list[RowGroup]:
    footer, found = pq.read_metadata(path), list[RowGroup]()
    names = [footer.schema.column(at).path for at in range(footer.num_columns)]
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        countries = _span(group, names, _CODE, str) or ("", "\uffff")
        tiles = _span(group, names, "tile_id", int) or (0, _EVERY.stop - 1)
        found.append(RowGroup(path, footer, number, countries, tiles))
    return found


def _span(
    group: pq.RowGroupMetaData, names: list[str], column: str, kind: type
) -> tuple[Any, Any] | None:
    """Return the least and largest value of a column of a row group, if the file tells.

    Raises:
        ValueError: the column is of another kind.
    """
    if group.num_columns != len(names) or names.count(column) != 1:
        return None  # a damaged footer, for whoever reads the rows
    known = group.column(names.index(column)).statistics
    if known is None or not known.has_min_max:
        return None
    least, most = known.min, known.max
    if type(least) is not kind:
        raise ValueError(f"{column} is not made of {kind.__name__} values")
    return least, most


def used_tiles(case: Case, sites: Sequence[str]) -> dict[str, npt.NDArray[np.uint64]]:
    """Return the distinct tiles in which some datasets have sites, by country, ascending."""
    return _by_country(_used(case, sites))


def _used(case: Case, sites: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return country and tile of each tile with sites, as one number each, ascending."""
    published, keys = case.published, np.empty(0, np.uint64)
    datasets = {dataset.id for dataset in published.contracts}
    for view in sites:
        # Files stay as they are; several tables are asked for the same tiles.
        own = (
            published.once(f"used tiles of {view}", functools.partial(_keys, case, view))
            if view in datasets
            else _keys(case, view)
        )
        keys = distinct(np.concatenate([keys, own])) if len(keys) else own
    return keys


def _by_country(keys: npt.NDArray[np.uint64]) -> dict[str, npt.NDArray[np.uint64]]:
    if not len(keys):
        return {}
    starts = np.flatnonzero(np.diff(keys >> _TILE_BITS, prepend=_COUNTRY_BITS << _COUNTRY_BITS))
    tiles = keys & np.uint64((1 << 48) - 1)
    return {
        letters_of(int(keys[low] >> _TILE_BITS)): own
        for low, own in zip(starts, np.split(tiles, starts[1:]), strict=True)
    }


def _keys(case: Case, view: str) -> npt.NDArray[np.uint64]:
    """Return country and tile of each tile in which a dataset has sites, as one number each."""
    keys, found = np.empty(0, np.uint64), list[npt.NDArray[np.uint64]]()
    for batch in case.session.batches(_SITES.format(view=view)):
        tile, country = batch["tile_id"], batch["country"]
        # What no raster and no table of countries can hold stays unknown.
        fits = (tile >> _TILE_BITS == 0) & (country >> _COUNTRY_BITS == 0)
        found.append(distinct((country << _TILE_BITS | tile)[fits]))
        if sum(map(len, found)) > max(len(keys), _KEYS_TOGETHER):
            keys, found = distinct(np.concatenate([keys, *found])), []
    return distinct(np.concatenate([keys, *found]))


def keep_used(dataset_id: str, sites: Sequence[str], columns: Sequence[str]) -> Preparation:
    """Return the preparation that makes used_<dataset>: its rows whose tiles have sites."""
    name, copied = f"used_{dataset_id}", ("tile_id", *columns)

    def copy(case: Case) -> None:
        listed = ", ".join((_CODE, *copied))
        case.session.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT {listed} FROM {dataset_id} LIMIT 0"  # noqa: S608
        )
        picked = (
            (code, _picked(table, used))
            for code, used in used_tiles(case, sites).items()
            for table in rows_of(case, dataset_id, code, copied)
        )
        parts = (
            {_CODE: repeated(code, len(rows)), **{n: rows.column(n) for n in copied}}
            for code, rows in picked
        )
        case.session.append_all(name, parts)

    def source(case: Case) -> tuple[object, ...]:
        """Return the columns, and a digest of the tiles: states have sites in the same ones."""
        return copied, hashlib.sha256(_used(case, sites).data).digest()

    return Preparation(f"setup_{name}", (*sites, dataset_id), (name,), copy, source=source)


def count_tiles(sites: str) -> Preparation:
    """Return the preparation that makes tile_counts: how many tiles have sites, by country.

    DuckDB would keep every tile in memory to count the distinct ones.
    """

    def count(case: Case) -> None:
        used = used_tiles(case, (sites,))
        tiles = pa.array([len(own) for own in used.values()], pa.int64())
        columns = {"country_iso": pa.array([*used], pa.string()), "tiles": tiles}
        case.session.table("tile_counts", columns)

    return Preparation("setup_tile_counts", (sites,), ("tile_counts",), count)


def _picked(table: pa.Table, used: npt.NDArray[np.uint64]) -> pa.Table:
    """Return the rows whose tile is among ascending tiles."""
    ids = table.column("tile_id").to_numpy()
    if not (ids[1:] > ids[:-1]).all():
        return table.filter(pa.array(np.isin(ids, used)))
    near = used[np.searchsorted(used, ids[0]) : np.searchsorted(used, ids[-1], "right")]
    at = np.searchsorted(ids, near)
    return table.take(at[ids[at] == near])
