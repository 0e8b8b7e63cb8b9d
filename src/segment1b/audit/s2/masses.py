"""Masses of the population raster, read block by block (prepare.md, section 4)."""

from __future__ import annotations

import numpy as np
from rasterio.windows import Window

from segment1b.audit.case import RASTER, Case
from segment1b.storage.rasters import open_raster

_CELLS_AT_ONCE = 1 << 23
_LARGEST = 2.0**53


def make_cell_masses(case: Case) -> None:
    """Make cell_masses (tile_id, mass of a cell that is not empty) and bad_cells (tile_id, value).

    A mass is rint(1e6 * people), half to even; declared nodata is empty. A cell is bad when its
    value is negative, not finite, or past what a float64 counts exactly.
    """
    session = case.session
    session.table("cell_masses", {"tile_id": np.empty(0, np.uint64), "mass": np.empty(0, np.int64)})
    session.table("bad_cells", {"tile_id": np.empty(0, np.uint64), "value": np.empty(0)})
    with open_raster(case.published.path(RASTER)) as source:
        step = max(1, _CELLS_AT_ONCE // source.width)
        for top in range(0, source.height, step):
            rows = min(step, source.height - top)
            read = source.read(1, window=Window(0, top, source.width, rows))
            people = read.astype(np.float64).ravel()
            if source.nodata is not None:
                gap = float(source.nodata)
                people[np.isnan(people) if np.isnan(gap) else people == gap] = 0.0
            mass = np.rint(people * 1e6)
            bad = np.flatnonzero(~((people >= 0) & (mass <= _LARGEST)))
            there = np.flatnonzero((mass > 0) & (mass <= _LARGEST))
            first = top * source.width
            session.append(
                "cell_masses",
                {
                    "tile_id": (there + first).astype(np.uint64),
                    "mass": mass[there].astype(np.int64),
                },
            )
            session.append(
                "bad_cells", {"tile_id": (bad + first).astype(np.uint64), "value": people[bad]}
            )
