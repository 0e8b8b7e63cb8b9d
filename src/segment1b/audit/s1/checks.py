"""S1: the tile index against grid, ellipsoid and polygons."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from segment1b.audit.case import (
    COUNTRIES,
    ISO,
    POLICY,
    RASTER,
    Case,
    Checks,
    Preparation,
    state_checks,
)
from segment1b.audit.results import Found, Row, differences
from segment1b.audit.s1.axes import grid_columns, grid_rows
from segment1b.audit.s1.membership import countries, judged, look
from segment1b.audit.s1.polygons import crs_fault
from segment1b.audit.s1.settled import TALLIES, settle, tallies

CHECKS = Checks("s1")


@CHECKS.add("crs", "E007_CRS_MISMATCH", COUNTRIES)
def _crs(case: Case) -> Iterator[Row]:
    """Polygons are in longitude and latitude."""
    path = case.published.path(COUNTRIES)
    if fault := crs_fault(path):
        yield {"path": str(path), "reason": fault}


@CHECKS.add("polygons", "E001_GEO_INVALID", COUNTRIES, scope="C")
def _polygons(case: Case) -> Iterator[Row]:
    """Every polygon is valid and has an area, once unwrapped at the antimeridian."""
    for country in countries(case):
        if country.fault:
            yield {"country_iso": country.code, "reason": country.fault}


@CHECKS.add("membership", "E008_INCLUSION_RULE", "tile_index", COUNTRIES, RASTER, POLICY, scope="C")
def _membership(case: Case) -> Found:
    """Exactly the cells that each country's rule includes are listed, and it is the rule that the
    policy asks for.
    """
    return judged(case, case.seen("membership", look))


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
    CHECKS,
    Preparation("grid_axes", (RASTER,), ("grid_rows", "grid_columns"), _make_axes),
    settle=settle,
    looks={TALLIES: tallies, "membership": look},
)
