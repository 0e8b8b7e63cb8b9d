"""S7: one coordinate a site, from S5, S6 and the grid, for the outlets of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from segment1b.audit.case import RECEIPT, Case, Checks, script_preparation, state_checks
from segment1b.audit.logs import add_dictionary_check
from segment1b.audit.results import Row, fields_differ
from segment1b.audit.tiles import BOUNDS, count_tiles, keep_used

CHECKS = Checks("s7")
_NONE_FAIL = """
CREATE OR REPLACE TABLE unknown_tiles (legal_country_iso VARCHAR, tile_id UBIGINT, n HUGEINT);
CREATE OR REPLACE TABLE outside_sites (legal_country_iso VARCHAR);
"""
_ALL_IN_CATALOGUE = """
CREATE OR REPLACE TABLE uncatalogued_sites (
    merchant_id UBIGINT, legal_country_iso VARCHAR, site_order BIGINT
)
"""


@CHECKS.add("gate_flag", "E705_PARTITION_OR_IDENTITY", RECEIPT, "s7_run_report")
def _flag(case: Case) -> Iterator[Row]:
    """The run report carries the upstream flag that the gate has sealed."""
    expected = {"flag_sha256_hex": case.report(RECEIPT)["flag_sha256_hex"]}
    return fields_differ(case.report("s7_run_report"), expected)


add_dictionary_check(CHECKS, "E711_DICT_SCHEMA_MISMATCH", "s7_site_synthesis")
PLAN = state_checks(
    CHECKS,
    keep_used("tile_bounds", ("s6_site_jitter", "s7_site_synthesis"), BOUNDS),
    script_preparation("s6", "points"),
    replace(script_preparation("s7", "tested"), if_clean=_NONE_FAIL),
    script_preparation("s7", "uncatalogued", empty=_ALL_IN_CATALOGUE),
    count_tiles("s7_site_synthesis"),
    by_country=("tiles_known", "in_tile", "coordinates"),
)
