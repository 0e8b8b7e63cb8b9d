"""Rows of the tile datasets, which have hundreds of millions, for one country or for used tiles.

Files are read by row group: asking a database for each row whether its tile has a site costs many
times as much as looking up the few used tiles in a row group.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.audit.case import Case, Preparation
from segment1b.audit.session import repeated
from segment1b.audit.strides import COUNTRY, letters_of
from segment1b.storage.arrays import distinct

BOUNDS = (
    *("min_lon_deg", "max_lon_deg", "min_lat_deg", "max_lat_deg"),
    *("centroid_lon_deg", "centroid_lat_deg"),
)
_CODE = "country_iso"
# A country word and a tile id share one number.
_COUNTRY_BITS, _TILE_BITS = np.uint64(16), np.uint64(48)
_SITES = (
    f"SELECT {COUNTRY}, tile_id FROM {{view}} "  # noqa: S608
    "WHERE legal_country_iso IS NOT NULL AND tile_id IS NOT NULL"
)


@dataclass(frozen=True)
class _Group:
    """A row group: its file and number, and the least and largest country of its rows."""

    path: Path
    footer: pq.FileMetaData
    number: int
    first: str
    last: str


def rows_of(case: Case, dataset_id: str, code: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows of one country of a tile dataset, some columns, a row group at a time."""
    for group in _groups(case, dataset_id):
        if not group.first <= code <= group.last:
            continue
        whole = group.first == group.last
        wanted = list(columns) if whole else [*columns, _CODE]
        with pq.ParquetFile(group.path, metadata=group.footer) as file:
            table = file.read_row_group(group.number, columns=wanted, use_threads=False)
        if not whole:
            table = table.filter(pc.equal(table.column(_CODE), code)).select(list(columns))
        if any(column.null_count for column in table.columns):
            table = table.drop_null()
        if len(table):
            yield table


def _groups(case: Case, dataset_id: str) -> list[_Group]:
    """Return the row groups of a dataset in written order, footers read once."""
    published = case.published
    return published.once(
        f"row groups of {dataset_id}",
        lambda: [group for path in published.files(dataset_id) for group in _groups_of(path)],
    )


def _groups_of(path: Path) -> Iterator[_Group]:
    footer = pq.read_metadata(path)
    at = footer.schema.to_arrow_schema().get_field_index(_CODE)
    for number in range(footer.num_row_groups):
        known = footer.row_group(number).column(at).statistics
        span = (known.min, known.max) if known is not None and known.has_min_max else ("", "\uffff")
        yield _Group(path, footer, number, *span)


def used_tiles(case: Case, sites: Sequence[str]) -> dict[str, npt.NDArray[np.uint64]]:
    """Return the distinct tiles in which some datasets have sites, by country, ascending."""
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
    found = [np.empty(0, np.uint64)]
    for batch in case.session.batches(_SITES.format(view=view)):
        tile, country = batch["tile_id"], batch["country"]
        # What no raster and no table of countries can hold stays unknown.
        fits = (tile >> _TILE_BITS == 0) & (country >> _COUNTRY_BITS == 0)
        found.append(distinct((country << _TILE_BITS | tile)[fits]))
    return distinct(np.concatenate(found))


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

    return Preparation(f"setup_{name}", (*sites, dataset_id), (name,), copy)


def _picked(table: pa.Table, used: npt.NDArray[np.uint64]) -> pa.Table:
    """Return the rows whose tile is among ascending tiles."""
    ids = table.column("tile_id").to_numpy()
    if not (ids[1:] > ids[:-1]).all():
        return table.filter(pa.array(np.isin(ids, used)))
    near = used[np.searchsorted(used, ids[0]) : np.searchsorted(used, ids[-1], "right")]
    at = np.searchsorted(ids, near)
    return table.take(at[ids[at] == near])
