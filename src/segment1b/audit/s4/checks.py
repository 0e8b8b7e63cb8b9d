"""S4: the allocation plan against requirements, weights and the declared law.

`largest_remainder` is derived again in SQL alone, the curve laws by SQL's 128-bit points and a full
sort of each country along the curve (curve_laws.py); no line of it is the producer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.audit.by_trade import MERCHANTS, WEIGHTS, WEIGHTS_BY_TRADE, add_weights_check
from segment1b.audit.case import (
    POLICY,
    RASTER,
    Case,
    Checks,
    Preparation,
    script_preparation,
    state_checks,
)
from segment1b.audit.results import Row
from segment1b.audit.s4 import curve_laws
from segment1b.audit.s4.load_errors import check_quality
from segment1b.audit.tables import iso_version_differs
from segment1b.audit.tiles import count_tiles
from segment1b.contracts.faults import raise_machine_fault
from segment1b.storage.durable import regular_file

_REPORT = "s4_run_report"
_FIELDS = "E415_RUN_REPORT_MISSING_FIELDS"
CHECKS = Checks("s4")


def _is_curve_law(case: Case) -> bool:
    return case.policy("allocation")["law"] in curve_laws.LAWS


def _is_largest_remainder(case: Case) -> bool:
    return bool(case.policy("allocation")["law"] == "largest_remainder")


@CHECKS.add("known_law", "E417_LAW_VIOLATION", POLICY)
def _known_law(case: Case) -> Iterator[Row]:
    """The policy declares a law that can be derived again."""
    if not (_is_curve_law(case) or _is_largest_remainder(case)):
        yield {"found": case.policy("allocation")["law"]}


@CHECKS.add("versions", _FIELDS, _REPORT)
def _versions(case: Case) -> Iterator[Row]:
    """The run report names the version of its ISO table."""
    return iso_version_differs(case, _REPORT)


CHECKS.add("quality", _FIELDS, _REPORT, "s4_alloc_plan", WEIGHTS, MERCHANTS, POLICY)(check_quality)
add_weights_check(CHECKS, _REPORT)


@CHECKS.add("merchant_summaries", _FIELDS, _REPORT, "s3_requirements")
def _summaries(case: Case) -> Iterator[Row]:
    """Where merchants are reported one by one, their figures are those of S3."""
    summaries = case.report(_REPORT).get("merchant_summaries")
    if summaries is None:
        return
    lines = summaries if isinstance(summaries, list) else _side_file(case, summaries)
    reported = {line.pop("merchant_id"): line for line in map(dict, lines)}
    counted = case.session.rows(
        "SELECT merchant_id, count(*) AS countries, count(*) AS pairs, "
        "sum(n_sites)::BIGINT AS n_sites_total FROM s3_requirements GROUP BY merchant_id"
    )
    expected = {row.pop("merchant_id"): row for row in counted}
    for merchant in sorted(set(reported) | set(expected)):
        pair = {"found": reported.get(merchant), "expected": expected.get(merchant)}
        if pair["found"] != pair["expected"]:
            yield {"merchant_id": merchant, **pair}


def _side_file(case: Case, summaries: dict[str, Any]) -> list[dict[str, Any]]:
    path = case.published.path("s4_merchant_summaries")
    if summaries["path"] != path.relative_to(case.published.root).as_posix():
        raise ValueError(f"merchant_summaries are at {path}, the report says {summaries['path']}")
    try:
        table = pq.read_table(regular_file(path))
    except (pa.ArrowException, OSError) as error:
        raise_machine_fault(error, path)
        raise ValueError(f"{path.name} cannot be read: {error}") from None
    lines: list[dict[str, Any]] = table.to_pylist()
    return lines


PLAN = state_checks(
    CHECKS,
    WEIGHTS_BY_TRADE,
    script_preparation("s4", "largest_remainder", _is_largest_remainder),
    Preparation(
        "expected_by_points",
        ("s3_requirements", WEIGHTS, MERCHANTS, RASTER, POLICY),
        ("expected_plan", "solved"),
        curve_laws.make_expected_plan,
        _is_curve_law,
    ),
    script_preparation("s4", "differences"),
    count_tiles("s4_alloc_plan"),
)
