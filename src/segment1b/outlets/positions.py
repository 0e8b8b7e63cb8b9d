"""Which position (site_order) each outlet has, from one list to the next.

The law is docs/spec/outlet-lists.md#positions: an outlet that stays keeps its position, and so
its coordinate.
"""

from __future__ import annotations

import pyarrow as pa

from segment1b.storage.sql import open_database

#: Positions of a list without an earlier one: the order of the keys.
_FIRST = """
    SELECT merchant_id, country_iso, outlet_id, false AS moved,
           row_number() OVER (PARTITION BY merchant_id, country_iso ORDER BY outlet_id)
               AS site_order
    FROM now ORDER BY merchant_id, country_iso, site_order
"""
_NEXT = """
    WITH kept AS (
        SELECT now.*, was.site_order AS old,
               count(*) OVER (PARTITION BY merchant_id, country_iso) AS n
        FROM now LEFT JOIN was USING (merchant_id, country_iso, outlet_id)
    ), free AS (
        -- positions up to the pair's size that no outlet keeps, from the lowest
        SELECT merchant_id, country_iso, position,
               row_number() OVER (PARTITION BY merchant_id, country_iso ORDER BY position) AS turn
        FROM (
            SELECT merchant_id, country_iso, unnest(range(1, n + 1)) AS position
            FROM kept GROUP BY merchant_id, country_iso, n
        ) ANTI JOIN (SELECT merchant_id, country_iso, old AS position FROM kept WHERE old <= n)
        USING (merchant_id, country_iso, position)
    ), seeking AS (
        -- outlets above the pair's size, in their order, then new ones by key
        SELECT *, row_number() OVER (
            PARTITION BY merchant_id, country_iso ORDER BY old NULLS LAST, outlet_id
        ) AS turn
        FROM kept WHERE old IS NULL OR old > n
    )
    SELECT merchant_id, country_iso, outlet_id, false AS moved, old AS site_order
    FROM kept WHERE old <= n
    UNION ALL
    SELECT merchant_id, country_iso, outlet_id, old IS NOT NULL, position
    FROM seeking JOIN free USING (merchant_id, country_iso, turn)
    ORDER BY merchant_id, country_iso, site_order
"""


def positions(now: pa.Table, was: pa.Table | None = None) -> pa.Table:
    """Return the position of each outlet of a list.

    Args:
        now: merchant_id (uint64), country_iso and outlet_id (string), a row an outlet; no two
            rows are the same.
        was: an earlier list with its positions: the same columns and site_order (int32).

    Returns:
        The rows of `now` with site_order (int32; 1, 2, ... in each pair) and moved (bool: an
        outlet that stays and has another position), by merchant, country and site_order.
    """
    with open_database() as database:
        database.register("now", now)
        if was is not None:
            database.register("was", was)
        found: pa.Table = database.sql(_FIRST if was is None else _NEXT).to_arrow_table()
    at = found.schema.get_field_index("site_order")
    return found.set_column(at, "site_order", found["site_order"].cast(pa.int32()))
