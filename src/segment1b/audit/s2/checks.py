"""S2: the weights against the raster, the areas and the law."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from rasterio.windows import Window

from segment1b.audit.case import (
    ISO,
    POLICY,
    RASTER,
    Case,
    Checks,
    Preparation,
    script_preparation,
    state_checks,
)
from segment1b.audit.results import Row, differences, fields_differ
from segment1b.audit.s2.settled import settle, tallies
from segment1b.identity import canonical_json
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
            full = np.flatnonzero((mass > 0) & (mass <= _LARGEST))
            first = top * source.width
            session.append(
                "cell_masses",
                {
                    "tile_id": (full + first).astype(np.uint64),
                    "mass": mass[full].astype(np.int64),
                },
            )
            session.append(
                "bad_cells", {"tile_id": (bad + first).astype(np.uint64), "value": people[bad]}
            )


CHECKS = Checks("s2")


@CHECKS.add("report_policy", "E108_WRITER_HYGIENE", "s2_run_report", POLICY)
def _report_policy(case: Case) -> Iterator[Row]:
    """The run report carries the digest of the policy and the versions of its inputs."""
    policy = case.published.document(POLICY)["policy"]
    basis = policy["prep"]["basis"]
    raster = case.published.dataset(RASTER).version_tag if basis == "population" else None
    expected = {
        "policy_sha256": hashlib.sha256(canonical_json(policy)).hexdigest(),
        "ingress_versions": {ISO: case.published.dataset(ISO).version_tag, RASTER: raster},
    }
    return fields_differ(case.report("s2_run_report"), expected)


@CHECKS.add("report_centres", "E108_WRITER_HYGIENE", "s2_run_report", "tile_centres", POLICY)
def _report_centres(case: Case) -> Iterator[Row]:
    """The run report has the policy's people per centre and the number of all centres."""
    expected = {
        "people_per_centre": case.policy("jitter")["centres"]["people_per_centre"],
        "centres_total": case.count("SELECT sum(centres)::HUGEINT AS n FROM tile_centres"),
    }
    return differences(case.report("s2_run_report").get("centres", {}), expected)


PLAN = state_checks(
    CHECKS,
    Preparation("cell_masses", (RASTER,), ("cell_masses", "bad_cells"), make_cell_masses),
    script_preparation("s2", "weighed"),
    settle=settle,
    looks={"tallies of s2": tallies},
)
