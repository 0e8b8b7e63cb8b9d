"""The weights of each merchant's trade, in SQL, and whether they are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from segment1b.audit.case import POLICY, Case, Checks, Preparation
from segment1b.audit.merchants import EVERYTHING, in_use, merchants_of, partitions
from segment1b.audit.published_files import UnusableError
from segment1b.audit.results import Row
from segment1b.contracts.states import TRADE_WEIGHTS

#: The trade of merchants (those of none are absent), and the weights of all trades in use.
MERCHANTS, WEIGHTS = "merchant_trade", "weights_by_trade"


def _make_weights(case: Case) -> None:
    """Make merchant_trade (merchant_id, trade) and weights_by_trade (trade, country_iso, ...)."""
    session, published = case.session, case.published
    try:
        table = merchants_of(published)
        trades = in_use(published)
        for name in partitions(published):
            if not published.files(name):
                raise UnusableError(name, "absent", "is absent", published.path(name))
            session.open_table(name)
    except UnusableError as error:
        raise ValueError(str(error)) from None
    empty = {"merchant_id": pa.array([], pa.uint64()), "trade": pa.array([], pa.string())}
    columns = empty if table is None else {name: table[name] for name in empty}
    session.table(MERCHANTS, columns)
    chosen = [(EVERYTHING, "tile_weights"), *((one, f'"{TRADE_WEIGHTS}/{one}"') for one in trades)]
    session.make_view(
        WEIGHTS,
        " UNION ALL ".join(
            f"SELECT '{trade}' AS trade, country_iso, tile_id, weight_fp, dp FROM {view}"  # noqa: S608
            for trade, view in chosen
        ),
    )


WEIGHTS_BY_TRADE = Preparation(
    "weights_by_trade", ("tile_weights",), (MERCHANTS, WEIGHTS), _make_weights
)


def add_weights_check(checks: Checks, report: str) -> None:
    """Add the check that the weights of each trade are those that their run report commits."""

    def weighed(case: Case) -> Iterator[Row]:
        """The weights of each merchant's trade have the bytes that their run report commits."""
        for name in partitions(case.published):
            try:
                found: Any = case.published.composite(name)
                expected = case.published.receipt(name)["sha256_hex"]
            except UnusableError as error:
                yield error.row()
                continue
            if found != expected:
                yield {"dataset": name, "found": found, "expected": expected}

    checks.add("trades_weighed", "E402_MISSING_TILE_WEIGHTS", report, POLICY)(weighed)
