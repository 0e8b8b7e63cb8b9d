"""S2: the weights against the raster, the areas and the law."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

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
from segment1b.audit.results import Row, fields_differ
from segment1b.audit.s2.masses import make_cell_masses
from segment1b.identity import canonical_json

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


PLAN = state_checks(
    CHECKS,
    Preparation("cell_masses", (RASTER,), ("cell_masses", "bad_cells"), make_cell_masses),
    script_preparation("s2", "weighed"),
)
