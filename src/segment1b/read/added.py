"""Columns of other published datasets, joined to exported sites: tiles, weights, time zones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.contracts.locations import refuse_unknown
from segment1b.errors import Segment1BError
from segment1b.read.zones import Zones
from segment1b.reference.installing import ZONES
from segment1b.storage import site_tables as rows
from segment1b.storage.arrays import distinct, rebatch
from segment1b.storage.durable import read_object
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import column_batches, hash_files, key_words
from segment1b.storage.snapshot import Partition, Snapshot

_SYNTHESIS: Final = "s7_site_synthesis"
_SEALS: Final = "s0_gate_receipt_1B"
#: The dataset of each column of a tile.
_OF_A_TILE: Final = {"weight_fp": "tile_weights", "pixel_area_m2": "tile_index"}
_TYPES: Final = {
    "tzid": pa.string(),
    "tile_id": pa.int64(),  # below 2^63, and GDAL makes a float of an uint64
    "weight_fp": pa.int64(),
    "pixel_area_m2": pa.float64(),
}
#: The columns that an export can have beside its own and those of the list.
COLUMNS: Final = tuple(_TYPES)
_TILE_BITS: Final = 47


@dataclass(eq=False)
class Added:
    """The wanted columns of one published run; what they are read from is hashed first.

    Attributes:
        published: the run.
        wanted: the sites.
        names: the columns, in their order.
    """

    published: Snapshot
    wanted: rows.Wanted
    names: Sequence[str]
    _zones: Zones | None = None
    _tiles: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    _values: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an unknown column, check receipts, and load what the tiles and zones have."""
        refuse_unknown(self.names, COLUMNS, "E_USAGE", "--with", "column '{}' is unknown")
        self._reader = Reader(self.published, (_SYNTHESIS, *_OF_A_TILE.values(), _SEALS, ZONES))
        if "tzid" in self.names:
            self._zones = _sealed_zones(self._reader)
        of_a_tile = [name for name in self.names if name in _OF_A_TILE]
        self._sites = (
            _hashed(self._reader, _SYNTHESIS) if of_a_tile or "tile_id" in self.names else None
        )
        if of_a_tile:
            for table in self._synthesis(["legal_country_iso", "tile_id"]):
                self._tiles = distinct(np.concatenate([self._tiles, _tile_keys(table)]))
        for name in of_a_tile:
            self._values[name] = self._of_tiles(name)

    @property
    def schema(self) -> pa.Schema:
        """Return the columns that are joined to sites."""
        return pa.schema([(name, _TYPES[name]) for name in self.names])

    def joined(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Yield the tables of all wanted sites, in key order, with the columns added."""
        if self._sites is None:
            for table in tables:
                yield self._with(table, None)
            return
        synthesis = self._synthesis([*rows.COLUMNS, "tile_id"])
        batches = (rebatch(one, rows.BATCH_ROWS) for one in (tables, synthesis))
        for table, other in zip_longest(*batches):
            both = [one.select(rows.COLUMNS) for one in (table, other) if one is not None]
            if len(both) < 2 or not both[0].equals(both[1]):
                raise _other_sites(self._sites)
            yield self._with(table, other)

    def _with(self, table: pa.Table, synthesis: pa.Table | None) -> pa.Table:
        found: dict[str, Any] = {}
        if self._zones is not None:
            found["tzid"] = self._zones.at(*rows.coordinates(table))
        if synthesis is not None:
            found["tile_id"] = synthesis["tile_id"].cast(pa.int64())
            at = np.searchsorted(self._tiles, _tile_keys(synthesis)) if self._values else None
            found |= {name: pa.array(values[at]) for name, values in self._values.items()}
        for column in self.schema:
            table = table.append_column(column, found[column.name])
        return table

    def _synthesis(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        assert self._sites is not None
        return rows.site_tables(self._sites.paths, self.wanted, columns)

    def _of_tiles(self, name: str) -> npt.NDArray[Any]:
        """Return a column's values of the tiles that have wanted sites, in the tiles' order."""
        partition = _hashed(self._reader, _OF_A_TILE[name])
        values = np.empty(len(self._tiles), _TYPES[name].to_pandas_dtype())
        missing = np.ones(len(values), np.bool_)
        for table in column_batches(partition.paths, ["country_iso", "tile_id", name]):
            keys = _tile_keys(table)
            low, high = np.searchsorted(self._tiles, keys[[0, -1]]) if len(keys) else (0, 0)
            at = np.searchsorted(keys, self._tiles[low : high + 1])
            held = at < len(keys)
            held[held] = keys[at[held]] == self._tiles[low : high + 1][held]
            place = low + np.flatnonzero(held)
            values[place], missing[place] = table[name].to_numpy()[at[held]], False
        if missing.any():
            tile = int(self._tiles[missing][0]) & ((1 << _TILE_BITS) - 1)
            what = f"{partition.dataset.id} has no row of tile {tile}, which has sites"
            raise partition.dataset.error("receipt", what, partition.dataset.redo, tile_id=tile)
        return values


def _tile_keys(table: pa.Table) -> npt.NDArray[np.uint64]:
    """Return numbers that ascend as (country, tile) do."""
    name = "country_iso" if "country_iso" in table.column_names else "legal_country_iso"
    country = key_words(table[name]).astype(np.uint64)
    tile: npt.NDArray[np.uint64] = table["tile_id"].to_numpy()
    return country << np.uint64(_TILE_BITS) | tile


def _hashed(reader: Reader, dataset_id: str) -> Partition:
    """Return a partition of the run whose files hash to its receipt."""
    reader.fetch([dataset_id])
    partition = reader.partition(dataset_id)
    reader.snapshot.partition(dataset_id, verify=True)
    return partition


def _sealed_zones(reader: Reader) -> Zones:
    """Return the time zones whose file has the digest that the receipt of S0 seals."""
    reader.fetch([_SEALS, ZONES])
    seals, path = reader.file(_SEALS), reader.file(ZONES)
    reader.snapshot.file_receipt(_SEALS, verify=True)
    receipt = read_object(seals)
    sealed = {entry["id"]: entry["sha256_hex"] for entry in receipt["sealed_inputs"]}
    digest = hash_files(path.parent, [path.name])[1]
    if digest != sealed.get(ZONES):
        what = f"{ZONES} hashes to {digest}, S0 sealed {sealed.get(ZONES, 'none')}"
        hint = "restore the sealed file, or export without tzid"
        raise Segment1BError(reader.stale_code, what, hint, dataset=ZONES)
    return Zones(path)


def _other_sites(partition: Partition) -> Segment1BError:
    what = f"{partition.dataset.id} in {partition.folder} does not have the published sites"
    return partition.dataset.error("receipt", what, "restore both from their source")
