"""The merchants' trades as validators read them, and the partitions that depend on them."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.audit.published_files import Published, UnusableError
from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.states import TRADE_WEIGHTS

DATASET = "merchant_trades"
EVERYTHING = "everything"


def merchants_of(published: Published) -> pa.Table | None:
    """Return merchant_trades; None where it is absent.

    Raises:
        UnusableError: it cannot be read, or lacks columns.
    """

    def read() -> pa.Table | None:
        files = published.files(DATASET)
        try:
            tables = [pq.read_table(file, columns=["merchant_id", "trade"]) for file in files]
        except (pa.ArrowException, OSError) as error:
            raise_machine_fault(error)
            path, reason = published.path(DATASET), f"cannot be read: {error}"
            raise UnusableError(DATASET, "damaged", reason, path) from None
        return pa.concat_tables(tables) if tables else None

    return published.once("merchants' trades", read)


def in_use(published: Published) -> tuple[str, ...]:
    """Return the trades of merchants but `everything`, in ASCII order."""
    table = merchants_of(published)
    listed = [] if table is None else pc.unique(table["trade"]).to_pylist()
    return tuple(sorted({str(trade) for trade in listed} - {EVERYTHING}))


def partitions(published: Published) -> list[str]:
    """Return the ids of the weights of the trades in use."""
    return [f"{TRADE_WEIGHTS}/{trade}" for trade in in_use(published)]


def each_trade(published: Published) -> list[Published]:
    """Return the identity once for each trade in use, with the partition of that trade."""
    return [of_trade(published, trade) for trade in in_use(published)]


def of_trade(published: Published, trade: str) -> Published:
    """Return the identity with the partition of one trade in the place of those of any."""
    own = replace(published, contracts=published.contracts.of_trade(trade), memo={})
    own.tokens = {**published.tokens, "trade": trade}
    return own
