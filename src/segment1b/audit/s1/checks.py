"""S1: the tile index against grid, ellipsoid and polygons."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from segment1b.audit.case import COUNTRIES, ISO, RASTER, Case, Preparation, state_checks
from segment1b.audit.results import Row, differences
from segment1b.audit.s1.axes import grid_columns, grid_rows
from segment1b.audit.s1.membership import CHECKS


def _make_axes(case: Case) -> None:
    assert case.grid is not None
    for name, number, axis in (
        ("grid_rows", "raster_row", grid_rows(case.grid)),
        ("grid_columns", "raster_col", grid_columns(case.grid)),
    ):
        size = len(next(iter(axis.values())))
        case.session.table(name, {number: np.arange(size, dtype=np.uint32), **axis})


@CHECKS.add("versions", "E108_WRITER_HYGIENE", "s1_run_report")
def _versions(case: Case) -> Iterator[Row]:
    """The run report names the versions of its inputs."""
    names = (ISO, COUNTRIES, RASTER)
    expected = {name: case.published.dataset(name).version_tag for name in names}
    return differences(case.report("s1_run_report")["ingress_versions"], expected)


PLAN = state_checks(
    CHECKS, Preparation("grid_axes", (RASTER,), ("grid_rows", "grid_columns"), _make_axes)
)
