"""S3: the requirements against the outlets they count, and the seal."""

from __future__ import annotations

from collections.abc import Iterator

from segment1b.audit.case import RECEIPT, Case, Checks, script_preparation, state_checks
from segment1b.audit.results import Row, fields_differ
from segment1b.audit.tables import iso_version_differs

CHECKS = Checks("s3")
_REPORT = "s3_run_report"
_DIGESTS = "E306_TOKEN_MISMATCH"


@CHECKS.add("sealed_digests", _DIGESTS, RECEIPT, _REPORT)
def _sealed(case: Case) -> Iterator[Row]:
    """What was read hashes to what the gate has sealed."""
    read = case.report(_REPORT)["input_digests"]
    return fields_differ(read, {n: digest for n, digest in case.sealed().items() if n in read})


@CHECKS.add("unsealed_reads", "E311_DISALLOWED_READ", RECEIPT, _REPORT)
def _unsealed(case: Case) -> Iterator[Row]:
    """Nothing was read that the gate has not sealed or an earlier state made."""
    known = {*case.sealed(), RECEIPT, "tile_weights"}
    for name in sorted(set(case.report(_REPORT)["input_digests"]) - known):
        yield {"dataset": name, "reason": "was read and is not sealed"}


@CHECKS.add("versions", _DIGESTS, _REPORT)
def _versions(case: Case) -> Iterator[Row]:
    """The run report names the version of its ISO table."""
    return iso_version_differs(case, _REPORT)


PLAN = state_checks(CHECKS, script_preparation("s3", "counted"))
