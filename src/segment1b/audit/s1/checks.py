"""S1: the tile index against grid, ellipsoid and polygons."""

from __future__ import annotations

import numpy as np

from segment1b.audit.case import ISO, POLICY, RASTER, Case, Check, Preparation, StateChecks
from segment1b.audit.results import CheckResult, Rule, differences
from segment1b.audit.s1.axes import grid_columns, grid_rows
from segment1b.audit.s1.membership import check_membership, countries
from segment1b.audit.s1.polygons import crs_fault

_MISSING = "E_REFERENCE_SURFACE_MISSING"
_HYGIENE = "E108_WRITER_HYGIENE"


def _make_axes(case: Case) -> None:
    assert case.grid is not None
    for name, number, axis in (
        ("grid_rows", "raster_row", grid_rows(case.grid)),
        ("grid_columns", "raster_col", grid_columns(case.grid)),
    ):
        size = len(next(iter(axis.values())))
        case.session.table(name, {number: np.arange(size, dtype=np.uint32), **axis})


def _crs(case: Case, rule: Rule) -> CheckResult:
    path = case.published.path("world_countries")
    fault = crs_fault(path)
    return rule.judge([{"path": str(path), "reason": fault}] if fault else ())


def _polygons(case: Case, rule: Rule) -> CheckResult:
    return rule.judge(
        {"country_iso": country.code, "reason": country.fault}
        for country in countries(case)
        if country.fault
    )


def _versions(case: Case, rule: Rule) -> CheckResult:
    expected = {
        name: case.published.dataset(name).version_tag for name in (ISO, "world_countries", RASTER)
    }
    return rule.judge(differences(case.report("s1_run_report")["ingress_versions"], expected))


PLAN = StateChecks(
    id="s1",
    report="s1_run_report",
    report_code=_HYGIENE,
    hygiene_code=_HYGIENE,
    identity_code=_HYGIENE,
    owns=("tile_index", "tile_bounds"),
    absent={
        "s1_run_report": _HYGIENE,
        "tile_index": "E101_TILE_INDEX_MISSING",
        "tile_bounds": _HYGIENE,
        "world_countries": _MISSING,
        ISO: _MISSING,
        RASTER: _MISSING,
        POLICY: _MISSING,
    },
    reads=(ISO, "world_countries", RASTER, POLICY),
    disallowed_code="E_FORBIDDEN_SURFACE_READ",
    stale={"": "E_PARAMETER_HASH_REUSED"},
    preparations=(Preparation("grid_axes", (RASTER,), ("grid_rows", "grid_columns"), _make_axes),),
    checks=(
        Check(
            Rule("s1", "crs", "E007_CRS_MISMATCH", "R", "polygons are in longitude and latitude"),
            ("world_countries",),
            _crs,
        ),
        Check(
            Rule(
                "s1",
                "polygons",
                "E001_GEO_INVALID",
                "C",
                "every polygon is valid and has an area, once unwrapped at the antimeridian",
            ),
            ("world_countries",),
            _polygons,
        ),
        Check(
            Rule(
                "s1",
                "membership",
                "E008_INCLUSION_RULE",
                "C",
                "exactly the cells that each country's rule includes are listed, and it is the "
                "rule that the policy asks for",
            ),
            ("tile_index", "world_countries", RASTER, POLICY),
            check_membership,
        ),
        Check(
            Rule(
                "s1", "versions", _HYGIENE, "R", "the run report names the versions of its inputs"
            ),
            ("s1_run_report",),
            _versions,
        ),
    ),
)
