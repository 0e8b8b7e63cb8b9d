"""S5: the tile of each site, against the plan, the words and the declared match."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from segment1b.audit.by_trade import MERCHANTS, WEIGHTS, WEIGHTS_BY_TRADE, add_weights_check
from segment1b.audit.case import POLICY, RASTER, Case, Checks, Preparation, state_checks
from segment1b.audit.logs import ASSIGN, add_audit_check, add_log_checks
from segment1b.audit.results import Row
from segment1b.audit.s4.curve_laws import points_by_country
from segment1b.audit.strides import COUNTRY, site_key
from segment1b.audit.tiles import INDEX, keep_used
from segment1b.audit.words import key_of, words

CHECKS = Checks("s5")
_MISMATCH = "E507_RNG_EVENT_MISMATCH"
_LOG = f"SELECT merchant_id, site_order, word, {COUNTRY} FROM {ASSIGN.events}"  # noqa: S608


def _make_own_points(case: Case) -> None:
    """Make own_points (key, tile_id); empty unless the law is `stable`."""
    case.session.execute(
        "CREATE OR REPLACE TABLE own_points (merchant_id UBIGINT, legal_country_iso VARCHAR, "
        "site_order BIGINT, tile_id UBIGINT); "
        "CREATE OR REPLACE TABLE planned_pairs AS SELECT merchant_id, legal_country_iso, "
        "sum(n_sites_tile)::BIGINT AS n_sites FROM s4_alloc_plan GROUP BY ALL"
    )
    if case.policy("allocation")["law"] != "stable":
        return
    case.session.append_all("own_points", points_by_country(case, "planned_pairs"))


@CHECKS.add("words", _MISMATCH, ASSIGN.events, scope="S")
def _words(case: Case) -> Iterator[Row]:
    """Every logged word is the first of the site's block as numpy's Philox gives it."""
    key = key_of(ASSIGN.label, int(case.published.tokens["seed"]))
    for log in case.session.batches(_LOG):
        expected = words(key, log["site_order"], log["merchant_id"], log["country"])[:, 0]
        for at in np.flatnonzero(expected != log["word"]).tolist():
            pair = {"found": int(log["word"][at]), "expected": int(expected[at])}
            yield {**site_key(log, at), **pair}


add_log_checks(CHECKS, ASSIGN)
add_audit_check(CHECKS, _MISMATCH, ASSIGN.report)
add_weights_check(CHECKS, ASSIGN.report)
PLAN = state_checks(
    CHECKS,
    WEIGHTS_BY_TRADE,
    keep_used("tile_index", ("s5_site_tile_assignment",), INDEX),
    Preparation(
        "own_points",
        ("s4_alloc_plan", WEIGHTS, MERCHANTS, RASTER, POLICY),
        ("own_points",),
        _make_own_points,
    ),
    by_country=(
        *("quotas", "sums", "tiles_of_the_country", "own_points", "permutation", "words"),
        "events",
    ),
)
