"""Sorts sites along a Hilbert curve over the globe, on disk and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.storage.site_tables import coordinates

#: Rows that one bucket aims at; a bucket is sorted in memory.
BUCKET_ROWS = 524_288
_ORDER: Final = 16
# Buckets are cut between squares of 2^6 cells a side, a third of a degree of longitude.
_COARSE: Final = 2 * 6
_ONE: Final = np.uint32(1)
_POSITION: Final = "hilbert"
Positions: TypeAlias = npt.NDArray[np.uint32]
#: Opens the stream of tables again from its start.
Source: TypeAlias = Callable[[], Iterable[pa.Table]]


class Survey(NamedTuple):
    """Count, bounds (west, south, east, north; degrees) and bucket of each coarse square."""

    rows: int
    bounds: tuple[float, float, float, float] | None
    bucket: npt.NDArray[np.int64]


def positions(lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64]) -> Positions:
    """Return the positions of points (degrees) on the Hilbert curve of 2^16 cells a side."""
    side = 1 << _ORDER
    x = np.minimum((lon + 180.0) * (side / 360.0), side - 1).astype(np.uint32)
    y = np.minimum((lat + 90.0) * (side / 180.0), side - 1).astype(np.uint32)
    index: Positions = np.zeros(x.shape, np.uint32)
    for bit in range(_ORDER - 1, -1, -1):
        right, up = (x >> np.uint32(bit)) & _ONE, (y >> np.uint32(bit)) & _ONE
        index = (index << np.uint32(2)) | ((right * np.uint32(3)) ^ up)
        # In the lower half the curve lies turned: swapped, and on the right flipped too.
        lower = up == 0
        flip = np.where(lower & (right == 1), np.uint32(side - 1), np.uint32(0))
        x, y = x ^ flip, y ^ flip
        x, y = np.where(lower, y, x), np.where(lower, x, y)
    return index


def survey(source: Source) -> Survey:
    """Count the sites by coarse square and cut the curve into buckets of about BUCKET_ROWS."""
    counts = np.zeros(1 << (2 * _ORDER - _COARSE), np.int64)
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for table in source():
        lon, lat = coordinates(table)
        counts += np.bincount(positions(lon, lat) >> _COARSE, minlength=len(counts))
        low = np.minimum(low, (lon.min(), lat.min()))
        high = np.maximum(high, (lon.max(), lat.max()))
    rows = int(counts.sum())
    bounds = (float(low[0]), float(low[1]), float(high[0]), float(high[1])) if rows else None
    return Survey(rows, bounds, (np.cumsum(counts) - counts) // BUCKET_ROWS)


def in_curve_order(source: Source, surveyed: Survey, folder: Path) -> Iterator[pa.Table]:
    """Yield all sites along the curve, those of one cell in key order.

    A coarse square with far more than BUCKET_ROWS sites is sorted in runs of twice that, so that
    memory stays bounded.
    """
    for path in _spill(source, surveyed, folder):
        for table in _runs(path):
            order = np.argsort(table.column(_POSITION).to_numpy(), kind="stable")
            yield table.drop_columns([_POSITION]).take(pa.array(order))
        path.unlink()


def _spill(source: Source, surveyed: Survey, folder: Path) -> list[Path]:
    """Write each row to the file of its bucket; return the files along the curve."""
    writers: dict[int, Any] = {}
    paths: dict[int, Path] = {}
    try:
        for table in source():
            position = positions(*coordinates(table))
            bucket = surveyed.bucket[position >> _COARSE]
            order = np.argsort(bucket, kind="stable")
            sorted_rows = table.append_column(_POSITION, pa.array(position)).take(pa.array(order))
            numbers, starts = np.unique(bucket[order], return_index=True)
            ends = np.append(starts[1:], len(bucket))
            for number, start, end in zip(numbers.tolist(), starts, ends, strict=True):
                if number not in writers:
                    paths[number] = folder / f"bucket-{number:06d}.arrows"
                    writers[number] = pa.ipc.new_stream(paths[number], sorted_rows.schema)
                writers[number].write_table(sorted_rows.slice(start, end - start))
    finally:
        for writer in writers.values():
            writer.close()
    return [paths[number] for number in sorted(paths)]


def _runs(path: Path) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = 0
    with pa.ipc.open_stream(path) as reader:
        for batch in reader:
            if held and rows + batch.num_rows > 2 * BUCKET_ROWS:
                yield pa.Table.from_batches(held).combine_chunks()
                held, rows = [], 0
            held.append(batch)
            rows += batch.num_rows
    yield pa.Table.from_batches(held).combine_chunks()
