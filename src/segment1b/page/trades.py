"""Reads the trades of a run's merchants for the page, and the weights that these trades give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from duckdb import DuckDBPyConnection as Database

from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.trades import EVERYTHING, load_trades, weights_of
from segment1b.errors import Segment1BError
from segment1b.outlets.merchant_trades import DATASET, in_use, read_trades
from segment1b.page.payload import Columns, Packer
from segment1b.page.published import World
from segment1b.storage.reader import Reader


@dataclass(frozen=True)
class MerchantTrades:
    """merchant_id and trade of each merchant of a list with trades; `problem`: why not known."""

    table: pa.Table
    problem: str = ""

    @property
    def used(self) -> tuple[str, ...]:
        """Return the trades but `everything`, in ASCII order."""
        return in_use(self.table["trade"])


def trades_of(world: World) -> MerchantTrades:
    """Return the trades of a run's merchants; damaged files are a problem, not an error."""
    empty = world.contracts[DATASET].arrow_schema.empty_table()
    try:
        world.fetch([DATASET])
        there = world.path(DATASET).is_dir()
        return MerchantTrades(read_trades(Reader(world, (DATASET,))) if there else empty)
    except Segment1BError as error:
        raise_machine_fault(error)
        return MerchantTrades(empty, f"Trades are not shown: {error.code}.")


def weight_tables(trades: MerchantTrades) -> list[str]:
    """Return the ids of the datasets with the weights of all trades of a run."""
    return [weights_of(trade) for trade in (EVERYTHING, *trades.used)]


def add_views(database: Database, views: set[str], trades: MerchantTrades) -> None:
    """Add the views merchant_trades and weights, the weights of tiles by trade and country.

    Without tile_weights there is no view of weights.
    """
    database.register(DATASET, trades.table)
    selected = [
        f"SELECT '{trade}' AS trade, country_iso, tile_id, weight_fp "  # noqa: S608 - our ids
        f'FROM "{weights_of(trade)}"'
        for trade in (EVERYTHING, *trades.used)
        if weights_of(trade) in views
    ]
    if selected:
        database.execute(f"CREATE VIEW weights AS {' UNION ALL '.join(selected)}")


def legend_of(
    packer: Packer, database: Database, trades: MerchantTrades, merchants: Any
) -> dict[str, Any] | None:
    """Return each trade with its outlets, most outlets first, and the trade of each merchant.

    `everything` is the last. None for a list without trades.
    """
    counts = outlets_by_trade(database, trades)
    if not counts:
        return None
    titles = {trade.id: trade.title for trade in load_trades().trades}
    own = {row["merchant_id"]: row["trade"] for row in trades.table.to_pylist()}
    numbers = {trade: number for number, trade in enumerate(counts)}
    return {
        "ids": list(counts),
        "titles": [titles[trade] for trade in counts],
        "n": list(counts.values()),
        "of": packer.add([numbers[own.get(int(one), EVERYTHING)] for one in merchants], "u1"),
    }


def outlets_by_trade(database: Database, trades: MerchantTrades) -> dict[str, int]:
    """Return the outlets of each trade, most first, `everything` last; none without trades."""
    if not trades.used:
        return {}
    rows = database.execute(
        "SELECT own, count(*) AS n FROM (SELECT coalesce(t.trade, $1) AS own FROM "
        "s7_site_synthesis LEFT JOIN merchant_trades AS t USING (merchant_id)) "
        "GROUP BY own ORDER BY own = $1, n DESC, own",
        [EVERYTHING],
    ).fetchall()
    return dict(rows) | {EVERYTHING: dict(rows).get(EVERYTHING, 0)}


def expected(database: Database, scale: int) -> Columns:
    """Return quota (float64 [t]) and sites n (int64 [t]) of the tiles with a quota of 1 or more.

    A quota is the sum over trades of the trade's sites in the country, times the tile's weight, by
    `scale`, the sum of weights of a country. Largest quotas come first.
    """
    found: dict[str, Any] = database.execute(
        "WITH planned AS (SELECT coalesce(t.trade, $1) AS trade, legal_country_iso AS code, "
        "tile_id, n_sites_tile AS n FROM s4_alloc_plan "
        "LEFT JOIN merchant_trades AS t USING (merchant_id)), "
        "totals AS (SELECT trade, code, sum(n)::BIGINT AS n FROM planned GROUP BY ALL), "
        "due AS (SELECT code, tile_id, w.weight_fp::HUGEINT * n AS mass FROM weights AS w "
        "JOIN totals ON totals.trade = w.trade AND totals.code = w.country_iso), "
        # One of the trades of a tile that is due an outlet has its part of it.
        "heavy AS (SELECT DISTINCT code, tile_id FROM due "
        "WHERE mass * (SELECT count(DISTINCT trade) FROM totals) >= $2), "
        "quotas AS (SELECT code, tile_id, sum(mass) AS mass FROM due "
        "SEMI JOIN heavy USING (code, tile_id) GROUP BY ALL HAVING sum(mass) >= $2), "
        "used AS (SELECT code, tile_id, sum(n)::BIGINT AS n FROM planned GROUP BY ALL) "
        "SELECT mass::DOUBLE / $2 AS quota, coalesce(used.n, 0) AS n FROM quotas "
        "LEFT JOIN used USING (code, tile_id) ORDER BY quotas.mass DESC, code, tile_id",
        [EVERYTHING, scale],
    ).fetchnumpy()
    return found
