"""S8: the egress against S7, its place in the dictionary and the identity it was made under."""

from __future__ import annotations

from collections.abc import Iterator

from segment1b.audit.case import RECEIPT, Case, Checks, state_checks
from segment1b.audit.logs import add_dictionary_check
from segment1b.audit.results import Row, differences, fields_differ

CHECKS = Checks("s8")
_REPORT = "s8_run_report"
_EGRESS = "site_locations"


@CHECKS.add("partition_shift", "E809_PARTITION_SHIFT_VIOLATION", RECEIPT, _REPORT)
def _partition_shift(case: Case) -> Iterator[Row]:
    """The parameter_hash is the gate's and has left the path."""
    sealed, report = case.report(RECEIPT)["parameter_hash"], case.report(_REPORT)
    path = case.published.receipt(_EGRESS)["partition_path"]
    found = {
        "parameter_hash_consumed": report["parameter_hash_consumed"],
        "parameter_hash": report["parameter_hash"],
        "tokens": list(case.published.dataset(_EGRESS).tokens),
        "parameter_hash in path": "parameter_hash" in path or sealed in path,
    }
    expected = {
        "parameter_hash_consumed": sealed,
        "parameter_hash": sealed,
        "tokens": ["seed", "manifest_fingerprint"],
        "parameter_hash in path": False,
    }
    return differences(found, expected)


@CHECKS.add("final", "E811_FINAL_FLAG_MISMATCH")
def _final(case: Case) -> Iterator[Row]:
    """The dictionary declares site_locations final in its layer."""
    found = {"final_in_layer": case.published.dataset(_EGRESS).final_in_layer}
    return differences(found, {"final_in_layer": True}, dataset=_EGRESS)


@CHECKS.add("resolution", "E812_RESOLUTION_DISCIPLINE", _REPORT)
def _resolution(case: Case) -> Iterator[Row]:
    """The files of site_locations are where the dictionary says."""
    path = case.published.dataset(_EGRESS).locate(case.published.tokens)
    receipt = case.published.receipt(_EGRESS)
    return fields_differ(receipt, {"partition_path": path}, dataset=_EGRESS)


@CHECKS.add("report_by_country", "E515_RUN_REPORT_MISSING_FIELDS", _EGRESS, _REPORT)
def _by_country(case: Case) -> Iterator[Row]:
    """The locations of each country are as many as reported."""
    return differences(case.report(_REPORT)["by_country"], case.locations_by_country())


add_dictionary_check(CHECKS, "E808_DICT_SCHEMA_MISMATCH", _EGRESS)
PLAN = state_checks(CHECKS)
