"""S2: the weights against the raster, the areas and the law."""

from __future__ import annotations

import hashlib

from segment1b.audit.case import (
    ISO,
    POLICY,
    RASTER,
    Case,
    Check,
    Preparation,
    StateChecks,
    script_preparation,
)
from segment1b.audit.results import CheckResult, Rule, differences
from segment1b.audit.s2.masses import make_cell_masses
from segment1b.identity import canonical_json

_MISSING = "E_REFERENCE_SURFACE_MISSING"
_HYGIENE = "E108_WRITER_HYGIENE"
_INDEX = "E101_TILE_INDEX_MISSING"
_REUSED = "E_PARAMETER_HASH_REUSED"


def _report_policy(case: Case, rule: Rule) -> CheckResult:
    """The digest of the whole policy, and the versions of the inputs that the basis uses."""
    policy = case.published.document(POLICY)["policy"]
    basis = policy["prep"]["basis"]
    raster = case.published.dataset(RASTER).version_tag if basis == "population" else None
    expected = {
        "policy_sha256": hashlib.sha256(canonical_json(policy)).hexdigest(),
        "ingress_versions": {ISO: case.published.dataset(ISO).version_tag, RASTER: raster},
    }
    report = case.report("s2_run_report")
    return rule.judge(differences({name: report[name] for name in expected}, expected))


PLAN = StateChecks(
    id="s2",
    report="s2_run_report",
    report_code=_HYGIENE,
    hygiene_code=_HYGIENE,
    identity_code=_HYGIENE,
    owns=("tile_weights",),
    absent={
        "s2_run_report": _HYGIENE,
        "tile_weights": _HYGIENE,
        "tile_index": _INDEX,
        ISO: _MISSING,
        RASTER: _MISSING,
        POLICY: _MISSING,
    },
    reads=("tile_index", ISO, RASTER, POLICY),
    disallowed_code="E_FORBIDDEN_SURFACE_READ",
    stale={"": _REUSED, "tile_index": _INDEX},
    faults={"tile_index": _INDEX},
    preparations=(
        Preparation("cell_masses", (RASTER,), ("cell_masses", "bad_cells"), make_cell_masses),
        script_preparation("s2", "setup_weighed.sql"),
    ),
    checks=(
        Check(
            Rule(
                "s2",
                "report_policy",
                _HYGIENE,
                "R",
                "the run report carries the digest of the policy and the versions of its inputs",
            ),
            ("s2_run_report", POLICY),
            _report_policy,
        ),
    ),
)
